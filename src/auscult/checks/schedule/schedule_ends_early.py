from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known
from ..base import Clear, Found, NotApplicable, Verdict, change, check

LONG_SHARE = 0.20
"""A fifth of the run at the floor of the learning rate."""


@check("SCH002", "The learning rate sits at its floor for a long part of the run", "warning")
def schedule_ends_early(
    exam: Examination,
    max_steps: Known[int],
    decay_steps: Known[int],
    min_lr: Known[float],
    learning_rate: Known[float],
    schedule: Known[str],
) -> Verdict:
    """
    What it looks for
    -----------------
    A decay that ends with more than a fifth of the steps still to come.

    Why it matters
    --------------
    At the floor the loss hardly moves: the steps are paid for and buy little, and the flat curve is taken for saturation.

    What else could explain it
    --------------------------
    A run that was extended after its schedule had been set.

    What to do
    ----------
    Let the decay end with the run.

    References
    ----------
    Bergsma et al. 2025, "Straight to Zero", arXiv:2502.15938; science.md §4 ("LR decayed too early").
    """
    if schedule.value == "constant":
        return NotApplicable(say("the learning rate is constant by design"))
    if min_lr.value >= learning_rate.value:
        return NotApplicable(say("the floor is not below the peak (SCH003): nothing decays"))
    share = 1 - decay_steps.value / max_steps.value
    if share <= LONG_SHARE:
        return Clear(
            say("the decay ends at step {decay:count} of {steps:count}", decay=decay_steps.value, steps=max_steps.value)
        )
    return Found(
        message=say(
            "the decay ends at step {decay:count} of {steps:count}: {share:percent} of the run is at the floor of {floor:g}",
            decay=decay_steps.value,
            steps=max_steps.value,
            share=share,
            floor=min_lr.value,
        ),
        meaning=say("those steps buy little, and the curve looks saturated when only the learning rate is"),
        action=say(
            "set {decay} to {steps}, or stop the run there",
            decay=exam.word("decay_steps"),
            steps=exam.word("max_steps"),
        ),
        evidence=(decay_steps.source, max_steps.source),
        edits=change(
            exam,
            "decay_steps",
            decay_steps.value,
            max_steps.value,
            say("the schedule should end with the run"),
            "changes_result",
        ),
        numbers={"share_at_floor": share},
        headline=say("{share:percent} of the run is at the learning rate's floor", share=share),
    )
