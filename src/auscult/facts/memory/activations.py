"""What autograd saves of one token for the backward pass, listed tensor by tensor from the blueprint."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from ...architectures import Attention, Block, Experts, Linear, Mlp, Model, Norm, Ssm
from ..setup import Precision, Setup

__all__ = ["Slopes", "activation_slopes"]

FP32 = 4
TOKEN_ID_BYTES = 16
"""An int64 input and an int64 target."""
MASK_BYTES = 1
"""A dropout mask on CUDA is boolean (ATen ``native_dropout``); the CPU keeps noise of the value's own type."""


@dataclass(frozen=True, slots=True)
class Slopes:
    """Bytes of one token, before any division between GPUs.

    Attributes
    ----------
    blocks : int
        Saved by all layers together where none is recomputed.
    scores : float
        Saved by all layers for each position that a query is compared with: nothing where attention is fused.
    inputs : int
        The inputs of all layers: what full checkpointing keeps.
    selected : int
        What selective checkpointing keeps: inputs, results of every second matrix multiplication, and of attention.
    live : int
        The largest single layer, recomputed in the backward pass.
    live_scores : float
        The scores of that layer, as ``scores``.
    gradients : int
        Gradients that are alive inside one layer in the backward pass: of its inner width, and of the residual stream.
    ends : int
        Outside the layers: the final norm, the input of the head, token ids, a mask of the embedding.
    stream, gathered : int
        The residual stream of one token; the same as an input of matrix multiplications.
    """

    blocks: int
    scores: float
    inputs: int
    selected: int
    live: int
    live_scores: float
    gradients: int
    ends: int
    stream: int
    gathered: int


@dataclass(frozen=True, slots=True)
class _Rules:
    """How values are stored and which of them backward needs.

    ``stream`` and ``compute`` are the bytes of a value of the residual stream and of a matrix multiplication.
    ``wide_gains``: RMSNorms multiply by their gain in fp32, before they cast back, as Gemma's do.
    """

    stream: int
    compute: int
    compiled: bool
    flash: bool
    dropout: bool
    lora_rank: int
    targets: tuple[str, ...]
    wide_gains: bool = False

    @property
    def autocast(self) -> bool:
        return self.stream != self.compute

    @property
    def frozen(self) -> bool:
        return self.lora_rank > 0

    def adapted(self, linear: Linear) -> bool:
        return self.frozen and (not self.targets or linear.name in self.targets)

    def inputs(self, linears: Iterable[Linear], width: int) -> int:
        """Return what linears that read the same tensor keep of it.

        A weight gradient needs the input. Under autocast each eager multiplication casts a copy for itself: only casts of
        weights are cached. Compiled, one cast is shared. A frozen weight needs none; its adapter keeps the input, or its
        own dropped-out copy with a mask, and the product with its down projection.
        """
        readers = list(linears)
        if not readers:
            return 0
        if not self.frozen:
            copies = len(readers) if self.autocast and not self.compiled else 1
            return copies * self.compute * width
        adapters = sum(1 for linear in readers if self.adapted(linear))
        if not adapters:
            return 0
        ranks = adapters * self.lora_rank * self.compute
        if self.dropout:
            return adapters * (self.compute + MASK_BYTES) * width + ranks
        copies = adapters if self.autocast and not self.compiled else 1
        return copies * self.compute * width + ranks

    def norm(self, norm: Norm, width: int, stored: int) -> int:
        """Return what a norm over ``width`` values of a token keeps of an input of ``stored`` bytes a value.

        Fused and compiled kernels keep the input and fp32 statistics. An RMSNorm written out keeps an fp32 copy of the
        input (the input itself where it is fp32), and for the gradient of its gain the normalised values, cast back.
        """
        groups = width // norm.width if norm.width and width >= norm.width else 1
        statistics = groups * FP32 * (2 if norm.kind == "layer" else 1)
        if norm.fused or self.compiled:
            return stored * width + statistics
        normalised = (FP32 if self.wide_gains else stored) * width if norm.gain and not self.frozen else 0
        return FP32 * width + normalised + statistics


