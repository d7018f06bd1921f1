"""Llama 4: mixtures in every or every second layer, attention in chunks in three layers of four."""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Block, Model
from ..registry import family
from ..settings import Settings, shown
from .parts import (
    active_experts,
    causal_lm,
    gated,
    layer_names,
    layer_numbers,
    mixture,
    optional,
    projected,
    read_shape,
    rms,
    stacked,
)

__all__ = ["llama4"]


@family("llama4_text")
def llama4(config: Settings) -> Model:
    """Draw the language model of Llama 4 (its vision encoder is not counted).

    Chunked attention is drawn as a window of ``attention_chunk_size`` tokens: the keys that a query sees differ (it sees those
    of its chunk, on average half of it), the most that it sees is the same. Queries and keys are normalised without weights in
    the layers that rotate them.

    References
    ----------
    Meta 2025, "The Llama 4 herd"; transformers ``Llama4TextConfig``.
    """
    shape = read_shape(config, d=5120, n_layer=48, n_head=40, n_kv=8, head_dim=128, vocab=202048, context=131072)
    count = config.whole("num_local_experts", default=16)
    d_ff = config.whole("intermediate_size", default=8192)
    part = mixture(
        *(shape.d, count, active_experts(config, "num_experts_per_tok", count, 1), d_ff, shape.activation),
        gate="router",
        shared=gated(shape.d, d_ff, shape.activation),
    )
    dense = gated(shape.d, config.whole("intermediate_size_mlp", default=16384), shape.activation)
    step = config.whole("interleave_moe_layer_step", default=1)
    sparse = layer_numbers(config, "moe_layers")
    if sparse is None:
        sparse = frozenset(range(step - 1, shape.n_layer, step))
    rotated = _rotated(config, shape.n_layer)
    chunk = optional(config, "attention_chunk_size", 8192)
    kinds = layer_names(config, "layer_types", shape.n_layer, ("full_attention", "chunked_attention")) or [
        "chunked_attention" if turns and chunk is not None else "full_attention" for turns in rotated
    ]
    bias, normed = config.flag("attention_bias", default=False), config.flag("use_qk_norm", default=True)

    def draw(kind: tuple[str, bool, bool]) -> Block:
        layer, turns, has_experts = kind
        attention = projected(
            shape,
            bias=bias,
            window=chunk if layer == "chunked_attention" else None,
            norms=(rms(shape.head_dim, gain=False),) * 2 if normed and turns else (),
        )
        return Block(attention, part if has_experts else dense, (rms(shape.d), rms(shape.d)))

    layers = zip(kinds, rotated, (i in sparse for i in range(shape.n_layer)), strict=True)
    return causal_lm(config, shape, stacked(layers, draw), rms(shape.d))


def _rotated(config: Settings, n_layer: int) -> list[bool]:
    """Return which layers rotate queries and keys; ``no_rope_layers`` says so with 1, despite its name."""
    marks = config.list("no_rope_layers")
    if marks:
        if len(marks) != n_layer or any(mark not in (0, 1) for mark in marks):
            raise BadConfig(
                "no_rope_layers does not mark every layer", expected=f"{n_layer} times 0 or 1", found=shown(marks)
            )
        return [bool(mark) for mark in marks]
    every = config.whole("no_rope_layer_interval", default=4)
    return [(i + 1) % every != 0 for i in range(n_layer)]
