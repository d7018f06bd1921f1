"""Mixtures of experts with plain attention: Mixtral and those that keep its parts.

transformers 5 stores all experts of a layer in two fused parameters; here each expert has matrices of its own, named as the
checkpoints name them, so that an expert counts as often as it is passed.
"""

from __future__ import annotations

from ..blueprint import Attention, Block, Experts, Linear, Mlp, Model, Norm, Ssm, Vector
from ..registry import family
from ..settings import Settings
from .parts import (
    Shape,
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

__all__ = [
    "dbrx",
    "glm4_moe",
    "gpt_oss",
    "granitemoe",
    "minimax",
    "mixtral",
    "olmoe",
    "phimoe",
    "qwen2_moe",
    "qwen3_moe",
]

_WINDOWED = ("full_attention", "sliding_attention")


@family("mixtral")
def mixtral(config: Settings) -> Model:
    """Draw Mixtral: every feed-forward part is a mixture.

    References
    ----------
    Jiang et al. 2024, "Mixtral of Experts", arXiv:2401.04088; transformers ``MixtralConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=32, n_head=32, n_kv=8, vocab=32000, context=131072)
    count = config.whole("num_local_experts", "num_experts", default=8)
    active = active_experts(config, "num_experts_per_tok", count, 2)
    d_ff = config.whole("intermediate_size", default=14336)
    block = Block(
        projected(shape, window=config.whole_or_none("sliding_window")),
        mixture(shape.d, count, active, d_ff, shape.activation),
        (rms(shape.d), rms(shape.d)),
    )
    return causal_lm(config, shape, stacked([None] * shape.n_layer, lambda _: block), rms(shape.d))


@family("minimax")
def minimax(config: Settings) -> Model:
    """Draw MiniMax-Text-01: lightning attention in most layers, softmax attention in the others, mixtures in all.

    Lightning attention is linear attention with a fixed decay and is drawn as a state-space mixer whose every head has its
    own B and C, which takes the same sums: its state is the product of a key and a value.

    References
    ----------
    MiniMax 2025, arXiv:2501.08313; transformers ``MiniMaxConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=32, n_head=32, n_kv=8, vocab=32000, context=131072)
    count = config.whole("num_local_experts", "num_experts", default=8)
    active = active_experts(config, "num_experts_per_tok", count, 2)
    part = mixture(shape.d, count, active, config.whole("intermediate_size", default=14336), shape.activation)
    kinds = layer_names(config, "layer_types", shape.n_layer, ("full_attention", "linear_attention")) or [
        "linear_attention" if i % 2 else "full_attention" for i in range(shape.n_layer)
    ]
    window, chunk = config.whole_or_none("sliding_window"), config.whole("block_size", default=256)

    def draw(kind: str) -> Block:
        mixer: Attention | Ssm = projected(shape, window=window)
        if kind == "linear_attention":
            mixer = _lightning(shape, chunk)
        return Block(mixer, part, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked(kinds, draw), rms(shape.d))


def _lightning(shape: Shape, chunk: int) -> Ssm:
    inner = shape.n_head * shape.head_dim
    return Ssm(
        *(shape.n_head, shape.head_dim, shape.head_dim, shape.n_head, chunk, 0, 0),
        (
            Linear("qkv_proj", shape.d, 3 * inner),
            Linear("output_gate", shape.d, inner),
            Linear("out_proj", inner, shape.d),
        ),
        norms=(rms(inner),),
    )


