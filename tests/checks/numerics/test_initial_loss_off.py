"""NUM003: the loss at step 0 against ln(vocabulary)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.numerics.initial_loss_off import ABOVE_NATS, BROKEN_NATS, MAX_PLAUSIBLE_NATS
from auscult.examination import Examination
from made_up import Log, MadeUpRun, healthy_log

FRESH = math.log(50_304)


def ask(path: Path) -> Outcome:
    item = find_check("NUM003")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def starting(loss: float, first: int = 0) -> Log:
    log = healthy_log(4_000)
    del log.evaluations[0], log.iterations[0]
    log.evaluations[first] = (loss, loss)
    return log


def test_found(made_up: MadeUpRun) -> None:
    """12.00 is 1.17 above ln 50,304 = 10.83: a warning at the first evaluation's line."""
    assert pytest.approx(10.8259, abs=1e-4) == FRESH
    outcome = ask(made_up.write({}, starting(12.0)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("NUM003", "warning")
    assert found.numbers["initial_loss"] == 12.0
    assert found.numbers["expected"] == pytest.approx(FRESH)
    assert found.numbers["vocab_size"] == 50_304
    assert [e.place for e in found.evidence] == ["train.log:2"]
    assert "accumulation steps" in str(found.action)


@pytest.mark.parametrize(
    ("above", "word", "severity"),
    [
        (ABOVE_NATS - 0.001, "clear", None),
        (ABOVE_NATS + 0.001, "found", "warning"),
        (BROKEN_NATS - 0.001, "found", "warning"),
        (BROKEN_NATS + 0.001, "found", "error"),
        (-ABOVE_NATS + 0.001, "clear", None),
        (-ABOVE_NATS - 0.001, "found", "warning"),
    ],
)
def test_thresholds(made_up: MadeUpRun, above: float, word: str, severity: str | None) -> None:
    """Half a nat on either side is not nanoGPT's own init; two above are broken."""
    outcome = ask(made_up.write({}, starting(FRESH + above)))
    assert outcome.word == word
    assert (outcome.finding.severity if outcome.finding else None) == severity


def test_found_below_a_printed_vocabulary(made_up: MadeUpRun) -> None:
    """A loss of 6.0 under a printed vocabulary of 50,304 is not that of a fresh model."""
    folder = made_up.write({}, starting(6.0))
    log = folder / "train.log"
    log.write_text(f"found vocab_size = 50304 (inside data/x/meta.pkl)\n{log.read_text()}")
    found = ask(folder).finding
    assert found is not None
    assert found.severity == "warning"
    assert "not fresh" in str(found.meaning)
    assert "init_from" in str(found.action)


def test_found_beyond_every_vocabulary(made_up: MadeUpRun) -> None:
    """Without a config no vocabulary is known, but none starts at 18."""
    folder = made_up.write({}, starting(18.0))
    (folder / "train_narrow.py").unlink()
    found = ask(folder).finding
    assert found is not None
    assert found.numbers["expected"] == MAX_PLAUSIBLE_NATS
    assert found.numbers["vocab_size"] is None
    assert found.severity == "error"


def test_clear(made_up: MadeUpRun) -> None:
    """A healthy run starts at 10.85."""
    outcome = ask(made_up.write({}, starting(10.85)))
    assert outcome.word == "clear"
    assert "ln 50,304 = 10.83" in str(outcome.reason)


@pytest.mark.parametrize("init", ["resume", "gpt2"])
def test_not_applicable_to_loaded_weights(made_up: MadeUpRun, init: str) -> None:
    """A model that is not fresh does not start at ln(vocabulary)."""
    outcome = ask(made_up.write({"init_from": init}, starting(3.5)))
    assert outcome.word == "not_applicable"
    assert init in str(outcome.reason)


def test_cannot_tell_with_another_vocabulary(made_up: MadeUpRun) -> None:
    """4.17 is the start of about 65 tokens, not of the default 50,304: the reason asks for the vocabulary."""
    assert math.exp(4.1744) == pytest.approx(65, abs=0.01)
    outcome = ask(made_up.write({}, starting(4.1744)))
    assert outcome.word == "cannot_tell"
    assert "needs vocab_size" in str(outcome.reason)
    assert "about 65 tokens" in str(outcome.reason)


def test_cannot_tell_without_step_0(made_up: MadeUpRun) -> None:
    """A log that starts later shows no initialisation."""
    outcome = ask(made_up.write({}, starting(10.0, first=100)))
    assert outcome.word == "cannot_tell"
    assert "does not start at step 0" in str(outcome.reason)


def test_beyond_every_vocabulary_is_never_clear(made_up: MadeUpRun) -> None:
    """15.3 with the reason "no vocabulary starts above 15.0" contradicts itself when the verdict is clear."""
    folder = made_up.write({}, starting(15.3))
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "found", str(outcome.reason)
