"""LOG010: a gap in the log."""

from __future__ import annotations

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Run
from made_up import Log, MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG010")
    assert item is not None
    return examine(item, Examination(run))


def test_found(made_up: MadeUpRun) -> None:
    """Steps 5,000 to 12,000 are gone: the gap is named by the steps around it."""
    log = healthy_log(20_000)
    kept = Log(
        {s: v for s, v in log.evaluations.items() if not 5_000 < s < 12_000},
        {s: v for s, v in log.iterations.items() if not 5_000 < s < 12_000},
    )
    outcome = ask(auscult.read(made_up.write({}, kept)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG010", "info")
    assert "from step 5,000 to 12,000" in str(found.message)
    assert found.evidence[0].line is not None
    assert found.numbers == {"gaps": 1}


def test_clear(made_up: MadeUpRun) -> None:
    """Records at their usual distance."""
    assert ask(auscult.read(made_up.write())).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
