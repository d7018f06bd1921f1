"""``trainer_state.json`` of the Hugging Face trainer (and of TRL, axolotl, LLaMA-Factory, unsloth, which derive from it).

The columns' meanings are in ``readers/hf_keys.py``. The file is written with each checkpoint: those of one run hold
prefixes of one history. (transformers ``trainer.py`` and ``trainer_callback.py``, 4.0 to 5.24.)
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import NotText
from ...run import Known, Notice, Problem, Quantity, Seam, Series, Source
from ..columns import Point, Thinned
from ..files import MAX_DOCUMENT_BYTES, InputFile
from ..hf_keys import VOCABULARY, column, interpret, sequences_per_step, state_key
from ..json_text import count, number_in, step_lines
from ..log import series_of
from ..meaning import Metric
from ..metric_names import EPOCH
from ..reading import FRAMEWORK, Dialect, Reading

__all__ = ["DIALECT", "read_state"]

_FIELDS = (
    *("total_flos", "num_train_epochs", "logging_steps", "eval_steps", "save_steps", "train_batch_size", "global_step"),
    *("num_input_tokens_seen", "best_metric", "best_global_step"),
)
_MAX_COLUMNS = 1_000
_MAX_NAME = 200
_MANY_ROWS = 5_000
"""From here on NumPy is worth its import."""
_QUOTED = frozenset({"loss", "grad_norm", "learning_rate"})
_MANY_ZEROS = 3
_LIVELY = 0.5
"""A loss above this, followed by exactly 0.0, was not learned away."""


def read_state(document: Mapping[str, Any], text: str, file: str) -> Reading:
    """Return the run of a parsed ``trainer_state.json``."""
    rows = [row for row in document.get("log_history") or () if isinstance(row, dict)]
    steps = [count(row.get("step")) for row in rows]
    lines = step_lines(text, steps)
    places = _places(document, text, file)
    final, final_line = _final_row(rows, lines)
    train_steps = [s for s, row in zip(steps, rows, strict=True) if s is not None and "loss" in row]
    every_step = len(train_steps) > 1 and train_steps[-1] - train_steps[0] == len(train_steps) - 1
    series, notices = _series(rows, steps, lines, file, _end(places), every_step=every_step)
    state = _state(document, places, rows, steps, final, final_line, file)
    noted = {f"hf.{name}": q for name in _FIELDS if (q := places.get(name)) is not None and _plain(q.value)}
    if final:
        noted["hf.final_row"] = Known(
            final, Source("read", file, final_line or None, "the last row: means over the whole run")
        )
    notices += _remarks(document, rows, series, file)
    step = count(document.get("global_step")) or max((s for s in steps if s is not None), default=0)
    raw: dict[str, Quantity[Any]] = {
        state_key(step): Known(state, Source("read", file, None, f'"global_step": {step}'))
    }
    problems = []
    if (missing := sum(1 for s in steps if s is None)) and missing == len(steps):
        problems.append(Problem("no_steps", "no row of the history has a step", Source("read", file), missing))
    return Reading(
        "hf_trainer",
        file,
        "metrics",
        series=series,
        raw=raw,
        vocabulary=VOCABULARY,
        authority=FRAMEWORK,
        notices=tuple(notices),
        problems=tuple(problems),
        seams=_seams(steps, lines, file),
        noted=noted,
    )


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _places(document: Mapping[str, Any], text: str, file: str) -> dict[str, Known[Any]]:
    """Return the state's own fields with their lines: they stand before and after the history."""
    found = {}
    for name, value in document.items():
        if name == "log_history" or not isinstance(value, int | float) or isinstance(value, bool):
            continue
        # the last place of a key that rows may have too, such as "epoch", is looked for from the right side
        matches = [text.find(f'"{name}"'), text.rfind(f'"{name}"')]
        history = text.find('"log_history"')
        at = matches[0] if 0 <= matches[0] < history or history < 0 else matches[1]
        line = text.count("\n", 0, at) + 1 if at >= 0 else None
        found[name] = Known(value, Source("read", file, line, f'"{name[:_MAX_NAME]}": {value!r:.40}'))
    return found


