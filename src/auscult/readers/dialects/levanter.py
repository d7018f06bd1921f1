"""The text that Levanter prints: the bar ``train`` with the loss behind it, and evaluations in its log lines.

Every process of a JAX job draws its own bar, and a launcher puts all of them into one file, with carriage returns and
cursor movements. The loss is the same for all (the mean over the global batch), so the last draw of each step counts; a
draw shows three significant digits. The bar's counter is the number of steps done. An evaluation is logged by each
process: ``TIME - PROCESS - levanter.callbacks - … :: validation loss: F``; the first of each counts.
(``pbar_logger``, ``compute_validation_loss`` in stanford-crfm/levanter ``src/levanter/callbacks`` at 249b62e,
``cb_tagged_lm_evaluate`` in ``eval.py`` at 05b4318.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ...run import Notice, Source
from ..files import InputFile
from ..log import FLOAT, LogParser, read_log
from ..meaning import STEP_TIME_S, TRAIN_LOSS, VAL_BPB, VAL_LOSS, Metric
from ..patterns import lazy
from ..progress import Bar, LastDraw, bars_in
from ..reading import Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "LevanterLog"]

_STAMP = lazy(r"\d{4}-\d{2}-\d{2}[T ][\d:.,]{5,20} - (\d{1,6}) - ")
_EVALUATED = lazy(rf"(?:INFO :: |^)((?:[\w./-]{{1,80}} )?)(validation|eval|macro|micro)? ?(loss|bpb): ({FLOAT})\s*$")
_RUN = lazy(r"Setting run id to ([\w-]{1,64})")
_DEVICES = lazy(r"Initialized jax\.distributed with (\d{1,9}) devices, (\d{1,9}) processes")
_PRETRAINED = lazy(r"Initializing model from HF checkpoint '([\w.-]{1,96}(?:/[\w.-]{1,96})?)'")
_QUICK = lazy(r"it[/ \]]|s/it|loss|bpb|run id|jax\.distributed|HF checkpoint")
_LOSS = TRAIN_LOSS.but(
    window="the step, mean over the global batch", scope="global", convention="printed with three significant digits"
)
_VAL = VAL_LOSS.but(window="mean over the validation set", scope="global", convention="printed with three decimals")
_BPB = VAL_BPB.but(window="mean over the validation set", scope="global")
_TIME = STEP_TIME_S.but(window="tqdm's running average")
_MAX_SETS = 40


class LevanterLog(LogParser):
    """Reads Levanter's bars and evaluations, of one process or of many at once."""

    dialect = "levanter"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._draws = LastDraw(self.record)
        self._processes: set[str] = set()
        self._evaluated: dict[str, set[str]] = {}
        self._sets: dict[str, Metric] = {}
        self._total = 0
        self._run_id: str | None = None
        self._seen: tuple[Source, int] | None = None

    def line(self, line: Line) -> bool:
        """Take one line, or one draw of a bar."""
        text = line.text
        if not _QUICK.search(text):
            return False
        for bar in bars_in(text):
            if bar.description.rpartition(" ")[2] in ("train", "training") or bar.description.endswith("train"):
                self._bar(bar, line)
        if (stamp := _STAMP.search(text)) is not None and (found := _EVALUATED.search(text)):
            self._evaluation(stamp[1], found, line)
        elif found := _RUN.search(text):
            self._run_id = found[1]
        elif found := _DEVICES.search(text):
            if 0 < int(found[1]) <= 10**6:
                self.set("machine.gpu_count", int(found[1]), line)
            self.note("levanter.processes", int(found[2]), line)
        elif found := _PRETRAINED.search(text):
            self.set("recipe.init_from", found[1], line)
        else:
            return False
        return True

    def _bar(self, bar: Bar, line: Line) -> None:
        if bar.is_fresh:
            self._draws.fresh(bar.done)
        if bar.total and bar.total != self._total and bar.total < 10**9 and bar.exact:
            self._total = bar.total
            self.set("recipe.max_steps", bar.total, line)
        if not bar.exact:
            self.notice("steps_rounded", line, "the counter is printed as 1.50k")
        values: dict[Metric, float] = {}
        if "loss" in bar.values:
            values[_LOSS] = bar.values["loss"][0]
            if bar.seconds_each is not None:
                values[_TIME] = bar.seconds_each
        self._draws.take(bar.done, values, line)

    def _evaluation(self, process: str, found: re.Match[str], line: Line) -> None:
        if process not in self._processes and len(self._processes) < 10_000:
            self._processes.add(process)
            if len(self._processes) == 2:
                self.notice(
                    "ranks_interleaved", line, "several processes write into this file; the loss is the same for all"
                )
        which = f"{found[1].strip()} {found[2] or ''} {found[3]}".strip()
        spoke = self._evaluated.setdefault(which, set())
        if spoke and process not in spoke:
            spoke.add(process)  # another process on the same evaluation
            return
        spoke.clear()
        spoke.add(process)
        self._draws.flush()
        self.record(max(self._draws.step, 0), ((self._set(found), float(found[4])),), line)

    def _set(self, found: re.Match[str]) -> Metric:
        """Return the meaning of an evaluation: of the whole validation set, or of a part of it by its name."""
        whole = not found[1].strip() or found[1].strip() in ("eval", "validation")
        if whole and found[2] in (None, "validation", "eval"):
            return _VAL if found[3] == "loss" else _BPB
        name = re.sub(
            r"\W+", "_", "_".join(part.strip() for part in (found[1], found[2] or "", found[3]) if part.strip())
        )
        if name not in self._sets and len(self._sets) < _MAX_SETS:
            base = _VAL if found[3] == "loss" else _BPB
            self._sets[name] = base.but(name=f"val_{name}", window="mean over this part of the validation set")
        return self._sets.get(name, _VAL.but(name="val_other_loss"))

    def finish(self) -> tuple[Reading, ...]:
        """Return the readings, with how many draws stand behind them."""
        self._draws.flush()
        return super().finish()

    def finish_run(self, run: Reading) -> Reading:
        """Say that bars were redrawn, and give the run the identity that Levanter gave it."""
        loss = run.get("train_loss")
        notices = run.notices
        if loss is not None and (self._draws.redrawn or self._draws.behind):
            count = self._draws.redrawn + self._draws.behind
            why = "the last draw of each step was kept"
            notices = (*(n for n in notices if n.kind != "redrawn"), Notice("redrawn", loss.source(0), count, 0, why))
        return replace(run, notices=notices, run_id=self._run_id)


