"""Event files of the trainers that write them, made here byte by byte."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError, NotText
from auscult.readers import read_all
from auscult.readers.dialects.tensorboard import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.hf_keys import interpret
from auscult.readers.reading import Reading
from auscult.run import Known, Series
from readers.formats.event_files import event_file, scalar_event, session_start_event, tensor_scalar_event, text_event

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))
NAME = "runs/Oct11_01-48-25_host/events.out.tfevents.1665452919.host.766.0"


def file_of(data: bytes, name: str = NAME) -> InputFile:
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(*events: bytes, name: str = NAME) -> Reading:
    (reading,) = DIALECT.read(file_of(event_file(events), name))
    return reading


def scalars(tag: str, *values: float, first: int = 1, stride: int = 1) -> list[bytes]:
    return [scalar_event(tag, value, step=first + i * stride) for i, value in enumerate(values)]


def found(reading: Reading, name: str) -> Series:
    series = reading.get(name)
    assert series is not None, [s.name for s in reading.series]
    return series


def test_hugging_face() -> None:
    """Its tags are the columns of trainer_state.json, with their meaning; the row that sums up is on no curve."""
    reading = read(
        *scalars("train/loss", 3.0, 2.5, first=10, stride=10),
        *scalars("train/learning_rate", 1e-4, 9e-5, first=10, stride=10),
        *scalars("eval/loss", 2.75, first=20),
        *scalars("train/epoch", 0.5, 1.0, first=10, stride=10),
        *scalars("train/train_loss", 2.7, first=20),
        *scalars("train/train_runtime", 99.0, first=20),
    )
    loss = found(reading, "train_loss")
    assert (list(loss.steps), list(loss.values), loss.mode, loss.scope) == ([10, 20], [3.0, 2.5], "train", "global")
    assert "mean over the steps since" in loss.window
    assert found(reading, "val_loss").mode == "eval"
    assert {s.name for s in reading.series} == {"train_loss", "learning_rate", "val_loss", "epoch"}
    assert isinstance(interpret(reading.raw)["logged.epochs"], Known)


def test_hugging_face_settings() -> None:
    """The arguments and the model stand in the file as texts, and become the recipe and the shape."""
    args = {
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "linear",
        "num_train_epochs": 1,
        "seed": 1,
    }
    model = {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 8,
        "n_head": 2,
        "vocab_size": 100,
        "_name_or_path": "/home/somebody/x",
    }
    reading = read(
        text_event("args/text_summary", json.dumps(args)), text_event("model_config/text_summary", json.dumps(model))
    )
    assert [part.dialect for part in reading.parts] == ["hf_training_args", "hf_config"]
    layers = reading.parts[1].settings["architecture.n_layer"]
    assert isinstance(layers, Known)
    assert layers.value == 2
    assert "somebody" not in repr(reading)


@pytest.mark.parametrize("group", [True, False])
def test_megatron(group: bool) -> None:
    """Each metric is written over iterations and over samples: the former count; older versions put a group before."""
    prefix = "lm-loss-training/" if group else ""
    norm = "grad-norm/" if group else ""
    reading = read(
        *scalars(f"{prefix}lm loss", 10.5, 9.5),
        *scalars(f"{prefix}lm loss vs samples", 10.5, 9.5, first=512, stride=512),
        *scalars(f"{norm}grad-norm", 2.0, 1.0),
        *scalars(f"{norm}grad-norm vs samples", 2.0, 1.0, first=512, stride=512),
        *scalars("iteration-time", 0.5, 0.25),
        *scalars("world-size", 8.0, 8.0),
        *scalars("vocab-size", 50304.0, 50304.0),
    )
    loss = found(reading, "train_loss")
    assert (list(loss.steps), loss.axis, loss.window) == ([1, 2], "step", "the batch of one step, all micro-batches")
    assert list(found(reading, "grad_norm").values) == [2.0, 1.0]
    assert list(found(reading, "step_time_s").values) == [0.5, 0.25]
    assert not [s for s in reading.series if "vs samples" in s.name]
    assert isinstance(size := reading.settings["recipe.world_size"], Known)
    assert size.value == 8
    assert isinstance(vocab := reading.settings["architecture.vocab_size"], Known)
    assert vocab.value == 50304


def test_samples_alone_are_an_axis_of_their_own() -> None:
    """A metric that stands over samples only says so."""
    loss = found(read(*scalars("lm loss vs samples", 10.5, 9.5, first=512, stride=512)), "train_loss")
    assert (loss.axis, list(loss.steps)) == ("samples", [512, 1024])
    loss = found(read(*scalars("Train/Samples/train_loss", 10.5, first=512)), "train_loss")
    assert loss.axis == "samples"


def test_arguments_of_megatron() -> None:
    """Megatron writes each argument as a text."""
    texts = {
        "micro_batch_size": "4",
        "global_batch_size": "64",
        "hidden_size": "1024",
        "num_layers": "24",
        "seq_length": "2048",
        "load": "/home/somebody/x",
    }
    reading = read(*(text_event(f"{name}/text_summary", value) for name, value in texts.items()))
    (part,) = reading.parts
    assert isinstance(width := part.settings["architecture.d_model"], Known)
    assert width.value == 1024
    assert "somebody" not in repr(reading)


def test_torchtitan() -> None:
    """Its tags have units in their names."""
    reading = read(
        *scalars("loss_metrics/global_avg_loss", 8.0, 7.0),
        *scalars("loss_metrics/global_max_loss", 8.5, 7.5),
        *scalars("throughput(tps)", 1000.0, 1000.0),
        *scalars("mfu(%)", 40.0, 50.0),
        *scalars("memory/max_reserved(GiB)", 2.0, 2.0),
        *scalars("validation_metrics/loss", 7.25, first=2),
    )
    assert list(found(reading, "train_loss").values) == [8.0, 7.0]
    assert list(found(reading, "mfu").values) == [0.4, 0.5]
    assert list(found(reading, "memory_bytes").values) == [2.0 * 2**30] * 2
    assert found(reading, "tokens_per_s_per_gpu").scope == "rank"
    assert list(found(reading, "val_loss").values) == [7.25]


def test_lightning() -> None:
    """The loss of a step and the mean over the epoch are two metrics; the placeholder for hyperparameters is none."""
    reading = read(
        *scalars("train_loss_step", 4.0, 3.0, first=49, stride=50),
        *scalars("train_loss_epoch", 3.5, first=99),
        *scalars("val_loss", 3.25, first=99),
        *scalars("lr-AdamW", 1e-3, 1e-3, first=49, stride=50),
        *scalars("hp_metric", -1.0, first=0),
    )
    assert list(found(reading, "train_loss").values) == [4.0, 3.0]
    assert "epoch" in found(reading, "train_loss_epoch").window
    assert found(reading, "val_loss").mode == "eval"
    assert reading.get("learning_rate") is not None
    assert reading.get("hp_metric") is None


def test_fairseq_reports_bits() -> None:
    """Its losses are in bits, and are converted: 2 bits are 1.386 nats."""
    tags = {"loss": 2.5, "nll_loss": 2.0, "ppl": 4.0, "wps": 100.0, "gnorm": 1.0}
    reading = read(
        *(scalar_event(tag, value, step=100) for tag, value in tags.items()),
        name="tb/train_inner/events.out.tfevents.1.h",
    )
    assert found(reading, "train_loss").values[0] == pytest.approx(2 * math.log(2))
    validation = read(
        *(scalar_event(tag, value, step=100) for tag, value in tags.items()), name="tb/valid/events.out.tfevents.1.h"
    )
    assert found(validation, "val_loss").values[0] == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize(("folder", "name"), [("train", "train_loss"), ("validation", "val_loss")])
def test_keras(folder: str, name: str) -> None:
    """Keras tells training and validation by the folder, and counts epochs."""
    events = [tensor_scalar_event("epoch_loss", 2.0, step=0), tensor_scalar_event("epoch_loss", 1.5, step=1)]
    loss = found(read(*events, name=f"logs/{folder}/events.out.tfevents.1.h.v2"), name)
    assert (loss.axis, list(loss.values)) == ("epoch", [2.0, 1.5])


@pytest.mark.parametrize("tag", ["train/loss", "Loss/train", "train_loss", "loss", "Train Loss"])
def test_names_of_other_trainers(tag: str) -> None:
    """What people call a training loss is one, of which nothing else is known."""
    loss = found(read(*scalars(tag, 3.0, 2.0)), "train_loss")
    assert (loss.mode, loss.unit) == ("unknown", "nats_per_token")


def test_same_meaning_twice() -> None:
    """Of two tags with one meaning that with more points has its name, the other its own."""
    reading = read(*scalars("loss", 3.0, 2.0, 1.0), *scalars("train/loss", 3.5))
    assert found(reading, "train_loss").count == 3
    assert found(reading, "train/loss").count == 1


def test_sentinels() -> None:
    """An MFU of -100 means not measured yet; one in per cent is a fraction here; a norm of 0 throughout was not measured."""
    reading = read(
        *scalars("mfu", -100.0, 25.0, 50.0), *scalars("grad_norm", 0.0, 0.0, 0.0), *scalars("loss", 2.0, 2.0, 2.0)
    )
    assert list(found(reading, "mfu").values) == [0.25, 0.5]
    assert reading.get("grad_norm") is None
    assert [n.kind for n in reading.notices] == ["grad_norm_constant_zero"]


def test_resumed_writer() -> None:
    """Steps made again stand in the order of the file, with the seam named."""
    reading = read(
        *scalars("loss", *(5 - i / 10 for i in range(10))),
        session_start_event(6),
        *scalars("loss", 4.0, 3.5, 3.25, first=6),
    )
    assert [(s.step_before, s.step_after) for s in reading.seams] == [(10, 6)]
    assert found(reading, "train_loss").count == 13


def test_nan_stays() -> None:
    """A NaN loss is a loss."""
    assert math.isnan(found(read(*scalars("loss", 2.0, math.nan)), "train_loss").values[1])


def test_unread_bytes_are_counted() -> None:
    """What a crash left of the last record is reported, what stands before it read."""
    data = event_file(scalars("loss", 3.0, 2.0)) + b"\x20\0\0\0\0"
    (reading,) = DIALECT.read(file_of(data))
    (problem,) = reading.problems
    assert problem.kind == "unread_bytes"
    assert "5 of" in problem.message
    assert found(reading, "train_loss").count == 2


def test_files_without_metrics_give_nothing() -> None:
    """A file of hyperparameters, and one whose writer wrote nothing, are passed over; a damaged one is an error."""
    assert tuple(DIALECT.read(file_of(event_file([])))) == ()
    assert tuple(DIALECT.read(file_of(event_file([scalar_event("_hparams_/x", 1.0)])))) == ()
    assert tuple(DIALECT.read(file_of(b""))) == ()
    with pytest.raises(NotText, match="damaged"):
        tuple(DIALECT.read(file_of(b"garbage in a file of this name")))


def test_many_points_are_all_counted() -> None:
    """Every point counts: none is sampled away."""
    reading = read(*scalars("loss", *(3 - i / 20_000 for i in range(20_000))))
    assert found(reading, "train_loss").count == 20_000


def test_sniff() -> None:
    """Event files are told by their first record, under other names too; other binary files are not claimed."""
    data = event_file(scalars("loss", 3.0))
    assert DIALECT.sniff(file_of(data)) == 1.0
    assert DIALECT.sniff(file_of(data, "x")) >= 0.5
    assert DIALECT.sniff(file_of(b"iter 0: loss 3", "train.log")) == 0
    assert DIALECT.sniff(file_of(b"{}", "notes-tfevents.json")) == 0


@settings(deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever happens to the bytes, there are readings or an error of ours."""
    whole = bytearray(event_file([*scalars("train/loss", 3.0, 2.0), text_event("args/text_summary", '{"seed": 1}')]))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    with contextlib.suppress(InputError):
        tuple(DIALECT.read(file_of(bytes(whole))))


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.floats(width=32), st.integers(-(2**63), 2**63 - 1)), max_size=8))
def test_any_tags_and_numbers(points: list[tuple[str, float, int]]) -> None:
    """Whatever the tags, the numbers and the steps, each series keeps its points."""
    with contextlib.suppress(InputError):
        for reading in DIALECT.read(file_of(event_file(scalar_event(t, v, step=s) for t, v, s in points))):
            assert all(len(s) for s in reading.series)
            assert len({s.name for s in reading.series}) == len(reading.series)


def test_corpus_facts() -> None:
    """The evaluation that was made after the state was saved is found at its step."""
    folder = CORPUS / "hf-no-loss-row"
    if not folder.is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    wanted = json.loads((folder / "facts.json").read_text(encoding="utf-8"))["facts"]["final.val_loss"]
    losses = [s for run in read_all(folder).runs if (s := run.get("val_loss")) is not None]
    assert len(losses) == 1
    assert losses[0].steps[-1] == wanted["step"]
    assert losses[0].values[-1] == pytest.approx(wanted["value"], rel=1e-6)
