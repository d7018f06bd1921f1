"""CAP001: tokens against the rule of 20 a parameter, and what that does not mean."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.capacity.tokens_beyond_compute_optimal import RATIO
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

N = 50_304 * 384 + 6 * (12 * 384**2 + 2 * 384) + 384
PER_STEP = 16 * 32 * 1_024


def ask(path: Path) -> Outcome:
    item = find_check("CAP001")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """20,000 steps of 524,288 tokens are 10.49B, 350 a parameter, 17.5 times the rule: worth knowing, no more."""
    assert (N, PER_STEP) == (29_938_560, 524_288)
    outcome = ask(made_up.write())
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("CAP001", "info")
    tokens = 20_000 * PER_STEP
    assert found.numbers["tokens"] == tokens == 10_485_760_000
    assert found.numbers["tokens_per_parameter"] == pytest.approx(tokens / N)
    assert found.numbers["chinchilla_ratio"] == pytest.approx(tokens / (20 * N))
    assert found.numbers["chinchilla_ratio"] == pytest.approx(17.512, abs=5e-4)
    assert found.numbers["ratio_low"] <= found.numbers["chinchilla_ratio"] <= found.numbers["ratio_high"]
    # the last step of the log, and the three factors of a step
    places = [e.place for e in found.evidence]
    assert places[0] == "train.log:243"
    assert {"train_narrow.py:6", "train_narrow.py:7", "train_narrow.py:8"} == set(places[1:])
    assert found.edits == ()


def test_found_never_says_that_the_loss_must_stop(made_up: MadeUpRun) -> None:
    """The wording that must not change: beyond compute-optimal is no plateau."""
    found = ask(made_up.write()).finding
    assert found is not None
    assert "does not mean that the loss must stop" in str(found.meaning)


def test_equal_compute_optimum(made_up: MadeUpRun) -> None:
    """Muennighoff's law has α = β, so its optimum is √(N·D · (A/B)^(1/α)) = 126M: inside the sizes given, and they gain."""
    found = ask(made_up.write()).finding
    assert found is not None
    best = math.sqrt(N * 20_000 * PER_STEP * math.exp((6.255 - 7.305) / 0.35266))
    assert best == pytest.approx(126.4e6, rel=0.01)
    low, high = found.numbers["equal_compute_parameters_low"], found.numbers["equal_compute_parameters_high"]
    assert low <= 1.02 * best
    assert best <= 1.02 * high
    assert found.numbers["equal_compute_gain_low"] < found.numbers["equal_compute_gain_high"] < 0


@pytest.mark.parametrize(("steps", "word"), [(2_284, "clear"), (2_285, "found")])
def test_ratio(made_up: MadeUpRun, steps: int, word: str) -> None:
    """Twice the rule is 40 · 29,938,560 = 1,197,542,400 tokens, 2,284.1 steps of a plan without a log."""
    assert (steps * PER_STEP / (20 * N) >= RATIO) == (word == "found")
    folder = made_up.write({"max_iters": steps, "lr_decay_iters": steps})
    (folder / "train.log").unlink()
    assert ask(folder).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """1,000 steps are 0.88 times the rule."""
    outcome = ask(made_up.write({"max_iters": 1_000, "lr_decay_iters": 1_000}, healthy_log(1_000)))
    assert outcome.word == "clear"
    assert "0.88 times" in str(outcome.reason)


def test_found_from_a_log_alone(made_up: MadeUpRun) -> None:
    """A log that prints its parameters and its tokens per step needs no config."""
    folder = made_up.write()
    (folder / "train_narrow.py").unlink()
    log = folder / "train.log"
    log.write_text(f"number of parameters: 29.94M\n{log.read_text()}")
    found = ask(folder).finding
    assert found is not None
    assert found.numbers["chinchilla_ratio"] == pytest.approx(20_000 * PER_STEP / (20 * 29.94e6))


def test_cannot_tell_without_parameters(made_up: MadeUpRun) -> None:
    """A log that prints no parameter count, without a config: the reason says what to add."""
    folder = made_up.write()
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "add the train_*.py" in str(outcome.reason)
