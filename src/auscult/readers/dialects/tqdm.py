"""Progress bars with a loss beside them, of a training loop that nobody else's dialect knows.

``Training:  1%|  | 500/50000 [50:00<82:30:00, 6.00s/it, loss=6.54, lr=3.00e-04]`` — the bar counts steps;
``Epoch 3/10:  45%|████ | 450/1000 [… loss=2.31]`` — the bar counts the batches of an epoch, and steps run on through the
epochs; ``Epoch: [700/2000] Loss: 1.2345: 24%|██ | 24/100 […]`` — with so many epochs the epoch is the axis. Each step is
drawn many times; its last draw counts. What the program averages its loss over is not said by any bar.
A nanoGPT fork that draws bars also echoes its config, which is read with nanoGPT's names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ...run import Notice
from ..files import InputFile
from ..log import LogParser, read_log
from ..meaning import (
    GRAD_NORM,
    LEARNING_RATE,
    MFU,
    STEP_TIME_S,
    TOKENS_PER_S,
    TRAIN_LOSS,
    VAL_BPB,
    VAL_LOSS,
    Metric,
)
from ..patterns import lazy
from ..progress import Bar, LastDraw, bars_in
from ..reading import ECHO, Dialect, Reading
from ..text import Line
from .nanogpt import NanoGPTLog

__all__ = ["DIALECT", "BarLog", "NanoGPTBarLog"]

_EPOCH = lazy(r"\bepochs?\b\W{0,4}(\d{1,7})(?:\s?(?:/|of)\s?(\d{1,7}))?", re.IGNORECASE)
_STEP = lazy(r"\b(?:global[ _]?step|step|iter(?:ation)?)\b\W{0,3}(\d{1,12})(?:\s?/\s?(\d{1,12}))?", re.IGNORECASE)
_HELD_OUT = lazy(r"\b(?:val|valid|validation|validating|eval|evaluation|evaluating|dev)\b", re.IGNORECASE)
_TEST = lazy(r"\b(?:test|testing)\b", re.IGNORECASE)
_NANOGPT = lazy(r"^(?:Overriding config with |tokens per iteration will be: |number of parameters: [\d.]{1,12}M)", re.M)
_MANY_EPOCHS = 20
"""From so many epochs on, the epoch is the axis: a point for each, rather than for each batch of each."""
_SHOWN = "what the bar shows: the last batch, or a running mean"
_NOT_MEASURED = -1.0
_LOSS = TRAIN_LOSS.but(window=_SHOWN)
_TIME = STEP_TIME_S.but(window="tqdm's running average")
_VAL = VAL_LOSS.but(window=_SHOWN)
_NAMES: dict[str, tuple[Metric, float]] = {
    **dict.fromkeys(
        ("loss", "train_loss", "train loss", "training loss", "avg_loss", "avg loss", "loss_avg", "ce", "nll"),
        (_LOSS, 1.0),
    ),
    **dict.fromkeys(("val_loss", "val loss", "valid_loss", "eval_loss", "validation loss", "vloss"), (_VAL, 1.0)),
    **dict.fromkeys(("lr", "learning_rate", "learning rate"), (LEARNING_RATE, 1.0)),
    **dict.fromkeys(("grad_norm", "grad norm", "gnorm", "gn"), (GRAD_NORM.but(window="not said"), 1.0)),
    **dict.fromkeys(
        ("tok/s", "tokens/s", "tokens/sec", "tok/sec", "tokens_per_s"), (TOKENS_PER_S.but(window="not said"), 1.0)
    ),
    **dict.fromkeys(("val_bpb", "val bpb"), (VAL_BPB.but(window="not said"), 1.0)),
    "mfu": (MFU.but(window="not said", convention="the peak it is a share of is not said"), 1.0),
}
_COUNTERS = frozenset({"step", "global_step", "global step", "iter", "iteration", "epoch", "it", "batch"})
_MAX_NAMES = 30


class _Bars(LogParser):
    """What every log of bars has; a class beside it in the order of inheritance reads the other lines."""

    dialect = "tqdm"
    by_epoch = False
    """Whether epochs are the axis, which is known before the first line is read."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._draws = LastDraw(self.record)
        self._held_out: tuple[Metric, float, Line] | None = None
        self._main: tuple[str, int] | None = None
        self._before = 0
        self._last_done = self._last_total = 0
        self._planned: int | None = None
        self._names: dict[str, Metric] = {}

    def line(self, line: Line) -> bool:
        """Take one line, or one draw of a bar."""
        taken = False
        for bar in bars_in(line.text):
            taken = True
            self._bar(bar, line)
        return taken or super().line(line)  # type: ignore[safe-super]  # the class beside this one in the order

    def _bar(self, bar: Bar, line: Line) -> None:
        loss = next((bar.values[n][0] for n in _NAMES if n in bar.values and _NAMES[n][0] is _LOSS), None)
        if _HELD_OUT.search(bar.description) or _TEST.search(bar.description):
            if loss is not None:
                is_test = _TEST.search(bar.description) and not _HELD_OUT.search(bar.description)
                metric = _VAL.but(name="test_loss", split="test") if is_test else _VAL
                self._held_out = (metric, loss, line)
            return
        stem = re.sub(r"[\d\W]+", " ", bar.description.lower()).split("loss")[0].strip()
        if loss is not None and self._main is None:
            self._main = (stem, bar.total)
        if self._main is not None and stem != self._main[0]:
            return  # another bar than the training loop's: loading, tokenizing …
        if self._main is not None and not stem and bar.total != self._main[1]:
            return
        self._flush_held_out()
        self._train(bar, line, loss)

    def _train(self, bar: Bar, line: Line, loss: float | None) -> None:
        step, planned = self._step(bar)
        if bar.is_fresh:
            self._draws.fresh(step)
        if planned and planned != self._planned and planned < 10**9:
            self._planned = planned
            if self._axis(bar) == "step":
                self.set("recipe.max_steps", planned, line)
            else:
                self.note("tqdm.epochs_planned", planned, line)
        if loss is None:
            return
        axis = self._axis(bar)
        values: dict[Metric, float] = {}
        for name, (plain, unit) in bar.values.items():
            metric, scale = self._metric(name, unit)
            if metric is not None and not (metric.name == "mfu" and plain * scale <= _NOT_MEASURED):
                values[metric if axis == "step" else metric.but(axis=axis)] = plain * scale
        if axis == "step" and bar.seconds_each is not None:
            values[_TIME] = bar.seconds_each
        part = bar.done if axis == "epoch" and not self._counts_epochs(bar) else 0
        if part:
            self.repeats_steps = True  # an epoch has a value for each of its batches
        self._draws.take(step, values, line, part)

    def _axis(self, bar: Bar) -> str:
        return "epoch" if self._counts_epochs(bar) or (self.by_epoch and _EPOCH.search(bar.description)) else "step"

    @staticmethod
    def _counts_epochs(bar: Bar) -> bool:
        return bar.unit in ("epoch", "epochs") or bar.description.strip().lower() in ("epoch", "epochs")

    def _step(self, bar: Bar) -> tuple[int, int | None]:
        """Return the step of a draw, and how many steps (or epochs) are planned where the bar says so."""
        for name in ("global_step", "global step", "step", "iter", "iteration"):
            if name in bar.values and bar.values[name][0].is_integer() and 0 <= bar.values[name][0] < 10**12:
                return int(bar.values[name][0]), bar.total or None
        if found := _STEP.search(bar.description):
            return int(found[1]), int(found[2]) if found[2] else None
        if found := _EPOCH.search(bar.description):
            epoch, of = int(found[1]), int(found[2]) if found[2] else None
            if self.by_epoch or not bar.total:
                return epoch, of
            return max(epoch - 1, 0) * bar.total + bar.done, of * bar.total if of else None
        if self._counts_epochs(bar):
            return bar.done, bar.total or None
        if bar.is_fresh and bar.total and self._last_done >= bar.total == self._last_total:
            self._before += bar.total  # the loop's next epoch: the bar is put up again after it was full
        self._last_done, self._last_total = bar.done, bar.total
        return self._before + bar.done, None if self._before else bar.total or None

    def _metric(self, name: str, unit: str) -> tuple[Metric | None, float]:
        if name in _NAMES:
            metric, scale = _NAMES[name]
            return metric, scale * (0.01 if unit == "%" else 1.0)
        if name in _COUNTERS:
            return None, 1.0
        slug = re.sub(r"\W+", "_", name).strip("_")
        if slug not in self._names:
            if len(self._names) >= _MAX_NAMES:
                return None, 1.0
            kind = {"%": "fraction", "GB": "bytes", "MB": "bytes"}.get(unit, "1")
            self._names[slug] = Metric(slug, unit=kind, window=_SHOWN)
        return self._names[slug], {"%": 0.01, "GB": 1e9, "MB": 1e6}.get(unit, 1.0)

    def _flush_held_out(self) -> None:
        if self._held_out is not None:
            (metric, loss, line), self._held_out = self._held_out, None
            self._draws.flush()
            axis = "epoch" if self.by_epoch else "step"
            self.record(max(self._draws.step, 0), ((metric.but(axis=axis), loss),), line._replace(redrawn=False))

    def finish(self) -> tuple[Reading, ...]:
        """Return the readings, with the draws that are still held."""
        self._draws.flush()
        self._flush_held_out()
        return super().finish()

    def finish_run(self, run: Reading) -> Reading:
        """Say how many draws stand behind the points."""
        run = super().finish_run(run)
        loss = run.get("train_loss")
        count = self._draws.redrawn + self._draws.behind
        if loss is None or not count:
            return run
        redrawn = Notice("redrawn", loss.source(0), count, 0, "the last draw of each count was kept")
        return replace(run, notices=(*(n for n in run.notices if n.kind != "redrawn"), redrawn))


