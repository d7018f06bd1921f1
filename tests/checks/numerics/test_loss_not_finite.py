"""NUM001: losses that are NaN or infinite."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Source
from made_up import Log, MadeUpRun, healthy_log


def ask(path: Path) -> Outcome:
    item = find_check("NUM001")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def lost_from(step: int, value: float = math.nan) -> Log:
    log = healthy_log(4_000)
    log.evaluations = {s: (value, value) if s >= step else row for s, row in log.evaluations.items()}
    log.iterations = {s: (value, *row[1:]) if s >= step else row for s, row in log.iterations.items()}
    return log


def test_found(made_up: MadeUpRun) -> None:
    """NaN from step 3,000 of 4,000: 11 iterations and 3 evaluations of two losses are 17, the first at its line."""
    outcome = ask(made_up.write({}, lost_from(3_000)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("NUM001", "error")
    assert found.numbers == {"first_step": 3_000, "count": 11 + 2 * 3}
    # the header, 30 iterations and 6 evaluations come before step 3,000: its lines are 38 and 39
    assert [e.place for e in found.evidence] == ["train.log:39"]
    assert "before step 3,000" in str(found.action)


def test_found_infinite(made_up: MadeUpRun) -> None:
    """An infinite loss is no number either."""
    found = ask(made_up.write({}, lost_from(4_000, math.inf))).finding
    assert found is not None
    assert found.numbers == {"first_step": 4_000, "count": 3}


def test_found_in_validation_alone(made_up: MadeUpRun) -> None:
    """One NaN of the validation loss is found, and named."""
    log = healthy_log(4_000)
    log.evaluations[4_000] = (log.evaluations[4_000][0], math.nan)
    found = ask(made_up.write({}, log)).finding
    assert found is not None
    assert found.numbers == {"first_step": 4_000, "count": 1}
    assert "val_loss" in str(found.message)


def test_found_where_the_trainer_says_so(made_up: MadeUpRun) -> None:
    """A trainer that stops at a NaN before it logs it leaves finite losses and a message: an error all the same."""
    run = auscult.read(made_up.write({}, healthy_log(4_000)))
    notice = Notice("nan_loss", Source("read", "train.log", 52), 1, 52, "the trainer stopped")
    item = find_check("NUM001")
    assert item is not None
    found = examine(item, Examination(replace(run, notices=(notice,)))).finding
    assert found is not None
    assert found.severity == "error"
    assert "after step 4,000: the trainer stopped" in str(found.message)
    assert [e.place for e in found.evidence] == ["train.log:52"]


def test_clear(made_up: MadeUpRun) -> None:
    """Every loss of a healthy run is a number."""
    assert ask(made_up.write({}, healthy_log(4_000))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has no loss."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(folder)
    assert outcome.word == "not_applicable"
    assert "no loss" in str(outcome.reason)


def test_weights_that_go_on_are_not_lost(made_up: MadeUpRun) -> None:
    """One NaN micro-batch among finite losses did not reach the weights: "lost from there on" would be untrue."""
    log = healthy_log(4_000)
    log.iterations[2_000] = (math.nan, *log.iterations[2_000][1:])
    found = ask(made_up.write({}, log)).finding
    assert found is not None
    assert found.numbers == {"first_step": 2_000, "count": 1}
    assert "lost from there on" not in str(found.meaning)
