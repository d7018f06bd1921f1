"""TensorBoard event files, of whatever trainer: tags to metrics, and the settings that some trainers store beside them.

What a tag means depends on who wrote it: Hugging Face's ``train/loss`` is a mean over the steps since the point before,
Lightning's ``train_loss_step`` one batch, Megatron writes each metric twice (``lm loss`` over iterations, ``lm loss vs
samples`` over samples). The file itself names nobody; the tags and texts in it tell.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import NotText
from ...run import Known, Notice, Problem, Quantity, Seam, Series, Source
from ..auscult_keys import MEASURED, TAGS
from ..columns import Thinned
from ..files import InputFile
from ..hf_keys import SUMMARY, VOCABULARY, column, state_key
from ..hf_models import is_model_config
from ..json_text import mapping_in
from ..log import series_of
from ..meaning import (
    GRAD_NORM,
    LEARNING_RATE,
    LOSS_SCALE,
    MEMORY_BYTES,
    MFU,
    STEP_TIME_S,
    TFLOPS,
    TOKENS_PER_S,
    TOKENS_SEEN,
    TRAIN_LOSS,
    VAL_LOSS,
    Metric,
)
from ..megatron_keys import interpret as interpret_megatron
from ..megatron_keys import value as megatron_value
from ..metric_names import EPOCH, Meant, meant
from ..patterns import lazy
from ..reading import FRAMEWORK, TRACKER, Dialect, Reading
from ..vocabulary import checked
from .hf_config import config_reading
from .hf_training_args import reading_of_text

if TYPE_CHECKING:
    from ..formats.tfevents import EventFile, Scalars

__all__ = ["DIALECT"]

_MAX_SERIES = 1_000
_MAX_NAME = 200
_VERSION = b"brain.Event:"
_ONE_STEP = "the batch of one step, all micro-batches"
_INTERVAL = "the logging interval"

_FIXED: Mapping[str, Meant] = {
    # Megatron-LM and Megatron-DeepSpeed, training.py
    "lm loss": Meant(TRAIN_LOSS.but(window=_ONE_STEP, scope="global")),
    "lm_loss": Meant(TRAIN_LOSS.but(window=_ONE_STEP, scope="global")),
    "lm loss validation": Meant(VAL_LOSS.but(window="mean of eval-iters batches", scope="global")),
    "learning-rate": Meant(LEARNING_RATE.but(mode="train", scope="global")),
    "grad-norm": Meant(GRAD_NORM.but(scope="global")),
    "loss-scale": Meant(LOSS_SCALE.but(mode="train", scope="global")),
    "iteration-time": Meant(STEP_TIME_S.but(mode="train", window=f"mean over {_INTERVAL}", scope="rank")),
    "throughput": Meant(TFLOPS),
    "batch-size": Meant(Metric("sequences_per_step", "train", "train", "sequences", "the step", "global")),
    "params-norm": Meant(Metric("params-norm", "-", "train", "1", "the step", "global")),
    "mem-allocated-bytes": Meant(MEMORY_BYTES.but(window="allocated at the step")),
    "mem-max-allocated-bytes": Meant(MEMORY_BYTES),
    # GPT-NeoX, logging.py
    "train/lm_loss": Meant(TRAIN_LOSS.but(window=_ONE_STEP, scope="global")),
    "validation/lm_loss": Meant(VAL_LOSS.but(window="mean of eval_iters batches", scope="global")),
    "train/loss_scale": Meant(LOSS_SCALE.but(mode="train", scope="global")),
    "runtime/iteration_time": Meant(STEP_TIME_S.but(mode="train", window=f"mean over {_INTERVAL}", scope="rank")),
    "runtime/tokens_per_sec": Meant(TOKENS_PER_S.but(scope="global")),
    "runtime/flops_per_sec_per_gpu": Meant(TFLOPS, 1e-12),
    "runtime/model_flops_utilization": Meant(MFU),
    # torchtitan, components/metrics.py
    "loss_metrics/global_avg_loss": Meant(TRAIN_LOSS.but(window=_ONE_STEP, scope="global")),
    "loss_metrics/global_max_loss": Meant(
        Metric("train_loss_max", "train", "train", "nats_per_token", "the rank with the highest loss", "global")
    ),
    "validation_metrics/loss": Meant(VAL_LOSS.but(scope="global")),
    "throughput(tps)": Meant(TOKENS_PER_S.but(name="tokens_per_s_per_gpu", scope="rank")),
    "tflops": Meant(TFLOPS),
    "mfu(%)": Meant(MFU.but(scope="rank"), 0.01),
    "time_metrics/end_to_end(s)": Meant(STEP_TIME_S.but(mode="train", window=f"mean over {_INTERVAL}", scope="rank")),
    "memory/max_reserved(GiB)": Meant(MEMORY_BYTES.but(convention="reserved", window=f"peak of {_INTERVAL}"), 2.0**30),
    "n_tokens_seen": Meant(TOKENS_SEEN.but(scope="global")),
    # nanotron and others with consumed tokens
    "consumed_tokens": Meant(TOKENS_SEEN.but(scope="global")),
}
_OTHER_AXIS = lazy(r"^(.{1,150}?)(?: vs | \()(samples|tokens|steps|iterations)\)?$")
_DEEPSPEED = lazy(r"^Train/Samples/(\w{1,80})$")
_VAL_FOLDER = lazy(r"(?:^|/)(?:val|valid|validation|eval|test|dev)(?:/|$)", re.IGNORECASE)
_TEXT = "/text_summary"
_MEGATRON_SURE = frozenset({"micro_batch_size", "hidden_size", "num_layers", "global_batch_size"})
_SKIP = frozenset({"hp_metric", "epoch_time"})
_NO_MFU_YET = -100.0
_FEW = 3


def _is_hugging_face(events: EventFile) -> bool:
    tags = events.scalars.keys()
    if "args" + _TEXT in events.texts or "train/train_runtime" in tags:
        return True
    return "train/epoch" in tags and bool({"train/loss", "eval/loss", "train/learning_rate"} & tags)


class _Tags:
    """Gives each tag of a file its meaning."""

    def __init__(self, events: EventFile, folder: str) -> None:
        self._tags = list(events.scalars)
        self._validation = bool(_VAL_FOLDER.search(folder))
        self._hf = _is_hugging_face(events)
        losses = events.scalars.get("train/loss")
        self._every_step = (
            losses is not None and len(losses) > 1 and losses.steps[-1] - losses.steps[0] == len(losses) - 1
        )
        self._rows = [self._row(tag) for tag in self._tags] if self._hf else []
        # fairseq reports losses in bits, and gives itself away by the company that they keep
        self._auscult = MEASURED in events.scalars
        self._bits = {"nll_loss", "ppl"} <= set(self._tags) and bool({"wps", "gnorm", "ups"} & set(self._tags))

    @staticmethod
    def _row(tag: str) -> str:
        """Return the trainer's own name of a Hugging Face tag: ``eval/loss`` is ``eval_loss``."""
        for prefix, own in (("eval/", "eval_"), ("test/", "test_"), ("train/", "")):
            if tag.startswith(prefix):
                return own + tag.removeprefix(prefix)
        return tag

    def meaning(self, tag: str) -> Meant | None:
        """Return what a tag means; None where it holds nothing of a run's course."""
        if tag in _SKIP or tag.startswith("_hparams_"):
            return None
        if self._auscult and tag in TAGS:
            return Meant(TAGS[tag])
        if self._hf:
            row = self._row(tag)
            if row == "epoch":
                return Meant(EPOCH.but(scope="global"))
            if row in SUMMARY or (row == "train_loss" and tag == "train/train_loss"):
                return None
            metric = column(row, self._rows, every_step=self._every_step)
            return Meant(metric) if metric is not None else None
        other = _OTHER_AXIS.match(tag)
        if other is not None:
            return self._over_another_axis(tag, other[1], other[2])
        deepspeed = _DEEPSPEED.match(tag)
        if deepspeed is not None:
            found = meant(deepspeed[1])
            return Meant(found.metric.but(axis="samples"), found.scale) if found is not None else self._own(tag)
        return self._plain(tag)

    def _over_another_axis(self, tag: str, base: str, axis: str) -> Meant | None:
        if base in self._tags or self._ungrouped(base) in self._tags:
            return None  # the same values stand over steps
        if axis not in ("samples", "tokens"):
            return self._own(tag)
        found = self._plain(base)
        return Meant(found.metric.but(axis=axis), found.scale)

    @staticmethod
    def _ungrouped(tag: str) -> str:
        """Return a tag without the group before it that Megatron's older versions wrote: ``grad-norm/grad-norm``."""
        group, slash, name = tag.partition("/")
        return name if slash and name and (name.startswith(group) or group.startswith("lm-loss")) else tag

    def _plain(self, tag: str) -> Meant:
        for name in (tag, self._ungrouped(tag)):
            if name in _FIXED:
                return _FIXED[name]
        if self._bits and tag in ("loss", "nll_loss"):
            split = VAL_LOSS if self._validation else TRAIN_LOSS
            name = split.name if tag == "nll_loss" else f"{split.name}_smoothed"
            return Meant(
                split.but(name=name, window=_INTERVAL, scope="global", convention="written in bits"), math.log(2)
            )
        if tag in ("epoch_loss", "evaluation_loss_vs_iterations") or (tag == "loss" and self._validation):
            keras = VAL_LOSS if self._validation or tag.startswith("evaluation") else TRAIN_LOSS.but(mode="unknown")
            return Meant(keras.but(axis="epoch" if tag == "epoch_loss" else "step", window="not said"))
        found = meant(tag)
        return found if found is not None else self._own(tag)

    @staticmethod
    def _own(tag: str) -> Meant:
        return Meant(Metric(tag[:_MAX_NAME], window="not said"))


