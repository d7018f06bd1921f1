from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check

SHOWN = 5


@check("MDL005", "The config holds values that no run can have", "error")
def value_impossible(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Values of the wrong kind, zero or negative where a count is meant, or beyond any sensible size.

    Why it matters
    --------------
    Training fails on them, or worse, does something else than meant. auscult treats such a value as unknown rather than
    compute with it.

    What else could explain it
    --------------------------
    A slip of the keyboard, or a config of another trainer.

    What to do
    ----------
    Correct the line.

    References
    ----------
    Bounds: auscult.readers.nanogpt.
    """
    bad = [p for p in exam.run.problems if p.kind == "impossible_value"]
    if exam.run.config is None and not bad:
        return NotApplicable(say("there is no config"))
    if not bad:
        return Clear(say("every value that is read is of its kind and within bounds"))
    return Found(
        message=say("{values}", values="; ".join(f"{p.message} ({p.source.place})" for p in bad[:SHOWN])),
        meaning=say("what depends on these values is reported as unknown"),
        action=say("correct them"),
        evidence=tuple(p.source for p in bad),
        numbers={"values": len(bad)},
    )
