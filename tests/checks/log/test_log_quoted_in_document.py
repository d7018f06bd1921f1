"""LOG014: a log that is quoted in a document."""

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
    item = find_check("LOG014")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


@pytest.mark.parametrize(
    ("kind", "file", "says", "means"),
    [
        ("log_inside_markdown", "notes.md", "lines of a log in it", "there may be gaps"),
        ("log_inside_notebook", "run.ipynb", "notebook", "last execution only"),
        ("prose_not_a_log", "chronicle.md", "prose", "quoted lines are not a log"),
    ],
)
def test_found(made_up: MadeUpRun, kind: str, file: str, says: str, means: str) -> None:
    """Each kind of document is named with what it does to a log."""
    notice = Notice(kind, Source("read", file, 1))
    outcome = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG014", "info")
    assert str(found.message).startswith(f"{file} is ")
    assert says in str(found.message)
    assert means in str(found.meaning)
    assert found.numbers == {"kind": kind}


def test_found_in_prose_without_a_run(made_up: MadeUpRun) -> None:
    """Prose from which nothing was read says that no run was read from it."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    notice = Notice("prose_not_a_log", Source("read", "chronicle.md", 1), 1, 1, "3 lines of a log are quoted")
    found = ask(noticing(replace(run, series=()), notice)).finding
    assert found is not None
    assert "no run was read from it" in str(found.meaning)
    assert "3 lines of a log are quoted" in str(found.message)


def test_clear(made_up: MadeUpRun) -> None:
    """A log in a file of its own."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
