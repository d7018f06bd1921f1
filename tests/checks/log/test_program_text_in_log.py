"""LOG013: a log that holds the text of its program."""

from __future__ import annotations

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Run
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG013")
    assert item is not None
    return examine(item, Examination(run))


def test_found(made_up: MadeUpRun) -> None:
    """Thirty lines of Python before the first record are noticed, and what they mention did not happen."""
    folder = made_up.write({}, healthy_log(2_000))
    log = folder / "train.log"
    code = "".join(f"def part_{i}(x):\n    raise OutOfMemoryError(x)\n" for i in range(30))
    log.write_text(code + log.read_text())
    run = auscult.read(folder)
    outcome = ask(run)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG013", "info")
    assert "nothing in it was executed" in str(found.meaning)
    assert not any(n.kind == "out_of_memory" for n in run.notices)


def test_clear(made_up: MadeUpRun) -> None:
    """A log of records."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
