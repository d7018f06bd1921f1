"""Rows of named values over steps, whatever they stand in: CSV, JSON lines, Parquet, SQLite.

A :class:`Layout` says which column counts what and what each metric means; a :class:`Table` takes the rows one by one, in
bounded memory, and gives a reading for each run among them. Restarts, seams and several runs one after another are told
apart as they are in a log (:class:`auscult.readers.log.LogParser`).
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..run import Known, Notice, Problem, Quantity, Series, Source
from .columns import LIMIT, Thinned
from .files import InputFile
from .log import LogParser
from .meaning import TRAIN_LOSS_EVAL, Metric
from .metric_names import MAX_NAME, TOKENS, TOKENS_PER_STEP, Meant, is_step, meant, unique, words
from .patterns import lazy
from .reading import FILE, Reading
from .text import Line

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["LOSSES", "Layout", "Table", "known_by_name", "layout_of", "number_of", "partner_id", "positive"]

LOSSES = frozenset(
    {"train_loss", "train_loss_eval", "train_loss_epoch", "val_loss", "val_bpb", "train_bpb", "test_loss"}
)
MAX_RUNS = 2_000
MAX_CURVES = 20_000
"""Metrics times runs of a table that holds one metric a row."""
MAX_COLUMNS = 2_000
MAX_OWN_NAMES = 60
"""Metrics that are kept under the trainer's own names, beside all that have a standard name."""
_FULL_RUNS = 8
"""So many runs of one file keep all points that a metric may have; more of them share that room."""
_MAX_STEP = 2**62
_SENTINELS: Mapping[str, tuple[float, ...]] = {"mfu": (-100.0, -1.0), "loss_scale": (-1.0,)}
"""What is written before a value is known: nanoGPT's running MFU starts as -1 and is printed, or logged, in percent."""
_BEFORE_THE_STEP = ("tokens_seen", "tokens", "tokens_per_step")
_MAX_GAPS = 10_000
_MFU_IN_PERCENT_ABOVE = 1.5
"""No printed share reaches 150 % unless it is in percent: even a B200 measured against an A100 reaches 2.2 with a run that
nobody has seen logged as a fraction."""
_MIN_ROWS = 2
_EPOCH_NAMES = frozenset({"epoch", "epochs", "train_epoch", "current_epoch", "num_epoch", "epoque"})
_SPLIT_NAMES = frozenset({"split", "phase", "stage", "mode", "subset", "set", "type", "kind", "event"})
_RUN_NAMES = (
    "run_id",
    "run",
    "run_name",
    "experiment",
    "experiment_name",
    "exp",
    "variant",
    "model",
    "model_name",
    "name",
)
_TAG_NAMES = ("tag", "metric", "metric_name", "variable", "key")
_VALUE_NAMES = ("value", "val", "scalar")
_TRAIN = frozenset({"train", "training", "tr", "step", "log"})
_VAL = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev"})
_EMPTY = frozenset({"", "-", "--", "none", "null", "n/a", "na", "n.a.", "undefined"})
_NAN = frozenset({"nan", "#num!", "1.#qnan", "-nan", "nan(ind)"})
_THOUSANDS = lazy(r"^[-+]?\d{1,3}(?:[,\u202f\u00a0' ]\d{3})+(?:\.\d*)?(?:[eE][-+]?\d+)?$")
_FRENCH = lazy(r"^[-+]?\d{1,3}(?:[.\u202f\u00a0' ]\d{3})*(?:,\d*)?(?:[eE][-+]?\d+)?$|^[-+]?\d*,\d+(?:[eE][-+]?\d+)?$")
_MAX_CELL = 100


def number_of(cell: Any, *, decimal_comma: bool = False) -> float | None:
    """Return the number in a cell, or None when it holds none (empty, a dash, words, a list).

    Examples
    --------
    >>> number_of("1,234"), number_of("1,234", decimal_comma=True), number_of("-"), number_of("12.5 %")
    (1234.0, 1.234, None, 12.5)
    """
    if isinstance(cell, bool):
        return float(cell)
    if isinstance(cell, int | float):
        try:
            return float(cell)
        except OverflowError:
            return math.inf if cell > 0 else -math.inf
    if not isinstance(cell, str) or len(cell) > _MAX_CELL:
        return None
    if not decimal_comma:
        try:
            return float(cell)
        except ValueError:
            pass
    text = cell.strip().lower().removesuffix("%").rstrip()
    if text in _EMPTY:
        return None
    if text in _NAN:
        return math.nan
    if decimal_comma and _FRENCH.match(text):
        text = re.sub(r"[.\u202f\u00a0' ]", "", text).replace(",", ".")
    elif _THOUSANDS.match(text):
        text = re.sub(r"[,\u202f\u00a0' ]", "", text)
    try:
        return float(text)
    except ValueError:
        return None


