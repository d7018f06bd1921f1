"""LOG002: numbers in comments, against the values beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("LOG002")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """20,000 · 524,288 is 10.49B, not "~3B tokens seen"; 16 · 32 = 512 is true and is said to be."""
    outcome = ask(made_up.write({}, SHORT, "# 16 * 32 = 512 sequences\n# ~3B tokens seen\n"))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG002", "warning")
    assert found.numbers["false"] == [
        {"text": "~3B tokens seen", "claimed": 3e9, "actual": 20_000 * 524_288, "line": 2}
    ]
    assert found.numbers["true"] == [{"text": "16 * 32 = 512 sequences", "claimed": 512, "actual": 512, "line": 1}]
    assert [e.place for e in found.evidence] == ["train_narrow.py:2"]
    assert "auscult fix" in str(found.action)


@pytest.mark.parametrize(
    ("comment", "actual"),
    [
        ("# 8 * 32 = 512 sequences", 256),  # the product itself
        ("# 8 * 32 = 256 sequences", 512),  # right, but the config has 16 · 32
        ("# 16 * 16 * 1024 = 262144 tokens", 524_288),
        ("# 0.25M tokens per step", 524_288),
        ("# this makes total number of tokens be 300B", 10_485_760_000),
    ],
)
def test_found_in_other_words(made_up: MadeUpRun, comment: str, actual: int) -> None:
    """A product that is wrong, one that is right but is not the config's, tokens a step, and nanoGPT's own phrase."""
    found = ask(made_up.write({}, SHORT, comment + "\n")).finding
    assert found is not None
    assert [claim["actual"] for claim in found.numbers["false"]] == [actual]


def test_clear_with_the_comments_of_nanogpt(made_up: MadeUpRun) -> None:
    """train_gpt2.py's own: 12 · 1024 · 5 · 8 = 491,520, and 600,000 times that is 294.9B, within 5 % of 300B."""
    comments = (
        "# 12 batch size * 1024 block size * 5 gradaccum * 8 GPUs = 491,520\n"
        "# this makes total number of tokens be 300B\n"
    )
    config = {"batch_size": 12, "gradient_accumulation_steps": 40, "max_iters": 600_000, "lr_decay_iters": 600_000}
    assert 12 * 1_024 * 5 * 8 == 491_520
    assert abs(600_000 * 491_520 - 300e9) < 0.05 * 600_000 * 491_520
    assert ask(made_up.write(config, SHORT, comments)).word == "clear"


@pytest.mark.parametrize(
    ("comment", "word"),
    [
        ("# 10B tokens seen", "clear"),  # 4.6 % off 10.49B
        ("# 9.9B tokens seen", "found"),  # 5.6 %
        ("# ~9.5B tokens seen", "clear"),  # 9.4 %, about
        ("# ~9.4B tokens seen", "found"),  # 10.4 %, about
    ],
)
def test_tolerance(made_up: MadeUpRun, comment: str, word: str) -> None:
    """5 % of 10.49B, and 10 % where it says "about"."""
    assert ask(made_up.write({}, SHORT, comment + "\n")).word == word


def test_cannot_tell_without_comments(made_up: MadeUpRun) -> None:
    """A config that states nothing cannot contradict itself."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "cannot_tell"
    assert "states a number" in str(outcome.reason)


def test_cannot_tell_from_a_parameter_count_alone(made_up: MadeUpRun) -> None:
    """Parameters are MDL001's: the reason says that tokens or a product are missing."""
    outcome = ask(made_up.write({}, SHORT, "# ~30M parameters\n"))
    assert outcome.word == "cannot_tell"
    assert "tokens or a product" in str(outcome.reason)


def test_cannot_tell_where_the_tokens_are_unknown(made_up: MadeUpRun) -> None:
    """An impossible number of steps leaves the tokens of the run unknown."""
    outcome = ask(made_up.write({"max_iters": 0}, SHORT, "# ~3B tokens seen\n"))
    assert outcome.word == "cannot_tell"
    assert "cannot be computed" in str(outcome.reason)


@pytest.mark.parametrize(
    "comment",
    ["# 1.5 * 2 = 3 hours on one card", "# 0.5 * 4 = 2", "# 2 + 3 * 4 = 14", "# 20 - 4 * 4 = 4", "# 64 / 2 * 4 = 128"],
)
def test_true_arithmetic_is_not_contradicted(made_up: MadeUpRun, comment: str) -> None:
    """A product that is only a part of a longer, true expression is not judged alone (`auscult fix` would falsify it)."""
    outcome = ask(made_up.write({}, SHORT, comment + "\n"))
    assert outcome.word != "found", str(outcome.reason)
