"""Any other log whose lines hold a counter and a loss: ``step 10 | loss 2.31``, ``Epoch [1/3], Step [10/99], Loss: 2.31``, dicts.

The last resort: no trainer is known, so that what a value averages over, in which mode it was measured and what the steps count is
not known either, and is said to be unknown. Names are taken in the field's usual words (``readers/metric_names.py``). A file is
read when a handful of its lines agree in their names and their counter goes on; prose, tables, programs and configs do not.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from ..files import InputFile
from ..log import FLOAT, LogParser, read_log
from ..meaning import Metric
from ..metric_names import is_step, meant, words
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "GenericLog"]

_PAIR = lazy(
    r"(?<![\w./@])(?P<key>[A-Za-z_][\w./@]{0,40}+(?:[ -][A-Za-z][\w./@]{0,30}+){0,3}?)[\"']?"
    r"(?P<sep> {0,8}+[:=] {0,8}+| {1,8}+[(\[#]?| {0,8}+[:=]? {0,4}+\[)"
    rf"[\"'\[(]?(?P<value>{FLOAT})[\"']?(?:/(?P<of>\d{{1,15}}))?\]?"
    r"(?P<unit>\s?(?:%|ms|s|sec|secs|seconds)(?![\w/]))?(?=[\s,;|)\]}>\"'/]|:(?:\s|$)|$)"
)
_COUNT_FIRST = lazy(
    r"^\s*\[(?P<bare>\d{1,15})(?: ?/ ?(?P<of>\d{1,15}))?\](?=[:\s])"
    r"|(?<![\w./])(?P<done>\d{1,15}) {0,3}/ {0,3}(?P<all>\d{1,15}) (?:batches|steps|iters|iterations|it)\b"
)
"""A counter that stands before its name, or without one: ``[100/5000]``, ``200/ 2983 batches``."""
_TENSOR = lazy(rf"\btensor\(({FLOAT})(?:, [^()]{{0,80}})?\)")
_NOT_A_RECORD = lazy(
    r"^\s*(?:\|.*\|\s*$|#|//|>|[-*] |\d{1,3}\. |<|import |from |def |class |return |if |for |print\(|assert |@)"
)
_CODE = lazy(r"[;{]\s*$|\bf[\"']|==|!=|\w\([\w, ]*\):\s*$|\{\w+[:}]")
_NO_FILES = frozenset(
    {
        ".py",
        ".yaml",
        ".yml",
        ".json",
        ".jsonl",
        ".csv",
        ".tsv",
        ".toml",
        ".cfg",
        ".ini",
        ".sh",
        ".slurm",
        ".sbatch",
        ".html",
        ".tex",
        ".c",
        ".cu",
    }
    | {
        ".cpp",
        ".h",
        ".js",
        ".ts",
        ".rs",
        ".go",
        ".java",
        ".lock",
        ".xml",
        ".svg",
        ".diff",
        ".patch",
        ".sql",
        ".r",
        ".jl",
        ".wandb",
    }
)
_EPOCHS = frozenset({"epoch", "epochs", "ep"})
_LOSSES = frozenset(
    {"train_loss", "train_loss_eval", "val_loss", "test_loss", "val_bpb", "train_bpb", "train_loss_epoch"}
)
_PERPLEXITY = frozenset({"ppl", "perplexity"})
_VALIDATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev"})
_UNITS = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "%": 0.01}
_FEW = 5
_FEW_WITHOUT_COUNTER = 10
_AGREE = 0.8
_MAX_METRICS = 40
_MAX_PAIRS = 60
_MAX_CHARS = 4_000
_MAX_SAMPLE_LINES = 20_000
_MAX_SAMPLE_RECORDS = 300


@dataclass(frozen=True, slots=True)
class _Record:
    """What one line says: its counters and its metrics by their names."""

    step: int | None
    of: int | None
    epoch: float | None
    values: tuple[tuple[str, float, str], ...]
    whole: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _value, _unit in self.values)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the lines of a file are counted: ``axis`` as in Series, and whether steps begin anew in every epoch."""

    axis: str
    per_epoch: bool = False
    epoch_from: int = 1