@dataclass
class Layout:
    """What the columns of a table are.

    Attributes
    ----------
    step : str or None
        The column that counts; None counts rows.
    axis : str
        What it counts: see :class:`auscult.run.Series`.
    epoch, split, run, tag, value : str or None
        Columns of epochs, of the split that a row speaks of, of the run's name, and of names and values where each row
        holds one metric.
    metrics : dict
        Column to meaning.
    estimates : bool
        Whether the training loss of a row that holds a validation loss is an evaluation's estimate: such rows stand
        beside rows of the same steps with the training loss alone.
    in_train_mode : bool
        Whether training losses stand in rows of their own, as the training loop writes them.
    notices : list
        Kind and detail of what is odd about it.
    """

    step: str | None
    axis: str = "step"
    epoch: str | None = None
    split: str | None = None
    run: str | None = None
    tag: str | None = None
    value: str | None = None
    metrics: dict[str, Meant] = field(default_factory=dict)
    estimates: bool = False
    in_train_mode: bool = False
    notices: list[tuple[str, str]] = field(default_factory=list)

    @property
    def has_loss(self) -> bool:
        """Whether a loss is among the metrics."""
        return any(m.metric.name in LOSSES for m in self.metrics.values()) or self.tag is not None


def layout_of(
    names: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    *,
    decimal_comma: bool = False,
    stem: str = "",
    loose: bool = False,
) -> Layout | None:
    """Return what the columns are, judged by their names and by rows from the head and the tail of the file.

    Parameters
    ----------
    names : sequence of str
        The columns.
    rows : sequence of mappings
        Some of the rows, in their order.
    decimal_comma : bool
        Whether ``3,14`` is a number below four.
    stem : str
        The file's name without its suffix: it may say which split the file is of.
    loose : bool
        Whether a table is one that counts nothing; its rows are counted then.
    """
    names = [name for name in names if name.strip()][:MAX_COLUMNS]

    def numbers(name: str) -> list[float]:
        found = (number_of(row.get(name), decimal_comma=decimal_comma) for row in rows)
        return [x for x in found if x is not None]

    def texts(name: str) -> set[str]:
        return {str(row[name]).strip().lower() for row in rows if row.get(name) not in (None, "")}

    joined = {name: "_".join(words(name)) for name in names}
    counters = sorted((rank, name) for name in names if (rank := is_step(name)) is not None and _counts(numbers(name)))
    step = counters[0][1] if counters else None
    epoch = next((n for n in names if joined[n] in _EPOCH_NAMES and numbers(n)), None)
    layout = Layout(step, epoch=epoch)
    taken = {name for _rank, name in counters} | {epoch}
    layout.split = next(
        (
            n
            for n in names
            if joined[n] in _SPLIT_NAMES and (said := texts(n)) and said & (_TRAIN | _VAL) and len(said) < 20
        ),
        None,
    )
    layout.tag, layout.value = _tidy(names, joined, texts, numbers, stem)
    layout.run = next(
        (n for r in _RUN_NAMES for n in names if joined[n] == r and n != layout.tag and _names_runs(n, rows)), None
    )
    taken |= {layout.split, layout.tag, layout.value, layout.run}
    rest = [name for name in names if name not in taken and _not_private(joined[name])]
    if layout.tag is None:
        layout.metrics = _meanings(rest, joined, stem)
        own = [n for n in rest if n in layout.metrics and not _is_standard(layout.metrics[n].metric)]
        for name in own[MAX_OWN_NAMES:]:
            del layout.metrics[name]
        if len(own) > MAX_OWN_NAMES:
            layout.notices.append(("columns_left_out", f"{len(own) - MAX_OWN_NAMES} columns without a usual name"))
    if step is None:
        _count_otherwise(layout, rest, numbers, loose=loose)
        if layout.step is None and not loose:
            return None
    if not layout.has_loss:
        return None
    if layout.step is not None and layout.axis == "step" and epoch is not None:
        _look_for_steps_within_epochs(layout, rows, decimal_comma)
    _look_at_rows(layout, rows, decimal_comma)
    return layout


def _counts(values: Sequence[float]) -> bool:
    whole = [v for v in values if v == v and abs(v) < _MAX_STEP and v == int(v)]
    return len(whole) >= 1 and len(whole) >= 0.9 * len(values)


