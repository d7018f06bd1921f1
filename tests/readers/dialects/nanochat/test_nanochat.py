"""nanochat's console: all stages and versions; the lines are look-alikes with invented numbers."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.nanochat import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known

HEAD = """Autodetected device type: cuda
2026-02-03 10:00:00,000 - nanochat.common - INFO - Distributed world size: 4
GPU: NVIDIA A100-SXM4-80GB | Peak FLOPS (BF16): 3.12e+14
COMPUTE_DTYPE: torch.bfloat16 (auto-detected: CUDA SM 80 (bf16 supported))
Vocab size: 4,096
Model config:
{
  "sequence_len": 512,
  "vocab_size": 4096,
  "n_layer": 6,
  "n_head": 3,
  "n_kv_head": 3,
  "n_embd": 384,
  "window_pattern": "SSSL"
}
Parameter counts:
wte                     : 1,572,864
lm_head                 : 1,572,864
total                   : 13,762,560
Estimated FLOPs per token: 7.500000e+07
Calculated number of iterations from target data:param ratio: 1,200
Total number of training tokens: 157,286,400
Tokens : Scaling params ratio: 12.00
Tokens / micro-batch / rank: 16 x 512 = 8,192
Tokens / micro-batch: 32,768
Total batch size 131,072 => gradient accumulation steps: 4
"""
RECORDS = "Step 00000 | Validation bpb: 3.210000\n" + "".join(
    f"step {i:05d}/01200 ({i / 12:.2f}%) | loss: {8.3 - i / 100:.6f} | lrm: 1.00 | dt: 100.00ms"
    f" | tok/sec: 1,310,720 | bf16_mfu: {39 + i / 10:.2f} | epoch: 1 pq: 0 rg: {i} | total time: 0.10m | eta: 2.0m\n"
    for i in range(8)
)
BASE = HEAD + RECORDS
MID = """Tokens / micro-batch / rank: 8 x 512 = 4,096
Tokens / micro-batch: 16,384
Total batch size 32,768 => gradient accumulation steps: 2
Step 00000 | Validation bpb: 0.9100
step 00001 (1.00%) | loss: 1.900000 | lrm: 1.00 | dt: 50.00ms | tok/sec: 655,360 | mfu: 20.00 | total time: 0.00m
step 00002 (2.00%) | loss: 1.800000 | lrm: 0.98 | dt: 50.00ms | tok/sec: 655,360 | mfu: 20.00 | total time: 0.00m
Minimum validation bpb: 0.9100
"""
OLD_SFT = """Target examples per step: 32
Device batch size: 4
Examples per step is device_batch_size * ddp_world_size: 32
Step 00000 | Validation loss: 1.250000
Step 00000/00300 | Training loss: 1.402000| lrm: 1.000000| num_tokens: 5,120
Step 00001/00300 | Training loss: 1.301000| lrm: 0.996667| num_tokens: 4,800
Step 00100 | mmlu_acc: 0.301000, arc_easy_acc: 0.402000
"""
RL = """Calculated number of steps: 400
Total sequences per step: 256
Step 0 | Pass@1: 0.1000, Pass@2: 0.1500
Step 0/400 | Example step 0 | Pass 0 | loss: 0.010000 | Average reward: 0.1
Step 0/400 | Average reward: 0.125 | Average sequence length: 120.50
Step 1/400 | Average reward: 0.150 | Average sequence length: 119.00
"""


def read(text: str, name: str = "speedrun.log") -> tuple[Reading, ...]:
    data = text.encode()
    return tuple(DIALECT.read(InputFile(name, lambda: io.BytesIO(data), len(data))))


def sniff(text: str, name: str = "speedrun.log") -> float:
    data = text.encode()
    return DIALECT.sniff(InputFile(name, lambda: io.BytesIO(data), len(data)))


def value(reading: Reading, key: str) -> object:
    found = reading.settings[key]
    assert isinstance(found, Known), found
    return found.value


def test_a_base_run_is_read_with_its_setup() -> None:
    """Shape, batch, ranks, parameters, planned tokens and the card come from the lines before the first step."""
    (run,) = read(BASE)
    shape = {
        k: value(run, f"architecture.{k}") for k in ("n_layer", "n_head", "d_model", "d_ff", "vocab_size", "context")
    }
    assert shape == {"n_layer": 6, "n_head": 3, "d_model": 384, "d_ff": 1536, "vocab_size": 4096, "context": 512}
    assert value(run, "recipe.batch_size") == 16
    assert value(run, "recipe.gradient_accumulation_steps") == 16, "over all four ranks"
    assert value(run, "logged.tokens_per_step") == 131_072
    assert value(run, "machine.gpu_count") == 4
    assert value(run, "machine.gpu_name") == "NVIDIA A100-SXM4-80GB"
    assert value(run, "logged.parameters") == (13_762_560, 13_762_560)
    assert value(run, "logged.flops_per_token") == 7.5e7
    assert value(run, "logged.tokens_planned") == 157_286_400
    assert value(run, "recipe.max_steps") == 1200
    assert value(run, "recipe.dtype") == "bfloat16"
    assert run.noted["nanochat.parameters.wte"].value == 1_572_864


def test_the_loss_is_a_debiased_mean_and_says_so() -> None:
    """The loss says that it averages over steps, and validation is in bits per byte."""
    (run,) = read(BASE)
    loss, bpb = run.get("train_loss"), run.get("val_bpb")
    assert loss is not None
    assert bpb is not None
    assert "EMA" in loss.convention
    assert "exponential mean" in loss.window
    assert (loss.scope, loss.mode, bpb.unit, bpb.mode) == ("rank", "train", "bits_per_byte", "eval")
    assert loss.lines[0] == BASE.split("\n").index(next(x for x in BASE.split("\n") if x.startswith("step 0"))) + 1


def test_mfu_is_a_fraction_of_the_printed_peak() -> None:
    """The MFU is a fraction, and names the peak that the log prints."""
    (run,) = read(BASE)
    mfu = run.get("mfu")
    assert mfu is not None
    assert mfu.values[0] == pytest.approx(0.39)
    assert "312" in mfu.convention
    assert value(run, "logged.mfu_peak_flops_per_s") == 312e12


def test_an_early_version_divides_by_an_h100() -> None:
    """Without the line that names the card, MFU is a share of 989 TFLOP/s whatever the card."""
    text = BASE.replace("GPU: NVIDIA A100-SXM4-80GB | Peak FLOPS (BF16): 3.12e+14\n", "").replace("bf16_mfu", "mfu")
    (run,) = read(text)
    assert value(run, "logged.mfu_peak_flops_per_s") == 989e12
    assert "whatever the card" in (run.get("mfu") or pytest.fail("no mfu")).convention


def test_an_unknown_card_has_no_mfu() -> None:
    """A peak of inf makes every printed MFU 0, which is no measurement."""
    text = BASE.replace("3.12e+14", "inf")
    for i in range(8):
        text = text.replace(f"bf16_mfu: {39 + i / 10:.2f}", "bf16_mfu: 0.00")
    (run,) = read(text)
    assert run.get("mfu") is None
    assert "mfu_not_measured" in {n.kind for n in run.notices}
    assert "logged.mfu_peak_flops_per_s" not in run.settings


def test_speed_without_accumulation_says_so() -> None:
    """Before 2025-10-30 tok/sec counted one micro-batch; the product of time and speed shows it."""
    (early,) = read(BASE.replace("1,310,720", "327,680"))
    (late,) = read(BASE)
    assert "accumulation is left out" in (early.get("tokens_per_s") or pytest.fail("none")).convention
    assert not (late.get("tokens_per_s") or pytest.fail("none")).convention


def test_stages_are_runs_of_their_own() -> None:
    """Base, midtraining, SFT and RL of one file give one labelled reading each, with their own settings."""
    runs = read(BASE + MID + OLD_SFT + RL)
    assert [r.label for r in runs] == ["base", "mid", "sft", "rl"]
    base, mid, sft, rl = runs
    assert value(base, "logged.tokens_per_step") == 131_072
    assert value(mid, "logged.tokens_per_step") == 32_768
    assert "recipe.max_steps" not in mid.settings, "its end depends on the data"
    assert value(sft, "recipe.max_steps") == 300
    assert (sft.get("val_loss") or pytest.fail("none")).values[0] == 1.25
    assert list((sft.get("arc_easy_acc") or pytest.fail("none")).values) == [0.402]
    assert list((rl.get("reward") or pytest.fail("none")).values) == [0.125, 0.150]
    assert value(rl, "recipe.max_steps") == 400


def test_the_new_sft_prints_records_like_midtraining() -> None:
    """What SFT inherits from the checkpoint tells it from midtraining."""
    text = "Autodetected device type: cuda\nInherited max_seq_len=512 from pretrained checkpoint\n" + MID
    runs = read(BASE + text)
    assert [r.label for r in runs] == ["base", "sft"]


def test_starts_of_a_sweep_are_runs_even_without_records() -> None:
    """A start that died before its first step is a run with what killed it, and hands nothing to the next."""
    crash = HEAD.replace('"n_layer": 6', '"n_layer": 24') + (
        "[rank0]: Traceback (most recent call last):\n[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried\n"
    )
    dead, alive = read(crash + BASE.replace("GPU: NVIDIA A100-SXM4-80GB", "GPU: NVIDIA H200"))
    assert {n.kind: n.count for n in dead.notices if n.kind in ("traceback", "out_of_memory")} == {
        "traceback": 1,
        "out_of_memory": 1,
    }
    assert value(dead, "architecture.n_layer") == 24
    assert not dead.series
    assert value(alive, "architecture.n_layer") == 6
    assert value(alive, "machine.gpu_name") == "NVIDIA H200"
    assert [r.label for r in (dead, alive)] == ["base", "base 2"]


def test_evaluations_after_a_run_are_noted_with_it() -> None:
    """An evaluation script's process does not begin a run; its figures belong to the run before."""
    (run,) = read(BASE + "Autodetected device type: cuda\ntrain bpb: 0.900000\nval bpb: 0.910000\n")
    assert run.noted["nanochat.final_val_bpb"].value == 0.91