def _chosen(events: EventFile, folder: str) -> dict[str, Meant]:
    """Return a meaning for each tag; of two with the same one over another axis, or with fewer points, keeps its own name."""
    tags = _Tags(events, folder)
    found = {tag: m for tag in events.scalars if (m := tags.meaning(tag)) is not None}
    best: dict[str, str] = {}
    for tag, meaning in found.items():
        rival = best.get(meaning.metric.name)
        if rival is None or _rank(tag, found, events) > _rank(rival, found, events):
            best[meaning.metric.name] = tag
    out: dict[str, Meant] = {}
    for tag, meaning in found.items():
        if best[meaning.metric.name] != tag:
            meaning = Meant(meaning.metric.but(name=tag[:_MAX_NAME]), meaning.scale)
        out[tag] = meaning
    kept = sorted(out, key=lambda tag: best.get(out[tag].metric.name) != tag)[:_MAX_SERIES]
    return {tag: out[tag] for tag in out if tag in set(kept)} if len(out) > _MAX_SERIES else out


def _rank(tag: str, found: Mapping[str, Meant], events: EventFile) -> tuple[bool, bool, int, int]:
    metric = found[tag].metric
    return metric.axis == "step", tag in _FIXED, len(events.scalars[tag]), -len(tag)


def _points(scalars: Scalars, scale: float, keep: Callable[[float], bool] | None) -> Thinned:
    import numpy as np

    steps = np.frombuffer(scalars.steps, np.int64)
    values = np.frombuffer(scalars.values, np.float64)
    if keep is not None:
        kept = np.array([keep(v) for v in values.tolist()], bool)
        steps, values = steps[kept], values[kept]
    points = Thinned()
    points.extend(steps, values * scale if scale != 1 else values, np.zeros(len(steps), np.int64))
    return points


