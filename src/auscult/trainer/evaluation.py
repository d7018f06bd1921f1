"""The loss of a split: the same sequences every time, in eval mode; in train mode too where dropout tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..data import TokenSplit, evaluation_indices
from ..recipe import TrainingRecipe
from .model import IGNORED
from .ranks import Ranks

__all__ = ["evaluations"]


@torch.no_grad()
def evaluations(
    module: nn.Module,
    loss_of: Callable[[nn.Module, Tensor, Tensor], Tensor],
    splits: Mapping[str, TokenSplit],
    recipe: TrainingRecipe,
    ranks: Ranks,
    micro_batch: int,
) -> Iterator[dict[str, Any]]:
    """Yield the mean loss of each split and mode [nats per token], as the journal records it.

    ``loss_of`` returns the summed loss of a module, its inputs and its targets, both of shape (micro_batch, context).
    """
    for mode in ("eval", "train") if recipe.model.dropout > 0 else ("eval",):
        module.train(mode == "train")
        for name, split in splits.items():
            context = recipe.model.context
            indices = evaluation_indices(split.sequence_count(context), -(-recipe.evaluation.tokens // context))
            total = torch.zeros(2, dtype=torch.float64, device=ranks.device)
            mine = indices[ranks.rank :: ranks.world_size]
            for start in range(0, -(-len(indices) // ranks.world_size), micro_batch):
                part = mine[start : start + micro_batch]
                tokens = torch.from_numpy(split.sequences(part, context)).to(ranks.device)
                empty = (0, 0, 0, micro_batch - len(part))  # one shape, so that nothing is compiled twice
                inputs, targets = pad(tokens[:, :-1], empty), pad(tokens[:, 1:], empty, value=IGNORED)
                total[0] += loss_of(module, inputs, targets)
                total[1] += len(part) * context
            loss, count = ranks.sum(total).tolist()
            yield {"split": name, "mode": mode, "loss_nats_per_token": loss / count, "tokens": int(count)}
    module.train()
