"""nanoGPT's settings: their defaults, what a value can be, and what they mean together.

The keys stand in configs, in echoes of a log and in W&B folders; only put together do they give a recipe. Defaults are
those of ``train.py`` at karpathy/nanoGPT 3adf61e; a value that comes from there says so in its source.
"""

from __future__ import annotations

import re
import reprlib
from typing import Any

from ..run import Known, Problem, Quantity, Source, Unknown, known
from .patterns import lazy
from .reading import Settings

__all__ = [
    "DEFAULTS",
    "DEFAULT_VOCAB",
    "FOUND_VOCAB",
    "MAX_OVERRIDE_CHARS",
    "SANE",
    "VOCABULARY",
    "WITH_DEFAULTS",
    "checked_key",
    "interpret",
    "sniff_keys",
]

VOCABULARY = "nanogpt"
WITH_DEFAULTS = "(defaults)"
"""A raw key whose presence says that ``train.py`` ran with these overrides, so that its defaults hold for the rest."""
FOUND_VOCAB = "(vocab_size)"
_NO_CONFIG = "no config was given: add the train_*.py"

DEFAULTS: dict[str, Any] = {
    "eval_interval": 2000,
    "log_interval": 1,
    "eval_iters": 200,
    "eval_only": False,
    "init_from": "scratch",
    "wandb_run_name": "gpt2",
    "dataset": "openwebtext",
    "gradient_accumulation_steps": 40,
    "batch_size": 12,
    "block_size": 1024,
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "dropout": 0.0,
    "bias": False,
    "learning_rate": 6e-4,
    "max_iters": 600_000,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.95,
    "grad_clip": 1.0,
    "decay_lr": True,
    "warmup_iters": 2000,
    "lr_decay_iters": 600_000,
    "min_lr": 6e-5,
    "dtype": "bfloat16",
    "compile": True,
}
MAX_OVERRIDE_CHARS = 1000
_ALL_KEYS = 20
"""So many of train.py's keys in a tracker's copy of the config prove that it ran; its default vocabulary then holds."""
DEFAULT_VOCAB = 50_304
"""``train.py``: "defaulting to vocab_size of GPT-2 to 50304 (50257 rounded up for efficiency)", when there is no meta.pkl."""

SANE: dict[str, tuple[type, float, float]] = {
    "n_layer": (int, 1, 10_000),
    "n_head": (int, 1, 10_000),
    "n_embd": (int, 1, 1_000_000),
    "block_size": (int, 1, 100_000_000),
    "batch_size": (int, 1, 1_000_000),
    "gradient_accumulation_steps": (int, 1, 1_000_000),
    "max_iters": (int, 1, 100_000_000),
    "warmup_iters": (int, 0, 100_000_000),
    "lr_decay_iters": (int, 1, 100_000_000),
    "eval_interval": (int, 1, 100_000_000),
    "eval_iters": (int, 1, 100_000_000),
    "log_interval": (int, 1, 100_000_000),
    "learning_rate": (float, 0, 100),
    "min_lr": (float, 0, 100),
    "weight_decay": (float, 0, 1000),
    "beta1": (float, 0, 0.999999999),
    "beta2": (float, 0, 0.999999999999),
    "grad_clip": (float, 0, 1e9),
    "dropout": (float, 0, 0.999999),
    "bias": (bool, 0, 1),
    "compile": (bool, 0, 1),
    "decay_lr": (bool, 0, 1),
    "eval_only": (bool, 0, 1),
    "dtype": (str, 0, 0),
    "dataset": (str, 0, 0),
    "init_from": (str, 0, 0),
    "wandb_run_name": (str, 0, 0),
}
_KIND = {int: "a whole number", float: "a number", bool: "True or False", str: "a string"}
_PRETRAINED = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
_KEY_LINE = lazy(
    r"^(?:n_layer|n_head|n_embd|block_size|batch_size|gradient_accumulation_steps|max_iters|learning_rate|lr_decay_iters"
    r"|warmup_iters|min_lr|eval_interval|eval_iters|dropout|wandb_run_name|out_dir|dataset|init_from)\s*=",
    re.M,
)
_SAME_NAME = (
    "learning_rate",
    "min_lr",
    "weight_decay",
    "beta1",
    "beta2",
    "grad_clip",
    "dropout",
    "dtype",
    "compile",
    "eval_interval",
    "eval_iters",
    "log_interval",
    "dataset",
    "init_from",
    "batch_size",
    "gradient_accumulation_steps",
)


def sniff_keys(text: str) -> float:
    """Return how much a text looks like a nanoGPT config, 0 to 1."""
    keys = {found.group() for found in _KEY_LINE.finditer(text)}
    return min(1.0, 0.25 * len(keys))