def activation_slopes(model: Model, setup: Setup) -> Slopes:
    """Return what backward needs of one token, in bytes, on one GPU that holds the whole model.

    Parameters
    ----------
    model : Model
        The blueprint.
    setup : Setup
        Precision, compilation, fused attention, dropout and adapters matter here.

    Returns
    -------
    Slopes

    Notes
    -----
    Each tensor that PyTorch's autograd saves is counted once. Not counted: workspaces of kernels, indices of experts, what
    backends pad. ``Ssm`` is counted as Mamba-2's fused kernel saves it, which was not measured here.

    References
    ----------
    PyTorch ``tools/autograd/derivatives.yaml`` says which tensors each operation saves; ``aten/src/ATen/autocast_mode.cpp``
    which are cast. Korthikanti et al. 2022, arXiv:2205.05198, section 4, for the transformer in fp16. Compiled: what
    AOTAutograd's min-cut partitioner keeps (``torch/_functorch/partitioners.py``). Tests compare with
    ``torch.autograd.graph.saved_tensors_hooks`` over models of transformers.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> model = build({"model_type": "gpt2", "n_layer": 1, "n_head": 12, "n_embd": 768, "bias": False})
    >>> slopes = activation_slopes(model, Setup(micro_batch=1, context=1024))
    >>> slopes.blocks == 36 * 768 + 4 * 12 + 2 * 8
    True
    """
    return _slopes(
        *(model, setup.precision, setup.compiled, setup.flash, setup.dropout > 0),
        *(setup.lora_rank, setup.lora_targets),
    )


@functools.lru_cache(maxsize=1024)
def _slopes(
    model: Model,
    precision: Precision,
    compiled: bool,
    flash: bool,
    dropout: bool,
    lora_rank: int,
    targets: tuple[str, ...],
) -> Slopes:
    compute = FP32 if precision == "fp32" else 2
    stream = 2 if precision == "bf16" else FP32
    rules = _Rules(
        stream, compute, compiled, flash, dropout, lora_rank, targets, wide_gains=model.family.startswith("gemma")
    )
    rotary = model.learned_positions is None
    each = [(_block(s.block, model.d_model, rules, rotary), s) for s in model.stacks]
    live, live_scores = max((saved for saved, _stack in each), default=(0, 0.0), key=lambda saved: saved[0])
    ends = sum(rules.norm(norm, model.d_model, stream) for norm in model.norms) or stream * model.d_model
    ends += sum(rules.inputs([linear], linear.d_in) for linear in (*model.linears, model.head))
    return Slopes(
        blocks=sum(saved[0] * stack.count for saved, stack in each),
        scores=sum(saved[1] * stack.count for saved, stack in each),
        inputs=stream * model.d_model * model.n_layer,
        selected=sum(s.count * _selected(s.block, model.d_model, rules) for s in model.stacks),
        live=live,
        live_scores=live_scores,
        gradients=max((_gradients(s.block, model.d_model, rules) for s in model.stacks), default=0),
        ends=ends + TOKEN_ID_BYTES + (MASK_BYTES * model.d_model if dropout and not rules.frozen else 0),
        stream=stream * model.d_model,
        gathered=compute * model.d_model,
    )


def _block(block: Block, width: int, rules: _Rules, rotary: bool) -> tuple[int, float]:
    """Return the bytes that one layer saves for a token, and those for each position that it is compared with."""
    parts = [part for part in (block.mixer, block.mlp) if part is not None]
    saved, scores = 0, 0.0
    # One norm reads the residual stream for each part (one for both where they are parallel); further norms read what a
    # part puts out, before it is added to the stream.
    for index, norm in enumerate(block.norms):
        saved += rules.norm(norm, width, rules.stream if index < len(parts) else rules.compute)
    if not block.norms:
        saved += rules.stream * width
    match block.mixer:
        case Attention() as attention:
            own, scores = _attention(attention, width, rules, rotary)
            saved += own
        case Ssm() as ssm:
            saved += _ssm(ssm, width, rules)
        case None:
            pass
    match block.mlp:
        case Mlp() as mlp:
            saved += _mlp(mlp, width, rules)
        case Experts() as experts:
            saved += _experts(experts, width, rules)
        case None:
            pass
    if rules.dropout and not rules.frozen:
        saved += MASK_BYTES * width * len(parts)
    return saved, scores


