"""litgpt's metrics.csv."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText
from auscult.readers.dialects.litgpt_csv import DIALECT
from auscult.run import Known
from table_files import agrees, at, corpus_case, kinds, one, points, said, survives

HEAD = "batches,device/items_per_sec,epoch,iter,iter_time,learning_rate,lengths,loss,samples,step,time,tokens,total_tokens,val_loss,val_ppl"


def log(iterations: int = 12, micro: int = 1, *, final: bool = True) -> str:
    """A fine-tuning log: throughput rows, loss rows, a validation every four iterations, a final one without a step."""
    rows = [HEAD]
    for i in range(1, iterations + 1):
        rows.append(f"{i},{900.0 if i > 4 else ''},,,,,{250 * i},,{micro * i},{i},{i / 8},,,,")
        rows.append(f",,{(i - 1) // 4},{i},0.125,{i / 1e5},,{3 - i / 10},,{i},,{250 * i},{250 * i},,")
        if i % 4 == 0:
            rows.append(f",,,,,,,,,{i},,,,{2.9 - i / 10},18.0")
    if final:
        rows.append(",,,,,,,,,0,,,,1.75,5.75")
    return "\n".join(rows) + "\n"


def test_rows_by_kind(tmp_path: Path) -> None:
    """Throughput, loss and validation rows give their series; the loss is one process's mean over a step's micro-batches."""
    reading = one(DIALECT, at(tmp_path, "logs/csv/version_0/metrics.csv", log()))
    train = reading.get("train_loss")
    assert train is not None
    assert (train.mode, train.scope, train.count) == ("train", "rank", 12)
    assert "running mean" in train.window
    assert points(reading, "tokens_seen")[-1] == (12, 3000)
    assert points(reading, "learning_rate")[0] == (1, 1e-5)
    assert points(reading, "iter_time_s")[0] == (1, 0.125)
    assert said(reading)["logged.tokens_seen"] == 3000
    assert "logged.tokens_per_step" not in said(reading)  # the axis counts iterations, so a rise with them is no step's
    assert said(reading)["logged.epochs"] == 3.0


def test_final_validation_stands_at_step_0(tmp_path: Path) -> None:
    """The final validation keeps the 0 that was written, is no new run, and is named."""
    reading = one(DIALECT, at(tmp_path, "metrics.csv", log()))
    assert points(reading, "val_loss") == [(4, 2.9 - 0.4), (8, 2.9 - 0.8), (12, 2.9 - 1.2), (0, 1.75)]
    assert "final_validation_at_step_0" in kinds(reading)
    assert "steps_are_iterations" in kinds(reading)
    assert not reading.seams


def test_throughput_of_one_device_is_everybodys(tmp_path: Path) -> None:
    """Without global columns there is one device; with several samples a batch Lightning's figure is too high."""
    one_sample = one(DIALECT, at(tmp_path, "a/metrics.csv", log()))
    assert said(one_sample)["recipe.world_size"] == 1
    assert points(one_sample, "tokens_per_s")[-1] == (12, 900.0)
    several = one(DIALECT, at(tmp_path, "b/metrics.csv", log(micro=4)))
    assert several.get("tokens_per_s") is None
    own = several.get("device/items_per_sec")
    assert own is not None
    assert "too high" in own.convention


def test_pretraining_log(tmp_path: Path) -> None:
    """Pretraining puts the throughput into the loss row and counts steps from 0."""
    text = (
        "device/flops_per_sec,device/mfu,epoch,items_per_sec,iter,iter_time,learning_rate,loss,remaining_time,step,tokens,total_tokens\n"
        "1.0e14,0.32,0,80000,8,0.5,0.0001,9.5,100,7,32768,262144\n"
        "1.1e14,0.35,0,81000,16,0.5,0.0002,8.5,90,15,65536,524288\n"
    )
    reading = one(DIALECT, at(tmp_path, "metrics.csv", text))
    assert points(reading, "train_loss") == [(7, 9.5), (15, 8.5)]
    assert points(reading, "mfu") == [(7, 0.32), (15, 0.35)]
    assert points(reading, "tflops_per_gpu")[0] == pytest.approx((7, 100))
    assert points(reading, "tokens_per_s")[0] == (7, 80000)
    assert "recipe.world_size" not in reading.settings


def test_sniff(tmp_path: Path) -> None:
    """The columns are litgpt's alone."""
    assert DIALECT.sniff(at(tmp_path, "metrics.csv", log())) == 0.97
    assert DIALECT.sniff(at(tmp_path, "metrics.csv", "step,iter,loss\n1,1,5\n")) == 0


def test_something_else_is_an_input_error(tmp_path: Path) -> None:
    """Another table gets a message that says what was expected."""
    with pytest.raises(NotText, match="litgpt"):
        list(DIALECT.read(at(tmp_path, "metrics.csv", "step,loss\n1,5\n")))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_mangled_logs(data: st.DataObject) -> None:
    """A log with pieces cut out or replaced never raises anything but an input error."""
    text = log()
    for _ in range(data.draw(st.integers(1, 4))):
        where, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 60))
        text = (
            text[:where]
            + data.draw(st.sampled_from(["", '"', ",0,", "\n", "\0", "1e999", "nan"]))
            + text[where + length :]
        )
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "metrics.csv", text))


@pytest.mark.parametrize("slug", ["litgpt-qwen3b-lora-5-epochs", "litgpt-qwen3b-lora-killed"])
def test_corpus(slug: str) -> None:
    """The series of the corpus are met point for point, and config, model and log are one run."""
    facts, (run,) = corpus_case(slug)
    for name, wanted in facts["series"].items():
        series = run.get(name)
        assert series is not None, name
        assert agrees(series, wanted), name
    assert isinstance(run.recipe.min_lr, Known)
    rate = run.get("learning_rate")
    assert rate is not None
    if "min_lr_ignored" in facts["labels"]["must_find"]:
        assert rate.values[-1] < run.recipe.min_lr.value
