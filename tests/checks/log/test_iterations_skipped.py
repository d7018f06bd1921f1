"""LOG015: iterations whose update was left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG015")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


WHY = "the gradient was not finite, so nothing was learned"


def skipping(made_up: MadeUpRun, count: int, until: int, last: int = 20_000) -> Run:
    """A run in which ``count`` iterations were skipped, the last reported by the record of step ``until``."""
    run = auscult.read(made_up.write({}, healthy_log(last)))
    series = run.get("train_loss")
    assert series is not None
    line = series.lines[list(series.steps).index(until)]
    return noticing(run, Notice("skipped_iterations", Source("read", "train.log", 3), count, line, WHY))


@pytest.mark.parametrize(
    ("count", "until", "severity"),
    [(19, 0, "info"), (19, 20_000, "info"), (250, 20_000, "info"), (251, 20_000, "warning"), (400, 0, "info")],
)
def test_found(made_up: MadeUpRun, count: int, until: int, severity: str) -> None:
    """Skips at the start, and a few later ones, settle the loss scale; above 50 + 1 % of 20,000 they go on."""
    outcome = ask(skipping(made_up, count, until))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG015", severity)
    assert f"{count} of 20,000 iterations were skipped" in str(found.message)
    assert WHY in str(found.message)
    assert ("again and again" in str(found.meaning)) == (severity == "warning")
    assert found.numbers == {"skipped": count, "iterations": 20_000, "last_step": until}


def test_found_where_every_iteration_was_skipped(made_up: MadeUpRun) -> None:
    """A log of skipped iterations only: nothing was learned, and it is too early to call that a fault."""
    found = ask(skipping(made_up, 500, 0, last=500)).finding
    assert found is not None
    assert "nothing was learned in any iteration" in str(found.meaning)


def test_found_where_the_trainer_counts_nothing(made_up: MadeUpRun) -> None:
    """Records without a loss are the consequence, where that is all there is."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    found = ask(noticing(run, Notice("record_without_loss", Source("read", "train.log", 9), 1, 9))).finding
    assert found is not None
    assert str(found.message) == "1 record prints no usable loss"


def test_clear(made_up: MadeUpRun) -> None:
    """A log that reports none."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
