"""Hybrids: layers of a state-space or linear mixer among layers of attention."""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Attention, Block, Experts, Linear, Mlp, Model, Ssm, Vector
from ..registry import family
from ..settings import Settings, shown
from .mamba import mamba1, step_rank
from .mixture import granite_shared, mixture_beside_shared, sparse_layers
from .parts import (
    Shape,
    active_experts,
    causal_lm,
    gated,
    layer_names,
    layer_numbers,
    mamba2,
    mixture,
    projected,
    read_shape,
    rms,
    stacked,
)

__all__ = ["bamba", "granitemoehybrid", "jamba", "qwen3_next"]

DELTA_CHUNK = 64
"""Tokens of a chunk in flash-linear-attention's gated delta rule, and the default of transformers' own."""
_KINDS = ("full_attention", "linear_attention")


@family("bamba")
def bamba(config: Settings) -> Model:
    """Draw Bamba: Mamba-2 but for the layers of ``attn_layer_indices``, a gated MLP in all.

    References
    ----------
    IBM, Princeton, CMU, UIUC 2024, "Bamba: Inference-Efficient Hybrid Mamba2 Model"; transformers ``BambaConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=32, n_head=32, n_kv=8, vocab=128000, context=262144)
    mixer = _mamba2(config, shape)
    attention = projected(shape, bias=config.flag("attention_bias", default=False))
    d_ff = config.whole("intermediate_size", default=14336)
    mlp = gated(shape.d, d_ff, shape.activation, bias=config.flag("mlp_bias", default=False))
    attends = layer_numbers(config, "attn_layer_indices") or frozenset()

    def draw(attending: bool) -> Block:
        return Block(attention if attending else mixer, mlp, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked((i in attends for i in range(shape.n_layer)), draw), rms(shape.d))


def _mamba2(config: Settings, shape: Shape) -> Ssm:
    """Draw the mixer from the keys that Bamba and Granite share."""
    inner = shape.d * config.whole("mamba_expand", default=2)
    n_head = config.whole("mamba_n_heads", default=128)
    head_dim = config.divided(inner, n_head, "the width of the mixer by mamba_n_heads")
    n_groups = config.whole("mamba_n_groups", default=1)
    config.divided(inner, n_groups, "the width of the mixer by mamba_n_groups")
    if config.raw("mamba_d_head", "auto") != "auto" and config.whole("mamba_d_head") != head_dim:
        raise BadConfig(
            "mamba_d_head does not fill the mixer", expected=str(head_dim), found=shown(config.raw("mamba_d_head"))
        )
    return mamba2(
        shape.d,
        n_head=n_head,
        head_dim=head_dim,
        d_state=config.whole("mamba_d_state", default=256),
        n_groups=n_groups,
        chunk=config.whole("mamba_chunk_size", default=256),
        conv_width=config.whole("mamba_d_conv", default=4),
        bias=config.flag("mamba_proj_bias", default=False),
        conv_bias=config.flag("mamba_conv_bias", default=True),
    )


@family("granitemoehybrid")
def granitemoehybrid(config: Settings) -> Model:
    """Draw Granite 4: Mamba-2 or attention by ``layer_types``, experts beside a shared part, or that part alone.

    References
    ----------
    IBM 2025, "Granite 4.0"; transformers ``GraniteMoeHybridConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=32, n_head=32, vocab=32000, context=2048)
    name = "layer_types" if "layer_types" in config else "layers_block_type"
    kinds = layer_names(config, name, shape.n_layer, _KINDS) or ["linear_attention"] * shape.n_layer
    attention = projected(shape, bias=config.flag("attention_bias", default=False))
    mixer = _mamba2(config, shape)
    shared = granite_shared(shape, config.whole("shared_intermediate_size", default=1024))
    count = config.whole("num_local_experts", default=8, least=0)
    part: Mlp | Experts = shared
    if count:
        active = active_experts(config, "num_experts_per_tok", count, 2)
        d_ff = config.whole("intermediate_size", default=11008)
        part = mixture(shape.d, count, active, d_ff, shape.activation, gate="router", shared=shared)

    def draw(kind: str) -> Block:
        chosen: Attention | Ssm = attention if kind == "full_attention" else mixer
        return Block(chosen, part, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked(kinds, draw), rms(shape.d))


