"""A changed recipe on resume: what of the saved state it fits, and where the run would break off from what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..facts.schedule import scheduled_learning_rate
from ..recipe import TrainingRecipe, recipe_values

__all__ = ["Seams", "learning_rate_at", "seams"]

_SAME_MATHEMATICS = frozenset(
    {
        "name",
        "batch.micro_batch",
        "data.path",  # what lies there is compared by its fingerprint
        "data.verify",
        "machine.device",
        "machine.gpu",
        "machine.compile",
        "machine.attention",
        "machine.checkpointing",
        "machine.cross_entropy",
        "machine.sharding",
        "model.weights",  # where the run began
    }
)
"""Settings that change how a step is carried out, not what it computes."""
_BESIDE = ("log.", "evaluation.", "checkpoint.")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Seams:
    """What a changed recipe means for a run that is taken up again.

    Attributes
    ----------
    impossible : tuple of str
        Why the saved state cannot be taken up at all.
    changes : tuple of str
        What would not go on as it was, one sentence each.
    """

    impossible: tuple[str, ...]
    changes: tuple[str, ...]


def learning_rate_at(recipe: TrainingRecipe, step: int) -> float:
    """Return the learning rate of a recipe at a step, from 0.

    Examples
    --------
    >>> round(learning_rate_at(TrainingRecipe(), 100), 6)
    0.0006
    """
    schedule = recipe.schedule
    return scheduled_learning_rate(
        step,
        kind=schedule.kind,
        learning_rate=recipe.optimizer.learning_rate,
        min_lr=schedule.min_learning_rate,
        warmup_steps=schedule.warmup_steps,
        decay_steps=recipe.decay_steps,
        steps=schedule.steps,
    )


def seams(
    before: TrainingRecipe,
    now: TrainingRecipe,
    step: int,
    *,
    shapes_before: Mapping[str, Sequence[int]],
    shapes_now: Mapping[str, Sequence[int]],
    same_data: bool = True,
) -> Seams:
    """Compare the recipe of a checkpoint with the one it is to go on with.

    Parameters
    ----------
    before, now : TrainingRecipe
        Of the checkpoint, and as asked for.
    step : int
        Of the checkpoint.
    shapes_before, shapes_now : mapping
        Shape of every tensor of the two models.
    same_data : bool
        Whether the data has the fingerprint that it had.
    """
    old, new = _flat(recipe_values(before)), _flat(recipe_values(now))
    changed = [key for key in new if old.get(key) != new[key] and key not in _SAME_MATHEMATICS]
    changed = [key for key in changed if not key.startswith(_BESIDE)]
    impossible = list(_tensors(shapes_before, shapes_now))
    if not impossible and "optimizer.name" in changed:
        impossible.append(
            f"the optimiser was {before.optimizer.name} and is {now.optimizer.name}: the saved states are not those it needs"
        )
    if now.schedule.steps < step:
        impossible.append(f"the run is at step {step:,} and would have {now.schedule.steps:,} steps in all")
    changes = []
    rates = learning_rate_at(before, step), learning_rate_at(now, step)
    for key in changed:
        if key.startswith("schedule.") or key in ("optimizer.learning_rate", "optimizer.name"):
            continue  # told by the rate itself
        effect = _EFFECTS.get(key, "")
        changes.append(f"{key} was {old.get(key)} and is {new[key]}{f': {effect}' if effect else ''}")
    if any(key.startswith("schedule.") or key == "optimizer.learning_rate" for key in changed):
        jump = (
            ""
            if rates[0] == rates[1]
            else f": at step {step:,} the learning rate goes from {rates[0]:.3g} to {rates[1]:.3g}"
        )
        names = ", ".join(key for key in changed if key.startswith("schedule.") or key == "optimizer.learning_rate")
        changes.append(
            f"{names} changed{jump or f': the learning rate at step {step:,} stays {rates[0]:.3g}, what follows differs'}"
        )
    if not same_data:
        changes.append("the training data is not what it was: its fingerprint differs")
    return Seams(tuple(impossible), tuple(changes))


_EFFECTS = {
    "seed": "the order of the data changes, and some sequences are seen twice in this epoch, others not",
    "batch.tokens_per_step": "the steps so far had other tokens, so this step stands elsewhere in the data",
    "model.context": "sequences are cut elsewhere",
    "optimizer.beta1": "AdamW's averages were kept with the old one",
    "optimizer.beta2": "AdamW's averages were kept with the old one",
    "optimizer.momentum": "Muon's average was kept with the old one",
    "machine.dtype": "losses are rounded differently",
}


def _tensors(before: Mapping[str, Sequence[int]], now: Mapping[str, Sequence[int]]) -> Iterator[str]:
    told = [
        *(
            f"{name} is {_shape(before[name])} in the checkpoint and {_shape(now[name])} in the recipe"
            for name in now
            if name in before and tuple(before[name]) != tuple(now[name])
        ),
        *(f"{name} is not in the checkpoint" for name in now if name not in before),
        *(f"{name} is in the checkpoint and not in the recipe" for name in before if name not in now),
    ]
    if told:
        more = f", and {len(told) - _SHOWN:,} more" if len(told) > _SHOWN else ""
        yield f"{len(told):,} {'tensor differs' if len(told) == 1 else 'tensors differ'}: {'; '.join(told[:_SHOWN])}{more}"


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{path}{key}.")
        else:
            out[f"{path}{key}"] = value
    return out
