"""LOG017: columns that hold a placeholder throughout."""

from __future__ import annotations

from dataclasses import replace

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.log.metric_never_measured import KINDS
from auscult.examination import Examination
from auscult.run import Notice, Run, Source
from made_up import MadeUpRun, healthy_log


def ask(run: Run) -> Outcome:
    item = find_check("LOG017")
    assert item is not None
    return examine(item, Examination(run))


def noticing(run: Run, *notices: Notice) -> Run:
    return replace(run, notices=(*run.notices, *notices))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_found(made_up: MadeUpRun, kind: str) -> None:
    """Each placeholder is named with how often it stands there; nothing is concluded from it."""
    notice = Notice(kind, Source("read", "train.log", 4), 801, 900)
    outcome = ask(noticing(auscult.read(made_up.write({}, healthy_log(2_000))), notice))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG017", "info")
    assert KINDS[kind] in str(found.message)
    assert "801 values" in str(found.message)
    assert "nothing is concluded" in str(found.meaning)
    assert found.numbers == {kind: 801}


def test_found_several(made_up: MadeUpRun) -> None:
    """Two placeholders are one finding with two places."""
    run = auscult.read(made_up.write({}, healthy_log(2_000)))
    notices = [
        Notice("padding_nan", Source("read", "a.json", 1), 1, 1, 'the file is padded with "nan"'),
        Notice("grad_norm_constant_zero", Source("read", "a.json", 2), 40, 90, "the norm is printed as 0"),
    ]
    found = ask(noticing(run, *notices)).finding
    assert found is not None
    assert "the norm is printed as 0 (40 values)" in str(found.message)
    assert 'the file is padded with "nan" (1 value)' in str(found.message)
    assert len(found.evidence) == 2


def test_clear(made_up: MadeUpRun) -> None:
    """A log whose metrics vary."""
    assert ask(auscult.read(made_up.write({}, healthy_log(2_000)))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A config alone is a plan: there is no log to ask."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(auscult.read(folder))
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)