@family("jamba")
def jamba(config: Settings) -> Model:
    """Draw Jamba: the first Mamba, attention in one layer of ``attn_layer_period``, experts in every second layer.

    References
    ----------
    Lieber et al. 2024, "Jamba", arXiv:2403.19887; transformers ``JambaConfig``.
    """
    shape = read_shape(config, d=4096, n_layer=32, n_head=32, n_kv=8, vocab=65536, context=262144)
    d_state, rank = config.whole("mamba_d_state", default=16), step_rank(config, "mamba_dt_rank", shape.d)
    mixer = mamba1(
        shape.d,
        inner=shape.d * config.whole("mamba_expand", default=2),
        d_state=d_state,
        dt_rank=rank,
        conv_width=config.whole("mamba_d_conv", default=4),
        bias=config.flag("mamba_proj_bias", default=False),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        norms=(rms(rank), rms(d_state), rms(d_state)),
    )
    attention = projected(shape)
    d_ff = config.whole("intermediate_size", default=14336)
    dense = gated(shape.d, d_ff, shape.activation)
    count = config.whole("num_experts", "num_local_experts", default=16)
    part: Mlp | Experts = dense
    if count > 1:
        active = active_experts(config, "num_experts_per_tok", count, 2)
        part = mixture(shape.d, count, active, d_ff, shape.activation, gate="router")
    attends = _periodic(config, "attn_layer", shape.n_layer, 8, 4)
    sparse = _periodic(config, "expert_layer", shape.n_layer, 2, 1)

    def draw(kind: tuple[bool, bool]) -> Block:
        attending, has_experts = kind
        chosen: Attention | Ssm = attention if attending else mixer
        return Block(chosen, part if has_experts else dense, (rms(shape.d), rms(shape.d)))

    return causal_lm(config, shape, stacked(zip(attends, sparse, strict=True), draw), rms(shape.d))


def _periodic(config: Settings, what: str, n_layer: int, period: int, offset: int) -> list[bool]:
    """Return the layers at an offset in every period."""
    period = config.whole(f"{what}_period", default=period)
    offset = config.whole(f"{what}_offset", default=offset, least=0)
    if offset >= period:
        raise BadConfig(f"{what}_offset is not within {what}_period", expected=f"below {period}", found=str(offset))
    return [i % period == offset for i in range(n_layer)]


@family("qwen3_next")
def qwen3_next(config: Settings) -> Model:
    """Draw Qwen3-Next: gated delta networks, gated attention in every fourth layer, experts beside a shared one.

    The delta network is drawn as a state-space mixer of chunks of 64: its parameters and projections are exact. Its scan is
    that of Mamba-2 here, which leaves out what the delta rule adds: the keys' products with each other and a triangular
    system within each chunk.

    References
    ----------
    Yang et al. 2024, "Gated Delta Networks", arXiv:2412.06464; Qwen Team 2025, "Qwen3-Next"; transformers
    ``Qwen3NextConfig``.
    """
    shape = read_shape(config, d=2048, n_layer=48, n_head=16, n_kv=2, head_dim=256, vocab=151936, context=32768)
    every = config.whole("full_attention_interval", default=4)
    kinds = layer_names(config, "layer_types", shape.n_layer, _KINDS) or [
        "linear_attention" if (i + 1) % every else "full_attention" for i in range(shape.n_layer)
    ]
    attention = projected(
        shape,
        bias=config.flag("attention_bias", default=False),
        norms=(rms(shape.head_dim), rms(shape.head_dim)),
        gated=True,
    )
    mixer = _delta_net(config, shape.d)
    part = mixture_beside_shared(config, shape, d_ff=512, shared=512, count=512, active=10)
    dense = gated(shape.d, config.whole("intermediate_size", default=5632), shape.activation)

    def draw(kind: tuple[str, bool]) -> Block:
        chosen: Attention | Ssm = attention if kind[0] == "full_attention" else mixer
        return Block(chosen, part if kind[1] and part is not None else dense, (rms(shape.d), rms(shape.d)))

    layers = zip(kinds, sparse_layers(config, shape, 512), strict=True)
    return causal_lm(config, shape, stacked(layers, draw), rms(shape.d))


def _delta_net(config: Settings, d: int) -> Ssm:
    k_heads = config.whole("linear_num_key_heads", default=16)
    v_heads = config.whole("linear_num_value_heads", default=32)
    config.divided(v_heads, k_heads, "linear_num_value_heads by linear_num_key_heads")
    k_dim = config.whole("linear_key_head_dim", default=128)
    v_dim = config.whole("linear_value_head_dim", default=128)
    taps = config.whole("linear_conv_kernel_dim", default=4)
    keys, values = k_heads * k_dim, v_heads * v_dim
    channels = 2 * keys + values
    return Ssm(
        *(v_heads, v_dim, k_dim, k_heads, DELTA_CHUNK, taps, channels),
        (
            Linear("in_proj_qkvz", d, 2 * keys + 2 * values),
            Linear("in_proj_ba", d, 2 * v_heads),
            Linear("out_proj", values, d),
        ),
        norms=(rms(v_dim),),
        vectors=(Vector("conv1d", channels * taps), Vector("dt_bias", v_heads), Vector("A_log", v_heads)),
    )
