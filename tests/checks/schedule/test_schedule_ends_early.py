"""SCH002: a decay that ends long before the run does."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.schedule.schedule_ends_early import LONG_SHARE
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("SCH002")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """A decay over 5,000 of 20,000 steps leaves 1 − 0.25 = 75 % of the run at the floor."""
    outcome = ask(made_up.write({"lr_decay_iters": 5_000}, SHORT))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("SCH002", "warning")
    assert found.numbers == {"share_at_floor": 0.75}
    assert [e.place for e in found.evidence] == ["train_narrow.py:17", "train_narrow.py:18"]
    assert "looks saturated when only the learning rate is" in str(found.meaning)


@pytest.mark.parametrize(("decay", "word"), [(16_000, "clear"), (15_999, "found")])
def test_share(made_up: MadeUpRun, decay: int, word: str) -> None:
    """A fifth of 20,000 steps is 4,000."""
    assert pytest.approx(0.2) == LONG_SHARE
    assert ask(made_up.write({"lr_decay_iters": decay}, SHORT)).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """A decay that ends with the run, or after it, leaves nothing at the floor."""
    assert ask(made_up.write({}, SHORT)).word == "clear"
    assert ask(made_up.write({"lr_decay_iters": 40_000}, SHORT)).word == "clear"


def test_not_applicable_to_a_constant_rate(made_up: MadeUpRun) -> None:
    """decay_lr = False asks for a constant rate."""
    assert ask(made_up.write({"decay_lr": False, "lr_decay_iters": 5_000}, SHORT)).word == "not_applicable"


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone has no schedule."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "needs max_steps" in str(outcome.reason)


def test_a_floor_at_the_peak_is_no_floor(made_up: MadeUpRun) -> None:
    """With min_lr equal to learning_rate those steps run at the full rate: "they buy little" would be untrue (SCH003 speaks)."""
    outcome = ask(made_up.write({"lr_decay_iters": 5_000, "min_lr": 1e-3}, SHORT))
    assert outcome.word != "found", str(outcome.reason)
