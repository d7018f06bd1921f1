from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG009", "The file holds several runs", "info")
def several_runs_in_file(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Several runs one after another, or side by side, in one file: the trainer starts anew, the steps return to their
    beginning, or a column names the run.

    Why it matters
    --------------
    Taken for one, their curves would seem to jump and their averages would mean nothing. Each run is judged by itself.

    What else could explain it
    --------------------------
    A run that crashed before its first checkpoint and was started again from the beginning.

    What to do
    ----------
    Look at the other runs too: the folder or file without ``--run`` shows them all.

    References
    ----------
    —
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "several_runs_in_file")
    if not found:
        return Clear(say("the file holds one run"))
    notice = found[0]
    return Found(
        headline=say("one of {n:count} runs in the file", n=notice.count),
        message=say(
            "{file} holds {n:count} runs; this is {which}", file=notice.source.file, n=notice.count, which=notice.detail
        )
        if notice.detail
        else say("{file} holds {n:count} runs", file=notice.source.file, n=notice.count),
        meaning=say("each is judged by itself: no figure of this report mixes it with another"),
        action=say("look at the others too; --run NAME chooses one"),
        evidence=tuple(n.source for n in found),
        numbers={"runs": notice.count},
    )
