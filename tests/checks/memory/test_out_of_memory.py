"""MEM002: the message "CUDA out of memory"."""

from __future__ import annotations

from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from made_up import MadeUpRun, healthy_log

LINE = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.07 GiB. GPU 0 has a total capacity of 11.72 GiB\n"
)


def ask(path: Path) -> Outcome:
    item = find_check("MEM002")
    assert item is not None
    return examine(item, Examination(auscult.read(path)))


def test_found(made_up: MadeUpRun) -> None:
    """A log that ends with the message: an error at its line, after 51 others, and the way that keeps the tokens per step."""
    folder = made_up.write({}, healthy_log(4_000))
    with (folder / "train.log").open("a") as log:
        log.write(LINE)
    outcome = ask(folder)
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("MEM002", "error")
    assert found.numbers == {"count": 1}
    assert [e.place for e in found.evidence] == ["train.log:52"]
    assert "same tokens per step" in str(found.action)


def test_found_before_the_first_step(made_up: MadeUpRun) -> None:
    """A log of the message alone is a log, and says why the run never began."""
    folder = made_up.write()
    (folder / "train.log").write_text("tokens per iteration will be: 524,288\n" + LINE)
    found = ask(folder).finding
    assert found is not None
    assert [e.place for e in found.evidence] == ["train.log:2"]


def test_clear(made_up: MadeUpRun) -> None:
    """A log without the message."""
    assert ask(made_up.write({}, healthy_log(4_000))).word == "clear"


def test_not_applicable_without_a_log(made_up: MadeUpRun) -> None:
    """A plan has not run out of anything."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    outcome = ask(folder)
    assert outcome.word == "not_applicable"
    assert "no log" in str(outcome.reason)


def test_a_run_that_went_on_did_not_end_there(made_up: MadeUpRun) -> None:
    """A first attempt that failed, then 20,000 steps in the same file: "the run ended because …" would be untrue, an error too."""
    folder = made_up.write()
    log = folder / "train.log"
    log.write_text(LINE + log.read_text())
    found = ask(folder).finding
    assert found is None or (found.severity != "error" and "the run ended" not in str(found.meaning))
