from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known
from ..base import Clear, Found, NotApplicable, Verdict, change, check

USUAL_SHARE = 0.036
"""llm.c's GPT-2 124M: 700 of 19,560 steps (modded-nanogpt records/track_1_short/2024-10-13_llmc)."""


@check("SCH004", "The warm-up lasts as long as the run", "warning")
def warmup_outlives_run(
    exam: Examination, warmup_steps: Known[int], max_steps: Known[int], decay_steps: Known[int], schedule: Known[str]
) -> Verdict:
    """
    What it looks for
    -----------------
    A warm-up that does not end before the run, or before the decay, does.

    Why it matters
    --------------
    The learning rate never reaches its peak and never decays: most of the run is trained at a fraction of what was meant.

    What else could explain it
    --------------------------
    A short trial with the warm-up of a long run, often nanoGPT's default of 2,000 steps.

    What to do
    ----------
    A few per cent of the steps.

    References
    ----------
    nanoGPT train.py get_lr (3adf61e); llm.c's run of GPT-2 124M warms up over 3.6 % of its steps.
    """
    if schedule.value == "constant":
        return NotApplicable(say("the learning rate is constant by design"))
    end = min(max_steps.value, decay_steps.value)
    if warmup_steps.value < end:
        return Clear(say("warm-up over {share:percent} of the steps", share=warmup_steps.value / max_steps.value))
    usual = max(round(USUAL_SHARE * max_steps.value), 1)
    return Found(
        headline=say(
            "warm-up of {warmup:count} in a run of {steps:count} steps",
            warmup=warmup_steps.value,
            steps=max_steps.value,
        ),
        message=say(
            "the warm-up lasts {warmup:count} steps, the run {steps:count}, the decay until {decay:count}",
            warmup=warmup_steps.value,
            steps=max_steps.value,
            decay=decay_steps.value,
        ),
        meaning=say("the learning rate never reaches its peak and never decays"),
        action=say("set {key} = {usual}, a few per cent of the steps", key=exam.word("warmup_steps"), usual=usual),
        evidence=(warmup_steps.source, max_steps.source),
        numbers={"warmup_steps": warmup_steps.value, "max_steps": max_steps.value},
        edits=change(
            exam,
            "warmup_steps",
            warmup_steps.value,
            usual,
            say("the warm-up should end early in the run"),
            "changes_result",
        ),
    )