def test_two_processes_in_one_file_are_told_apart() -> None:
    """Records with another number of planned steps are another run's, and do not look like restarts."""
    other = "".join(
        f"step {i:05d}/00900 ({i / 9:.2f}%) | loss: {9.0 - i / 50:.6f} | lrm: 1.00 | dt: 90.00ms\n" for i in range(8)
    )
    a, b = RECORDS.splitlines()[1:], other.splitlines()
    mixed = HEAD + "".join(f"{x}\n{y}\n" for x, y in zip(a, b, strict=True))
    one, two = read(mixed)
    for run, steps in ((one, 1200), (two, 900)):
        loss = run.get("train_loss")
        assert loss is not None
        assert list(loss.steps) == list(range(8))
        assert value(run, "recipe.max_steps") == steps
        assert not run.seams
    assert "processes_interleaved" in {n.kind for n in one.notices}


def test_program_text_is_not_read_as_records() -> None:
    """The f-strings of the script, which some logs hold, are no records and name no card."""
    code = 'import torch\nprint0(f"GPU: {gpu_device_name} | Peak FLOPS (BF16): {gpu_peak_flops:.2e}")\n'
    (run,) = read(code + BASE)
    assert value(run, "machine.gpu_name") == "NVIDIA A100-SXM4-80GB"