def _not_private(joined: str) -> bool:
    return not {"user", "email", "host", "hostname", "username"} & set(joined.split("_"))


def _names_runs(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    said = [row.get(name) for row in rows if row.get(name) not in (None, "")]
    return bool(said) and all(isinstance(x, str | int) for x in said) and len(set(said)) < max(2, 0.7 * len(said))


def _tidy(
    names: Sequence[str], joined: Mapping[str, str], texts: Any, numbers: Any, stem: str
) -> tuple[str | None, str | None]:
    """Return the columns of a table that holds one metric a row: its name and its value."""
    by_name = {joined[n]: n for n in reversed(names)}
    value = next((by_name[v] for v in _VALUE_NAMES if v in by_name), None)
    if value is None or not numbers(value):
        return None, None
    tag = next((by_name[t] for t in _TAG_NAMES if t in by_name), None)
    if tag is not None and any(_is_loss(text) for text in texts(tag)):
        return tag, value
    if set(joined.values()) <= {"wall_time", "step", "value"}:  # TensorBoard's download of one tag
        return "", value
    return None, None


def _is_loss(name: str) -> bool:
    found = meant(name)
    return found is not None and found.metric.name in LOSSES


def _meanings(names: Sequence[str], joined: Mapping[str, str], stem: str) -> dict[str, Meant]:
    metrics = unique(names)
    if any(m.metric.name in LOSSES for m in metrics.values()):
        split = _split_of(stem)
        if split == "val" and not any(m.metric.split == "val" for m in metrics.values()):
            for name in names:
                if metrics[name].metric.name == "train_loss" and not set(words(name)) & {"train", "training"}:
                    val = meant("val_loss")
                    assert val is not None
                    metrics[name] = val
        return metrics
    if len(names) <= 4 and "loss" in words(stem):
        for name in names:  # loss.csv: steps, eval, train
            said = joined[name]
            known = meant("train_loss") if said in _TRAIN else meant("val_loss") if said in _VAL else None
            if known is not None and known.metric.name not in {m.metric.name for m in metrics.values()}:
                metrics[name] = known
    return metrics


def _is_standard(metric: Metric) -> bool:
    return metric.unit != "1" or metric.name in ("learning_rate", "grad_norm", "loss_scale", "epoch")


def _split_of(stem: str) -> str | None:
    said = set(words(stem))
    if said & (_TRAIN - {"step", "log", "tr"}):
        return "train"
    return "val" if said & _VAL else None


def _count_otherwise(layout: Layout, names: Sequence[str], numbers: Any, *, loose: bool) -> None:
    """Choose what counts where there are no steps: tokens seen, or whole epochs, or else rows."""
    seen = next(
        (n for n in names if layout.metrics.get(n) and layout.metrics[n].metric.name in ("tokens_seen", "tokens")), None
    )
    if seen is not None and _counts(numbers(seen)) and _rises(numbers(seen)):
        layout.step, layout.axis = seen, "tokens"
        del layout.metrics[seen]
    elif layout.epoch is not None and _counts(numbers(layout.epoch)):
        layout.step, layout.axis = layout.epoch, "epoch"
        values = numbers(layout.epoch)
        if len(values) > len(set(values)) * 3:  # many rows for each epoch
            layout.step, layout.axis = None, "row"
            layout.notices.append(("no_steps", "the rows name the epoch and no step: rows are counted"))
    elif layout.epoch is not None or loose:
        layout.step, layout.axis = None, "row"
        layout.notices.append(("no_steps", "no column counts steps: rows are counted"))
    if layout.epoch is not None and layout.step is None and not loose and layout.has_loss:
        layout.step = layout.epoch


def _rises(values: Sequence[float]) -> bool:
    return len(values) >= _MIN_ROWS and all(a <= b for a, b in pairwise(values)) and values[0] < values[-1]


def _look_for_steps_within_epochs(layout: Layout, rows: Sequence[Mapping[str, Any]], decimal_comma: bool) -> None:
    """Count rows where the counter starts again with every epoch: the run's own steps are not in the table."""
    assert layout.step is not None
    assert layout.epoch is not None
    spans: dict[float, tuple[float, float]] = {}
    for row in rows:
        step = number_of(row.get(layout.step), decimal_comma=decimal_comma)
        epoch = number_of(row.get(layout.epoch), decimal_comma=decimal_comma)
        if step is None or epoch is None or not math.isfinite(epoch):
            continue
        low, high = spans.get(epoch, (step, step))
        spans[epoch] = (min(low, step), max(high, step))
    order = sorted(spans)
    again = sum(spans[b][0] < spans[a][1] for a, b in pairwise(order))
    whole = all(epoch == int(epoch) for epoch in order)
    if whole and again and again >= 0.5 * (len(order) - 1):
        layout.step, layout.axis = None, "row"
        layout.notices.append(
            (
                "steps_within_epoch",
                "the step counts within each epoch, and the steps of the run are not said: rows are counted",
            )
        )


def _look_at_rows(layout: Layout, rows: Sequence[Mapping[str, Any]], decimal_comma: bool) -> None:
    """Judge by the rows in which mode the training loss was measured."""
    train = [n for n, m in layout.metrics.items() if m.metric.name == "train_loss"]
    val = [n for n, m in layout.metrics.items() if m.metric.split == "val"]
    if layout.split is not None:
        layout.in_train_mode = True
        return

    def has(row: Mapping[str, Any], columns: Iterable[str]) -> bool:
        return any(number_of(row.get(n), decimal_comma=decimal_comma) is not None for n in columns)

    alone: set[float] = set()
    both: set[float] = set()
    for row in rows:
        if has(row, train):
            step = number_of(row.get(layout.step or ""), decimal_comma=decimal_comma)
            (both if has(row, val) else alone).add(step if step is not None and step == step else -1.0)
    layout.in_train_mode = bool(alone)
    shared = len(both & alone)
    layout.estimates = layout.axis != "row" and shared >= max(
        1.0, 0.5 * (len(both) - 1)
    )  # the last may lack its step's row


def known_by_name(settings: Mapping[str, Any], file: str, line: int | None) -> dict[str, Known[Any]]:
    """Return scalars under their names as read in a line of a file."""
    found: dict[str, Known[Any]] = {}
    for name, value in settings.items():
        if isinstance(value, str | int | float | bool) and not (isinstance(value, str) and len(value) > 1000):
            if isinstance(value, float) and not math.isfinite(value):
                continue
            found[str(name)[:MAX_NAME]] = Known(value, Source("read", file, line, f"{name} = {value}"[:160]))
    return found


class Table(LogParser):
    """Takes rows; gives a reading for each run that follows another among them.

    A dialect derives from it to name itself.
    """

    dialect: ClassVar[str] = "table"
    authority: ClassVar[int] = FILE
    by_block: ClassVar[bool] = True
    """Whether many rows may be taken at once; not where a dialect looks at each."""

    def __init__(self, file: str, layout: Layout, label: str = "") -> None:
        super().__init__(file)
        self.layout = layout
        self.label = label
        self.rows = 0
        self._plain: dict[str, Metric] = {}

    def line(self, line: Line) -> bool:
        """Tables have rows, not lines."""
        return False

    def keep_at_most(self, limit: int) -> None:
        """Keep fewer points of each metric from now on."""
        self.limit = limit
        for run in (*self._done, self._run):
            for points in run.points.values():
                points.limit = limit

    def take(self, row: Mapping[str, Any], number: int, *, decimal_comma: bool = False, text: str = "") -> bool:
        """Take a row; return whether it held anything."""
        layout = self.layout
        step = self.step_of(row, decimal_comma)
        if step is None:
            return False
        values: list[tuple[Metric, float]] = []
        split = str(row.get(layout.split) or "").strip().lower() if layout.split is not None else ""
        evaluated = layout.estimates and self._is_evaluation(row, decimal_comma)
        for name, meaning in layout.metrics.items():
            cell = row.get(name)
            if cell is None or cell == "":
                continue
            value = number_of(cell, decimal_comma=decimal_comma)
            if value is None:
                continue
            metric = self._metric(name, meaning, split, evaluated)
            if value in _SENTINELS.get(metric.name, ()):
                continue
            if evaluated and metric.name in _BEFORE_THE_STEP:
                continue  # an evaluation's row speaks of the tokens before the step whose number it bears
            values.append((metric, value * meaning.scale))
        if layout.epoch is not None and layout.axis != "epoch":
            epoch = number_of(row.get(layout.epoch), decimal_comma=decimal_comma)
            if epoch is not None and math.isfinite(epoch):
                values.append((self._metric("epoch", Meant(_EPOCH), "", False), epoch))
        if not any(metric.name != "epoch" for metric, _ in values):
            return False
        self.rows += 1
        self.record(step, values, Line(number, text))
        return True

    def take_block(self, columns: Mapping[str, Sequence[str]], numbers: Sequence[int]) -> bool:
        """Take many rows at once, as :meth:`take` takes each of them; return False, with nothing taken, where it cannot.

        It can where the counter does not go back and every cell is empty or a plain number.

        Parameters
        ----------
        columns : mapping
            Each column's cells.
        numbers : sequence of int
            The rows' line numbers.
        """
        layout = self.layout
        if layout.step is None or layout.split is not None or layout.axis == "row" or self._held is not None:
            return False
        block = read_block(self, columns, numbers)
        if block is None:
            return False
        if len(block.steps):
            self._count_block(block)
            for metric, steps, values, lines in block.curves:
                points = self._run.points.get(metric)
                if points is None:
                    points = self._run.points[metric] = Thinned(self.limit)
                points.extend(steps, values, lines)
        return True

    def can_follow(self, step: int) -> bool:
        """Return whether a step does not go back behind the last one."""
        return self._run.first is None or step >= self._run.last

    def _count_block(self, block: Block) -> None:
        """Keep the books of many rows as the log's machinery does for each."""
        import numpy as np

        run, steps = self._run, block.steps
        self._absorb()
        self.rows += len(steps)
        if run.first is None:
            run.first = run.high = int(steps[0])
            run.distinct = 1
        higher = np.unique(steps[steps > run.high])
        if len(higher):
            gaps = np.diff(higher, prepend=run.high)
            run.distinct += len(higher)
            run.gaps.extend(gaps[: max(0, _MAX_GAPS - len(run.gaps))].tolist())
            widest = int(gaps.argmax())
            if run.widest is None or int(gaps[widest]) > run.widest[0]:
                row = int(np.searchsorted(steps, higher[widest]))
                place = Source("read", self.file, int(block.numbers[row]), "")
                before = int(higher[widest - 1]) if widest else run.high
                run.widest = (int(gaps[widest]), before, int(higher[widest]), place)
            run.high = int(higher[-1])
        run.last = int(steps[-1])
        run.records += len(steps)

    def take_one(self, step: int, metric: Metric, value: float, number: int) -> None:
        """Take one value of one metric."""
        self.rows += 1
        self.record(step, ((metric, value),), Line(number, ""))

    def step_of(self, row: Mapping[str, Any], decimal_comma: bool = False) -> int | None:
        """Return what a row counts, or None where it does not say."""
        if self.layout.step is None or self.layout.axis == "row":
            return self.rows
        value = number_of(row.get(self.layout.step), decimal_comma=decimal_comma)
        if value is None or value != value or abs(value) >= _MAX_STEP or value != int(value):
            return None
        return int(value)

    def _is_evaluation(self, row: Mapping[str, Any], decimal_comma: bool) -> bool:
        return any(
            number_of(row.get(n), decimal_comma=decimal_comma) is not None
            for n, m in self.layout.metrics.items()
            if m.metric.split == "val"
        )

    def metric_of(self, name: str, meaning: Meant, evaluated: bool) -> Metric:
        """Return the metric of a column, in rows of an evaluation or in others."""
        return self._metric(name, meaning, "", evaluated)

    def _metric(self, name: str, meaning: Meant, split: str, evaluated: bool) -> Metric:
        key = f"{name}\0{split}\0{evaluated}"
        metric = self._plain.get(key)
        if metric is None:
            if len(self._plain) > 4 * MAX_COLUMNS:
                self._plain.clear()
            metric = self._plain[key] = self._with_meaning(meaning.metric, name, split, evaluated)
        return metric

    def _with_meaning(self, metric: Metric, name: str, split: str, evaluated: bool) -> Metric:
        axis = self.layout.axis
        if split in _VAL and metric.name in ("train_loss", "train_bpb") and "train" not in words(name):
            found = meant("val_bpb" if metric.unit == "bits_per_byte" else "val_loss")
            assert found is not None
            return found.metric.but(axis=axis)
        if split in _VAL and metric.name == "train_loss":
            return TRAIN_LOSS_EVAL.but(window="not said", axis=axis)
        if split in _VAL and metric.name not in ("epoch", "val_loss", "tokens_seen", "learning_rate", "tokens"):
            return metric.but(name=f"val/{metric.name}"[:MAX_NAME], split="val", axis=axis)
        if split and split not in _TRAIN | _VAL and metric.name == "train_loss":
            return metric.but(name=f"{split[:40]}/{name}"[:MAX_NAME], split="-", axis=axis)
        if metric.name == "train_loss" and evaluated:
            return TRAIN_LOSS_EVAL.but(window="an evaluation: rows of its own at the steps of others", axis=axis)
        if metric.name == "train_loss" and self.layout.in_train_mode and metric.mode == "unknown":
            return metric.but(mode="train", axis=axis)
        if axis == "epoch" and metric.name == "train_loss":
            return metric.but(window="the epoch, as it is written", axis=axis)
        return metric.but(axis=axis)

    def finish_run(self, run: Reading) -> Reading:
        """Return the run with its series in their units, without those that were not measured."""
        series, notices, settings = tidy_up(run.series, run.file)
        extra = [Notice(kind, Source("read", run.file, 1), 1, 0, detail) for kind, detail in self.layout.notices]
        return replace(
            run,
            role="metrics",
            label=self.label if not run.label else f"{self.label}#{run.label}" if self.label else run.label,
            series=series,
            settings={**settings, **run.settings},
            notices=(*run.notices, *notices, *extra),
        )


_EPOCH = Metric("epoch", window="up to the step")


class Block(NamedTuple):
    """Rows that were parsed together: their steps and line numbers, and each metric's curve."""

    steps: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    curves: list[tuple[Metric, npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]]


def read_block(table: Table, columns: Mapping[str, Sequence[str]], numbers: Sequence[int]) -> Block | None:
    """Return many rows parsed at once, or None where they are not all plain."""
    import numpy as np

    layout = table.layout
    assert layout.step is not None
    try:
        counted = np.array([float(cell) for cell in columns[layout.step]])
    except ValueError:
        return None
    if not len(counted) or not np.isfinite(counted).all() or (np.abs(counted) >= 2**53).any():
        return None
    steps = counted.astype(np.int64)
    if (steps != counted).any() or (np.diff(steps) < 0).any() or not table.can_follow(int(steps[0])):
        return None
    parsed: dict[str, tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]] = {}
    names = [*layout.metrics, *([layout.epoch] if layout.epoch is not None and layout.axis != "epoch" else [])]
    for name in names:
        cells = columns[name]
        there = np.fromiter(map(bool, cells), dtype=np.bool_, count=len(cells))
        if there.any():
            try:
                parsed[name] = there, np.array([float(cell) for cell in cells if cell])
            except ValueError:
                return None
    lines = np.array(numbers, dtype=np.int64)
    evaluated = np.zeros(len(steps), dtype=np.bool_)
    if layout.estimates:
        for name in layout.metrics:
            if layout.metrics[name].metric.split == "val" and name in parsed:
                evaluated |= parsed[name][0]
    kept = np.zeros(len(steps), dtype=np.bool_)
    found: list[tuple[Metric, npt.NDArray[np.bool_], npt.NDArray[np.float64]]] = []
    for name, meaning in layout.metrics.items():
        if name not in parsed:
            continue
        there, values = parsed[name]
        usual, of_evaluation = table.metric_of(name, meaning, False), table.metric_of(name, meaning, True)
        for metric, late in ((usual, False), (of_evaluation, True)):
            same = usual == of_evaluation and usual.name not in _BEFORE_THE_STEP
            if late and (same or not layout.estimates or metric.name in _BEFORE_THE_STEP):
                continue
            here = there.copy() if same or not layout.estimates else there & (evaluated == late)
            chosen = values[here[there]]
            if metric.name in _SENTINELS:
                good = ~np.isin(chosen, _SENTINELS[metric.name])
                here[np.flatnonzero(here)[~good]] = False
                chosen = chosen[good]
            if len(chosen):
                kept |= here
                found.append((metric, here, chosen * meaning.scale))
    if layout.epoch is not None and layout.epoch in parsed:
        there, values = parsed[layout.epoch]
        finite = np.isfinite(values)
        here = there.copy()
        here[np.flatnonzero(there)[~finite]] = False
        wanted = here & kept
        found.append((table.metric_of("epoch", Meant(_EPOCH), False), wanted, values[finite][wanted[here]]))
    curves = [(metric, steps[here], chosen, lines[here]) for metric, here, chosen in found if len(chosen)]
    return Block(steps[kept], lines[kept], curves)


