from __future__ import annotations

from collections.abc import Iterable

from ...examination import Examination
from ...prose import say
from ...run import Problem
from ..base import Clear, Found, NotApplicable, Verdict, check, problems_of

SHOWN = 4
NAMES_ONLY = frozenset({"family"})
"""Settings whose values are names that two programs give to the same thing: qwen2 has the layout of llama."""


@check("LOG019", "Two files give different values for one setting", "warning")
def settings_disagree(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A setting that the log, a saved state, a tracker or a config file give with different values.

    Why it matters
    --------------
    One of them is not what was run: the config was edited afterwards, an option on the command line overrode it, or the
    file belongs to another run.

    What else could explain it
    --------------------------
    A config that several runs share, each with its own options.

    What to do
    ----------
    Correct or remove the file that is wrong, so that the run can be repeated.

    References
    ----------
    Order of trust: what the trainer printed as it ran, what it saved, what a tracker stored at its start, a config file, a
    script's own defaults (auscult.readers.reading).
    """
    found = _once(p for p in problems_of(exam, "settings_disagree"))
    if not found:
        if len(exam.run.sources) < 2:
            return NotApplicable(say("there is one file: nothing can disagree with it"))
        return Clear(say("no setting is given with different values"))
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return Found(
        headline=say("{n} setting{s} differ between files", n=len(found), s="" if len(found) == 1 else "s")
        if len(found) != 1
        else say("one setting differs between files"),
        message=say("{what}{more}", what="; ".join(p.message for p in found[:SHOWN]), more=more),
        meaning=say(
            "the first value of each is used: what the trainer printed as it ran counts more than what it saved, that more"
            " than what a tracker stored, and a config file counts least"
        ),
        action=say("correct or remove the file that is wrong, or name only the files of this run"),
        evidence=tuple(p.source for p in found),
        numbers={"settings": sorted(p.message.partition(":")[0] for p in found)},
    )


def _once(problems: Iterable[Problem]) -> list[Problem]:
    """Return one problem for each setting: a log that echoes its config at every start contradicts it each time."""
    first: dict[str, Problem] = {}
    for problem in problems:
        key, colon, _values = problem.message.partition(":")
        if not (colon and key in NAMES_ONLY):
            first.setdefault(key, problem)
    return list(first.values())