@family("qwen2_moe")
def qwen2_moe(config: Settings) -> Model:
    """Draw Qwen1.5-MoE and Qwen2-MoE: small experts beside a shared one, with dense layers between where the config says so.

    References
    ----------
    Yang et al. 2024, arXiv:2407.10671; transformers ``Qwen2MoeConfig``.
    """
    shape = read_shape(config, d=2048, n_layer=24, n_head=16, n_kv=16, vocab=151936, context=32768)
    slides = config.flag("use_sliding_window", default=False)
    window = optional(config, "sliding_window", 4096, least=0) or None
    last = config.whole("max_window_layers", default=28, least=0)
    kinds = layer_names(config, "layer_types", shape.n_layer, _WINDOWED) or [
        "sliding_attention" if i % 2 == 0 and i < last and slides else "full_attention" for i in range(shape.n_layer)
    ]
    bias = config.flag("qkv_bias", default=True)
    sparse = sparse_layers(config, shape, 60)
    part = mixture_beside_shared(config, shape, d_ff=1408, shared=5632, count=60, active=4)
    dense = gated(shape.d, config.whole("intermediate_size", default=5632), shape.activation)

    def draw(kind: tuple[str, bool]) -> Block:
        seen = window if kind[0] == "sliding_attention" and slides else None
        attention = projected(shape, bias=bias, out_bias=False, window=seen)
        return Block(attention, part if kind[1] and part is not None else dense, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked(zip(kinds, sparse, strict=True), draw), rms(shape.d))


def sparse_layers(config: Settings, shape: Shape, count: int) -> list[bool]:
    """Return which layers hold experts by the keys that the Qwen families share.

    Parameters
    ----------
    count : int
        The family's default for ``num_experts``; without experts no layer is sparse.
    """
    dense = layer_numbers(config, "mlp_only_layers") or frozenset()
    step = config.whole("decoder_sparse_step", default=1)
    any_experts = config.whole("num_experts", "num_local_experts", default=count, least=0) > 0
    return [any_experts and i not in dense and (i + 1) % step == 0 for i in range(shape.n_layer)]


def mixture_beside_shared(
    config: Settings, shape: Shape, *, d_ff: int, shared: int, count: int, active: int
) -> Experts | None:
    """Draw Qwen's experts beside a shared one that a gate weighs; None where the config has no experts.

    Parameters
    ----------
    d_ff, shared, count, active : int
        The family's defaults.
    """
    count = config.whole("num_experts", default=count, least=0)
    if count == 0:
        return None
    return Experts(
        count,
        active_experts(config, "num_experts_per_tok", count, active),
        gated(shape.d, config.whole("moe_intermediate_size", default=d_ff), shape.activation),
        Linear("gate", shape.d, count),
        shared=gated(shape.d, config.whole("shared_expert_intermediate_size", default=shared), shape.activation),
        shared_gate=Linear("shared_expert_gate", shape.d, 1),
    )


@family("qwen3_moe")
def qwen3_moe(config: Settings) -> Model:
    """Draw Qwen3-MoE: queries and keys are normalised in each head, no expert is shared.

    References
    ----------
    Yang et al. 2025, arXiv:2505.09388; transformers ``Qwen3MoeConfig``.
    """
    shape = read_shape(config, d=2048, n_layer=24, n_head=32, n_kv=4, vocab=151936, context=32768)
    window = optional(config, "sliding_window", 4096)
    attention = projected(
        shape,
        bias=config.flag("attention_bias", default=False),
        window=window if config.flag("use_sliding_window", default=False) else None,
        norms=(rms(shape.head_dim), rms(shape.head_dim)),
    )
    dense = gated(shape.d, config.whole("intermediate_size", default=6144), shape.activation)
    count = config.whole("num_experts", "num_local_experts", default=128, least=0)
    part: Mlp | Experts = dense
    if count:
        active = active_experts(config, "num_experts_per_tok", count, 8)
        d_ff = config.whole("moe_intermediate_size", default=768)
        part = mixture(shape.d, count, active, d_ff, shape.activation)

    def draw(sparse: bool) -> Block:
        return Block(attention, part if sparse else dense, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked(sparse_layers(config, shape, 128), draw), rms(shape.d))


