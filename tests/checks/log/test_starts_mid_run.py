"""LOG020: a log whose beginning lies elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Run
from made_up import Log, MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG020")
    assert item is not None
    return examine(item, Examination(run))


def from_step(first: int, last: int = 20_000) -> Log:
    log = healthy_log(last)
    return Log(
        {s: v for s, v in log.evaluations.items() if s >= first},
        {s: v for s, v in log.iterations.items() if s >= first},
    )


def test_found(made_up: MadeUpRun) -> None:
    """A log from step 12,000 on, every 100 steps: the first record is the evidence."""
    outcome = ask(auscult.read(made_up.write({}, from_step(12_000))))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG020", "info")
    assert "starts at step 12,000 of 20,000" in str(found.message)
    assert [e.line for e in found.evidence] == [3]
    assert found.numbers == {"first_step": 12_000, "last_step": 20_000, "usual_distance": 100}


def test_found_with_the_resume_as_evidence(made_up: MadeUpRun) -> None:
    """A log that says that it was resumed says why it starts there."""
    folder = made_up.write({}, from_step(12_000))
    log = folder / "train.log"
    log.write_text("Resuming training from out\n" + log.read_text())
    found = ask(auscult.read(folder)).finding
    assert found is not None
    assert "resumed from a checkpoint" in str(found.message)
    assert len(found.evidence) == 2


@pytest.mark.parametrize(
    ("first", "last", "word"),
    [
        (0, 20_000, "clear"),
        (100, 20_000, "clear"),
        (200, 20_000, "clear"),
        (300, 20_000, "found"),
        (300, 40_000, "clear"),
    ],
)
def test_thresholds(made_up: MadeUpRun, first: int, last: int, word: str) -> None:
    """More than two distances of 100 steps, and more than 1 % of the last step."""
    assert ask(auscult.read(made_up.write({}, from_step(first, last)))).word == word


def test_distance_of_a_thinned_series(made_up: MadeUpRun) -> None:
    """Where every tenth point is kept, the records of the file lie ten times as close."""
    run = auscult.read(made_up.write({}, from_step(1_000)))
    thin = tuple(replace(s, stride=10, count=10 * len(s)) for s in run.series)
    found = ask(replace(run, series=thin)).finding
    assert found is not None
    assert found.numbers["usual_distance"] == 10


def test_not_applicable_to_a_single_record(made_up: MadeUpRun) -> None:
    """A summary with one row has no usual distance."""
    run = auscult.read(made_up.write({}, from_step(20_000)))
    assert ask(run).word == "not_applicable"


def test_cannot_tell_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has no first step."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    assert ask(auscult.read(folder)).word == "cannot_tell"
