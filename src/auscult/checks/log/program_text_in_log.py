from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG013", "The program's own text stands in the log", "info")
def program_text_in_log(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Many lines of Python in the log: trainers that print their source before they train.

    Why it matters
    --------------
    Source holds lines that look like what it prints (``print(f"step {step}: …")``, ``raise OutOfMemoryError``). None of
    them happened.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Nothing: it is worth keeping, for it says what was run.

    References
    ----------
    modded-nanogpt and nanochat write their source into each log.
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "source_code_in_log")
    if not found:
        return Clear(say("the log holds no program text"))
    return Found(
        message=say("the log holds the text of a program"),
        meaning=say("its lines are not taken for what the run printed; nothing in it was executed"),
        action=say("nothing; keep it, for it says what was run"),
        evidence=tuple(n.source for n in found),
        numbers={"files": len(found)},
    )
