"""The settings of auscult's own trainer: their defaults, and what they mean together.

The keys stand in a ``recipe.toml`` and, all of them, in the first line of a ``log.jsonl``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from ..recipe import TrainingRecipe, recipe_values
from ..recipe.settings import FAMILIES
from ..run import Known, Source, Unknown, known
from .config_sheet import Sheet, default
from .human import human
from .meaning import (
    GRAD_NORM,
    LEARNING_RATE,
    MEMORY_BYTES,
    MFU,
    STEP_TIME_S,
    TOKENS_PER_S,
    TOKENS_SEEN,
    TRAIN_LOSS,
    TRAIN_LOSS_EVAL,
    VAL_LOSS,
    Metric,
)

__all__ = ["MEASURED", "METRICS", "PLACES", "TAGS", "TRAINER", "evaluated", "flat", "put_settings", "rounded_count"]

TRAINER = "auscult train"
PLACES: Mapping[str, str] = {
    "architecture.n_layer": "model.n_layer",
    "architecture.n_head": "model.n_head",
    "architecture.n_kv_head": "model.n_kv_head",
    "architecture.d_model": "model.d_model",
    "architecture.d_ff": "model.d_ff",
    "architecture.vocab_size": "model.vocab_size",
    "architecture.context": "model.context",
    "architecture.tied": "model.tied",
    "architecture.bias": "model.bias",
    "recipe.batch_size": "batch.micro_batch",
    "recipe.optimizer": "optimizer.name",
    "recipe.learning_rate": "optimizer.learning_rate",
    "recipe.weight_decay": "optimizer.weight_decay",
    "recipe.beta1": "optimizer.beta1",
    "recipe.beta2": "optimizer.beta2",
    "recipe.grad_clip": "optimizer.grad_clip",
    "recipe.schedule": "schedule.kind",
    "recipe.max_steps": "schedule.steps",
    "recipe.warmup_steps": "schedule.warmup_steps",
    "recipe.decay_steps": "schedule.decay_steps",
    "recipe.min_lr": "schedule.min_learning_rate",
    "recipe.dropout": "model.dropout",
    "recipe.dtype": "machine.dtype",
    "recipe.compile": "machine.compile",
    "recipe.eval_interval": "evaluation.every_steps",
    "recipe.log_interval": "log.every_steps",
    "recipe.dataset": "data.path",
    "recipe.init_from": "model.weights",
    "recipe.run_name": "name",
    "machine.gpu_name": "machine.gpu",
    "logged.tokens_per_step": "batch.tokens_per_step",
}
"""Canonical settings to their place in a recipe."""
_WITH_RULES = frozenset({"recipe.dataset", "recipe.decay_steps", "recipe.eval_interval", "recipe.init_from"})
"""Those whose value in a run is not the value in the recipe, word for word."""
_WITH_DEFAULTS = frozenset({"model.n_kv_head", "model.d_ff"}) | {f"model.{key}" for key in FAMILIES["gpt2"]}
"""Settings whose default depends on others."""
_NOTED = (
    *("seed", "optimizer.momentum", "optimizer.eps", "data.document_mask", "evaluation.tokens", "schedule.decay_steps"),
    *("model.family", "model.rope_theta", "machine.attention", "machine.checkpointing", "machine.cross_entropy"),
    *("machine.sharding",),
)
_SHAPE = ("n_layer", "n_head", "n_kv_head", "d_model", "d_ff", "vocab_size", "context", "tied", "bias")
_GELU = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}
"""Activations that a GPT-2 may have, and transformers' names of them."""
_ONE_STEP = "all tokens of one step"
_STEPS = "mean over the steps since the line before, evaluations left out"
METRICS: Mapping[str, Metric] = {
    "loss_nats_per_token": TRAIN_LOSS.but(window=_ONE_STEP, scope="global"),
    "learning_rate": LEARNING_RATE.but(mode="train", scope="global"),
    "grad_norm": GRAD_NORM.but(scope="global"),
    "step_time_s": STEP_TIME_S.but(mode="train", window=_STEPS, scope="global"),
    "tokens_per_s": TOKENS_PER_S.but(mode="train", window=_STEPS, scope="global"),
    "flops_per_s": Metric("flops_per_s", "-", "train", "flop_per_s", _STEPS, "global"),
    "mfu": MFU.but(mode="train", window=_STEPS, scope="global"),
    "memory_allocated_bytes": MEMORY_BYTES.but(mode="train"),
    "tokens": TOKENS_SEEN.but(mode="train", scope="global"),
}
"""What a step is logged with."""
_MAX_COUNT = 40
MEASURED = "train/loss_nats_per_token"
"""The tag in an event file that gives it away as the trainer's."""


