"""``wandb-summary.json``: the last value of everything that a run logged. A bare ``NaN`` may stand in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import NotText
from ...run import Known, Notice, Source
from ..files import MAX_CONFIG_BYTES, InputFile
from ..patterns import lazy
from ..reading import TRACKER, Dialect, Reading
from ..wandb_folder import place_of, placed
from ..wandb_history import read_history

__all__ = ["DIALECT"]

_NAME = lazy(r"wandb-summary(?:[-_.]\w{1,40})?\.json")
_BARE = lazy(r"(?<![\w\"])-?(?:NaN|Infinity)(?![\w\"])")
_OWN = lazy(r'"_(?:step|runtime|timestamp|wandb)"\s*:')
_MAX_DEPTH = 4
_MAX_VALUES = 10_000


def _numbers(found: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, float]:
    """Return the numbers under dotted names; histograms, tables and media are left out."""
    numbers: dict[str, float] = {}
    for key, value in found.items():
        if len(numbers) >= _MAX_VALUES:
            break
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if depth < _MAX_DEPTH and "_type" not in value and key != "_wandb":
                numbers.update(_numbers(value, f"{name}.", depth + 1))
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(_float(value)) != _TOO_LARGE:
            numbers[name] = _float(value)
        elif value in ("NaN", "Infinity", "-Infinity"):
            numbers[name] = float(str(value))
    return numbers


_TOO_LARGE = 1e308


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return _TOO_LARGE


def _read(file: InputFile) -> Iterable[Reading]:
    found = file.json(MAX_CONFIG_BYTES)
    if not isinstance(found, dict):
        raise NotText("no summary of W&B", where=file.name, expected='{"train/loss": 3.1, "_step": 100, …}')
    numbers = _numbers(found)
    own = numbers.get("_step")
    step = int(own) if own is not None and own == own and abs(own) < 2**62 else 0
    columns = {name: ((0,), (value,)) for name, value in numbers.items()}
    history = read_history(columns, [step], file.name, last_only=True)
    history.notices = [n for n in history.notices if n.kind != "tracker_steps"]
    noted: dict[str, Known[Any]] = dict(history.noted)
    meta = found.get("_wandb")
    runtime = meta.get("runtime") if isinstance(meta, dict) else None
    if isinstance(runtime, int | float) and not isinstance(runtime, bool):
        noted["wandb.runtime_s"] = Known(runtime, Source("read", file.name, 1, f"runtime = {runtime}"))
    if (bare := _not_strict(file.text(MAX_CONFIG_BYTES), file.name)) is not None:
        history.notices.append(bare)
    if not (history.series or noted or history.notices):
        return ()
    reading = Reading(
        DIALECT.name,
        file.name,
        "metrics" if history.series else "summary",
        series=history.series,
        settings=history.settings,
        raw=history.raw,
        vocabulary=history.vocabulary,
        authority=TRACKER,
        notices=tuple(history.notices),
        noted=noted,
    )
    return (placed(reading, place_of(file)),)


def _not_strict(text: str, file: str) -> Notice | None:
    """Return a notice of what JSON does not allow, and W&B writes."""
    seen: list[str] = []

    def constant(name: str) -> float:
        seen.append(name)
        return 0.0

    json.loads(text, parse_constant=constant)
    if not seen:
        return None
    at = _BARE.search(text)
    line = text.count("\n", 0, at.start()) + 1 if at is not None else None
    detail = f"it holds a bare {seen[0]}, which is no JSON: strict readers refuse the file"
    return Notice("summary_is_not_strict_json", Source("read", file, line), len(seen), line or 0, detail)


def _sniff(file: InputFile) -> float:
    if _NAME.fullmatch(file.base) is None or file.is_binary or not file.sample.lstrip().startswith("{"):
        return 0.0
    return 0.95 if file.base == "wandb-summary.json" or _OWN.search(file.sample) else 0.6


DIALECT = Dialect(
    name="wandb_summary",
    title="W&B wandb-summary.json",
    role="summary",
    example='{"iter": 7000, "train/loss": 1.0347, "val/loss": 1.2035, "lr": 0.0001, "_step": 28, "_wandb": {"runtime": 491}}',
    reads="the last value of each metric that was logged, a NaN included, at the trainer's last step where that was logged;"
    " they count where no fuller history is there. How long the run took",
    cannot="the curve; at which step a value was logged, when that was not the last one",
    source="files of wandb 0.12 to 0.23",
    sniff=_sniff,
    read=_read,
    missing="a summary of W&B holds last values only: add the run's folder",
    tracker=True,
)
