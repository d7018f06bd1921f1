"""LOG022: an exception or a signal in the log."""

from __future__ import annotations

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Run
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG022")
    assert item is not None
    return examine(item, Examination(run))


SHORT = healthy_log(2_000)
TRACEBACK = "Traceback (most recent call last):\n"


def read(made_up: MadeUpRun, before: str = "", after: str = "") -> Run:
    folder = made_up.write({}, SHORT)
    log = folder / "train.log"
    log.write_text(before + log.read_text() + after)
    return auscult.read(folder)


@pytest.mark.parametrize(
    ("after", "says", "means", "severity"),
    [
        (TRACEBACK + "RuntimeError: no\n", "a Python traceback", "ended there", "warning"),
        (TRACEBACK + "KeyboardInterrupt\n", "an interruption from the keyboard", "ended by hand", "info"),
        ("Killed\n", "a signal", "ended there", "info"),
        (TRACEBACK + "torch.OutOfMemoryError: CUDA out of memory.\n", "a Python traceback", "MEM002", "info"),
    ],
)
def test_found_at_the_end(made_up: MadeUpRun, after: str, says: str, means: str, severity: str) -> None:
    """What ended the run is named; only an exception that nobody asked for is a warning."""
    outcome = ask(read(made_up, after=after))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG022", severity)
    assert says in str(found.message)
    assert means in str(found.meaning)


def test_an_interruption_is_not_called_an_exception_as_well(made_up: MadeUpRun) -> None:
    """KeyboardInterrupt comes with a traceback: one observation."""
    found = ask(read(made_up, after=TRACEBACK + "KeyboardInterrupt\n")).finding
    assert found is not None
    assert "traceback" not in str(found.message)
    assert found.numbers == {"interrupted": 1, "traceback": 1}


def test_found_before_records_that_go_on(made_up: MadeUpRun) -> None:
    """A traceback that records follow did not end the run."""
    found = ask(read(made_up, before=TRACEBACK)).finding
    assert found is not None
    assert "the run went on" in str(found.meaning)
    assert found.severity == "info"


def test_clear(made_up: MadeUpRun) -> None:
    """A log that ends with its last record."""
    assert ask(read(made_up)).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