def tidy_up(
    series: Iterable[Series], file: str
) -> tuple[tuple[Series, ...], tuple[Notice, ...], dict[str, Quantity[Any]]]:
    """Return series in their units, without those that were not measured, and the settings that follow from them."""
    kept: list[Series] = []
    notices: list[Notice] = []
    settings: dict[str, Quantity[Any]] = {}
    for one in series:
        place = Source("read", file, one.lines[0] or None if one.lines else None)
        if not len(one):
            continue
        if one.name == "grad_norm" and len(one) >= 3 and not any(one.values):
            notices.append(
                Notice(
                    "grad_norm_constant_zero",
                    place,
                    one.count,
                    one.lines[-1],
                    "the gradient norm is 0 throughout: not measured",
                )
            )
        elif (
            one.name == "mfu"
            and max((abs(v) for v in one.values if math.isfinite(v)), default=0) > _MFU_IN_PERCENT_ABOVE
        ):
            kept.append(replace(one, values=array("d", (v / 100 for v in one.values)), convention="written in percent"))
        elif one.name == TOKENS.name:
            if _rises([v for v in one.values if v == v]):
                kept.append(replace(one, name="tokens_seen", window="up to the step"))
            else:
                kept += _without_constant(one, place, settings)
        elif one.name == TOKENS_PER_STEP.name:
            kept += _without_constant(one, place, settings)
        else:
            kept.append(one)
    _tokens_per_step(kept, settings)
    _epochs(kept, settings)
    return tuple(kept), tuple(notices), settings


