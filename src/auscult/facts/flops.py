"""Floating-point operations per token of training, by part, and by the conventions under which MFUs are published."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ..architectures import Attention, Block, Experts, Linear, Mlp, Model, Ssm
from .parameters import count_parameters
from .setup import Checkpointing

__all__ = ["A100_PEAK_FLOPS_PER_S", "Convention", "FlopCount", "FlopParts", "count_flops", "flops_per_token"]

A100_PEAK_FLOPS_PER_S = 312e12
"""The A100's dense bf16 peak, by which nanoGPT divides on every card (``model.py`` ``estimate_mfu``)."""

Convention: TypeAlias = Literal["palm", "causal", "nanogpt", "llm_foundry"]
"""Whose count of FLOPs; `count_flops` says how they differ."""
CONVENTIONS = get_args(Convention)


@dataclass(frozen=True, slots=True)
class FlopParts:
    """FLOPs of one token, by part, summed over all layers.

    Attributes
    ----------
    attention_projections, attention_scores : int
        Matrices of attention; queries times keys, and scores times values.
    ssm_projections, ssm_scan : int
        Matrices of state-space mixers; their convolution and scan.
    mlp, router, experts : int
        Dense feed-forward parts; what routes; the experts a token passes and those that all pass.
    transforms, head : int
        Matrices outside the layers (projections of embeddings, the transform of a masked LM); the output head.
    adapters : int
        LoRA's matrices.
    uncounted_weights : int
        What conventions that multiply by all parameters add for norms, biases and positions.
    """

    attention_projections: int = 0
    attention_scores: int = 0
    ssm_projections: int = 0
    ssm_scan: int = 0
    mlp: int = 0
    router: int = 0
    experts: int = 0
    transforms: int = 0
    head: int = 0
    adapters: int = 0
    uncounted_weights: int = 0

    @property
    def layers(self) -> int:
        """All layers, without what stands outside them."""
        return (
            self.attention_projections
            + self.attention_scores
            + self.ssm_projections
            + self.ssm_scan
            + self.mlp
            + self.router
            + self.experts
            + self.adapters
        )

    @property
    def total(self) -> int:
        """Everything."""
        return self.layers + self.transforms + self.head + self.uncounted_weights


@dataclass(frozen=True, slots=True)
class FlopCount:
    """FLOPs of one token of training.

    Attributes
    ----------
    forward, backward, recomputed : FlopParts
        The forward pass, the backward pass, and what activation checkpointing computes again.
    flash_recomputed : int
        Queries times keys once more, which FlashAttention's backward computes instead of keeping the scores. No published
        MFU or HFU counts it.
    """

    forward: FlopParts
    backward: FlopParts
    recomputed: FlopParts
    flash_recomputed: int

    @property
    def training(self) -> int:
        """Forward and backward: what an MFU counts."""
        return self.forward.total + self.backward.total

    @property
    def hardware(self) -> int:
        """Forward, backward and recomputation: what an HFU counts."""
        return self.training + self.recomputed.total


