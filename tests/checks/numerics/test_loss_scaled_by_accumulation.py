"""NUM005: a logged loss that accumulation scaled."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Run
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("NUM005")
    assert item is not None
    return examine(item, Examination(run))


VOCAB = 50_304
FRESH = math.log(VOCAB)


def scaled(
    made_up: MadeUpRun, factor: float, config: dict[str, object] | None = None, *, evaluated: bool = False
) -> Run:
    """A run whose training losses (and evaluations) were multiplied by ``factor``."""
    log = healthy_log(4_000)
    log.iterations = {s: (factor * loss, ms, mfu) for s, (loss, ms, mfu) in log.iterations.items()}
    by = factor if evaluated else 1.0
    log.evaluations = {s: (by * train, by * val) for s, (train, val) in log.evaluations.items()}
    return auscult.read(made_up.write({"init_from": "scratch", **(config or {})}, log))


@pytest.mark.parametrize("factor", [2, 4, 32])
def test_found(made_up: MadeUpRun, factor: int) -> None:
    """A sum over some or all of 32 accumulation steps: the factor, and the losses of a token."""
    run = scaled(made_up, factor)
    outcome = ask(run)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("NUM005", "warning")
    assert found.numbers["factor"] == factor
    assert found.numbers["first_per_token"] == pytest.approx(FRESH, rel=0.01)
    series = run.get("train_loss")
    assert series is not None
    assert found.numbers["last_per_token"] == pytest.approx(series.values[-1] / factor)
    assert f"{factor} times" in str(found.message)
    assert "summed" in str(found.meaning)
    assert found.evidence[0].place == "train.log:3"


def test_found_divided_twice(made_up: MadeUpRun) -> None:
    """Ln V over 32 in a model from scratch that accumulates 32 steps was divided twice."""
    found = ask(scaled(made_up, 1 / 32)).finding
    assert found is not None
    assert found.numbers["factor"] == 1 / 32
    assert "1/32 of" in str(found.message)
    assert "divided twice" in str(found.meaning)


def test_initial_loss_off_is_silent_for_the_same_reason(made_up: MadeUpRun) -> None:
    """A first loss that is 2 ln V throughout is NUM005's, and not a broken initialisation (NUM003) as well."""
    diagnosis = auscult.diagnose(scaled(made_up, 2, evaluated=True))
    assert diagnosis.find("NUM005") is not None
    assert diagnosis.find("NUM003") is None


def test_clear(made_up: MadeUpRun) -> None:
    """A first loss of ln V."""
    outcome = ask(scaled(made_up, 1))
    assert outcome.word == "clear"
    assert "that of a fresh model" in str(outcome.reason)


@pytest.mark.parametrize(
    ("factor", "config", "why"),
    [
        (1.5, {}, "neither"),
        (2, {"init_from": "gpt2"}, "starts from 'gpt2'"),
        (3, {}, "neither"),
        (2, {"gradient_accumulation_steps": 1}, "neither"),
    ],
)
def test_cannot_tell(made_up: MadeUpRun, factor: float, config: dict[str, object], why: str) -> None:
    """No whole multiple, no divisor of the accumulation, or no fresh model: nothing is claimed."""
    outcome = ask(scaled(made_up, factor, config))
    assert outcome.word == "cannot_tell"
    assert why in str(outcome.reason)


def test_cannot_tell_from_a_log_that_starts_later(made_up: MadeUpRun) -> None:
    """At step 1,000 a loss of ln V says nothing."""
    run = scaled(made_up, 2)
    later = tuple(s.where(lambda step, _v: step >= 1_000) for s in run.series)
    assert ask(replace(run, series=later)).word == "cannot_tell"


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """Without a vocabulary there is no ln V."""
    scaled(made_up, 2)
    (made_up.folder / "train_narrow.py").unlink()
    outcome = ask(auscult.read(made_up.folder))
    assert outcome.word == "cannot_tell"
    assert "vocab" in str(outcome.reason)
