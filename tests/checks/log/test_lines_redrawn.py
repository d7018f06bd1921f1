"""LOG007: progress bars that were redrawn into the log."""

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
    item = find_check("LOG007")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


@pytest.mark.parametrize(("count", "says"), [(14_192, "14,192 draws"), (1, "one draw")])
def test_found(made_up: MadeUpRun, count: int, says: str) -> None:
    """The number of draws is said, and that the last of each step was kept."""
    notice = Notice("redrawn", Source("read", "train.log", 2), count, 2)
    outcome = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG007", "info")
    assert says in str(found.message)
    assert "last draw of each step" in str(found.meaning)
    assert found.numbers == {"draws": count}
    assert [e.place for e in found.evidence] == ["train.log:2"]


def test_found_in_a_log(made_up: MadeUpRun) -> None:
    """A record that a carriage return draws again at the same step counts once."""
    folder = made_up.write({}, healthy_log(2_000))
    with (folder / "train.log").open("a", newline="") as log:
        for loss in (3.9, 3.8, 3.7):
            log.write(f"iter 2100: loss {loss:.4f}, time 2000.00ms, mfu 11.90%\r")
        log.write("\niter 2200: loss 3.6000, time 2000.00ms, mfu 11.90%\n")
    run = auscult.read(folder)
    assert ask(run).word == "found"
    series = run.get("train_loss")
    assert series is not None
    assert [v for s, v in zip(series.steps, series.values, strict=True) if s == 2_100] == [3.7]


def test_clear(made_up: MadeUpRun) -> None:
    """Lines that end as lines do."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
