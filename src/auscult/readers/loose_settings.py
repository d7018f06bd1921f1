"""Settings that stand in no trainer's own format: hparams, W&B columns, MLflow parameters, a tracker's config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from ..run import Known, Problem, Quantity, Unknown, known
from .vocabulary import COMMON, canonical, checked

__all__ = ["base_name", "settings_of"]

_MORE: Mapping[str, str] = {
    **COMMON,
    **{
        name: key
        for key, names in {
            "architecture.d_ff": "ff_hidden ff_dim ffn_size d_hidden dim_feedforward feedforward_dim mlp_dim d_inner hidden_ff",
            "architecture.n_layer": "layers num_blocks n_blocks depth",
            "architecture.n_head": "heads nhead attn_heads",
            "architecture.d_model": "emb_dim embedding_size embed_size d_embed d_embedding n_embed",
            "architecture.context": "max_len context_len context_size ctx_len ctx_length seqlen",
            "recipe.world_size": "num_devices n_devices devices num_processes",
            "recipe.beta1": "b1",
            "recipe.beta2": "b2",
            "machine.gpu_name": "gpu_name gpu_type",
        }.items()
        for name in names.split()
    },
}
_PARAMETERS = (
    "n_params",
    "num_params",
    "num_parameters",
    "n_parameters",
    "total_params",
    "total_parameters",
    "params_total",
    "model_params",
    "model_parameters",
    "param_count",
    "parameter_count",
)
_ACCUMULATION = (
    "gradient_accumulation_steps",
    "gradient_accumulation",
    "grad_accum_steps",
    "grad_accumulation_steps",
    "grad_accum",
    "accumulate_grad_batches",
    "accumulation_steps",
    "accum_steps",
)
_EPOCHS = ("num_train_epochs", "num_epochs", "max_epochs", "n_epochs", "epochs")
_TOKENS_PER_STEP = ("tokens_per_step", "tokens_per_iter", "total_batch_size_tokens", "global_batch_tokens")
_TOKENS_PLANNED = ("max_tokens", "total_tokens_planned", "num_tokens_planned", "token_budget", "tokens_planned")
_PRIVATE = ("user", "mail", "host", "token_key", "api_key", "password", "secret")
_PATHS = ("recipe.dataset", "recipe.init_from", "recipe.run_name", "machine.gpu_name")


def base_name(text: str) -> str:
    """Return a name that may be a path, without the folders of an absolute one: they are the machine's, or a person's.

    Examples
    --------
    >>> base_name("/home/somebody/data/fineweb"), base_name("HuggingFaceFW/fineweb")
    ('fineweb', 'HuggingFaceFW/fineweb')
    """
    if text.startswith(("/", "~")) or "://" in text:
        return PurePosixPath(text).name
    if len(text) > 2 and text[1] == ":" and text[2] in "\\/":
        return PureWindowsPath(text).name
    return text


def settings_of(
    values: Mapping[str, Known[Any]], prefix: str
) -> tuple[dict[str, Quantity[Any]], tuple[Problem, ...], dict[str, Known[Any]]]:
    """Return what loose names say: settings under canonical keys, what was wrong, and facts without a canonical key.

    Parameters
    ----------
    values : mapping
        Names, with dots or slashes where they were nested, to values with their places.
    prefix : str
        What the names of facts without a canonical key begin with.

    Notes
    -----
    ``gradient_accumulation_steps`` counts for each process in every framework that uses the name but nanoGPT; where the
    number of processes is not said, it is Unknown.
    """
    flat = _leaves(values)
    found, problems = canonical(flat, _MORE)
    for key in _PATHS:
        quantity = found.get(key)
        if isinstance(quantity, Known):
            found[key] = Known(base_name(str(quantity.value)), quantity.source)
    noted: dict[str, Known[Any]] = {}
    _parameters(flat, found)
    _accumulation(flat, found)
    for names, key in ((_TOKENS_PER_STEP, "logged.tokens_per_step"), (_TOKENS_PLANNED, "logged.tokens_planned")):
        given = next((flat[n] for n in names if n in flat), None)
        if given is not None and given.value not in (None, "", 0, -1):
            found[key], problem = checked(key, given)
            problems = (*problems, problem) if problem is not None else problems
    for name in _EPOCHS:
        if name in flat and isinstance(flat[name].value, int | float | str):
            noted[f"{prefix}.{name}"] = flat[name]
    return found, problems, noted


def _leaves(values: Mapping[str, Known[Any]]) -> dict[str, Known[Any]]:
    """Return values under the last part of their names; where parts disagree, none is taken."""
    flat: dict[str, Known[Any]] = {}
    top: dict[str, Known[Any]] = {}
    clash: set[str] = set()
    for whole, one in values.items():
        if any(word in whole.lower() for word in _PRIVATE):
            continue
        leaf = whole.replace("/", ".").rpartition(".")[2].strip().lower().replace("-", "_").replace(" ", "_")
        if isinstance(one.value, list | dict | tuple):
            continue
        is_top = "." not in whole and "/" not in whole
        if is_top:
            top[leaf] = one  # the one at the top level is the run's
        elif leaf in flat and flat[leaf].value != one.value:
            clash.add(leaf)
        else:
            flat.setdefault(leaf, one)
    return {**{leaf: one for leaf, one in flat.items() if leaf not in clash}, **top}


def _parameters(flat: Mapping[str, Known[Any]], found: dict[str, Quantity[Any]]) -> None:
    given = next((flat[n] for n in _PARAMETERS if n in flat), None)
    if given is None or isinstance(given.value, bool):
        return
    try:
        count = float(str(given.value).replace(",", "").replace("_", ""))
    except ValueError:
        return
    if 1_000 <= count < 1e15 and count == int(count):
        found["logged.parameters"] = Known((int(count), int(count)), given.source)


def _accumulation(flat: Mapping[str, Known[Any]], found: dict[str, Quantity[Any]]) -> None:
    given = next((flat[n] for n in _ACCUMULATION if n in flat), None)
    if given is None:
        return
    count, _problem = checked("recipe.gradient_accumulation_steps", given)
    world = found.get("recipe.world_size")
    key = "recipe.gradient_accumulation_steps"
    if not isinstance(count, Known):
        found[key] = count
    elif isinstance(world, Known):
        found[key] = known(count.value * world.value, "accumulation steps of each process × processes", count, world)
    else:
        found[key] = Unknown(
            f"{given.source.place} says {count.value} for each process, and the number of processes is not said"
        )
