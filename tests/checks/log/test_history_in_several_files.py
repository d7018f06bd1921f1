"""LOG018: one history in several files."""

from __future__ import annotations

from array import array
from dataclasses import replace

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG018")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


def test_found_copies(made_up: MadeUpRun) -> None:
    """The same log under two names is read once."""
    folder = made_up.write({}, healthy_log(4_000))
    (folder / "copy.log").write_text((folder / "train.log").read_text())
    run = auscult.read(folder)
    outcome = ask(run)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG018", "info")
    assert "2 files hold the same history" in str(found.message)
    assert "copy.log" in str(found.message)
    series = run.get("train_loss")
    assert series is not None
    assert len(series) == 41


def test_found_copies_shows_a_few(made_up: MadeUpRun) -> None:
    """Of many copies a few are named and the rest are counted."""
    files = ", ".join(f"checkpoint-{i}/state.json" for i in range(7))
    notice = Notice("several_copies", Source("read", "checkpoint-1/state.json"), 7, 0, files)
    found = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice)).finding
    assert found is not None
    assert "and 3 more" in str(found.message)
    assert found.numbers == {"copies": 7, "parts": 0}


def test_found_parts(made_up: MadeUpRun) -> None:
    """A run that goes on in another file is put together, and its files are named in order."""
    run = auscult.read(made_up.write({}, healthy_log(4_000)))
    series = run.get("train_loss")
    assert series is not None
    origins = array("q", [int(step > 2_000) for step in series.steps])
    joined = replace(series, files=("one.log", "two.log"), origins=origins)
    found = ask(replace(run, series=(joined,))).finding
    assert found is not None
    assert "one.log, two.log" in str(found.message)
    assert [e.file for e in found.evidence] == ["two.log"]
    assert found.numbers == {"copies": 0, "parts": 2}


def test_clear(made_up: MadeUpRun) -> None:
    """A log and its config."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