def evaluated(split: str, mode: str, tokens: int | None = None) -> Metric:
    """Return what an evaluation measures: the loss of a split in eval mode, or with dropout on.

    Examples
    --------
    >>> evaluated("val", "eval", 655_360).window, evaluated("train", "train").name
    ('the same 655,360 tokens each time', 'train_loss_eval_train_mode')
    """
    metric = VAL_LOSS if split == "val" else TRAIN_LOSS_EVAL
    count = f"{tokens:,} tokens" if tokens is not None else "tokens"
    metric = metric.but(window=f"the same {count} each time", scope="global")
    return metric if mode == "eval" else metric.but(name=f"{metric.name}_{mode}_mode", mode=mode)


TAGS: Mapping[str, Metric] = {
    **{f"train/{name}": metric for name, metric in METRICS.items()},
    **{
        f"evaluation/{split}_loss_nats_per_token{'' if mode == 'eval' else f'_{mode}_mode'}": evaluated(split, mode)
        for split in ("train", "val")
        for mode in ("eval", "train")
    },
}
"""The same in event files of TensorBoard."""


def rounded_count(text: str) -> int | str:
    """Return a count that was written as people round it, or the text as it is where it is none.

    Examples
    --------
    >>> rounded_count("0.5M"), rounded_count("491_520"), rounded_count("1.5"), rounded_count("many")
    (500000, 491520, '1.5', 'many')
    """
    try:
        value = human(text.strip().replace("_", "").replace(",", "")) if len(text) < _MAX_COUNT else math.nan
    except ValueError:
        return text
    whole = round(value) if math.isfinite(value) else 0
    return whole if math.isclose(value, whole, rel_tol=1e-12) else text


def flat(values: Mapping[str, Any], source: Source) -> dict[str, Known[Any]]:
    """Return nested values of a recipe under their dotted paths; null is left out."""
    found: dict[str, Known[Any]] = {}
    for name, value in values.items():
        inner = value.items() if isinstance(value, Mapping) else ()
        found |= {f"{name}.{key}": Known(one, source) for key, one in inner if _is_plain(one)}
        if _is_plain(value):
            found[str(name)] = Known(value, source)
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def put_settings(sheet: Sheet, *, defaults: bool) -> None:
    """Put the settings of a recipe, under ``table.key``, into canonical ones.

    Parameters
    ----------
    sheet : Sheet
        With the recipe's values.
    defaults : bool
        Whether what is not set has the trainer's default: not so in a log, which holds every value.
    """
    counted = "logged.tokens_per_step"
    sheet.take_all({key: place for key, place in PLACES.items() if key not in _WITH_RULES and key != counted})
    tokens = sheet.get(PLACES[counted])
    if tokens is not None:
        value = rounded_count(tokens.value) if isinstance(tokens.value, str) else tokens.value
        sheet.put(counted, Known(value, tokens.source))
    _put_dataset(sheet)
    if defaults:
        _put_defaults(sheet)
    _put_family(sheet, defaults=defaults)
    _put_schedule(sheet)
    _put_batch(sheet)
    _put_evaluation(sheet, defaults=defaults)
    if defaults and "recipe.dtype" not in sheet.found:
        sheet.put("recipe.dtype", Unknown("dtype is auto: bfloat16 where the card has it, float32 elsewhere"))
    weights = sheet.text("model.weights")
    source = sheet.known("architecture.n_layer") if weights is None else weights
    if weights is not None:
        sheet.put("recipe.init_from", weights)
    elif source is not None:
        sheet.put("recipe.init_from", known("scratch", "no model.weights are given", source))
    sheet.note(*_NOTED)


