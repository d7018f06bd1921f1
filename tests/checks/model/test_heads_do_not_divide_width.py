"""MDL002: a width that the heads do not divide."""

from __future__ import annotations

from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("MDL002")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """384 is 54.86 heads of 7: an error at both lines, and 56 · 7 = 392 is the nearest width with heads of a multiple of 8."""
    outcome = ask(made_up.write({"n_head": 7}, SHORT))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MDL002", "error")
    assert found.numbers == {"n_embd": 384, "n_head": 7}
    assert [e.place for e in found.evidence] == ["train_narrow.py:11", "train_narrow.py:10"]
    assert str(56 * 7) in str(found.action)
    assert "the model cannot be built" in str(found.meaning)


def test_found_with_more_heads_than_width(made_up: MadeUpRun) -> None:
    """Even 400 heads in a width of 384 get a width that works, one unit a head at least."""
    found = ask(made_up.write({"n_head": 400}, SHORT)).finding
    assert found is not None
    assert "400" in str(found.action)


def test_clear(made_up: MadeUpRun) -> None:
    """384 is 6 heads of 64."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "clear"
    assert "6 heads of 64" in str(outcome.reason)


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone does not say its width."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "needs d_model" in str(outcome.reason)


def test_cannot_tell_from_an_impossible_width(made_up: MadeUpRun) -> None:
    """A width of 0 is not divided: it is unknown, and the reason names its line."""
    outcome = ask(made_up.write({"n_embd": 0}, SHORT))
    assert outcome.word == "cannot_tell"
    assert "train_narrow.py:11" in str(outcome.reason)
