"""LOG023: values that mean something else than usual."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.log.values_need_care import ORDINARY
from auscult.examination import Examination
from auscult.readers.log import _REMARKS
from auscult.run import Notice, Problem, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG023")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


READERS = Path(auscult.__file__).parent / "readers"


def test_found(made_up: MadeUpRun) -> None:
    """What a reader knows of its format is said in its own words."""
    notice = Notice("steps_are_iterations", Source("read", "metrics.csv", 2), 1, 0, "the step counts micro-batches")
    outcome = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG023", "info")
    assert "the step counts micro-batches" in str(found.message)
    assert found.numbers == {"kinds": ["steps_are_iterations"]}


def test_clear(made_up: MadeUpRun) -> None:
    """A saved checkpoint is ordinary."""
    notice = Notice("checkpoint", Source("read", "train.log", 9))
    assert ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice)).word == "clear"


def kinds_of_notices() -> set[str]:
    """Every kind of notice that the source of the readers names."""
    pattern = re.compile(r"(?:\bNotice|\.notice)\(\s*\"([a-z0-9_]+)\"")
    named = {kind for path in READERS.rglob("*.py") for kind in pattern.findall(path.read_text(encoding="utf-8"))}
    return named | {kind for kind, _pattern in _REMARKS}


def test_no_notice_is_lost(made_up: MadeUpRun) -> None:
    """Whatever kind of notice a reader makes, some check reports it, unless any healthy log has it."""
    kinds = kinds_of_notices()
    assert len(kinds) > 20
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    bare = replace(run, series=tuple(s for s in run.series if s.unit != "nats_per_token"))
    empty = replace(run, series=())
    before = {f.code for f in auscult.diagnose(run).findings}
    lost = []
    for kind in sorted(kinds - ORDINARY):
        told = {"no_loss_logged": bare, "no_metrics": empty}.get(kind, run)
        diagnosis = auscult.diagnose(noticing(told, Notice(kind, Source("read", "train.log", 3), 9, 9, "so it is")))
        if not {f.code for f in diagnosis.findings} - before:
            lost.append(kind)
    assert lost == []


def test_no_problem_is_lost(made_up: MadeUpRun) -> None:
    """Whatever kind of problem a reader has, also one that is not known yet, some check reports it."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    before = {f.code for f in auscult.diagnose(run).findings}
    for kind in (
        "broken_record",
        "not_evaluated",
        "impossible_value",
        "settings_disagree",
        "unread_bytes",
        "brand_new",
    ):
        problem = Problem(kind, "key: 1 at a, 2 at b", Source("read", "train.log", 3))
        told = replace(run, problems=(problem,))
        assert {f.code for f in auscult.diagnose(told).findings} - before, kind


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