def _series(events: EventFile, folder: str, file: str) -> tuple[tuple[Series, ...], tuple[Notice, ...]]:
    series, notices = [], []
    for tag, (metric, scale) in _chosen(events, folder).items():
        scalars = events.scalars[tag]
        if metric.name == "grad_norm" and len(scalars) >= _FEW and not any(scalars.values):
            detail = "the gradient norm is written as 0 throughout: it was not measured"
            notices.append(Notice("grad_norm_constant_zero", Source("read", file), len(scalars), 0, detail))
            continue
        if metric.name == "loss_scale" and all(v == -1.0 for v in scalars.values):
            continue
        keep = None
        if metric.name == "mfu":
            finite = [v for v in scalars.values if math.isfinite(v) and v != _NO_MFU_YET]
            if scale == 1 and finite and max(finite) > 1.5:
                scale, metric = 0.01, metric.but(convention="written in per cent")
            keep = _is_mfu
        points = _points(scalars, scale, keep)
        if points.count:
            series.append(series_of(metric, file, points))
    return tuple(series), tuple(notices)


def _is_mfu(value: float) -> bool:
    return value != _NO_MFU_YET and value >= 0


def _seams(series: Iterable[Series]) -> tuple[Seam, ...]:
    """Return where the fullest series goes back: a writer that was started again, whose points stand after the first's."""
    fullest = max((s for s in series if s.axis == "step"), key=lambda s: s.count, default=None)
    if fullest is None:
        return ()
    pairs = zip(fullest.steps, fullest.steps[1:], strict=False)
    seams = [Seam(a, b, fullest.source(i)) for i, (a, b) in enumerate(pairs, 1) if b < a]
    return tuple(seams) if len(seams) <= max(_FEW, 0.02 * len(fullest)) else ()


def _settings(events: EventFile, file: str) -> tuple[dict[str, Quantity[Any]], tuple[Problem, ...]]:
    """Return what Megatron writes as numbers that never change: the world size and the vocabulary."""
    settings: dict[str, Quantity[Any]] = {}
    problems = []
    for tag, key in (("world-size", "recipe.world_size"), ("vocab-size", "architecture.vocab_size")):
        scalars = events.scalars.get(tag) or events.scalars.get(f"{tag}/{tag}")
        if scalars is not None and len(scalars) and len(set(scalars.values)) == 1:
            value = Known(scalars.values[0], Source("read", file, None, f"{tag} {scalars.values[0]:g}"))
            settings[key], problem = checked(key, value)
            problems += [problem] if problem is not None else []
    return settings, tuple(problems)


