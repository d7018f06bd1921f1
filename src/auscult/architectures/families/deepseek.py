"""DeepSeek-V2 and V3: multi-head latent attention, and fine experts beside shared ones."""

from __future__ import annotations

from ..blueprint import Attention, Block, Linear, Model
from ..registry import family
from ..settings import MAX_LAYERS, Settings
from .parts import Shape, active_experts, causal_lm, gated, mixture, optional, rms, stacked

__all__ = ["deepseek_v2", "deepseek_v3"]


@family("deepseek_v2")
def deepseek_v2(config: Settings) -> Model:
    """Draw DeepSeek-V2; V2-Lite has no ``q_lora_rank`` (null).

    transformers has no default for ``num_experts_per_tok``, so it must be given.

    References
    ----------
    DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434; transformers ``DeepseekV2Config``.
    """
    shape = _shape(config, d=4096, n_layer=32, n_head=32, vocab=102400, context=2048)
    return _draw(config, shape, d_ff=11008, expert=1407, count=64, active=None, shared=2, first=0)


@family("deepseek_v3", "kimi_k2")
def deepseek_v3(config: Settings) -> Model:
    """Draw DeepSeek-V3 and R1, and Kimi K2, which keeps their parts.

    The bias that balances the router is a buffer. The module for multi-token prediction (``num_nextn_predict_layers``;
    14 B of the 685 B in V3's checkpoint, copies of table and head among them) is not in transformers' model and is left out.

    References
    ----------
    DeepSeek-AI 2024, "DeepSeek-V3 Technical Report", arXiv:2412.19437; Kimi Team 2025, arXiv:2507.20534; transformers
    ``DeepseekV3Config``.
    """
    shape = _shape(config, d=7168, n_layer=61, n_head=128, vocab=129280, context=4096)
    return _draw(config, shape, d_ff=18432, expert=2048, count=256, active=8, shared=1, first=3)


def _shape(config: Settings, *, d: int, n_layer: int, n_head: int, vocab: int, context: int) -> Shape:
    heads = config.whole("num_attention_heads", default=n_head)
    return Shape(
        d=config.whole("hidden_size", default=d),
        n_layer=config.whole("num_hidden_layers", default=n_layer, most=MAX_LAYERS),
        n_head=heads,
        n_kv=heads,
        head_dim=config.whole("qk_nope_head_dim", default=128) + config.whole("qk_rope_head_dim", default=64),
        vocab=config.whole("vocab_size", default=vocab),
        context=config.whole("max_position_embeddings", default=context),
        tied=config.flag("tie_word_embeddings", default=False),
        activation=config.text("hidden_act", default="silu"),
    )


def _latent(config: Settings, shape: Shape) -> Attention:
    """Draw latent attention: keys and values come from one narrow latent, queries too where ``q_lora_rank`` is set.

    All heads share the rotary part of the keys, which is projected beside the latent. What is drawn is how training
    computes it, with keys and values expanded to every head.
    """
    d, heads = shape.d, shape.n_head
    bias = config.flag("attention_bias", default=False)
    nope, rope = config.whole("qk_nope_head_dim", default=128), config.whole("qk_rope_head_dim", default=64)
    v_dim = config.whole("v_head_dim", default=128)
    latent = config.whole("kv_lora_rank", default=512)
    rank = optional(config, "q_lora_rank", 1536)
    queries: tuple[Linear, ...] = (Linear("q_proj", d, heads * shape.head_dim),)
    if rank is not None:
        queries = (Linear("q_a_proj", d, rank, bias), Linear("q_b_proj", rank, heads * shape.head_dim))
    return Attention(
        *(heads, heads, shape.head_dim, v_dim),
        (
            *queries,
            Linear("kv_a_proj_with_mqa", d, latent + rope, bias),
            Linear("kv_b_proj", latent, heads * (nope + v_dim)),
            Linear("o_proj", heads * v_dim, d, bias),
        ),
        norms=(*((rms(rank),) if rank is not None else ()), rms(latent)),
    )


def _draw(
    config: Settings,
    shape: Shape,
    *,
    d_ff: int,
    expert: int,
    count: int,
    active: int | None,
    shared: int,
    first: int,
) -> Model:
    count = config.whole("n_routed_experts", "num_experts", "num_local_experts", default=count)
    passed = active_experts(config, "num_experts_per_tok", count, active)
    narrow = config.whole("moe_intermediate_size", default=expert)
    bias = config.flag("mlp_bias", default=False) if config.family == "deepseek_v2" else False
    dense = gated(shape.d, config.whole("intermediate_size", default=d_ff), shape.activation, bias=bias)
    always = narrow * config.whole("n_shared_experts", default=shared)
    part = mixture(
        shape.d, count, passed, narrow, shape.activation, shared=gated(shape.d, always, shape.activation, bias=bias)
    )
    attention = _latent(config, shape)
    first = config.whole("first_k_dense_replace", default=first, least=0)

    def draw(sparse: bool) -> Block:
        return Block(attention, part if sparse else dense, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked((i >= first for i in range(shape.n_layer)), draw), rms(shape.d))
