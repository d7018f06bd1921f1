"""What W&B's interface exports as CSV: a chart (a column for each run) or the table of runs (a row for each run).

A chart's columns are ``<run> - <metric>`` with ``__MIN`` and ``__MAX`` beside each; all cells are quoted, the curve is sampled
down, and a run has empty cells where it logged nothing. The first column is the chart's x axis: ``Step`` is W&B's own counter
of ``log`` calls, which is not the optimiser's step. The table of runs holds each run's config and its last values; booleans
are ``true`` and ``false``, ``-`` means nothing. Tables of one row per run that scripts write themselves are read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ...errors import NotText
from ...run import Known, Notice, Problem, Series, Source
from ..columns import LIMIT, Thinned
from ..files import InputFile
from ..log import series_of
from ..loose_settings import settings_of
from ..meaning import Metric
from ..metric_names import MAX_NAME, Meant, is_step, meant, unique, words
from ..patterns import lazy
from ..reading import TRACKER, Dialect, Reading
from ..table import LOSSES, number_of, positive
from .csv import Sheet, rows_of, sheet_of

__all__ = ["DIALECT"]

_SERIES = lazy(r"^(?P<run>.{1,400}?) - (?P<metric>[^\n]{1,200})$")
_SPREAD = ("__MIN", "__MAX")
_W_AND_B = frozenset({"Name", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep"})
_PRIVATE = frozenset(
    {"user", "notes", "host", "hostname", "username", "email", "created", "tags", "id", "sweep", "entity"}
)
_RUN_NAMES = ("Name", "run_name", "run", "name", "Run", "experiment", "exp_name")
_LAST_STEPS = ("iter", "global_step", "train/global_step", "trainer/global_step", "step", "_step", "steps")
_PLANNED = ("max_iters", "max_steps", "train_iters", "num_iterations", "total_steps")
_STEP_AXIS = "the step is W&B's _step, a count of log calls, and not the optimiser's"
_SAMPLED = "a chart's export is sampled down; W&B shows the mean of what it left out"
_MAX_RUNS = 5_000
_MAX_CELLS = 40
_ENDED_BADLY = {"crashed": "killed", "killed": "killed"}
_MIN_SETTINGS = 3


# ---- charts


def _chart_columns(names: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Return the index of each curve's column, with the run and the metric that it names."""
    found: dict[int, tuple[str, str]] = {}
    for index, name in enumerate(names[1:], 1):
        if name.endswith(_SPREAD):
            continue
        parts = _SERIES.match(name)
        if parts is None:
            continue
        run, _, metric = name.rpartition(" - ")
        if metric not in ("_step", "_runtime", "_timestamp"):
            found[index] = (run[:MAX_NAME], metric[:MAX_NAME])
    return found


def _is_chart(names: Sequence[str]) -> bool:
    return (
        len(names) >= 2
        and bool(_chart_columns(names))
        and (any(name.endswith(_SPREAD) for name in names) or all(_SERIES.match(n) for n in names[1:]))
    )


def _axis_of(name: str) -> tuple[str, str]:
    """Return what a chart's first column counts, and what one must know of it."""
    if name in ("Step", "_step"):
        return "step", _STEP_AXIS
    if is_step(name) is not None:
        return "step", ""
    found = meant(name)
    if found is not None and found.metric.name in ("tokens_seen", "tokens"):
        return "tokens", ""
    return ("epoch", "") if words(name) == ("epoch",) else ("row", f"the chart's x axis is {name[:60]}")


