"""The micro-batch that fits: exactly the same tokens per step, the largest that the card holds, and why the next is refused."""

from __future__ import annotations

from dataclasses import dataclass

from ..examination import Examination, Shape
from ..facts.memory import USABLE_FRACTION
from ..facts.memory import TrainingMemory as MemoryEstimate
from ..prose import Prose, say
from ..run import Quantity, Unknown, known, value_of

__all__ = ["Fit", "Refusal", "fit_micro_batch"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A choice that does not fit, and why."""

    micro_batch: int
    gradient_accumulation_steps: int
    memory: MemoryEstimate
    reason: Prose


@dataclass(frozen=True, slots=True)
class Fit:
    """Micro-batch × accumulation for exactly the same tokens per step.

    ``memory`` is its estimate, ``limit_bytes`` the usable memory of the card, ``refused`` the next larger choice when
    that does not fit.
    """

    micro_batch: int
    gradient_accumulation_steps: int
    memory: MemoryEstimate
    limit_bytes: int
    refused: Refusal | None


def fit_micro_batch(exam: Examination, shape: Shape | None, dropout: float) -> Quantity[Fit]:
    """Choose the micro-batch for a shape on this run's card.

    Parameters
    ----------
    exam : Examination
        Gives the card, the dtype, compilation and the tokens per step.
    shape : Shape or None
        The model to be trained; the run's own, as its blueprint draws it, where there is none.
    dropout : float
        Its dropout.

    Returns
    -------
    Known or Unknown Fit
        The present micro-batch is kept when it fits; otherwise the largest divisor of the sequences per step that does.
        Unknown when the card, the batch or the memory is not known, or when not even one sequence fits.
    """
    recipe = exam.run.recipe
    for quantity in (exam.memory_limit_bytes, recipe.batch_size, recipe.gradient_accumulation_steps):
        if isinstance(quantity, Unknown):
            return quantity
    memory_bytes, batch, steps = (
        value_of(exam.memory_limit_bytes) or 0,
        value_of(recipe.batch_size) or 1,
        value_of(recipe.gradient_accumulation_steps) or 1,
    )
    limit = round(USABLE_FRACTION * memory_bytes)
    world = value_of(exam.processes) or 1
    sequences = batch * steps
    choices = (
        [m for m in range(1, sequences + 1) if sequences % m == 0 and (sequences // m) % world == 0]
        if sequences <= 1_000_000
        else [batch]
    )
    if not choices:
        return Unknown(
            f"{steps} accumulation steps cannot be shared by {world} processes, and no micro-batch changes that"
        )
    sizes: dict[int, MemoryEstimate] = {}
    for choice in choices:
        estimate = exam.memory_for(shape, choice, dropout)
        if isinstance(estimate, Unknown):
            return estimate
        sizes[choice] = estimate.value
        if estimate.value.total > limit and choice > batch:
            break
    fitting = [choice for choice, estimate in sizes.items() if estimate.total <= limit]
    if not fitting:
        smallest = min(sizes.values(), key=lambda estimate: estimate.total, default=None)
        need = f"{smallest.total / 2**30:.1f} GiB" if smallest else "more"
        return Unknown(f"not even one sequence fits: it needs {need} of {limit / 2**30:.1f} GiB")
    chosen = batch if batch in fitting else max(fitting)
    larger = next((choice for choice in sorted(sizes) if choice > chosen), None)
    refused = None
    if larger is not None and sizes[larger].total > limit:
        reason = say(
            "{micro} × {steps} needs {need:gib} of {limit:gib}",
            micro=larger,
            steps=sequences // larger,
            need=sizes[larger].total,
            limit=limit,
        )
        refused = Refusal(larger, sequences // larger, sizes[larger], reason)
    return known(
        Fit(chosen, sequences // chosen, sizes[chosen], limit, refused),
        "largest micro-batch that fits at the same tokens per step",
    )