def _sniff(file: InputFile) -> float:
    text = file.sample
    if re.search(r"levanter\.(?:callbacks|trainer|eval|logging|distributed|tracker|checkpoint|data)\b", text):
        has_records = (
            re.search(r"train: {1,4}\d{1,3}%\|", text) or "Progress on:train" in text or "validation loss:" in text
        )
        return 0.95 if has_records else 0.5
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, LevanterLog)


DIALECT = Dialect(
    name="levanter",
    title="Levanter",
    role="log",
    example="train:   0%|          | 400/10000 [00:53<21:20,  7.50it/s, loss=4.56]\n"
    "2026-01-02T03:04:05 - 4 - levanter.callbacks - callbacks.py:69 - INFO :: validation loss: 4.321",
    reads="train loss of each step (the last draw of its bar, three significant digits, mean over the global batch), validation"
    " loss and bits per byte of each evaluation, also by part of the validation set, iteration time as tqdm averages it,"
    " planned steps, devices, the run's id; the bars of several processes are put together",
    cannot="the shape and recipe (they are in the job's YAML and in W&B), the learning rate and gradient norm (W&B only), losses to"
    " more than three digits",
    source="stanford-crfm/levanter src/levanter/callbacks at 249b62e and src/levanter/eval.py at 05b4318",
    sniff=_sniff,
    read=_read,
    missing="Levanter's console does not print it: add the job's YAML config",
)
