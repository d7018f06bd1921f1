"""llm.c's main.log and consoles; the lines are look-alikes with invented numbers."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.llmc import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known, Unknown

MAIN = """s:0 tel:11.0000
s:0 trl:11.0010 lr:0.000001 norm:15.00
s:1 trl:10.9020 lr:0.000002 norm:14.50
s:2 tel:10.8000
s:2 eval:0.2500
s:2 trl:10.8030 lr:0.000000 norm:13.00
s:3 tel:10.7000
"""
TABLE = """+-----------------------+----------------------------------------------------+
| Parameter             | Value                                              |
+-----------------------+----------------------------------------------------+
| train data pattern    | dev/data/tiny/tiny_train_*.bin                     |
| micro batch size B    | 16                                                 |
| sequence length T     | 512                                                |
| total batch size      | 65536                                              |
| LR scheduler          | cosine                                             |
| learning rate (LR)    | 6.000000e-04                                       |
| warmup iterations     | 70                                                 |
| final LR fraction     | 1.000000e-01                                       |
| weight decay          | 1.000000e-01                                       |
| max_steps             | -1                                                 |
| val_loss_every        | 25                                                 |
| device                | NVIDIA L4                                          |
| peak TFlops           | 121.0                                              |
| precision             | BF16                                               |
| max_sequence_length T | 1024                                               |
| vocab_size V          | 50257                                              |
| padded_vocab_size Vp  | 50304                                              |
| num_layers L          | 12                                                 |
| num_heads NH          | 12                                                 |
| channels C            | 768                                                |
| num_parameters        | 124475904                                          |
| train_num_batches     | 900                                                |
| val_num_batches       | 20                                                 |
| num_processes         | 2                                                  |
| zero_stage            | 1                                                  |
batch_size B=16 * seq_len T=512 * num_processes=2 and total_batch_size=65536
=> setting grad_accum_steps=4
"""
CONSOLE = """val loss 11.000000
HellaSwag: 2500/10042 = 0.248954
step    1/900 | loss 11.001000 (+nanz)| norm 15.0000 (+nanz)| lr 8.57e-06 | 310.00 ms | 51.2% bf16 MFU | 211406 tok/s
step    2/900 | loss 10.902000 (+0.10z)| norm 14.5000 (-0.20z)| lr 1.71e-05 | 300.00 ms | 52.9% bf16 MFU | 218453 tok/s
val loss 10.800000
"""


def read(text: str, name: str = "main.log") -> tuple[Reading, ...]:
    data = text.encode()
    return tuple(DIALECT.read(InputFile(name, lambda: io.BytesIO(data), len(data))))


def sniff(text: str) -> float:
    return DIALECT.sniff(InputFile("a.log", lambda: io.BytesIO(text.encode()), len(text.encode())))


def points(reading: Reading, name: str) -> list[tuple[int, float]]:
    series = reading.get(name)
    assert series is not None, name
    return list(zip(series.steps, series.values, strict=True))


def values(reading: Reading) -> dict[str, object]:
    return {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)}


def test_main_log() -> None:
    """Training, validation and HellaSwag lines give their series; the rate says that it is printed with six decimals."""
    (run,) = read(MAIN)
    assert points(run, "train_loss") == [(0, 11.001), (1, 10.902), (2, 10.803)]
    assert points(run, "val_loss") == [(0, 11.0), (2, 10.8), (3, 10.7)]
    assert points(run, "hellaswag") == [(2, 0.25)]
    assert points(run, "grad_norm")[0] == (0, 15.0)
    rate, loss = run.get("learning_rate"), run.get("train_loss")
    assert rate is not None
    assert loss is not None
    assert "not zero" in rate.convention
    assert (loss.scope, list(loss.lines)) == ("global", [2, 3, 6])


def test_the_old_form_has_losses_alone() -> None:
    """Before June 2024 there was neither rate nor norm, and six decimals."""
    (run,) = read("s:0 tel:10.968871\ns:0 trl:10.965596\ns:1 trl:10.814037\n")
    assert points(run, "train_loss") == [(0, 10.965596), (1, 10.814037)]
    assert run.get("learning_rate") is None


def test_a_restart_is_one_run_with_a_seam() -> None:
    """Steps that go back are a restart from a checkpoint, and the seam says where."""
    first = "".join(f"s:{i} trl:{10 - i / 100:.4f} lr:0.000100 norm:1.00\n" for i in range(60))
    again = "".join(f"s:{i} trl:{10 - i / 100:.4f} lr:0.000100 norm:1.00\n" for i in range(50, 80))
    (run,) = read(first + again)
    assert [(s.step_before, s.step_after) for s in run.seams] == [(59, 50)]
    assert len(points(run, "train_loss")) == 90


def test_the_cuda_console() -> None:
    """The console counts from 1; an evaluation before step k was measured after k − 1 updates."""
    (run,) = read(TABLE + CONSOLE, "train.log")
    assert points(run, "train_loss") == [(1, 11.001), (2, 10.902)]
    assert points(run, "val_loss") == [(0, 11.0), (2, 10.8)]
    assert points(run, "hellaswag") == [(0, 0.248954)]
    assert points(run, "step_time_s")[1] == pytest.approx((2, 0.3))
    assert points(run, "mfu")[0] == pytest.approx((1, 0.512))
    speed = run.get("tokens_per_s")
    assert speed is not None
    assert "exponential mean" in speed.window
    assert values(run)["logged.mfu_peak_flops_per_s"] == 121e12


def test_the_table_is_the_recipe() -> None:
    """Rows of the table give recipe, shape, card and processes; -1 steps are one epoch."""
    found = values(read(TABLE + CONSOLE)[0])
    assert found["recipe.batch_size"] == 16
    assert found["architecture.context"] == 512
    assert found["logged.tokens_per_step"] == 65_536
    assert found["recipe.gradient_accumulation_steps"] == 8, "over both ranks"
    assert found["recipe.min_lr"] == pytest.approx(6e-5)
    assert found["recipe.max_steps"] == 900
    assert found["machine.gpu_name"] == "NVIDIA L4"
    assert found["machine.gpu_count"] == found["recipe.world_size"] == 2
    assert found["architecture.vocab_size"] == 50_304
    assert found["logged.parameters"] == (124_475_904, 124_475_904)
    assert found["recipe.dtype"] == "bfloat16"


@pytest.mark.parametrize(
    "line",
    [
        "step {i:4d}/50 | train loss {loss:.6f} | norm 1.2000 | lr 1.00e-04 | (20.00 ms | 51200 tok/s)",
        "step {i:4d}/50 | train loss {loss:.4f} | lr_scale 1.00e+00 | (20.00 ms | 51200 tok/s)",
        "step {i:4d}/50 | train loss {loss:.6f} | norm 1.2000 | lr 1.00e-04 | 20.00 ms | 41.0% bf16 MFU | 51200 tok/s",
        "step {i:4d}/50: train loss {loss:.6f} (acc {loss:.6f}) (20.000000 ms, 51200 tok/s)",
        "step {i:4d}/50: train loss {loss:.6f} norm 1.2000 lr 1.00e-04 (20.00 ms, 51200 tok/s)",
        "step {i}/50: train loss {loss:.6f} (20.000000 ms, 51200 tok/s)",
        "step {i}: train loss {loss:.6f} (took 20.000000 ms)",
        "iteration {i}, loss: {loss:.4f}, time: 20.000ms, tok/s: 51200.00, norm: 1.200",
    ],
)
def test_every_console(line: str) -> None:
    """Consoles of the CUDA, C and PyTorch trainers over the years give loss and time."""
    text = "".join(line.format(i=i, loss=9 - i / 8) + "\n" for i in range(1, 6))
    (run,) = read(text, "out.txt")
    assert points(run, "train_loss") == [(i, 9 - i / 8) for i in range(1, 6)]
    assert points(run, "step_time_s")[0] == pytest.approx((1, 0.02))
    if "tok/s" in line:
        assert points(run, "tokens_per_s")[0] == (1, 51200.0)
    if "norm" in line:
        assert points(run, "grad_norm")[0] == (1, 1.2)
    assert sniff(text) >= 0.85


def test_sentinels_are_left_out() -> None:
    """An MFU of -100 % means that the card's peak is not known."""
    (run,) = read(CONSOLE.replace("51.2%", "-100.0%").replace("52.9%", "-100.0%"))
    assert run.get("mfu") is None


