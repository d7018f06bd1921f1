"""SCH001: a decay planned over more steps than the run has."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.schedule.schedule_outlives_run import HIGH_SHARE
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)
EDGE = 500 + 19_500 / (math.acos(2 * (HIGH_SHARE - 0.1) / 0.9 - 1) / math.pi)
"""The decay whose cosine stands at the threshold after 20,000 steps: 0.1 + 0.9·(1 + cos πp)/2 = 0.3 at p = 0.6875."""


def ask(path: Path) -> Outcome:
    item = find_check("SCH001")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """A decay over 40,000 steps is at p = 19,500 / 39,500 when 20,000 end: 56 % of the peak, worth 0.05 to 0.09 nats."""
    outcome = ask(made_up.write({"lr_decay_iters": 40_000}, SHORT))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("SCH001", "warning")
    share = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 19_500 / 39_500))
    assert share == pytest.approx(0.559, abs=1e-3)
    assert found.numbers["learning_rate_share_at_end"] == pytest.approx(share)
    assert [e.place for e in found.evidence] == ["train_narrow.py:17", "train_narrow.py:18"]
    assert [(e.key, e.before, e.after, e.safety) for e in found.edits] == [
        ("lr_decay_iters", 40_000, 20_000, "changes_result")
    ]
    assert found.effect.unit == "nats"
    assert (found.effect.low, found.effect.value, found.effect.high) == (-0.094, -0.077, -0.05)


@pytest.mark.parametrize(("decay", "word"), [(math.floor(EDGE), "clear"), (math.ceil(EDGE), "found")])
def test_share(made_up: MadeUpRun, decay: int, word: str) -> None:
    """30 % of the peak is left by a decay over 28,864 steps: a step less is clear, the next is found."""
    assert pytest.approx(28_863.9, abs=1) == EDGE
    assert ask(made_up.write({"lr_decay_iters": decay}, SHORT)).word == word


def test_found_with_default_schedule(made_up: MadeUpRun) -> None:
    """A short run under nanoGPT's default decay of 600,000 steps ends at its peak."""
    folder = made_up.write({}, SHORT)
    config = folder / "train_narrow.py"
    config.write_text("".join(x for x in config.read_text().splitlines(True) if not x.startswith("lr_decay_iters")))
    found = ask(folder).finding
    assert found is not None
    assert found.numbers["learning_rate_share_at_end"] > 0.99
    assert (found.edits[0].before, found.edits[0].after) == (600_000, 20_000)


def test_clear(made_up: MadeUpRun) -> None:
    """A decay that ends with the run ends at min_lr, a tenth of the peak."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "clear"
    assert "10 %" in str(outcome.reason)


def test_clear_with_a_high_floor(made_up: MadeUpRun) -> None:
    """A decay that ends with the run is not outlived, even when its floor is half of the peak."""
    outcome = ask(made_up.write({"min_lr": 5e-4}, SHORT))
    assert outcome.word == "clear"
    assert "50 %" in str(outcome.reason)


def test_not_applicable_to_a_constant_rate(made_up: MadeUpRun) -> None:
    """decay_lr = False asks for a constant rate."""
    assert ask(made_up.write({"decay_lr": False, "lr_decay_iters": 40_000}, SHORT)).word == "not_applicable"


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone has no schedule."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "needs learning_rate" in str(outcome.reason)


@pytest.mark.parametrize("key", ["min_lr", "warmup_iters"])
def test_cannot_tell_where_the_rate_is_unknown(made_up: MadeUpRun, key: str) -> None:
    """An impossible floor or warm-up leaves the rate at the end unknown: that is no 0 %, and nothing is clear."""
    outcome = ask(made_up.write({key: -1, "lr_decay_iters": 100_000}, SHORT))
    assert outcome.word == "cannot_tell", str(outcome.reason)