@family("olmoe")
def olmoe(config: Settings) -> Model:
    """Draw OLMoE: queries and keys are normalised over their whole width.

    References
    ----------
    Muennighoff et al. 2024, "OLMoE", arXiv:2409.02060; transformers ``OlmoeConfig``.
    """
    shape = read_shape(config, d=2048, n_layer=16, n_head=16, vocab=50304, context=4096)
    per_head = config.divided(shape.d, shape.n_head, "hidden_size by num_attention_heads")
    count = config.whole("num_experts", "num_local_experts", default=64)
    active = active_experts(config, "num_experts_per_tok", count, 8)
    d_ff = config.whole("intermediate_size", default=2048)
    block = Block(
        projected(
            shape,
            bias=config.flag("attention_bias", default=False),
            norms=(rms(shape.d), rms(per_head * shape.n_kv)),
        ),
        mixture(shape.d, count, active, d_ff, shape.activation),
        (rms(shape.d), rms(shape.d)),
    )
    return causal_lm(config, shape, stacked([None] * shape.n_layer, lambda _: block), rms(shape.d))


@family("phimoe")
def phimoe(config: Settings) -> Model:
    """Draw Phi-3.5-MoE: LayerNorm with biases, and a head that may have one.

    References
    ----------
    Abdin et al. 2024, arXiv:2404.14219; transformers ``PhimoeConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=32, n_head=32, n_kv=8, vocab=32064, context=131072)
    count = config.whole("num_local_experts", default=16)
    active = active_experts(config, "num_experts_per_tok", count, 2)
    d_ff = config.whole("intermediate_size", default=6400)
    norm = Norm(shape.d, bias=True)
    block = Block(
        projected(
            shape,
            bias=config.flag("attention_bias", default=False),
            window=config.whole_or_none("sliding_window"),
        ),
        mixture(shape.d, count, active, d_ff, shape.activation, gate="router"),
        (norm, norm),
    )
    stacks = stacked([None] * shape.n_layer, lambda _: block)
    return causal_lm(config, shape, stacks, norm, head_bias=config.flag("lm_head_bias", default=False))


@family("granitemoe", "granitemoeshared")
def granitemoe(config: Settings) -> Model:
    """Draw Granite's mixtures; ``granitemoeshared`` has one more part that every token passes.

    References
    ----------
    IBM Granite 3.0 (2024), "Granite 3.0 Language Models"; transformers ``GraniteMoeConfig``, ``GraniteMoeSharedConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=32, n_head=32, vocab=32000, context=2048)
    count = config.whole("num_local_experts", default=8)
    active = active_experts(config, "num_experts_per_tok", count, 2)
    d_ff = config.whole("intermediate_size", default=11008)
    both = 0
    if config.family == "granitemoeshared":
        both = config.whole("shared_intermediate_size", default=0, least=0)
    shared = granite_shared(shape, both) if both else None
    block = Block(
        projected(shape, bias=config.flag("attention_bias", default=False)),
        mixture(shape.d, count, active, d_ff, shape.activation, gate="router", shared=shared),
        (rms(shape.d), rms(shape.d)),
    )
    return causal_lm(config, shape, stacked([None] * shape.n_layer, lambda _: block), rms(shape.d))


def granite_shared(shape: Shape, d_ff: int) -> Mlp:
    """Draw Granite's shared part: gate and input in one matrix."""
    linears = (Linear("input_linear", shape.d, 2 * d_ff), Linear("output_linear", d_ff, shape.d))
    return Mlp(d_ff, True, linears, shape.activation)


