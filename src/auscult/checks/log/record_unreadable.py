from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, Verdict, check, noticed

SHOWN = 4
TOLD_ELSEWHERE = frozenset({"impossible_value", "settings_disagree", "unread_bytes", "skipped_bytes"})
"""Kinds of problem that have a check of their own (MDL005, LOG019, LOG011); every other kind is told here."""
CONFIG_NOTICES = ("config_has_variants", "config_inherits", "training_args_pickled")
"""What a config holds besides the values that were read."""


@check("LOG005", "Some lines were left out rather than guessed", "info")
def record_unreadable(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Metric lines that are cut or garbled, statements of the config that are not literals (calls, imports, conditions), and
    whatever else a reader left out.

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
    left_out = [p for p in exam.run.problems if p.kind not in TOLD_ELSEWHERE]
    unused = noticed(exam, *CONFIG_NOTICES)
    items = [(p.message, p.source) for p in left_out]
    items += [(n.detail or n.kind.replace("_", " "), n.source) for n in unused]
    if not items:
        return Clear(say("every metric line, and every setting that is used here, was read"))
    statements = any(p.kind == "not_evaluated" for p in left_out)
    return Found(
        message=say(
            "{items}",
            items="; ".join(f"{text} ({source.place})" for text, source in items[:SHOWN])
            + (f"; and {len(items) - SHOWN} more" if len(items) > SHOWN else ""),
        ),
        meaning=say("nothing there was executed or guessed; what depends on it is unknown"),
        action=say("write values as literals, or ignore this when they do not matter")
        if statements
        else say("nothing, when what was left out does not matter"),
        evidence=tuple(source for _text, source in items),
        numbers={"left_out": sum(p.count for p in left_out) + len(unused)},
        severity="warning" if any(p.kind == "not_evaluated" and " = " in p.message for p in left_out) else None,
    )
