"""LOG016: a log without any loss."""

from __future__ import annotations

from dataclasses import replace

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG016")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


def test_found(made_up: MadeUpRun) -> None:
    """Step times alone say nothing about learning: a warning that names what is there."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    outcome = ask(replace(run, series=tuple(s for s in run.series if s.unit != "nats_per_token")))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG016", "warning")
    assert "step_time_s" in str(found.message)
    assert found.evidence


def test_found_with_the_readers_reason(made_up: MadeUpRun) -> None:
    """What the reader knows of the reason is said, also where the scale of a loss is logged."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    time = run.get("step_time_s")
    assert time is not None
    scale = replace(time, name="loss_scale", unit="1")
    notice = Notice("no_loss_logged", Source("read", "state.json"), 1, 0, "300 steps were made and no row has a loss")
    found = ask(noticing(replace(run, series=(scale,)), notice)).finding
    assert found is not None
    assert "300 steps were made and no row has a loss" in str(found.message)
    assert [e.place for e in found.evidence] == ["state.json"]


def test_clear(made_up: MadeUpRun) -> None:
    """A log with losses."""
    outcome = ask(auscult.read(made_up.write({}, healthy_log(2_000))))
    assert outcome.word == "clear"
    assert "train_loss" in str(outcome.reason)


def test_clear_where_another_file_has_the_loss(made_up: MadeUpRun) -> None:
    """A notice of one file does not outweigh the loss of another."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    assert ask(noticing(run, Notice("no_loss_logged", Source("read", "state.json")))).word == "clear"


def test_not_applicable_without_any_metric(made_up: MadeUpRun) -> None:
    """A log without any metric is LOG021's."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    assert ask(replace(run, series=())).word == "not_applicable"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
