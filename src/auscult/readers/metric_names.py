"""What people call their metrics, in the field's standard terms: ``train/loss``, ``eval_loss``, ``lr-AdamW``, ``tok/s`` …

Names are compared by their words, without case, accents and punctuation. A name that says something else beside the
standard words (``aux_loss``, ``best_val_loss``, ``loss_std``) is no standard metric: it keeps its own name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .meaning import (
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
    TRAIN_LOSS_EVAL,
    VAL_BPB,
    VAL_LOSS,
    Metric,
)
from .patterns import lazy

__all__ = ["EPOCH", "MAX_NAME", "STEP_NAMES", "Meant", "is_step", "meant", "unique", "words"]

MAX_NAME = 200
EPOCH = Metric("epoch", window="up to the step")


class Meant(NamedTuple):
    """What a name means: the metric, and the factor that brings its values into the metric's unit."""

    metric: Metric
    scale: float = 1.0


_NOT_SAID = "not said"
_TRAIN = TRAIN_LOSS.but(mode="unknown", window=_NOT_SAID)
_VAL = VAL_LOSS.but(window=_NOT_SAID)
_TRAIN_EPOCH = TRAIN_LOSS.but(name="train_loss_epoch", window="mean over the epoch: lags")
_TEST = VAL_LOSS.but(name="test_loss", window=_NOT_SAID)
_TRAIN_BPB = TRAIN_LOSS.but(name="train_bpb", mode="unknown", unit="bits_per_byte", window=_NOT_SAID)
_RATE = LEARNING_RATE
_NORM = GRAD_NORM.but(window=_NOT_SAID)

STEP_NAMES = (
    "global_step",
    "trainer_global_step",
    "train_global_step",
    "optimizer_step",
    "step",
    "steps",
    "iter",
    "iters",
    "iteration",
    "iterations",
    "iter_num",
    "it",
    "update",
    "updates",
    "num_updates",
    "n_step",
    "num_steps",
    "training_step",
    "train_step",
    "current_steps",
    "current_step",
    "_step",
    "pas",
    "etape",
    "batch",
    "batch_idx",
)
"""Names of the optimiser's counter, the surest first (``/``, ``.``, ``-`` and spaces written ``_``)."""
_TRAIN_WORDS = frozenset({"train", "training", "tr", "entrainement"})
_VAL_WORDS = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev", "heldout"})
_TEST_WORDS = frozenset({"test"})
_LOSS_WORDS = frozenset({"loss", "losses", "perte", "nll"})
_PLAIN_LOSS = frozenset(
    {"lm", "ce", "cross", "entropy", "crossentropy", "crossentropyloss", "xent", "total", "avg"}
) | {
    "mean",
    "average",
    "metrics",
    "nats",
    "token",
    "per",
}
_ONE_STEP = frozenset({"step", "batch", "iter", "minibatch"})
_ESTIMATE = frozenset({"estimate", "estimated"})
_OPTIMISER = frozenset({"train", "training", "optim", "optimizer", "opt", "adamw", "adam", "muon", "group", "pg1", "0"})
_NORM_WORDS = frozenset({"total", "global", "l2", "raw", "optim", "optimizer", "train", "training", "grads", "preclip"})
_PER_SECOND = lazy(
    r"(?:^|_)(?:tok(?:en)?s?_(?:per_)?s(?:ec(?:s|ond|onds)?)?|tps|wps|tok(?:en)?s?_per_sec(?:ond)?)(?:$|_)"
)
_SEEN = frozenset(
    {
        "tokens_seen",
        "tokens_cum",
        "cum_tokens",
        "cumulative_tokens",
        "total_tokens",
        "tokens_total",
        "consumed_tokens",
        "tokens_consumed",
        "tokens_processed",
        "processed_tokens",
        "num_input_tokens_seen",
        "train_num_input_tokens_seen",
        "tokens_trained",
        "n_tokens_seen",
        "train_tokens_seen",
        "throughput_total_tokens",
    }
)
_MAYBE_SEEN = frozenset({"tokens", "num_tokens", "n_tokens", "train_tokens", "throughput_tokens"})
_PER_STEP = frozenset(
    {
        "tokens_step",
        "tokens_per_step",
        "tokens_per_iter",
        "tokens_per_iteration",
        "batch_tokens",
        "tokens_per_batch",
        "global_batch_tokens",
        "tokens_per_update",
    }
)
_STEP_TIME = lazy(
    r"^(?:train_|training_|perf_|throughput_)?"
    r"(?:step_time|iter_time|iteration_time|time_per_(?:step|iter|iteration|batch)|(?:sec|secs|seconds|s|ms)_per_"
    r"(?:step|iter|iteration|batch|it)|step_duration|batch_time|dt|step|iter|elapsed_time_per_iteration)"
    r"(?:_(?P<unit>ms|s|sec|secs|seconds|milliseconds))?$"
)
_MFU_WORDS = frozenset({"mfu"})
_PERCENT = frozenset({"percent", "pct", "percentage"})
TOKENS = Metric("tokens", window=_NOT_SAID, unit="tokens")
"""A column of tokens that may count those of the step or those seen so far."""
TOKENS_PER_STEP = Metric("tokens_per_step", window="the step", unit="tokens")


