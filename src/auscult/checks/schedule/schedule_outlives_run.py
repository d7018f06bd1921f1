from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known, Unknown, value_of
from ..base import CannotTell, Clear, Effect, Found, NotApplicable, Verdict, change, check

HIGH_SHARE = 0.30
"""Ending above 30 % of the peak leaves most of the annealing gain unclaimed."""
ANNEALING_GAIN = (-0.094, -0.077, -0.05)
"""Loss change of a decay branch against a constant rate at equal tokens [nats]: 180 Gemstones pairs mean −0.077, MPL fits
−0.072 to −0.094 for 25M to 400M (science.md §1d)."""


@check("SCH001", "The learning rate will not have decayed when the run ends", "warning")
def schedule_outlives_run(
    exam: Examination, learning_rate: Known[float], max_steps: Known[int], decay_steps: Known[int], schedule: Known[str]
) -> Verdict:
    """
    What it looks for
    -----------------
    A learning rate still above 30 % of its peak at the last planned step, because the decay is planned over more steps than
    the run has.

    Why it matters
    --------------
    Annealing is worth 0.05 to 0.09 nats in models of this kind; a run that ends before it leaves them on the table, and its
    curve looks like a plateau.

    What else could explain it
    --------------------------
    The run may be the first part of a longer one.

    What to do
    ----------
    Set ``lr_decay_iters`` to ``max_iters``, or branch a short decay from the last checkpoint.

    References
    ----------
    Hägele et al. 2024, arXiv:2405.18392; Tissue et al. 2024, arXiv:2408.11029; Luo et al. 2025, arXiv:2503.12811.
    """
    if schedule.value == "constant":
        return NotApplicable(say("the learning rate is constant by design"))
    floor = value_of(exam.run.recipe.min_lr)
    if floor is not None and floor >= learning_rate.value:
        return NotApplicable(say("the floor is not below the peak (SCH003): nothing decays"))
    end = exam.learning_rate_at(max_steps.value)
    if isinstance(end, Unknown):
        return CannotTell(say("{reason}", reason=end.reason))
    share = end.value / learning_rate.value if learning_rate.value else 0.0
    if decay_steps.value <= max_steps.value or share <= HIGH_SHARE:
        return Clear(say("the learning rate ends at {share:percent} of its peak", share=share))
    low, middle, high = ANNEALING_GAIN
    outside = exam.outside_fits(parameters=value_of(exam.parameters_for_laws), tokens=value_of(exam.tokens_planned))
    return Found(
        message=say(
            "the decay is planned over {decay:count} steps but the run has {steps:count}: the learning rate ends at {share:percent} of its peak",
            decay=decay_steps.value,
            steps=max_steps.value,
            share=share,
        ),
        meaning=say(
            "the gain of annealing, {low:.2f} to {high:.2f} nats, is left unclaimed, and the curve will look flat before its time",
            low=-high,
            high=-low,
        )
        if outside is None
        else say("the gain of annealing is left unclaimed, and the curve will look flat before its time"),
        action=say(
            "set {key} = {steps}, or branch a decay over the last 10 to 20 % of the steps",
            key=exam.word("decay_steps"),
            steps=max_steps.value,
        ),
        evidence=(decay_steps.source, max_steps.source),
        numbers={"learning_rate_share_at_end": share},
        effect=Effect("nats", middle, low, high) if outside is None else Effect("nats", reason=outside),
        headline=say("the learning rate ends at {share:percent} of its peak: decay outlives the run", share=share),
        edits=change(
            exam,
            "decay_steps",
            decay_steps.value,
            max_steps.value,
            say("the schedule should end with the run"),
            "changes_result",
        ),
    )
