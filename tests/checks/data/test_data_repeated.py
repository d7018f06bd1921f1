"""DAT001: passes over the training split."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.data.data_repeated import MANY_EPOCHS
from auscult.examination import MAX_FRESH_EPOCHS, Examination
from auscult.readers import given_by_options
from made_up import MadeUpRun, healthy_log

TOKENS = 20_000 * 524_288


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("DAT001")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def test_found(made_up: MadeUpRun) -> None:
    """10,485,760,000 tokens over a split of 500M are 20.97 passes: a warning."""
    outcome = ask(made_up.write(), train_tokens="500M")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("DAT001", "warning")
    assert found.numbers["epochs"] == pytest.approx(10_485_760_000 / 500_000_000)
    places = [e.place for e in found.evidence]
    assert {"train_narrow.py:18", "train_narrow.py:6", "train_narrow.py:7", "train_narrow.py:8"} <= set(places)


@pytest.mark.parametrize(
    ("epochs", "more", "word", "severity"),
    [
        (MAX_FRESH_EPOCHS, 0, "clear", None),
        (MAX_FRESH_EPOCHS, -1, "found", "info"),
        (MANY_EPOCHS, 1, "found", "info"),
        (MANY_EPOCHS, 0, "found", "warning"),
    ],
)
def test_thresholds(made_up: MadeUpRun, epochs: float, more: int, word: str, severity: str | None) -> None:
    """Four passes are fresh, from sixteen on it is a warning; one token of the split more or less decides."""
    split = TOKENS / epochs + more
    assert split == int(split)
    outcome = ask(made_up.write(), train_tokens=int(split))
    assert outcome.word == word
    assert (outcome.finding.severity if outcome.finding else None) == severity


def test_clear(made_up: MadeUpRun) -> None:
    """10.49B tokens of a corpus of 100B are a tenth of a pass."""
    outcome = ask(made_up.write(), train_tokens="100B")
    assert outcome.word == "clear"
    assert "0.1 epochs" in str(outcome.reason)


def test_split_counted_from_its_file(made_up: MadeUpRun) -> None:
    """The size of data/fineweb/train.bin, two bytes a token, does as well as an option: 1,048,576 tokens, 10,000 passes planned."""
    folder = made_up.write({}, healthy_log(4_000))
    (folder / "data" / "fineweb").mkdir(parents=True)
    (folder / "data" / "fineweb" / "train.bin").write_bytes(bytes(2 * 1_048_576))
    found = ask(folder).finding
    assert found is not None
    assert found.numbers["epochs"] == pytest.approx(20_000 * 524_288 / 1_048_576) == pytest.approx(10_000)


def test_cannot_tell_without_the_size_of_the_split(made_up: MadeUpRun) -> None:
    """How often data are repeated needs --train-tokens, and the reason names it."""
    outcome = ask(made_up.write())
    assert outcome.word == "cannot_tell"
    assert "--train-tokens" in str(outcome.reason)