def _read_chart(file: InputFile, sheet: Sheet) -> list[Reading]:
    axis, convention = _axis_of(sheet.names[0])
    columns = _chart_columns(sheet.names)
    meanings: dict[str, dict[str, Meant]] = {}
    for run in {run for run, _metric in columns.values()}:
        meanings[run] = unique(metric for r, metric in columns.values() if r == run)
    limit = max(1024, min(LIMIT, 64 * LIMIT // max(64, len(columns))))
    points = {index: Thinned(limit) for index in columns}
    names = sheet.names
    spread = {i: names[i + 1 : i + 3] == (names[i] + "__MIN", names[i] + "__MAX") for i in columns}
    row, broken, first_broken, sampled = 0, 0, 0, 0
    width = len(sheet.names)
    for number, cells, _ended in rows_of(file, sheet):
        at = number_of(cells[0]) if cells else None
        if at is None or at != at or len(cells) > width or abs(at) > 2**62:
            broken, first_broken = broken + 1, first_broken or number
            continue
        step = int(at) if axis != "row" and at == int(at) else row
        row += 1
        for index in columns:
            if index < len(cells) and cells[index]:
                value = number_of(cells[index])
                if value is not None:
                    points[index].add(step, value, number)
                    sampled += spread[index] and cells[index + 1 : index + 2] != cells[index + 2 : index + 3]
    by_run: dict[str, list[Series]] = {}
    for index, (run, name) in columns.items():
        if points[index].count:
            meaning = meanings[run][name]
            metric = meaning.metric.but(
                axis=axis,
                convention=convention,
                mode="unknown" if meaning.metric.split == "train" else meaning.metric.mode,
            )
            by_run.setdefault(run, []).append(_scaled(series_of(metric, file.name, points[index]), meaning.scale))
    problems = (
        (Problem("broken_record", f"rows cut or garbled: {broken}", Source("read", file.name, first_broken), broken),)
        if broken
        else ()
    )
    notices = [Notice("sampled", Source("read", file.name, 1), sampled, 0, _SAMPLED)] if sampled else []
    if axis == "step" and convention:
        notices.append(Notice("tracker_steps", Source("read", file.name, 1), 1, 0, _STEP_AXIS))
    readings = [
        Reading(
            DIALECT.name,
            file.name,
            "metrics",
            label=run,
            series=tuple(series),
            notices=tuple(notices),
            authority=TRACKER,
        )
        for run, series in by_run.items()
    ]
    if readings:
        readings[0] = replace(readings[0], problems=problems)
    return _numbered(readings)


def _scaled(series: Series, scale: float) -> Series:
    if scale == 1.0:
        return series
    from array import array

    return replace(series, values=array("d", (v * scale for v in series.values)))


def _numbered(readings: list[Reading]) -> list[Reading]:
    """Say of several runs that they stand in one file."""
    total = len(readings)
    if total < 2:
        return readings
    return [
        replace(
            r,
            notices=(
                *r.notices,
                Notice("several_runs_in_file", r.series[0].source(0), total, 0, f"run {i} of {total}"),
            ),
        )
        for i, r in enumerate(readings, 1)
    ]


# ---- tables of runs


def _is_table(names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> float:
    have = set(names)
    if {"Name", "State"} <= have and len(have & _W_AND_B) >= 4:
        return 0.95
    run = next((n for n in _RUN_NAMES if n in have), None)
    if run is None or any(n.endswith(("_mean", "_std")) for n in names):
        return 0.0  # means over several seeds are no run's figures
    said = [row.get(run, "") for row in rows]
    settings, _problems, _noted = (
        settings_of({n: Known(rows[0].get(n), Source("read", "", 1)) for n in names}, "w") if rows else ({}, (), {})
    )
    finals = [n for n in names if _final_of(n) is not None]
    counted = any(n in have for n in ("step", "iter", "iteration", "epoch")) and len(set(said)) < 0.7 * len(said)
    return 0.62 if finals and len(settings) >= _MIN_SETTINGS and not counted else 0.0


def _final_of(name: str) -> Meant | None:
    """Return the meaning of a last value's column: ``final_val_loss`` is a validation loss."""
    bare = re.sub(r"^(?:final|last)[_/ ]|[_/ ](?:final|last)$", "", name, flags=re.IGNORECASE)
    found = meant(bare)
    return found if found is not None and found.metric.name in LOSSES else None


def _read_table(file: InputFile, sheet: Sheet) -> list[Reading]:
    names = sheet.names
    run_column = next((n for n in _RUN_NAMES if n in names), names[0])
    losses: dict[str, Metric] = {}
    taken: set[str] = set()
    for name in sorted((n for n in names if _final_of(n) is not None), key=lambda n: (len(words(n)), len(n))):
        found = _final_of(name)
        assert found is not None
        metric = (
            found.metric
            if found.metric.name not in taken
            else Metric(name[:MAX_NAME], found.metric.split, "unknown", found.metric.unit)
        )
        taken.add(metric.name)
        losses[name] = metric.but(
            window="the last value that was logged", mode="unknown" if metric.split == "train" else metric.mode
        )
    readings: list[Reading] = []
    labels: dict[str, int] = {}
    for number, cells, _ended in rows_of(file, sheet):
        if len(cells) != len(names) or len(readings) >= _MAX_RUNS:
            continue
        row = dict(zip(names, cells, strict=True))
        label = (row.get(run_column) or "").strip()[:MAX_NAME] or str(number)
        labels[label] = labels.get(label, 0) + 1
        if labels[label] > 1:
            label = f"{label} ({labels[label]})"
        reading = _row(file, number, row, label, losses)
        if reading is not None:
            readings.append(reading)
    return _numbered(readings)


def _row(
    file: InputFile, number: int, row: Mapping[str, str], label: str, losses: Mapping[str, Metric]
) -> Reading | None:
    said = {
        name: Known(cell.strip(), Source("read", file.name, number, f"{name} = {cell.strip()}"[:160]))
        for name, cell in row.items()
        if cell.strip() not in ("", "-") and name not in losses and not set(words(name)) & _PRIVATE
    }
    settings, problems, noted = settings_of(said, "wandb")
    step, convention, axis = _last_step(row)
    series = []
    for name, metric in losses.items():
        value = number_of(row.get(name))
        if value is not None:
            points = Thinned(4)
            points.add(step, value, number)
            series.append(series_of(metric.but(axis=axis, convention=convention), file.name, points))
    if not series:
        return None
    for key, name in (
        ("wandb.runtime_s", "Runtime"),
        ("wandb.state", "State"),
        ("wandb.runtime_s", "training_time_sec"),
    ):
        if name in said and key not in noted:
            noted[key] = said[name]
    notices: tuple[Notice, ...] = ()
    state = str(row.get("State", "")).strip().lower()
    if state in _ENDED_BADLY:
        notices = (Notice(_ENDED_BADLY[state], Source("read", file.name, number), 1, number, f"W&B says {state}"),)
    return Reading(
        DIALECT.name,
        file.name,
        "metrics",
        label=label,
        series=tuple(series),
        settings=settings,
        problems=problems,
        noted=noted,
        notices=notices,
        authority=TRACKER,
    )


def _last_step(row: Mapping[str, str]) -> tuple[int, str, str]:
    """Return the step at which a run's last values stand, and how sure that is."""
    for name in _LAST_STEPS:
        value = number_of(row.get(name))
        if value is not None and (positive(value) or value == 0):
            return int(value), _STEP_AXIS if name == "_step" else "", "step"
    for name in _PLANNED:
        value = number_of(row.get(name))
        if value is not None and positive(value):
            return int(value), f"placed at the planned last step ({name}): the table does not say the last one", "step"
    return 0, "the table does not say the last step", "row"


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".csv", ".tsv") or file.is_binary:
        return 0.0
    sheet = sheet_of(file)
    if sheet is None:
        return 0.0
    if _is_chart(sheet.names):
        return 0.95 if any(n.endswith(_SPREAD) for n in sheet.names) else 0.7
    return _is_table(sheet.names, sheet.sample[:_MAX_CELLS])


def _read(file: InputFile) -> Iterable[Reading]:
    file.check()
    sheet = sheet_of(file)
    if sheet is not None and _is_chart(sheet.names):
        return _read_chart(file, sheet)
    if sheet is not None:
        found = _read_table(file, sheet)
        if found:
            return found
    raise NotText(
        "no export of W&B is recognised in it",
        where=file.name,
        expected='a chart\'s `"Step","<run> - <metric>"` or a table of runs with `"Name","State",…` and a loss',
        hint="export the chart as CSV, or give the wandb/ folder of the run",
    )


DIALECT = Dialect(
    name="wandb_csv_export",
    title="W&B's CSV exports",
    role="metrics",
    example='"Step","run-a - train/loss","run-a - train/loss__MIN","run-a - train/loss__MAX"\n"0","10.94","10.94","10.94"',
    reads="of a chart, each run's curve; of the table of runs (or one row per run that a script wrote), each run's config, its"
    " last losses, its parameters and how it ended",
    cannot="the optimiser's steps where the x axis is W&B's own step, values that the export left out of a curve, in which mode"
    " a training loss was measured; who ran it is never read",
    source="exports of W&B's interface; Lucas-longxutang/Comp3242_Group_Project_nanoGPT and druidowm/nanoGPT hold one each",
    sniff=_sniff,
    read=_read,
)
