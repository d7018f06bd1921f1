from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG008", "A terminal cut the lines of the log", "info")
def lines_wrapped(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Many lines of one and the same width, each followed by a rest that begins no line: a copy of a terminal's screen.

    Why it matters
    --------------
    Numbers are cut in two at the edge. Read line by line, half of a loss would pass for a loss.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Send the output to a file (``| tee train.log``) instead of copying it from the terminal.

    References
    ----------
    —
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "lines_wrapped")
    if not found:
        return Clear(say("the lines of the log are whole"))
    width = found[0].detail
    return Found(
        message=say("the lines of {file} were cut {width}", file=found[0].source.file, width=width)
        if width
        else say("the lines of {file} were cut at the width of a terminal", file=found[0].source.file),
        meaning=say("they were joined again; a line that was cut has the number of its first part"),
        action=say("send the output to a file (| tee train.log) instead of copying it from the terminal"),
        evidence=tuple(n.source for n in found),
        numbers={"files": len(found)},
    )