@family("glm4_moe")
def glm4_moe(config: Settings) -> Model:
    """Draw GLM-4.5: dense layers first, then mixtures beside shared experts.

    The bias that balances the router is a buffer, and the layer that predicts further tokens is not in transformers' model.

    References
    ----------
    GLM-4.5 Team 2025, arXiv:2508.06471; transformers ``Glm4MoeConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=46, n_head=96, n_kv=8, vocab=151552, context=131072, uneven=True)
    count = config.whole("n_routed_experts", "num_local_experts", default=128)
    active = active_experts(config, "num_experts_per_tok", count, 8)
    d_ff = config.whole("moe_intermediate_size", default=1408)
    shared = gated(shape.d, d_ff * config.whole("n_shared_experts", default=1), shape.activation)
    part = mixture(shape.d, count, active, d_ff, shape.activation, shared=shared)
    dense = gated(shape.d, config.whole("intermediate_size", default=10944), shape.activation)
    normed = (rms(shape.head_dim),) * 2 if config.flag("use_qk_norm", default=False) else ()
    attention = projected(shape, bias=config.flag("attention_bias", default=False), out_bias=False, norms=normed)
    first = config.whole("first_k_dense_replace", default=1, least=0)

    def draw(sparse: bool) -> Block:
        return Block(attention, part if sparse else dense, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked((i >= first for i in range(shape.n_layer)), draw), rms(shape.d))


@family("gpt_oss")
def gpt_oss(config: Settings) -> Model:
    """Draw gpt-oss: biases everywhere, a learned sink for each head, a window in every second layer.

    References
    ----------
    OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", arXiv:2508.10925; transformers ``GptOssConfig``.
    """
    shape = read_shape(config, d=2880, n_layer=36, n_head=64, n_kv=8, head_dim=64, vocab=201088, context=131072)
    count = config.whole("num_local_experts", "num_experts", default=128)
    d_ff = config.whole("intermediate_size", default=2880)
    part = Experts(
        count,
        active_experts(config, "num_experts_per_tok", count, 4),
        gated(shape.d, d_ff, shape.activation, bias=True),
        Linear("router", shape.d, count, bias=True),
    )
    kinds = layer_names(config, "layer_types", shape.n_layer, _WINDOWED) or [
        "full_attention" if i % 2 else "sliding_attention" for i in range(shape.n_layer)
    ]
    window = optional(config, "sliding_window", 128)
    bias = config.flag("attention_bias", default=True)

    def draw(kind: str) -> Block:
        attention = projected(
            shape,
            bias=bias,
            window=window if kind == "sliding_attention" else None,
            vectors=(Vector("sinks", shape.n_head),),
        )
        return Block(attention, part, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked(kinds, draw), rms(shape.d))


@family("dbrx")
def dbrx(config: Settings) -> Model:
    """Draw DBRX: one fused projection, LayerNorm without biases, keys under ``attn_config`` and ``ffn_config``.

    References
    ----------
    Mosaic Research 2024, "Introducing DBRX"; transformers ``DbrxConfig``.
    """
    d = config.whole("d_model", "hidden_size", default=2048)
    n_head = config.whole("n_heads", "num_attention_heads", default=16)
    inside, ffn = config.below("attn_config"), config.below("ffn_config")
    n_kv = inside.whole("kv_n_heads", default=1)
    config.divided(n_head, n_kv, "n_heads by kv_n_heads")
    head_dim = config.divided(d, n_head, "d_model by n_heads")
    count = ffn.whole("moe_num_experts", default=4)
    d_ff = ffn.whole("ffn_hidden_size", default=3584)
    activation = ffn.below("ffn_act_fn").text("name", default="silu")
    attention = Attention(
        *(n_head, n_kv, head_dim, head_dim),
        (Linear("Wqkv", d, d + 2 * n_kv * head_dim), Linear("out_proj", d, d)),
    )
    expert = Mlp(d_ff, True, (Linear("w1", d, d_ff), Linear("v1", d, d_ff), Linear("w2", d_ff, d)), activation)
    part = Experts(count, active_experts(ffn, "moe_top_k", count, 1), expert, Linear("layer", d, count))
    block = Block(attention, part, (Norm(d), Norm(d)))
    shape = Shape(
        d=d,
        n_layer=config.whole("n_layers", "num_hidden_layers", default=24),
        n_head=n_head,
        n_kv=n_kv,
        head_dim=head_dim,
        vocab=config.whole("vocab_size", default=32000),
        context=config.whole("max_seq_len", "max_position_embeddings", default=2048),
        tied=False,
        activation=activation,
    )
    return causal_lm(config, shape, stacked([None] * shape.n_layer, lambda _: block), Norm(d))
