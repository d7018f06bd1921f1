"""The ``metrics.csv`` that litgpt writes through Lightning Fabric's CSVLogger: throughput rows, loss rows, validation rows.

Fabric's CSVLogger writes the number that ``log_dict(..., step=…)`` was given over the metric ``step``: what stands there is
litgpt's *iteration* — one micro-batch on each device — and not its optimiser step, whatever the column is called (pretrain
writes it from 0). ``loss`` is a running mean over the iterations of one optimiser step, of one process. In fine-tuning
scripts the throughput is a row of its own and the final validation is logged without a step, which Fabric writes as 0.
(litgpt pretrain.py, finetune/lora.py, finetune/full.py; lightning.fabric loggers/csv_logs.py and utilities/throughput.py.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...errors import NotText
from ...run import Known, Notice, Source
from ..files import InputFile
from ..meaning import LEARNING_RATE, MFU, TFLOPS, TOKENS_PER_S, TOKENS_SEEN, TRAIN_LOSS, VAL_LOSS, Metric
from ..metric_names import Meant
from ..reading import Dialect, Reading
from ..table import Layout, Table, number_of
from ..text import Line
from .csv import read_sheet, sheet_of

__all__ = ["DIALECT"]

_ITERATIONS = "the step counts litgpt's iterations: one micro-batch on each device"
_MEANT: Mapping[str, Meant] = {
    "loss": Meant(
        TRAIN_LOSS.but(
            window="running mean over the iterations of one optimiser step", scope="rank", convention=_ITERATIONS
        )
    ),
    "val_loss": Meant(VAL_LOSS.but(window="mean over at most eval.max_iters batches", convention=_ITERATIONS)),
    "learning_rate": Meant(LEARNING_RATE.but(window="after the iteration", convention=_ITERATIONS)),
    "iter_time": Meant(Metric("iter_time_s", unit="s", window="one iteration (a micro-batch)", scope="rank")),
    "total_tokens": Meant(TOKENS_SEEN.but(scope="global")),
    "val_ppl": Meant(Metric("val_ppl", "val", "eval", window="exp of the validation loss")),
    "time": Meant(Metric("elapsed_s", unit="s", window="since training began")),
    "remaining_time": Meant(Metric("remaining_s", unit="s", window="as estimated")),
    "items_per_sec": Meant(
        TOKENS_PER_S.but(window="the last iterations", scope="global", convention="padding included")
    ),
    "device/items_per_sec": Meant(
        TOKENS_PER_S.but(
            name="tokens_per_s_per_gpu", window="the last iterations", scope="rank", convention="padding included"
        )
    ),
    "device/flops_per_sec": Meant(TFLOPS.but(window="the last iterations"), 1e-12),
    "device/mfu": Meant(
        MFU.but(window="the last iterations", scope="rank", convention="of the peak that Lightning lists")
    ),
}
_TOO_HIGH = "Lightning's figure: samples per second × tokens per batch, too high by the micro-batch size"
_FINAL = "the final validation is written with step 0 (no step was given): it belongs to the end of the run"


class LitgptTable(Table):
    """Rows of litgpt's ``metrics.csv``."""

    dialect = "litgpt_csv"
    by_block = False
    samples_of_batch = 1.0

    def take(self, row: Mapping[str, Any], number: int, *, decimal_comma: bool = False, text: str = "") -> bool:
        """Take a row; a final validation without a step must not look like the start of another run."""
        samples, batches = number_of(row.get("samples")), number_of(row.get("batches"))
        if samples and batches:
            self.samples_of_batch = max(self.samples_of_batch, samples / batches)
        if self._is_final(row):
            value = number_of(row.get("val_loss"))
            if value is not None:
                metric = self._metric("val_loss", _MEANT["val_loss"], "", False)
                points = self._run.points.get(metric)
                if points is not None or self._run.records:
                    if points is None:
                        self._run.points[metric] = points = _new_points(self)
                    points.add(0, value, number)
                    self.notice("final_validation_at_step_0", Line(number, ""), _FINAL)
                    return True
        return super().take(row, number, decimal_comma=decimal_comma, text=text)

    def _is_final(self, row: Mapping[str, Any]) -> bool:
        return row.get("step") in ("0", 0) and bool(row.get("val_loss")) and not row.get("loss") and self._run.last > 1

    def finish_run(self, run: Reading) -> Reading:
        """Add what follows from the columns: a device's throughput is everybody's where there is one device."""
        run = super().finish_run(run)
        first = Source("read", run.file, 1)
        notices = (*run.notices, Notice("steps_are_iterations", first, 1, 0, _ITERATIONS))
        settings = {k: v for k, v in run.settings.items() if k != "logged.tokens_per_step"}
        device, series = run.get("tokens_per_s_per_gpu"), run.series
        if device is not None and self.samples_of_batch > 1:  # Lightning multiplies by the samples of a batch once more
            own = replace(device, name="device/items_per_sec", unit="1", convention=_TOO_HIGH)
            series = tuple(own if s is device else s for s in series)
        elif device is not None and run.get("tokens_per_s") is None:
            one = Source(
                "derived",
                formula="Lightning adds global throughput columns when there are several devices",
                inputs=(first,),
            )
            settings["recipe.world_size"] = Known(1, one)
            series = (*series, replace(device, name="tokens_per_s", scope="global"))
        seen = run.get("tokens_seen")
        if seen is not None and len(seen):
            settings["logged.tokens_seen"] = Known(int(seen.values[-1]), seen.source(len(seen) - 1))
        return replace(run, notices=notices, settings=settings, series=series)


