from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

REASONS = {
    "out_of_memory": "the card ran out of memory",
    "interrupted": "it was interrupted from the keyboard",
    "killed": "it was killed",
    "traceback": "it raised an exception",
}


@check("LOG021", "The run's files hold no metric at all", "warning")
def no_metrics(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A log, or a tracker's folder, without a single value of any metric.

    Why it matters
    --------------
    The run ended before it measured anything; there is nothing to judge but its recipe.

    What else could explain it
    --------------------------
    The metrics were written elsewhere, or the run has just begun.

    What to do
    ----------
    Mend what stopped it, and start it again.

    References
    ----------
    —
    """
    if not exam.has_log and not noticed(exam, *REASONS, "no_metrics", "no_history"):
        return NotApplicable(say("there is no log: this is a plan"))
    series = [s for s in exam.run.series if len(s)]
    if series:
        return Clear(say("the files hold {n} series", n=len(series)))
    if noticed(exam, "prose_not_a_log"):
        return NotApplicable(say("prose is not a log, and holds no run (LOG014)"))
    ended = noticed(exam, *REASONS)
    said = () if ended else noticed(exam, "no_metrics", "no_history")
    return Found(
        headline=say("no metric was ever written"),
        message=say("no metric was ever written: {why}", why=REASONS[ended[0].kind])
        if ended
        else say("{what}", what=next((n.detail for n in said if n.detail), "no metric was ever written")),
        meaning=say("nothing can be said about the training; only the recipe is judged"),
        action=say("look at the message there, mend its cause and start again")
        if ended
        else say("add the files that hold the metrics, or wait for the first ones"),
        evidence=tuple(n.source for n in (*ended, *said)),
        numbers={"reasons": [n.kind for n in ended]},
    )