def _end(places: Mapping[str, Known[Any]]) -> Point | None:
    """Return the step and the epoch at which the state was saved."""
    step, epoch = places.get("global_step"), places.get("epoch")
    reached = count(step.value) if step is not None else None
    if step is None or epoch is None or not reached:
        return None
    return Point(reached, number_in(epoch.value) or 0.0, step.source.line or 0)


def _is_summary(row: Mapping[str, Any]) -> bool:
    """Return whether a row sums a run up; where tokens are counted, newer versions put the time so far into every row."""
    return "train_runtime" in row and "loss" not in row


def _final_row(rows: list[dict[str, Any]], lines: list[int]) -> tuple[dict[str, float], int]:
    """Return the numbers of the last row that sums a run up, and its line."""
    for row, line in zip(reversed(rows), reversed(lines), strict=True):
        if _is_summary(row):
            return {name: value for name, value in row.items() if _plain(value)}, line
    return {}, 0


@dataclass(slots=True)
class _Column:
    """The numbers of a column, and the rows in which they stand."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


def _columns(rows: list[dict[str, Any]], steps: list[int | None]) -> dict[str, _Column]:
    """Return the numbers of all columns, those of rows that sum a run up or have no step left out."""
    columns: dict[str, _Column] = {}
    for index, row in enumerate(rows):
        if steps[index] is None or _is_summary(row):
            continue
        for name, value in row.items():
            if type(value) is not float:
                if isinstance(value, str) and name not in _QUOTED and not name.startswith("eval_"):
                    continue  # a callback's own column of text; of the trainer's numbers some versions write strings
                value = number_in(value)
                if value is None:
                    continue
            found = columns.get(name)
            if found is None:
                if len(columns) >= _MAX_COLUMNS:
                    continue
                found = columns[name] = _Column()
            found.rows.append(index)
            found.values.append(value)
    return columns


def _points(columns: Mapping[str, _Column], steps: list[int | None], lines: list[int]) -> dict[str, Thinned]:
    """Return each column's points with their steps and lines."""
    found = {name: Thinned() for name in columns}
    if len(steps) < _MANY_ROWS:
        for name, column_ in columns.items():
            for index, value in zip(column_.rows, column_.values, strict=True):
                found[name].add(steps[index] or 0, value, lines[index])
        return found
    import numpy as np

    at = np.array([step or 0 for step in steps], np.int64)
    places = np.array(lines, np.int64)
    for name, column_ in columns.items():
        where = np.frombuffer(column_.rows, np.int64)
        found[name].extend(at[where], np.frombuffer(column_.values, np.float64), places[where])
    return found


def _series(
    rows: list[dict[str, Any]],
    steps: list[int | None],
    lines: list[int],
    file: str,
    end: Point | None,
    *,
    every_step: bool,
) -> tuple[tuple[Series, ...], list[Notice]]:
    columns = _columns(rows, steps)
    metrics: dict[str, Metric] = {}
    taken: set[str] = set()
    for name in columns:
        metric = column(name, columns, every_step=every_step)
        if metric is not None:
            own = name if metric.name in taken else metric.name
            metrics[name] = metric.but(name=own[:_MAX_NAME])
            taken.add(own)
    points = _points({name: columns[name] for name in metrics}, steps, lines)
    zeros = _Zeros(file)
    if "loss" in columns and 0.0 in columns["loss"].values:
        for row, line in zip(rows, lines, strict=True):
            zeros.look(row, line)
    points["epoch"] = _epochs(rows, steps, lines, end)
    metrics["epoch"] = EPOCH.but(scope="global")
    notices = zeros.notices()
    norms = points.get("grad_norm")
    losses = points.get("loss")
    if (
        norms is not None
        and norms.count >= _MANY_ZEROS
        and _all_zero(norms)
        and losses is not None
        and not _all_zero(losses)
    ):
        del points["grad_norm"]
        notices.append(
            Notice(
                "grad_norm_constant_zero",
                Source("read", file, norms.lines[0] or None),
                norms.count,
                norms.lines[-1],
                "the gradient norm is written as 0 throughout: it was not measured",
            )
        )
    return tuple(series_of(metrics[name], file, p) for name, p in points.items() if p.count), notices