def _without_constant(one: Series, place: Source, settings: dict[str, Quantity[Any]]) -> list[Series]:
    """Turn tokens that are the same for every step into a setting; others stay a series."""
    low, high = min(one.values), max(one.values)
    if one.axis == "step" and low == high and positive(low):
        settings["logged.tokens_per_step"] = Known(int(low), place)
        return []
    return [one]


def positive(value: float) -> bool:
    """Return whether a number is a whole one above 0 that can count tokens."""
    return math.isfinite(value) and 0 < value < 1e15 and value == int(value)


def _tokens_per_step(series: Sequence[Series], settings: dict[str, Quantity[Any]]) -> None:
    """Find the tokens of a step where the tokens seen rise by the same number with every step."""
    seen = next((s for s in series if s.name == "tokens_seen" and s.axis == "step"), None)
    if seen is None or len(seen) < 3 or "logged.tokens_per_step" in settings:
        return
    first, last = 0, len(seen) - 1
    steps, tokens = seen.steps[last] - seen.steps[first], seen.values[last] - seen.values[first]
    if steps <= 0 or not positive(tokens) or tokens % steps:
        return
    rate = tokens / steps
    if all(v - seen.values[0] == rate * (s - seen.steps[0]) for s, v in zip(seen.steps, seen.values, strict=True)):
        settings["logged.tokens_per_step"] = Known(
            int(rate),
            Source(
                "derived",
                formula="rise of the tokens seen with each step",
                inputs=(seen.source(first), seen.source(last)),
            ),
        )


