"""``trainer_log.jsonl`` of LLaMA-Factory: one JSON object for each row of the trainer's history, rounded as printed.

(LLaMA-Factory ``train/callbacks.py``, ``LogCallback``, 2023 to ff6d4d1. ``learning_rate`` is named ``lr`` since mid-2024;
values that are missing were written as null in the first versions.)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...run import Known, Notice, Problem, Seam, Source
from ..columns import Thinned
from ..files import InputFile
from ..hf_keys import VOCABULARY, column, state_key
from ..json_text import count, number_in
from ..log import series_of
from ..meaning import MEMORY_BYTES, TOKENS_PER_S, TOKENS_SEEN, Metric
from ..metric_names import EPOCH
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..text import Line

__all__ = ["DIALECT"]

_ROW = lazy(r'\{"current_steps":\s?\d{1,15},\s?"total_steps":\s?\d{1,15}')
_TIME = lazy(r"(?:(\d{1,6}) days?, )?(\d{1,6}):(\d\d):(\d\d)")
_LOSS, _RATE, _EVAL = column("loss"), column("learning_rate"), column("eval_loss")
assert _LOSS is not None
assert _RATE is not None
assert _EVAL is not None
_METRICS: Mapping[str, Metric] = {
    "loss": _LOSS,
    "eval_loss": _EVAL,
    "learning_rate": _RATE,
    "lr": _RATE,
    "epoch": EPOCH.but(scope="global"),
    "predict_loss": Metric("predict_loss", "-", "eval", "nats_per_token", "a prediction", "global"),
    "reward": Metric("reward", "train", "train", "1", "not said", "global"),
    "accuracy": Metric("rewards/accuracies", "train", "train", "fraction", "not said", "global"),
    "throughput": TOKENS_PER_S.but(window="the run so far", scope="global"),
    "total_tokens": TOKENS_SEEN.but(scope="global"),
    "elapsed_time": Metric("elapsed_time_s", unit="s", window="since training began, in whole seconds"),
    "vram_allocated": MEMORY_BYTES.but(convention="peak allocated, to 10 MiB"),
    "vram_reserved": MEMORY_BYTES.but(name="memory_reserved_bytes", convention="peak reserved, to 10 MiB"),
}
_GIB = frozenset({"vram_allocated", "vram_reserved"})
_ZERO_IS_NOT_MEASURED = frozenset({"throughput", "total_tokens"})
_MAX_SEAMS = 1_000
_MAX_STEPS = 1_000_000
_FEW = 5
"""Rows after which a return to the first step means another run, whatever the clock says."""
_OFTEN = 0.05
"""Above this share of rows for steps that have a row, several processes wrote them."""


class _Log:
    """Collects the rows of one file; a log that begins anew (the trainer appends to it) is another run."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.points: dict[Metric, Thinned] = {}
        self.last: dict[str, Known[Any]] = {}
        self.seams: list[Seam] = []
        self.step = -1
        self.first: int | None = None
        self.rows = self.zeros = self.jumps = self.repeats = 0
        self.seen: set[int] = set()
        self.elapsed = 0.0
        self.again: Line | None = None

    def is_left(self, step: int, elapsed: float | None) -> bool:
        """Return whether a row is of a run that begins anew: its clock, too, or after more than a few rows.

        Another node's row for a step may come after the first node's next one; its clock goes on.
        """
        if self.first is None or self.rows < 2 or step > self.first or step >= self.step:
            return False
        return elapsed is None or elapsed < self.elapsed or self.rows >= _FEW

    def take(self, row: Mapping[str, Any], line: Line) -> None:
        step = count(row["current_steps"])
        if step is None:
            return
        if self.step >= 0 and step < self.step:
            self.jumps += 1
            if len(self.seams) < _MAX_SEAMS:
                self.seams.append(Seam(self.step, step, self._source(line, row)))
        if row.get("loss") is not None:
            if step in self.seen:
                self.repeats += 1
                self.again = self.again or line
            elif len(self.seen) < _MAX_STEPS:
                self.seen.add(step)
        self.step, self.rows = step, self.rows + 1
        self.elapsed = _seconds(row.get("elapsed_time")) or 0.0
        self.first = step if self.first is None else self.first
        total = count(row.get("total_steps"))
        if total and any(row.get(name) is not None for name in ("loss", "epoch", "lr", "learning_rate")):
            self.last["max_steps"] = Known(total, self._source(line, row))
        if number_in(row.get("epoch")) is not None:
            self.last["epoch"] = Known(number_in(row.get("epoch")), self._source(line, row))
        for name, metric in _METRICS.items():
            value = _seconds(row.get(name)) if name == "elapsed_time" else number_in(row.get(name))
            if value is None:
                continue
            if name in _ZERO_IS_NOT_MEASURED and value == 0:
                self.zeros += 1
                continue
            self.points.setdefault(metric, Thinned()).add(step, value * 2**30 if name in _GIB else value, line.number)

    def _source(self, line: Line, row: Mapping[str, Any]) -> Source:
        text = f'"current_steps": {row["current_steps"]}, "total_steps": {row.get("total_steps")}'
        return Source("read", self.file, line.number, text[:120])

    def reading(self, label: str, problems: tuple[Problem, ...]) -> Reading:
        notices = []
        if self.rows and not any(m.name in ("train_loss", "val_loss") for m in self.points):
            notices.append(
                Notice("no_loss_logged", Source("read", self.file), 1, 0, f"{self.rows} rows, none with a loss")
            )
        if self.zeros:
            detail = "throughput and total_tokens are written as 0: not measured"
            notices.append(Notice("throughput_constant_zero", Source("read", self.file), self.zeros, 0, detail))
        seams = tuple(self.seams)
        if self.again is not None and self._take_turns():
            detail = f"{self.repeats} rows are of steps that have one already; no rank is named"
            notices.append(
                Notice("ranks_interleaved", Source("read", self.file, self.again.number), self.repeats, 0, detail)
            )
            seams = ()
        seen = next((p.last for m, p in self.points.items() if m.name == "tokens_seen"), None)
        if seen is not None and math.isfinite(seen.value):
            self.last["tokens_seen"] = Known(int(seen.value), Source("read", self.file, seen.line, "total_tokens"))
        return Reading(
            "llamafactory",
            self.file,
            "metrics",
            label=label,
            series=tuple(series_of(metric, self.file, points) for metric, points in self.points.items()),
            raw={state_key(self.step, log=True): Known(dict(self.last), Source("read", self.file))}
            if self.last
            else {},
            vocabulary=VOCABULARY,
            authority=FRAMEWORK - 1,  # it rounds what trainer_state.json holds in full
            notices=tuple(notices),
            problems=problems,
            seams=seams,
        )

    def _take_turns(self) -> bool:
        """Return whether several processes append to the file (several nodes share the folder), and no run was resumed.

        They go back often, and by little each time; a run that was taken up again goes back once.
        """
        if self.repeats <= max(3, _OFTEN * self.rows):
            return False
        if not self.jumps:
            return True
        back = sorted(seam.step_before - seam.step_after for seam in self.seams)
        stride = (max(self.seen) - min(self.seen)) / max(len(self.seen) - 1, 1)
        return self.jumps > 3 and back[len(back) // 2] <= 5 * max(stride, 1)


def _seconds(text: Any) -> float | None:
    """Return a duration as Python prints it: ``9 days, 22:13:15``."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _sniff(file: InputFile) -> float:
    found = _ROW.match(file.sample.lstrip())
    if found is None:
        return 0.0
    return 1.0 if file.base == "trainer_log.jsonl" else 0.95


def _read(file: InputFile) -> Iterable[Reading]:
    logs = [_Log(file.name)]
    broken: list[int] = []
    for line in file.lines():
        text = line.text.strip()
        if not text:
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or "current_steps" not in row:
            broken.append(line.number)
            continue
        log, step = logs[-1], count(row["current_steps"])
        if step is not None and log.is_left(step, _seconds(row.get("elapsed_time"))):
            logs.append(_Log(file.name))
        logs[-1].take(row, line)
    problems: tuple[Problem, ...] = ()
    if broken:
        source = Source("read", file.name, broken[0])
        problems = (Problem("broken_record", f"lines that are no whole row: {len(broken)}", source, len(broken)),)
    logs = [log for log in logs if log.rows]
    many = len(logs) > 1
    return tuple(log.reading(str(i) if many else "", problems if i == 1 else ()) for i, log in enumerate(logs, 1))


DIALECT = Dialect(
    name="llamafactory",
    title="LLaMA-Factory",
    role="metrics",
    example='{"current_steps": 10, "total_steps": 8660, "loss": 2.4977, "lr": 5.77e-07, "epoch": 0.0046, "percentage": 0.12,'
    ' "elapsed_time": "0:00:24", "remaining_time": "5:58:33"}',
    reads="loss (the mean over the steps since the row before, over all processes), evaluation loss, learning rate, epochs,"
    " planned steps, elapsed time, tokens and tokens per second where they were counted, and video memory",
    cannot="the batch, the accumulation, the model and the learning rate asked for: add `trainer_state.json` and the YAML"
    " that training was started with. A throughput of 0 means that it was not counted",
    source="hiyouga/LLaMA-Factory train/callbacks.py, 2023 to ff6d4d1",
    sniff=_sniff,
    read=_read,
    missing="trainer_log.jsonl does not say it: add trainer_state.json and the YAML that training was started with",
)
