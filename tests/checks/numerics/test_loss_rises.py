"""NUM002: a loss that rises on both splits."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.examination.curve import RISE_FLOOR_NATS
from made_up import STEP_TIME_MS, Log, MadeUpRun, healthy_log


def ask(path: Path) -> Outcome:
    item = find_check("NUM002")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def turning(rise: float) -> dict[int, float]:
    """A loss that falls to 3.2 at evaluations 19 to 21 and then rises by ``rise`` each, up to evaluation 40."""
    return {500 * k: 3.2 + (0.02 * (19 - k) if k < 19 else rise * max(k - 21, 0)) for k in range(41)}


def both(rise: float) -> Log:
    return Log({step: (loss - 0.1, loss) for step, loss in turning(rise).items()})


def test_found(made_up: MadeUpRun) -> None:
    """0.02 a time on both splits: the last median stands 18 evaluations after the bottom, 0.36 nats up."""
    outcome = ask(made_up.write({}, both(0.02)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("NUM002", "error")
    assert found.numbers["rise"] == pytest.approx(18 * 0.02)
    assert found.numbers["train_change"] == pytest.approx(18 * 0.02)
    assert found.numbers["minimum_step"] == 19 * 500
    # line 1 is the header, evaluation k stands on line 2 + k
    assert [e.place for e in found.evidence] == ["train.log:21", "train.log:42"]
    assert found.effect.unit == "nats"
    assert found.effect.value == pytest.approx(-0.36)
    assert "not overfitting" in str(found.meaning)
    assert "go back to step 9,500" in str(found.action)


@pytest.mark.parametrize(("rise", "word"), [(0.0008, "clear"), (0.0009, "found")])
def test_floor_of_a_rise(made_up: MadeUpRun, rise: float, word: str) -> None:
    """Without noise 0.015 nats decide: 18 · 0.0008 = 0.0144 and 18 · 0.0009 = 0.0162."""
    assert (18 * rise > RISE_FLOOR_NATS) == (word == "found")
    assert ask(made_up.write({}, both(rise))).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """A healthy run ends at its minimum, to within noise."""
    assert ask(made_up.write()).word == "clear"


def test_clear_where_training_falls(made_up: MadeUpRun) -> None:
    """When only validation rises it is overfitting, REG001's."""
    log = Log({step: (3.6 - step * 2e-5, loss) for step, loss in turning(0.02).items()})
    assert ask(made_up.write({}, log)).word == "clear"


def test_cannot_tell_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has no curve: the reason says which lines are missing."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "the log has no evaluations" in str(outcome.reason)


def test_cannot_tell_from_too_few_evaluations(made_up: MadeUpRun) -> None:
    """Two evaluations have no noise: the reason says how many there are and how many it takes."""
    outcome = ask(made_up.write({}, healthy_log(1_500)))
    assert outcome.word == "cannot_tell"
    assert "2 evaluations after the first descent; 6 are needed" in str(outcome.reason)


def test_iterations_alone_are_one_split(made_up: MadeUpRun) -> None:
    """A log of `iter` lines shows the train split alone: its rise is found, and "on both splits" would be untrue."""
    log = Log(iterations={s: (3.0 + abs(s - 5_000) / 10_000, STEP_TIME_MS, 17.0) for s in range(0, 10_001, 100)})
    found = ask(made_up.write({}, log)).finding
    assert found is not None
    assert found.numbers["rise"] > 0.4
    assert "both splits" not in str(found.headline)
    assert "train split too" not in str(found.message)


def test_validation_alone_does_not_exclude_overfitting(made_up: MadeUpRun) -> None:
    """Where the training loss cannot be read, a rise of validation is not "on both splits", and not "not overfitting"."""
    found = ask(made_up.write({}, Log({step: (math.nan, loss) for step, loss in turning(0.02).items()}))).finding
    assert found is None or ("both splits" not in str(found.headline) and "not overfitting" not in str(found.meaning))


def test_noise_of_the_train_split_is_no_rise(made_up: MadeUpRun) -> None:
    """A train split that is flat within ±0.008 does not rise "on both splits" because its noise ends 0.01 higher."""
    rng = random.Random(0)
    log = Log({step: (3.0 + rng.gauss(0, 0.008), loss) for step, loss in turning(0.02).items()})
    outcome = ask(made_up.write({}, log))
    assert outcome.word != "found", str(outcome.reason)
