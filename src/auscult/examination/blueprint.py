"""From what was read of a model to its blueprint, and whether the two and the printed count agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..architectures import Model, build
from ..errors import BadConfig
from ..facts.parameters import ParameterCount, count_parameters
from ..run import Architecture, Known, Logged, Quantity, Run, Unknown, known, value_of

__all__ = ["VERSIONS", "counting_formula", "drawn", "of_gpt2", "trains_a_part", "unlike_printed"]

_GPT2_BY_PART = {
    True: "V·C + T·C + L(12C² + 13C) + 2C (GPT-2, by part)",
    False: "V·C + T·C + L(12C² + 2C) + C (GPT-2, by part)",
}

_TIED = frozenset({"tie_word_embeddings", "tie_embeddings"})
VERSIONS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "nanochat": (
        {},
        {"value_embeds": True, "smear": False},
        {"value_embeds": True, "smear": False, "ve_gate_channels": 32},
        {"value_embeds": False, "smear": False},
    )
}
"""Models that changed while their config kept its keys: the switches of each version, newest first
(karpathy/nanochat ``gpt.py`` at 92d63d4, 6ed7d1d, e85db6b, 3a5e0bc)."""
_RANKS = frozenset({"lora_r", "lora_rank"})
MOST = 0.9
"""Below this share of trainable parameters a part of the model is frozen; above, only norms or tables may be."""


def drawn(a: Architecture, details: Known[Any], vocabulary: Quantity[int], logged: Logged) -> Quantity[Model]:
    """Return the blueprint of the model that a whole config describes, unless the run's other files contradict it.

    Parameters
    ----------
    a : Architecture
        What all files say together: a resized vocabulary or another depth than the config's makes the model unknown.
    details : Known
        The config under its family's keys.
    vocabulary : Known or Unknown
        As the log and the printed count leave it: a default that they rule out is Unknown.
    logged : Logged
        The trainer's own count, which tells the versions of a model apart whose config does not.
    """
    config = dict(details.value)
    used = [details]
    if isinstance(a.tied, Known) and a.tied.source.how != "default" and not _TIED & config.keys():
        config["tie_word_embeddings"] = a.tied.value
        used.append(a.tied)
    try:
        model = build(config)
    except BadConfig as error:
        return Unknown(f"{details.source.formula}: {error.what}")
    if isinstance(vocabulary, Unknown) and isinstance(a.vocab_size, Known):
        return Unknown(f"needs vocab_size: {vocabulary.reason}")
    for name, mine, quantity in _comparable(model, a, vocabulary):
        if isinstance(quantity, Known) and quantity.source.how != "default" and quantity.value != mine:
            return Unknown(
                f"{name} is {quantity.value} at {quantity.source.place}, and {mine} in the model's config: one of them is"
                " not this run's"
            )
    if model.family in VERSIONS:
        return _of_its_version(config, known(model, "", *used), logged)
    return known(model, details.source.formula or "", *used)


def _of_its_version(config: Mapping[str, Any], model: Known[Model], logged: Logged) -> Quantity[Model]:
    """Return the model of the version whose count is the one that was printed."""
    family, printed = model.value.family, logged.parameters
    if isinstance(printed, Unknown) or value_of(logged.parameters_convention) != "total":
        return Unknown(f"the versions of {family} differ, and no printed count tells which this is")
    low, high = printed.value
    for switches in VERSIONS[family]:
        candidate = build({**config, **switches})
        if low <= count_parameters(candidate).total <= high:
            return known(candidate, f"the version of {family} that has the printed count", model, printed)
    return Unknown(f"{printed.source.place}: no version of {family} that is known has the printed count")


def _comparable(model: Model, a: Architecture, vocabulary: Quantity[int]) -> Iterator[tuple[str, Any, Quantity[Any]]]:
    yield "n_layer", model.n_layer, a.n_layer
    yield "d_model", model.d_model, a.d_model
    yield "vocab_size", model.vocab_size, vocabulary
    yield "tied", model.tied, a.tied
    heads = {attention.n_head for attention, _count in model.attentions}
    if len(heads) == 1:
        yield "n_head", heads.pop(), a.n_head


def of_gpt2(*, n_layer: int, n_head: int, d_model: int, vocab_size: int, context: int, bias: bool) -> Model:
    """Return the blueprint of a GPT-2 from its six numbers, as nanoGPT and those that copy it build it.

    Raises
    ------
    BadConfig
        When the heads do not divide the width.
    """
    config = {"model_type": "gpt2", "n_layer": n_layer, "n_head": n_head, "n_embd": d_model, "vocab_size": vocab_size}
    return build({**config, "n_positions": context, "bias": bias})


def counting_formula(model: Model) -> str:
    """Return how the parameters of a model are counted, by the name of its family."""
    first = model.stacks[0].block.mlp if model.stacks else None
    if model.family == "gpt2" and model.tied and getattr(first, "d_ff", 0) == 4 * model.d_model:
        return _GPT2_BY_PART[model.norms[0].bias]
    return f"sum over the parts of the {model.family} model"


def unlike_printed(count: ParameterCount, logged: Logged) -> str | None:
    """Return what is wrong where the trainer's own count fits ours under no convention; None where it fits or says nothing.

    A count of trainable parameters says nothing: adapters leave most of a model frozen.
    """
    printed, convention = logged.parameters, logged.parameters_convention
    if isinstance(printed, Unknown) or (isinstance(convention, Known) and convention.value == "trainable"):
        return None
    low, high = printed.value
    if any(low <= n <= high for n in (count.total, count.without_position, count.non_embedding, count.active)):
        return None
    return f"{printed.source.place} counts {(low + high) / 2:,.0f} parameters, where a model of that family has {count.total:,}"


def trains_a_part(run: Run, count: ParameterCount) -> str | None:
    """Return how it shows that most of the model is frozen, so that a step takes fewer FLOPs; None where nothing does."""
    for key, quantity in run.noted.items():
        name, value = key.rpartition(".")[2], quantity.value
        method = run.noted.get("hf.finetuning_type")
        if (
            (name == "finetuning_type" and value != "full")
            or (key == "checkpoint.kind" and value == "adapter")
            or key == "peft.peft_type"
            or (name in _RANKS and value and (method is None or method.value != "full"))
        ):
            return f"{quantity.source.place}: adapters are trained on a frozen model, at fewer FLOPs"
    logged = run.logged
    if isinstance(logged.parameters, Known) and value_of(logged.parameters_convention) == "trainable":
        _low, high = logged.parameters.value
        if high < MOST * count.total:
            return f"{logged.parameters.source.place}: {high:,} of {count.total:,} parameters are trained"
    return None
