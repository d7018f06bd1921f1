"""What a metric means: the standard names, and what one must know to compare two of the same name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = [
    "GRAD_NORM",
    "LEARNING_RATE",
    "LOSS_SCALE",
    "MEMORY_BYTES",
    "MFU",
    "STEP_TIME_S",
    "TFLOPS",
    "TOKENS_PER_S",
    "TOKENS_SEEN",
    "TRAIN_LOSS",
    "TRAIN_LOSS_EVAL",
    "VAL_BPB",
    "VAL_LOSS",
    "Metric",
]


@dataclass(frozen=True, slots=True)
class Metric:
    """The meaning of a series; the fields are those of :class:`auscult.run.Series`.

    Examples
    --------
    >>> VAL_LOSS.but(window="20 batches of the validation split").window
    '20 batches of the validation split'
    """

    name: str
    split: str = "-"
    mode: str = "unknown"
    unit: str = "1"
    window: str = "not said"
    scope: str = "unknown"
    convention: str = ""
    axis: str = "step"

    def but(self, **changes: Any) -> Metric:
        """Return the same metric with another meaning in some respects."""
        return replace(self, **changes)


TRAIN_LOSS = Metric("train_loss", "train", "train", "nats_per_token", "the batch of one step")
TRAIN_LOSS_EVAL = Metric("train_loss_eval", "train", "eval", "nats_per_token", "an evaluation")
VAL_LOSS = Metric("val_loss", "val", "eval", "nats_per_token", "an evaluation")
VAL_BPB = Metric("val_bpb", "val", "eval", "bits_per_byte", "an evaluation")
LEARNING_RATE = Metric("learning_rate", window="the step")
GRAD_NORM = Metric("grad_norm", "train", "train", window="the step, before clipping")
STEP_TIME_S = Metric("step_time_s", unit="s", window="one step")
TOKENS_PER_S = Metric("tokens_per_s", unit="tokens_per_s", window="the logging interval")
TFLOPS = Metric("tflops_per_gpu", unit="tflop_per_s", window="the logging interval", scope="rank")
MFU = Metric("mfu", unit="fraction", window="the logging interval")
LOSS_SCALE = Metric("loss_scale", window="the step")
TOKENS_SEEN = Metric("tokens_seen", unit="tokens", window="up to the step")
MEMORY_BYTES = Metric("memory_bytes", unit="bytes", window="peak so far", scope="rank")
