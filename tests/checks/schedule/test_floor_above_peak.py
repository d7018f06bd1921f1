"""SCH003: a floor of the learning rate that is not below its peak."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("SCH003")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """A floor of 3e-3 over a peak of 1e-3: a warning at both lines, and a tenth of the peak, 1e-4, is advised."""
    outcome = ask(made_up.write({"min_lr": 3e-3}, SHORT))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("SCH003", "warning")
    assert found.numbers == {"min_lr": 3e-3, "learning_rate": 1e-3}
    assert [e.place for e in found.evidence] == ["train_narrow.py:15", "train_narrow.py:14"]
    assert "0.0001" in str(found.action)


@pytest.mark.parametrize(("floor", "word"), [(9.99e-4, "clear"), (1e-3, "found"), (1.001e-3, "found")])
def test_equal_counts(made_up: MadeUpRun, floor: float, word: str) -> None:
    """A floor at the peak does not decay either."""
    assert ask(made_up.write({"min_lr": floor}, SHORT)).word == word


def test_found_against_the_default_floor(made_up: MadeUpRun) -> None:
    """A peak lowered to 5e-5 lies below nanoGPT's default floor of 6e-5, and the evidence says that it is a default."""
    folder = made_up.write({"learning_rate": 5e-5}, SHORT)
    config = folder / "train_narrow.py"
    config.write_text("".join(x for x in config.read_text().splitlines(True) if not x.startswith("min_lr")))
    found = ask(folder).finding
    assert found is not None
    assert found.numbers == {"min_lr": 6e-5, "learning_rate": 5e-5}
    assert "default" in found.evidence[0].place


def test_clear(made_up: MadeUpRun) -> None:
    """1e-4 lies below 1e-3."""
    assert ask(made_up.write({}, SHORT)).word == "clear"


def test_not_applicable_to_a_constant_rate(made_up: MadeUpRun) -> None:
    """Under a constant rate the floor is never used."""
    assert ask(made_up.write({"decay_lr": False, "min_lr": 3e-3}, SHORT)).word == "not_applicable"


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone has no schedule."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "needs learning_rate" in str(outcome.reason)
