"""REG001: overfitting."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.examination.curve import RISE_FLOOR_NATS, RISE_SIGMAS
from made_up import STEP_TIME_MS, Log, MadeUpRun, healthy_log


def ask(path: Path) -> Outcome:
    item = find_check("REG001")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def turning(rise: float, train: float, noise: float = 0.0) -> Log:
    """Validation falls to 3.2 at evaluations 19 to 21 and then rises by ``rise`` each; training changes by ``train`` each."""
    log = Log()
    for k in range(41):
        validation = 3.2 + (0.02 * (19 - k) if k < 19 else rise * max(k - 21, 0)) + (noise if k % 2 else -noise)
        log.evaluations[500 * k] = (3.6 + train * k, validation)
    return log


def test_found(made_up: MadeUpRun) -> None:
    """0.02 a time over 18 evaluations is 0.36; training falls 0.01 a time over 20, 0.20: an error, with both places."""
    outcome = ask(made_up.write({}, turning(0.02, -0.01)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("REG001", "error")
    # the median of the last three stands at evaluation 39, 18 after the bottom; the bottom's first median at 19
    assert found.numbers["rise"] == pytest.approx(18 * 0.02)
    assert found.numbers["minimum_step"] == 19 * 500
    assert found.numbers["train_change"] == pytest.approx((39 - 19) * -0.01)
    # line 1 is the header, evaluation k stands on line 2 + k
    assert [e.place for e in found.evidence] == ["train.log:21", "train.log:42"]
    assert found.effect.unit == "nats"
    assert found.effect.value == pytest.approx(-0.36)
    assert "step 9,500" in str(found.action)


@pytest.mark.parametrize(("rise", "word"), [(0.0008, "clear"), (0.0009, "found")])
def test_floor_of_a_rise(made_up: MadeUpRun, rise: float, word: str) -> None:
    """Without noise 0.015 nats decide: 18 · 0.0008 = 0.0144 and 18 · 0.0009 = 0.0162."""
    assert (18 * rise > RISE_FLOOR_NATS) == (word == "found")
    assert ask(made_up.write({}, turning(rise, -0.01))).word == word


def test_clear_within_noise(made_up: MadeUpRun) -> None:
    """Evaluations of ±0.02 by turns have an sd of 2·0.02/√1.5 = 0.033; a rise of 0.09 is below four of them."""
    assert RISE_SIGMAS * 2 * 0.02 / 1.5**0.5 > 18 * 0.005
    assert ask(made_up.write({}, turning(0.005, -0.01, noise=0.02))).word == "clear"


def test_clear(made_up: MadeUpRun) -> None:
    """A healthy run ends at its minimum, to within noise."""
    assert ask(made_up.write()).word == "clear"


def test_clear_where_training_rises_too(made_up: MadeUpRun) -> None:
    """When both rise it is no overfitting, and the reason names the check that speaks."""
    outcome = ask(made_up.write({}, turning(0.02, 0.01)))
    assert outcome.word == "clear"
    assert "NUM002" in str(outcome.reason)


def test_cannot_tell_without_validation(made_up: MadeUpRun) -> None:
    """A log of `iter` lines has no val_loss, and the reason names it."""
    log = Log(iterations=dict.fromkeys(range(0, 10_001, 100), (3.0, STEP_TIME_MS, 17.0)))
    outcome = ask(made_up.write({}, log))
    assert outcome.word == "cannot_tell"
    assert "val_loss" in str(outcome.reason)


def test_cannot_tell_from_too_few_evaluations(made_up: MadeUpRun) -> None:
    """Two evaluations have no noise: the reason says how many there are and how many it takes."""
    outcome = ask(made_up.write({}, healthy_log(1_500)))
    assert outcome.word == "cannot_tell"
    assert "2 evaluations after the first descent; 6 are needed" in str(outcome.reason)


def test_cannot_tell_without_a_training_loss(made_up: MadeUpRun) -> None:
    """A rise of validation alone has two explanations; without a training loss neither is chosen."""
    log = turning(0.02, -0.01)
    log.evaluations = {step: (float("nan"), validation) for step, (_train, validation) in log.evaluations.items()}
    outcome = ask(made_up.write({}, log))
    assert outcome.word == "cannot_tell"
    assert "training loss" in str(outcome.reason)
