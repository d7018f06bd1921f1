"""LOG008: lines that a terminal cut."""

from __future__ import annotations

from dataclasses import replace

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG008")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


def test_found(made_up: MadeUpRun) -> None:
    """A log copied from a terminal of 43 columns is joined again, and the width is said."""
    folder = made_up.write({}, healthy_log(4_000))
    log = folder / "train.log"
    whole = auscult.read(folder).get("train_loss")
    lines = [line[i : i + 43] for line in log.read_text().splitlines() for i in range(0, len(line), 43)]
    log.write_text("\n".join(lines) + "\n")
    run = auscult.read(folder)
    outcome = ask(run)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG008", "info")
    assert "at 43 columns" in str(found.message)
    assert "joined again" in str(found.meaning)
    joined = run.get("train_loss")
    assert joined is not None
    assert whole is not None
    assert list(joined.values) == list(whole.values)


def test_found_without_a_width(made_up: MadeUpRun) -> None:
    """A notice that does not say the width still makes a sentence."""
    notice = Notice("lines_wrapped", Source("read", "train.log", 1))
    found = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice)).finding
    assert found is not None
    assert "width of a terminal" in str(found.message)


def test_clear(made_up: MadeUpRun) -> None:
    """Whole lines."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
