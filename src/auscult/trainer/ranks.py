"""One process or many: what torchrun started, and what ranks must agree on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from .model import Transformer

__all__ = ["Ranks", "parallel", "synchronise"]


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among all, as torchrun numbers them; 0 of 1 without it."""

    rank: int
    world_size: int
    device: torch.device

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over ranks, in place."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def least(self, value: int) -> int:
        """Return the least of all ranks' values."""
        told = torch.tensor(value, dtype=torch.int64)  # on the host: gloo waits 30 minutes, NCCL 10
        if self.world_size > 1:
            dist.all_reduce(told, dist.ReduceOp.MIN)
        return int(told.item())


def parallel(model: Transformer, ranks: Ranks, sharding: str, dtype: torch.dtype, *, compiled: bool) -> nn.Module:
    """Return the module to call: the model, replicated (DDP) or sharded (FSDP2) over the ranks, compiled where asked."""
    if ranks.world_size > 1 and sharding == "fsdp":
        mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
        policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        for module in (*model.h, model):
            if compiled and module is not model:
                module.compile(dynamic=False)
            fully_shard(module, mesh=mesh, mp_policy=policy)
        return model
    if compiled:
        model.compile(dynamic=False)
    if ranks.world_size == 1:
        return model
    devices = [ranks.device] if ranks.device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True, forward_sync_buffers=False)


def synchronise(module: nn.Module, wanted: bool) -> None:
    """Say whether the next backward pass sums gradients over ranks: only the last of an accumulation needs to."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(wanted)
    elif isinstance(module, DistributedDataParallel):
        module.require_backward_grad_sync = wanted