def _attention(attention: Attention, width: int, rules: _Rules, rotary: bool) -> tuple[int, float]:
    heads, groups = attention.n_head, attention.n_kv_head if rules.flash else attention.n_head
    queries, keys, values = heads * attention.qk_dim, groups * attention.qk_dim, groups * attention.v_dim
    out = heads * attention.v_dim
    *projections, last = attention.linears
    saved = rules.inputs([p for p in projections if p.d_in == width], width)
    for inner in projections:
        if inner.d_in != width:  # latent attention: the up projections of queries and of keys with values
            saved += rules.inputs([inner], inner.d_in)
    saved += rules.compute * (queries + keys + values) + _held_by_values(attention, projections, rules, rotary)
    saved += _attention_norms(attention, rules)
    scores = 0.0
    if rules.flash:
        # The fused kernel keeps its output, which the output projection reads, and the log of each row's sum.
        saved += rules.compute * out + FP32 * heads
        if rules.frozen:
            saved += rules.inputs([last], out)
            saved -= rules.compute * out if rules.adapted(last) and not rules.dropout else 0
    else:
        saved += rules.inputs([last], out)
        # Softmax in fp32 and, but in fp32, its copy cast for the product with the values; a mask where weights drop out.
        kept = FP32 + (rules.compute if rules.compute != FP32 else 0)
        if rules.dropout and not rules.frozen:
            kept += MASK_BYTES + (FP32 if rules.compute == FP32 else 0)
        scores = float(heads * kept)
    return saved, scores


def _held_by_values(attention: Attention, projections: list[Linear], rules: _Rules, rotary: bool) -> int:
    """Return what values hold alive beyond themselves, being a view of one fused projection.

    Queries and keys that are rotated are new tensors; the projection's storage stays whole because the values point into
    it. Families with one projection, and latent attention, rotate a part of each head and join it again, which changes the order in memory: the
    kernel's result has it too, and the output projection reads a copy. Without rotation, or compiled, nothing is held
    twice.
    """
    if rules.compiled or not rotary or not rules.flash:
        return 0
    keys, values = attention.n_kv_head * attention.qk_dim, attention.n_kv_head * attention.v_dim
    fused = max((p.d_out for p in projections), default=0)
    plain = attention.n_head * attention.qk_dim + keys + values
    latent = any(p.d_in != attention.linears[0].d_in for p in projections) and values < fused < plain
    if fused != plain and not latent:
        return 0
    copied = 0 if rules.frozen else attention.n_head * attention.v_dim
    return rules.compute * (fused - values + copied)


def _attention_norms(attention: Attention, rules: _Rules) -> int:
    """Return what norms of queries, keys and latents keep: of a head's width for all heads, or of a whole width."""
    saved = 0
    for index, norm in enumerate(attention.norms):
        heads = attention.n_head if index == 0 else attention.n_kv_head
        width = heads * norm.width if norm.width == attention.qk_dim else norm.width
        saved += rules.norm(norm, width, rules.compute)
    return saved


def _mlp(mlp: Mlp, width: int, rules: _Rules) -> int:
    *first, last = mlp.linears
    return rules.inputs(first, width) + _inner(mlp, last, rules)


def _inner(mlp: Mlp, last: Linear, rules: _Rules) -> int:
    """Return what the inner width of a feed-forward part keeps: what its function saves, and what the last matrix reads."""
    width = mlp.d_ff
    own, shares = _activation(mlp.activation, rules)
    saved = own * width
    if mlp.gated:
        # The product saves both its factors; the function's value is recomputed in a compiled backward.
        factors = 1 if rules.compiled or shares else 2
        saved += factors * rules.compute * width
        return saved + rules.inputs([last], width)
    read = rules.inputs([last], width)
    return saved + (0 if shares and not rules.frozen else read)


