"""REG002: the price of dropout, measured between `iter` and `step` lines."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.regularisation.dropout_costs_loss import PUBLISHED_GAIN, SIGMAS
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import STEP_TIME_MS, Log, MadeUpRun, healthy_log


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("REG002")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def flat(cost: float, scatter: float = 0.01) -> Log:
    """From ln V at step 0, `step` losses of 3.0, `iter` losses of 3.0 + cost, by turns above and below by ``scatter``."""
    return Log(
        dict.fromkeys(range(0, 20_001, 500), (3.0, 3.0)) | {0: (10.85, 10.85)},
        {
            step: (3.0 + cost + (-scatter if step // 100 % 2 else scatter), STEP_TIME_MS, 17.0)
            for step in range(0, 20_001, 100)
        },
    )


def error(scatter: float = 0.01) -> float:
    """The standard error of 101 values, 51 above and 50 below by ``scatter``; the evaluations have none."""
    return math.sqrt((101 * scatter**2 - 101 * (scatter / 101) ** 2) / 100 / 101)


def test_found(made_up: MadeUpRun) -> None:
    """From step 10,000: 101 `iter` lines, mean 3.08 + 0.01/101, against 21 evaluations of 3.0."""
    outcome = ask(made_up.write({}, flat(0.08)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("REG002", "warning")
    assert found.numbers["dropout"] == 0.1
    assert found.numbers["cost"] == pytest.approx(0.08 + 0.01 / 101)
    assert found.numbers["standard_error"] == pytest.approx(error())
    assert found.numbers["points"] == 101 + 21
    # line 1 is the header; before step 10,000 stand 100 iterations and 20 evaluations: its own lines are 122 and 123
    assert [e.place for e in found.evidence] == ["train_narrow.py:12", "train.log:123", "train.log:122"]
    assert [(e.key, e.before, e.after, e.safety) for e in found.edits] == [("dropout", 0.1, 0.0, "changes_result")]
    assert found.effect.unit == "nats"
    assert found.effect.value == PUBLISHED_GAIN
    assert found.effect.low == pytest.approx(-0.08, abs=1e-3)
    assert found.effect.high == 0.0


@pytest.mark.parametrize(("factor", "word"), [(0.95, "clear"), (1.05, "found")])
def test_sigmas(made_up: MadeUpRun, factor: float, word: str) -> None:
    """Three standard errors decide: 5 % below is clear, 5 % above is found (scatter 0.1, so that printing loses nothing)."""
    cost = factor * SIGMAS * error(0.1) - 0.1 / 101
    assert ask(made_up.write({}, flat(cost, 0.1))).word == word


def test_found_in_repeated_data_edits_nothing(made_up: MadeUpRun) -> None:
    """At 21 passes over the data dropout may be worth its price: information, no edit, keep it."""
    found = ask(made_up.write({}, flat(0.08)), train_tokens="500M").finding
    assert found is not None
    assert found.severity == "info"
    assert found.edits == ()
    assert found.effect.unit == "clarity"
    assert "keep it" in str(found.action)


def test_found_where_passes_are_unknown(made_up: MadeUpRun) -> None:
    """Below 1B tokens, with the split's size unknown, it asks for --train-tokens and edits nothing."""
    log = Log(
        dict.fromkeys(range(0, 1_801, 50), (3.0, 3.0)),
        {step: (3.1 + 0.001 * (step % 3), STEP_TIME_MS, 17.0) for step in range(0, 1_801, 10)},
    )
    found = ask(made_up.write({"max_iters": 1_800, "lr_decay_iters": 1_800, "eval_interval": 50}, log)).finding
    assert found is not None
    assert 1_800 * 524_288 < 1_000_000_000
    assert found.severity == "info"
    assert found.edits == ()
    assert "--train-tokens" in str(found.action)


def test_clear(made_up: MadeUpRun) -> None:
    """Without a difference there is no price."""
    outcome = ask(made_up.write({}, flat(0.0)))
    assert outcome.word == "clear"
    assert "within twice its error of zero" in str(outcome.reason)


def test_not_applicable_without_dropout(made_up: MadeUpRun) -> None:
    """With dropout 0 the same difference is only a control, and is given."""
    outcome = ask(made_up.write({"dropout": 0.0}, flat(0.0)))
    assert outcome.word == "not_applicable"
    assert "dropout is 0" in str(outcome.reason)


def test_cannot_tell_without_iterations(made_up: MadeUpRun) -> None:
    """A log without `iter` lines lacks train_loss, and the reason names it."""
    outcome = ask(made_up.write({}, Log(flat(0.08).evaluations)))
    assert outcome.word == "cannot_tell"
    assert "the log has no train_loss" in str(outcome.reason)


def test_cannot_tell_without_evaluations(made_up: MadeUpRun) -> None:
    """A log without `step` lines lacks train_loss_eval, and the reason names it."""
    outcome = ask(made_up.write({}, Log(iterations=flat(0.08).iterations)))
    assert outcome.word == "cannot_tell"
    assert "train_loss_eval" in str(outcome.reason)


def test_cannot_tell_from_five_evaluations(made_up: MadeUpRun) -> None:
    """At step 4,000 the second half holds five evaluations (2,000 to 4,000), and six are needed."""
    outcome = ask(made_up.write({}, healthy_log(4_000)))
    assert outcome.word == "cannot_tell"
    assert "fewer than 6" in str(outcome.reason)


def test_the_effect_lies_within_its_bounds(made_up: MadeUpRun) -> None:
    """A price of 0.02 nats bounds the gain: the value given lies between low and high, not beyond what was measured."""
    found = ask(made_up.write({}, flat(0.02))).finding
    assert found is not None
    low, value, high = found.effect.low, found.effect.value, found.effect.high
    assert low is not None
    assert value is not None
    assert high is not None
    assert low <= value <= high


def test_a_negative_difference_is_not_zero(made_up: MadeUpRun) -> None:
    """−0.1 ± 0.001 nats is a hundred standard errors from zero: "not distinguishable from zero" would be untrue."""
    outcome = ask(made_up.write({}, flat(-0.1)))
    assert "not distinguishable from zero" not in str(outcome.reason)


def test_a_plan_that_repeats_its_data_keeps_dropout(made_up: MadeUpRun) -> None:
    """6,000 of 20,000 steps are 3.1 passes over 1B tokens, the plan is 10.5: the recipe's dropout is not removed."""
    assert 6_000 * 524_288 / 1e9 < 4 < 20_000 * 524_288 / 1e9
    log = flat(0.08)
    log.evaluations = {step: row for step, row in log.evaluations.items() if step <= 6_000}
    log.iterations = {step: row for step, row in log.iterations.items() if step <= 6_000}
    found = ask(made_up.write({}, log), train_tokens="1B").finding
    assert found is not None
    assert found.edits == ()


def test_a_run_that_overfits_keeps_dropout(made_up: MadeUpRun) -> None:
    """Where validation rises while training falls (REG001 asks for more regularisation) dropout is not removed."""
    log = Log()
    for k in range(41):
        log.evaluations[500 * k] = (3.6 - 0.01 * k, 3.2 + (0.02 * (19 - k) if k < 19 else 0.02 * max(k - 21, 0)))
    for step in range(0, 20_001, 100):
        log.iterations[step] = (3.68 - 2e-5 * step, STEP_TIME_MS, 17.0)
    found = ask(made_up.write({}, log)).finding
    assert found is not None
    assert found.edits == ()
    assert "protects from nothing" not in str(found.meaning)