def _new_points(table: Table) -> Any:
    from ..columns import Thinned

    return Thinned(table.limit)


def _layout(names: Sequence[str]) -> Layout | None:
    have = set(names)
    if not ({"iter", "iter_time", "loss"} <= have and have & {"tokens", "total_tokens", "batches"}):
        return None
    step = "step" if "step" in have else "iter"
    metrics = {name: _MEANT[name] for name in names if name in _MEANT}
    return Layout(step, epoch="epoch" if "epoch" in have else None, metrics=metrics, in_train_mode=True)


def _sniff(file: InputFile) -> float:
    if file.suffix != ".csv" or file.is_binary:
        return 0.0
    first = file.sample[:65_536].lstrip("\ufeff").split("\n", 1)[0]
    return 0.97 if _layout(re.split(r",", first.strip())) is not None else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    file.check()
    sheet = sheet_of(file)
    layout = _layout(sheet.names) if sheet is not None else None
    if sheet is None or layout is None:
        raise NotText(
            "no metrics of litgpt are recognised in it",
            where=file.name,
            expected="a header with `iter`, `iter_time`, `loss` and `total_tokens`",
            hint="give the metrics.csv below out_dir/logs/csv, or say --dialect csv",
        )
    return read_sheet(file, sheet, layout, LitgptTable)


DIALECT = Dialect(
    name="litgpt_csv",
    title="litgpt's CSV log",
    role="metrics",
    example="epoch,iter,iter_time,learning_rate,loss,step,tokens,total_tokens,val_loss\n0,1,0.35,0.0,10.91,1,256,256,",
    reads="training loss (running mean over the micro-batches of one optimiser step, one process), validation loss, the learning"
    " rate that was in force (the configured `min_lr` may not be), tokens seen by all devices, throughput, epochs",
    cannot="the optimiser's steps: the CSV logger writes iterations into `step`, one micro-batch on each device, so that"
    " gradient accumulation must be divided out; the final validation stands at step 0 and belongs to the end",
    source="Lightning-AI/litgpt pretrain.py and finetune/*.py at 2685705, Lightning Fabric's CSVLogger and Throughput",
    sniff=_sniff,
    read=_read,
)
