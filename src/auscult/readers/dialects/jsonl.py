"""Metrics as JSON lines: one object for each record, with a step and a loss among its keys, nested or not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from ...errors import NotText
from ...run import Known, Problem, Source
from ..files import InputFile
from ..loose_settings import settings_of
from ..metric_names import MAX_NAME, meant
from ..reading import TRACKER, Dialect, Reading
from ..table import Layout, Table, Tables, known_by_name, layout_of, number_of, partner_id

__all__ = ["DIALECT", "flat"]

_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".log", ".txt", ""})
_SURE_SUFFIXES = frozenset({".jsonl", ".ndjson"})
_WRAPPERS = frozenset({"metrics", "data", "log", "logs", "scalars", "values", "payload", "message"})
_CONFIGS = frozenset(
    {"config", "args", "hparams", "hyperparameters", "hyper_parameters", "params", "settings", "model_config"}
)
_SAMPLE_LINES = 4_000
_MAX_DEPTH = 5
_MAX_KEYS = 2_000
_MIN_SETTINGS = 3


def flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scalars of nested objects under their paths, ``/`` between the parts; mere wrappers are left out.

    Examples
    --------
    >>> flat({"step": 5, "metrics": {"train": {"loss": 2.5}}})
    {'step': 5, 'train/loss': 2.5}
    """
    out: dict[str, Any] = {}
    _flatten(found, "", out, 0)
    return out


def _flatten(found: Mapping[str, Any], path: str, out: dict[str, Any], depth: int) -> None:
    for key, value in found.items():
        if len(out) >= _MAX_KEYS:
            return
        here = f"{path}/{key}"[:MAX_NAME] if path else str(key)[:MAX_NAME]
        if isinstance(value, dict):
            if depth < _MAX_DEPTH:
                _flatten(value, path if key in _WRAPPERS else here, out, depth + 1)
        elif not isinstance(value, list):
            out.setdefault(here, value)