def _epochs(rows: list[dict[str, Any]], steps: list[int | None], lines: list[int], end: Point | None) -> Thinned:
    """Return the epoch counter, once for a step, to where the state was saved, which may lie beyond the last row."""
    found, before = _Column(), None
    for index, (row, step) in enumerate(zip(rows, steps, strict=True)):
        epoch = row.get("epoch")
        if (
            step is not None
            and step != before
            and isinstance(epoch, float | int)
            and (value := number_in(epoch)) is not None
        ):
            found.rows.append(index)
            found.values.append(value)
            before = step
    points = _points({"epoch": found}, steps, lines)["epoch"]
    if end is not None and (points.last is None or end.step > points.last.step):
        points.add(*end)
    return points


def _all_zero(points: Thinned) -> bool:
    return (
        points.not_finite == 0
        and points.minimum is not None
        and points.maximum is not None
        and points.minimum.value == points.maximum.value == 0
    )


class _Zeros:
    """Looks for NaN losses that were written as 0.0: the filter takes them out of the mean, and leaves nothing."""

    def __init__(self, file: str) -> None:
        self._file, self._before = file, 0.0
        self._count, self._first, self._last, self._norms = 0, 0, 0, 0

    def look(self, row: Mapping[str, Any], line: int) -> None:
        loss = number_in(row.get("loss"))
        if loss is None:
            return
        norm = number_in(row.get("grad_norm"))
        bad_norm = norm is not None and not math.isfinite(norm)
        if loss == 0.0 and (bad_norm or (norm in (None, 0.0) and (self._before > _LIVELY or self._count > 0))):
            self._count += 1
            self._first, self._last = self._first or line, line
            self._norms += bad_norm
        else:
            self._before = loss

    def notices(self) -> list[Notice]:
        if not self._count or (not self._norms and self._count < 2):
            return []
        beside = "the gradient norm beside it is not finite" if self._norms else "the row before it was far above 0"
        detail = f"a loss of exactly 0.0 stands for NaN: {beside}, and the trainer leaves NaN losses out of its mean"
        source = Source("read", self._file, self._first or None)
        return [Notice("nan_logged_as_zero", source, self._count, self._last, detail)]


def _state(
    document: Mapping[str, Any],
    places: Mapping[str, Known[Any]],
    rows: list[dict[str, Any]],
    steps: list[int | None],
    final: Mapping[str, float],
    final_line: int,
    file: str,
) -> dict[str, Known[Any]]:
    """Return what follows from the state's own fields; of several states of a run the latest counts."""
    state: dict[str, Known[Any]] = {}
    for name in ("max_steps", "train_batch_size", "epoch"):
        if name in places and places[name].value > 0:
            state[name] = places[name]
    seen = places.get("num_input_tokens_seen")
    if seen is not None and (count(seen.value) or 0) > 0:
        state["tokens_seen"] = seen
    for name, target, wanted in (("logging_steps", "log_interval", "loss"), ("eval_steps", "eval_interval", "eval_")):
        interval = count(places[name].value) if name in places else None
        at = [s for s, row in zip(steps, rows, strict=True) if s is not None and _has(row, wanted)]
        # 500 stands there whether or not the interval is counted in steps: rows must agree
        if interval and at and sum(s % interval == 0 for s in at) >= 0.5 * len(at):
            state[target] = Known(interval, places[name].source)
    epoch = number_in(document.get("epoch"))
    bounds = sequences_per_step(final, count(document.get("max_steps")), epoch)
    if bounds is not None:
        text = f"train_samples_per_second {final['train_samples_per_second']}, train_runtime {final['train_runtime']}"
        state["sequences_per_step"] = Known(bounds, Source("read", file, final_line or None, text))
    return state


