"""MLflow's database."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText, UnreadableInput
from auscult.readers import read_all
from auscult.readers.dialects.mlflow_sqlite import DIALECT
from auscult.readers.files import InputFile, open_path
from auscult.run import Known
from table_files import at, kinds, points, said, survives

SCHEMA = """
CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL, name VARCHAR(250), user_id VARCHAR(256), status VARCHAR(20), lifecycle_stage VARCHAR(20),
  PRIMARY KEY (run_uuid));
CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,
  step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL, PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan));
CREATE TABLE latest_metrics (key VARCHAR(250), value FLOAT, run_uuid VARCHAR(32));
CREATE TABLE params (key VARCHAR(250), value VARCHAR(8000), run_uuid VARCHAR(32));
CREATE TABLE tags (key VARCHAR(250), value VARCHAR(5000), run_uuid VARCHAR(32));
"""
A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def database(folder: Path, more: str = "") -> InputFile:
    path = folder / "mlflow.db"
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    connection.executemany(
        "INSERT INTO runs VALUES (?, ?, 'somebody', ?, ?)",
        [(A, "able", "FINISHED", "active"), (B, "", "KILLED", "active"), (C, "gone", "FINISHED", "deleted")],
    )
    connection.executemany(
        "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
        [
            (key, v - s / 10, s, run, s, 0)
            for run in (A, B, C)
            for key, v in (("train/loss", 5.0), ("eval_loss", 6.0))
            for s in range(8)
        ]
        + [("train/loss", 0.0, 9, A, 8, 1), ("train/loss", 1.7976931348623157e308, 10, A, 9, 0)],
    )
    connection.executemany(
        "INSERT INTO params VALUES (?, ?, ?)", [("n_layer", "6", A), ("lr", "0.001", A), ("user", "somebody", A)]
    )
    connection.executemany(
        "INSERT INTO tags VALUES (?, ?, ?)", [("mlflow.runName", "baker", B), ("mlflow.user", "somebody", B)]
    )
    connection.executescript(more)
    connection.commit()
    connection.close()
    return open_path(path, "mlflow.db")


def test_runs(tmp_path: Path) -> None:
    """Each run that was not deleted is a reading; metrics logged one after another are one run, not several."""
    a, b = DIALECT.read(database(tmp_path))
    assert (a.label, b.label, a.run_id) == ("able", "baker", A)
    assert points(a, "val_loss") == [(s, 6.0 - s / 10) for s in range(8)]
    losses = points(a, "train_loss")
    assert math.isnan(losses[8][1])
    assert losses[9] == (9, math.inf)
    assert said(a)["architecture.n_layer"] == 6
    assert a.noted["mlflow.status"].value == "FINISHED"
    assert "killed" in kinds(b)
    assert "somebody" not in repr((a, b))


def test_file_store_and_database_names(tmp_path: Path) -> None:
    """A folder with the database gives its runs."""
    database(tmp_path)
    runs = read_all(tmp_path).runs
    assert len(runs) == 2
    assert isinstance(runs[0].recipe.learning_rate, Known)


def test_nothing_in_it_is_executed(tmp_path: Path) -> None:
    """Views in the place of tables, triggers and virtual tables are no part of it, and the file stays as it was."""
    file = database(tmp_path, "CREATE TRIGGER t AFTER INSERT ON metrics BEGIN DELETE FROM runs; END;")
    assert file.path is not None
    before = file.path.read_bytes()
    assert len(list(DIALECT.read(file))) == 2
    assert file.path.read_bytes() == before
    view = database(
        tmp_path, "ALTER TABLE metrics RENAME TO m; CREATE VIEW metrics AS SELECT *, load_extension('x') FROM m;"
    )
    with pytest.raises(NotText, match="no runs of MLflow"):
        list(DIALECT.read(view))


def test_not_a_database(tmp_path: Path) -> None:
    """A text that is called .db is refused, a damaged database too."""
    text = at(tmp_path, "mlflow.db", "run_uuid latest_metrics metrics\n")
    assert DIALECT.sniff(text) == 0
    with pytest.raises(NotText, match="not an SQLite database"):
        list(DIALECT.read(text))
    file = database(tmp_path)
    assert file.path is not None
    damaged = at(tmp_path, "cut.db", file.path.read_bytes()[:5000])
    with pytest.raises((UnreadableInput, NotText)):
        list(DIALECT.read(damaged))


def test_journal_is_named(tmp_path: Path) -> None:
    """Rows in a write-ahead log that was not closed are not read, and that is said."""
    file = database(tmp_path)
    (tmp_path / "mlflow.db-wal").write_bytes(b"x" * 100)
    assert all(any(p.kind == "journal_not_read" for p in r.problems) for r in DIALECT.read(file))


def test_sniff(tmp_path: Path) -> None:
    """MLflow's tables are recognised in the file's head."""
    assert DIALECT.sniff(database(tmp_path)) == 0.95


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20_000), st.binary(min_size=1, max_size=30))
def test_mangled_databases(where: int, piece: bytes) -> None:
    """Bytes that are changed anywhere never raise anything but an input error."""
    with TemporaryDirectory() as folder:
        file = database(Path(folder))
        assert file.path is not None
        content = file.path.read_bytes()
        survives(DIALECT, at(Path(folder), "x.db", content[:where] + piece + content[where + len(piece) :]))
