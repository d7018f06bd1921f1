from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG006", "Several processes write into one log", "info")
def processes_interleaved(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Lines of several ranks or workers in one file: by the rank before each line, by steps that take turns, by records that
    stand there several times.

    Why it matters
    --------------
    Averages over the lines of several processes would count every step several times, and their losses differ: each is
    that of the process's own batch.

    What else could explain it
    --------------------------
    Two handlers of one logger, which print every line twice.

    What to do
    ----------
    Nothing for the diagnosis. Print from one rank only, and the log is shorter.

    References
    ----------
    torchrun ``--redirects`` and ``--tee`` (prefix ``[default0]:``); DeepSpeed and Megatron-LM print from the last rank.
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "ranks_interleaved", "processes_interleaved", "records_repeated")
    if not found:
        return Clear(say("the records come from one process"))
    first = found[0]
    same = first.kind == "records_repeated"
    return Found(
        message=say(
            "{what}{detail}",
            what="the same records stand several times in the log"
            if same
            else "several processes write into the same log",
            detail=f": {first.detail}" if first.detail else "",
        ),
        meaning=say("a step that stands there several times is judged once, by its last record")
        if same or "no rank" in first.detail
        else say("their lines were told apart, and each step counts once"),
        action=say("nothing for the diagnosis; print from one rank only to have each record once"),
        evidence=tuple(n.source for n in found),
        numbers={"lines": sum(n.count for n in found)},
    )