def _has(row: Mapping[str, Any], wanted: str) -> bool:
    return wanted in row if not wanted.endswith("_") else any(name.startswith(wanted) for name in row)


def _seams(steps: list[int | None], lines: list[int], file: str) -> tuple[Seam, ...]:
    seams, before = [], None
    for step, line in zip(steps, lines, strict=True):
        if step is None:
            continue
        if before is not None and step < before:
            seams.append(Seam(before, step, Source("read", file, line or None)))
        before = step
    return tuple(seams[:1000])


def _remarks(
    document: Mapping[str, Any], rows: list[dict[str, Any]], series: tuple[Series, ...], file: str
) -> list[Notice]:
    notices = []
    last = count(document.get("global_step")) or 0
    if last and not any("loss" in row for row in rows):
        interval = count(document.get("logging_steps"))
        why = f"{last:,} steps were made and no row has a loss"
        if interval and interval > last:
            why += f": it is logged every {interval:,} steps"
        notices.append(Notice("no_loss_logged", Source("read", file), 1, 0, why))
    names = {s.name for s in series}
    scores = sorted(
        n for n in names if re.fullmatch(r"eval_(?:f1|matthews_correlation|precision|recall|roc_auc|auc)", n)
    )
    if scores:
        detail = f"its evaluations have {', '.join(scores[:4])}: the loss is one of classes, not of tokens"
        notices.append(Notice("not_a_language_model", Source("read", file), 1, 0, detail))
    if any("no cross-entropy" in s.convention for s in series if s.name == "train_loss"):
        detail = "it has columns of preference or policy training: its loss is no cross-entropy"
        notices.append(Notice("loss_not_cross_entropy", Source("read", file), 1, 0, detail))
    return notices


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".json", ""):
        return 0.0
    text = file.sample
    if '"log_history"' not in text or not text.lstrip().startswith("{"):
        return 0.0
    if '"global_step"' in text or '"max_steps"' in text:
        return 1.0
    return 0.9 if file.base.startswith("trainer_state") else 0.3


def _read(file: InputFile) -> Iterable[Reading]:
    document = file.json(MAX_DOCUMENT_BYTES)
    if not isinstance(document, dict) or not isinstance(document.get("log_history", []), list | None):
        raise NotText(
            "no history is in it", where=file.name, expected='{"log_history": [{"loss": …, "step": …}, …], …}'
        )
    return (read_state(document, file.text(MAX_DOCUMENT_BYTES), file.name),)


DIALECT = Dialect(
    name="hf_trainer",
    title="Hugging Face Trainer",
    role="metrics",
    example='{"epoch": 0.5, "grad_norm": 1.21, "learning_rate": 4.5e-05, "loss": 3.2126, "step": 100}',
    reads="every column of the history in `trainer_state.json` with the line of its row: `loss` is the mean over the steps"
    " since the row before, over all processes, with dropout on; `eval_loss` the mean over the evaluation set; `grad_norm`"
    " the norm of one step before clipping. Planned steps, epochs, the micro-batch of a process (newer versions), and the"
    " sequences of a step from the speeds in the last row. `train_loss` of that row is the mean over the whole run and is"
    " noted, not taken for the final loss",
    cannot="the learning rate asked for, the optimiser, the context and the model, which are in the training arguments, the"
    " event files and `config.json`; whether NaN losses occurred, since the trainer leaves them out of its means unless"
    " `logging_nan_inf_filter` is off; the evaluation made after the file was saved, which is in `all_results.json`",
    source="huggingface/transformers trainer.py and trainer_callback.py, versions 4.0 to 5.24; huggingface/trl sft_trainer.py",
    sniff=_sniff,
    read=_read,
    interpret=interpret,
    missing="trainer_state.json does not say it: add config.json, the training arguments or the event files",
)
