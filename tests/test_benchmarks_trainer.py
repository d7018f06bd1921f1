"""The benchmark of the trainer: every subject trains the same model on the same batches, and figures are what they say."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.trainer.__main__ import SUBJECTS, run_subject
from benchmarks.trainer.case import BYTES, Case, initial_weights, load_case, prepare, python_library
from benchmarks.trainer.ours import crops
from benchmarks.trainer.page import page, section
from benchmarks.trainer.summary import REFERENCE, ROUNDING, apart, figures, step_times_s, time_to_loss_s

TINY = Case(
    n_layer=2, n_head=2, d_model=32, context=16, micro_batch=2, accumulation=2, steps=2, warm_steps=1, tokens=20_000
)
EQUAL_NATS = 1e-5
"""fp32 sums in another order: 5.5 nats have a spacing of 5e-7."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared case with the batches that our trainer takes."""
    path = tmp_path_factory.mktemp("case")
    prepare(TINY, path)
    np.save(path / "crops.npy", crops(TINY, path))
    return path


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[str, Any]:
    """Return what the plain loop did."""
    return run_subject(REFERENCE, "plain_loop", [], folder, 1)


def test_the_plain_loop_trains(folder: Path, reference: dict[str, Any]) -> None:
    """Its first loss is that of a uniform guess, it has the parameters of GPT-2, a step ends after the one before."""
    first, second = reference["loss_nats_per_token"]
    assert first == pytest.approx(math.log(BYTES), abs=0.3)  # tied: a token guesses itself
    assert second != first
    weights = initial_weights(load_case(folder))
    assert reference["parameters"] == TINY.parameters == sum(tensor.size for tensor in weights.values())
    one, other = reference["step_ended_s"]
    assert 0 < one < other
    assert reference["peak_resident_bytes"] >= reference["resident_before_model_bytes"] > 0
    assert reference["threads"] == 1


def test_hugging_face_trains_the_same(folder: Path, reference: dict[str, Any]) -> None:
    """Its Trainer has the plain loop's losses before and after an update, accumulation included."""
    if importlib.util.find_spec("accelerate") is None:
        pytest.skip("accelerate is not installed: Hugging Face's Trainer needs it (make bench-trainer has it)")
    found = run_subject("hf-eager", "hugging_face", [], folder, 1)
    assert apart(found, reference) <= EQUAL_NATS
    assert found["parameters"] == reference["parameters"]


def test_ours_trains_the_same(folder: Path, reference: dict[str, Any]) -> None:
    """`auscult train` has the plain loop's losses on the batches that it takes by itself."""
    ours = run_subject("auscult-eager", "ours", [], folder, 1)
    assert apart(ours, reference) <= EQUAL_NATS
    assert ours["parameters"] == reference["parameters"]
    assert ours["micro_batch"] == TINY.micro_batch


def test_a_changed_weight_changes_the_losses(folder: Path, reference: dict[str, Any], tmp_path: Path) -> None:
    """The comparison sees a difference of one norm's gain by a hundredth: equal losses are not equal by construction."""
    from safetensors.numpy import load_file, save_file

    prepare(TINY, tmp_path, np.load(folder / "crops.npy"))
    weights = load_file(tmp_path / "model.safetensors")
    weights["transformer.ln_f.weight"] = weights["transformer.ln_f.weight"] * np.float32(1.01)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert apart(run_subject(REFERENCE, "plain_loop", [], tmp_path, 1), reference) > 10 * EQUAL_NATS


def test_a_subject_that_fails_says_why(tmp_path: Path) -> None:
    """The end of what a process printed is in the error."""
    with pytest.raises(RuntimeError, match=r"other failed with 1: (?s:.*)no_such_peer"):
        run_subject("other", "no_such_peer", [], tmp_path, 1)


