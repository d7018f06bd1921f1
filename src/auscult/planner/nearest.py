"""What comes nearest to a request that no choice can meet: another optimiser, more cards, or a smaller model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..architectures import build
from ..facts.parameters import count_parameters
from ..prose import Prose, say
from .machine import Machine
from .search import Freedom, search
from .shapes import shapes_for
from .targets import Target

__all__ = ["Nearest", "nearest_targets"]

MAX_CARDS = 4096
SMALLEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Nearest:
    """A request that departs from the one made in one thing, and can be met."""

    target: Target
    machine: Machine
    freedom: Freedom
    changed: Prose


def nearest_targets(target: Target, machine: Machine, freedom: Freedom, context: int, family: str) -> Iterator[Nearest]:
    """Yield the nearest requests that can be met, the mildest change first.

    Parameters
    ----------
    target : Target
        The model that does not fit.
    machine : Machine
        The cards it does not fit on.
    freedom : Freedom
        What the search could choose.
    context : int
        Length of a sequence [tokens].
    family : str
        Whose shapes a smaller model takes.
    """
    freest = replace(freedom, checkpointing=("none", "selective", "full"), compiled=(True, False))
    if freest != freedom and _fits(target, machine, freest, context):
        yield Nearest(target, machine, freest, say("checkpointing and compilation chosen freely"))
    if freedom.optimizer == "adamw":
        light = replace(freest, optimizer="adamw_8bit")
        if _fits(target, machine, light, context):
            yield Nearest(target, machine, light, say("8-bit AdamW instead of AdamW"))
    cards = _cards_needed(target, machine, freest, context)
    if cards is not None:
        changed = say("{need} cards instead of {have}", need=cards.count, have=machine.count)
        yield Nearest(target, cards, freest, changed)
    smaller = _largest_that_fits(target, machine, freest, context, family)
    if smaller is not None:
        have, want = count_parameters(smaller.model).total, count_parameters(target.model).total
        changed = say("{have:si} parameters instead of {want:si}", have=have, want=want)
        yield Nearest(smaller, machine, freest, changed)


def _fits(target: Target, machine: Machine, freedom: Freedom, context: int) -> bool:
    """Return whether a single sequence on every card fits."""
    found = search(target.model, machine, tokens_per_step=context * machine.count, context=context, freedom=freedom)
    return any(not choice.tight for choice in found.choices)


def _cards_needed(target: Target, machine: Machine, freedom: Freedom, context: int) -> Machine | None:
    count = 2 ** math.ceil(math.log2(machine.count + 1))
    while count <= MAX_CARDS:
        more = replace(machine, count=count)
        if _fits(target, more, freedom, context):
            return more
        count *= 2
    return None


def _largest_that_fits(target: Target, machine: Machine, freedom: Freedom, context: int, family: str) -> Target | None:
    """Return the largest model of the family that the machine holds, by bisection on the logarithm of its size."""
    family = target.model.family if target.model.family in ("gpt2", "llama", "qwen3") else family

    def shaped(size: float) -> Target:
        config = shapes_for(round(size), family=family, context=context)[0]
        return Target(config, build(config), say("the largest that fits"))

    low, high = math.log(SMALLEST), math.log(count_parameters(target.model).total)
    if high <= low or not _fits(shaped(math.exp(low)), machine, freedom, context):
        return None
    while high - low > 0.05:
        middle = (low + high) / 2
        low, high = (middle, high) if _fits(shaped(math.exp(middle)), machine, freedom, context) else (low, middle)
    return shaped(math.exp(low))
