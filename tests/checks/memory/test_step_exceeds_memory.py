"""MEM001: the estimated peak of a step against the card."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import MadeUpRun, healthy_log


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("MEM001")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def plan(made_up: MadeUpRun, **config: object) -> Path:
    """A config without a log."""
    folder = made_up.write(config)
    (folder / "train.log").unlink()
    return folder


def need(batch: int) -> int:
    """The peak of a compiled bf16 step of 6 x 384 with dropout, by hand [bytes]."""
    tokens = batch * 1_024
    parameters = 30_331_776
    matrices = parameters - 1_024 * 384 - 13 * 384  # all but positions and norms
    outside = (
        384 + 6 * 384 + 8 + 16
    )  # mask of the embedding; final norm, its statistics and the head's input; token ids
    activations = tokens * (6 * (36 * 384 + 4 * 6 + 16 + 2 * 384) + outside)
    logits = tokens * 50_304 * 4
    allocated = 16 * parameters + 2 * matrices + activations + logits
    return allocated + round(0.12 * allocated) + round(0.55 * 2**30)


LIMIT = round(0.975 * 12 * 2**30)


def test_found(made_up: MadeUpRun) -> None:
    """64 sequences need 22.61 GB, an RTX 4070 offers 97.5 % of 12 GiB, 12.56 GB: an error at the batch's line."""
    outcome = ask(plan(made_up, batch_size=64), gpu="RTX 4070")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MEM001", "error")
    assert need(64) == 22_613_495_972
    assert found.numbers["need_bytes"] == pytest.approx(need(64), abs=2)
    assert found.numbers["limit_bytes"] == LIMIT == 12_562_779_341
    assert [e.place for e in found.evidence] == ["train_narrow.py:6"]
    assert "the largest part is logits" in str(found.meaning)


def test_limit(made_up: MadeUpRun) -> None:
    """The largest batch that the sum allows is clear, one sequence more is found."""
    last = max(batch for batch in range(1, 65) if need(batch) <= LIMIT)
    assert ask(plan(made_up, batch_size=last), gpu="RTX 4070").word == "clear"
    assert ask(plan(made_up, batch_size=last + 1), gpu="RTX 4070").word == "found"


def test_clear(made_up: MadeUpRun) -> None:
    """16 sequences fit."""
    outcome = ask(plan(made_up), gpu="RTX 4070")
    assert outcome.word == "clear"
    assert "of 11.7 GiB usable" in str(outcome.reason)


def test_not_applicable_where_steps_were_made(made_up: MadeUpRun) -> None:
    """A log with steps proves that they fit, whatever the estimate says."""
    outcome = ask(made_up.write({"batch_size": 64}, healthy_log(4_000)), gpu="RTX 4070")
    assert outcome.word == "not_applicable"
    assert "so they fit" in str(outcome.reason)


def test_cannot_tell_without_a_card(made_up: MadeUpRun) -> None:
    """The reason names the option to give."""
    outcome = ask(plan(made_up, batch_size=64))
    assert outcome.word == "cannot_tell"
    assert "--gpu" in str(outcome.reason)


def test_cannot_tell_where_the_cards_differ(made_up: MadeUpRun) -> None:
    """An A100 has 40 or 80 GiB: neither is taken, and the reason asks which."""
    outcome = ask(plan(made_up, batch_size=64), gpu="A100")
    assert outcome.word == "cannot_tell"
    assert "differ in memory" in str(outcome.reason)
