"""MLflow's database (``mlflow.db``): tables ``runs``, ``metrics``, ``params`` and ``tags`` (mlflow store/tracking/dbmodels).

NaN is stored as 0 with ``is_nan`` set, an infinity as the largest float. Runs that were deleted in the interface are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...errors import NotText
from ...run import Known, Problem, Source
from ..files import InputFile
from ..loose_settings import settings_of
from ..metric_names import MAX_NAME
from ..reading import TRACKER, Dialect, Reading
from ..sqlite_file import Database, opened, tables_of
from ..table import Layout, Table, Tables
from .mlflow import metric_of, status_notices

__all__ = ["DIALECT"]

_MAX_RUNS = 2_000
_MAX_PARAMS = 1_000
_LARGEST = 1.7976931348623157e308
_RUN_TAG = "mlflow.runName"


class MlflowTable(Table):
    """One metric of one run."""

    dialect = "mlflow_sqlite"
    authority = TRACKER


def _runs(database: Database) -> dict[str, tuple[str, str]]:
    """Return the name and the status of each run that was not deleted."""
    columns = database.tables["runs"]
    stage = "lifecycle_stage" if "lifecycle_stage" in columns else "run_uuid"
    status = "status" if "status" in columns else "run_uuid"
    name = "name" if "name" in columns else "run_uuid"
    found: dict[str, tuple[str, str]] = {}
    for run, called, state, life in database.rows("runs", ("run_uuid", name, status, stage)):
        if life != "deleted" and len(found) < _MAX_RUNS:
            found[str(run)] = (str(called or "")[:MAX_NAME], str(state))
    return found


def _named_values(
    database: Database, table: str, runs: dict[str, tuple[str, str]], file: str
) -> dict[str, dict[str, Known[Any]]]:
    found: dict[str, dict[str, Known[Any]]] = {}
    if not {"run_uuid", "key", "value"} <= set(database.tables.get(table, ())):
        return found
    for run, key, value in database.rows(table, ("run_uuid", "key", "value")):
        if str(run) in runs and isinstance(key, str) and isinstance(value, str):
            mine = found.setdefault(str(run), {})
            if len(mine) < _MAX_PARAMS:
                mine[key[:MAX_NAME]] = Known(value[:1000], Source("read", file, None, f"{key} = {value}"[:160]))
    return found


def _value(value: Any, is_nan: Any) -> float | None:
    if is_nan:
        return math.nan
    if not isinstance(value, int | float):
        return None
    return math.copysign(math.inf, value) if abs(value) >= _LARGEST else float(value)


def _read(file: InputFile) -> Iterable[Reading]:
    with opened(file) as database:
        if not {"run_uuid", "key", "value", "step"} <= set(
            database.tables.get("metrics", ())
        ) or "run_uuid" not in database.tables.get("runs", ()):
            raise NotText(
                "no runs of MLflow are recognised in it",
                where=file.name,
                expected="tables `runs` and `metrics` as MLflow makes them",
                found="tables " + ", ".join(sorted(database.tables)[:6])[:120],
                hint="give the mlflow.db of the tracking server",
            )
        runs = _runs(database)
        tables = Tables(MlflowTable, file.name, Layout("step", value="value"))
        nan = "is_nan" if "is_nan" in database.tables["metrics"] else "step"
        for number, (run, key, value, step, is_nan) in enumerate(
            database.rows("metrics", ("run_uuid", "key", "value", "step", nan)), 1
        ):
            if str(run) not in runs or not isinstance(step, int) or not isinstance(key, str):
                continue
            number_read = _value(value, is_nan if nan == "is_nan" else False)
            if number_read is not None:
                meaning = metric_of(key)
                tables.take_one(str(run), key, step, meaning.metric, number_read * meaning.scale, number)
        params = _named_values(database, "params", runs, file.name)
        tags = _named_values(database, "tags", runs, file.name)
        journal = database.has_journal
    return _finished(file, tables, runs, params, tags, journal)


def _finished(
    file: InputFile,
    tables: Tables,
    runs: dict[str, tuple[str, str]],
    params: dict[str, dict[str, Known[Any]]],
    tags: dict[str, dict[str, Known[Any]]],
    journal: bool,
) -> list[Reading]:
    readings: list[Reading] = []
    labels: dict[str, int] = {}
    place = Source("read", file.name, None)
    late = Problem("journal_not_read", "a write-ahead log (-wal) lies beside it: its rows are not read", place)
    for reading in tables.finish():
        run, _, piece = reading.label.partition("#")
        name, status = runs[run]
        tag = tags.get(run, {}).get(_RUN_TAG)
        name = name or (str(tag.value) if tag is not None else "") or run[:8]
        labels[name] = labels.get(name, 0) + 1
        label = name if labels[name] == 1 else f"{name} ({run[:8]}{piece})"
        settings, problems, noted = settings_of(params.get(run, {}), "mlflow")
        settings.setdefault("recipe.run_name", Known(name, place))
        noted["mlflow.status"] = Known(status, place)
        readings.append(
            replace(
                reading,
                label=label,
                run_id=run + (f"#{piece}" if piece else ""),
                settings={**settings, **reading.settings},
                problems=(*reading.problems, *problems, *((late,) if journal else ())),
                noted={**noted, **reading.noted},
                notices=(*reading.notices, *status_notices(status, place)),
            )
        )
    return readings


def _sniff(file: InputFile) -> float:
    tables = tables_of(file)
    if "run_uuid" not in tables.get("runs", ()) or not {"run_uuid", "key", "step"} <= set(tables.get("metrics", ())):
        return 0.0
    return 0.95


DIALECT = Dialect(
    name="mlflow_sqlite",
    title="MLflow's database",
    role="metrics",
    example="metrics(key, value, timestamp, run_uuid, step, is_nan): train/loss, 4.2137, …, 100",
    reads="each run's metrics with their steps, parameters under the names that are common across trainers, its name and how it"
    " ended; deleted runs are left out",
    cannot="what one value averages over; the step where none was logged (MLflow writes 0 then); the account and the program's"
    " path are never read; rows in a write-ahead log that was not closed",
    source="mlflow/mlflow store/tracking/dbmodels/models.py",
    sniff=_sniff,
    read=_read,
)
