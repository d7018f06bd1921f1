"""MDL006: the count that the trainer printed, against the count that the config gives."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)
COUNT = 50_304 * 384 + 6 * (12 * 384**2 + 2 * 384) + 384


def ask(path: Path) -> Outcome:
    item = find_check("MDL006")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def with_count(folder: Path, millions: str) -> Path:
    log = folder / "train.log"
    log.write_text(f"{log.read_text()}number of parameters: {millions}M\n")
    return folder


def test_found(made_up: MadeUpRun) -> None:
    """The config makes 29,938,560; a printed 40.56M means 40,555,000 to 40,565,000: an error at the printed line."""
    assert COUNT == 29_938_560
    folder = with_count(made_up.write({}, SHORT), "40.56")
    outcome = ask(folder)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MDL006", "error")
    assert found.numbers == {"computed": COUNT, "logged_low": 40_555_000, "logged_high": 40_565_000}
    # 1 + 41 iterations + 9 evaluations come before it
    assert [e.place for e in found.evidence] == ["train.log:52"]


@pytest.mark.parametrize(
    ("millions", "word"),
    [
        ("29.94", "clear"),  # 29,935,000 to 29,945,000 holds 29,938,560
        ("29.93", "found"),  # up to 29,935,000
        ("29.95", "found"),  # from 29,945,000
        ("29.92", "clear"),  # 29,920,512: the same shape with GPT-2's vocabulary of 50,257, which a config does not set
        ("29.96", "found"),  # 29,964,288: with biases, which this config turns off
    ],
)
def test_rounding(made_up: MadeUpRun, millions: str, word: str) -> None:
    """The printed figure stands for what rounds to it, under either vocabulary of GPT-2, and with the config's bias."""
    assert ask(with_count(made_up.write({}, SHORT), millions)).word == word


def test_cannot_tell_without_a_printed_count(made_up: MadeUpRun) -> None:
    """A log without the line cannot contradict the config."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "cannot_tell"
    assert "prints no parameter count" in str(outcome.reason)


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone has nothing to be compared with: the reason names the config."""
    folder = with_count(made_up.write({}, SHORT), "29.94")
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "parameter_count" in str(outcome.reason)
    assert "add the train_*.py" in str(outcome.reason)
