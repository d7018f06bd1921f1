from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known
from ..base import Clear, Found, NotApplicable, Verdict, change, check


@check("SCH003", "The floor of the learning rate is not below its peak", "warning")
def floor_above_peak(
    exam: Examination, learning_rate: Known[float], min_lr: Known[float], schedule: Known[str]
) -> Verdict:
    """
    What it looks for
    -----------------
    ``min_lr`` at or above ``learning_rate``.

    Why it matters
    --------------
    The cosine then rises or stays level instead of decaying.

    What else could explain it
    --------------------------
    A peak that was lowered while the floor kept its default.

    What to do
    ----------
    Set ``min_lr`` to a tenth of ``learning_rate`` (nanoGPT's own advice, after Chinchilla).

    References
    ----------
    nanoGPT train.py: "should be ~= learning_rate/10 per Chinchilla".
    """
    if schedule.value == "constant":
        return NotApplicable(say("the learning rate is constant by design"))
    if min_lr.value < learning_rate.value:
        return Clear(say("{floor:g} is below {peak:g}", floor=min_lr.value, peak=learning_rate.value))
    tenth = float(f"{learning_rate.value / 10:.12g}")
    floor, peak = exam.word("min_lr"), exam.word("learning_rate")
    return Found(
        message=say(
            "{floor} {low:g} is not below {peak} {high:g}",
            floor=floor,
            low=min_lr.value,
            peak=peak,
            high=learning_rate.value,
        ),
        meaning=say("the schedule does not decay the learning rate"),
        action=say("set {floor} to {tenth:g}", floor=floor, tenth=tenth),
        evidence=(min_lr.source, learning_rate.source),
        edits=change(
            exam, "min_lr", min_lr.value, tenth, say("a tenth of the peak, as nanoGPT advises"), "changes_result"
        ),
        numbers={"min_lr": min_lr.value, "learning_rate": learning_rate.value},
        headline=say(
            "{floor} {low:g} is not below {peak} {high:g}",
            floor=floor,
            low=min_lr.value,
            peak=peak,
            high=learning_rate.value,
        ),
    )