def _epochs(series: list[Series], settings: dict[str, Quantity[Any]]) -> None:
    """Find how many epochs were seen: the trainer's own fraction, or whole epochs by the steps that each took."""
    epoch = next((s for s in series if s.name == "epoch" and s.axis == "step"), None)
    if epoch is None or len(epoch) < 2:
        return
    last = len(epoch) - 1
    values = epoch.values
    if any(v != int(v) for v in values):
        if all(a <= b for a, b in pairwise(values)):
            settings["logged.epochs"] = Known(values[last], epoch.source(last))
        return
    starts: dict[float, int] = {}
    for step, value in zip(epoch.steps, values, strict=True):
        if value not in starts:
            starts[value] = step
    order = list(starts)
    if order != sorted(order) or len(order) < 3 or order[-1] - order[0] != len(order) - 1:
        return
    whole = (starts[order[-1]] - starts[order[1]]) / (len(order) - 2)
    if whole <= 0:
        return
    rising = [b - a for a, b in pairwise(epoch.steps) if b > a]
    usual = median(rising) if rising else 0  # an epoch began up to so many steps before its first row
    done = len(order) - 1 + min(1.0, (max(epoch.steps) - starts[order[-1]] + usual) / whole)
    before = order[0] if order[0] > 1 else 0
    settings["logged.epochs"] = Known(
        round(before + done, 2),
        Source(
            "derived", formula="steps over the steps between two epochs", inputs=(epoch.source(0), epoch.source(last))
        ),
    )


