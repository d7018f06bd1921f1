"""What a person asks of a plan, and the numbers as people write them: ``124M``, ``10.5B``, ``3 days``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import UsageError
from ..facts.setup import Checkpointing, Optimizer, Precision
from ..hardware import Gpu

__all__ = ["Request", "parse_amount", "parse_hours"]

_SUFFIX = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_AMOUNT = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)\s*([kKmMbBgGtT]?)", re.ASCII)
_HOURS = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(minutes?|min|hours?|h|days?|d|weeks?|w)?", re.ASCII)
_PER_UNIT = {"m": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0}
MAX_AMOUNT = 10**16


@dataclass(frozen=True, slots=True)
class Request:
    """A question to the planner; None where the person leaves the choice to it.

    Attributes
    ----------
    gpu, gpu_count
        The machine: one kind of card, and how many.
    like, params, loss
        The target: a known model's name, a parameter count, or a loss [nats/token]. At most one, unless a recipe is given.
    tokens, tokens_per_step, context : int or None
        Of the whole run, of one optimiser step, of one sequence.
    hours : float or None
        Wall-clock time that may be spent [h].
    dataset : str or None
        Where the tokens come from; a loss can only be aimed at on a corpus with known runs.
    family : str
        Whose architecture is drawn where a size is the target.
    precision, compiled, checkpointing, optimizer, dropout
        Fixed by the person, or free.
    learning_rate : float or None
        The recipe's own peak, which a plan keeps.
    price_per_gpu_hour : float or None
        What a card costs an hour, in the person's currency.
    """

    gpu: Gpu
    gpu_count: int = 1
    like: str | None = None
    params: int | None = None
    loss: float | None = None
    tokens: int | None = None
    tokens_per_step: int | None = None
    context: int | None = None
    hours: float | None = None
    dataset: str | None = None
    family: str = "gpt2"
    precision: Precision | None = None
    compiled: bool | None = None
    checkpointing: Checkpointing | None = None
    optimizer: Optimizer = "adamw"
    dropout: float = 0.0
    learning_rate: float | None = None
    price_per_gpu_hour: float | None = None

    def __post_init__(self) -> None:
        if self.gpu_count < 1:
            raise UsageError(f"--gpu: expected at least one card, found {self.gpu_count}.")
        targets = [name for name in ("like", "params", "loss") if getattr(self, name) is not None]
        if len(targets) > 1:
            names = " and ".join(f"--{name}" for name in targets)
            raise UsageError(f"{names} each name a target. Next: give one of them.")


def parse_amount(text: str, option: str, *, least: int = 1) -> int:
    """Return a whole amount as people write it.

    Raises
    ------
    UsageError
        When it is none, or out of all proportion.

    Examples
    --------
    >>> parse_amount("124M", "--params"), parse_amount("5.2B", "--tokens"), parse_amount("524,288", "--tokens-per-step")
    (124000000, 5200000000, 524288)
    """
    found = _AMOUNT.fullmatch(text.strip())
    value = float(found[1].replace(",", "").replace("_", "")) * _SUFFIX[found[2].lower()] if found else math.nan
    if not least <= value <= MAX_AMOUNT:
        raise UsageError(f"{option}: expected an amount such as 124M or 524288, found {text!r}.")
    return round(value)


def parse_hours(text: str, option: str) -> float:
    """Return a duration in hours [h].

    Raises
    ------
    UsageError
        When it is none.

    Examples
    --------
    >>> parse_hours("12", "--hours"), parse_hours("2 days", "--hours"), parse_hours("90min", "--hours")
    (12.0, 48.0, 1.5)
    """
    found = _HOURS.fullmatch(text.strip().lower())
    hours = float(found[1]) * _PER_UNIT[(found[2] or "h")[0]] if found else math.nan
    if not 0 < hours < 1e6:
        raise UsageError(f"{option}: expected hours, or a duration such as 90min or 2 days, found {text!r}.")
    return hours