def test_epochs_count_from_one() -> None:
    """A run in its third epoch has completed two; one in its first says nothing."""
    (first,) = read(BASE)
    (third,) = read(BASE.replace("epoch: 1 ", "epoch: 3 "))
    assert "logged.epochs" not in first.settings
    assert value(third, "logged.epochs") == 2.0


def test_a_fork_prints_each_optimisers_rate() -> None:
    """``lr(adamw:…, muon:…)`` gives two series."""
    (run,) = read(BASE.replace("| lrm: 1.00 |", "| lrm: 1.00 | lr(adamw:1.5e-03, muon:2.0e-02) |"))
    assert list((run.get("learning_rate_muon") or pytest.fail("none")).values)[:1] == [0.02]


def test_a_cut_end_is_a_problem_not_a_value() -> None:
    """A last record that ends inside its loss is left out and reported."""
    (run,) = read(BASE + "step 00008/01200 (0.67%) | loss: 8.")
    assert (run.get("train_loss") or pytest.fail("none")).steps[-1] == 7
    assert "broken_record" in {p.kind for p in run.problems}


def test_it_claims_its_own_and_leaves_others() -> None:
    """Nanochat's lines are unmistakable; nanoGPT's, llm.c's and build-nanogpt's are not its."""
    assert sniff(BASE) == sniff(MID) == sniff(OLD_SFT) == sniff(RL) == 1.0
    assert sniff("step 500: train loss 5.4354, val loss 5.5328\niter 500: loss 5.4, time 10.00ms, mfu 12.87%\n") == 0.0
    assert sniff("step    10 | loss: 6.1 | lr 6.0e-04 | norm: 0.3 | dt: 5.00ms | tok/sec: 10.0\n") == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=60)
@given(data=st.data())
def test_mangled_text_never_breaks_it(data: st.DataObject) -> None:
    """Cut, repeated and spliced lines give readings or an error of ours."""
    lines = (BASE + MID + OLD_SFT + RL).splitlines(keepends=True)
    kept = data.draw(st.lists(st.sampled_from(lines), max_size=30))
    text = "".join(kept)
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=12)) + text[at + data.draw(st.integers(0, 20)) :]
    with contextlib.suppress(InputError):
        read(text)


CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here: set AUSCULT_CORPUS")
@pytest.mark.parametrize(
    ("case", "runs", "points", "oom", "tracebacks"),
    [
        ("nanochat-35-runs-in-one-file/mst_sweep.log", 40, 910, 1, 4),
        ("nanochat-oom-sweep/sweep_mst_p01_d8.log", 19, 133, 2, 15),
        ("nanochat-d2-smoke-a100/slurm.out", 1, 1980, 0, 0),
        ("nanochat-d24-speedrun-full/speedrun_d24_feb01.log", 1, 16704, 0, 0),
    ],
)
def test_real_runs(case: str, runs: int, points: int, oom: int, tracebacks: int) -> None:
    """Real logs give every point, and every crash once."""
    path = CORPUS / case
    found = tuple(DIALECT.read(InputFile(path.name, lambda: path.open("rb"), path.stat().st_size)))
    assert len(found) == runs
    assert sum(s.count for r in found if (s := r.get("train_loss"))) == points
    counts = [
        sum(n.count for r in found for n in r.notices if n.kind == kind) for kind in ("out_of_memory", "traceback")
    ]
    assert counts == [oom, tracebacks]
