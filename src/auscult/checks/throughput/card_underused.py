from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Effect, Found, NotApplicable, Verdict, check

LOW_MFU = 0.25
"""Public runs of this kind reach 37 to 59 % on an A100, 33 to 46 % on an H100, 55 to 80 % on GeForce cards (planners.md §2)."""
ATTAINABLE_MFU = 0.40
SMALL_MODEL = 20_000_000
"""Below this, steps are bound by launches, not by arithmetic."""


@check("THR004", "The card does much less than it can", "warning")
def card_underused(exam: Examination, mfu: Known[float], parameters_for_laws: Known[int]) -> Verdict:
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
    if mfu.value >= LOW_MFU:
        return Clear(say("{mfu:percent} of the card's own peak", mfu=mfu.value))
    steps, seconds = value_of(exam.run.recipe.max_steps), value_of(exam.step_time_s)
    hours = steps * seconds * (1 - mfu.value / ATTAINABLE_MFU) / 3600 if steps and seconds else None
    return Found(
        headline=say("{mfu:percent} of the card's own peak", mfu=mfu.value),
        message=say("the run reaches {mfu:percent} of the card's own peak", mfu=mfu.value),
        meaning=say("public runs of this kind reach {low:percent} and more", low=ATTAINABLE_MFU),
        action=say("compile, raise the micro-batch at the same tokens per step, and look at the data loader"),
        evidence=tuple(mfu.source.leaves())[:3],
        numbers={"mfu": mfu.value},
        effect=Effect("hours", -hours, -hours, 0.0) if hours else Effect("clarity"),
    )
