"""MDL003: heads whose size is not a multiple of 8."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.model.head_size_misaligned import ALIGNMENT
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("MDL003")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """360 / 6 = 60 is 7.5 times 8: a warning at the lines of width and heads."""
    outcome = ask(made_up.write({"n_embd": 360}, SHORT))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MDL003", "warning")
    assert found.numbers == {"head_size": 60}
    assert [e.place for e in found.evidence] == ["train_narrow.py:11", "train_narrow.py:10"]


@pytest.mark.parametrize(
    ("size", "word"),
    [(7 * ALIGNMENT, "clear"), (7 * ALIGNMENT + 1, "found"), (8 * ALIGNMENT - 1, "found"), (8 * ALIGNMENT, "clear")],
)
def test_alignment(made_up: MadeUpRun, size: int, word: str) -> None:
    """Multiples of the alignment are clear, one more or one less is found."""
    assert ask(made_up.write({"n_embd": 6 * size}, SHORT)).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """384 / 6 = 64."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "clear"
    assert "64" in str(outcome.reason)


def test_not_applicable_where_heads_do_not_divide(made_up: MadeUpRun) -> None:
    """Without a whole head size the question is MDL002's."""
    outcome = ask(made_up.write({"n_head": 7}, SHORT))
    assert outcome.word == "not_applicable"
    assert "MDL002" in str(outcome.reason)


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone does not say its width."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "needs d_model" in str(outcome.reason)
