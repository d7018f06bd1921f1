"""REG003: dropout where data are hardly repeated and the log cannot measure its price."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.regularisation.dropout_costs_loss import PUBLISHED_GAIN
from auscult.examination import MAX_FRESH_EPOCHS, Examination
from auscult.examination.curve import LARGE_RUN_TOKENS
from auscult.readers import given_by_options
from made_up import Log, MadeUpRun

TOKENS = 20_000 * 524_288


def plan(made_up: MadeUpRun, **config: object) -> Path:
    """A config without a log."""
    folder = made_up.write(config)
    (folder / "train.log").unlink()
    return folder


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("REG003")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def test_found(made_up: MadeUpRun) -> None:
    """Dropout 0.1 over a tenth of a pass: a warning at its line, worth 0 to 0.10 nats, and the edit to 0."""
    outcome = ask(plan(made_up), train_tokens="100B")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("REG003", "warning")
    assert found.numbers == {"dropout": 0.1}
    assert [e.place for e in found.evidence] == ["train_narrow.py:12"]
    assert [(e.key, e.before, e.after, e.safety) for e in found.edits] == [("dropout", 0.1, 0.0, "changes_result")]
    assert (found.effect.low, found.effect.value, found.effect.high) == (2 * PUBLISHED_GAIN, PUBLISHED_GAIN, 0.0)


@pytest.mark.parametrize(("more", "word"), [(0, "found"), (-1, "not_applicable")])
def test_fresh_epochs(made_up: MadeUpRun, more: int, word: str) -> None:
    """Up to four passes the data count as fresh; one token of the split fewer makes it more than four."""
    assert TOKENS % MAX_FRESH_EPOCHS == 0
    assert ask(plan(made_up), train_tokens=int(TOKENS / MAX_FRESH_EPOCHS) + more).word == word


@pytest.mark.parametrize(("steps", "word"), [(1_907, "cannot_tell"), (1_908, "found")])
def test_large_runs(made_up: MadeUpRun, steps: int, word: str) -> None:
    """With the split's size unknown a plan over 1B tokens, 1,907.3 steps, is taken to read a large corpus."""
    assert (steps * 524_288 >= LARGE_RUN_TOKENS) == (word == "found")
    outcome = ask(plan(made_up, max_iters=steps, lr_decay_iters=steps))
    assert outcome.word == word
    assert word == "found" or "--train-tokens" in str(outcome.reason)


def test_clear(made_up: MadeUpRun) -> None:
    """Without dropout there is nothing to remove."""
    outcome = ask(plan(made_up, dropout=0.0))
    assert outcome.word == "clear"
    assert "dropout is 0" in str(outcome.reason)


def test_not_applicable_where_the_log_measures_it(made_up: MadeUpRun) -> None:
    """REG002 measures the price where `iter` and `step` lines are there."""
    outcome = ask(made_up.write())
    assert outcome.word == "not_applicable"
    assert "REG002" in str(outcome.reason)


def test_not_applicable_to_repeated_data(made_up: MadeUpRun) -> None:
    """At 21 passes dropout may be worth its price."""
    assert ask(plan(made_up), train_tokens="500M").word == "not_applicable"


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone does not say its dropout."""
    folder = made_up.write()
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "needs dropout" in str(outcome.reason)


def test_a_run_that_overfits_keeps_dropout(made_up: MadeUpRun) -> None:
    """Where validation rises while training falls (REG001 asks for more regularisation) "it protects from nothing" is untrue."""
    log = Log()
    for k in range(41):
        log.evaluations[500 * k] = (3.6 - 0.01 * k, 3.2 + (0.02 * (19 - k) if k < 19 else 0.02 * max(k - 21, 0)))
    outcome = ask(made_up.write({}, log))
    assert outcome.word != "found", str(outcome.reason)
