"""LOG004: a log that ends before the planned last step."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("LOG004")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def ending(folder: Path, line: str) -> Path:
    with (folder / "train.log").open("a") as log:
        log.write(line + "\n")
    return folder


def test_found(made_up: MadeUpRun) -> None:
    """4,000 of 20,000 steps, the rate at 1e-4 + 9e-4 · (1 + cos(π · 3,500/19,500))/2 = 9.3e-4: 16,000 steps to come."""
    outcome = ask(made_up.write({}, SHORT))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("LOG004", "info")
    assert (found.numbers["last_step"], found.numbers["planned"]) == (4_000, 20_000)
    assert found.numbers["share"] == 0.2
    rate = 1e-4 + 9e-4 * 0.5 * (1 + math.cos(math.pi * 3_500 / 19_500))
    assert rate == pytest.approx(9.303e-4, abs=1e-7)
    assert found.numbers["learning_rate"] == pytest.approx(rate)
    # the header, 41 iterations and 9 evaluations; max_iters
    assert [e.place for e in found.evidence] == ["train.log:51", "train_narrow.py:18"]
    assert "the last loss is not the final one: 16,000 steps are to come" in str(found.meaning)


@pytest.mark.parametrize(
    ("line", "why", "severity"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory.", "ran out of memory", "warning"),
        ("Traceback (most recent call last):", "raised an exception", "warning"),
        ("KeyboardInterrupt", "interrupted from the keyboard", "info"),
        ("Killed", "it was killed", "info"),
    ],
)
def test_found_with_its_reason(made_up: MadeUpRun, line: str, why: str, severity: str) -> None:
    """What the log says last is the reason, and its line is evidence."""
    found = ask(ending(made_up.write({}, SHORT), line)).finding
    assert found is not None
    assert why in str(found.message)
    assert found.severity == severity
    assert found.evidence[-1].place == "train.log:52"


def test_found_without_a_reason(made_up: MadeUpRun) -> None:
    """A saved checkpoint explains nothing: the run is still going, was stopped, or the log was cut."""
    found = ask(ending(made_up.write({}, SHORT), "saving checkpoint to out")).finding
    assert found is not None
    assert "still going, was stopped, or the log was cut" in str(found.message)
    assert len(found.evidence) == 2


def test_found_after_the_decay(made_up: MadeUpRun) -> None:
    """A rate that has reached its floor is not "still decaying"."""
    found = ask(made_up.write({"lr_decay_iters": 3_000}, SHORT)).finding
    assert found is not None
    assert found.numbers["learning_rate"] == 1e-4
    assert "still decaying" not in str(found.meaning)


@pytest.mark.parametrize(("last", "word"), [(19_900, "clear"), (19_800, "found")])
def test_slack(made_up: MadeUpRun, last: int, word: str) -> None:
    """The end is reached to within one logging interval, here 100 steps."""
    assert ask(made_up.write({}, healthy_log(last))).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """A log of all 20,000 steps."""
    outcome = ask(made_up.write())
    assert outcome.word == "clear"
    assert "20,000 of 20,000" in str(outcome.reason)


def test_cannot_tell_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has not stopped."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "there is no log" in str(outcome.reason)


def test_cannot_tell_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone does not say what was planned, and the reason names the config."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "cannot_tell"
    assert "needs max_steps" in str(outcome.reason)
    assert "add the train_*.py" in str(outcome.reason)


def test_an_old_interruption_is_not_why_it_ended(made_up: MadeUpRun) -> None:
    """A KeyboardInterrupt at the top of a log that then ran to step 4,000 does not explain why it ends there."""
    folder = made_up.write({}, SHORT)
    log = folder / "train.log"
    log.write_text("KeyboardInterrupt\n" + log.read_text())
    found = ask(folder).finding
    assert found is not None
    assert "interrupted from the keyboard" not in str(found.message)


@pytest.mark.parametrize(
    ("config", "last"), [({}, 300), ({"decay_lr": False}, 4_000)], ids=["warming up", "constant by design"]
)
def test_a_rate_that_does_not_decay_is_not_still_decaying(
    made_up: MadeUpRun, config: dict[str, object], last: int
) -> None:
    """At step 300 of a warm-up of 500 the rate rises, and under decay_lr = False it stays: "still decaying" would be untrue."""
    found = ask(made_up.write(config, healthy_log(last))).finding
    assert found is not None
    assert "still decaying" not in str(found.meaning)
