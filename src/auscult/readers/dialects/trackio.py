"""Trackio's database: one SQLite file for each project, the metrics of every ``log`` call as JSON.

``metrics(run_id, timestamp, run_name, step, metrics)``; earlier versions have no ``run_id``. ``step`` counts the calls of
``log`` of a run unless a step was given. NaN and infinities are stored as words. ``configs`` holds each run's config, with
the account's name in it, which is not read. (trackio sqlite_storage.py, utils.py ``serialize_values``, run.py.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from ...errors import NotText
from ...run import Known, Notice, Problem, Source
from ..files import InputFile
from ..loose_settings import settings_of
from ..metric_names import MAX_NAME
from ..reading import TRACKER, Dialect, Reading
from ..sqlite_file import Database, opened, tables_of
from ..table import Layout, Table, Tables, known_by_name, layout_of
from .jsonl import flat

__all__ = ["DIALECT"]

_SAMPLE_ROWS = 4_000
_MAX_RUNS = 2_000
_RUN = "\0run"  # no metric can bear this name
_STEP = "\0step"
_WORDS = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}
_COUNTS_CALLS = "trackio's step counts the calls of log, unless a step was given"


class TrackioTable(Table):
    """Rows of trackio."""

    dialect = "trackio"
    authority = TRACKER


def _metrics(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str | bytes) else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: _WORDS.get(value, value) if isinstance(value, str) else value for name, value in flat(found).items()}


def _rows(database: Database) -> Iterable[dict[str, Any]]:
    by_id = "run_id" in database.tables["metrics"]
    for run, step, text in database.rows("metrics", ("run_id" if by_id else "run_name", "step", "metrics")):
        yield {**_metrics(text), _RUN: str(run), _STEP: step}


def _layout(database: Database) -> Layout | None:
    sample = list(islice(_rows(database), _SAMPLE_ROWS))
    names = list(dict.fromkeys(name for row in sample for name in row))
    numeric = [n for n in names if n not in (_RUN, _STEP) and any(isinstance(r.get(n), int | float) for r in sample)]
    renamed = [{**row, "step": row[_STEP]} if "step" not in row else row for row in sample]
    layout = layout_of([*numeric, *([] if "step" in numeric else ["step"])], renamed, loose=False)
    if layout is not None:
        layout.run = _RUN
        layout.step = _STEP if layout.step == "step" else layout.step
    return layout


def _names(database: Database) -> dict[str, str]:
    """Return the name of each run by its identity."""
    columns = database.tables["metrics"]
    if "run_id" not in columns or "run_name" not in columns:
        return {}
    names: dict[str, str] = {}
    for run, name in database.rows("metrics", ("run_id", "run_name")):
        if len(names) < _MAX_RUNS:
            names.setdefault(str(run), str(name)[:MAX_NAME])
    return names


def _configs(database: Database, file: InputFile) -> dict[str, Mapping[str, Known[Any]]]:
    columns = database.tables.get("configs", ())
    key = "run_id" if "run_id" in columns else "run_name"
    if key not in columns or "config" not in columns:
        return {}
    found: dict[str, Mapping[str, Known[Any]]] = {}
    for run, text in islice(database.rows("configs", (key, "config")), _MAX_RUNS):
        config = {name: value for name, value in _metrics(text).items() if not name.startswith("_")}
        found[str(run)] = known_by_name(config, file.name, None)
    return found


def _read(file: InputFile) -> Iterable[Reading]:
    with opened(file) as database:
        layout = _layout(database) if {"step", "metrics"} <= set(database.tables.get("metrics", ())) else None
        if layout is None:
            raise NotText(
                "no metrics of trackio are recognised in it",
                where=file.name,
                expected="a table `metrics` with `step` and JSON in `metrics`, and a loss in it",
                found="tables " + ", ".join(sorted(database.tables)[:6])[:120],
                hint="give the project's .db below trackio's folder",
            )
        tables = Tables(TrackioTable, file.name, layout)
        for number, row in enumerate(_rows(database), 1):
            tables.take(row, number)
        names, configs = _names(database), _configs(database, file)
        extra = _journal(file) if database.has_journal else ()
    readings = []
    labels: dict[str, int] = {}
    for reading in tables.finish():
        run, _, piece = reading.label.partition("#")
        name = names.get(run, run)
        labels[name] = labels.get(name, 0) + 1
        label = name if labels[name] == 1 else f"{name} ({labels[name]})"
        settings, problems, noted = settings_of(configs.get(run, {}), "trackio")
        axis = layout.step == _STEP and layout.axis == "step"
        notices = (
            (*reading.notices, Notice("tracker_steps", Source("read", file.name, None), 1, 0, _COUNTS_CALLS))
            if axis
            else reading.notices
        )
        readings.append(
            replace(
                reading,
                label=label,
                run_id=f"{file.name}#{run}#{piece}",
                settings={**settings, **reading.settings},
                problems=(*reading.problems, *problems, *extra),
                noted={**noted, **reading.noted},
                notices=notices,
            )
        )
    return readings


def _journal(file: InputFile) -> tuple[Problem, ...]:
    return (
        Problem(
            "journal_not_read",
            "a write-ahead log (-wal) lies beside it: its last rows are not read until trackio closes it",
            Source("read", file.name, None),
        ),
    )


def _sniff(file: InputFile) -> float:
    return 0.95 if {"run_name", "step", "metrics"} <= set(tables_of(file).get("metrics", ())) else 0.0


DIALECT = Dialect(
    name="trackio",
    title="trackio",
    role="metrics",
    example="metrics(run_id, timestamp, run_name, step, metrics): …, 100, '{\"train/loss\": 4.21}'",
    reads="every number of every run, its config under the names that are common across trainers; `train/global_step` is the"
    " step where it was logged",
    cannot="the optimiser's step where neither a step nor `global_step` was logged: trackio then counts calls; the account, the"
    " host and system metrics are never read; rows in a write-ahead log that was not closed",
    source="gradio-app/trackio sqlite_storage.py at 2a02752 (schemas with and without run_id)",
    sniff=_sniff,
    read=_read,
    tracker=True,
)
