"""Megatron-LM's golden values: a JSON object of metrics that its tests compare with.

``{"lm loss": {"start_step": 1, "end_step": 100, "step_interval": 5, "values": {"1": 10.91234, "5": …}}, …}`` — values by
iteration as TensorBoard recorded them; older files hold plain lists. A string ``"nan"`` where every metric has one is no
value at all but padding to the planned end, and iteration times are only there where they were sampled. Where other
metrics of the same iteration have values, a loss of ``"nan"`` is a loss of NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...errors import NotText
from ...run import Known, Notice, Series, Source
from ..columns import Thinned
from ..files import InputFile
from ..log import series_of
from ..meaning import GRAD_NORM, LEARNING_RATE, LOSS_SCALE, MEMORY_BYTES, STEP_TIME_S, TRAIN_LOSS, VAL_LOSS, Metric
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading

__all__ = ["DIALECT"]

_METRICS: Mapping[str, Metric] = {
    "lm loss": TRAIN_LOSS.but(window="the batch of the iteration", scope="global"),
    "lm loss validation": VAL_LOSS.but(window="mean over eval_iters batches", scope="global"),
    "num-zeros": Metric("num_zeros_in_grad", window="the iteration"),
    "num_zeros": Metric("num_zeros_in_grad", window="the iteration"),
    "iteration-time": STEP_TIME_S.but(window="mean over the iterations since the last log line"),
    "iteration_timing": STEP_TIME_S.but(window="mean over the iterations since the last log line"),
    "mem-allocated-bytes": Metric("allocated_bytes", unit="bytes", window="at the iteration", scope="rank"),
    "mem-max-allocated-bytes": MEMORY_BYTES,
    "learning-rate": LEARNING_RATE,
    "grad-norm": GRAD_NORM,
    "loss-scale": LOSS_SCALE,
}
_SAMPLED = frozenset({"iteration-time", "iteration_timing"})
_CARD = lazy(r"(?:^|[_/.-])(dgx)_([a-z]{1,2}\d{2,4})(?=[_./-]|$)", re.IGNORECASE)
_MAX_STEP = 10**12
_MAX_METRICS = 200


def _points(item: Mapping[str, Any]) -> Iterator[tuple[int, float]]:
    """Yield iteration and value of a metric, NaN where none was recorded."""
    values = item.get("values")
    if isinstance(values, dict):
        pairs = [
            (int(key), plain) for key, plain in values.items() if key.isascii() and key.isdigit() and len(key) < 13
        ]
        pairs.sort(key=lambda pair: pair[0])
    elif isinstance(values, list):
        start, every = (_count(item.get(name), at) for name, at in (("start_step", 0), ("step_interval", 1)))
        pairs = [((start or 1) + index * max(every, 1), plain) for index, plain in enumerate(values)]
    else:
        return
    for step, plain in pairs:
        if isinstance(plain, bool) or step > _MAX_STEP:
            continue
        if isinstance(plain, int | float):
            yield step, _finite(plain)
        elif isinstance(plain, str) and plain.lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
            yield step, float(plain)


def _finite(plain: float) -> float:
    try:
        return float(plain)
    except OverflowError:
        return math.inf


def _count(plain: Any, otherwise: int) -> int:
    right = isinstance(plain, int) and not isinstance(plain, bool) and 0 <= plain < _MAX_STEP
    return plain if right else otherwise


def _lines(text: str) -> dict[tuple[str, int], int]:
    """Return the line of each step of each metric, where the file has one a line; otherwise nothing."""
    places: dict[tuple[str, int], int] = {}
    metric = ""
    for number, line in enumerate(text.split("\n"), 1):
        if (head := re.match(r'\s{0,40}"([^"]{1,80})":\s{0,4}\{', line)) is not None and head[1] != "values":
            metric = head[1]
        elif (point := re.match(r'\s{0,40}"(\d{1,12})":', line)) is not None and metric:
            places[metric, int(point[1])] = number
    return places


def _series(
    name: str, item: Mapping[str, Any], recorded: set[int], places: Mapping[tuple[str, int], int], file: str
) -> tuple[Series | None, int]:
    """Return a metric's series, and how many of its values are padding."""
    metric = _METRICS.get(name)
    if metric is None:
        metric = Metric(re.sub(r"\W+", "_", name).strip("_").lower()[:80] or "unnamed", window="the iteration")
    kept, padding = Thinned(), 0
    for step, plain in _points(item):
        if math.isnan(plain) and (name in _SAMPLED or step not in recorded or metric.split == "-"):
            padding += step not in recorded
            continue
        kept.add(step, plain, places.get((name, step), 1))
    return (series_of(metric, file, kept) if kept.count else None), padding


