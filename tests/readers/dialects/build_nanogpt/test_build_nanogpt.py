"""build-nanogpt's console in its variants, and log.txt; the lines are look-alikes with invented numbers."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.build_nanogpt import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known, Unknown

HEAD = """total desired batch size: 65536
=> calculated gradient accumulation steps: 4
found 99 shards for split train
num decayed parameter tensors: 50, with 124,354,560 parameters
num non-decayed parameter tensors: 98, with 121,344 parameters
using fused AdamW: True
"""
RECORDS = """validation loss: 10.9500
HellaSwag accuracy: 2500/10042=0.2490
step     0 | loss: 10.950100 | lr 8.3916e-07 | norm: 15.3000 | dt: 900.00ms | tok/sec: 72817.78
step     1 | loss: 10.900200 | lr 1.6783e-06 | norm: 14.2000 | dt: 400.00ms | tok/sec: 163840.00
step     2 | loss: 10.800300 | lr 2.5175e-06 | norm: 12.1000 | dt: 400.00ms | tok/sec: 163840.00
validation loss: 10.7000
"""


def read(text: str, name: str = "console.txt") -> tuple[Reading, ...]:
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


def test_the_console_of_the_finished_script() -> None:
    """Every field of a step is a series, and what stands before its line was measured at that step."""
    (run,) = read(HEAD + RECORDS)
    assert points(run, "train_loss") == [(0, 10.9501), (1, 10.9002), (2, 10.8003)]
    assert points(run, "val_loss") == [(0, 10.95), (3, 10.7)], "after the last line comes the step that was due"
    assert points(run, "hellaswag") == [(0, 0.249)]
    assert points(run, "learning_rate")[0] == (0, 8.3916e-07)
    assert points(run, "grad_norm")[2] == (2, 12.1)
    assert points(run, "step_time_s")[1] == pytest.approx((1, 0.4))
    assert points(run, "tokens_per_s")[1] == (1, 163_840.0)
    loss = run.get("train_loss")
    assert loss is not None
    assert (loss.scope, loss.mode, loss.lines[0]) == ("global", "train", 9)


def test_figures_of_the_head() -> None:
    """Tokens per step are printed, and both parts of the parameters give their total."""
    found = values(read(HEAD + RECORDS)[0])
    assert found["logged.tokens_per_step"] == 65_536
    assert found["logged.parameters"] == (124_475_904, 124_475_904)
    assert found["logged.parameters_convention"] == "total"
    assert found["recipe.optimizer"] == "adamw"


def test_accumulation_is_printed_for_each_rank() -> None:
    """With torchrun the number of ranks is not printed, so the sum over ranks is unknown; a lone process says itself."""
    (many,) = read(HEAD + RECORDS)
    quantity = many.settings["recipe.gradient_accumulation_steps"]
    assert isinstance(quantity, Unknown)
    assert "each rank (4)" in quantity.reason
    (one,) = read("using device: cuda\n" + HEAD + RECORDS)
    assert values(one)["recipe.gradient_accumulation_steps"] == 4
    assert "machine.gpu_name" not in one.settings, "cuda names no card"


@pytest.mark.parametrize(
    "line",
    [
        "step {i}, loss: {loss}",
        "step {i}, loss: {loss}, dt: 20.00ms, tok/sec: 51200.00",
        "step {i:4d} | loss: {loss} | dt: 20.00ms | tok/sec: 51200.00",
        "step {i:4d} | loss: {loss} | norm: 1.2000 | dt: 20.00ms | tok/sec: 51200.00",
        "step {i} | loss: {loss} | dt: 20.00ms | tok/sec: 51200.00 | norm: 1.20 | lr: 0.000100",
        "step {i} | loss: {loss} | lr: 1.0e-04 | norm: 1.20 | dt: 20.00ms | tok/sec: 51200.00",
    ],
)
def test_every_variant_of_the_lecture(line: str) -> None:
    """From the first hour's lines to forks with another order, loss and fields are the same."""
    text = "loaded 338025 tokens\n1 epoch = 330 batches\n" + "".join(
        line.format(i=i, loss=f"{9 - i / 4:.6f}") + "\n" for i in range(5)
    )
    (run,) = read(text)
    assert points(run, "train_loss") == [(i, 9 - i / 4) for i in range(5)]
    if "dt:" in line:
        assert points(run, "step_time_s")[0] == pytest.approx((0, 0.02))
        assert values(run)["logged.tokens_per_step"] == 1024
    if "lr" in line:
        assert points(run, "learning_rate")[0] == (0, 1e-4)
    assert values(run)["data.train_tokens"] == 338_025
    assert sniff(text) >= 0.7


