"""LOG009: several runs in one file."""

from __future__ import annotations

from dataclasses import replace

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.readers import read_all
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG009")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


def test_found(made_up: MadeUpRun) -> None:
    """A log that begins anew at step 0 holds two runs, and each is told which one it is."""
    folder = made_up.write({}, healthy_log(4_000))
    with (folder / "train.log").open("a") as log:
        log.write(healthy_log(3_000, seed=2).text())
    runs = read_all(folder).runs
    assert len(runs) == 2
    outcome = ask(runs[1])
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG009", "info")
    assert "holds 2 runs; this is run 2 of 2" in str(found.message)
    assert "by itself" in str(found.meaning)
    assert found.numbers == {"runs": 2}


def test_found_without_a_number(made_up: MadeUpRun) -> None:
    """A reader that does not say which run it is still says how many there are."""
    notice = Notice("several_runs_in_file", Source("read", "train.log", 1), 12)
    found = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice)).finding
    assert found is not None
    assert str(found.message) == "train.log holds 12 runs"


def test_clear(made_up: MadeUpRun) -> None:
    """One run, also when it was resumed."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
