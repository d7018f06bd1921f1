"""MDL004: a large vocabulary that is not a multiple of 64."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.model.vocabulary_not_padded import MULTIPLE, SMALL
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("MDL004")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def with_line(folder: Path, line: str) -> Path:
    log = folder / "train.log"
    log.write_text(f"{line}\n{log.read_text()}")
    return folder


def test_found(made_up: MadeUpRun) -> None:
    """50,257 = 785 · 64 + 17: the next multiple is 786 · 64 = 50,304."""
    outcome = ask(with_line(made_up.write({}, SHORT), "found vocab_size = 50257 (inside data/x/meta.pkl)"))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MDL004", "info")
    assert found.numbers == {"vocab_size": 50_257, "padded": 786 * 64}
    assert "50,304" in str(found.action)


def test_evidence_is_the_line_that_says_the_vocabulary(made_up: MadeUpRun) -> None:
    """The finding points at the log's own line, train.log:1, not at an unplaced formula."""
    found = ask(with_line(made_up.write({}, SHORT), "found vocab_size = 50257 (inside data/x/meta.pkl)")).finding
    assert found is not None
    assert "train.log:1" in [e.place for e in found.evidence]


def test_found_from_the_printed_count(made_up: MadeUpRun) -> None:
    """29.92M parameters prove 50,257: 47 · 384 = 18,048 fewer than the 29,938,560 of 50,304."""
    assert 29_938_560 - 47 * 384 == 29_920_512
    outcome = ask(with_line(made_up.write({}, SHORT), "number of parameters: 29.92M"))
    found = outcome.finding
    assert found is not None
    assert found.numbers["vocab_size"] == 50_257


def test_clear(made_up: MadeUpRun) -> None:
    """NanoGPT's default, 50,304, is 786 · 64."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "clear"
    assert "50,304" in str(outcome.reason)


@pytest.mark.parametrize(
    ("vocab", "word"),
    [(SMALL - 1, "not_applicable"), (SMALL, "clear"), (SMALL + 1, "found"), (SMALL + MULTIPLE, "clear")],
)
def test_small_vocabularies(made_up: MadeUpRun, vocab: int, word: str) -> None:
    """Below 1,024 it does not matter; from there a multiple of 64 is wanted (1,024 = 16 · 64)."""
    assert ask(with_line(made_up.write({}, SHORT), f"found vocab_size = {vocab}")).word == word


def test_not_applicable_with_loaded_weights(made_up: MadeUpRun) -> None:
    """GPT-2's weights keep GPT-2's vocabulary."""
    assert ask(made_up.write({"init_from": "gpt2"}, SHORT)).word == "not_applicable"


def test_cannot_tell_for_characters(made_up: MadeUpRun) -> None:
    """A character-level vocabulary stands in meta.pkl, which is never unpickled: the reason says so."""
    outcome = ask(made_up.write({"dataset": "shakespeare_char"}, SHORT))
    assert outcome.word == "cannot_tell"
    assert "vocab_size" in str(outcome.reason)
    assert "never unpickled" in str(outcome.reason)