def _activation(name: str, rules: _Rules) -> tuple[int, bool]:
    """Return what a function keeps of each value [bytes], and whether that is its own result.

    ReLU's backward needs its result alone, which the next matrix reads as well. GELU as ``gelu_new`` writes it out in
    separate operations: the power of x (in fp32 under autocast), tanh, and both factors of the last product.
    """
    value = rules.compute
    if name == "relu":
        return value, True
    if name in ("gelu_new", "gelu_fast") and not rules.compiled:
        return (3 * FP32 + value if rules.autocast else 4 * value), False
    if name == "quick_gelu" and not rules.compiled:
        return 2 * value, False
    return value, False


def _experts(experts: Experts, width: int, rules: _Rules) -> int:
    """Return what a mixture keeps: the router, and for each expert that a token passes a copy of it, its inside, its result."""
    *first, last = experts.expert.linears
    readers = [experts.router, *((experts.shared_gate,) if experts.shared_gate else ())]
    if experts.shared is not None:
        readers += experts.shared.linears[:-1]
    saved = rules.inputs(readers, width)
    saved += 2 * FP32 * experts.count  # the softmax, and the probabilities that are picked from it
    if not rules.frozen or any(rules.adapted(linear) for linear in first):
        saved += experts.active * rules.inputs(first, width)
    saved += experts.active * (_inner(experts.expert, last, rules) + rules.compute * width)
    if experts.shared is not None:
        saved += _inner(experts.shared, experts.shared.linears[-1], rules)
        saved += rules.compute * width if experts.shared_gate else 0
    return saved


def _ssm(ssm: Ssm, width: int, rules: _Rules) -> int:
    """Return what Mamba-2's fused kernel keeps: its projected input, its output before the norm, and what the end reads.

    state-spaces/mamba, ``ssd_combined.py``, ``MambaSplitConv1dScanCombinedFn``: the convolution and the states of chunks are
    recomputed in the backward pass.
    """
    *first, last = ssm.linears
    inner = ssm.n_head * ssm.head_dim
    projected = sum(linear.d_out for linear in first)
    statistics = FP32 * len(ssm.norms)
    return rules.inputs(first, width) + rules.compute * (projected + inner) + statistics + rules.inputs([last], inner)


def _selected(block: Block, width: int, rules: _Rules) -> int:
    """Return what a layer keeps under torchtitan's ``selective_ac_option = "op"``.

    Its ``_save_list`` (parallelize_llama.py) holds every odd matrix multiplication in the order of the forward pass, and
    the results of fused attention; the rest of the layer is recomputed from its input.
    """
    products = [linear.d_out for linear in block.mixer.linears] if block.mixer is not None else []
    match block.mlp:
        case Mlp() as mlp:
            products += [linear.d_out for linear in mlp.linears]
        case Experts() as experts:
            products += [experts.router.d_out, *(experts.active * x.d_out for x in experts.expert.linears)]
            products += [linear.d_out for linear in (experts.shared.linears if experts.shared else ())]
        case None:
            pass
    kept = rules.stream * width + rules.compute * sum(products[::2])
    if isinstance(block.mixer, Attention) and rules.flash:
        kept += rules.compute * block.mixer.n_head * block.mixer.v_dim + FP32 * block.mixer.n_head
    return kept


def _gradients(block: Block, width: int, rules: _Rules) -> int:
    """Return the gradients that are alive at the widest place of a layer's backward pass."""
    match block.mlp:
        case Mlp() as mlp:
            inner = mlp.d_ff * (3 if mlp.gated else 2)
        case Experts() as experts:
            inner = experts.active * experts.expert.d_ff * (3 if experts.expert.gated else 2)
        case None:
            inner = 0
    if isinstance(block.mixer, Ssm):
        inner = max(inner, 2 * sum(linear.d_out for linear in block.mixer.linears[:-1]))
    return rules.compute * inner + rules.stream * width
