"""THR005: another number of cards than the log was printed by."""

from __future__ import annotations

from pathlib import Path

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import CONFIG, Log, MadeUpRun

PER_TOKEN = 6 * 29_938_560 + 12 * 6 * 384 * 1024
STEP_FLOPS = PER_TOKEN * 524_288
assert CONFIG["n_layer"] == 6


def two_processes() -> Log:
    """Steps of 1 s whose MFU each of two processes prints for its half of the FLOPs."""
    mfu = 100 * STEP_FLOPS / 2 / 1.0 / 312e12
    return Log(iterations=dict.fromkeys(range(0, 1001, 100), (10.9, 1000.0, mfu)))


def ask(path: Path, gpu: str | None) -> Outcome:
    item = find_check("THR005")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(gpu=gpu))))


def test_found(made_up: MadeUpRun) -> None:
    """One card is given where the MFU printed is that of half a step: the log's two are reported and used."""
    path = made_up.write({}, two_processes())
    outcome = ask(path, "RTX 4090 x1")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("THR005", "warning")
    assert found.numbers == {"given": 1, "implied": 2}
    assert found.evidence[0].file == "train.log"
    exam = Examination(auscult.read(path, given=given_by_options(gpu="RTX 4090 x1")))
    assert isinstance(exam.processes, auscult.Known)
    assert exam.processes.value == 2


def test_clear(made_up: MadeUpRun) -> None:
    """Two given, two implied."""
    assert ask(made_up.write({}, two_processes()), "RTX 4090 x2").word == "clear"


def test_an_impossible_count_is_not_implied(made_up: MadeUpRun) -> None:
    """Accumulation of 33 steps cannot be shared by two processes: nothing is inferred."""
    outcome = ask(made_up.write({"gradient_accumulation_steps": 33}, two_processes()), "RTX 4090 x1")
    assert outcome.word == "cannot_tell"


def test_cannot_tell(made_up: MadeUpRun) -> None:
    """Without a count there is nothing to compare."""
    outcome = ask(made_up.write({}, two_processes()), "RTX 4090")
    assert outcome.word == "cannot_tell"
    assert "gpu_count" in str(outcome.reason)


def test_a_ratio_between_whole_numbers_implies_nothing(made_up: MadeUpRun) -> None:
    """7.5 processes are none: the log's MFU is not that of any share of these steps, and nothing is inferred."""
    mfu = 100 * STEP_FLOPS / 7.5 / 1.0 / 312e12
    log = Log(iterations=dict.fromkeys(range(0, 1_001, 100), (10.9, 1_000.0, mfu)))
    assert ask(made_up.write({"gradient_accumulation_steps": 32}, log), "RTX 4090 x8").word == "cannot_tell"


def test_a_quoted_mfu_is_one_process_of_several(made_up: MadeUpRun) -> None:
    """An MFU of 20 % quoted for two A100 is 20 % of each, and the two together do 124.8 TFLOP/s."""
    folder = made_up.write()
    (folder / "train.log").unlink()
    (folder / "auscult.toml").write_text('gpu = "A100-SXM4-80GB x2"\nmfu_logged = 0.20\n')
    exam = Examination(auscult.read(folder))
    assert isinstance(exam.mfu, auscult.Known)
    assert isinstance(exam.flops_per_s, auscult.Known)
    assert abs(exam.mfu.value - 0.20) < 1e-9
    assert abs(exam.flops_per_s.value - 2 * 0.20 * 312e12) < 1e3
