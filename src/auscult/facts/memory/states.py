"""What weights, gradients and the optimiser take, and the buffers of training on several GPUs."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from ...architectures import Block, Experts, Linear, Mlp, Model
from ..parameters import count_adapters
from ..setup import Setup

__all__ = ["Counts", "States", "model_states", "parameter_groups"]

QUANTISED_BLOCK = 64
"""Weights that share one fp32 constant in 4-bit quantisation (Dettmers et al. 2023, arXiv:2305.14314; bitsandbytes)."""
EIGHT_BIT_BLOCK = 256
"""States that share one fp32 constant in 8-bit optimisers (bitsandbytes ``F.optimizer_update_8bit_blockwise``)."""
BUCKET_PARAMETERS = 500_000_000
"""DeepSpeed's default ``reduce_bucket_size`` under ZeRO-2 [parameters]."""
GATHERED_BLOCKS = 2
"""FSDP gathers the next layer while one computes."""
NEWTON_SCHULZ_COPIES = 5
"""Muon's iteration holds the matrix, its Gram product and its square, and the update, in bf16 (KellerJordan/Muon)."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Parameters by what memory asks of them.

    ``hidden`` are the matrices of the layers; ``head`` the output head of its own; ``tables`` what is looked up; ``vectors``
    everything else. ``cast`` counts the weights that autocast copies. ``sides`` adds up both sides of every matrix.
    ``largest`` is the largest matrix or table, ``largest_hidden`` of the layers, ``block`` the largest layer.
    """

    hidden: int
    head: int
    tables: int
    vectors: int
    cast: int
    sides: int
    largest: int
    largest_hidden: int
    block: int

    @property
    def total(self) -> int:
        """All parameters, tied ones once."""
        return self.hidden + self.head + self.tables + self.vectors


@dataclass(frozen=True, slots=True)
class States:
    """Bytes on one GPU; ``step`` is what the optimiser needs for the time of its step."""

    weights: int
    gradients: int
    optimizer: int
    autocast_copies: int
    buckets: int
    step: int


@functools.lru_cache(maxsize=1024)
def parameter_groups(model: Model) -> Counts:
    """Count a model's parameters by what memory asks of them.

    Parameters
    ----------
    model : Model
        The blueprint.

    Returns
    -------
    Counts

    References
    ----------
    Adds up to :func:`auscult.facts.parameters.count_parameters`, which is compared with transformers' models.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> parameter_groups(build({"model_type": "gpt2"})).total
    124439808
    """
    hidden = vectors = biases = sides = block = 0
    matrices = [1]
    for stack in model.stacks:
        own = 0
        for linear, copies in _linears(stack.block):
            hidden += stack.count * copies * linear.weights
            biases += stack.count * copies * (linear.parameters - linear.weights)
            sides += stack.count * copies * (linear.d_in + linear.d_out)
            own += copies * linear.parameters
            matrices.append(linear.weights)
        small = _small(stack.block)
        vectors += stack.count * small
        block = max(block, own + small)
    outside = [model.head, *model.linears]
    cast = hidden + biases + sum(linear.parameters for linear in outside)
    biases += sum(linear.parameters - linear.weights for linear in outside)
    vectors += biases + sum(norm.parameters for norm in model.norms) + sum(vector.size for vector in model.vectors)
    head = sum(linear.weights for linear in model.linears) + (0 if model.tied else model.head.weights)
    tables = [table.parameters for table in model.tables]
    sides += sum(linear.d_in + linear.d_out for linear in (model.linears if model.tied else outside))
    sides += sum(table.rows + table.width for table in model.tables)
    return Counts(
        hidden=hidden,
        head=head,
        tables=sum(tables),
        vectors=vectors,
        cast=cast,
        sides=sides,
        largest=max(*matrices, model.head.weights, *tables),
        largest_hidden=max(matrices),
        block=block,
    )


def model_states(model: Model, setup: Setup) -> States:
    """Return what the model and its optimiser take on one GPU, in bytes.

    Parameters
    ----------
    model : Model
        The blueprint.
    setup : Setup
        Precision, optimiser, sharding, parallel sizes and adapters.

    Returns
    -------
    States

    Notes
    -----
    A weight takes 4 bytes, or 2 in pure bf16 and where frozen; its gradient as much. States per parameter: AdamW two values
    of the weight's type, 8-bit AdamW two bytes, Lion and Muon's matrices one value, Adafactor a row and a column of each
    matrix, SGD without momentum none. Autocast copies every matrix in 2 bytes until the backward pass has used it; under
    FSDP gathered layers are cast instead. DDP keeps buckets of the size of the gradients (unless
    ``gradient_as_bucket_view``); FSDP gathers two layers and what stands outside them, and reduces one layer in fp32.
    Tensor and pipeline parallelism divide all of it evenly. PyTorch's AdamW takes one more value per parameter while it
    steps (``foreach``, its default on CUDA; ``fused`` takes none).

    References
    ----------
    Rajbhandari et al. 2020, arXiv:1910.02054 (ZeRO); Zhao et al. 2023, arXiv:2304.11277 (FSDP); PyTorch
    ``torch/optim/adamw.py``, ``torch/csrc/distributed/c10d/reducer.cpp``, ``aten/src/ATen/autocast_mode.cpp``; Dettmers
    et al. 2022, arXiv:2110.02861 (8-bit states) and 2023, arXiv:2305.14314 (4-bit weights); Shazeer & Stern 2018,
    arXiv:1804.04235 (Adafactor).

    Examples
    --------
    >>> from auscult.architectures import build
    >>> states = model_states(build({"model_type": "gpt2"}), Setup(micro_batch=1, context=1024))
    >>> (states.weights + states.gradients + states.optimizer) / 124_439_808
    16.0
    """
    return _states(
        *(model, setup.precision == "bf16" and not setup.fp32_states, setup.precision, setup.optimizer, setup.sharding),
        *(setup.data_parallel, setup.context_parallel, setup.tensor_parallel * setup.pipeline_parallel),
        *(setup.lora_rank, setup.lora_targets, setup.frozen_bits),
    )