def test_a_case_is_a_function_of_its_settings(tmp_path: Path, folder: Path) -> None:
    """Prepared twice it is the same to the byte; another seed has other weights and crops; too much text is refused."""
    prepare(TINY, tmp_path, np.load(folder / "crops.npy"))
    for name in ("case.json", "crops.npy", "model.safetensors", "data/train.bin", "data/val.bin"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    prepare(replace(TINY, seed=1), tmp_path)
    np.save(tmp_path / "crops.npy", crops(replace(TINY, seed=1), tmp_path))
    for name in ("crops.npy", "model.safetensors"):
        assert (tmp_path / name).read_bytes() != (folder / name).read_bytes(), name
    with pytest.raises(ValueError, match="bytes"):
        python_library(10**12)


def test_flops_of_gpt2_small() -> None:
    """The conventions are those of the figures that are published: 855.2 and 798.5 MFLOP a token for GPT-2 124M at 1,024."""
    small = Case(n_layer=12, n_head=12, d_model=768, context=1024)
    other_rows = 6 * (50304 - BYTES) * 768  # its vocabulary, padded
    both, halved = (flops + other_rows for flops in small.flops_per_token().values())
    assert both == pytest.approx(855.2e6, rel=1e-3)
    assert both - halved == 6 * 12 * 768 * 1024


def run_of(times: list[float], losses: list[float], **more: Any) -> dict[str, Any]:
    """Return a made-up observation: when steps ended, and their losses."""
    memory = {"peak_resident_bytes": 300, "resident_before_model_bytes": 100}
    return {"step_ended_s": times, "loss_nats_per_token": losses, **memory, **more}


def test_figures_by_hand() -> None:
    """Medians of processes' medians, rates of the median step, start-up and time to the loss, counted from the process."""
    case = replace(TINY, steps=12, warm_steps=2, target_loss=3.0)
    losses = [5.0] * 4 + [2.0] * 8  # the mean of ten is 3.2 after ten steps, 2.9 after eleven
    steady = run_of([10.0 + i for i in range(12)], losses)
    slower = run_of([20.0 + 3 * i for i in range(12)], [loss + 1e-3 for loss in losses])
    quick = run_of([30.0 + 2 * i for i in range(12)], losses)
    assert step_times_s(steady, 2) == [1.0] * 10
    assert time_to_loss_s(steady, 3.0) == 20.0
    assert time_to_loss_s(steady, 1.0) is None
    found = figures(case, [steady, slower, quick], steady)
    assert (found.step_time_s, found.lowest_s, found.highest_s) == (2.0, 1.0, 3.0)
    assert found.tokens_per_s == case.tokens_per_step / 2
    assert found.flops_per_s["6N+12LdT"] == case.flops_per_token()["6N+12LdT"] * found.tokens_per_s
    assert found.start_s == 20.0 - 2.0
    assert found.to_loss_s == 50.0
    assert found.apart_nats == pytest.approx(1e-3)
    assert (found.peak_bytes, found.above_bytes) == (300, 200)
    assert figures(case, [steady, run_of([1.0] * 12, [9.0] * 12)], steady).to_loss_s is None  # one did not reach it
    with pytest.raises(ValueError, match=r"shorter|longer"):
        apart(run_of([], [1.0]), steady)


def made_up(ours_s: float, hugging_face_s: float, apart_nats: float) -> dict[str, Any]:
    """Return a result file: the compiled plain loop takes 1 s a step, a millionth of a change makes 1e-6 nats."""
    steps = 12
    losses = [5.0 - 0.1 * i for i in range(steps)]

    def run(step_s: float, shift: float = 0.0) -> list[dict[str, Any]]:
        return [run_of([step_s * (i + 1) for i in range(steps)], [loss + shift for loss in losses])]

    return {
        "case": asdict(replace(TINY, steps=steps, warm_steps=2)),
        "command": "python -m benchmarks.trainer",
        "started": "2026-11-25T10:00:00+00:00",
        "commit": "0123456789ab",
        "machine": {
            "processor": "A processor",
            "cores": 2,
            "memory_bytes": 2**33,
            "system": "Linux",
            "python": "3.11.7",
            "busy_before": 0.01,
        },
        "versions": {"torch": "2.13.0"},
        "threads": 2,
        "gemm_flops_per_s": 1e11,
        "peak": None,
        "failed": {},
        "runs": {
            REFERENCE: run(1.1),
            "plain-compiled": run(1.0),
            "hf-eager": run(hugging_face_s),
            "auscult-compiled": run(ours_s, apart_nats),
            ROUNDING: run(1.1, 1e-6),
        },
    }


@pytest.mark.parametrize(
    ("ours_s", "hugging_face_s", "apart_nats", "verdicts"),
    [
        (0.9, 1.2, 1e-6, ("yes (0.900", "yes (1.33", "Equal losses at equal steps: yes")),
        (1.01, 1.2, 1e-3, ("no (1.010", "no (1.19", "Equal losses at equal steps: no")),
    ],
)
def test_the_page_says_whether_targets_are_met(
    ours_s: float, hugging_face_s: float, apart_nats: float, verdicts: tuple[str, ...]
) -> None:
    """Each target is judged by the figures, and a processor has no MFU."""
    text = section(made_up(ours_s, hugging_face_s, apart_nats))
    for verdict in verdicts:
        assert verdict in text
    assert "there is no MFU" in text
    assert "MFU," not in text


def test_the_page_without_results() -> None:
    """What was not measured is said to be not measured."""
    text = page([], "## On a GPU\n\nNot measured.\n")
    assert "Not measured yet." in text
    assert set(SUBJECTS) >= {REFERENCE, "plain-compiled", "hf-eager", "auscult-compiled"}
