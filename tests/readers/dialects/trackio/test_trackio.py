"""Trackio's database."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText
from auscult.readers.dialects.trackio import DIALECT
from auscult.readers.files import InputFile, open_path
from table_files import at, kinds, points, said, survives

NEW = """CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL, run_name TEXT NOT NULL,
  step INTEGER NOT NULL, metrics TEXT NOT NULL);
CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, run_name TEXT, config TEXT NOT NULL, created_at TEXT);"""
OLD = """CREATE TABLE metrics (timestamp TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL);
CREATE TABLE configs (id INTEGER PRIMARY KEY, run_name TEXT NOT NULL, config TEXT NOT NULL);"""


def database(
    folder: Path,
    rows: list[tuple[str, str, int, dict[str, Any]]],
    config: dict[str, Any] | None = None,
    old: bool = False,
) -> InputFile:
    path = folder / "project.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(OLD if old else NEW)
    for run, name, step, metrics in rows:
        if old:
            connection.execute("INSERT INTO metrics VALUES ('t', ?, ?, ?)", (name, step, json.dumps(metrics)))
        else:
            connection.execute(
                "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES (?, 't', ?, ?, ?)",
                (run, name, step, json.dumps(metrics)),
            )
    if config is not None:
        columns, values = ("run_name", rows[0][1]) if old else ("run_id", rows[0][0])
        connection.execute(f"INSERT INTO configs ({columns}, config) VALUES (?, ?)", (values, json.dumps(config)))
    connection.commit()
    connection.close()
    return open_path(path, "project.db")


def rows_of(run: str, name: str, start: float) -> list[tuple[str, str, int, dict[str, Any]]]:
    return [(run, name, s, {"train/loss": start - s / 10, "train/lr": 1e-3}) for s in range(6)]


def test_runs_of_one_name(tmp_path: Path) -> None:
    """Two runs of one name are kept apart by their identities; their config is read without the account's name."""
    config = {"n_layer": 4, "_Username": "somebody", "_Group": None, "learning_rate": 0.001}
    a, b = DIALECT.read(database(tmp_path, rows_of("1", "fox", 5.0) + rows_of("2", "fox", 6.0), config))
    assert (a.label, b.label) == ("fox", "fox (2)")
    assert points(a, "train_loss")[0] == (0, 5.0)
    assert points(b, "learning_rate")[-1] == (5, 1e-3)
    assert said(a)["architecture.n_layer"] == 4
    assert "architecture.n_layer" not in said(b)
    assert "tracker_steps" in kinds(a)
    assert "somebody" not in repr((a, b))


def test_old_schema(tmp_path: Path) -> None:
    """Databases without run identities are read by the runs' names."""
    a, b = DIALECT.read(database(tmp_path, rows_of("", "fox", 5.0) + rows_of("", "owl", 6.0), {"lr": 0.5}, old=True))
    assert (a.label, b.label) == ("fox", "owl")
    assert said(a)["recipe.learning_rate"] == 0.5


def test_global_step_and_words_for_numbers(tmp_path: Path) -> None:
    """The trainer's own step is preferred to the count of calls; NaN and infinities are stored as words."""
    rows = [
        ("1", "a", s, {"train/loss": v, "train/global_step": s * 50})
        for s, v in enumerate([5.0, "NaN", "Infinity", 4.0])
    ]
    (a,) = DIALECT.read(database(tmp_path, rows))
    pairs = points(a, "train_loss")
    assert [step for step, _ in pairs] == [0, 50, 100, 150]
    assert math.isnan(pairs[1][1])
    assert pairs[2][1] == math.inf
    assert "tracker_steps" not in kinds(a)


def test_nested_and_broken_rows(tmp_path: Path) -> None:
    """Nested metrics are flattened; what is no JSON object is passed over."""
    file = database(tmp_path, [("1", "a", s, {"val": {"loss": 5.0 - s}}) for s in range(3)])
    assert file.path is not None
    with sqlite3.connect(file.path) as connection:
        connection.execute(
            "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('1', 't', 'a', 3, '[1')"
        )
    connection.close()
    (a,) = DIALECT.read(open_path(file.path, "project.db"))
    assert points(a, "val_loss") == [(0, 5.0), (1, 4.0), (2, 3.0)]


def test_something_else(tmp_path: Path) -> None:
    """A database without trackio's tables, or without a loss, gets a message; a text called .db too."""
    with pytest.raises(NotText, match="no metrics of trackio"):
        list(DIALECT.read(database(tmp_path, [("1", "a", 0, {"acc": 0.5})])))
    with pytest.raises(NotText, match="SQLite"):
        list(DIALECT.read(at(tmp_path, "x.db", "metrics run_name\n")))


def test_sniff(tmp_path: Path) -> None:
    """The columns of its table are recognised; MLflow's are not taken for it."""
    assert DIALECT.sniff(database(tmp_path, rows_of("1", "a", 5.0))) == 0.95
    assert DIALECT.sniff(at(tmp_path, "x.db", "metrics run_name\n")) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12_000), st.binary(min_size=1, max_size=30))
def test_mangled_databases(where: int, piece: bytes) -> None:
    """Bytes that are changed anywhere never raise anything but an input error."""
    with TemporaryDirectory() as folder:
        file = database(Path(folder), rows_of("1", "a", 5.0))
        assert file.path is not None
        content = file.path.read_bytes()
        survives(DIALECT, at(Path(folder), "x.db", content[:where] + piece + content[where + len(piece) :]))
