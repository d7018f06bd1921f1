from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

SHOWN = 4


@check("LOG018", "The history stands in several files", "info")
def history_in_several_files(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    The same curve in several files (checkpoints, a log and its tracker), or one curve whose parts stand in several files.

    Why it matters
    --------------
    Copies counted twice would look like two runs that agree, and parts like runs that start in the middle.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Nothing.

    References
    ----------
    Copies agree in 95 % of the distinct values they share, to their printed precision (auscult.readers.curves).
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    copies = noticed(exam, "several_copies")
    parts = next((s for s in exam.run.series if len(set(s.files)) > 1), None)
    if not copies and parts is None:
        return Clear(say("the history stands in one file"))
    told, meant = [], []
    if copies:
        names = [name for name in copies[0].detail.split(", ") if name]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        told.append(f"{copies[0].count} files hold the same history ({', '.join(names[:SHOWN])}{more})")
        meant.append("copies were read once, each metric from the fullest of them")
    if parts is not None:
        files = list(dict.fromkeys(parts.files))
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        told.append(f"the run goes on from file to file: {', '.join(files[:SHOWN])}{more}")
        meant.append("the parts were put together in the order of their steps")
    return Found(
        message=say("{what}", what="; ".join(told)),
        meaning=say("{what}", what="; ".join(meant)),
        action=say("nothing"),
        evidence=(*(n.source for n in copies), *((parts.source(len(parts) - 1),) if parts is not None else ())),
        numbers={"copies": sum(n.count for n in copies), "parts": len(set(parts.files)) if parts is not None else 0},
    )
