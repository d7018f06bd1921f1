from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known, Notice
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

KINDS = {
    "interrupted": "an interruption from the keyboard",
    "killed": "a signal that ends programs",
    "traceback": "a Python traceback",
}


@check("LOG022", "The log shows an exception or a signal", "info")
def run_stopped_abnormally(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A traceback, KeyboardInterrupt, "Killed" or SIGTERM in the log. (Lack of memory is MEM002's.)

    Why it matters
    --------------
    When no record follows, the program ended there and not by its own plan: the last loss is not a final one.

    What else could explain it
    --------------------------
    An exception that was caught, as compilers print them, or an earlier attempt in the same file.

    What to do
    ----------
    Read the last line of the traceback; resume from the last checkpoint.

    References
    ----------
    —
    """
    found = noticed(exam, *KINDS)
    if not found:
        if not exam.has_log:
            return NotApplicable(say("there is no log"))
        return Clear(say("the log shows neither an exception nor a signal"))
    kinds = [n.kind for n in found]
    memory = noticed(exam, "out_of_memory")
    went_on = all(_went_on(exam, n) for n in found)
    asked = any(n.kind == "interrupted" and (went_on or not _went_on(exam, n)) for n in found)
    told = [n for n in found if not (asked and n.kind == "traceback")]  # KeyboardInterrupt comes with one
    crashed = "traceback" in kinds and not asked and not went_on and not memory
    return Found(
        headline=say("the log shows {what}", what=" and ".join(KINDS[n.kind] for n in told)),
        message=say(
            "the log shows {what}",
            what=" and ".join(
                KINDS[n.kind] + (f" ({n.count:,} times)" if n.count > 1 else "") + f" at {n.source.place}" for n in told
            ),
        ),
        meaning=say("records follow: the run went on, or was started again")
        if went_on
        else say("the run ended for lack of memory (MEM002)")
        if memory
        else say("the run was ended by hand: its last loss is not a final one")
        if asked
        else say("the run ended there, and not by its own plan: its last loss is not a final one"),
        action=say("nothing")
        if went_on
        else say("as MEM002 says")
        if memory
        else say("read the last line of the traceback and mend its cause, then resume from the last checkpoint")
        if crashed
        else say("resume from the last checkpoint, if the run was to go on"),
        evidence=tuple(n.source for n in found),
        numbers={n.kind: n.count for n in found},
        severity="warning" if crashed else None,
    )


def _went_on(exam: Examination, notice: Notice) -> bool:
    """Return whether a record follows in the same file."""
    last = exam.last_step
    if not isinstance(last, Known) or last.source.file != notice.source.file:
        return False
    return (last.source.line or 0) > notice.last_line > 0
