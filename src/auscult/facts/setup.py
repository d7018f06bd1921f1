"""How a model is trained on a machine: batch, precision, checkpointing, compilation, optimiser, sharding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Checkpointing", "Loss", "Optimizer", "Precision", "Setup", "Sharding"]

Precision: TypeAlias = Literal["amp_bf16", "amp_fp16", "bf16", "fp32"]
Checkpointing: TypeAlias = Literal["none", "selective", "full"]
Loss: TypeAlias = Literal["eager", "compiled", "chunked", "fused"]
Optimizer: TypeAlias = Literal["adamw", "adamw_8bit", "muon", "lion", "adafactor", "sgd"]
Sharding: TypeAlias = Literal["none", "ddp", "zero1", "zero2", "fsdp"]


@dataclass(frozen=True, slots=True)
class Setup:
    """One way of training a model on one or more GPUs.

    Attributes
    ----------
    micro_batch, context : int
        Sequences of one pass on one data-parallel rank; their length [tokens].
    gradient_accumulation_steps : int
        Passes of one rank before the optimiser steps (not summed over ranks, unlike nanoGPT's key).
    precision : str
        ``amp_bf16`` and ``amp_fp16``: autocast over fp32 weights; ``bf16``: everything in bf16; ``fp32``.
    compiled : bool
        ``torch.compile`` over model and loss.
    flash : bool
        Attention that never stores the T x T scores.
    dropout : float
        Above 0, masks are kept for backward.
    checkpointing : str
        ``none``; ``full`` keeps only the input of every layer; ``selective`` keeps fused attention and every second
        matrix multiplication, as torchtitan's ``selective_ac_option = "op"`` does, its default of 2024 to 2025.
    loss : str
        ``eager`` cross-entropy with an fp32 copy of the logits; ``compiled``; ``chunked`` over the sequence; ``fused`` with
        the head (Liger, CCE).
    optimizer : str
        What keeps states for each parameter.
    sharding : str
        ``ddp`` replicates with reducer buckets; ``zero1`` shards optimiser states, ``zero2`` gradients too, ``fsdp`` (ZeRO-3)
        weights too, each over ``data_parallel``.
    data_parallel, tensor_parallel, pipeline_parallel, context_parallel : int
        Ranks along each axis; their product is the number of GPUs.
    lora_rank, lora_targets
        Above 0, only adapters on linears of these names are trained (every linear of the layers where the tuple is empty).
    frozen_bits : int
        Bits of a frozen weight under LoRA: 16, 8 or 4 (4 includes the quantisation constants in memory).
    fp32_states : bool
        Under ``bf16``: weights, gradients and optimiser states are kept in fp32 and cast for compute, as FSDP's
        ``MixedPrecision`` and Megatron do.
    """

    micro_batch: int
    context: int
    gradient_accumulation_steps: int = 1
    precision: Precision = "amp_bf16"
    compiled: bool = False
    flash: bool = True
    dropout: float = 0.0
    checkpointing: Checkpointing = "none"
    loss: Loss = "eager"
    optimizer: Optimizer = "adamw"
    sharding: Sharding = "none"
    data_parallel: int = 1
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    context_parallel: int = 1
    lora_rank: int = 0
    lora_targets: tuple[str, ...] = ()
    frozen_bits: int = 16
    fp32_states: bool = False

    def __post_init__(self) -> None:
        for name in (
            *("micro_batch", "context", "gradient_accumulation_steps", "data_parallel"),
            *("tensor_parallel", "pipeline_parallel", "context_parallel"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")

    @property
    def loss_path(self) -> Loss:
        """How the loss is computed in effect: compilation fuses an eager one."""
        return "compiled" if self.compiled and self.loss == "eager" else self.loss

    @property
    def gpu_count(self) -> int:
        """All GPUs of the run."""
        return self.data_parallel * self.tensor_parallel * self.pipeline_parallel * self.context_parallel

    @property
    def tokens_per_pass(self) -> int:
        """Tokens of one pass on one data-parallel rank."""
        return self.micro_batch * self.context

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimiser step, all ranks."""
        return self.tokens_per_pass * self.gradient_accumulation_steps * self.data_parallel
