from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, Verdict, check

SHOWN = 4


@check("LOG005", "Some lines were left out rather than guessed", "info")
def record_unreadable(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Metric lines that are cut or garbled, and statements of the config that are not literals (calls, imports, conditions).

    Why it matters
    --------------
    auscult never executes a config and never guesses half a number. What it left out, it says.

    What else could explain it
    --------------------------
    A log that ends in the middle of a line, a stray key press, a terminal that wrapped.

    What to do
    ----------
    Nothing, when the lines do not matter; otherwise write the value as a literal.

    References
    ----------
    —
    """
    left_out = [p for p in exam.run.problems if p.kind in ("broken_record", "not_evaluated")]
    if not left_out:
        return Clear(say("every metric line, and every setting that is used here, was read"))
    return Found(
        message=say(
            "{items}",
            items="; ".join(f"{p.message} ({p.source.place})" for p in left_out[:SHOWN])
            + (f"; and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""),
        ),
        meaning=say("nothing there was executed or guessed; what depends on it is unknown"),
        action=say("write values as literals, or ignore this when they do not matter"),
        evidence=tuple(p.source for p in left_out),
        numbers={"left_out": sum(p.count for p in left_out)},
        severity="warning" if any(p.kind == "not_evaluated" and " = " in p.message for p in left_out) else None,
    )