def _record_of(text: str) -> _Record | None:
    """Return what a line says, or None when it holds no loss."""
    text = text[:_MAX_CHARS]
    lowered = text.lower()
    if not (
        "loss" in lowered
        or "ppl" in lowered
        or "perplexity" in lowered
        or "nll" in lowered
        or "bpb" in lowered
        or "perte" in lowered
    ):
        return None
    if _NOT_A_RECORD.match(text) or _CODE.search(text):
        return None
    if "tensor(" in text:
        text = _TENSOR.sub(r"\1", text)
    step = of = epoch = sure = None
    values: dict[str, tuple[float, str]] = {}
    last = 0
    for number, found in enumerate(_PAIR.finditer(text)):
        if number >= _MAX_PAIRS:
            break
        key, shown, last = found["key"], found["value"], found.end()
        as_step = _step_of(key)
        if as_step is not None and (shown.replace(",", "").isdigit()) and len(shown) <= 18:
            if sure is None or as_step < sure:
                sure, step, of = as_step, int(shown.replace(",", "")), int(found["of"]) if found["of"] else None
        elif _is_epoch(key):
            epoch = float(shown.replace(",", ""))
        elif (name := _name_of(key, found["sep"])) is not None and name not in values:
            values[name] = (float(shown.replace(",", "")), (found["unit"] or "").strip())
    if step is None and (first := _COUNT_FIRST.search(text)):
        step = int(first["bare"] or first["done"])
        of = int(first["of"] or first["all"] or 0) or None
    if not any(_is_loss(name) for name in values) or len(values) > _MAX_METRICS:
        return None
    return _Record(step, of, epoch, tuple((n, v, u) for n, (v, u) in values.items()), last < len(text.rstrip()))


@lru_cache(maxsize=4096)
def _step_of(key: str) -> int | None:
    """Return how surely the last words of a key name a counter of steps."""
    parts = words(key)
    for size in (3, 2, 1):
        if len(parts) >= size and (found := is_step(" ".join(parts[-size:]))) is not None:
            return found
    return None


@lru_cache(maxsize=4096)
def _name_of(key: str, separator: str) -> str | None:
    """Return the name under which a value is kept: the longest end of its words that means something.

    A name of a single word after a mark (``acc=0.5``) is kept even where it is no standard one.
    """
    parts = re.split(r"[ -]", key)
    for size in range(len(parts)):
        name = " ".join(parts[size:])
        if meant(name) is not None or _PERPLEXITY & set(words(name)):
            return name
    marked = ":" in separator or "=" in separator
    last = parts[-1]
    return last if marked and last.replace("_", "").replace("/", "").isalpha() and 1 < len(last) <= 30 else None


@lru_cache(maxsize=4096)
def _is_epoch(key: str) -> bool:
    parts = words(key)
    return bool(parts) and parts[-1] in _EPOCHS and "loss" not in parts


@lru_cache(maxsize=4096)
def _is_loss(name: str) -> bool:
    meaning = meant(name)
    if meaning is not None:
        return meaning.metric.name in _LOSSES
    return bool(_PERPLEXITY & set(words(name)))


class GenericLog(LogParser):
    """Reads lines that hold a counter and a loss in any of the usual forms."""

    dialect = "generic"

    def __init__(self, file: str, plan: _Plan) -> None:
        super().__init__(file)
        self._plan = plan
        self._row = 0
        self._metrics: dict[tuple[str, str], tuple[Metric, float] | None] = {}

    def line(self, line: Line) -> bool:
        """Take one line."""
        record = _record_of(line.text)
        if record is None:
            return False
        step = self._step(record)
        if step is None:
            return False
        if not line.ended and not record.whole:
            self.broken(line)
            return True
        values = []
        for name, value, unit in record.values:
            meaning = self._metric(name, unit)
            if meaning is not None:
                values.append((meaning[0], value * meaning[1]))
        self._row += 1
        self.record(step, values, line)
        return True

    def _step(self, record: _Record) -> int | None:
        """Return where the record stands on the axis; None when it says nothing of it."""
        plan = self._plan
        if plan.axis == "row":
            return self._row + 1
        if plan.axis == "epoch":
            return int(record.epoch) if record.epoch is not None and abs(record.epoch) < 1e15 else None
        if record.step is None:
            return None
        if plan.per_epoch and record.epoch is not None and record.of:
            return int(record.epoch - plan.epoch_from) * record.of + record.step if abs(record.epoch) < 1e6 else None
        return record.step

    def _metric(self, name: str, unit: str) -> tuple[Metric, float] | None:
        key = (name, unit)
        if key not in self._metrics:
            self._metrics[key] = None if len(self._metrics) >= _MAX_METRICS else self._meaning(name, unit)
        return self._metrics[key]

    def _meaning(self, name: str, unit: str) -> tuple[Metric, float]:
        axis, convention = self._plan.axis, ""
        if self._plan.per_epoch:
            convention = f"step = (epoch - {self._plan.epoch_from}) x steps of an epoch + step"
        meaning = meant(name)
        if meaning is not None:
            factor = _UNITS[unit] if unit in _UNITS and meaning.metric.unit in ("s", "fraction") else meaning.scale
            return meaning.metric.but(axis=axis, convention=convention), factor
        split = "val" if _VALIDATION & set(words(name)) else "-"
        mode = "eval" if split == "val" else "unknown"
        shown = "s" if unit in ("ms", "s", "sec", "secs", "seconds") else "fraction" if unit == "%" else "1"
        metric = Metric(name, split, mode, shown, "not said", axis=axis, convention=convention)
        return metric, _UNITS.get(unit, 1.0)


