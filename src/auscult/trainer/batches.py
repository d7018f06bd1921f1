"""The sequences of a step: a pure function of (seed, step, rank), read one step ahead."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from ..data import TokenSplit, step_indices
from ..recipe import TrainingRecipe
from .ranks import Ranks

__all__ = ["Batches"]


class Batches:
    """The training sequences of one rank; there is no state to save."""

    def __init__(self, split: TokenSplit, recipe: TrainingRecipe, ranks: Ranks) -> None:
        self._split, self._recipe, self._ranks = split, recipe, ranks
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: dict[int, Future[Tensor]] = {}

    def at(self, step: int) -> Tensor:
        """Return the sequences of a step on the device, shape (sequences of this rank, context + 1).

        Raises
        ------
        BadData
            When a shard cannot be read, or holds a token outside the vocabulary.
        """
        future = self._ahead.pop(step, None) or self._pool.submit(self._read, step)
        self._ahead = {step + 1: self._pool.submit(self._read, step + 1)}
        return future.result().to(self._ranks.device, non_blocking=True)

    def _read(self, step: int) -> Tensor:
        indices = step_indices(
            seed=self._recipe.seed,
            step=step,
            sequences_per_step=self._recipe.sequences_per_step,
            sequence_count=self._split.sequence_count(self._recipe.model.context),
            rank=self._ranks.rank,
            world_size=self._ranks.world_size,
        )
        tokens = torch.from_numpy(self._split.sequences(indices, self._recipe.model.context))
        return tokens.pin_memory() if self._ranks.device.type == "cuda" else tokens