def _object(text: str) -> dict[str, Any] | None:
    text = text.strip()
    if not text.startswith("{") or not text.endswith("}"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _sample(file: InputFile) -> tuple[list[dict[str, Any]], int]:
    """Return the flattened objects of the sample, and how many of its lines are none."""
    lines = [line for line in file.sample.split("\n") if line.strip()]
    if not lines or not lines[0].lstrip("\ufeff").lstrip().startswith("{"):
        return [], len(lines)
    kept = lines[:_SAMPLE_LINES] + lines[max(_SAMPLE_LINES, len(lines) - _SAMPLE_LINES // 4) :]
    rows = [flat(found) for line in kept if (found := _object(line.lstrip("\ufeff"))) is not None]
    return rows, len(kept) - len(rows)


def _layout(file: InputFile) -> Layout | None:
    rows, others = _sample(file)
    if not rows or others > max(2, len(rows)):
        return None
    names: dict[str, int] = {}
    for row in rows:
        for name in row:
            if len(names) < _MAX_KEYS or name in names:
                names[name] = names.get(name, 0) + 1
    numeric = [n for n in names if any(_is_metric(row.get(n)) for row in rows)]
    text = [n for n in names if n not in set(numeric)]
    layout = layout_of([*numeric, *text], rows, stem=PurePosixPath(file.base).stem)
    if layout is None:
        return None
    together = sum(1 for row in rows if _holds(row, layout))
    return layout if together >= 0.1 * len(rows) else None


def _is_metric(value: Any) -> bool:
    return number_of(value) is not None if isinstance(value, str) else isinstance(value, int | float)


def _holds(row: Mapping[str, Any], layout: Layout) -> bool:
    """Return whether a row holds a step and a number."""
    if layout.step is not None and number_of(row.get(layout.step)) is None:
        return False
    if layout.value is not None:
        return number_of(row.get(layout.value)) is not None
    return any(number_of(row.get(name)) is not None for name in layout.metrics)


class JsonTable(Table):
    """Rows of JSON lines."""

    dialect = "jsonl"


def _config_of(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the settings in a line that holds a config, or None."""
    for key, value in found.items():
        if isinstance(value, dict) and key.lower() in _CONFIGS:
            return flat(value)
    said = str(found.get("type", found.get("event", ""))).lower()
    return flat(found) if said in _CONFIGS or said in ("start", "run_start", "init", "header") else None


def _objects(file: InputFile) -> Iterator[tuple[int, bool, dict[str, Any] | None]]:
    for line in file.lines():
        text = line.text.lstrip("\ufeff").strip()
        if text:
            yield line.number, line.ended, _object(text)


def _learn(layout: Layout, row: Mapping[str, Any], seen: set[str]) -> None:
    """Add metrics with a usual name that the sample did not hold, such as a first evaluation after a long while."""
    for name in row:
        if name in seen or len(seen) >= _MAX_KEYS:
            continue
        seen.add(name)
        found = meant(name)
        if found is not None and found.metric.name not in {m.metric.name for m in layout.metrics.values()}:
            layout.metrics[name] = found


def _read(file: InputFile) -> Iterable[Reading]:
    file.check()
    layout = _layout(file)
    if layout is None:
        raise NotText(
            "no JSON lines of metrics are recognised in it",
            where=file.name,
            expected='lines such as `{"step": 100, "train/loss": 4.21}`',
            hint="write a step and a loss into each object",
        )
    tables = Tables(JsonTable, file.name, layout)
    known = {layout.step, layout.epoch, layout.split, layout.run, layout.tag, layout.value}
    seen = {*layout.metrics, *(name for name in known if name)}
    configs: dict[str, Known[Any]] = {}
    broken, first_broken = 0, 0
    for number, _ended, found in _objects(file):
        if found is None:
            broken, first_broken = broken + 1, first_broken or number
            continue
        row = flat(found)
        if layout.tag is None:
            _learn(layout, row, seen)
        if _holds(row, layout):
            tables.take(row, number, stem=PurePosixPath(file.base).stem)
        elif (config := _config_of(found)) is not None and len(configs) < _MAX_KEYS:
            configs.update(known_by_name(config, file.name, number))
    readings = tables.finish()
    if not readings:
        return ()
    first = readings[0]
    if broken:
        problem = Problem(
            "broken_record", f"lines cut or garbled: {broken}", Source("read", file.name, first_broken), broken
        )
        first = replace(first, problems=(*first.problems, problem))
    settings, problems, noted = settings_of(configs, "jsonl")
    if len(readings) == 1 and (len(settings) >= _MIN_SETTINGS or noted):
        first = replace(
            first,
            settings={**settings, **first.settings},
            noted={**noted, **first.noted},
            problems=(*first.problems, *problems),
            authority=TRACKER,
        )
    if len(readings) == 1:
        first = replace(first, run_id=partner_id(file, first.series))
    return [first, *readings[1:]]


def _sniff(file: InputFile) -> float:
    if file.suffix not in _SUFFIXES or file.is_binary or file.head.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] != b"{":
        return 0.0
    first = next((line for line in file.sample.split("\n", 60)[:60] if line.strip()), "")
    if _object(first.lstrip("\ufeff")) is None or _layout(file) is None:
        return 0.0
    if len(_sample(file)[0]) < 2:  # one object is a summary, or a config
        return 0.3 if file.suffix in _SURE_SUFFIXES else 0.0
    return 0.6 if file.suffix in _SURE_SUFFIXES else 0.5


DIALECT = Dialect(
    name="jsonl",
    title="JSON lines of metrics",
    role="metrics",
    example='{"step": 100, "train": {"loss": 4.2137, "lr": 0.0003}}\n{"step": 100, "val/loss": NaN}',
    reads="every number beside a step (or tokens, or epochs), nested objects under `a/b`; bare `NaN` and `Infinity`; a `split` or"
    " `phase` key that says which split a line is of; a line that holds the config; several runs, where a key names them",
    cannot="what one value averages over, and in which mode it was measured, unless the names say",
    source="the JSON-lines loggers of some dozen training scripts, which follow no standard",
    sniff=_sniff,
    read=_read,
    tracker=True,
)