def _read(file: InputFile) -> Iterable[Reading]:
    text = file.text(64 * 2**20)
    document = file.json(64 * 2**20)
    metrics = {
        name: item
        for name, item in (document.items() if isinstance(document, dict) else ())
        if isinstance(item, dict) and isinstance(item.get("values"), dict | list)
    }
    if not metrics:
        raise NotText(
            "it holds no golden values",
            where=file.name,
            expected='an object such as {"lm loss": {"start_step": 1, "step_interval": 5, "values": {"1": 10.9}}}',
        )
    recorded: set[int] = set()
    for item in metrics.values():
        recorded.update(step for step, plain in _points(item) if not math.isnan(plain))
    places = _lines(text)
    found: list[Series] = []
    padding = 0
    for name, item in list(metrics.items())[:_MAX_METRICS]:
        series, missing = _series(name, item, recorded, places, file.name)
        if series is not None:
            found.append(series)
        if name == "lm loss":
            padding = missing
    first = Source("read", file.name, 1)
    notices = []
    if padding:
        why = 'the file is padded with "nan" to its planned end: nothing was recorded there'
        notices.append(Notice("padding_nan", first, padding, 0, why))
    if found and not any(s.name == "train_loss" for s in found):
        notices.append(Notice("no_loss_logged", first, 1, 0, "it holds no lm loss"))
    yield Reading(
        DIALECT.name,
        file.name,
        "metrics",
        series=tuple(found),
        settings={"machine.gpu_name": card} if (card := _card(file)) is not None else {},
        notices=tuple(notices),
        authority=FRAMEWORK,
        noted=_noted(metrics, first),
    )


def _card(file: InputFile) -> Known[str] | None:
    """Return the machine that the file's name states."""
    named = _CARD.search(file.base)
    if named is None:
        return None
    return Known(f"{named[1]} {named[2]}".upper(), Source("read", file.name, None, f"the file is named {file.base}"))


def _noted(metrics: Mapping[str, Mapping[str, Any]], source: Source) -> dict[str, Known[Any]]:
    loss = metrics.get("lm loss", {})
    return {
        f"megatron.golden_{name}": Known(loss[name], source)
        for name in ("start_step", "end_step", "step_interval")
        if isinstance(loss.get(name), int) and not isinstance(loss[name], bool)
    }


def _sniff(file: InputFile) -> float:
    if file.suffix != ".json":
        return 0.0
    head = file.sample[:4000]
    if re.search(r'"start_step":\s{0,4}\d', head) and re.search(r'"step_interval":\s{0,4}\d', head):
        return 0.95
    if '"lm loss"' in head and '"values"' in head:
        return 0.8
    return 0.0


DIALECT = Dialect(
    name="megatron_golden_json",
    title="Megatron-LM golden values",
    role="metrics",
    example='{"lm loss": {"start_step": 1, "end_step": 100, "step_interval": 5, "values": {"1": 10.91234, "5": 10.87654}}}',
    reads="train loss, iteration time, zeros in the gradient and allocated memory by iteration; the machine in the file's"
    ' name (dgx_h100). A "nan" that every metric has there is padding and is left out; a loss of "nan" beside values of the'
    " same iteration is kept",
    cannot="the recipe (model_config.yaml beside it has it), which iterations were skipped, the iterations between the"
    " sampled ones",
    source="NVIDIA/Megatron-LM tests/functional_tests/python_test_utils/common.py at d98e8a6",
    sniff=_sniff,
    read=_read,
    missing="golden values hold no recipe: add the model_config.yaml beside them",
)