def test_an_a100_share_says_so() -> None:
    """The early console's MFU is in units of an A100 whatever the card."""
    (run,) = read(CONSOLE.replace("bf16 MFU", "A100 fp16 MFU"))
    mfu = run.get("mfu")
    assert mfu is not None
    assert "A100" in mfu.convention
    assert values(run)["logged.mfu_peak_flops_per_s"] == 312e12


def test_accumulation_without_ranks_is_unknown() -> None:
    """The PyTorch trainer prints it for each rank only."""
    text = "total desired batch size: 2048\n=> calculated gradient accumulation steps: 2\n"
    (run,) = read(text + "step    1/50 | train loss 9.000000 | norm 1.2000 | lr 1.00e-04 | (20.00 ms | 100 tok/s)\n")
    assert isinstance(run.settings["recipe.gradient_accumulation_steps"], Unknown)
    assert values(run)["logged.tokens_per_step"] == 2048


def test_nan_is_kept_and_a_cut_end_is_not() -> None:
    """A loss of nan or -nan is a value; a last line without all its decimals is a problem."""
    (run,) = read(MAIN + "s:3 trl:-nan lr:0.000001 norm:nan\ns:4 trl:10.")
    loss = run.get("train_loss")
    assert loss is not None
    assert loss.steps[-1] == 3
    assert loss.values[-1] != loss.values[-1]
    assert "broken_record" in {p.kind for p in run.problems}


def test_it_leaves_others() -> None:
    """NanoGPT's evaluation lines look alike and are not its."""
    assert sniff(MAIN) == 0.95
    assert sniff(TABLE) == 0.9
    assert sniff("step 500: train loss 5.4354, val loss 5.5328\niter 500: loss 5.4, time 10.00ms, mfu 12.87%\n") == 0.0
    assert sniff("step    10 | loss: 6.1 | lr 6.0e-04 | norm: 0.3 | dt: 5.00ms | tok/sec: 10.0\n") == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_mangled_text_never_breaks_it(data: st.DataObject) -> None:
    """Cut, repeated and spliced lines give readings or an error of ours."""
    lines = (MAIN + TABLE + CONSOLE).splitlines(keepends=True)
    text = "".join(data.draw(st.lists(st.sampled_from(lines), max_size=25)))
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=10)) + text[at + data.draw(st.integers(0, 20)) :]
    with contextlib.suppress(InputError):
        read(text)


CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here: set AUSCULT_CORPUS")
def test_real_runs() -> None:
    """The reference run and the restarted one have all their points, and the restart its seam."""
    for case, count, seams in (("llmc-124m-fineweb-baseline", 19_560, 0), ("llmc-gpt3-125m-edu-restarted", 18_893, 1)):
        path = CORPUS / case / "main.log"
        size = path.stat().st_size
        (run,) = DIALECT.read(InputFile(path.name, lambda path=path: path.open("rb"), size))  # type: ignore[misc]  # mypy infers no type for the default
        assert len(points(run, "train_loss")) == count
        assert len(run.seams) == seams
