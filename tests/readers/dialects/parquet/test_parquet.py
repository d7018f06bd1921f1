"""Metrics in Parquet files."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText, UnreadableInput
from auscult.readers.dialects.parquet import DIALECT
from table_files import at, one, points, survives

pyarrow = pytest.importorskip("pyarrow")


def table(columns: dict[str, list[Any]], **how: Any) -> bytes:
    import pyarrow.parquet as parquet

    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer, **how)
    return buffer.getvalue()


def test_row_groups(tmp_path: Path) -> None:
    """All row groups are read, nulls are no values, and the number of the row stands for a line."""
    content = table(
        {"step": [0, 10, 20], "train_loss": [5.0, None, 4.0], "val_loss": [None, 5.5, None]}, row_group_size=1
    )
    reading = one(DIALECT, at(tmp_path, "m.parquet", content))
    assert points(reading, "train_loss") == [(0, 5.0), (20, 4.0)]
    val = reading.get("val_loss")
    assert val is not None
    assert list(val.lines) == [2]


def test_columns_of_other_kinds(tmp_path: Path) -> None:
    """Lists and binaries are left out; a dictionary-coded run column parts the runs."""
    content = table(
        {
            "step": [0, 0, 1, 1] * 3,
            "loss": [5.0, 6.0, 4.0, 5.0] * 3,
            "run": pyarrow.array(["a", "b"] * 6).dictionary_encode(),
            "vector": [[1.0]] * 12,
            "blob": [b"x"] * 12,
        }
    )
    found = list(DIALECT.read(at(tmp_path, "m.parquet", content)))
    assert {r.label.partition("#")[0] for r in found} == {"a", "b"}


def test_a_data_set_is_left_alone(tmp_path: Path) -> None:
    """A table of texts has no metrics; it is not claimed."""
    file = at(tmp_path, "train.parquet", table({"text": ["a", "b"], "id": [1, 2]}))
    assert DIALECT.sniff(file) == 0
    with pytest.raises(NotText, match="no table of metrics"):
        list(DIALECT.read(file))


def test_sniff(tmp_path: Path) -> None:
    """A table with a counter and a loss is recognised by its schema."""
    assert DIALECT.sniff(at(tmp_path, "m.parquet", table({"step": [1, 2], "loss": [5.0, 4.0]}))) == 0.6
    assert DIALECT.sniff(at(tmp_path, "m.csv", "step,loss\n1,2\n")) == 0


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message says what to install, and a folder's other files are read."""
    file = at(tmp_path, "m.parquet", table({"step": [1], "loss": [5.0]}))
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert 0.2 <= DIALECT.sniff(file) < 0.5
    with pytest.raises(UnreadableInput, match="parquet"):
        list(DIALECT.read(file))


def test_damaged(tmp_path: Path) -> None:
    """A file that was cut is an input error, not Arrow's."""
    content = table({"step": list(range(50)), "loss": [5.0] * 50})
    with pytest.raises(UnreadableInput, match="damaged"):
        list(DIALECT.read(at(tmp_path, "m.parquet", content[: len(content) // 2])))


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 700), st.binary(min_size=1, max_size=6))
def test_mangled_files_give_readings_or_an_input_error(place: int, piece: bytes) -> None:
    """Bytes that are changed anywhere never raise anything but an input error."""
    content = table({"step": list(range(20)), "loss": [5.0] * 20})
    mangled = content[:place] + piece + content[place + len(piece) :]
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "m.parquet", mangled))
