from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG010", "A part of the log is missing", "info")
def steps_jump(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A gap between two records that is twenty times as wide as usual and a twentieth of the run.

    Why it matters
    --------------
    What happened in between is not known: a spike, a restart, another learning rate.

    What else could explain it
    --------------------------
    A log that was shortened before it was published, or a process that printed nothing for a while.

    What to do
    ----------
    Add the missing part, if it exists.

    References
    ----------
    Gap: auscult.readers.log.
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "steps_jump")
    if not found:
        return Clear(say("no part of the log is missing between its first and its last record"))
    where = found[0].detail or "ahead"
    return Found(
        headline=say("the log jumps {where}", where=where),
        message=say("the log jumps {where}: there is no record in between", where=where),
        meaning=say("what happened there is not known, and the curve is judged without it"),
        action=say("add the missing part of the log, if it exists"),
        evidence=tuple(n.source for n in found),
        numbers={"gaps": sum(n.count for n in found)},
    )