def partner_id(file: InputFile, series: Iterable[Series]) -> str | None:
    """Return an identity that ``run.train.csv`` and ``run.val.csv`` of one folder share: each holds half of one run."""
    if file.path is None:
        return None
    splits = {s.split for s in series if s.name in LOSSES}
    stem = PurePosixPath(file.base).stem
    mine = _split_of(stem)
    if splits not in ({"train"}, {"val"}) or mine not in splits:
        return None
    here = next((w for w in re.findall(r"[A-Za-z]+", file.base) if w.lower() in (_TRAIN | _VAL)), None)
    if here is None:
        return None
    others = (
        ("val", "valid", "validation", "eval", "dev") if mine == "train" else ("train", "training", "step", "steps")
    )
    for other in others:
        for form in (other, other.capitalize(), other.upper()):
            partner = re.sub(rf"(?<![A-Za-z]){here}(?![A-Za-z])", form, file.base, count=1)
            if partner != file.base and _is_file(file, partner):
                train, val = (file.base, partner) if mine == "train" else (partner, file.base)
                return f"{file.folder}/{train}+{val}"
    return None


def _is_file(file: InputFile, base: str) -> bool:
    try:
        return file.path is not None and (file.path.parent / base).is_file()
    except (OSError, ValueError):
        return False


