"""The text that nanoGPT's ``train.py`` prints: ``step`` and ``iter`` lines, and what stands around them.

``step N: train loss F, val loss F`` — both measured by ``estimate_loss()`` in eval mode (dropout off), each a mean over
``eval_iters`` random batches. ``iter N: loss F, time Fms, mfu F%`` — one micro-batch in train mode (dropout on); the
time covers the whole step, an evaluation included when one ran; the MFU is a running average (0.9 old + 0.1 new, over
logged iterations) in units of an A100's 312 TFLOP/s whatever the card, and −100 % until the sixth iteration.
(nanoGPT ``train.py`` and ``model.py`` at 3adf61e.)
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from ..run import Known, Logged, Notice, Problem, Series, Source, Unknown
from .text import iter_lines

__all__ = ["LogText", "read_log", "sniff"]

_FLOAT = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)"
_HEAD = re.compile(r"(?:^|[\s\]|>])(iter|step) (\d{1,15}):(?=\s)")
_STEP = re.compile(rf"\s*train loss ({_FLOAT}), val loss ({_FLOAT})(?=[\s,;]|$)")
_FIELD = re.compile(rf"(?<![\w_])(?<!train )(?<!val )(loss|time|mfu|lr)[:=]? ({_FLOAT})(ms|s|%)?(?=[\s,;]|$)")
_DECIMALS = re.compile(r"\.\d{4}$|^[-+]?(?:nan|inf)$")
_PARAMETERS = re.compile(r"number of parameters: (\d{1,9}(?:\.\d{1,6})?)M")
_DECAYED = re.compile(r"num decayed parameter tensors: \d+, with ([\d,]{1,20})(?![\d,]) parameters")
_TOKENS = re.compile(r"tokens per iteration will be: ([\d,]{1,20})(?![\d,])")
_VOCAB = re.compile(r"found vocab_size = (\d{1,12})(?!\d)")
_VOCAB_DEFAULT = re.compile(r"defaulting to vocab_size of GPT-2 to (\d{1,12})(?!\d)")
_FILE_ECHO = re.compile(r"Overriding config with (\S+):\s*$")
_KEY_ECHO = re.compile(r"Overriding: (\w+) = (.*)$")
_END_OF_ECHO = re.compile(
    r"^(?:Overriding: |Overriding config with |tokens per iteration|found vocab_size|Initializing |Resuming |defaulting "
    r"|number of parameters|num (?:non-)?decayed|using fused|compiling the model|wandb: |step \d+:|iter \d+:|\[rank|W\d{4} )"
)
_NOTICES = (
    ("sm_gate", re.compile(r"[Nn]ot enough (?:SMs|cuda cores) to use max_autotune")),
    ("out_of_memory", re.compile(r"CUDA out of memory|OutOfMemoryError|CUDNN_STATUS_ALLOC_FAILED")),
    ("traceback", re.compile(r"Traceback \(most recent call last\)")),
    ("interrupted", re.compile(r"^\s*KeyboardInterrupt")),
    ("killed", re.compile(r"^(?:Killed|.*SIGKILL|.*Terminated)\s*$")),
    ("checkpoint", re.compile(r"saving checkpoint to ")),
    ("resumed", re.compile(r"Resuming training from ")),
)
_QUICK = re.compile(
    r"iter |step |number of|tokens per|vocab|Overriding|num decayed|ot enough|emory|MEM|ALLOC|Trace|Keyb|[Kk]ill|KILL|Termin|saving|Resum"
)
_MEANING = {
    "train_loss": ("train", "train", "nats_per_token", "one micro-batch of the step, dropout on"),
    "train_loss_eval": ("train", "eval", "nats_per_token", "mean of eval_iters random batches, dropout off"),
    "val_loss": ("val", "eval", "nats_per_token", "mean of eval_iters random batches, dropout off"),
    "step_time_s": ("-", "train", "s", "one whole step, including an evaluation when one ran"),
    "mfu": ("-", "train", "fraction", "running average over logged iterations, in units of 312 TFLOP/s (A100 bf16)"),
    "learning_rate": ("-", "train", "1", "the step's learning rate"),
}


@dataclass
class _Points:
    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    lines: array[int] = field(default_factory=lambda: array("q"))

    def add(self, step: int, value: float, line: int) -> None:
        self.steps.append(step)
        self.values.append(value)
        self.lines.append(line)


@dataclass(frozen=True)
class LogText:
    """What a nanoGPT log says: its series, its own figures, notices, and the config it echoed (if any)."""

    file: str
    series: tuple[Series, ...]
    logged: Logged
    notices: tuple[Notice, ...]
    problems: tuple[Problem, ...]
    vocab_size: Known[int] | Unknown
    echoes: tuple[tuple[str, int, str], ...]
    """``(file name, first line in the log, text)`` of each config echoed by the trainer."""
    overrides: tuple[tuple[str, str, Source], ...]
    """``(key, value text, source)`` of each ``Overriding: key = value``."""


def sniff(head: str) -> float:
    """Return how much a text looks like a nanoGPT log, 0 to 1."""
    if re.search(r"(?:^|[\s\]])(?:step \d+: train loss \S+, val loss |iter \d+: loss \S+, time \S+ms)", head, re.M):
        return 1.0
    if re.search(r"tokens per iteration will be: |number of parameters: [\d.]+M", head):
        return 0.6
    return 0.3 if re.search(r"(?:^|\s)iter \d+: ", head) else 0.0


def read_log(path: Path, name: str) -> LogText:
    """Read a nanoGPT log, line by line.

    A record that was cut (the file ends inside it, or a stray key press split it) is left out and reported
    as a problem: a loss of ``3`` where the trainer prints four decimals is not a loss.

    Raises
    ------
    UnreadableInput, NotText, InputTooLarge
        See :func:`auscult.readers.text.iter_lines`.
    """
    state = _Reader(name)
    for number, text, ended in iter_lines(path, name):
        state.line(number, text, ended)
    return state.finish()


class _Reader:
    def __init__(self, name: str) -> None:
        self.name = name
        self.points = {key: _Points() for key in _MEANING}
        self.notices: dict[str, Notice] = {}
        self.problems: list[Problem] = []
        self.broken = 0
        self.first_broken: Source | None = None
        self.figures: dict[str, Known[int]] = {}
        self.parameters: Known[tuple[int, int]] | None = None
        self.echoes: list[tuple[str, int, list[str]]] = []
        self.overrides: list[tuple[str, str, Source]] = []
        self.in_echo = False

    def line(self, number: int, text: str, ended: bool) -> None:
        if self.in_echo:
            if _END_OF_ECHO.match(text):
                self.in_echo = False
            else:
                self.echoes[-1][2].append(text)
                return
        if not _QUICK.search(text):
            return
        heads = list(_HEAD.finditer(text))
        if not heads:
            self._remark(number, text)
            return
        for head, following in zip(heads, [*heads[1:], None], strict=True):
            end = following.start() if following else len(text)
            self._record(head, number, text[:end], ended and following is None)

    def _record(self, head: re.Match[str], number: int, text: str, ended: bool) -> None:
        kind, step, rest = head[1], int(head[2]), text[head.end() :]
        if kind == "step":
            if (losses := _STEP.match(rest)) and (ended or _DECIMALS.search(losses[2])):
                self.points["train_loss_eval"].add(step, float(losses[1]), number)
                self.points["val_loss"].add(step, float(losses[2]), number)
            else:
                self._break(number, text)
            return
        fields: dict[str, re.Match[str]] = {}
        for found in _FIELD.finditer(rest):
            fields.setdefault(found[1], found)  # what follows may be another record, run into this one
        if not fields:
            self._break(number, text)
            return
        if loss := fields.get("loss"):
            if _DECIMALS.search(loss[2]) or ("time" in fields and ended):
                self.points["train_loss"].add(step, float(loss[2]), number)
            else:
                self._break(number, text)
        if (time := fields.get("time")) and time[3]:
            self.points["step_time_s"].add(step, float(time[2]) * (1e-3 if time[3] == "ms" else 1.0), number)
        if (mfu := fields.get("mfu")) and mfu[3] == "%" and float(mfu[2]) != -100.0:
            self.points["mfu"].add(step, float(mfu[2]) / 100, number)
        if lr := fields.get("lr"):
            self.points["learning_rate"].add(step, float(lr[2]), number)

    def _break(self, number: int, text: str) -> None:
        self.broken += 1
        if self.first_broken is None:
            self.first_broken = Source("read", self.name, number, text.strip()[:160])

    def _remark(self, number: int, text: str) -> None:
        source = Source("read", self.name, number, text.strip()[:160])
        if found := _FILE_ECHO.search(text):
            self.echoes.append((found[1], number + 1, []))
            self.in_echo = True
        elif found := _KEY_ECHO.search(text):
            self.overrides.append((found[1], found[2].strip(), source))
        elif found := _PARAMETERS.search(text):
            half = 0.5 * 10.0 ** -len(found[1].partition(".")[2])
            millions = float(found[1])
            self.parameters = Known((round((millions - half) * 1e6), round((millions + half) * 1e6)), source)
        else:
            for key, pattern in (
                ("decayed", _DECAYED),
                ("tokens", _TOKENS),
                ("vocab", _VOCAB),
                ("vocab", _VOCAB_DEFAULT),
            ):
                if found := pattern.search(text):
                    self.figures[key] = Known(int(found[1].replace(",", "") or 0), source)
                    return
            for kind, pattern in _NOTICES:
                if pattern.search(text):
                    before = self.notices.get(kind)
                    first = before.source if before else source
                    self.notices[kind] = Notice(kind, first, before.count + 1 if before else 1, number)
                    return

    def finish(self) -> LogText:
        series = []
        for key, (split, mode, unit, window) in _MEANING.items():
            p = self.points[key]
            if p.steps:
                series.append(
                    Series(key, split, mode, unit, window, self.name, tuple(p.steps), tuple(p.values), tuple(p.lines))
                )
        if self.first_broken is not None:
            self.problems.append(
                Problem("broken_record", f"metric lines cut or garbled: {self.broken}", self.first_broken, self.broken)
            )
        absent = Unknown("the log does not print it")
        return LogText(
            self.name,
            tuple(series),
            Logged(
                absent if self.parameters is None else self.parameters,
                self.figures.get("decayed", absent),
                self.figures.get("tokens", absent),
                absent,
            ),
            tuple(self.notices.values()),
            tuple(self.problems),
            self.figures.get("vocab", absent),
            tuple((file, line, "\n".join(lines) + "\n") for file, line, lines in self.echoes),
            tuple(self.overrides),
        )
