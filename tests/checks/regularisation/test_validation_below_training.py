"""REG004: validation below training, where dropout cannot be the reason."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import Log, MadeUpRun, healthy_log


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("REG004")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def below(gap: float, scatter: float = 0.01) -> Log:
    """Validation lies ``gap`` below training in every evaluation, by turns more and less by ``scatter``."""
    return Log(
        {
            500 * k: (train := round(4.0 - 0.02 * k, 4), train - gap - (scatter if k % 2 else -scatter))
            for k in range(41)
        }
    )


def few(count: int, gap: float) -> Log:
    """``count`` evaluations after the first, 2,000 steps apart."""
    return Log({2_000 * k: (3.4, 3.4 - gap) for k in range(count + 1)})


def test_found(made_up: MadeUpRun) -> None:
    """38 evaluations after step 1,000, −0.04 and −0.06 by turns: −0.05 ± 0.01/√37, a coin's chance of 2^−38."""
    outcome = ask(made_up.write({}, below(0.05)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("REG004", "info")
    assert (found.numbers["below"], found.numbers["evaluations"]) == (38, 38)
    assert found.numbers["gap"] == pytest.approx(-0.05)
    # √(38 · 0.01² / 37 / 38)
    assert found.numbers["standard_error"] == pytest.approx(0.01 / math.sqrt(37))
    assert found.numbers["sign_test_p"] == pytest.approx(2**-38)
    # line 1 is the header, evaluation k stands on line 2 + k
    assert [e.place for e in found.evidence] == ["train.log:42"]
    assert "--val-tokens" in str(found.action)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_dropout_is_excluded(made_up: MadeUpRun, dropout: float) -> None:
    """The wording that must not change: both losses are measured with dropout off, whatever its value."""
    for log in (below(0.05), few(1, 0.3)):
        found = ask(made_up.write({"dropout": dropout}, log)).finding
        assert found is not None
        assert "dropout is excluded: nanoGPT measures both with dropout off" in str(found.meaning)


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (5_300, "chance in a split too small"),  # 0.22 to 0.44 nats of its own
        (1_024_000, "leaves both open"),  # 0.016 to 0.032: between half and twice the gap
        (100_000_000, "not drawn like the training data"),  # 0.0016 to 0.0032
    ],
)
def test_size_of_the_split_decides(made_up: MadeUpRun, tokens: int, words: str) -> None:
    """A gap of 0.05 against the sampling error of the split, 0.5 to 1.0 over the root of its sequences."""
    found = ask(made_up.write({}, below(0.05)), val_tokens=tokens).finding
    assert found is not None
    assert found.numbers["split_error_low"] == pytest.approx(0.5 / math.sqrt(tokens / 1_024))
    assert found.numbers["split_error_high"] == pytest.approx(1.0 / math.sqrt(tokens / 1_024))
    assert words in str(found.meaning)
    assert "--val-tokens" not in str(found.action)


@pytest.mark.parametrize(("count", "gap", "word"), [(1, 0.037, "clear"), (1, 0.038, "found"), (2, 0.038, "found")])
def test_one_or_two_evaluations(made_up: MadeUpRun, count: int, gap: float, word: str) -> None:
    """One evaluation is 200 · 16 sequences a side: its gap has √2 · 0.5/√3200 = 0.0125 of noise, three times that is 0.0375."""
    assert math.sqrt(2) * 0.5 / math.sqrt(200 * 16) == pytest.approx(0.0125)
    outcome = ask(made_up.write({}, few(count, gap)))
    assert outcome.word == word
    if outcome.finding is not None:
        assert outcome.finding.numbers["noise_low"] == pytest.approx(0.0125 / math.sqrt(count))
        assert ("one evaluation" if count == 1 else "2 evaluations") in str(outcome.finding.message)


def test_clear(made_up: MadeUpRun) -> None:
    """In a healthy run validation lies above and below by turns."""
    assert ask(made_up.write()).word == "clear"


def test_clear_above(made_up: MadeUpRun) -> None:
    """Validation above training is the rule, with many evaluations and with one."""
    assert ask(made_up.write({}, below(-0.05))).word == "clear"
    assert ask(made_up.write({}, few(1, -0.05))).word == "clear"


def test_cannot_tell_without_evaluations(made_up: MadeUpRun) -> None:
    """A log of `iter` lines alone: the reason names the series that is missing."""
    outcome = ask(made_up.write({}, Log(iterations=healthy_log(4_000).iterations)))
    assert outcome.word == "cannot_tell"
    assert "the log has no train_loss_eval" in str(outcome.reason)


def test_cannot_tell_without_the_size_of_an_evaluation(made_up: MadeUpRun) -> None:
    """One evaluation of unknown size has an unknown noise: without a config nothing is concluded from it."""
    folder = made_up.write({}, few(1, 0.3))
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "how many batches" in str(outcome.reason)


@pytest.mark.parametrize("count", range(1, 9))
def test_more_evaluations_do_not_clear_a_gap(made_up: MadeUpRun, count: int) -> None:
    """A gap of 0.3 nats, 24 sds of one evaluation, is found in one and in two, so three to six of the same cannot clear it."""
    outcome = ask(made_up.write({}, few(count, 0.3)))
    assert outcome.word != "clear", str(outcome.reason)


def test_evaluations_without_a_common_step(made_up: MadeUpRun) -> None:
    """Where NaN leaves no step with both losses there is no gap to tell, and no traceback."""
    nan = math.nan
    log = Log({0: (10.8, 10.8), 2_000: (3.3, nan), 4_000: (nan, 3.2), 6_000: (nan, 3.1)})
    assert ask(made_up.write({}, log)).word == "cannot_tell"
