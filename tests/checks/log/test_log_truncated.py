"""LOG011: a log that was cut, and bytes that cannot be read."""

from __future__ import annotations

from dataclasses import replace

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Problem, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG011")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


SHORT = healthy_log(2_000)


def test_found_where_the_file_ends_inside_a_record(made_up: MadeUpRun) -> None:
    """A last line without an end that is no whole record: information, and the last step that was read."""
    folder = made_up.write({}, SHORT)
    with (folder / "train.log").open("a") as log:
        log.write("iter 2100: lo")
    outcome = ask(auscult.read(folder))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG011", "info")
    assert "ends inside a record" in str(found.message)
    assert "up to step 2,000" in str(found.meaning)


@pytest.mark.parametrize(
    ("kind", "why", "severity"),
    [
        ("unread_bytes", "its end is cut off", "info"),
        ("unread_bytes", "it is damaged", "warning"),
        ("skipped_bytes", "they follow one another no more", "warning"),
    ],
)
def test_found_where_bytes_are_unread(made_up: MadeUpRun, kind: str, why: str, severity: str) -> None:
    """An end that is missing is information; bytes that others follow are a hole in the history, and a warning."""
    message = f"512 of 9,000 bytes of the event file could not be read: {why}"
    run = auscult.read(made_up.write({}, SHORT))
    found = ask(replace(run, problems=(Problem(kind, message, Source("read", "events.1")),))).finding
    assert found is not None
    assert found.severity == severity
    assert message in str(found.message)
    assert ("in the middle" in str(found.meaning)) == (severity == "warning")


def test_found_where_a_binary_was_never_closed(made_up: MadeUpRun) -> None:
    """An unclosed binary and its unread bytes are one observation."""
    run = noticing(auscult.read(made_up.write({}, SHORT)), Notice("truncated_binary", Source("read", "run.wandb")))
    found = ask(run).finding
    assert found is not None
    assert str(found.message) == "the file is cut off"
    assert [e.place for e in found.evidence] == ["run.wandb"]
    both = replace(run, problems=(Problem("unread_bytes", "7 bytes are unread", Source("read", "run.wandb")),))
    found = ask(both).finding
    assert found is not None
    assert str(found.message) == "the file is cut off; 7 bytes are unread"


def test_found_says_the_number_of_bytes_once(made_up: MadeUpRun) -> None:
    """Where the notice counts the bytes already, the problem does not count them again; damage is a warning."""
    detail = "the file is damaged: 7 of its 90 bytes contradict their checksums"
    run = noticing(
        auscult.read(made_up.write({}, SHORT)), Notice("truncated_binary", Source("read", "run.wandb"), 1, 0, detail)
    )
    both = replace(run, problems=(Problem("unread_bytes", "7 bytes are unread", Source("read", "run.wandb")),))
    found = ask(both).finding
    assert found is not None
    assert str(found.message) == detail
    assert found.severity == "warning"


def test_found_where_only_the_last_lines_were_kept(made_up: MadeUpRun) -> None:
    """A notebook says itself that it shortened an output: the beginning is missing."""
    notice = Notice("output_shortened", Source("read", "run.ipynb", 3))
    found = ask(noticing(auscult.read(made_up.write({}, SHORT)), notice)).finding
    assert found is not None
    assert "only the last lines of the output were kept" in str(found.message)


def test_found_without_any_step(made_up: MadeUpRun) -> None:
    """A file of which nothing is left makes no claim about what was read."""
    run = noticing(auscult.read(made_up.write({}, SHORT)), Notice("truncated_binary", Source("read", "run.wandb")))
    found = ask(replace(run, series=())).finding
    assert found is not None
    assert "guessed" in str(found.meaning)


def test_clear(made_up: MadeUpRun) -> None:
    """A log that ends with a whole line."""
    assert ask(auscult.read(made_up.write({}, SHORT))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
