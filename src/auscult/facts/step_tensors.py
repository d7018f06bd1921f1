"""The tensors that a training step asks the allocator for, one by one, with the factors of their sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..architectures import Attention, Block, Experts, Linear, Mlp, Model, Ssm
from .memory.logits import CHUNK_TOKENS
from .setup import Setup

__all__ = ["Factor", "StepPhase", "StepTensor", "step_tensors"]

StepPhase: TypeAlias = Literal["loading", "evaluation", "forward", "backward", "optimizer"]
Factor: TypeAlias = tuple[int, str]
"""A number and what it counts, such as ``(1024, "context")``."""

FP32 = 4
CHUNK_COUNTS = (4, 8, 16)
"""Chunks of a loss that is cut into so many, as torchtitan's (8 by default); litgpt's have 128 tokens."""
EVERY_PASS: tuple[StepPhase, ...] = ("evaluation", "forward", "backward")
NO_BACKWARD: tuple[StepPhase, ...] = ("evaluation", "forward")


@dataclass(frozen=True, slots=True)
class StepTensor:
    """One tensor that a step allocates.

    Attributes
    ----------
    kind : str
        What it is, one word for all layers: ``logits``, ``logits_copy``, ``log_softmax``, ``weight_gradient`` …
    owner : str
        The module or table it belongs to (``c_fc``, ``token table``); empty where the kind says it.
    factors : tuple
        The factors of its number of elements, each with what it counts.
    item_bytes : int
        Of one element.
    phases : tuple of str
        When it is asked for.
    """

    kind: str
    owner: str
    factors: tuple[Factor, ...]
    item_bytes: int
    phases: tuple[StepPhase, ...]

    @property
    def size_bytes(self) -> int:
        """The product of the factors, in bytes."""
        return math.prod(number for number, _what in self.factors) * self.item_bytes

    @property
    def expression(self) -> str:
        """The product as one writes it down, such as ``32·1024·50304·4 B``."""
        return "·".join([*(str(number) for number, _what in self.factors), f"{self.item_bytes} B"])

    @property
    def scales_with_batch(self) -> bool:
        """Whether a smaller micro-batch makes it smaller."""
        return any("batch" in what for _number, what in self.factors)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes of a value by role, and the lengths that all tensors share on one GPU."""

    model: Model
    setup: Setup

    @property
    def compute(self) -> int:
        """A value that a matrix multiplication reads or writes."""
        return FP32 if self.setup.precision == "fp32" else 2

    @property
    def stored(self) -> int:
        """A weight as it is kept."""
        return 2 if self.setup.precision == "bf16" and not self.setup.fp32_states else FP32

    @property
    def stream(self) -> int:
        """A value of the residual stream."""
        return 2 if self.setup.precision == "bf16" else FP32

    @property
    def tensor(self) -> int:
        return self.setup.tensor_parallel

    @property
    def pass_(self) -> tuple[Factor, Factor]:
        length = -(-self.setup.context // self.setup.context_parallel)
        return (self.setup.micro_batch, "micro-batch"), (length, "context")

    def split(self, width: int) -> int:
        """Return a rank's share of a width under tensor parallelism."""
        return -(-width // self.tensor)


def step_tensors(model: Model, setup: Setup) -> tuple[StepTensor, ...]:
    """Return the tensors that one training step allocates on one GPU, each kind and size once.

    Parameters
    ----------
    model : Model
        The blueprint.
    setup : Setup
        How it is trained.

    Returns
    -------
    tuple of StepTensor
        Those of all layers of one shape stand once.

    Notes
    -----
    Eager PyTorch allocates each result of an operation; a compiled model only those that leave a fused kernel. Gradients of
    activations have the size of what they are gradients of. Shards of FSDP are of dimension 0, rounded up; what it gathers is
    one buffer a layer. Not listed: parts of heads that are rotated only partly, DDP's buckets (several parameters up to 25 MiB), workspaces of kernels, temporary tensors
    of code outside the model, samplers and data loading.

    References
    ----------
    PyTorch ``torch/nn/functional.py`` (cross_entropy), ``aten/src/ATen/autocast_mode.cpp`` (what is cast), ``torch/optim/
    adamw.py``, ``torch/distributed/fsdp``; transformers ``loss/loss_utils.py`` (``ForCausalLMLoss``, which shifts the labels,
    before 4.45 the logits); Lightning-AI/litgpt ``chunked_cross_entropy``; linkedin/Liger-Kernel
    ``fused_linear_cross_entropy.py``; state-spaces/mamba ``ssd_chunk_state.py``.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> model = build({"model_type": "gpt2", "vocab_size": 50304})
    >>> [t.expression for t in step_tensors(model, Setup(micro_batch=32, context=1024)) if t.kind == "logits_copy"]
    ['32·1024·50304·4 B']
    """
    sizes = _Sizes(model, setup)
    found: dict[StepTensor, None] = {}
    for tensor in _all(model, setup, sizes):
        if tensor.size_bytes:
            found[tensor] = None
    return tuple(found)


def _all(model: Model, setup: Setup, sizes: _Sizes) -> Iterator[StepTensor]:
    yield from _loss(model, setup, sizes)
    width = (model.d_model, "width")
    yield StepTensor("stream", "", (*sizes.pass_, width), sizes.stream, EVERY_PASS)
    if sizes.stream != FP32:
        yield StepTensor("stream_fp32", "", (*sizes.pass_, width), FP32, EVERY_PASS)
    for stack in model.stacks:
        yield from _block(stack.block, setup, sizes)
        if setup.sharding == "fsdp":
            yield from _gathered(_block_parameters(stack.block), "layer", sizes)
    for table in model.tables:
        name = "token table" if table.kind == "embedding" else f"{table.kind} table"
        yield from _weight(name, ((table.rows, "rows"), (table.width, "width")), setup, sizes, cast=False)
    for linear in (*model.linears, *(() if model.tied else (model.head,))):
        yield from _matrix(linear, setup, sizes)
    if model.tied:
        # The head's own use of the shared table: cast for the multiplication, and its gradient before it is added.
        both = ((sizes.split(model.head.d_out), "vocabulary"), (model.head.d_in, "width"))
        if sizes.compute != sizes.stored:
            yield StepTensor("weight_cast", "output head", both, sizes.compute, ("evaluation", "forward"))
            yield StepTensor("weight_gradient_half", "output head", both, sizes.compute, ("backward",))
    if setup.sharding == "fsdp":
        yield from _gathered(sum(table.parameters for table in model.tables), "tables", sizes)


def _loss(model: Model, setup: Setup, sizes: _Sizes) -> Iterator[StepTensor]:
    """Yield what stands between the head and the loss, in the order in which it is asked for."""
    vocabulary = (sizes.split(model.head.d_out), "vocabulary")
    batch, length = sizes.pass_
    whole = (batch, length, vocabulary)
    path, value = setup.loss_path, sizes.compute
    if path in ("chunked", "fused"):
        tokens = batch[0] * length[0]
        rows = min(CHUNK_TOKENS, tokens)
        if path == "fused":
            # Liger: as many chunks as the vocabulary holds widths, of a power of two of rows.
            chunks = max(1, -(-vocabulary[0] // max(model.head.d_in, 1)))
            rows = min(tokens, 1 << max(0, (-(-tokens // chunks) - 1).bit_length()))
        sizes_of_chunks = {rows: None}
        if path == "chunked":
            sizes_of_chunks |= {-(-tokens // count): None for count in CHUNK_COUNTS}
        for chunk_tokens in sizes_of_chunks:
            chunk = ((chunk_tokens, "tokens of a chunk"), vocabulary)
            yield StepTensor("logits_chunk", "", chunk, value, NO_BACKWARD)
            yield StepTensor("logits_chunk", "", chunk, FP32, EVERY_PASS)
        if path == "chunked":
            yield StepTensor("logits", "", whole, value, NO_BACKWARD)
        else:
            head = (vocabulary, (model.head.d_in, "width"))
            yield StepTensor("weight_gradient_half", "output head", head, value, ("forward",))
        return
    yield StepTensor("logits", "", whole, value, NO_BACKWARD)
    if path == "compiled":
        yield StepTensor("logits_gradient", "", whole, value, ("backward",))
        return
    shifted = (batch, (length[0] - 1, "context less 1"), vocabulary)
    if value != FP32:
        yield StepTensor("logits_copy", "", whole, FP32, NO_BACKWARD)
    yield StepTensor("logits_shifted", "", shifted, value, NO_BACKWARD)
    if value != FP32:
        yield StepTensor("logits_shifted", "", shifted, FP32, NO_BACKWARD)
    of = "fp32 copy of the logits" if value != FP32 else "logits"
    yield StepTensor("log_softmax", of, whole, FP32, NO_BACKWARD)
    yield StepTensor("log_softmax_gradient", "", whole, FP32, ("backward",))
    yield StepTensor("logits_gradient", "", whole, FP32, ("backward",))
    if value != FP32:
        yield StepTensor("logits_gradient_half", "", whole, value, ("backward",))


def _block(block: Block, setup: Setup, sizes: _Sizes) -> Iterator[StepTensor]:
    match block.mixer:
        case Attention() as attention:
            for linear in attention.linears:
                yield from _matrix(linear, setup, sizes)
                yield from _result(linear, sizes)
            yield from _heads(attention, sizes)
            if not setup.flash:
                yield from _scores(attention, sizes)
        case Ssm() as ssm:
            for linear in ssm.linears:
                yield from _matrix(linear, setup, sizes)
                yield from _result(linear, sizes)
            batch, length = sizes.pass_
            chunks = (-(-length[0] // ssm.chunk), "chunks")
            heads, inner = (sizes.split(ssm.n_head), "heads"), (ssm.head_dim, "head width")
            yield StepTensor("ssm_states", "", (batch, chunks, heads, inner, (ssm.d_state, "state")), FP32, EVERY_PASS)
        case None:
            pass
    match block.mlp:
        case Mlp() as mlp:
            yield from _mlp(mlp, setup, sizes, sizes.pass_)
        case Experts() as experts:
            yield from _experts(experts, setup, sizes)
        case None:
            pass


def _heads(attention: Attention, sizes: _Sizes) -> Iterator[StepTensor]:
    """Yield queries, keys and values: rotated by halves where positions are rotary, in fp32 inside a norm of each head."""
    parts = (
        ("queries", attention.n_head, attention.qk_dim),
        ("keys", attention.n_kv_head, attention.qk_dim),
        ("values", attention.n_kv_head, attention.v_dim),
    )
    rotary = sizes.model.learned_positions is None
    for name, heads, width in parts:
        rows = (*sizes.pass_, (sizes.split(heads), "heads"))
        yield StepTensor("heads", name, (*rows, (width, "head width")), sizes.compute, EVERY_PASS)
        if name == "values":
            continue
        if rotary:
            yield StepTensor("rotated_half", name, (*rows, (width // 2, "half of a head")), sizes.compute, EVERY_PASS)
        if (attention.norms or rotary) and sizes.compute != FP32:
            yield StepTensor("heads_fp32", name, (*rows, (width, "head width")), FP32, EVERY_PASS)
            yield StepTensor("rotated_half", name, (*rows, (width // 2, "half of a head")), FP32, EVERY_PASS)


def _scores(attention: Attention, sizes: _Sizes) -> Iterator[StepTensor]:
    batch, length = sizes.pass_
    heads = (sizes.split(attention.n_head), "heads")
    square = (batch, heads, (length[0], "queries"), (sizes.setup.context, "keys"))
    # Masks of unfused attention are one for all heads; in transformers they are added to the scores, in their dtype.
    mask = (batch, (length[0], "queries"), (sizes.setup.context, "keys"))
    yield StepTensor("attention_mask", "", mask, sizes.stream, NO_BACKWARD)
    yield StepTensor("attention_scores", "", square, sizes.compute, EVERY_PASS)
    if sizes.compute != FP32:
        yield StepTensor("attention_softmax", "", square, FP32, EVERY_PASS)


def _mlp(mlp: Mlp, setup: Setup, sizes: _Sizes, rows: tuple[Factor, ...]) -> Iterator[StepTensor]:
    for linear in mlp.linears:
        yield from _matrix(linear, setup, sizes)
        yield from _result(linear, sizes, rows)
    inner = (sizes.split(mlp.d_ff), "inner width")
    yield StepTensor("mlp_inner", "", (*rows, inner), sizes.compute, EVERY_PASS)
    if mlp.activation in ("gelu_new", "gelu_fast") and sizes.compute != FP32 and not setup.compiled:
        yield StepTensor("mlp_inner_fp32", "", (*rows, inner), FP32, EVERY_PASS)


def _experts(experts: Experts, setup: Setup, sizes: _Sizes) -> Iterator[StepTensor]:
    """Yield what all tokens need, each as often as it passes an expert; one expert's share depends on the router."""
    rows = (*sizes.pass_, (experts.active, "experts a token"))
    yield from _mlp(experts.expert, setup, sizes, rows)
    yield from _matrix(experts.router, setup, sizes)
    for linear in experts.expert.linears:
        # Kept as one tensor of all experts where they run as a grouped multiplication.
        shape = ((experts.count, "experts"), (linear.d_out, "outputs"), (linear.d_in, "inputs"))
        yield from _weight(f"{linear.name} of all experts", shape, setup, sizes, cast=True)
    if experts.shared is not None:
        yield from _mlp(experts.shared, setup, sizes, sizes.pass_)


def _result(linear: Linear, sizes: _Sizes, rows: tuple[Factor, ...] | None = None) -> Iterator[StepTensor]:
    out = (sizes.split(linear.d_out), "outputs")
    yield StepTensor("result", linear.name, (*(rows or sizes.pass_), out), sizes.compute, EVERY_PASS)


def _matrix(linear: Linear, setup: Setup, sizes: _Sizes) -> Iterator[StepTensor]:
    shape = ((linear.d_out, "outputs"), (linear.d_in, "inputs"))
    yield from _weight(linear.name, shape, setup, sizes, cast=True)


def _weight(name: str, shape: tuple[Factor, ...], setup: Setup, sizes: _Sizes, *, cast: bool) -> Iterator[StepTensor]:
    """Yield a parameter: its weight, gradient, states, and what autocast makes of it."""
    first, *others = shape
    split = sizes.split(first[0])
    gradient = ((split, first[1]), *others)
    shards = setup.data_parallel
    if setup.sharding == "fsdp":
        split = -(-split // shards)
    own = ((split, first[1]), *others)
    frozen = setup.lora_rank > 0
    if frozen:
        # Quantised, two values of 4 bits share a byte: the constants are a tensor of their own.
        if setup.frozen_bits >= 8:
            yield StepTensor("weight", name, own, setup.frozen_bits // 8, ("loading",))
        return
    yield StepTensor("weight", name, own, sizes.stored, ("loading",))
    if cast and sizes.compute != sizes.stored:
        yield StepTensor("weight_cast", name, gradient, sizes.compute, ("evaluation", "forward"))
        yield StepTensor("weight_gradient_half", name, gradient, sizes.compute, ("backward",))
    yield StepTensor("weight_gradient", name, gradient, sizes.stored, ("backward",))
    if setup.optimizer in ("adamw", "lion", "muon"):
        yield StepTensor("optimizer_state", name, own, sizes.stored, ("optimizer",))
    if setup.optimizer == "adamw_8bit":
        yield StepTensor("optimizer_state", name, own, 1, ("optimizer",))
    if setup.optimizer in ("adamw", "adafactor"):
        yield StepTensor("optimizer_temporary", name, own, sizes.stored, ("optimizer",))


def _gathered(parameters: int, what: str, sizes: _Sizes) -> Iterator[StepTensor]:
    """Yield FSDP's buffers: what it gathers of all ranks before use, and what it reduces after the backward pass."""
    shards = sizes.setup.data_parallel
    whole = -(-sizes.split(parameters) // shards) * shards
    number = ((whole, f"parameters of a {what}" if what == "layer" else f"parameters of the {what}"),)
    yield StepTensor("fsdp_gathered", what, number, sizes.compute, EVERY_PASS)
    yield StepTensor("fsdp_reduced", what, number, FP32, ("backward",))


def _block_parameters(block: Block) -> int:
    found = sum(norm.parameters for norm in block.norms) + sum(vector.size for vector in block.vectors)
    if block.mixer is not None:
        found += sum(linear.parameters for linear in block.mixer.linears)
        found += sum(norm.parameters for norm in block.mixer.norms) + sum(v.size for v in block.mixer.vectors)
    match block.mlp:
        case Mlp() as mlp:
            found += sum(linear.parameters for linear in mlp.linears)
        case Experts() as experts:
            found += experts.count * sum(linear.parameters for linear in experts.expert.linears)
            found += experts.router.parameters + sum(vector.size for vector in experts.vectors)
            found += sum(linear.parameters for linear in experts.shared.linears) if experts.shared else 0
            found += experts.shared_gate.parameters if experts.shared_gate else 0
        case None:
            pass
    return found
