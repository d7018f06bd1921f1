"""The table that the Hugging Face Trainer shows in a notebook, and the banner that Unsloth prints above it.

``Step | Training Loss`` — without evaluations a row is a row of the trainer's history: the mean over the steps since the
row before. With evaluations there is a row for each of them, by step or by epoch: its training loss is the last that was
logged before, ``No log`` where there was none, and capitalised columns are the evaluation's. The bar above the table
(``[1095/1095 17:51, Epoch 4/5]``) has the planned steps. (``NotebookProgressCallback`` in huggingface/transformers
``src/transformers/utils/notebook.py``; TRL and Unsloth add columns of the trainer's history in lower case.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ...run import Known, Source, known
from ..files import InputFile
from ..hf_keys import column
from ..log import FLOAT, LogParser, read_log
from ..meaning import Metric
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "NotebookTable"]

_HEAD = lazy(r"^(Step|Epoch) \| (?:[^|\n]{1,80} \| ){0,100}?Training Loss(?: \| [^|\n]{1,80}){0,100}$")
_CELL = lazy(rf"^(?:{FLOAT})$")
_BAR = lazy(r"^\[ {0,8}(\d{1,12})/(\d{1,12}) .{1,60}, Epoch [\d.]{1,12}/(\d{1,12})\]$")
_BANNER = lazy(
    r"\b(Num examples|Num Epochs|Total steps|Batch size per device|Gradient [Aa]ccumulation steps|Data Parallel GPUs"
    r"|Total batch size(?: \([\d x]{1,40}\))?|(?:Number of t|T)rainable parameters) = ([\d,]{1,20})(?![\d.])"
)
_OUTPUT = lazy(rf"^TrainOutput\(global_step=(\d{{1,15}}), training_loss=({FLOAT}), ")
_LAST_LOGGED = "mean over logging_steps steps, the last that were logged before the evaluation"
_SHOWN = lazy(r"^Step \| Training Loss|^Epoch \| Training Loss", re.MULTILINE)
_MAX_ROW_CHARS = 20_000


class NotebookTable(LogParser):
    """Reads tables, each of which is a training; what is said before one belongs to it."""

    dialect = "hf_notebook"
    authority = FRAMEWORK - 1  # trainer_state.json holds the same rows in full

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._metrics: list[Metric | None] = []
        self._axis = "step"
        self._said: dict[str, Known[int]] = {}

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if " | " in text and len(text) < _MAX_ROW_CHARS:
            if text.startswith(("Step", "Epoch")) and _HEAD.match(text):
                self._head(text.split(" | "), line)
                return True
            if text[:1].isdigit() and self._row(text.split(" | "), line):
                return True
        if " = " in text:
            found = _BANNER.findall(text)
            for name, printed in found:
                self._banner(name, int(printed.replace(",", "") or 0), line)
            return bool(found)
        return self._figure(line)

    def _head(self, cells: list[str], line: Line) -> None:
        self.start_run(line)
        self._axis = cells[0].lower()
        evaluates = "Validation Loss" in cells
        names = [_name(cell) for cell in cells[1:]]
        self._metrics = []
        for name in names:
            metric = column(name, names)
            if metric is not None and evaluates and name == "loss":
                metric = metric.but(window=_LAST_LOGGED)
            self._metrics.append(metric if metric is None or self._axis == "step" else metric.but(axis="epoch"))

    def _row(self, cells: list[str], line: Line) -> bool:
        if not self._metrics or len(cells) != len(self._metrics) + 1 or not cells[0].isdecimal() or len(cells[0]) > 15:
            return False
        values = [
            (metric, float(cell.replace(",", "")))
            for metric, cell in zip(self._metrics, cells[1:], strict=True)
            if metric is not None and _CELL.match(cell)
        ]
        self.record(int(cells[0]), values, line)
        return True

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _BAR.match(text):
            self.set("recipe.max_steps", int(found[2]), line)
            self.note("hf.num_train_epochs", int(found[3]), line)
        elif found := _OUTPUT.match(text):
            self.note("hf.global_step", int(found[1]), line, now=True)
            self.note("hf.train_loss", float(found[2].replace(",", "")), line, now=True)
        else:
            return False
        return True

    def _banner(self, name: str, count: int, line: Line) -> None:
        """Take a figure of Unsloth's banner; the accumulation counts micro-batches over all processes."""
        if not 0 < count < 10**15:
            return
        said = Known(count, self.source(line))
        if name == "Num examples":
            self._said = {}
        if name == "Total steps":
            self.set("recipe.max_steps", count, line)
        elif name == "Batch size per device":
            self._said["batch"] = said
            self.set("recipe.batch_size", count, line)
        elif name == "Data Parallel GPUs":
            self.set("machine.gpu_count", count, line)
        elif name.endswith("rainable parameters"):
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "trainable", line)
        elif name.startswith("Total batch size") and (batch := self._said.get("batch")) is not None:
            if count % batch.value == 0:
                whole = known(count // batch.value, "total batch / batch of a device", said, batch)
                self.set("recipe.gradient_accumulation_steps", whole, line)
        elif name.startswith("Num "):
            self.note("hf." + name.lower().replace(" ", "_"), count, line)

    def finish_run(self, run: Reading) -> Reading:
        """Add the interval of rows, which tells that a run is over whose last steps fill no interval."""
        loss = run.get("train_loss")
        if loss is None or loss.axis != "step" or loss.window == _LAST_LOGGED or len(loss) < 2:
            return run
        every = loss.steps[0]
        if loss.stride != 1 or every <= 0 or any(step != every * i for i, step in enumerate(loss.steps, 1)):
            return run
        interval = Known(
            every, Source("derived", formula="steps between rows", inputs=(loss.source(0), loss.source(1)))
        )
        return replace(run, settings={**run.settings, "recipe.log_interval": interval})


def _name(cell: str) -> str:
    """Return the name that a column has in the trainer's history.

    Examples
    --------
    >>> _name("Training Loss"), _name("Validation Loss"), _name("Rouge1"), _name("completions / mean_length")
    ('loss', 'eval_loss', 'eval_rouge1', 'completions/mean_length')
    """
    if cell == "Training Loss":
        return "loss"
    if cell == "Validation Loss":
        return "eval_loss"
    if cell[:1].isupper():
        return "eval_" + re.sub(r"\W+", "_", cell.lower())
    return cell.replace(" / ", "/")


def _sniff(file: InputFile) -> float:
    return 0.95 if file.is_notebook and _SHOWN.search(file.sample) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, NotebookTable)


DIALECT = Dialect(
    name="hf_notebook",
    title="Hugging Face Trainer, notebook",
    role="log",
    example="Step | Training Loss | Validation Loss\n100 | 2.103400 | 1.987654",
    reads="the table of progress that a notebook shows: train loss, validation loss and other metrics of evaluations by step,"
    " or by epoch where the table counts epochs; the planned steps of the bar above it; Unsloth's banner (batch,"
    " accumulation over all processes, trainable parameters); each table is a run",
    cannot="the learning rate, the gradient norm, step times and the model: add trainer_state.json. Where there are"
    " evaluations, only the last train loss before each is in the table",
    source="huggingface/transformers src/transformers/utils/notebook.py",
    sniff=_sniff,
    read=_read,
    missing="the notebook's table does not say it: add trainer_state.json or the training arguments",
)
