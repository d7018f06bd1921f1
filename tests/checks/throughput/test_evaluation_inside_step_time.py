"""THR002: step times that hold an evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.throughput.evaluation_inside_step_time import COSTLY_SHARE, VISIBLE
from auscult.examination import Examination
from made_up import Log, MadeUpRun


def ask(path: Path) -> Outcome:
    item = find_check("THR002")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def log_of(extra_ms: float, *, every: int = 500, log_every: int = 100, offset: int = 0, last: int = 4_000) -> Log:
    """Steps of 2 s, logged from ``offset`` on, and ``extra_ms`` more where one is evaluated."""
    return Log(
        dict.fromkeys(range(0, last + 1, every), (3.0, 3.0)),
        {
            step: (3.0, 2_000.0 + (extra_ms if step % every == 0 else 0.0), 17.0)
            for step in range(offset, last + 1, log_every)
        },
    )


def test_found(made_up: MadeUpRun) -> None:
    """11 s against 2 s: an evaluation costs 9 s, 9 / (500 · 2 + 9) = 0.9 % of the run; the first such step is the evidence."""
    outcome = ask(made_up.write({}, log_of(9_000.0)))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("THR002", "info")
    assert found.numbers["steady_s"] == 2.0
    assert found.numbers["with_evaluation_s"] == 11.0
    assert found.numbers["evaluation_s"] == 9.0
    assert found.numbers["share_of_run"] == pytest.approx(9 / 1_009)
    assert found.effect.unit == "clarity"
    # step 500: after the header, 5 iterations from 0 to 400, 2 evaluations
    assert [e.place for e in found.evidence] == ["train.log:9"]
    assert "not a slow card" in str(found.meaning)
    assert "8 logged steps" in str(found.message)


@pytest.mark.parametrize(("extra_ms", "severity"), [(5_250.0, "info"), (5_280.0, "warning")])
def test_costly(made_up: MadeUpRun, extra_ms: float, severity: str) -> None:
    """At an evaluation every 50 steps of 2 s, 5 % are reached at 100 / 19 = 5.263 s."""
    extra = extra_ms / 1_000
    assert (extra / (50 * 2 + extra) > COSTLY_SHARE) == (severity == "warning")
    found = ask(made_up.write({"eval_interval": 50}, log_of(extra_ms, every=50, log_every=25))).finding
    assert found is not None
    assert found.severity == severity
    if severity == "warning":  # 4,000 / 50 evaluations
        assert found.effect.unit == "hours"
        assert found.effect.value == pytest.approx(-80 * extra / 3_600)


@pytest.mark.parametrize(("factor", "word"), [(VISIBLE - 0.005, "clear"), (VISIBLE + 0.005, "found")])
def test_visible(made_up: MadeUpRun, factor: float, word: str) -> None:
    """Steps with an evaluation stand out from 1.3 times a steady one."""
    assert ask(made_up.write({}, log_of(2_000.0 * (factor - 1)))).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """Evaluations of 0.2 s in steps of 2 s are not to be seen."""
    assert ask(made_up.write({}, log_of(200.0))).word == "clear"


def test_not_applicable_where_they_never_coincide(made_up: MadeUpRun) -> None:
    """Steps logged at 10, 110, 210 … are never evaluated."""
    outcome = ask(made_up.write({}, log_of(9_000.0, offset=10)))
    assert outcome.word == "not_applicable"


def test_cannot_tell_without_step_times(made_up: MadeUpRun) -> None:
    """A log of `step` lines alone prints no times, and the reason says so."""
    outcome = ask(made_up.write({}, Log(log_of(9_000.0).evaluations)))
    assert outcome.word == "cannot_tell"
    assert "prints no step times" in str(outcome.reason)


def test_cannot_tell_where_every_step_is_evaluated(made_up: MadeUpRun) -> None:
    """Without one steady step there is nothing to compare with."""
    outcome = ask(made_up.write({"eval_interval": 100}, log_of(9_000.0, every=100)))
    assert outcome.word == "cannot_tell"
    assert "every logged step holds an evaluation" in str(outcome.reason)