class _Silent(LogParser):
    """Nothing else is known of the lines between the bars."""

    def line(self, line: Line) -> bool:
        """Take no line."""
        return False


class BarLog(_Bars, _Silent):
    """Reads the bars of any training loop."""


class NanoGPTBarLog(_Bars, NanoGPTLog):
    """Reads the bars of a nanoGPT fork, with the config it echoes and the figures it prints."""

    def finish_run(self, run: Reading) -> Reading:
        """Leave nanoGPT's word on its MFU out, which a fork may have changed; what it echoed is what it ran with."""
        run = super().finish_run(run)
        settings = {k: v for k, v in run.settings.items() if k != "logged.mfu_peak_flops_per_s"}
        return replace(run, settings=settings, parts=tuple(replace(part, authority=ECHO) for part in run.parts))


def _by_epoch(sample: str) -> bool:
    """Return whether a log has so many epochs that they are the axis."""
    highest = 0
    for text in sample.split("\n")[-4000:]:
        if "|" in text and (found := _EPOCH.search(text[:400])):
            highest = max(highest, int(found[1]), int(found[2] or 0))
    return highest >= _MANY_EPOCHS


def _sniff(file: InputFile) -> float:
    text = file.sample
    if "%|" not in text:
        return 0.0
    drawn = 0
    for line in text.split("\n"):
        if "%|" not in line:
            continue
        for bar in bars_in(line[:4000]):
            drawn += any(name in bar.values for name in _NAMES if _NAMES[name][0] in (_LOSS, _VAL))
        if drawn >= 2:
            break
    if not drawn:
        return 0.0
    return 0.65 if drawn >= 2 else 0.5


def _read(file: InputFile) -> Iterable[Reading]:
    sample = file.sample
    base: type[_Bars] = NanoGPTBarLog if _NANOGPT.search(sample) else BarLog

    def make(name: str) -> _Bars:
        parser = base(name)
        parser.by_epoch = _by_epoch(sample)
        return parser

    return read_log(file, make)


DIALECT = Dialect(
    name="tqdm",
    title="progress bars (tqdm)",
    role="log",
    example="Training:   1%|          | 500/50000 [50:00<82:30:00,  6.00s/it, loss=6.5432, lr=3.00e-04]",
    reads="the loss that a bar shows, by step (or by epoch, where there are many epochs), with whatever else stands in the bar:"
    " learning rate, gradient norm, accuracy, MFU; the iteration time that tqdm averages; planned steps or epochs; of a"
    " nanoGPT fork also the config it echoes. Each step counts once, with its last draw",
    cannot="what a shown loss averages over (the last batch, or the epoch so far), the recipe and the shape, the units of metrics"
    " that are not standard",
    source="tqdm/tqdm tqdm/std.py format_meter",
    sniff=_sniff,
    read=_read,
    missing="a progress bar does not say: add the config or the script's output above the bars",
    tracker=True,
)
