"""LOG012: keys that a terminal echoed into the log."""

from __future__ import annotations

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Run
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG012")
    assert item is not None
    return examine(item, Examination(run))


def test_found(made_up: MadeUpRun) -> None:
    """An arrow key before a record is taken out, and the record is read."""
    folder = made_up.write({}, healthy_log(2_000))
    log = folder / "train.log"
    whole = auscult.read(folder).get("train_loss")
    log.write_text(log.read_text().replace("iter 700:", "^[[Aiter 700:"))
    run = auscult.read(folder)
    outcome = ask(run)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG012", "info")
    assert "in 1 line" in str(found.message)
    series = run.get("train_loss")
    assert series is not None
    assert whole is not None
    assert list(series.values) == list(whole.values)


def test_clear(made_up: MadeUpRun) -> None:
    """Records without keys in them."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
