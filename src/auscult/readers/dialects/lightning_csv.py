"""The ``metrics.csv`` of Lightning's CSVLogger: one row for each call of ``log``, the columns the union of all keys.

A metric that is logged on steps and on epochs has two columns, ``x_step`` and ``x_epoch``; the row of the training step,
that of the validation and that of the epoch's mean are rows of their own. ``step`` is the optimiser's step counted from 0
(the first row stands at 49 where every 50th is logged), ``epoch`` counts from 0 too. A restart makes a new ``version_N``;
a resumed run goes on counting there. (lightning.fabric.loggers.csv_logs and trainer/connectors/logger_connector.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..files import InputFile
from ..meaning import LEARNING_RATE, TRAIN_LOSS, VAL_LOSS, Metric
from ..metric_names import MAX_NAME, Meant, meant, unique, words
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..table import MAX_COLUMNS, Layout, Table
from .csv import read_sheet, sheet_of

__all__ = ["DIALECT"]

_FROM_ZERO = "the step counts from 0"
_STEP = TRAIN_LOSS.but(window="the batch of the step, every log_every_n_steps", convention=_FROM_ZERO)
_EPOCH_MEAN = TRAIN_LOSS.but(name="train_loss_epoch", window="mean over the epoch: lags", convention=_FROM_ZERO)
_VAL = VAL_LOSS.but(window="mean over the validation batches", convention=_FROM_ZERO)
_LR = LEARNING_RATE.but(window="the step", convention=_FROM_ZERO)
_VERSION = lazy(r"(?:^|/)(?:version_\d{1,9}|lightning_logs)(?:/|$)")
_LOADER = lazy(r"/dataloader_idx_0$")
_VAL_WORDS = frozenset({"val", "valid", "validation", "eval"})


class LightningTable(Table):
    """Rows of a ``metrics.csv``."""

    dialect = "lightning_csv"


def _columns(names: Sequence[str]) -> dict[str, Meant]:
    """Return what the columns mean by Lightning's suffixes."""
    found: dict[str, Meant] = {}
    taken: set[str] = set()
    for name in names:
        bare = _LOADER.sub("", name)
        stem, _, kind = bare.rpartition("_")
        base = meant(stem) if kind in ("step", "epoch") else meant(bare)
        metric: Metric | None = None
        if base is not None and base.metric.name in ("train_loss", "train_loss_epoch"):
            metric = _EPOCH_MEAN if kind == "epoch" else _STEP
        elif base is not None and base.metric.name == "val_loss" and kind != "step":
            metric = _VAL
        elif bare == "lr" or re.match(r"lr-\w{1,40}(?:/pg1)?$", bare):
            metric = _LR
        elif base is not None and kind not in ("step", "epoch"):
            metric = base.metric.but(convention=_FROM_ZERO)
        if metric is not None and metric.name not in taken:
            taken.add(metric.name)
            found[name] = Meant(metric, base.scale if base is not None else 1.0)
    for name, own in unique(n for n in names if n not in found).items():
        split = "val" if set(words(name)) & _VAL_WORDS else "train" if "train" in words(name) else "-"
        found[name] = Meant(
            Metric(
                name.strip()[:MAX_NAME],
                split,
                window="the epoch" if name.endswith("_epoch") else "not said",
                unit=own.metric.unit,
                convention=_FROM_ZERO,
            ),
            own.scale,
        )
    return found


def _layout(names: Sequence[str]) -> Layout | None:
    if "step" not in names or "epoch" not in names:
        return None
    rest = [n for n in names if n not in ("step", "epoch")][:MAX_COLUMNS]
    layout = Layout("step", epoch="epoch", metrics=_columns(rest), in_train_mode=True)
    return layout if layout.has_loss else None


def _sniff(file: InputFile) -> float:
    if file.suffix != ".csv" or file.is_binary:
        return 0.0
    first = file.sample[:65_536].lstrip("\ufeff").split("\n", 1)[0]
    names = [name.strip().strip('"') for name in first.split(",")]
    if _layout(names) is None or {"iter_time", "iter"} & set(names):
        return 0.0
    suffixed = any(name.endswith("_step") for name in names) or any(name.endswith("_epoch") for name in names)
    if file.base == "metrics.csv" and (suffixed or _VERSION.search(file.folder) or _has_hparams(file)):
        return 0.95
    return (
        0.7 if any(name.endswith("_step") for name in names) and any(name.endswith("_epoch") for name in names) else 0.0
    )


def _has_hparams(file: InputFile) -> bool:
    try:
        return file.path is not None and (file.path.parent / "hparams.yaml").is_file()
    except (OSError, ValueError):
        return False


def _read(file: InputFile) -> Iterable[Reading]:
    file.check()
    sheet = sheet_of(file)
    layout = _layout(sheet.names) if sheet is not None else None
    if sheet is None or layout is None:
        from .csv import DIALECT as CSV

        return [replace(r, dialect=DIALECT.name) for r in CSV.read(file)]
    return read_sheet(file, sheet, layout, LightningTable)


DIALECT = Dialect(
    name="lightning_csv",
    title="Lightning CSVLogger",
    role="metrics",
    example="epoch,step,train_loss_epoch,train_loss_step,val_loss\n0,49,,7.6291,\n0,14073,,,4.1338\n0,14073,4.7781,,",
    reads="the training loss of single steps, its mean over the epoch as a series of its own (`train_loss_epoch`: it lags, so"
    " that a validation loss below it is no surprise), validation losses, the learning rate of a LearningRateMonitor, and every"
    " other column under its own name; steps counted from 0; how many epochs were seen",
    cannot="whether a value is of one process or of all (`sync_dist`), and the gradient accumulation: `step` counts the"
    " optimiser's steps",
    source="Lightning-AI/pytorch-lightning, fabric/loggers/csv_logs.py and the logger connector",
    sniff=_sniff,
    read=_read,
)