def count_flops(
    model: Model,
    *,
    context: int,
    convention: Convention = "palm",
    checkpointing: Checkpointing = "none",
    lora_rank: int = 0,
    lora_targets: Collection[str] = (),
) -> FlopCount:
    """Count the FLOPs of one token of training, by part [FLOPs/token].

    Parameters
    ----------
    model : Model
        Its blueprint.
    context : int
        Length of the sequences [tokens].
    convention : str
        ``palm``: every matrix a token passes, and attention to the whole context or window; torchtitan and nanochat count so
        too. ``causal``: attention only to the tokens before, as MaxText (since PR 1988) and Megatron do. ``nanogpt``: all
        parameters but positions for the matrices. ``llm_foundry``: all active parameters, an untied input table excepted,
        and full checkpointing recomputes the head as well.
    checkpointing : str
        ``full`` recomputes every layer, ``selective`` every second.
    lora_rank, lora_targets
        Above 0, everything is frozen but adapters on these matrices (all of the layers where empty).

    Returns
    -------
    FlopCount

    Raises
    ------
    ValueError
        When the context is below 1, the rank below 0 or the convention unknown.

    Notes
    -----
    A matrix of n weights takes 2n FLOPs forward, and 4n backward: the gradients of input and of weight. A frozen matrix
    has no gradient of weight: 2n. Attention takes ``2·H·(d_qk + d_v)`` per key seen: T or the window w of them, and with
    the causal discount the mean ``w·(1 − w/2T)``, which is T/2 without a window. Mamba-2's scan takes, in chunks of Q
    tokens, ``2·Q·N·G + 2·Q·H·P + 4·H·N·P``: scores within a chunk, scores times inputs, states and their output.
    Megatron counts ``7·H·P·N`` instead, by its own comment a rough estimate.

    Of a mixture, each token passes ``active`` experts; capacity and padding are not counted. Norms, activations, softmax,
    rotary embedding, the passing of states from chunk to chunk and the optimiser step are ignored. With adapters, the
    gradients of the first layer's input are counted although nothing needs them.

    References
    ----------
    Chowdhery et al. 2022, "PaLM", appendix B, arXiv:2204.02311. Korthikanti et al. 2022, arXiv:2205.05198 (HFU). Dao &
    Gu 2024, "Transformers are SSMs", section 6 and listing 1, arXiv:2405.21060. Dao 2023, "FlashAttention-2",
    arXiv:2307.08691. AI-Hypercomputer/maxtext ``maxtext_utils.py`` (PR 1988). NVIDIA/Megatron-LM ``training.py``
    ``num_floating_point_operations``. karpathy/nanoGPT ``estimate_mfu``. mosaicml/llm-foundry ``flops_per_batch`` and
    ``mpt_get_active_params``. pytorch/torchtitan ``get_num_flop_per_token``.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> llama = build({"model_type": "llama", "vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8})
    >>> count_flops(llama, context=8192).training
    57912852480
    >>> count_flops(llama, context=8192, convention="causal").training
    51470401536
    >>> flops = count_flops(llama, context=8192, checkpointing="full")
    >>> round(flops.hardware / flops.training, 3)
    1.315
    """
    if context < 1:
        raise ValueError(f"context must be at least 1, found {context}")
    if lora_rank < 0:
        raise ValueError(f"lora_rank must be at least 0, found {lora_rank}")
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, found {convention!r}")
    forward = _forward(model, context, convention, _adapter_weights(model, lora_rank, lora_targets))
    return FlopCount(
        forward=forward,
        backward=_backward(forward, frozen=lora_rank > 0),
        recomputed=_recomputed(forward, checkpointing, model.n_layer, convention),
        flash_recomputed=sum(
            count * 2 * attention.n_head * _keys(attention, context, attention.qk_dim, convention)
            for attention, count in model.attentions
        ),
    )


def flops_per_token(*, params_without_position: int, n_layer: int, d_model: int, context: int) -> int:
    """Count the FLOPs of one token, forward and backward, from a parameter count [FLOPs/token].

    Parameters
    ----------
    params_without_position : int
        N: all parameters but the position table; the tied token table counts, for it is the output head.
    n_layer, d_model, context : int
        L, d and T.

    Notes
    -----
    ``6N + 12·L·d·T``. The causal half of attention is not discounted and recomputation is not counted, as in
    PaLM's MFU; norms, biases, softmax and the optimiser step are ignored (below 1 % together). For a model whose
    blueprint is known, `count_flops` counts part by part.

    References
    ----------
    Chowdhery et al. 2022, "PaLM", appendix B, arXiv:2204.02311; karpathy/nanoGPT ``estimate_mfu`` (3adf61e).

    Examples
    --------
    >>> flops_per_token(params_without_position=40_560_000, n_layer=12, d_model=384, context=1024)
    299983104
    """
    return 6 * params_without_position + 12 * n_layer * d_model * context


def _forward(model: Model, context: int, convention: Convention, adapter_weights: int) -> FlopParts:
    projections = scores = ssm_projections = scan = mlp = router = experts = 0
    for stack in model.stacks:
        block, times = stack.block, stack.count
        mixer, part = block.mixer, block.mlp
        if isinstance(mixer, Attention):
            projections += times * _weights(mixer.linears)
            scores += times * mixer.n_head * _keys(mixer, context, mixer.qk_dim + mixer.v_dim, convention)
        elif isinstance(mixer, Ssm):
            ssm_projections += times * _weights(mixer.linears)
            scan += times * _scan(mixer, context)
        if isinstance(part, Mlp):
            mlp += times * _weights(part.linears)
        elif part is not None:
            router += times * part.router.weights
            experts += times * (part.active * _weights(part.expert.linears) + _weights(_passed_by_all(part)))
    transforms = _weights(model.linears)
    matrices = projections + ssm_projections + mlp + router + experts + transforms + model.head.weights
    return FlopParts(
        attention_projections=2 * projections,
        attention_scores=2 * scores,
        ssm_projections=2 * ssm_projections,
        ssm_scan=2 * scan,
        mlp=2 * mlp,
        router=2 * router,
        experts=2 * experts,
        transforms=2 * transforms,
        head=2 * model.head.weights,
        adapters=2 * adapter_weights,
        uncounted_weights=2 * _uncounted(model, matrices, convention),
    )


