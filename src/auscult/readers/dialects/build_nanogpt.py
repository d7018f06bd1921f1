"""What build-nanogpt (the "let's reproduce GPT-2" lecture) and its many derivatives print, and their ``log/log.txt``.

``step N | loss: F | lr F | norm: F | dt: Fms | tok/sec: F`` in whatever order, or ``step N, loss: F`` of the lecture's
first hour; ``validation loss: F`` and ``HellaSwag accuracy: D/D=F`` stand before the line of the step at which they were
measured. In ``log.txt`` each has a line of its own: ``N train F``, ``N val F``, ``N hella F``. The loss is the mean over the
step's micro-batches, over all ranks. (karpathy/build-nanogpt ``train_gpt2.py``, every commit to 6104ab1.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...run import Known, Quantity, Source, Unknown
from ..files import InputFile
from ..log import FLOAT, LogParser, number, read_log
from ..meaning import GRAD_NORM, LEARNING_RATE, STEP_TIME_S, TOKENS_PER_S, TRAIN_LOSS, VAL_LOSS, Metric
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "BuildNanoGPTLog"]

_STEP = lazy(rf"^\s*step\s+(\d{{1,15}})\s?[|,] ?(?:train )?loss: ({FLOAT})(?=\s|[,|]|$)")
_FIELD = lazy(rf"(?:^|[|,])\s*(lr|norm|dt|tok/sec|tokens/sec):? ({FLOAT})(ms|s)?(?=\s|[,|]|$)")
_FILE_LINE = lazy(rf"^(\d{{1,15}}) (train|val|hella) ({FLOAT})$")
_VALIDATION = lazy(rf"^\s*validation loss: ({FLOAT})\s*$")
_HELLASWAG = lazy(rf"^\s*HellaSwag accuracy: \d{{1,12}}/\d{{1,12}}=({FLOAT})\s*$")
_DECAYED = lazy(r"num (non-)?decayed parameter tensors: \d{1,9}, with (\d[\d,]{0,24}) parameters")
_TOTAL = lazy(r"^\s*Total [Pp]arameters: (\d[\d,]{0,24})\s*$")
_LOADED = lazy(r"^\s*loaded (\d[\d,]{0,24}) tokens\s*$")
_EPOCH = lazy(r"^\s*1 epoch = (\d[\d,]{0,24}) batches\s*$")
_BATCH = lazy(r"total desired batch size: (\d[\d,]{0,24})\s*$")
_ACCUMULATION = lazy(r"=> calculated gradient accumulation steps: (\d{1,9})\s*$")
_DEVICE = lazy(r"^\s*using device: (\w{1,12})(?::\d{1,4})?\s*$")
_FUSED = lazy(r"^\s*using fused AdamW: (?:True|False)\s*$")
_PRETRAINED = lazy(r"^\s*loading weights from pretrained gpt: ([\w-]{1,40})\s*$")
_SHARDS = lazy(r"^\s*found (\d{1,9}) shards for split (train|val)\s*$")
_BLOCKS = lazy(r"^\s*\(0-(\d{1,4})\): \d{1,5} x Block\(")
_EMBEDDING = lazy(r"^\s*\((wte|wpe)\): Embedding\((\d{1,9}), (\d{1,9})\)")
_LINEAR = lazy(r"^\s*\(c_fc\): Linear\(in_features=(\d{1,9}), out_features=(\d{1,9}), bias=(True|False)\)")
_QUICK = lazy(
    r"^\s*step |loss: |HellaSwag|^\d{1,15} [tvh]|param|loaded|epoch =|desired|calculated|using |shards|^\s*\("
)
_CUT = 4
"""The loss has six decimals, the validation four: with fewer at the end of a file it was cut."""
_LOSS = TRAIN_LOSS.but(window="mean of the step's micro-batches", scope="global")
_VAL = VAL_LOSS.but(window="20 batches of each rank from the start of the validation split (stock)", scope="global")
_HELLA = Metric("hellaswag", "val", "eval", "fraction", "HellaSwag's validation set, length-normalised", "global")
_LR = LEARNING_RATE.but(mode="train")
_TIME = STEP_TIME_S.but(mode="train", window="one step, evaluations and samples before it included")
_SPEED = TOKENS_PER_S.but(mode="train", window="one step", scope="global")
_MAX_WAITING = 64
_LONE = 1
"""Where a device is named, one process runs: with torchrun none is printed."""


class BuildNanoGPTLog(LogParser):
    """Reads the console and ``log.txt``; what was measured before a step's line is that step's."""

    dialect = "build_nanogpt"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._waiting: list[tuple[Metric, float, Line]] = []
        self._last: int | None = None
        self._stride = 1
        self._decayed: dict[str, tuple[int, Line]] = {}
        self._low, self._high = 0.0, math.inf

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if not _QUICK.search(text):
            return False
        if found := _STEP.match(text):
            self._step(found, line)
        elif found := _FILE_LINE.match(text):
            metric = {"train": _LOSS, "val": _VAL, "hella": _HELLA}[found[2]]
            if line.ended or _is_whole(found[3]):
                self.record(int(found[1]), ((metric, number(found[3])),), line)
            else:
                self.broken(line)
        elif found := _VALIDATION.match(text):
            self._wait(_VAL, number(found[1]), line)
        elif found := _HELLASWAG.match(text):
            self._wait(_HELLA, number(found[1]), line)
        elif re.match(r"^\s*step\s+\d{1,15}\s?[|,] ?(?:loss|$)", text):
            self.broken(line)
        else:
            return self._figure(line)
        return True

    def _step(self, found: re.Match[str], line: Line) -> None:
        step, rest = int(found[1]), line.text[found.end() :]
        if not rest.strip() and not line.ended and not _is_whole(found[2]):
            self.broken(line)
            return
        values: list[tuple[Metric, float]] = [(_LOSS, number(found[2]))]
        fields = {f[1]: f for f in _FIELD.finditer(rest) if line.ended or f.end() < len(rest)}
        if lr := fields.get("lr"):
            values.append((_LR, number(lr[2])))
        if norm := fields.get("norm"):
            values.append((GRAD_NORM, number(norm[2])))
        time, speed = fields.get("dt"), fields.get("tok/sec") or fields.get("tokens/sec")
        if time:
            values.append((_TIME, number(time[2]) * (1.0 if time[3] == "s" else 1e-3)))
        if speed:
            values.append((_SPEED, number(speed[2])))
        if time and speed and time[3] == "ms":
            self._narrow(time[2], speed[2])
        self._place(step)
        if self._last is not None and step > self._last:
            self._stride = step - self._last
        self._last = step
        self.record(step, values, line)

    def _narrow(self, milliseconds: str, speed: str) -> None:
        """Narrow the tokens of a step by what its time and its speed, as rounded, allow."""
        time, rate = number(milliseconds), number(speed)
        if not (math.isfinite(time) and math.isfinite(rate) and time > 0):
            return
        half_time, half_rate = (0.5 * 10.0 ** -len(t.partition(".")[2]) for t in (milliseconds, speed))
        low, high = (time - half_time) * (rate - half_rate) / 1e3, (time + half_time) * (rate + half_rate) / 1e3
        if low <= self._high and high >= self._low:
            self._low, self._high = max(self._low, low), min(self._high, high)
        else:  # another batch size: nothing is sure
            self._low, self._high = 0.0, math.inf

    def _wait(self, metric: Metric, value: float, line: Line) -> None:
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append((metric, value, line))
        else:
            self.broken(line)  # evaluations without a step between them cannot be placed

    def _place(self, step: int) -> None:
        """Give what was measured before a step's line to that step."""
        waiting, self._waiting = self._waiting, []
        for metric, value, line in waiting:
            self.record(step, ((metric, value),), line)

    # ---- figures

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _DECAYED.search(text):
            self._parameters("non" if found[1] else "2d", int(number(found[2])), line)
        elif found := _TOTAL.match(text):
            self._set_total(int(number(found[1])), line)
        elif found := _LOADED.match(text):
            self.set_checked("data.train_tokens", int(number(found[1])), line)
        elif found := _EPOCH.match(text):
            self.note("build_nanogpt.batches_per_epoch", int(number(found[1])), line)
        elif found := _BATCH.search(text):
            self.set_checked("logged.tokens_per_step", int(number(found[1])), line)
        elif found := _ACCUMULATION.search(text):
            self.note("build_nanogpt.accumulation_per_rank", int(found[1]), line)
        elif found := _DEVICE.match(text):
            self._device(found[1], line)
        elif _FUSED.match(text):
            self.set_checked("recipe.optimizer", "adamw", line)
        elif found := _PRETRAINED.match(text):
            self.set_checked("recipe.init_from", found[1], line)
        elif found := _SHARDS.match(text):
            self.note(f"build_nanogpt.{found[2]}_shards", int(found[1]), line)
        else:
            return self._module(line)
        return True

    def _module(self, line: Line) -> bool:
        """Take a line of the model as PyTorch prints it."""
        text = line.text
        if found := _BLOCKS.match(text):
            self.set_checked("architecture.n_layer", int(found[1]) + 1, line)
        elif found := _EMBEDDING.match(text):
            self.set_checked(
                "architecture.vocab_size" if found[1] == "wte" else "architecture.context", int(found[2]), line
            )
            self.set_checked("architecture.d_model", int(found[3]), line)
        elif found := _LINEAR.match(text):
            self.set_checked("architecture.d_ff", int(found[2]), line)
            self.set_checked("architecture.bias", found[3] == "True", line)
        else:
            return False
        return True

    def _device(self, name: str, line: Line) -> None:
        if self.in_run:
            self._absorb()  # what was said so far is of the run before
            self._finish_waiting()
            self.start_run(line)
            self._last, self._low, self._high = None, 0.0, math.inf
        if name != "cuda":
            self.set_checked("machine.gpu_name", name, line)
        if name != "cpu":
            self.set_checked("machine.gpu_count", _LONE, line)
        self.set_checked("recipe.world_size", _LONE, line)

    def _parameters(self, kind: str, count: int, line: Line) -> None:
        if kind == "2d":
            self.set("logged.parameters_2d", count, line)
        self._decayed[kind] = (count, line)
        if len(self._decayed) == 2:
            total = self._decayed["2d"][0] + self._decayed["non"][0]
            inputs = tuple(self.source(where) for _count, where in self._decayed.values())
            source = Source("derived", formula="decayed + non-decayed parameters", inputs=inputs)
            self.set("logged.parameters", Known((total, total), source), line)
            self.set("logged.parameters_convention", "total", line)
            self._decayed = {}

    def _set_total(self, total: int, line: Line) -> None:
        self.set("logged.parameters", (total, total), line)
        self.set("logged.parameters_convention", "total", line)

    # ---- the end

    def _finish_waiting(self) -> None:
        if self._waiting:
            self._place(0 if self._last is None else self._last + self._stride)

    def finish(self) -> tuple[Reading, ...]:
        """Return the readings; an evaluation after which no step was printed belongs to the step that was due."""
        self._finish_waiting()
        return super().finish()

    def finish_run(self, run: Reading) -> Reading:
        """Add the accumulation over all ranks, and the tokens of a step where time and speed leave one possibility."""
        settings: dict[str, Quantity[Any]] = dict(run.settings)
        if not run.series and not settings:
            return run
        code = Source("default", formula="build-nanogpt's train_gpt2.py is GPT-2 with a tied output head")
        settings.setdefault("architecture.family", Known("gpt2", code))
        if "logged.parameters" in settings:
            settings.setdefault("architecture.tied", Known(True, code))
        per_rank = run.noted.get("build_nanogpt.accumulation_per_rank")
        if per_rank is not None:
            if "recipe.world_size" in settings:
                settings["recipe.gradient_accumulation_steps"] = per_rank
            else:
                settings["recipe.gradient_accumulation_steps"] = Unknown(
                    f"{per_rank.source.place} prints it for each rank ({per_rank.value}), and the number of ranks is not printed"
                )
        if "logged.tokens_per_step" not in settings and (tokens := self._tokens()) is not None:
            speed = run.get("tokens_per_s")
            inputs = (speed.source(0),) if speed is not None else ()
            settings["logged.tokens_per_step"] = Known(
                tokens, Source("derived", formula="step time · tokens per second", inputs=inputs)
            )
        return replace(run, settings=settings)

    def _tokens(self) -> int | None:
        """Return the one multiple of 64 that time and speed of every step allow."""
        if not (self._low > 0 and math.isfinite(self._high) and self._high < 1e15):
            return None
        first = math.ceil(self._low / 64) * 64
        return first if first <= self._high < first + 64 else None


