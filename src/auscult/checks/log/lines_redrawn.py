from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG007", "Progress bars were redrawn into the log", "info")
def lines_redrawn(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Records that were drawn again over themselves with carriage returns, as progress bars are.

    Why it matters
    --------------
    A step stands in the file many times, with values that were not final; one line of the file may hold thousands of draws.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Nothing for the diagnosis. tqdm's ``mininterval``, or no bar where the output is a file, keeps the log small.

    References
    ----------
    tqdm: ``mininterval``, ``disable=None`` (no bar where the output is no terminal).
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "redrawn")
    if not found:
        return Clear(say("no record was drawn over another"))
    count = sum(n.count for n in found)
    return Found(
        message=say("{n:count} draw{s} of a progress bar were drawn over", n=count, s="" if count == 1 else "s")
        if count != 1
        else say("one draw of a progress bar was drawn over"),
        meaning=say("the last draw of each step was kept; earlier draws are not counted"),
        action=say("nothing for the diagnosis; print lines instead of a bar to have a log that can be read"),
        evidence=tuple(n.source for n in found),
        numbers={"draws": count},
    )
