"""SCH004: a warm-up as long as the run."""

from __future__ import annotations

from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(1_000)


def ask(path: Path) -> Outcome:
    item = find_check("SCH004")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """NanoGPT's default of 2,000 in a run of 1,000 is found; the edit is 3.6 % of the steps, 36."""
    outcome = ask(made_up.write({"warmup_iters": 2_000, "max_iters": 1_000, "lr_decay_iters": 1_000}, SHORT))
    found = outcome.finding
    assert outcome.word == "found"
    assert found is not None
    assert (found.code, found.severity) == ("SCH004", "warning")
    assert [(e.key, e.before, e.after) for e in found.edits] == [("warmup_iters", 2_000, 36)]
    assert found.evidence[0].place == "train_narrow.py:16"


def test_a_decay_that_ends_first(made_up: MadeUpRun) -> None:
    """A warm-up that outlasts the decay is found although the run goes on."""
    assert ask(made_up.write({"warmup_iters": 600, "lr_decay_iters": 600}, SHORT)).word == "found"
    assert ask(made_up.write({"warmup_iters": 599, "lr_decay_iters": 600}, SHORT)).word == "clear"


def test_clear(made_up: MadeUpRun) -> None:
    """500 of 20,000 steps."""
    assert ask(made_up.write({}, SHORT)).word == "clear"


def test_not_applicable(made_up: MadeUpRun) -> None:
    """A constant rate has no warm-up in nanoGPT."""
    assert ask(made_up.write({"decay_lr": False, "warmup_iters": 30_000}, SHORT)).word == "not_applicable"


def test_cannot_tell(made_up: MadeUpRun) -> None:
    """A log alone does not say how long the warm-up is."""
    outcome = ask(made_up.write({}, SHORT) / "train.log")
    assert outcome.word == "cannot_tell"
    assert "warmup_steps" in str(outcome.reason)
