from __future__ import annotations

from ...examination import Examination
from ...facts.throughput import IMPOSSIBLE_MFU, attainable_mfu
from ...hardware import Gpu
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Effect, Found, NotApplicable, Verdict, check

LOW_MFU = 0.25
"""Public runs of this kind reach 37 to 59 % on an A100, 33 to 46 % on an H100, 55 to 80 % on GeForce cards (planners.md §2)."""
SMALL_MODEL = 20_000_000
"""Below this, steps are bound by launches, not by arithmetic."""


@check("THR004", "The card does much less than it can", "warning")
def card_underused(exam: Examination, mfu: Known[float], gpu: Known[Gpu], parameters_for_laws: Known[int]) -> Verdict:
    """
    What it looks for
    -----------------
    Less than 25 % of the card's own peak, for a model large enough to use it.

    Why it matters
    --------------
    Time and money: the same run would be done in a fraction of the hours.

    What else could explain it
    --------------------------
    Small models are bound by launches. A slow data loader, no compilation, tiny micro-batches, several programs on the card.

    What to do
    ----------
    torch.compile, a larger micro-batch with fewer accumulation steps (same tokens per step), flash attention, a look at the
    data loader.

    References
    ----------
    Attainable figures: measured_runs.csv (MosaicML, litgpt, nanoGPT and others).
    """
    if parameters_for_laws.value < SMALL_MODEL:
        return NotApplicable(say("a model of {n:si} parameters is bound by launches", n=parameters_for_laws.value))
    if mfu.value > IMPOSSIBLE_MFU:
        return NotApplicable(say("the log is not from this card (THR001)"))
    if mfu.value >= LOW_MFU:
        return Clear(say("{mfu:percent} of the card's own peak", mfu=mfu.value))
    low, high = attainable_mfu(gpu.value.name)
    steps, done = value_of(exam.run.recipe.max_steps), value_of(exam.last_step) or 0
    seconds, compiled = value_of(exam.step_time_s), value_of(exam.run.recipe.compile)
    left = max((steps or 0) - done, 0) or steps
    hours = left * seconds * (1 - mfu.value / low) / 3600 if left and seconds else None
    return Found(
        headline=say("{mfu:percent} of the card's own peak", mfu=mfu.value),
        message=say("the run reaches {mfu:percent} of the card's own peak", mfu=mfu.value),
        meaning=say("public runs reach {low:percent} to {high:percent} on such a card", low=low, high=high),
        action=say(
            "{compile}raise the micro-batch at the same tokens per step, and look at the data loader",
            compile="" if compiled else "compile, ",
        ),
        evidence=tuple(
            source
            for quantity in (exam.step_times, exam.mfu_logged)
            if isinstance(quantity, Known)
            for source in quantity.source.leaves()
        )[:2],
        numbers={"mfu": mfu.value},
        effect=Effect("hours", -hours, -hours, 0.0) if hours else Effect("clarity"),
    )
