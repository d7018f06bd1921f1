"""LOG021: a run whose files hold no metric."""

from __future__ import annotations

from dataclasses import replace

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG021")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


HEAD = "tokens per iteration will be: 524,288\nnumber of parameters: 29.94M\n"


def test_found_in_a_log_that_died(made_up: MadeUpRun) -> None:
    """A log of a start and a traceback: the reason is named and its line is evidence."""
    folder = made_up.write()
    (folder / "train.log").write_text(HEAD + "Traceback (most recent call last):\nRuntimeError: no compiler\n")
    outcome = ask(auscult.read(folder))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG021", "warning")
    assert "it raised an exception" in str(found.message)
    assert [e.place for e in found.evidence] == ["train.log:3"]


def test_found_in_a_log_that_only_began(made_up: MadeUpRun) -> None:
    """Without a reason the first metrics may be to come."""
    folder = made_up.write()
    (folder / "train.log").write_text(HEAD)
    found = ask(auscult.read(folder)).finding
    assert found is not None
    assert str(found.message) == "the run's files hold no metric at all"
    assert "wait for the first ones" in str(found.action)


def test_found_with_the_readers_reason(made_up: MadeUpRun) -> None:
    """A tracker's folder without a history says so."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    notice = Notice("no_metrics", Source("read", "run.wandb"), 1, 0, "its history is empty")
    found = ask(noticing(replace(run, series=()), notice)).finding
    assert found is not None
    assert "its history is empty" in str(found.message)


def test_not_applicable_to_prose(made_up: MadeUpRun) -> None:
    """A chronicle of a run holds no metric because it is no log."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    notice = Notice("prose_not_a_log", Source("read", "chronicle.md", 1))
    assert ask(noticing(replace(run, series=()), notice)).word == "not_applicable"


def test_clear(made_up: MadeUpRun) -> None:
    """A log with records."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