def _plan_of(text: str) -> tuple[_Plan | None, float]:
    """Return how the records of a sample are counted, and how much the sample looks like a log (0 to 1)."""
    records, lines = _records_in(text, _MAX_SAMPLE_RECORDS)
    if len(records) == _MAX_SAMPLE_RECORDS and all(
        r.of and r.step is not None and r.epoch is not None for r in records[:9]
    ):
        records, lines = _records_in(text, _MAX_SAMPLE_LINES)  # an epoch may be longer than a few hundred records
    if not records:
        return None, 0.0
    with_step = [r for r in records if r.step is not None]
    with_epoch = [r for r in records if r.epoch is not None]
    for axis, chosen in (("step", with_step), ("epoch", with_epoch)):
        alike = _alike(chosen)
        if len(alike) < min(_FEW, 2 if axis == "epoch" else _FEW):
            continue
        counts = [r.step for r in alike] if axis == "step" else [r.epoch for r in alike]
        plan = _steps_plan(alike) if axis == "step" else _Plan("epoch")
        if axis == "epoch" and len(set(counts)) < 0.7 * len(counts):
            continue  # many records in an epoch, and nothing to tell them apart
        if plan.per_epoch or _goes_on([c for c in counts if c is not None]):
            return plan, 0.5 if len(alike) >= _FEW else 0.3
    alike = [r for r in _alike(records) if r.step is None]
    if len(alike) >= _FEW_WITHOUT_COUNTER and len(alike) >= 0.3 * lines:
        return _Plan("row"), 0.5
    if with_step:
        return _Plan("step"), 0.25
    return (_Plan("epoch"), 0.25) if with_epoch else (_Plan("row"), 0.2 if len(records) >= _FEW else 0.0)


def _records_in(text: str, most: int) -> tuple[list[_Record], int]:
    """Return the first records of a sample, and how many lines that are not blank hold them."""
    records: list[_Record] = []
    lines = 0
    for line in text.split("\n")[:_MAX_SAMPLE_LINES]:
        if line.strip():
            lines += 1
            record = _record_of(line)
            if record is not None:
                records.append(record)
                if len(records) >= most:
                    break
    return records, lines


def _alike(records: Sequence[_Record]) -> list[_Record]:
    """Return the records that hold the names that most of them hold."""
    if not records:
        return []
    names, _count = Counter(record.names for record in records).most_common(1)[0]
    return [record for record in records if record.names == names]


def _goes_on(counts: Sequence[float]) -> bool:
    """Return whether a counter goes on from record to record nearly always."""
    if len(set(counts)) < min(4, len(counts)):
        return False
    pairs = list(itertools.pairwise(counts))
    return sum(1 for a, b in pairs if b >= a) >= _AGREE * len(pairs)


def _steps_plan(records: Sequence[_Record]) -> _Plan:
    """Tell a counter that begins anew in every epoch from one that goes through."""
    back = ahead = 0
    for a, b in itertools.pairwise(records):
        if (
            a.epoch is not None
            and b.epoch is not None
            and a.step is not None
            and b.step is not None
            and b.epoch > a.epoch
        ):
            back, ahead = back + (b.step < a.step), ahead + (b.step >= a.step)
    epochs = [r.epoch for r in records if r.epoch is not None]
    if back > ahead and all(r.of for r in records) and len({r.of for r in records}) <= 2:
        return _Plan("step", per_epoch=True, epoch_from=0 if min(epochs) < 1 else 1)
    return _Plan("step")


def _sniff(file: InputFile) -> float:
    if file.suffix in _NO_FILES or file.is_binary:
        return 0.0
    text = file.sample
    if text.lstrip()[:1] in ("{", "<") and "\n" not in text.strip()[:2000]:
        return 0.0
    return _plan_of(text)[1]


def _read(file: InputFile) -> Iterable[Reading]:
    plan, _score = _plan_of(file.sample)
    make: Callable[[str], LogParser] = partial(GenericLog, plan=plan or _Plan("row"))
    return read_log(file, make)


DIALECT = Dialect(
    name="generic",
    last_resort=True,
    title="Any log of steps and losses",
    role="log",
    example="step 100 | loss 3.2145 | lr 0.0003\nEpoch [1/3], Step [100/938], Loss: 3.2145",
    reads="lines that hold a loss (or a perplexity) and, where there is one, a counter of steps or epochs, as `key: value`,"
    " `key=value`, `key value` or a dict; whatever else stands in them under its own name; several runs in a file, interleaved"
    " processes, redraws and crashes as in every log",
    cannot="what a value averages over and in which mode it was measured, whether steps are optimiser steps, the recipe, the machine:"
    " no trainer is known; without a counter, values stand at the number of their record",
    source="none: the usual forms of hand-written training loops",
    sniff=_sniff,
    read=_read,
    missing="no trainer is recognised in the log: add its config, or an auscult.toml",
    tracker=True,
)