def _backward(forward: FlopParts, *, frozen: bool) -> FlopParts:
    """Return twice the forward pass; of frozen matrices once, for their weights need no gradient."""
    of_matrix = 1 if frozen else 2
    return FlopParts(
        attention_projections=of_matrix * forward.attention_projections,
        attention_scores=2 * forward.attention_scores,
        ssm_projections=of_matrix * forward.ssm_projections,
        ssm_scan=2 * forward.ssm_scan,
        mlp=of_matrix * forward.mlp,
        router=of_matrix * forward.router,
        experts=of_matrix * forward.experts,
        transforms=of_matrix * forward.transforms,
        head=of_matrix * forward.head,
        adapters=2 * forward.adapters,
        uncounted_weights=of_matrix * forward.uncounted_weights,
    )


def _recomputed(forward: FlopParts, checkpointing: Checkpointing, n_layer: int, convention: Convention) -> FlopParts:
    if checkpointing == "none" or n_layer == 0:
        return FlopParts()
    if checkpointing == "full" and convention == "llm_foundry":
        return forward
    layers = n_layer if checkpointing == "full" else n_layer // 2

    def again(flops: int) -> int:
        return flops * layers // n_layer

    return FlopParts(
        attention_projections=again(forward.attention_projections),
        attention_scores=again(forward.attention_scores),
        ssm_projections=again(forward.ssm_projections),
        ssm_scan=again(forward.ssm_scan),
        mlp=again(forward.mlp),
        router=again(forward.router),
        experts=again(forward.experts),
        adapters=again(forward.adapters),
    )


def _keys(attention: Attention, context: int, width: int, convention: Convention) -> int:
    """Return the keys a token sees on average, times a width; rounded where a window leaves a fraction."""
    seen = context if attention.window is None else min(attention.window, context)
    if convention == "causal" and attention.causal:
        return round(width * seen * (2 * context - seen) / (2 * context))
    return width * seen


def _scan(mixer: Ssm, context: int) -> int:
    """Return multiply-adds per token of convolution and chunked scan."""
    chunk = min(mixer.chunk, context)
    states = mixer.n_head * mixer.head_dim * mixer.d_state
    within = chunk * (mixer.n_groups * mixer.d_state + mixer.n_head * mixer.head_dim)
    return within + 2 * states + mixer.conv_width * mixer.conv_channels


def _uncounted(model: Model, matrices: int, convention: Convention) -> int:
    """Return the parameters that a convention multiplies by although they are no matrices."""
    if convention not in ("nanogpt", "llm_foundry"):
        return 0
    count = count_parameters(model)
    if convention == "nanogpt":
        return count.active - count.position - matrices
    return count.active - (0 if model.tied else count.embedding) - matrices


def _adapter_weights(model: Model, rank: int, targets: Collection[str]) -> int:
    """Return the weights of the adapters that one token passes."""
    if rank == 0:
        return 0
    return rank * sum(
        stack.count * copies * (linear.d_in + linear.d_out)
        for stack in model.stacks
        for linear, copies in _matrices(stack.block)
        if not targets or linear.name in targets
    )


def _matrices(block: Block) -> Iterator[tuple[Linear, int]]:
    """Yield each matrix of a layer with the times that one token passes it or its likes."""
    if block.mixer is not None:
        yield from ((linear, 1) for linear in block.mixer.linears)
    if isinstance(block.mlp, Mlp):
        yield from ((linear, 1) for linear in block.mlp.linears)
    elif block.mlp is not None:
        yield from ((linear, block.mlp.active) for linear in block.mlp.expert.linears)
        yield from ((linear, 1) for linear in (block.mlp.router, *_passed_by_all(block.mlp)))


def _passed_by_all(mixture: Experts) -> tuple[Linear, ...]:
    shared = mixture.shared.linears if mixture.shared is not None else ()
    return (*shared, mixture.shared_gate) if mixture.shared_gate is not None else shared


def _weights(linears: Iterable[Linear]) -> int:
    return sum(linear.d_in * linear.d_out for linear in linears)
