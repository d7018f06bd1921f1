"""The micro-batch: what the estimate chose, confirmed by one measured pass, or the next smaller one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from ..errors import UsageError
from .ranks import Ranks, synchronise

__all__ = ["confirmed_micro_batch"]

CPU_OUT_OF_MEMORY = "can't allocate memory"  # how torch's CPU allocator says it (c10/core/impl/alloc_cpu.cpp)


def confirmed_micro_batch(
    module: nn.Module,
    loss_of: Callable[[nn.Module, Tensor, Tensor], Tensor],
    candidates: Sequence[int],
    sequences: Tensor,
    ranks: Ranks,
    note: Callable[[str], None],
) -> int:
    """Return the first candidate that every rank has memory for; the pass that shows it compiles the model, too.

    Raises
    ------
    UsageError
        When not even the last fits.
    """
    for micro_batch in candidates:
        passed, part = 1, sequences[:micro_batch]
        try:
            synchronise(module, isinstance(module, FSDPModule))  # a replica that fails leaves no other waiting
            loss_of(module, part[:, :-1], part[:, 1:]).backward()
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and CPU_OUT_OF_MEMORY not in str(error):
                raise
            passed = 0
        module.zero_grad(set_to_none=True)
        if ranks.least(passed):
            return micro_batch
        if ranks.device.type == "cuda":
            torch.cuda.empty_cache()
        note(f"a micro-batch of {micro_batch} ran out of memory; the tokens per step stay, in smaller passes")
    raise UsageError(
        f"Not even a micro-batch of {candidates[-1]} fits. Next: checkpointing = 'full', a shorter context, a smaller model."
    )