@functools.lru_cache(maxsize=4096)
def _states(
    model: Model,
    half: bool,
    precision: str,
    optimizer: str,
    sharding: str,
    data_parallel: int,
    context_parallel: int,
    split: int,
    lora_rank: int,
    targets: tuple[str, ...],
    frozen_bits: int,
) -> States:
    counts = parameter_groups(model)
    stored = 2 if half else 4
    ranks = data_parallel * (context_parallel if sharding == "fsdp" else 1)
    shard_weights = ranks if sharding == "fsdp" else 1
    shard_gradients = ranks if sharding in ("fsdp", "zero2") else 1
    shard_states = ranks if sharding in ("fsdp", "zero2", "zero1") else 1
    if lora_rank:
        trained = count_adapters(model, rank=lora_rank, targets=targets)
        frozen = counts.hidden * _frozen_bytes(frozen_bits, precision)
        frozen += (counts.total - counts.hidden) * (4 if precision == "fp32" else 2)
        weights = (frozen + trained * stored) / shard_weights
        cast = trained
        states = trained * _per_parameter(optimizer, stored)
        step = float(trained * stored)
    else:
        trained = counts.total
        weights = trained * stored / shard_weights
        cast = counts.cast
        states = _optimizer(counts, optimizer, stored)
        step = _step(counts, optimizer, stored, shard_states)
    gradients = trained * stored
    copies = 2 * cast if precision in ("amp_bf16", "amp_fp16") and sharding != "fsdp" else 0
    return States(
        weights=round(weights / split),
        gradients=round(gradients / shard_gradients / split),
        optimizer=round(states / shard_states / split),
        autocast_copies=round(copies / split),
        buckets=round(_buckets(counts, sharding, stored, precision, trained) / split),
        step=round(step / split),
    )


def _frozen_bytes(bits: int, precision: str) -> float:
    """Return the bytes of a frozen matrix's weight, quantisation constants included."""
    if bits == 4:
        return 0.5 + 4 / QUANTISED_BLOCK
    if bits == 8:
        return 1.0
    return 4.0 if precision == "fp32" else 2.0


def _per_parameter(optimizer: str, stored: int) -> float:
    """Return the bytes that an optimiser keeps of a parameter outside any matrix rule."""
    match optimizer:
        case "adamw_8bit":
            return 2 + 2 * 4 / EIGHT_BIT_BLOCK
        case "lion" | "adafactor":
            return stored  # Adafactor: the full second moment of vectors
        case "sgd":
            return 0
        case _:
            return 2 * stored


def _optimizer(counts: Counts, optimizer: str, stored: int) -> float:
    if optimizer == "muon":
        return stored * counts.hidden + 2 * stored * (counts.total - counts.hidden)
    if optimizer == "adafactor":
        return stored * (counts.sides + counts.vectors)
    return _per_parameter(optimizer, stored) * counts.total


def _step(counts: Counts, optimizer: str, stored: int, ranks: int) -> float:
    """Return what the optimiser allocates while it steps."""
    match optimizer:
        case "adamw":
            return stored * counts.total / ranks
        case "muon":
            return NEWTON_SCHULZ_COPIES * 2 * counts.largest_hidden
        case "adafactor":
            return 2 * stored * counts.largest  # the squared gradient and the update, one tensor at a time
        case _:
            return 0


def _buckets(counts: Counts, sharding: str, stored: int, precision: str, trained: int) -> float:
    if sharding in ("ddp", "zero1"):
        return stored * trained
    if sharding == "zero2":
        return 2 * stored * min(trained, BUCKET_PARAMETERS)
    if sharding == "fsdp":
        compute = 4 if precision == "fp32" else 2
        gathered = compute * (GATHERED_BLOCKS * counts.block + counts.total - counts.hidden)
        reduced = (compute + stored) * min(counts.block, trained)
        return gathered + reduced
    return 0


def _linears(block: Block) -> Iterator[tuple[Linear, int]]:
    """Yield every matrix of a layer with the number of its copies."""
    if block.mixer is not None:
        yield from ((linear, 1) for linear in block.mixer.linears)
    if isinstance(block.mlp, Mlp):
        yield from ((linear, 1) for linear in block.mlp.linears)
    elif isinstance(block.mlp, Experts):
        yield from ((linear, block.mlp.count) for linear in block.mlp.expert.linears)
        yield block.mlp.router, 1
        if block.mlp.shared is not None:
            yield from ((linear, 1) for linear in block.mlp.shared.linears)
        if block.mlp.shared_gate is not None:
            yield block.mlp.shared_gate, 1


def _small(block: Block) -> int:
    """Return a layer's parameters that are no matrix: norms and vectors."""
    found = sum(norm.parameters for norm in block.norms) + sum(vector.size for vector in block.vectors)
    if block.mixer is not None:
        found += sum(norm.parameters for norm in block.mixer.norms)
        found += sum(vector.size for vector in block.mixer.vectors)
    if isinstance(block.mlp, Experts):
        found += sum(vector.size for vector in block.mlp.vectors)
    return found
