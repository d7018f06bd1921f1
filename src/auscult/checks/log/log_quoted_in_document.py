from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

KINDS = {
    "prose_not_a_log": "prose that quotes lines of a log",
    "log_inside_markdown": "a page of text with lines of a log in it",
    "log_inside_notebook": "a notebook whose outputs hold the log",
}


@check("LOG014", "The log is quoted in a document", "info")
def log_quoted_in_document(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Records inside a Markdown page, a notebook's output, or prose that quotes a line here and there.

    Why it matters
    --------------
    People quote what is worth telling: lines are left out, shortened or from several runs. A notebook keeps only the
    output of the last execution of each cell.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Give the log itself, where it exists.

    References
    ----------
    —
    """
    found = noticed(exam, *KINDS)
    if not found:
        if not exam.has_log:
            return NotApplicable(say("there is no log"))
        return Clear(say("the log is a file of its own"))
    kind = found[0].kind
    said = found[0].detail
    what = said if said.startswith("prose") else KINDS[kind] + (f" ({said})" if said else "")
    if kind == "log_inside_notebook":
        meaning = say("a cell keeps the output of its last execution only: an earlier part of the run may be missing")
    elif kind == "prose_not_a_log" and not exam.run.series:
        meaning = say("prose is not a log: no run was read from it")
    else:
        meaning = say("quoted lines are not a log: there may be gaps, and lines of other runs, that cannot be seen")
    return Found(
        message=say("{file} is {what}", file=found[0].source.file, what=what),
        meaning=meaning,
        action=say("give the log itself, where it exists"),
        evidence=tuple(n.source for n in found),
        numbers={"kind": kind},
    )
