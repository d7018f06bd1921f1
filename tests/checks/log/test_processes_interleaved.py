"""LOG006: several processes that write into one log."""

from __future__ import annotations

from dataclasses import replace

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG006")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


def test_found_by_the_rank_before_each_line(made_up: MadeUpRun) -> None:
    """Two ranks print each record: one rank is kept, and its name is said."""
    folder = made_up.write({}, healthy_log(2_000))
    log = folder / "train.log"
    lines = log.read_text().splitlines()
    log.write_text("".join(f"[rank{rank}]: {line}\n" for line in lines for rank in (0, 1)))
    outcome = ask(auscult.read(folder))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG006", "info")
    assert "kept: rank 0" in str(found.message)
    assert "each step counts once" in str(found.meaning)
    assert found.evidence


def test_found_without_a_rank(made_up: MadeUpRun) -> None:
    """Where no rank is named, processes cannot be told apart, and that is not claimed."""
    notice = Notice("ranks_interleaved", Source("read", "train.log", 7), 400, 900, "no rank is named")
    found = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice)).finding
    assert found is not None
    assert "told apart" not in str(found.meaning)
    assert found.numbers == {"lines": 400}


def test_found_where_records_are_repeated(made_up: MadeUpRun) -> None:
    """Equal records twice are not called several processes: a logger with two handlers does that too."""
    notice = Notice("records_repeated", Source("read", "train.log", 7), 20, 90, "each step is printed about 2.0 times")
    found = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice)).finding
    assert found is not None
    assert "the same records stand several times" in str(found.message)
    assert "about 2.0 times" in str(found.message)


def test_clear(made_up: MadeUpRun) -> None:
    """The log of one process."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
