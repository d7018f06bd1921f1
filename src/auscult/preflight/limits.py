"""What each setting of a recipe may be: its kind, taken from the dataclasses, and the range within which a value can be meant."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..readers.auscult_keys import rounded_count
from ..recipe import TrainingRecipe

__all__ = ["Kind", "kinds", "tables"]

_COUNT, _STEPS, _TOKENS = 10_000, 10**9, 10**15
_ALMOST_1 = math.nextafter(1.0, 0.0)
_RANGES: Mapping[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "model.n_layer": (1, _COUNT),
    "model.n_head": (1, _COUNT),
    "model.n_kv_head": (1, _COUNT),
    "model.d_model": (1, 1_000_000),
    "model.d_ff": (1, 10_000_000),
    "model.vocab_size": (2, 100_000_000),
    "model.context": (1, 100_000_000),
    "model.rope_theta": (1, 1e12),
    "model.dropout": (0, _ALMOST_1),
    "batch.tokens_per_step": (1, _TOKENS),
    "batch.micro_batch": (1, 1_000_000),
    "optimizer.learning_rate": (math.ulp(0.0), 100),
    "optimizer.beta1": (0, _ALMOST_1),
    "optimizer.beta2": (0, _ALMOST_1),
    "optimizer.eps": (math.ulp(0.0), 1),
    "optimizer.weight_decay": (0, 1000),
    "optimizer.momentum": (0, _ALMOST_1),
    "optimizer.grad_clip": (0, 1e9),
    "schedule.steps": (1, _STEPS),
    "schedule.warmup_steps": (0, _STEPS),
    "schedule.decay_steps": (1, _STEPS),
    "schedule.min_learning_rate": (0, 100),
    "evaluation.every_steps": (0, _STEPS),
    "evaluation.tokens": (1, _TOKENS),
    "checkpoint.every_steps": (1, _STEPS),
    "checkpoint.keep": (1, _COUNT),
    "log.every_steps": (1, _STEPS),
}
_ROUNDED = frozenset({"batch.tokens_per_step", "evaluation.tokens"})
"""Counts of tokens, which people also write as ``"0.5M"``."""
_MAX_TEXT = 4096
_SHOWN = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What a setting may be.

    Attributes
    ----------
    type : type
        ``int``, ``float``, ``bool`` or ``str``.
    choices : tuple of str
        The words that there are, where they are few.
    low, high : float
        The range of a number, both ends included.
    rounded : bool
        Whether a count may be written as people round it: ``"0.5M"``.
    """

    type: type
    choices: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    rounded: bool = False

    @property
    def words(self) -> str:
        """What is expected, for a message."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return "a string"
        if self.type is int:
            return f"a whole number from {self.low:,.0f} to {self.high:,.0f}"
        low = "above 0" if self.low == math.ulp(0.0) else f"from {self.low:g}"
        return f"a number {low} {'and below 1' if self.high == _ALMOST_1 else f'to {self.high:g}'}"

    def checked(self, value: Any) -> Any:
        """Return a value in this kind: whole floats count as integers, and integers as numbers.

        Raises
        ------
        ValueError
            When it is of another kind, out of range or none of the choices.

        Examples
        --------
        >>> kinds()["schedule.steps"].checked(1e3), kinds()["batch.tokens_per_step"].checked("0.5M")
        (1000, 500000)
        """
        if self.rounded and isinstance(value, str):
            value = rounded_count(value)
        if self.type is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 2**1000 else math.inf
        if not isinstance(value, self.type) or (isinstance(value, bool) and self.type is not bool):
            raise ValueError(self.words)
        if isinstance(value, str):
            if (self.choices and value not in self.choices) or not value.strip() or len(value) > _MAX_TEXT:
                raise ValueError(self.words)
        elif isinstance(value, int | float) and not isinstance(value, bool) and not self.low <= value <= self.high:
            raise ValueError(self.words)
        return value


@functools.cache
def tables() -> Mapping[str, Any]:
    """Return the tables of a recipe by name, with their dataclasses."""
    hints = get_type_hints(TrainingRecipe)
    return {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}


@functools.cache
def kinds() -> Mapping[str, Kind]:
    """Return what every setting may be, under ``table.key`` (``name`` and ``seed`` stand alone)."""
    found: dict[str, Kind] = {}
    for name, hint in get_type_hints(TrainingRecipe).items():
        if name in tables():
            inner = get_type_hints(tables()[name])
            found |= {f"{name}.{key}": _kind(f"{name}.{key}", each) for key, each in inner.items()}
        else:
            found[name] = _kind(name, hint)
    return found


def _kind(path: str, hint: Any) -> Kind:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(each for each in get_args(hint) if each is not type(None))
    if get_origin(hint) is Literal:
        return Kind(str, choices=get_args(hint))
    low, high = _RANGES.get(path, (-math.inf, math.inf))
    return Kind(hint, low=low, high=high, rounded=path in _ROUNDED)
