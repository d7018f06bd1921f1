"""A run that is decided in every number, ready to be written down as some trainer's config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..facts.setup import Setup

__all__ = ["PlannedRun", "Schedule"]

Schedule: TypeAlias = Literal["cosine", "wsd"]


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run, decided.

    Attributes
    ----------
    config : mapping
        The architecture: keys as in transformers, ``model_type`` among them.
    setup : Setup
        Batch, precision, compilation, checkpointing, sharding.
    steps : int
        Optimiser steps.
    learning_rate, min_lr : float
        Peak, and what the rate has fallen to at ``decay_steps``.
    warmup_steps, decay_steps : int
        The step at which the rate is at its peak, and the one at which it is at its floor.
    weight_decay, beta1, beta2, grad_clip : float
        Of the optimiser; ``grad_clip`` 0 means that gradients are not clipped.
    schedule : str
        ``cosine`` falls from the end of the warm-up on; ``wsd`` stays at the peak and falls over the last
        ``cooldown_steps`` before ``decay_steps``.
    dataset : str or None
        As its trainer knows it: a folder, a name on the hub.
    why : tuple of str
        Sentences that give the reasons, put on top of configs that can hold comments.
    gpu : str
        What it is planned for.
    gpu_count : int
        How many of them.
    cooldown_steps : int
        Of ``wsd`` alone.
    tokenizer : str or None
        Whose tokens the data are.

    Raises
    ------
    ValueError
        When the numbers contradict each other.
    """

    config: Mapping[str, Any]
    setup: Setup
    steps: int
    learning_rate: float
    min_lr: float
    warmup_steps: int
    decay_steps: int
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    grad_clip: float = 1.0
    schedule: Schedule = "cosine"
    dataset: str | None = None
    why: tuple[str, ...] = ()
    gpu: str = ""
    gpu_count: int = 1
    cooldown_steps: int = 0
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.warmup_steps < self.decay_steps:
            raise ValueError("steps must be at least 1, and the warm-up end before the decay does")
        if not 0 <= self.min_lr <= self.learning_rate or self.learning_rate <= 0:
            raise ValueError("the learning rate must be above 0, and its floor not above it")
        if self.gpu_count != self.setup.gpu_count:
            raise ValueError(f"the setup shares work among {self.setup.gpu_count} GPUs, not {self.gpu_count}")
        if (self.schedule == "wsd") != (self.cooldown_steps > 0):
            raise ValueError("a wsd schedule has cooldown steps, and no other has")
        if self.cooldown_steps > self.decay_steps - self.warmup_steps:
            raise ValueError("the cooldown must begin after the warm-up")

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimiser step, all GPUs."""
        return self.setup.tokens_per_step

    @property
    def tokens(self) -> int:
        """Tokens of the whole run."""
        return self.steps * self.tokens_per_step

    @property
    def accumulation_over_ranks(self) -> int:
        """Micro-batches of one optimiser step, summed over data-parallel ranks as nanoGPT counts them."""
        return self.setup.gradient_accumulation_steps * self.setup.data_parallel

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimiser step, all GPUs."""
        return self.setup.micro_batch * self.accumulation_over_ranks