def _put_dataset(sheet: Sheet) -> None:
    """Put the folder's own name: the log has its path resolved, the recipe from where it lies."""
    path = sheet.text("data.path")
    name = "" if path is None else path.value.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if path is not None and name not in ("", ".", ".."):
        sheet.put("recipe.dataset", Known(name, path.source))


@functools.cache
def _usual() -> Mapping[str, Any]:
    return recipe_values(TrainingRecipe())


def _default(table: str, key: str) -> Any:
    return _usual()[table][key] if table else _usual()[key]


def _put_defaults(sheet: Sheet) -> None:
    for key, place in PLACES.items():
        table, _, name = place.rpartition(".")
        value = _default(table, name) if place not in _WITH_DEFAULTS and place not in ("name", "data.path") else None
        if key not in _WITH_RULES and value not in (None, "auto"):
            sheet.default(key, place, value)
    usual = FAMILIES.get(_family_name(sheet), FAMILIES["gpt2"])
    sheet.default("architecture.tied", "model.tied", usual["tied"])
    sheet.default("architecture.bias", "model.bias", usual["bias"])
    heads, width = sheet.known("architecture.n_head"), sheet.known("architecture.d_model")
    if "architecture.n_kv_head" not in sheet.found and heads is not None:
        sheet.put("architecture.n_kv_head", known(heads.value, "default: n_kv_head is n_head", heads))
    if "architecture.d_ff" not in sheet.found and width is not None:
        if _word(sheet, "activation") == "swiglu":
            inner = -(-width.value * 8 // (3 * 64)) * 64
            sheet.put("architecture.d_ff", known(inner, "default: 8/3 · d_model, rounded up to 64", width))
        else:
            sheet.put("architecture.d_ff", known(4 * width.value, "default: 4 · d_model", width))


def _family_name(sheet: Sheet) -> str:
    family = sheet.text("model.family")
    return family.value if family is not None else "gpt2"


def _word(sheet: Sheet, key: str) -> Any:
    """Return one of the six settings that a family decides where the recipe does not."""
    one = sheet.get(f"model.{key}")
    return one.value if one is not None else FAMILIES.get(_family_name(sheet), FAMILIES["gpt2"])[key]


def _put_family(sheet: Sheet, *, defaults: bool) -> None:
    """Put the family: GPT-2's where the model is one in every part, else the trainer's own with all that draws it."""
    family = sheet.get("model.family")
    if family is None and not defaults:
        return
    if family is None:
        family = default(TRAINER, "model.family", "gpt2")
    shape = {key: sheet.found.get(f"architecture.{key}", Unknown("the recipe does not say")) for key in _SHAPE}
    words = {key: _word(sheet, key) for key in ("position", "norm", "activation", "qk_norm")}
    plain = {key: one.value for key, one in shape.items() if isinstance(one, Known)}
    is_gpt2 = _is_gpt2(plain, words)
    sheet.put("architecture.family", Known("gpt2" if is_gpt2 else "auscult", family.source))
    for key, one in shape.items():
        if isinstance(one, Unknown):
            sheet.put("architecture.details", Unknown(f"needs {key}: {one.reason}"))
            return
    used = [one for one in shape.values() if isinstance(one, Known)]
    more = {"family": family.value, **({"rope_theta": _rope_theta(sheet)} if words["position"] == "rope" else {})}
    config = _as_gpt2(plain, words) if is_gpt2 else {"model_type": "auscult", **plain, **words, **more}
    sheet.put("architecture.details", known(config, "the recipe's [model]", family, *used))


def _rope_theta(sheet: Sheet) -> float:
    given = sheet.number("model.rope_theta")
    return given.value if given is not None else float(_default("model", "rope_theta"))


def _is_gpt2(shape: Mapping[str, Any], words: Mapping[str, Any]) -> bool:
    return (
        (words["position"], words["norm"], words["qk_norm"]) == ("learned", "layernorm", False)
        and words["activation"] in _GELU
        and shape.get("tied") is True
        and shape.get("n_kv_head") == shape.get("n_head")
        and shape.get("d_ff") == 4 * shape.get("d_model", 0)
    )


def _as_gpt2(shape: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config under transformers' keys, as all that is known of GPT-2s expects it."""
    return {
        "model_type": "gpt2",
        "n_layer": shape["n_layer"],
        "n_head": shape["n_head"],
        "n_embd": shape["d_model"],
        "vocab_size": shape["vocab_size"],
        "n_positions": shape["context"],
        "bias": shape["bias"],
        "activation_function": _GELU[words["activation"]],
    }


def _put_schedule(sheet: Sheet) -> None:
    kind, steps = sheet.known("recipe.schedule"), sheet.known("recipe.max_steps")
    given = sheet.whole("schedule.decay_steps")
    if kind is None:
        return
    if kind.value == "constant":
        sheet.put("recipe.decay_steps", Unknown("a constant learning rate does not decay"))
    elif kind.value == "wsd" and steps is not None:
        sheet.put("recipe.decay_steps", known(steps.value, "the decay of a wsd schedule ends with the run", steps))
    elif given is not None:
        sheet.put("recipe.decay_steps", given)
    elif steps is not None:
        sheet.put(
            "recipe.decay_steps", known(steps.value, "decay_steps is not given: the decay ends with the run", steps)
        )


def _put_batch(sheet: Sheet) -> None:
    micro, context = sheet.known("recipe.batch_size"), sheet.known("architecture.context")
    tokens, key = sheet.known("logged.tokens_per_step"), "recipe.gradient_accumulation_steps"
    if "recipe.batch_size" not in sheet.found:
        why = Unknown("micro_batch is not set: auscult train chooses it by the memory that there is")
        sheet.put("recipe.batch_size", why)
        sheet.put(key, why)
    if tokens is None or context is None or micro is None:
        return
    each = micro.value * context.value
    if tokens.value % each:
        sheet.put(key, Unknown(f"{tokens.value:,} tokens are no whole number of micro-batches of {each:,}"))
    else:
        formula = "tokens_per_step / (micro_batch · context), over all ranks"
        sheet.put(key, known(tokens.value // each, formula, tokens, micro, context))


def _evaluation_tokens(sheet: Sheet, *, defaults: bool) -> Known[int] | None:
    one = sheet.get("evaluation.tokens")
    if one is None:
        return default(TRAINER, "evaluation.tokens", _default("evaluation", "tokens")) if defaults else None
    value = rounded_count(one.value) if isinstance(one.value, str) else one.value
    return Known(value, one.source) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _put_evaluation(sheet: Sheet, *, defaults: bool) -> None:
    every = sheet.whole("evaluation.every_steps", low=0)
    if every is not None and every.value:
        sheet.put("recipe.eval_interval", every)
    elif every is not None:
        sheet.put("recipe.eval_interval", Unknown(f"{every.source.place}: there are no evaluations"))
        return
    elif defaults:
        sheet.default("recipe.eval_interval", "evaluation.every_steps", _default("evaluation", "every_steps"))
    tokens = _evaluation_tokens(sheet, defaults=defaults)
    micro, context = sheet.known("recipe.batch_size"), sheet.known("architecture.context")
    if tokens is None or micro is None or context is None:
        return
    sequences = -(-tokens.value // context.value)
    if sequences % micro.value == 0:
        formula = "evaluation.tokens / (micro_batch · context)"
        sheet.put("recipe.eval_iters", known(sequences // micro.value, formula, tokens, micro, context))
    else:
        sheet.put("recipe.eval_iters", Unknown("the sequences of an evaluation are no whole number of micro-batches"))
