"""The ``log.jsonl`` of auscult's own trainer: what was asked for, every logged step, every evaluation, how it ended.

Each line is one JSON object with its ``event``. ``start`` and ``resume`` hold the whole recipe and what it became on this
machine; ``step`` and ``evaluation`` the values, with units in their keys; ``note``, ``checkpoint``, ``end`` and ``stop`` the
rest. A value that is null was not measured, or is not finite where ``not_finite`` names its key. A resumed run appends, and
logs again what came after its checkpoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import NotText
from ...run import Comment, Known, Quantity, Source, Unknown, known
from ..auscult_keys import METRICS, PLACES, TRAINER, evaluated, flat, put_settings
from ..config_sheet import Sheet
from ..files import InputFile
from ..json_text import count, number_in
from ..log import LogParser, read_log
from ..meaning import Metric
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line, clean

__all__ = ["DIALECT", "AuscultLog"]

_EVENTS = frozenset({"start", "resume", "step", "evaluation", "checkpoint", "note", "end", "stop"})
_MARK = lazy(r'^\{"event": ?"(?:start|resume|step|evaluation|checkpoint|note|end|stop)", ?"time_unix_s": ?\d')
_FACTS: Mapping[str, str] = {
    "world_size": "recipe.world_size",
    "dtype": "recipe.dtype",
    "compiled": "recipe.compile",
    "flops_per_token": "logged.flops_per_token",
    "tokens_per_step": "logged.tokens_per_step",
    "peak_flops_per_s": "logged.peak_flops_per_s",
    "train_tokens": "data.train_tokens",
    "val_tokens": "data.val_tokens",
}
"""What the first line says besides the recipe."""
_NOTED = (
    *("auscult_version", "torch_version", "recipe_digest", "device", "mfu_convention", "parameters_total"),
    "cross_entropy",
)
_INTERRUPTED = lazy(r"SIGINT|Ctrl-?C|[Kk]eyboard|[Ii]nterrupt")
_KILLED = lazy(r"SIGTERM|[Tt]erminat|SIGUSR1|time limit")
_MEMORY = lazy(r"[Oo]ut of memory|OutOfMemory")
_OF_A_STEP = ("loss_nats_per_token", "grad_norm")
_MAX_SHOWN = 160
_MAX_CHANGED = 12


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class AuscultLog(LogParser):
    """Reads the log of one run, however often it was taken up again."""

    dialect = "auscult_log"
    one_run = True

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._recipe: dict[str, Known[Any]] = {}
        self._digest: object = None
        self._shares: list[str] = []
        self._mfu = METRICS["mfu"]
        self._measures: dict[tuple[str, str], tuple[int | None, Metric]] = {}

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text.strip()
        if not text.startswith("{"):
            return False
        found = _object(text)
        event = found.get("event") if found is not None else None
        if found is None or not isinstance(event, str) or event not in _EVENTS:
            self.broken(line)
            return True
        match event:
            case "start" | "resume":
                self._begin(found, event, line)
            case "step":
                self._step(found, line)
            case "evaluation":
                self._evaluation(found, line)
            case "checkpoint":
                self.notice("checkpoint", line)
            case "stop":
                self._stop(found, line)
        return True

    # ---- the first line of a process

    def _begin(self, found: Mapping[str, Any], event: str, line: Line) -> None:
        recipe = found.get("recipe")
        source = Source("read", self.file, line.number, f"{event}: the recipe, and what it became")
        said = flat(recipe, source) if isinstance(recipe, Mapping) else {}
        digest = found.get("recipe_digest")
        changed = self._digest is not None and digest != self._digest
        step = count(found.get("step")) or 0
        if changed and event == "start":
            self._measures = {}
            self.start_run(line, label=str(said["name"].value)[:_MAX_SHOWN] if "name" in said else "")
        else:
            self.taken_up(step, line)
        if changed and event == "resume":
            self._tell_changes(said, step, line)
        if event == "resume":
            self.notice("resumed", line)
        self._recipe, self._digest = said, digest
        for key, quantity in self._settings(found, said, source).items():
            self.set(key, quantity, line)
        for name in _NOTED:
            value = found.get(name)
            if isinstance(value, bool | int | float | str):
                self.note(f"auscult.{name}", clean(value)[:_MAX_SHOWN] if isinstance(value, str) else value, line)
        self._share(found)

    def _settings(
        self, found: Mapping[str, Any], said: Mapping[str, Known[Any]], source: Source
    ) -> dict[str, Quantity[Any]]:
        facts = {
            name: Known(found[name], source) for name in found if isinstance(found[name], bool | int | float | str)
        }
        micro = {"batch.micro_batch": facts["micro_batch"]} if "micro_batch" in facts else {}
        sheet = Sheet({**said, **micro}, TRAINER, "auscult")
        put_settings(sheet, defaults=False)
        for name, key in _FACTS.items():
            sheet.put(key, facts.get(name))
        total = count(found.get("parameters_total"))
        if total:
            sheet.found["logged.parameters"] = Known((total, total), source)
            sheet.found["logged.parameters_convention"] = Known("total", source)
        peak = facts.get("peak_flops_per_s")
        if peak is not None and found.get("mfu_convention") is not None:
            sheet.put("logged.mfu_peak_flops_per_s", peak)
        _put_machine(sheet, facts, source)
        for problem in sheet.problems:
            self.problem(problem)
        for name, one in sheet.noted.items():
            self._pending.noted[name] = one
        return sheet.found

    def _tell_changes(self, said: Mapping[str, Known[Any]], step: int, line: Line) -> None:
        """Note what a resumed run trains otherwise than before."""
        names = [*dict.fromkeys([*self._recipe, *said])]
        pairs = (
            (name, *(each[name].value if name in each else None for each in (self._recipe, said))) for name in names
        )
        changed = [f"{name} {before!r} → {after!r}" for name, before, after in pairs if before != after]
        if changed:
            more = f" and {len(changed) - _MAX_CHANGED} more" if len(changed) > _MAX_CHANGED else ""
            detail = f"the recipe changed at step {step:,}: {', '.join(changed[:_MAX_CHANGED])}{more}"
            self.notice("recipe_changed", line, clean(detail)[: 8 * _MAX_SHOWN])

    def _share(self, found: Mapping[str, Any]) -> None:
        """Learn of what an MFU is a share; on another card it is another metric."""
        peak, convention = number_in(found.get("peak_flops_per_s")), found.get("mfu_convention")
        if peak is None or not isinstance(convention, str):
            return
        said = f"{clean(convention)[:_MAX_SHOWN]}, of {peak / 1e12:g} TFLOP/s a card"
        if said not in self._shares:
            self._shares.append(said)
        number = self._shares.index(said)
        name = "mfu" if number == 0 else f"mfu ({number + 1})"
        self._mfu = METRICS["mfu"].but(name=name, convention=said)

    # ---- values

    def _step(self, found: Mapping[str, Any], line: Line) -> None:
        step = count(found.get("step"))
        values: list[tuple[Metric, float]] = []
        for name, metric in METRICS.items():
            value = _value(found, name)
            if value is not None:
                values.append((self._mfu if name == "mfu" else metric, value))
        if step is None or not values:
            self.broken(line)
            return
        self.record(step, values, line)

    def _evaluation(self, found: Mapping[str, Any], line: Line) -> None:
        step, loss = count(found.get("step")), _value(found, "loss_nats_per_token")
        split, mode = found.get("split"), found.get("mode")
        if step is None or loss is None or split not in ("train", "val") or mode not in ("eval", "train"):
            self.broken(line)
            return
        tokens = count(found.get("tokens"))
        before, metric = self._measures.setdefault((split, mode), (tokens, evaluated(split, mode, tokens)))
        if tokens != before:
            detail = f"evaluations of the {split} split are of another number of tokens from step {step:,} on"
            self.notice("evaluation_changed", line, detail)
        self.record(step, [(metric, loss)], line)

    def _stop(self, found: Mapping[str, Any], line: Line) -> None:
        """Take why the run left; of a step that was not finite, and is logged nowhere else, also its numbers."""
        step = count(found.get("step"))
        lost = [(METRICS[name], value) for name in _OF_A_STEP if (value := _value(found, name)) is not None]
        if step is not None and lost:
            self.record(step, lost, line)
            self.notice("nan_loss", line, "auscult train stops at the first step that is not finite")
        reason = str(found.get("reason", ""))[:1000]
        for kind, pattern in (("interrupted", _INTERRUPTED), ("killed", _KILLED), ("out_of_memory", _MEMORY)):
            if pattern.search(reason):
                self.notice(kind, line)
                return

    def finish_run(self, run: Reading) -> Reading:
        """Add the run's name, which may claim something."""
        name = run.settings.get("recipe.run_name")
        comments = (Comment(clean(name.value), 0, name.source, "name"),) if isinstance(name, Known) else ()
        return replace(run, comments=comments)


