from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG012", "Keys that were pressed stand in the log", "info")
def stray_text_in_records(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Arrow keys and control characters that a terminal echoed as text (``^[[A``) into the lines of the log.

    Why it matters
    --------------
    They stand in the middle of numbers and of names. auscult takes them out before it reads the line.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Nothing. Under ``nohup``, ``tmux`` or a batch system no key reaches the log.

    References
    ----------
    —
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "stray_keystrokes")
    if not found:
        return Clear(say("no key stands in the records"))
    count = sum(n.count for n in found)
    return Found(
        message=say(
            "keys that were pressed in the terminal stand in {n:count} line{s}", n=count, s="" if count == 1 else "s"
        ),
        meaning=say("they were taken out before the line was read; no number changed"),
        action=say("nothing"),
        evidence=tuple(n.source for n in found),
        numbers={"lines": count},
    )
