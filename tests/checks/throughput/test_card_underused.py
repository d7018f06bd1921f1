"""THR004: a small share of the card's own peak."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.throughput.card_underused import LOW_MFU, SMALL_MODEL
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import Log, MadeUpRun

STEP_FLOPS = (6 * 29_938_560 + 12 * 6 * 384 * 1_024) * 524_288


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("THR004")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def steady(seconds: float) -> Log:
    """Steps of some seconds, and the MFU that nanoGPT prints for them."""
    mfu = 100 * STEP_FLOPS / seconds / 312e12
    return Log(
        {step: (10.85, 10.85) if step == 0 else (3.0, 3.0) for step in range(0, 4_001, 500)},
        {step: (3.0, 1_000 * seconds, mfu if step else -100.0) for step in range(0, 4_001, 100)},
    )


def test_found(made_up: MadeUpRun) -> None:
    """109.02 TFLOP in 10 s are 18.7 % of 58.3 TFLOP/s; at 55 %, the least that public runs reach on GeForce, 29.3 of the 44.4 hours left are saved."""
    outcome = ask(made_up.write({}, steady(10.0)), gpu="RTX 4070")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("THR004", "warning")
    mfu = STEP_FLOPS / 10.0 / 58.3e12
    assert mfu == pytest.approx(0.187, abs=1e-4)
    assert found.numbers == {"mfu": pytest.approx(mfu)}
    saved = (20_000 - 4_000) * 10.0 / 3_600 * (1 - mfu / 0.55)
    assert saved == pytest.approx(29.3, abs=0.05)
    assert found.effect.unit == "hours"
    assert found.effect.value == pytest.approx(-saved)
    assert found.effect.low == pytest.approx(-saved)
    assert found.effect.high == 0.0
    assert found.evidence
    assert {e.file for e in found.evidence} <= {"train.log", "train_narrow.py"}


@pytest.mark.parametrize(("seconds", "word"), [(7.48, "clear"), (7.49, "found")])
def test_low(made_up: MadeUpRun, seconds: float, word: str) -> None:
    """A quarter of an RTX 4070 is 14.575 TFLOP/s, 7.480 s a step."""
    assert (STEP_FLOPS / seconds / 58.3e12 >= LOW_MFU) == (word == "clear")
    assert ask(made_up.write({}, steady(seconds)), gpu="RTX 4070").word == word


def test_clear(made_up: MadeUpRun) -> None:
    """4 s a step are 47 % of the peak."""
    outcome = ask(made_up.write({}, steady(4.0)), gpu="RTX 4070")
    assert outcome.word == "clear"
    assert "47 %" in str(outcome.reason)


def test_not_applicable_to_a_small_model(made_up: MadeUpRun) -> None:
    """Six layers of 192 are 12.3M parameters, bound by launches: 50,304 · 192 + 6 · (12 · 192² + 2 · 192) + 192."""
    assert SMALL_MODEL > 50_304 * 192 + 6 * (12 * 192**2 + 2 * 192) + 192
    outcome = ask(made_up.write({"n_embd": 192}, steady(10.0)), gpu="RTX 4070 x1")
    assert outcome.word == "not_applicable"
    assert "bound by launches" in str(outcome.reason)


def test_cannot_tell_without_a_card(made_up: MadeUpRun) -> None:
    """Its own peak needs --gpu, and the reason names it."""
    outcome = ask(made_up.write({}, steady(10.0)))
    assert outcome.word == "cannot_tell"
    assert "--gpu" in str(outcome.reason)


def test_cannot_tell_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has no speed yet."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    assert ask(folder, gpu="RTX 4070").word == "cannot_tell"


def test_evidence_holds_a_step_time(made_up: MadeUpRun) -> None:
    """What is said of speed points at a line of the log, not only at the batch in the config."""
    found = ask(made_up.write({}, steady(10.0)), gpu="RTX 4070").finding
    assert found is not None
    assert "train.log" in {e.file for e in found.evidence}