def _put_machine(sheet: Sheet, facts: Mapping[str, Known[Any]], source: Source) -> None:
    gpu, device = facts.get("gpu"), facts.get("device")
    if gpu is not None:
        sheet.put("machine.gpu_name", gpu)
        ranks = sheet.known("recipe.world_size")
        if ranks is not None:
            sheet.put("machine.gpu_count", known(ranks.value, "one card for each rank", ranks))
    elif device is not None and str(device.value).startswith("cpu"):
        for key in ("machine.gpu_name", "machine.gpu_count"):
            sheet.put(key, Unknown(f"{source.place}: it was trained on the processor"))


def _value(found: Mapping[str, Any], name: str) -> float | None:
    """Return a value; NaN where the trainer says that it was not finite, and None where it was not measured."""
    value = number_in(found.get(name))
    if value is None and found.get(name) is None:
        lost = found.get("not_finite")
        return math.nan if isinstance(lost, list) and name in lost else None
    return value


def _sniff(file: InputFile) -> float:
    if file.is_binary or file.suffix in (".py", ".toml", ".yaml", ".csv", ".json"):
        return 0.0
    lines = file.sample.lstrip("\ufeff").split("\n", 40)[:40]
    return 0.97 if any(_MARK.match(line) for line in lines) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    readings = read_log(file, AuscultLog)
    if not any(reading.series or reading.settings for reading in readings):
        raise NotText(
            "no line of auscult train's log is whole in it",
            where=file.name,
            expected='lines such as `{"event": "step", "time_unix_s": …, "step": 10, "loss_nats_per_token": 7.1}`',
        )
    return readings


DIALECT = Dialect(
    name="auscult_log",
    title="auscult train",
    role="log",
    example='{"event": "step", "time_unix_s": 1764064800.0, "step": 10, "tokens": 4915200, "loss_nats_per_token": 7.1041,'
    ' "learning_rate": 6e-05, "grad_norm": 1.2, "step_time_s": 0.71}\n{"event": "evaluation", "time_unix_s": 1764064900.0,'
    ' "step": 250, "split": "val", "mode": "eval", "loss_nats_per_token": 4.0113, "tokens": 655360}',
    reads="the whole recipe and what it became: parameters, micro-batch, accumulation over all ranks, tokens per step, card,"
    " precision; train loss (all tokens of the step, train mode), losses of both splits in eval mode, and with dropout in train"
    " mode too, learning rate, gradient norm, step time, tokens per second, FLOP/s, MFU with its peak and convention, memory;"
    " where the run was taken up again, and what the recipe then changed; how it ended",
    cannot="losses of steps between the lines; what other ranks would print",
    source="auscult/journal/journal.py and record.py",
    sniff=_sniff,
    read=_read,
    missing="the log does not say",
    keys=PLACES,
)