def words(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case, without accents; ``%`` counts as a word.

    Examples
    --------
    >>> words("Train/Loss (étape)")
    ('train', 'loss', 'etape')
    """
    plain = unicodedata.normalize("NFKD", name[:MAX_NAME].replace("%", " percent "))
    plain = "".join(ch for ch in plain if not unicodedata.combining(ch))
    plain = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", plain).lower()
    return tuple(word for word in re.split(r"[\W_]+", plain) if word)


def is_step(name: str) -> int | None:
    """Return how sure a name of the optimiser's counter is (0 is the surest), or None when it is none.

    Examples
    --------
    >>> is_step("global_step"), is_step("loss")
    (0, None)
    """
    joined = "_".join(words(name))
    if name.strip().startswith("_"):
        joined = "_" + joined
    return STEP_NAMES.index(joined) if joined in STEP_NAMES else None


@lru_cache(maxsize=4096)
def meant(name: str) -> Meant | None:
    """Return what a name means, or None when it is no standard metric.

    Examples
    --------
    >>> meant("eval/loss").metric.name, meant("lr-AdamW").metric.name, meant("dt_ms")[1]
    ('val_loss', 'learning_rate', 0.001)
    >>> meant("aux_loss") is None
    True
    """
    parts = words(name)
    joined, said = "_".join(parts), frozenset(parts)
    if not parts:
        return None
    if joined == "epoch":
        return Meant(EPOCH)
    for find in (_loss, _optimiser, _tokens, _speed):
        found = find(joined, said)
        if found is not None:
            return found
    return None


def _loss(joined: str, said: frozenset[str]) -> Meant | None:
    if "bpb" in said or {"bits", "byte"} <= said:
        rest = said - {"bpb", "bits", "per", "byte"}
        if rest <= _VAL_WORDS:
            return Meant(VAL_BPB.but(window=_NOT_SAID))
        return Meant(_TRAIN_BPB) if rest <= _TRAIN_WORDS else None
    if joined in ("loss_scale", "loss_scaler", "train_loss_scale", "grad_scale", "scaler_scale"):
        return Meant(LOSS_SCALE)
    if (
        not said & _LOSS_WORDS
        and not said & {"ce", "crossentropy", "crossentropyloss", "xent"}
        and not ({"cross", "entropy"} <= said)
    ):
        return None
    rest = said - _LOSS_WORDS - _PLAIN_LOSS
    if rest & _TRAIN_WORDS and rest & (_VAL_WORDS | _ESTIMATE) and rest <= _TRAIN_WORDS | _VAL_WORDS | _ESTIMATE:
        return Meant(TRAIN_LOSS_EVAL.but(window=_NOT_SAID))
    if rest <= _TRAIN_WORDS:
        return Meant(_TRAIN)
    if rest <= _TRAIN_WORDS | _ONE_STEP:
        return Meant(TRAIN_LOSS.but(window="one batch"))
    if rest <= _TRAIN_WORDS | {"epoch"}:
        return Meant(_TRAIN_EPOCH)
    if rest <= _VAL_WORDS | {"epoch"}:
        return Meant(_VAL)
    return Meant(_TEST) if rest <= _TEST_WORDS | {"epoch"} else None


def _optimiser(joined: str, said: frozenset[str]) -> Meant | None:
    if ("lr" in said and said - {"lr"} <= _OPTIMISER) or (
        {"learning", "rate"} <= said and said - {"learning", "rate"} <= _OPTIMISER
    ):
        return Meant(_RATE)
    if {"taux", "apprentissage"} <= said:
        return Meant(_RATE)
    if joined in ("gnorm", "gradnorm", "train_gnorm", "gradient_norm", "train_gradient_norm", "norm"):
        return Meant(_NORM) if joined != "norm" else None
    if {"grad", "norm"} <= said and said - {"grad", "norm"} <= _NORM_WORDS:
        return Meant(_NORM)
    return None


def _tokens(joined: str, said: frozenset[str]) -> Meant | None:
    if joined in _SEEN:
        return Meant(TOKENS_SEEN)
    if joined in _MAYBE_SEEN:
        return Meant(TOKENS)
    if joined in _PER_STEP:
        return Meant(TOKENS_PER_STEP)
    if _PER_SECOND.search(joined):
        if said & {"gpu", "device", "rank"}:
            return Meant(TOKENS_PER_S.but(name="tokens_per_s_per_gpu", scope="rank", window=_NOT_SAID))
        return Meant(TOKENS_PER_S.but(window=_NOT_SAID))
    return None


def _speed(joined: str, said: frozenset[str]) -> Meant | None:
    if said & _MFU_WORDS:
        rest = said - _MFU_WORDS - {"train", "perf", "throughput", "device", "bf16"}
        if rest <= _PERCENT:
            return Meant(MFU.but(window=_NOT_SAID), 0.01 if rest else 1.0)
        return None
    if joined in ("tflops", "tflops_per_gpu", "train_tflops", "device_tflops_per_sec", "tflop_s", "tflops_gpu"):
        return Meant(TFLOPS.but(window=_NOT_SAID))
    if joined == "device_flops_per_sec":
        return Meant(TFLOPS.but(window=_NOT_SAID), 1e-12)
    found = _STEP_TIME.match(joined)
    if found is not None:
        unit = found["unit"] or ("ms" if joined.partition("_per_")[0].endswith("ms") else None)
        unclear = joined in ("dt", "step", "iter", "train_dt", "train_step", "train_iter")
        if unit is None and unclear:
            return None
        return Meant(STEP_TIME_S.but(window=_NOT_SAID), 1e-3 if unit in ("ms", "milliseconds") else 1.0)
    if {"memory", "bytes"} <= said or {"mem", "bytes"} <= said:
        return Meant(MEMORY_BYTES.but(window=_NOT_SAID))
    return None


def unique(names: Iterable[str]) -> dict[str, Meant]:
    """Return a meaning for each name; where two would mean the same, the shorter name keeps it.

    The other keeps its own name: what the difference is, only the trainer knows (Hugging Face's ``train_loss`` beside
    ``loss`` is the mean over the whole run).

    Examples
    --------
    >>> found = unique(["train_loss", "loss"])
    >>> found["loss"].metric.name, found["train_loss"].metric.name
    ('train_loss', 'train_loss (2)')
    """
    found: dict[str, Meant] = {}
    taken: set[str] = set()
    for name in sorted(dict.fromkeys(names), key=lambda n: (len(words(n)), len(n), n)):
        meaning = meant(name)
        if meaning is None or meaning.metric.name in taken:
            own = name.strip()[:MAX_NAME]
            if own in taken or (meaning is not None and own == meaning.metric.name):
                own = f"{own} (2)"
            split = meaning.metric.split if meaning is not None else "-"
            unit = meaning.metric.unit if meaning is not None else "1"
            meaning = Meant(
                Metric(own, split, "unknown", unit, _NOT_SAID), meaning.scale if meaning is not None else 1.0
            )
        taken.add(meaning.metric.name)
        found[name] = meaning
    return found
