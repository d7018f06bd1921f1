"""MDL005: values that no run can have."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import CONFIG, MadeUpRun, healthy_log

SHORT = healthy_log(4_000)


def ask(path: Path) -> Outcome:
    item = find_check("MDL005")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """No layer, and a dropout of 1.5: two values, an error, each with its line and what was expected."""
    outcome = ask(made_up.write({"n_layer": 0, "dropout": 1.5}, SHORT))
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MDL005", "error")
    assert found.numbers == {"values": 2}
    assert [e.place for e in found.evidence] == ["train_narrow.py:9", "train_narrow.py:12"]
    assert "n_layer = 0: expected a whole number from 1 to 10,000" in str(found.message)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("n_layer", 1, "clear"),
        ("n_layer", 10_000, "clear"),
        ("n_layer", 10_001, "found"),
        ("warmup_iters", 0, "clear"),
        ("warmup_iters", -1, "found"),
        ("batch_size", 16.0, "clear"),
        ("batch_size", 16.5, "found"),
        ("dropout", 0, "clear"),
        ("dropout", 1.0, "found"),
        ("compile", 1, "found"),
        ("n_head", True, "found"),
        ("dataset", 7, "found"),
    ],
)
def test_bounds_and_kinds(made_up: MadeUpRun, key: str, value: object, word: str) -> None:
    """The ends of a range are possible, one beyond is not; 16.0 is a whole number, True is not."""
    assert ask(made_up.write({key: value}, SHORT)).word == word


def test_clear(made_up: MadeUpRun) -> None:
    """Every value of the healthy config is possible."""
    assert ask(made_up.write({}, SHORT)).word == "clear"


def test_not_applicable_without_a_config(made_up: MadeUpRun) -> None:
    """A log alone holds no values to be judged."""
    folder = made_up.write({}, SHORT)
    (folder / "train_narrow.py").unlink()
    outcome = ask(folder)
    assert outcome.word == "not_applicable"
    assert "no config" in str(outcome.reason)


def test_a_config_quoted_in_the_log_is_a_config(made_up: MadeUpRun) -> None:
    """NanoGPT prints the config it was started with; its values are read, so "there is no config" would be untrue."""
    folder = made_up.write({}, SHORT)
    config = "".join(f"{key} = {value!r}\n" for key, value in CONFIG.items())
    (folder / "train_narrow.py").unlink()
    log = folder / "train.log"
    log.write_text(f"Overriding config with config/train_narrow.py:\n{config}{log.read_text()}")
    outcome = ask(folder)
    assert outcome.word == "clear", str(outcome.reason)


def test_found_in_a_config_quoted_in_the_log(made_up: MadeUpRun) -> None:
    """An impossible value in the quoted config is found at its line of the log (1 + 9 = 10)."""
    folder = made_up.write({}, SHORT)
    config = "".join(f"{key} = {value!r}\n" for key, value in (CONFIG | {"n_layer": 0}).items())
    (folder / "train_narrow.py").unlink()
    log = folder / "train.log"
    log.write_text(f"Overriding config with config/train_narrow.py:\n{config}{log.read_text()}")
    found = ask(folder).finding
    assert found is not None
    assert [e.place for e in found.evidence] == ["train.log:10"]
