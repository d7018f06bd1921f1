"""THR001: nanoGPT's MFU, which is a share of an A100 whatever the card."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.readers import given_by_options
from auscult.run import Known, Source, Unknown
from made_up import Log, MadeUpRun

FLOPS_PER_TOKEN = 6 * 29_938_560 + 12 * 6 * 384 * 1_024
STEP_FLOPS = FLOPS_PER_TOKEN * 524_288


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("THR001")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def steady(ms: float = 4_000.0, mfu: float = 8.74) -> Log:
    """Steps of 4 s, and the MFU that nanoGPT prints for them: 27.26 of 312 TFLOP/s."""
    return Log(
        {step: (10.85, 10.85) if step == 0 else (3.0, 3.0) for step in range(0, 4_001, 500)},
        {step: (3.0, ms, mfu if step else -100.0) for step in range(0, 4_001, 100)},
    )


def without_mfu(folder: Path) -> Path:
    log = folder / "train.log"
    log.write_text(re.sub(r", mfu .*", "", log.read_text()))
    return folder


def test_found(made_up: MadeUpRun) -> None:
    """109.02 TFLOP in 4 s are 27.26 TFLOP/s: 8.7 % of an A100's 312, 46.8 % of an RTX 4070's 58.3."""
    assert FLOPS_PER_TOKEN == 207_942_912
    achieved = STEP_FLOPS / 4.0
    assert achieved / 312e12 == pytest.approx(0.0874, abs=5e-5)
    outcome = ask(made_up.write({}, steady()), gpu="RTX 4070")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("THR001", "info")
    assert found.numbers["mfu_logged"] == 0.0874
    assert found.numbers["flops_per_token"] == FLOPS_PER_TOKEN
    assert found.numbers["tokens_per_s"] == pytest.approx(524_288 / 4.0)
    assert found.numbers["flops_per_s"] == pytest.approx(achieved)
    assert found.numbers["peak_flops_per_s"] == 58.3e12
    assert found.numbers["logged_peak_flops_per_s"] == 312e12
    assert found.numbers["mfu"] == pytest.approx(achieved / 58.3e12) == pytest.approx(0.4675, abs=5e-5)
    assert found.numbers["ceiling_on_logged_scale"] == pytest.approx(58.3 / 312)
    # the first printed MFU that is not the sentinel: step 100, after the header, evaluation 0 and iteration 0
    assert [e.place for e in found.evidence] == ["train.log:4"]
    assert "nothing for speed" in str(found.action)
    assert "58.3e12" in str(found.action)


def test_found_from_a_quoted_range(made_up: MadeUpRun) -> None:
    """A quoted 11 to 12 % is 58.9 to 64.2 % of an RTX 4070: times 312 / 58.3."""
    found = ask(without_mfu(made_up.write({}, steady())), gpu="RTX 4070", mfu_logged=[0.11, 0.12]).finding
    assert found is not None
    assert found.numbers["mfu_logged"] == pytest.approx(0.115)
    assert found.numbers["mfu_low"] == pytest.approx(0.11 * 312 / 58.3)
    assert found.numbers["mfu_high"] == pytest.approx(0.12 * 312 / 58.3)


def test_found_above_one_hundred_per_cent(made_up: MadeUpRun) -> None:
    """A printed 120 % needs no card to be recognised: no card exceeds its peak."""
    found = ask(made_up.write({}, steady(mfu=120.0))).finding
    assert found is not None
    assert found.numbers == {"mfu_logged": 1.2, "logged_peak_flops_per_s": 312e12}
    assert "--gpu" in str(found.action)


@pytest.mark.parametrize("card", ["A100", "A100-SXM4-80GB"])
def test_clear_on_an_a100(made_up: MadeUpRun, card: str) -> None:
    """On the card by which nanoGPT divides the figure is right; every A100 has the same peak."""
    assert ask(made_up.write({}, steady()), gpu=card).word == "clear"


def test_cannot_tell_without_a_card(made_up: MadeUpRun) -> None:
    """The reason names the option to give."""
    outcome = ask(made_up.write({}, steady()))
    assert outcome.word == "cannot_tell"
    assert "--gpu" in str(outcome.reason)


def test_cannot_tell_with_an_unknown_card(made_up: MadeUpRun) -> None:
    """A card that is not in the table has no peak, never a default, and the reason says which name was meant."""
    outcome = ask(made_up.write({}, steady()), gpu="RTX 4700")
    assert outcome.word == "cannot_tell"
    assert "not in the GPU table" in str(outcome.reason)
    assert "RTX 4070" in str(outcome.reason)


def test_cannot_tell_without_mfu(made_up: MadeUpRun) -> None:
    """A log that prints no MFU has nothing to translate."""
    outcome = ask(without_mfu(made_up.write({}, steady())), gpu="RTX 4070")
    assert outcome.word == "cannot_tell"
    assert "prints no MFU" in str(outcome.reason)


def test_an_unknown_speed_is_not_zero(made_up: MadeUpRun) -> None:
    """Where the vocabulary is unknown so are the FLOP/s: "0.0 of 58.3 TFLOP/s" would be untrue."""
    found = ask(made_up.write({"dataset": "shakespeare_char"}, steady()), gpu="RTX 4070").finding
    assert found is not None
    assert found.numbers["flops_per_s"] is None
    assert "0.0 of" not in str(found.meaning)


def test_clear_where_a_fork_divides_by_its_own_peak(made_up: MadeUpRun) -> None:
    """Printed MFU and step time that fit this card's own 58.3 TFLOP/s are a true share of it: nothing to convert."""
    flops = (6 * 29_938_560 + 12 * 6 * 384 * 1024) * 524_288
    mfu = 100 * flops / 4.0 / 58.3e12
    log = Log(iterations=dict.fromkeys(range(0, 1001, 100), (10.9, 4000.0, mfu)))
    outcome = ask(made_up.write({}, log), gpu="RTX 4070")
    assert outcome.word == "clear", str(outcome.reason)
    assert "own peak" in str(outcome.reason)


def test_found_where_no_card_is_that_fast(made_up: MadeUpRun) -> None:
    """109 TFLOP in a second are 187 % of an RTX 4070: the log is from another card, and that is what is said."""
    flops = (6 * 29_938_560 + 12 * 6 * 384 * 1024) * 524_288
    log = Log(iterations=dict.fromkeys(range(0, 1001, 100), (10.9, 1000.0, 100 * flops / 312000000000000.0)))
    found = ask(made_up.write({}, log), gpu="RTX 4070").finding
    assert found is not None
    assert found.severity == "warning"
    assert found.numbers["mfu"] == pytest.approx(flops / 58.3e12)
    assert "another card" in str(found.meaning)


@pytest.mark.parametrize(("divisor", "word"), [(989e12, "cannot_tell"), (None, "cannot_tell")])
def test_another_trainers_mfu_is_not_said_to_be_an_a100s(made_up: MadeUpRun, divisor: float | None, word: str) -> None:
    """A share of an H100's peak, or of one that nobody names, is not told to be in units of an A100."""
    run = auscult.read(made_up.write({}, steady()), given=given_by_options(gpu="RTX 4070", gpus=1))
    said = Known(divisor, Source("default", formula="its code")) if divisor else Unknown("nobody says")
    other = dataclasses.replace(run, logged=dataclasses.replace(run.logged, mfu_peak_flops_per_s=said))
    item = find_check("THR001")
    assert item is not None
    outcome = examine(item, Examination(other))
    assert outcome.word == word
    assert "A100's 312" not in str(outcome.reason)