def test_tokens_per_step_need_one_possibility() -> None:
    """Where time and speed leave several multiples of 64, the tokens of a step stay unknown."""
    (run,) = read("step 0 | loss: 9.000000 | dt: 1ms | tok/sec: 10000000\n")
    assert "logged.tokens_per_step" not in run.settings


def test_log_txt() -> None:
    """In log.txt each measurement has a line of its own."""
    text = "0 val 10.9500\n0 hella 0.2490\n0 train 10.950100\n1 train 10.900200\n"
    (run,) = read(text, "log.txt")
    assert points(run, "val_loss") == [(0, 10.95)]
    assert points(run, "hellaswag") == [(0, 0.249)]
    assert points(run, "train_loss") == [(0, 10.9501), (1, 10.9002)]
    assert sniff(text) == 0.9


def test_the_printed_model_gives_the_shape() -> None:
    """PyTorch's print of the modules names layers, width, context and vocabulary."""
    text = """using device: mps
    (wte): Embedding(1000, 96)
    (wpe): Embedding(128, 96)
      (0-3): 4 x Block(
          (c_fc): Linear(in_features=96, out_features=384, bias=True)
"""
    found = values(read(text + RECORDS)[0])
    assert found["architecture.n_layer"] == 4
    assert found["architecture.d_model"] == 96
    assert found["architecture.d_ff"] == 384
    assert found["architecture.vocab_size"] == 1000
    assert found["machine.gpu_name"] == "mps"


def test_nan_is_kept_and_a_cut_end_is_not() -> None:
    """A loss of nan is a value; a last line without all its decimals is a problem."""
    (run,) = read(RECORDS.replace("10.800300", "nan") + "step     3 | loss: 10")
    loss = run.get("train_loss")
    assert loss is not None
    assert loss.values[2] != loss.values[2]
    assert loss.steps[-1] == 2
    assert "broken_record" in {p.kind for p in run.problems}


def test_it_leaves_others() -> None:
    """nanochat's, llm.c's, nanoGPT's and torchtitan's lines are not its."""
    assert sniff("step 00010/01000 (1.00%) | loss: 3.912345 | lrm: 1.00 | dt: 4.00ms | tok/sec: 1,000\n") == 0.0
    assert sniff("step   10/1000 | train loss 3.912345 | norm 1.0000 | lr 1.0e-04 | (4.00 ms | 1000 tok/s)\n") == 0.0
    assert sniff("step 500: train loss 5.4354, val loss 5.5328\n") == 0.0
    assert sniff("[titan] 2025-01-01 - root - INFO - step:  1  loss: 12.2  memory: 1.00GiB(1%)  tps: 10\n") == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_mangled_text_never_breaks_it(data: st.DataObject) -> None:
    """Cut, repeated and spliced lines give readings or an error of ours."""
    lines = ("using device: cpu\n" + HEAD + RECORDS + "3 train 9.000000\n").splitlines(keepends=True)
    text = "".join(data.draw(st.lists(st.sampled_from(lines), max_size=25)))
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=10)) + text[at + data.draw(st.integers(0, 20)) :]
    with contextlib.suppress(InputError):
        read(text)


CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here: set AUSCULT_CORPUS")
def test_a_real_run_on_a_tiny_corpus() -> None:
    """The real console has its 26 points, its size, its data, and 25 epochs' worth of tokens per step."""
    path = CORPUS / "build-nanogpt-124m-tiny-corpus-memorised" / "log.md"
    (run,) = DIALECT.read(InputFile(path.name, lambda: path.open("rb"), path.stat().st_size))
    losses, found = points(run, "train_loss"), values(run)
    assert (len(losses), losses[0], losses[-1]) == (26, (0, 10.9677), (250, 0.0052))
    assert found["logged.parameters"] == (124_475_904, 124_475_904)
    assert found["data.train_tokens"] == 338_025
    assert found["logged.tokens_per_step"] == 131_072
    assert run.get("val_loss") is None
