from __future__ import annotations

from ...examination import Examination
from ...prose import Prose, say
from ...run import Known, Unknown, value_of
from ..base import Clear, Found, Verdict, check

REASONS = {
    "out_of_memory": "the card ran out of memory",
    "interrupted": "it was interrupted from the keyboard",
    "killed": "it was killed",
    "traceback": "it raised an exception",
    "nan_loss": "its loss was no longer finite (NUM001)",
}


@check("LOG004", "The log ends before the planned last step", "info")
def run_stopped_early(
    exam: Examination, last_step: Known[int], max_steps: Known[int], is_complete: Known[bool]
) -> Verdict:
    """
    What it looks for
    -----------------
    A log whose last step is below the planned number of steps.

    Why it matters
    --------------
    A run that is still going, or was stopped, cannot be judged by its last loss: the learning rate had not finished decaying.

    What else could explain it
    --------------------------
    The run is still going, or the log was cut when it was copied.

    What to do
    ----------
    Let it finish, or resume it.

    References
    ----------
    —
    """
    last, planned = last_step.value, value_of(exam.steps_planned) or max_steps.value
    if is_complete.value:
        return Clear(say("the log reaches step {last:count} of {planned:count}", last=last, planned=planned))
    ends = last_step.source.line or 0
    notice = next((n for kind in REASONS for n in exam.run.notices if n.kind == kind and n.last_line >= ends), None)
    why = REASONS[notice.kind] if notice else "it is still going, was stopped, or the log was cut"
    rate = exam.learning_rate_at(last)
    phase = _phase(exam, last)
    return Found(
        headline=say("the log ends at step {last:count} of {planned:count}", last=last, planned=planned),
        message=say(
            "the log ends at step {last:count} of {planned:count} ({share:percent}): {why}",
            last=last,
            planned=planned,
            share=last / planned,
            why=why,
        ),
        meaning=say(
            "the last loss is not the final one: {left:count} steps are to come{phase}",
            left=planned - last,
            phase=str(phase),
        ),
        action=say("as NUM001 says")
        if notice and notice.kind == "nan_loss"
        else say("let it finish or resume it, before the recipe is judged"),
        evidence=(last_step.source, max_steps.source, *((notice.source,) if notice else ())),
        numbers={"last_step": last, "planned": planned, "share": last / planned, "learning_rate": value_of(rate)},
        severity="warning" if notice and notice.kind in ("out_of_memory", "traceback") else None,
    )


def _phase(exam: Examination, last: int) -> Prose:
    """Say where the learning rate stands at the last step."""
    recipe = exam.run.recipe
    rate, peak, schedule = exam.learning_rate_at(last), recipe.learning_rate, recipe.schedule
    if isinstance(rate, Unknown) or isinstance(peak, Unknown) or isinstance(schedule, Unknown):
        return say("")
    if schedule.value == "constant":
        return say("; the learning rate is constant at {rate:.3g}", rate=rate.value)
    if last < (value_of(recipe.warmup_steps) or 0):
        return say(
            "; the learning rate is {rate:.3g} of a peak of {peak:g}, still warming up",
            rate=rate.value,
            peak=peak.value,
        )
    floor = value_of(recipe.min_lr)
    if rate.value >= peak.value * (1 - 1e-6) and (floor is None or floor < peak.value):
        return say("; the learning rate is at its peak of {peak:g}, before its decay", peak=peak.value)
    if last < (value_of(recipe.decay_steps) or 0) and rate.value < peak.value:
        return say(
            "; the learning rate is {rate:.3g} of a peak of {peak:g}, still decaying", rate=rate.value, peak=peak.value
        )
    return say("; the learning rate is at its floor of {rate:.3g}", rate=rate.value)