@dataclass
class Tables:
    """The runs of a table that names them in a column, and one metric a row where it is laid out so."""

    make: type[Table]
    file: str
    layout: Layout
    tables: dict[Hashable, Table] = field(default_factory=dict)
    dropped: int = 0
    first_dropped: int = 0

    def take(self, row: Mapping[str, Any], number: int, *, decimal_comma: bool = False, stem: str = "") -> bool:
        """Take a row of whichever run it is of."""
        run = str(row.get(self.layout.run) or "")[:MAX_NAME] if self.layout.run is not None else ""
        if self.layout.value is None:
            table = self._table(run, run)
            if table is None:
                self.dropped, self.first_dropped = self.dropped + 1, self.first_dropped or number
                return True
            return table.take(row, number, decimal_comma=decimal_comma)
        tag = str(row.get(self.layout.tag) or "")[:MAX_NAME] if self.layout.tag else stem
        value = number_of(row.get(self.layout.value), decimal_comma=decimal_comma)
        table = self._table((run, tag), run)
        step = table.step_of(row, decimal_comma) if table is not None else None
        if value is None or step is None:
            return False
        meaning = meant(tag)
        metric = meaning.metric if meaning is not None else Metric(tag or "value")
        self.take_one(
            run, tag, step, metric.but(axis=self.layout.axis), value * (meaning.scale if meaning else 1), number
        )
        return True

    def take_block(self, names: Sequence[str], block: Sequence[tuple[int, list[str]]], *, decimal_comma: bool) -> None:
        """Take many rows, at once where they are plain."""
        simple = self.layout.run is None and self.layout.value is None and not decimal_comma
        table = self._table("", "") if simple else None
        if table is not None:
            columns = dict(zip(names, zip(*(cells for _number, cells in block), strict=True), strict=True))
            if table.take_block(columns, [number for number, _cells in block]):
                return
        for number, cells in block:
            self.take(dict(zip(names, cells, strict=True)), number, decimal_comma=decimal_comma)

    def take_one(self, run: str, tag: str, step: int, metric: Metric, value: float, number: int) -> None:
        """Take one value of one metric of a run."""
        table = self._table((run, tag), run)
        if table is not None:
            table.take_one(step, metric, value, number)

    def _table(self, key: Hashable, label: str) -> Table | None:
        table = self.tables.get(key)
        if table is None and len(self.tables) < (MAX_RUNS if self.layout.value is None else MAX_CURVES):
            table = self.tables[key] = self.make(self.file, self.layout, label)
            number = len(self.tables)
            if number > _FULL_RUNS and number & (number - 1) == 0:
                for each in self.tables.values():
                    each.keep_at_most(LIMIT * _FULL_RUNS // (2 * number))
            table.limit = next(iter(self.tables.values())).limit
        return table

    def finish(self) -> list[Reading]:
        """Return the readings, one for each run."""
        readings: dict[tuple[str, str], Reading] = {}
        for table in self.tables.values():
            for reading in table.finish():
                key = (table.label, reading.label)
                before = readings.get(key) if self.layout.value is not None else None
                if before is None:
                    readings[key] = reading
                else:
                    have = {s.name for s in before.series}
                    readings[key] = replace(
                        before,
                        series=(*before.series, *(s for s in reading.series if s.name not in have)),
                        settings={**reading.settings, **before.settings},
                        notices=(*before.notices, *reading.notices),
                    )
        found = list(readings.values())
        if self.dropped and found:
            problem = Problem(
                "too_many_runs",
                f"only the first {MAX_RUNS:,} runs were read",
                Source("read", self.file, self.first_dropped),
                self.dropped,
            )
            found[0] = replace(found[0], problems=(*found[0].problems, problem))
        if len(found) > 1 and self.layout.run is not None:
            total = len(found)
            found = [
                replace(
                    r, notices=(*r.notices, Notice("several_runs_in_file", _first(r), total, 0, f"run {i} of {total}"))
                )
                if all(n.kind != "several_runs_in_file" for n in r.notices)
                else r
                for i, r in enumerate(found, 1)
            ]
        return found


def _first(reading: Reading) -> Source:
    return next((s.source(0) for s in reading.series if len(s)), Source("read", reading.file, 1))