def _is_whole(text: str) -> bool:
    return len(text.partition(".")[2]) >= _CUT or text.lower().lstrip("+-") in ("nan", "inf")


_LINE = lazy(rf"^[ \t]*step\s+\d{{1,15}} ?[|,] ?loss: (?:{FLOAT})(?:[ ,|].{{0,300}})?$", re.MULTILINE)
_FILE_LINES = lazy(rf"^\d{{1,15}} (?:train|val|hella) (?:{FLOAT})$", re.MULTILINE)


def _sniff(file: InputFile) -> float:
    text = file.sample
    if len(_FILE_LINES.findall(text[:100_000])) >= 2:
        return 0.9
    found = _LINE.search(text)
    if found is None:
        return 0.3 if _FILE_LINES.search(text) else 0.0
    if "tok/sec" in found[0] or "norm" in found[0] or "| dt:" in found[0]:
        return 0.85
    return 0.7 if re.search(r"^1 epoch = \d+ batches|^loaded \d+ tokens", text, re.MULTILINE) else 0.5


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, BuildNanoGPTLog)


DIALECT = Dialect(
    name="build_nanogpt",
    title="build-nanogpt",
    role="log",
    example="validation loss: 3.9812\n"
    "step  1000 | loss: 4.012345 | lr 5.9912e-04 | norm: 0.4312 | dt: 512.40ms | tok/sec: 1023200.50",
    reads="the console in every variant of the lecture and its derivatives, with the fields in any order, and log.txt:"
    " training loss (mean of the step's micro-batches over all ranks), learning rate, gradient norm, step time, tokens"
    " per second, validation loss and HellaSwag accuracy; parameters, tokens loaded, tokens per step (printed, or where"
    " time and speed leave one possibility), the shape where the model is printed",
    cannot="the recipe (the script prints no config; log.txt holds the curves alone), the number of ranks under torchrun,"
    " the number of steps planned",
    source="karpathy/build-nanogpt train_gpt2.py, 28916d9 to 6104ab1",
    sniff=_sniff,
    read=_read,
    missing="the script prints no config",
)
