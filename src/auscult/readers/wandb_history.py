"""The rows that a run logged to W&B, as series: which of its columns counts the steps, and what the others mean.

W&B's own ``_step`` counts calls of ``wandb.log`` unless the script sets it, so the trainer's counter is looked for first:
nanoGPT logs ``iter``, and only at evaluations; the Hugging Face trainer ``train/global_step``, the last of which it repeats
in the row that sums the run up; Lightning ``trainer/global_step``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..run import Known, Notice, Quantity, Seam, Series, Source
from .columns import LIMIT, Thinned
from .dialects.nanogpt import A100_PEAK_FLOPS_PER_S
from .hf_keys import SUMMARY, column, sequences_per_step, state_key
from .hf_keys import VOCABULARY as HF_VOCABULARY
from .log import series_of
from .meaning import LEARNING_RATE, MFU, TRAIN_LOSS, TRAIN_LOSS_EVAL, VAL_LOSS, Metric
from .metric_names import EPOCH, MAX_NAME, STEP_NAMES, Meant, is_step, unique, words
from .table import LOSSES, tidy_up

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["LAST", "Columns", "History", "read_history"]

Columns = Mapping[str, tuple[Sequence[int], Sequence[float]]]
"""For every key, the rows where it has a number, and these numbers."""

LAST = "the last value that was logged"
_MAX_STEP = 2**62
_MAX_COLUMNS = 2_000
_MAX_OWN_NAMES = 60
_POINTS_IN_ALL = 64 * LIMIT
_FEWEST_POINTS = 1_024
_MAX_SEAMS = 1_000
_BACK_AND_FORTH = 0.02
_OWN_STEP = "_step"
_COUNTERS = STEP_NAMES[: STEP_NAMES.index(_OWN_STEP)]
_EPOCHS = frozenset({"epoch", "epochs", "train/epoch", "train_epoch", "train/epochs", "trainer/epoch"})
_NO_NAMES = frozenset({"user", "email", "host", "hostname", "username"})
_NO_MFU_YET = (-100.0, -1.0)

_SHARE = "a share in units of 312 TFLOP/s (A100 bf16)"
_BATCHES = "mean of eval_iters random batches, dropout off"
_NANOGPT: dict[str, Meant] = {
    "train/loss": Meant(TRAIN_LOSS_EVAL.but(window=_BATCHES, scope="rank")),
    "val/loss": Meant(VAL_LOSS.but(window=_BATCHES, scope="rank")),
    "lr": Meant(LEARNING_RATE.but(mode="train", window="the step's learning rate")),
    "mfu": Meant(
        MFU.but(mode="train", window="running average over logged iterations", scope="rank", convention=_SHARE), 0.01
    ),
}
_ALONE = TRAIN_LOSS.but(mode="unknown", window="not said", scope="rank")
_TRAIN_KEYS, _EVAL_KEYS = "train/", ("eval/", "test/", "predict/")
_TRACKER_STEP = "the rows log no step of the trainer's: W&B's _step counts calls of wandb.log"
_SET_STEP = "W&B's _step, which the script sets"
_FROM_ZERO = "the step counts from 0"


@dataclass(slots=True)
class History:
    """The series of a run's rows, and what follows from them, in the shape of a reading's fields."""

    series: tuple[Series, ...] = ()
    settings: dict[str, Quantity[Any]] = field(default_factory=dict)
    raw: dict[str, Quantity[Any]] = field(default_factory=dict)
    vocabulary: str = ""
    notices: list[Notice] = field(default_factory=list)
    seams: tuple[Seam, ...] = ()
    noted: dict[str, Known[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class _Steps:
    """For each row its step, what the steps count, and what one must know of them."""

    of_row: Ints
    axis: str
    convention: str = ""


def read_history(columns: Columns, own_steps: Sequence[int], file: str, *, last_only: bool = False) -> History:
    """Return the series of a run's rows.

    Parameters
    ----------
    columns : mapping
        What was logged.
    own_steps : sequence of int
        W&B's ``_step`` of each row.
    file : str
        Where it was read; a point's line is its row.
    last_only : bool
        Whether there is one row, of the last values that were logged (at steps that may differ).
    """
    if not own_steps or not columns:
        return History()
    reader = _Reader({key: columns[key] for key in list(columns)[:_MAX_COLUMNS]}, own_steps, file, last_only=last_only)
    if {"iter", "train/loss", "val/loss"} <= columns.keys() and {"lr", "mfu"} & columns.keys():
        reader.nanogpt()
    elif "train/global_step" in columns:
        reader.hugging_face()
    else:
        reader.generic()
    return reader.finish()


class _Reader:
    def __init__(self, columns: Columns, own_steps: Sequence[int], file: str, *, last_only: bool) -> None:
        import numpy as np

        self._columns = {key: (np.array(r, np.int64), np.array(v, np.float64)) for key, (r, v) in columns.items()}
        self._rows = len(own_steps)
        self._own = np.array(own_steps, np.int64)
        self._file, self._last_only = file, last_only
        self._history = History()
        self._limit = max(_FEWEST_POINTS, min(LIMIT, _POINTS_IN_ALL // max(len(columns), 1)))
        self._series: list[Series] = []
        self._steps = self._count()

    # ---- what counts

    def _count(self) -> _Steps:
        import numpy as np

        named = sorted(
            (rank, name)
            for name in self._columns
            if (rank := is_step(name)) is not None and rank < len(_COUNTERS) and self._is_counter(name)
        )
        steps = np.full(self._rows, np.nan)
        for _rank, name in named:
            rows, values = self._columns[name]
            keep = np.isfinite(values) & (np.abs(values) < _MAX_STEP) & np.isnan(steps[rows])
            steps[rows[keep]] = values[keep]
        known = np.flatnonzero(~np.isnan(steps))
        if not len(known):
            return self._count_otherwise()
        before = np.maximum.accumulate(np.where(np.isnan(steps), -1, np.arange(self._rows)))
        self._carried = np.isnan(steps)
        steps = steps[np.where(before < 0, known[0], before)]
        whole = steps.astype(np.int64)
        if self._starts_again_each_epoch(whole):
            self._note("steps_within_epoch", "the step counts within each epoch: rows are counted")
            return _Steps(np.arange(self._rows, dtype=np.int64), "row")
        convention = _FROM_ZERO if any(name.startswith("trainer/") for _rank, name in named) else ""
        return _Steps(whole, "step", convention)

    _carried: Bools | None = None

    def _is_counter(self, name: str) -> bool:
        import numpy as np

        values = self._columns[name][1]
        finite = values[np.isfinite(values)]
        return bool(len(finite)) and float(np.mean(finite == np.floor(finite))) >= 0.9

    def _count_otherwise(self) -> _Steps:
        """Use W&B's own counter where the script sets it, which a stride shows, and else count rows."""
        import numpy as np

        strides = np.diff(self._own)
        if len(strides) and not self._last_only and bool(np.all(strides >= 0)) and float(np.median(strides)) > 1:
            return _Steps(self._own, "step", _SET_STEP)
        self._note("tracker_steps", _TRACKER_STEP)
        return _Steps(self._own, "row", _TRACKER_STEP)

    def _starts_again_each_epoch(self, steps: Ints) -> bool:
        import numpy as np

        key = next((k for k in self._columns if k.lower() in _EPOCHS), None)
        back = np.flatnonzero(np.diff(steps) < 0) + 1
        if key is None or not len(back):
            return False
        rows, values = self._columns[key]
        epochs = np.full(self._rows, np.nan)
        epochs[rows] = np.where(np.isfinite(values), values, np.nan)  # an infinite epoch is none
        filled = np.maximum.accumulate(np.where(np.isnan(epochs), 0, np.arange(self._rows)))
        epochs = epochs[filled]
        turns = int(np.count_nonzero(np.diff(epochs) > 0))
        return len(back) >= 0.5 * turns > 0 and bool(np.all(epochs[back] > epochs[back - 1]))

    def _note(self, kind: str, detail: str, count: int = 1) -> None:
        self._history.notices.append(Notice(kind, Source("read", self._file), count, 0, detail))

    # ---- the trainers

    def nanogpt(self) -> None:
        """Take what nanoGPT logs: at evaluations only, so that its training loss is one of them."""
        import numpy as np

        evaluated = self._columns["val/loss"][0]
        for key, meaning in self._meanings(_NANOGPT):
            if key == "train/loss":  # a fork may log the loss of the step as well, in rows without a validation
                with_val = np.isin(self._columns[key][0], evaluated)
                self._take(key, meaning, with_val)
                self._take(key, Meant(_ALONE), ~with_val)
            else:
                self._take(key, meaning)
        if any(series.name == "mfu" for series in self._series):
            stock = Source("default", formula="nanoGPT divides by an A100's 312 TFLOP/s")
            self._history.settings["logged.mfu_peak_flops_per_s"] = Known(A100_PEAK_FLOPS_PER_S, stock)

    def hugging_face(self) -> None:
        """Take what the Hugging Face trainer logs: ``train/`` and ``eval/`` stand before its own names."""
        import numpy as np

        own = {key: name for key in self._columns if (name := _hf_name(key)) is not None}
        names = list(own.values())
        losses = self._columns.get("train/loss")
        steps = self._steps.of_row[losses[0]] if losses is not None else np.zeros(0, np.int64)
        every_step = len(steps) > 1 and int(steps[-1] - steps[0]) == len(steps) - 1
        last = self._columns["train/train_runtime"][0] if "train/train_runtime" in self._columns else None
        meant_here: dict[str, Meant] = {}
        for key, name in own.items():
            metric = column(name, names, every_step=every_step)
            if metric is not None:
                meant_here[key] = Meant(metric.but(name=metric.name[:MAX_NAME]))
        for key, meaning in self._meanings(meant_here):
            if own.get(key) in ("epoch", "global_step", "train_loss") or own.get(key) in SUMMARY:
                continue
            self._take(key, meaning)
        if "train/epoch" in self._columns:
            self._take("train/epoch", Meant(EPOCH.but(scope="global")), self._first_of_step("train/epoch"))
        self._sum_up(last, losses is not None)

    def _first_of_step(self, key: str) -> Bools:
        import numpy as np

        steps = self._steps.of_row[self._columns[key][0]]
        first = np.ones(len(steps), bool)
        first[1:] = steps[1:] != steps[:-1]
        return first

    def _sum_up(self, last: Ints | None, has_loss: bool) -> None:
        """Take the row that sums the run up, and what follows from it for the batch."""
        state: dict[str, Known[Any]] = {}
        steps = int(self._steps.of_row.max())
        epochs = self._columns.get("train/epoch")
        place = Source("read", self._file, None if self._last_only else self._rows)
        if epochs is not None and len(epochs[1]):
            state["epoch"] = Known(float(epochs[1][-1]), replace(place, text=f"train/epoch = {epochs[1][-1]:g}"))
        if last is not None and len(last):
            row = int(last[-1])
            final: dict[str, float] = {"step": int(self._steps.of_row[row])}
            for key, (rows, values) in self._columns.items():
                name = key.removeprefix(_TRAIN_KEYS)
                if name != key and name != "global_step" and len(at := (rows == row).nonzero()[0]):
                    final[name] = float(values[at[-1]])
            source = Source("read", self._file, None if self._last_only else row + 1, "means over the whole run")
            self._history.noted["hf.final_row"] = Known(final, source)
            if _all_made(final):
                state["max_steps"] = Known(int(final["step"]), replace(source, text=f"step {final['step']:.0f}"))
                bounds = sequences_per_step(final, int(final["step"]), final.get("epoch"))
                if bounds is not None:
                    text = f"train_samples_per_second {final['train_samples_per_second']}, train_runtime {final['train_runtime']}"
                    state["sequences_per_step"] = Known(bounds, replace(source, text=text))
        if not has_loss and steps > 0 and not self._last_only:
            self._note("no_loss_logged", f"{steps:,} steps were made and no row has a loss")
        self._history.vocabulary = HF_VOCABULARY
        self._history.raw[state_key(max(steps, 0), log=True)] = Known(state, place)

    def generic(self) -> None:
        """Take columns by their usual names; a training loss that stands beside validations is an evaluation's."""
        import numpy as np

        found = list(self._meanings({}))
        train = [key for key, meaning in found if meaning.metric.name == "train_loss"]
        val = [key for key, meaning in found if meaning.metric.split == "val" and meaning.metric.name in LOSSES]
        evaluated = self._rows_of(val)
        alone = np.setdiff1d(self._rows_of(train), evaluated)
        both = np.intersect1d(self._rows_of(train), evaluated)
        beside = np.intersect1d(self._steps.of_row[both], self._steps.of_row[alone])
        estimates = self._steps.axis == "step" and len(both) > 0 and len(beside) >= 0.5 * max(1, len(both) - 1)
        for key, meaning in found:
            metric = meaning.metric
            if metric.name != "train_loss":
                self._take(key, meaning)
                continue
            mode = "train" if len(alone) and metric.mode == "unknown" else metric.mode
            if not estimates:
                self._take(key, Meant(metric.but(mode=mode), meaning.scale))
                continue
            with_val = np.isin(self._columns[key][0], evaluated)
            self._take(key, Meant(metric.but(mode=mode), meaning.scale), ~with_val)
            window = "an evaluation: rows of its own at the steps of others"
            self._take(key, Meant(TRAIN_LOSS_EVAL.but(window=window), meaning.scale), with_val)

    def _rows_of(self, keys: Sequence[str]) -> Ints:
        import numpy as np

        rows = [self._columns[key][0] for key in keys]
        return np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int64)

    def _meanings(self, known: Mapping[str, Meant]) -> Iterator[tuple[str, Meant]]:
        """Yield what each column means: the trainer's own first, then usual names, then some under their own."""
        rest: list[str] = []
        for key in self._columns:
            if key in known:
                yield key, known[key]
            elif key.lower() in _EPOCHS:
                yield key, Meant(EPOCH)
            elif not key.startswith(("_", "system.", "system/")) and is_step(key) is None and not _is_private(key):
                rest.append(key)
        taken = {meaning.metric.name for meaning in known.values()}
        own_names, left_out = 0, 0
        for key, meaning in unique(rest).items():
            metric = meaning.metric
            if metric.name in taken:
                metric = Metric(key[:MAX_NAME], metric.split, "unknown", metric.unit, "not said")
            taken.add(metric.name)
            if metric.name == key.strip()[:MAX_NAME] and metric.unit == "1":
                own_names += 1
                if own_names > _MAX_OWN_NAMES:
                    left_out += 1
                    continue
            yield key, Meant(metric, meaning.scale)
        if left_out:
            self._note("columns_left_out", f"{left_out} keys without a usual name", left_out)

    # ---- the series

    def _take(self, key: str, meaning: Meant, where: Bools | None = None) -> None:
        import numpy as np

        rows, values = self._columns[key]
        if where is not None:
            rows, values = rows[where], values[where]
        metric = meaning.metric
        for name, sentinels in (("mfu", _NO_MFU_YET), ("loss_scale", (-1.0,))):
            if metric.name == name:
                for sentinel in sentinels:
                    rows, values = rows[values != sentinel], values[values != sentinel]
        if metric.name == EPOCH.name:
            rows, values = rows[np.isfinite(values)], values[np.isfinite(values)]
        if not len(rows):
            return
        said = "; ".join(part for part in (metric.convention, self._steps.convention) if part)
        metric = metric.but(axis=self._steps.axis, convention=said)
        if self._last_only:
            metric = metric.but(window=LAST)
        points = Thinned(self._limit)
        points.extend(self._steps.of_row[rows], values * meaning.scale, rows + 1)
        self._series.append(series_of(metric, self._file, points))

    def finish(self) -> History:
        """Return all of it."""
        history = self._history
        kept, notices, settings = tidy_up(_merged(self._series), self._file)
        history.series = kept
        history.notices += notices
        history.settings = {**settings, **history.settings}
        history.seams = self._seams()
        if self._carried is not None and not self._last_only:
            counted = self._rows_of([k for k in self._columns if not k.startswith("_")])
            carried = int(self._carried[counted].sum())
            if carried:
                detail = "rows that log no step stand at the step of the row before them"
                self._note("rows_without_step", detail, carried)
        return history

    def _seams(self) -> tuple[Seam, ...]:
        import numpy as np

        steps = self._steps.of_row
        back = np.flatnonzero(np.diff(steps) < 0)
        if self._steps.axis != "step" or not len(back):
            return ()
        if len(back) > max(3, _BACK_AND_FORTH * self._rows):
            self._note("steps_not_in_order", "the steps go back and forth", len(back))
            return ()
        return tuple(
            Seam(int(steps[at]), int(steps[at + 1]), Source("read", self._file, int(at) + 2))
            for at in back[:_MAX_SEAMS]
        )


def _merged(series: Sequence[Series]) -> list[Series]:
    """Return series with one of each name: where two keys mean the same, the fuller one keeps the name."""
    found: dict[str, Series] = {}
    for one in series:
        if one.name not in found or one.count > found[one.name].count:
            found[one.name] = one
    return list(found.values())


def _hf_name(key: str) -> str | None:
    """Return the trainer's own name of what its callback logs: ``train/loss`` is ``loss``, ``eval/loss`` ``eval_loss``."""
    if key.startswith(_TRAIN_KEYS):
        return key.removeprefix(_TRAIN_KEYS)
    for prefix in _EVAL_KEYS:
        if key.startswith(prefix):
            return prefix[:-1] + "_" + key.removeprefix(prefix)
    return None


def _all_made(final: Mapping[str, float]) -> bool:
    """Return whether the steps made are those that were planned: the speeds are computed with the planned ones."""
    runtime, speed = final.get("train_runtime", 0.0), final.get("train_steps_per_second", 0.0)
    return runtime > 0 and abs(speed * runtime - final["step"]) <= 5e-4 * runtime + 1e-6 * final["step"]


def _is_private(key: str) -> bool:
    return bool(_NO_NAMES & set(words(key)))