def checked_key(key: str, value: Any, source: Source) -> tuple[Quantity[Any], Problem | None]:
    """Return the value of a key of ``SANE`` in its kind, or Unknown with a problem when no run can have it."""
    kind, low, high = SANE[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    right = (
        isinstance(value, kind) and (kind is not int or not isinstance(value, bool)) if kind is not float else number
    )
    if right and (kind is str or kind is bool or low <= value <= high):
        return Known(float(value) if kind is float else value, source), None
    bounds = (
        f" from {low:,.0f} to {high:,.0f}" if kind is int else f" from {low:g} to {high:g}" if kind is float else ""
    )
    shown = reprlib.repr(value)
    problem = Problem("impossible_value", f"{key} = {shown}: expected {_KIND[kind]}{bounds}", source)
    return Unknown(f"{source.place} says {key} = {shown}, which no run can have"), problem


class _Values:
    """The value in force for each key."""

    def __init__(self, raw: Settings) -> None:
        self.raw = raw
        self.have_config = WITH_DEFAULTS in raw

    def get(self, key: str) -> Quantity[Any]:
        if key in self.raw:
            return self.raw[key]
        if not self.have_config:
            return Unknown(
                _NO_CONFIG if not self.raw.keys() - {FOUND_VOCAB} else "what was saved of the config lacks it"
            )
        return Known(
            DEFAULTS[key],
            Source(
                "default", formula=f"default of nanoGPT's train.py ({key} = {DEFAULTS[key]!r}), not set in the config"
            ),
        )


def interpret(raw: Settings) -> Settings:
    """Return the recipe that nanoGPT's keys mean, under canonical keys."""
    values = _Values(raw)
    shape = {key: values.get(key) for key in ("n_layer", "n_head", "n_embd")}
    bias, vocab = values.get("bias"), raw.get(FOUND_VOCAB, Unknown("the log does not print it"))
    init = values.get("init_from")
    if isinstance(init, Known) and init.value in _PRETRAINED:
        formula = f"nanoGPT from_pretrained({init.value!r})"
        for key, number in zip(shape, _PRETRAINED[init.value], strict=True):
            shape[key] = known(number, formula, init)
        bias, vocab = known(True, formula, init), known(50_257, formula, init)
    if isinstance(vocab, Unknown):
        vocab = _default_vocab(values)
    width = shape["n_embd"]
    decay = values.get("decay_lr")
    adamw = Source("default", formula="nanoGPT's configure_optimizers uses AdamW")
    return {
        "architecture.family": Known("gpt2", Source("default", formula="nanoGPT's model.py is GPT-2")),
        "architecture.n_layer": shape["n_layer"],
        "architecture.n_head": shape["n_head"],
        "architecture.n_kv_head": shape["n_head"],
        "architecture.d_model": width,
        "architecture.d_ff": (
            known(4 * width.value, "4 · n_embd (nanoGPT model.py MLP)", width) if isinstance(width, Known) else width
        ),
        "architecture.vocab_size": vocab,
        "architecture.context": values.get("block_size"),
        "architecture.tied": Known(True, Source("default", formula="nanoGPT ties lm_head to wte")),
        "architecture.bias": bias,
        "recipe.world_size": Unknown("a nanoGPT config does not say it: torchrun sets it"),
        "recipe.optimizer": Known("adamw", adamw),
        "recipe.schedule": (
            Known("cosine" if decay.value else "constant", decay.source) if isinstance(decay, Known) else decay
        ),
        "recipe.max_steps": _max_steps(values),
        "recipe.warmup_steps": values.get("warmup_iters"),
        "recipe.decay_steps": values.get("lr_decay_iters"),
        "recipe.run_name": values.get("wandb_run_name"),
        **{f"recipe.{key}": values.get(key) for key in _SAME_NAME},
    }


def _max_steps(values: _Values) -> Quantity[int]:
    only = values.get("eval_only")
    if isinstance(only, Known) and only.value:
        return Unknown(f"eval_only is set at {only.source.place}: nothing is trained")
    steps: Quantity[int] = values.get("max_iters")
    return steps


def _default_vocab(values: _Values) -> Quantity[int]:
    if not values.raw:
        return Unknown(_NO_CONFIG)
    dataset = values.get("dataset")
    if isinstance(dataset, Known) and re.search(r"char", dataset.value):
        return Unknown(
            f"the dataset {dataset.value!r} is character-level: its vocabulary is in meta.pkl, which is never unpickled"
        )
    if not values.have_config and len(values.raw.keys() & SANE.keys()) < _ALL_KEYS:
        return Unknown("the log does not print it")
    return Known(
        DEFAULT_VOCAB,
        Source("default", formula="nanoGPT's train.py defaults to vocab_size 50304 when the dataset has no meta.pkl"),
    )
