"""W&B's wandb-summary.json."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError, NotText
from auscult.readers import read_all
from auscult.readers.dialects.wandb_summary import DIALECT
from auscult.readers.files import InputFile
from auscult.run import Source
from wandb_runs import corpus_case, folder, nanogpt_console, opened, readings, said

NAME = "files/wandb-summary.json"
NANOGPT = '{"iter": 300, "train/loss": 3.5, "val/loss": 3.6, "lr": 0.002, "mfu": -100.0, "_step": 6, "_wandb": {"runtime": 91}}'


def test_last_values_stand_at_the_trainers_step(tmp_path: Path) -> None:
    """NanoGPT's summary is its last evaluation, at `iter`; an MFU that was never measured is left out."""
    (reading,) = readings(DIALECT, tmp_path, NAME, NANOGPT)
    assert {s.name: (s.steps[0], s.values[0], s.mode) for s in reading.series} == {
        "train_loss_eval": (300, 3.5, "eval"),
        "val_loss": (300, 3.6, "eval"),
        "learning_rate": (300, 0.002, "train"),
    }
    assert all(s.window == "the last value that was logged" for s in reading.series)
    assert said(reading.noted) == {"wandb.runtime_s": 91}
    assert (reading.role, reading.root) == ("metrics", ".")


def test_a_bare_nan_is_a_value(tmp_path: Path) -> None:
    """A NaN loss is kept, and that strict readers refuse the file is said with its line."""
    (reading,) = readings(
        DIALECT, tmp_path, NAME, '{\n "loss": NaN,\n "iteration": 40,\n "note": "NaN",\n "_step": 3\n}'
    )
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.steps[0], math.isnan(loss.values[0])) == (40, True)
    (notice,) = reading.notices
    assert (notice.kind, notice.source) == ("summary_is_not_strict_json", Source("read", NAME, 2))


def test_a_summary_without_metrics(tmp_path: Path) -> None:
    """W&B's runtime alone is noted and makes no series."""
    (reading,) = readings(DIALECT, tmp_path, NAME, '{"_wandb": {"runtime": 4}}')
    assert (reading.role, reading.series, said(reading.noted)) == ("summary", (), {"wandb.runtime_s": 4})
    assert readings(DIALECT, tmp_path, NAME, "{}") == []


def test_nested_values_and_media(tmp_path: Path) -> None:
    """Nested numbers are found under dotted names; histograms and texts are left where they are."""
    text = '{"train": {"loss": 2.5, "step": 9}, "grads": {"_type": "histogram", "bins": [1]}, "name": "x", "ok": true, "big": 1e999}'
    (reading,) = readings(DIALECT, tmp_path, NAME, text)
    assert {s.name for s in reading.series} == {"train_loss", "big"}


def test_a_curve_counts_more(tmp_path: Path) -> None:
    """Where the console has the curve, the last value of the summary does not stand for it."""
    run = read_all(folder(tmp_path, {NAME: NANOGPT, "files/output.log": nanogpt_console(300)})).runs[0]
    series = run.get("val_loss")
    assert series is not None
    assert (series.count, series.file) == (7, "files/output.log")


def test_what_is_no_object_is_refused(tmp_path: Path) -> None:
    """A list, and text that is no JSON, are refused."""
    for text in ("[1, 2]", '{"a": '):
        with pytest.raises(NotText):
            readings(DIALECT, tmp_path, NAME, text)


def test_sniff(tmp_path: Path) -> None:
    """The file's name counts; other JSON is not claimed."""
    assert DIALECT.sniff(opened(tmp_path, NAME, NANOGPT)) == 0.95
    assert DIALECT.sniff(opened(tmp_path, "summary.json", NANOGPT)) == 0.0
    assert DIALECT.sniff(opened(tmp_path, NAME, "no json")) == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_text_is_it_is_read_or_refused(data: st.DataObject) -> None:
    """A summary that is cut, overwritten or spliced gives readings or an error of ours."""
    content = bytearray(NANOGPT.encode())
    for _edit in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 20))] = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b"NaN", b"1e999", b"9" * 400, b"-Infinity", b"{", b"null", b'"NaN"']),
            )
        )
    file = InputFile(NAME, lambda: io.BytesIO(bytes(content)), len(content))
    try:
        for reading in DIALECT.read(file):
            for series in reading.series:
                assert len(series.steps) == len(series.values) == len(series.lines) == 1
    except InputError:
        pass


def test_a_real_one() -> None:
    """The summary of a real run that ended in NaN is read, and said to be no strict JSON."""
    run = read_all(corpus_case("custom-gpt2-large-reversal-nan")).runs[0]
    assert "summary_is_not_strict_json" in {n.kind for n in run.notices}
