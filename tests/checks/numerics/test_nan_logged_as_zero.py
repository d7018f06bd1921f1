"""NUM004: losses of 0.0 that stand for NaN."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("NUM004")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


@pytest.mark.parametrize(("count", "says"), [(1, "1 logged loss is 0.0"), (24, "24 logged losses are 0.0")])
def test_found(made_up: MadeUpRun, count: int, says: str) -> None:
    """The number of such losses and the reader's reason are said: an error at the first of them."""
    notice = Notice(
        "nan_logged_as_zero", Source("read", "state.json", 40), count, 90, "the norm beside it is not finite"
    )
    outcome = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("NUM004", "error")
    assert says in str(found.message)
    assert "the norm beside it is not finite" in str(found.message)
    assert "weights are lost" in str(found.meaning)
    assert [e.place for e in found.evidence] == ["state.json:40"]
    assert found.numbers == {"count": count}


def test_found_in_a_trainer_state(tmp_path: Path) -> None:
    """A trainer's state whose losses fall to 0.0 while the gradient norm is NaN."""
    rows = [{"step": s, "epoch": s / 100, "loss": 4.0 - s / 100, "grad_norm": 1.0} for s in range(10, 60, 10)]
    rows += [{"step": s, "epoch": s / 100, "loss": 0.0, "grad_norm": math.nan} for s in range(60, 110, 10)]
    state = {"global_step": 100, "max_steps": 100, "log_history": rows, "num_train_epochs": 1, "logging_steps": 10}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state, indent=1))
    found = ask(auscult.read(tmp_path)).finding
    assert found is not None
    assert found.numbers == {"count": 5}


def test_clear(made_up: MadeUpRun) -> None:
    """Losses that are numbers."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
