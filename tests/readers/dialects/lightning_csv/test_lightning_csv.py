"""Lightning's metrics.csv."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read_all
from auscult.readers.dialects.lightning_csv import DIALECT
from auscult.run import Known
from table_files import agrees, at, corpus_case, one, points, said, survives

HEAD = "epoch,lr-AdamW,step,train_loss_epoch,train_loss_step,val_loss"


def log(epochs: int = 3, first: int = 0) -> str:
    rows = [HEAD]
    for epoch in range(first, first + epochs):
        rows += [f"{epoch},0.001,{step},,{6 - step / 2000}," for step in range(epoch * 100 + 24, epoch * 100 + 100, 25)]
        rows.append(f"{epoch},,{epoch * 100 + 99},,,{5.2 - epoch}")
        rows.append(f"{epoch},,{epoch * 100 + 99},{5.6 - epoch},,")
    return "\n".join(rows) + "\n"


def test_rows_by_kind(tmp_path: Path) -> None:
    """Steps, epoch means and validations are series of their own, whatever rows they stand on."""
    reading = one(DIALECT, at(tmp_path, "lightning_logs/version_0/metrics.csv", log()))
    assert points(reading, "train_loss")[0] == (24, 5.988)
    assert [step for step, _ in points(reading, "train_loss_epoch")] == [99, 199, 299]
    assert [step for step, _ in points(reading, "val_loss")] == [99, 199, 299]
    mean = reading.get("train_loss_epoch")
    assert mean is not None
    assert "lags" in mean.window
    assert mean.convention == "the step counts from 0"
    assert points(reading, "learning_rate")[0] == (24, 0.001)


def test_epochs_follow_from_the_steps(tmp_path: Path) -> None:
    """Epochs that were begun and done are counted, those before a resumption included."""
    assert said(one(DIALECT, at(tmp_path, "a/metrics.csv", log())))["logged.epochs"] == 3.0
    assert said(one(DIALECT, at(tmp_path, "b/metrics.csv", log(first=10))))["logged.epochs"] == 13.0


def test_validation_loaders_and_bare_names(tmp_path: Path) -> None:
    """The first of several validation loaders is the validation loss; names without suffixes are read."""
    text = "epoch,step,train_loss,val_loss/dataloader_idx_0,val_loss/dataloader_idx_1\n0,9,5.0,,\n0,19,4.0,4.5,3.5\n"
    reading = one(DIALECT, at(tmp_path, "version_3/metrics.csv", text))
    assert points(reading, "val_loss") == [(19, 4.5)]
    assert points(reading, "val_loss/dataloader_idx_1") == [(19, 3.5)]


def test_sniff(tmp_path: Path) -> None:
    """It needs epoch and step, and Lightning's names or place; a custom table of the same columns is left to `csv`."""
    assert DIALECT.sniff(at(tmp_path, "x/metrics.csv", log())) == 0.95
    plain = "epoch,step,train_loss\n0,9,5.0\n"
    assert DIALECT.sniff(at(tmp_path, "y/version_0/metrics.csv", plain)) == 0.95
    assert DIALECT.sniff(at(tmp_path, "z/metrics.csv", plain)) == 0
    at(tmp_path, "z/hparams.yaml", "lr: 0.1\n")
    assert DIALECT.sniff(at(tmp_path, "z/metrics.csv", plain)) == 0.95
    assert DIALECT.sniff(at(tmp_path, "w/metrics.csv", "step,train_loss\n9,5.0\n")) == 0


def test_versions_that_continue_are_one_run(tmp_path: Path) -> None:
    """A resumed run goes on in a new version folder: one run with a seam."""
    at(tmp_path, "version_0/metrics.csv", log())
    at(tmp_path, "version_1/metrics.csv", log(first=3))
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert len(found.runs[0].seams) == 1


def test_another_table_is_read_as_csv(tmp_path: Path) -> None:
    """Named for a table without Lightning's columns, it reads what any CSV holds."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,loss\n1,5\n2,4\n"))
    assert points(reading, "train_loss") == [(1, 5), (2, 4)]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_mangled_logs(data: st.DataObject) -> None:
    """A log with pieces cut out or replaced never raises anything but an input error."""
    text = log()
    for _ in range(data.draw(st.integers(1, 4))):
        where, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 60))
        text = (
            text[:where] + data.draw(st.sampled_from(["", '"', ",", "\n", "\0", "1e999", "é"])) + text[where + length :]
        )
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "version_0/metrics.csv", text))


@pytest.mark.parametrize("slug", ["lightning-slm-10-epochs", "lightning-slm-low-lr", "lightning-slm-resumed"])
def test_corpus(slug: str) -> None:
    """The series of the corpus are met point for point."""
    facts, (run,) = corpus_case(slug)
    assert run.dialect == facts["dialect"]
    for name, wanted in facts["series"].items():
        series = run.get(name)
        assert series is not None, name
        assert agrees(series, wanted), name
    if "data_repeated" in facts["labels"]["must_find"]:
        assert isinstance(run.logged.epochs, Known)
        assert run.logged.epochs.value > 1
