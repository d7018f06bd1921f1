"""The console of the Hugging Face Trainer: rows of its history as Python dicts, between the redraws of its bar.

``{'loss': 2.3456, 'grad_norm': 1.23, 'learning_rate': 4.5e-05, 'epoch': 0.25}`` — the row of ``trainer_state.json``
without its step: the loss is the mean over the steps since the row before. The step is that of the training bar beside
it; where the bar lags behind (or the two were not flushed together) it follows from the epoch and the steps of an epoch;
where nothing tells it, rows are counted instead. Newer versions quote the values. The last row (``train_runtime``) and the
table ``***** train metrics *****`` hold figures of the whole run. In a job of many processes each draws a bar; only one
prints rows. (``ProgressCallback`` in huggingface/transformers ``trainer_callback.py``, ``log_metrics`` in
``trainer_pt_utils.py``.)
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...run import Known, Notice, Series, Source, Unknown, known
from ..columns import Thinned
from ..files import InputFile
from ..hf_keys import ARGUMENTS, SUMMARY, VOCABULARY, arguments_noted, column
from ..log import FLOAT, LogParser, read_log, series_of
from ..meaning import STEP_TIME_S, Metric
from ..megatron_keys import value
from ..patterns import lazy
from ..progress import Bar, bars_in
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import COMMON, canonical

__all__ = ["DIALECT", "HFConsole"]

_ROW = lazy(r"\{'[A-Za-z][^{}\n]{1,4000}\}")
_PAIR = lazy(rf"'([\w/.@ -]{{1,80}})': '?({FLOAT})'?(?=[,}}])")
_BANNER = lazy(r"\*\*\*\*\* Running (\w{1,20}) \*\*\*\*\*")
_FIGURE = lazy(
    r"\b(Num examples|Num Epochs|Instantaneous batch size per device"
    r"|Total train batch size \(w\. parallel, distributed & accumulation\)|Gradient Accumulation steps"
    r"|Total optimization steps|Number of trainable parameters) = ([\d,]{1,26})(?![\d,.])"
)
_TABLE = lazy(r"\*\*\*\*\* (train|eval|test|predict) metrics \*\*\*\*\*")
_CELL = lazy(r"(?:>>|^)\s{1,6}([a-z]\w{1,60})\s{1,60}=\s{1,40}(\S{1,30})\s*$")
_ARGUMENTS = lazy(r"\bTrainingArguments\(")
_ARGUMENT = lazy(r"(?:^|[\s(,])(\w{2,60})=([^,()\n]{0,100}?)(?=,|\)|$)")
_CONFIG = lazy(r"\bModel config \w{1,60} \{\s*$")
_CONFIG_CELL = lazy(r'^ {2}"(\w{2,60})": ([^,\[{]{1,60}),?\s*$')
_OVERRIDES = lazy(r"\bOverriding config: ((?:\w{1,60}=[\w.+-]{1,40},?){1,60})")
_QUICK = lazy(r"\{'|it[/ \]]|s/it|\*\*\*\*\*| = |TrainingArguments|Model config|Overriding config|^\s|^\w+=|^\)")
_FROM_EPOCH = "steps follow from the epoch, to its rounding"
_TABLE_LINES = 40


class HFConsole(LogParser):
    """Reads rows, the training bar, the banner, the arguments and the tables."""

    dialect = "hf_stdout"
    vocabulary = VOCABULARY

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._names: set[str] = set()
        self._rows = self._table_lines = self._put_up = 0
        self._table = ""
        self._in_arguments = self._in_config = self._in_training = self._evaluated = False
        self._last = 0
        self._slack = self._drift = 0.0
        self._shown: dict[str, Any] = {}
        self._banner: dict[str, Known[int]] = {}
        self._total: int | None = None
        self._bar_step: int | None = None
        self._times = Thinned()
        self._high = 0

    def line(self, line: Line) -> bool:
        """Take one line, or one draw of a bar."""
        text = line.text
        if not self._in_arguments and not self._in_config and not _QUICK.search(text):
            return False
        taken = False
        for bar in bars_in(text):
            taken = True
            self._bar(bar, line)
        if "{'" in text:
            for found in _ROW.finditer(text):
                taken |= self._row(found[0], line)
        return taken or self._figure(line)

    # ---- rows and the bar

    def _bar(self, bar: Bar, line: Line) -> None:
        if line.redrawn:
            self.notice("redrawn", line)
        if bar.description and not bar.description.endswith((">>", "]", "Training", "training")):
            return  # tokenizing, downloading, evaluating with a name
        if self._total is None and bar.total and bar.exact:
            self._total = bar.total
            if "Total optimization steps" not in self._banner:
                self.set("recipe.max_steps", bar.total, line)
        if bar.total != self._total:
            return  # the bar of an evaluation
        if bar.is_fresh:
            self._put_up += 1
            if self._put_up == 2 and not self.in_run:
                self.notice("ranks_interleaved", line, "several processes draw the training bar")
        self._bar_step = bar.done
        if bar.done > self._high and bar.seconds_each is not None:
            self._high = bar.done
            self._times.add(bar.done, bar.seconds_each, line.number)

    def _row(self, text: str, line: Line) -> bool:
        found = {name: float(printed.replace(",", "")) for name, printed in _PAIR.findall(text)}
        if "train_runtime" in found and "loss" not in found:  # rows that count tokens have the time so far, too
            self._summary(found, line)
            return True
        if "loss" not in found and not any(n.startswith("eval_") for n in found):
            return False
        self._names.update(list(found)[:100] if len(self._names) < 500 else ())
        step, axis = self._step(found.get("epoch"))
        values: list[tuple[Metric, float]] = []
        for name, plain in found.items():
            metric = column(name, self._names)
            if metric is not None:
                values.append((metric if axis == "step" else metric.but(axis=axis), plain))
        self._rows += 1
        self._last = step if axis == "step" else 0
        self._evaluated |= "eval_loss" in found
        if math.isfinite(found.get("epoch", math.nan)):
            self.set("logged.epochs", found["epoch"], line)
        self.record(step, values, line)
        return True

    def _step(self, epoch: float | None) -> tuple[int, str]:
        """Return the step of a row: the bar's, or what follows from the epoch, or else the number of the row."""
        bar, each = self._bar_step, self._steps_each_epoch()
        if epoch is not None and each is not None and 0 <= epoch * each < 10**12:
            guess = epoch * each
            slack = max(0.51, 0.0051 * each)
            if bar is not None and abs(bar - guess) <= slack:
                return bar, "step"
            if self._total is not None and guess > self._total * (1 + self._drift) + slack:
                return self._rows + 1, "row"  # the data have other epochs than the banner says
            self._slack = slack
            return round(guess), "step"
        if bar is not None:
            return bar, "step"
        return self._rows + 1, "row"

    def _steps_each_epoch(self) -> float | None:
        """Return the optimiser steps of an epoch, from the planned ones, or from the data when those end in mid-epoch."""
        examples, batch = self._banner.get("Num examples"), self._banner.get("total batch")
        epochs = self._banner.get("Num Epochs")
        planned = self._total / epochs.value if epochs is not None and self._total else None
        if examples is None or batch is None:
            return planned
        seen = math.ceil(examples.value / batch.value)
        each = planned if planned is not None and abs(planned - seen) <= 1 else float(seen)
        # until 4.46 the accumulation went on over the end of an epoch, so that an epoch had no whole number of steps
        self._drift = abs(examples.value / batch.value / each - 1) if each else 0.0
        return each

    def _summary(self, found: dict[str, float], line: Line) -> None:
        for name, plain in found.items():
            if name in SUMMARY or name == "train_loss":
                self.note(f"hf.{name}", plain, line)
        if math.isfinite(found.get("epoch", math.nan)):
            self.set("logged.epochs", found["epoch"], line)

    # ---- what stands around them

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _BANNER.search(text):
            self._in_training = found[1].lower() == "training"
            if not self._in_training:
                return True
            if self.in_run:
                self._banner, self._total, self._bar_step, self._rows = {}, None, None, 0
            self.start_run(line)
        elif self._in_training and (found := _FIGURE.search(text)):
            self._banner_figure(found[1], int(found[2].replace(",", "") or 0), line)
        elif found := _TABLE.search(text):
            self._table, self._table_lines = found[1], _TABLE_LINES
        elif self._table_lines and (found := _CELL.search(text)):
            self._table_lines -= 1
            if found[1].startswith((self._table, "total_flos", "perplexity")):
                self._cell(found[1], value(found[2].replace(",", "")), line)
        elif _ARGUMENTS.search(text) or self._in_arguments:
            self._take_arguments(line)
        elif _CONFIG.search(text):
            self._in_config = True
        elif self._in_config:
            self._config_cell(line)
        elif found := _OVERRIDES.search(text):
            self._shape(dict(pair.split("=", 1) for pair in found[1].strip(",").split(",")), line, overrides=True)
        else:
            return False
        return True

    def _cell(self, name: str, plain: Any, line: Line) -> None:
        """Take a figure of a table; an evaluation after training leaves no row when there is no bar to print it beside."""
        self.note(f"hf.{name}", plain, line)
        metric = column("eval_loss")
        if (
            name == "eval_loss"
            and isinstance(plain, float)
            and not self._evaluated
            and self._last
            and metric is not None
        ):
            self._evaluated = True
            self.record(self._last, ((metric, plain),), line)

    def _banner_figure(self, name: str, count: int, line: Line) -> None:
        if not 0 < count < 10**15:
            return
        said = Known(count, self.source(line))
        if name.startswith("Total train batch size"):
            name = "total batch"
        self._banner[name] = said
        if name == "Total optimization steps":
            self._total = count
            self.set("recipe.max_steps", count, line)
        elif name == "Instantaneous batch size per device":
            self.set("recipe.batch_size", count, line)
        elif name == "Number of trainable parameters":
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "trainable", line)
        elif name in ("Num examples", "Num Epochs"):
            self.note("hf." + name.lower().replace(" ", "_"), count, line)
        elif name in ("total batch", "Gradient Accumulation steps"):
            self._ranks(line)

    def _ranks(self, line: Line) -> None:
        """Put what the batch of all processes says about the accumulation over them and their number."""
        batch, total = self._banner.get("Instantaneous batch size per device"), self._banner.get("total batch")
        each = self._banner.get("Gradient Accumulation steps")
        if batch is None or total is None or total.value % batch.value:
            return
        micro_batches = known(total.value // batch.value, "total batch / batch of a device", total, batch)
        self.set("recipe.gradient_accumulation_steps", micro_batches, line)
        if each is not None and not micro_batches.value % each.value:
            count = known(
                micro_batches.value // each.value, "micro-batches / accumulation of each", micro_batches, each
            )
            self.set("machine.gpu_count", count, line)

    def _take_arguments(self, line: Line) -> None:
        text = line.text[:20_000]
        self._in_arguments = not text.rstrip().endswith(")")
        if self._in_arguments and not _ARGUMENTS.search(text) and "=" not in text:
            self._in_arguments = False
        for name, printed in _ARGUMENT.findall(text)[:400]:
            if name in ARGUMENTS and "/" not in printed:
                plain = value(printed.strip().strip("'\""))
                said = Known(plain, Source("read", self.file, line.number, f"{name}={printed.strip()[:80]}"))
                self.set_raw(name, said)
                for key, noted in arguments_noted({name: said}).items():
                    self._pending.noted[key] = noted

    def _config_cell(self, line: Line) -> None:
        if line.text.startswith("}"):
            self._in_config = False
        elif found := _CONFIG_CELL.match(line.text):
            self._shape({found[1]: found[2].strip('"')}, line)

    def _shape(self, said: dict[str, str], line: Line, *, overrides: bool = False) -> None:
        """Take the model's shape: the first that is printed, unless the script overrides it; others may be of other models."""
        values = {name: Known(value(printed), self.source(line)) for name, printed in said.items()}
        settings, problems = canonical(values, COMMON)
        for key, quantity in settings.items():
            # the longest context that the model allows is not the one it was trained with
            if not key.startswith("architecture.") or key == "architecture.context" or not isinstance(quantity, Known):
                continue
            if overrides:
                self._shown[key] = None
                self.set(key, quantity, line)
            elif key not in self._shown:
                self._shown[key] = quantity.value
                self.set(key, quantity, line)
            elif self._shown[key] not in (None, quantity.value):
                self.set(key, Unknown("the log prints the configs of several models"), line)
        for problem in problems[:5]:
            self.problem(problem)

    # ---- the whole

    def finish_run(self, run: Reading) -> Reading:
        """Count rows where the bar tells nothing; say it where no loss was ever logged."""
        run = _by_row(run) if _is_stuck(run) else _on_grid(run, self._slack, self._drift) if self._slack else run
        if run.get("train_loss") is not None or run.get("val_loss") is not None:
            return run
        series = run.series
        if self._times.count and not series:
            series = (series_of(STEP_TIME_S.but(window="tqdm's running average"), self.file, self._times),)
        if not (series or run.settings or run.raw or run.noted):
            return run
        place = series[0].source(0) if series else Source("read", self.file, 1)
        why = "no row holds a loss: fewer steps than logging_steps (500 by default), or the rows went elsewhere"
        return replace(run, series=series, notices=(*run.notices, Notice("no_loss_logged", place, 1, 0, why)))


def _is_stuck(run: Reading) -> bool:
    """Return whether most rows stand at one step: the console's two streams were not written together."""
    loss = run.get("train_loss")
    return loss is not None and loss.axis == "step" and len(loss) >= 4 and len(set(loss.steps)) < 0.5 * len(loss)


def _on_grid(run: Reading, slack: float, drift: float = 0.0) -> Reading:
    """Put rows of training, whose steps are known to a rounding only, on multiples of one interval when all fit.

    The Trainer logs every ``logging_steps`` steps. Of several intervals that fit, the roundest is taken. The steps of an
    epoch are known to a share ``drift``.
    """
    loss = run.get("train_loss")
    if loss is None or loss.axis != "step" or len(loss) < 2 or loss.stride != 1:
        return run
    slack += 0.5  # the guesses were rounded
    low = max((step * (1 - drift) - slack) / index for index, step in enumerate(loss.steps, 1))
    high = min((step * (1 + drift) + slack) / index for index, step in enumerate(loss.steps, 1))
    fits = range(max(math.ceil(low), 1), min(math.floor(high), math.ceil(low) + 1000) + 1)
    if not fits:
        return replace(run, series=tuple(replace(s, convention=_with(s.convention)) for s in run.series))
    every = max(fits, key=lambda k: next(unit for unit in (1000, 500, 100, 50, 25, 10, 5, 2, 1) if not k % unit))
    steps = {line: index * every for index, line in enumerate(loss.lines, 1)}

    def placed(series: Series) -> Series:
        moved = array("q", [steps.get(line, step) for line, step in zip(series.lines, series.steps, strict=True)])
        return replace(series, steps=moved, convention=_with(series.convention))

    return replace(run, series=tuple(placed(s) for s in run.series))


def _with(convention: str) -> str:
    return f"{convention}; {_FROM_EPOCH}" if convention else _FROM_EPOCH


def _by_row(run: Reading) -> Reading:
    rows = {line: index for index, line in enumerate(sorted({n for s in run.series for n in s.lines}), 1)}

    def counted(series: Series) -> Series:
        return replace(series, steps=array("q", [rows[n] for n in series.lines]), axis="row")

    return replace(run, series=tuple(counted(s) for s in run.series))


def _sniff(file: InputFile) -> float:
    if file.suffix in (".json", ".jsonl", ".csv", ".tsv", ".py", ".yaml", ".yml"):
        return 0.0
    text = file.sample
    rows = 0
    for _found in re.finditer(r"\{'[^{}\n]{0,200}'(?:loss|eval_loss)': '?-?[\dni][^{}\n]{1,2000}'epoch': ", text):
        rows += 1
        if rows >= 10 or file.suffix not in (".md", ".markdown", ".rst", ".html"):
            return 0.9
    if rows:
        return 0.4
    if "***** Running training *****" in text and "Total optimization steps = " in text:
        return 0.85
    return 0.7 if "'train_runtime': " in text else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, HFConsole)


DIALECT = Dialect(
    name="hf_stdout",
    title="Hugging Face Trainer, console",
    role="log",
    example="{'loss': 2.3456, 'grad_norm': 1.234567, 'learning_rate': 4.5e-05, 'epoch': 0.25}",
    reads="train loss (mean over the steps since the row before), validation loss and other metrics of evaluations, learning"
    " rate, gradient norm; the step from the training bar beside a row or from its epoch; the banner (batch, accumulation"
    " over all processes, planned steps, trainable parameters), TrainingArguments, the model's shape where it is printed,"
    " and the figures of the whole run (train_runtime, train_loss as its mean)",
    cannot="the step of a row where there is neither a bar nor a banner (rows are counted then); the sequence length; losses"
    " before the first logging step; NaN losses, which the Trainer replaces unless told not to",
    source="huggingface/transformers src/transformers/trainer_callback.py, trainer.py and trainer_pt_utils.py",
    sniff=_sniff,
    read=_read,
    missing="the console does not print it: add trainer_state.json or the training arguments",
)