def _parts(events: EventFile, file: str) -> tuple[Reading, ...]:
    """Return the settings that trainers store as texts: Hugging Face's arguments and model, Megatron's arguments."""
    parts = []
    args, model = events.texts.get("args" + _TEXT), events.texts.get("model_config" + _TEXT)
    if args is not None and (reading := reading_of_text(args, file)) is not None:
        parts.append(reading)
    if model is not None:
        try:
            found = json.loads(model)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and is_model_config(found):
            parts.append(config_reading(mapping_in(found, file), file))
    names = {tag.removesuffix(_TEXT): text for tag, text in events.texts.items() if tag.endswith(_TEXT)}
    if len(_MEGATRON_SURE & names.keys()) >= _FEW:
        said = {
            name: Known(megatron_value(text.strip()), Source("read", file, None, f"{name}: {text.strip()[:80]}"))
            for name, text in names.items()
            if re.fullmatch(r"\w{1,60}", name) and len(text) <= 200
        }
        settings, problems = interpret_megatron(said, defaults=False)
        shown = {key: _without_paths(quantity) for key, quantity in settings.items()}
        parts.append(
            Reading("tensorboard", file, "config", settings=shown, authority=FRAMEWORK, problems=tuple(problems))
        )
    return tuple(parts)


def _without_paths(quantity: Quantity[Any]) -> Quantity[Any]:
    """Return a value whose source quotes no folder of somebody's machine."""
    if isinstance(quantity, Known) and quantity.source.text is not None and re.search(r"[/\\]", quantity.source.text):
        return Known(quantity.value, replace(quantity.source, text=None))
    return quantity


def _sniff(file: InputFile) -> float:
    named = "tfevents" in file.base
    head = file.head[:64]
    if _VERSION in head and len(head) > 12:
        return 1.0 if named else 0.9
    return 0.55 if named and file.suffix not in (".json", ".csv", ".txt", ".md", ".py") else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    from ..formats.tfevents import read_events  # only a run that has event files waits for it

    with file.binary() as stream:
        events = read_events(stream, name=file.name)
    series, notices = _series(events, file.folder, file.name)
    settings, wrong = _settings(events, file.name)
    parts = _parts(events, file.name)
    problems = list(wrong)
    lost = events.unread_bytes + events.skipped_bytes
    if lost:
        if not series and not parts:
            raise NotText(
                "the event file is damaged, and nothing in it can be read",
                where=file.name,
                found=f"{lost:,} of {events.size_bytes:,} bytes unread ({(events.damage or '').replace('_', ' ')})",
                hint="copy it again, or give the other files of the run",
            )
        why = {"truncated": "its end is cut off", "bad_crc": "it is damaged"}.get(events.damage or "", "it is damaged")
        message = f"{lost:,} of {events.size_bytes:,} bytes of the event file could not be read: {why}"
        problems.append(Problem("unread_bytes", message, Source("read", file.name)))
    if events.malformed:
        message = f"{events.malformed:,} records of the event file could not be understood"
        problems.append(Problem("malformed_records", message, Source("read", file.name), events.malformed))
    if not series and not parts and not settings:
        return ()
    raw: dict[str, Quantity[Any]] = {}
    epochs = next((s for s in series if s.name == "epoch"), None)
    if epochs is not None and _is_hugging_face(events) and len(epochs):
        state = {"epoch": Known(epochs.values[-1], epochs.source(len(epochs) - 1))}
        raw[state_key(max(0, epochs.steps[-1]), log=True)] = Known(state, Source("read", file.name))
    return (
        Reading(
            "tensorboard",
            file.name,
            "metrics",
            series=series,
            settings=settings,
            raw=raw,
            vocabulary=VOCABULARY if raw else "",
            authority=TRACKER,
            notices=notices,
            problems=tuple(problems),
            seams=_seams(series),
            parts=parts,
        ),
    )


DIALECT = Dialect(
    name="tensorboard",
    title="TensorBoard event files",
    role="metrics",
    example="events.out.tfevents.1700000000.host.1234.0",
    reads="every scalar of every tag, none left out or averaged, in the order of the file: the tags of Hugging Face, Lightning,"
    " Megatron, GPT-NeoX, DeepSpeed, torchtitan, auscult, fairseq (whose bits are converted to nats) and Keras under their standard"
    " names, others under their own. The training arguments and the model's shape where the trainer stored them as text"
    " (Hugging Face, Megatron). Bytes that cannot be read are counted and reported",
    cannot="lines, since there are none; more digits than 32-bit numbers hold; over what an unknown trainer's values were"
    " averaged, and in which mode",
    source="tensorflow/tensorboard event.proto and summary.proto; transformers integrations; NVIDIA/Megatron-LM training.py;"
    " EleutherAI/gpt-neox logging.py; pytorch/torchtitan components/metrics.py",
    sniff=_sniff,
    read=_read,
    missing="event files do not say it: add the config that training was started with",
    tracker=True,
)
