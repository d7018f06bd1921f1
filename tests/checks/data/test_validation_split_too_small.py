"""DAT002: the sampling error of the validation split itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.data.validation_split_too_small import WANTED_ERROR_NATS
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("DAT002")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def test_found(made_up: MadeUpRun) -> None:
    """5,300 tokens are 5.18 sequences: sds of 0.5 and 1.0 over √5.18 = 2.275 leave 0.22 to 0.44 nats."""
    outcome = ask(made_up.write({}, SHORT), val_tokens="5.3k")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("DAT002", "warning")
    assert found.numbers["val_tokens"] == 5_300
    assert (
        found.numbers["error_low"] == pytest.approx(0.5 / math.sqrt(5_300 / 1_024)) == pytest.approx(0.2198, abs=1e-4)
    )
    assert found.numbers["error_high"] == pytest.approx(1.0 / math.sqrt(5_300 / 1_024))
    assert [e.place for e in found.evidence] == ["--val-tokens"]
    assert found.effect.value is None


def test_found_from_its_file(made_up: MadeUpRun) -> None:
    """10,600 bytes of uint16 in data/fineweb/val.bin are 5,300 tokens, and the file is the evidence."""
    folder = made_up.write({}, SHORT)
    (folder / "data" / "fineweb").mkdir(parents=True)
    (folder / "data" / "fineweb" / "val.bin").write_bytes(bytes(10_600))
    found = ask(folder).finding
    assert found is not None
    assert found.numbers["val_tokens"] == 5_300
    assert [e.place for e in found.evidence] == ["data/fineweb/val.bin"]


@pytest.mark.parametrize(("tokens", "word"), [(2_560_000, "clear"), (2_559_999, "found")])
def test_wanted_error(made_up: MadeUpRun, tokens: int, word: str) -> None:
    """2,560,000 tokens are 2,500 sequences: 0.5 / 50 is the 0.01 nats that is wanted; one token fewer is too few."""
    assert 0.5 / math.sqrt(2_560_000 / 1_024) == WANTED_ERROR_NATS
    assert ask(made_up.write({}, SHORT), val_tokens=tokens).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """100M tokens are 97,656 sequences: 1 / 312.5 = 0.003 nats."""
    outcome = ask(made_up.write({}, SHORT), val_tokens="100M")
    assert outcome.word == "clear"
    assert "0.003" in str(outcome.reason)


def test_cannot_tell_without_the_size_of_the_split(made_up: MadeUpRun) -> None:
    """The reason names the option to give."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "cannot_tell"
    assert "--val-tokens" in str(outcome.reason)
