"""MPT, as transformers builds it, and what llm-foundry's own code adds."""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Attention, Block, Linear, Mlp, Model, Norm, Table
from ..registry import family
from ..settings import MAX_SIZE, Settings, shown
from .shared import Heads, attention, decoder, stacks

__all__ = ["mpt"]

_FUSED_NORMS = ("layernorm", "low_precision_layernorm")
_RMS_NORMS = ("rmsnorm", "low_precision_rmsnorm", "triton_rmsnorm")
_KINDS = ("multihead_attention", "multiquery_attention", "grouped_query_attention")


@family("mpt")
def mpt(config: Settings) -> Model:
    """Draw MPT: ALiBi, no biases anywhere, a tied head, where the config says nothing else.

    llm-foundry's code, with which MPTs are trained, also knows biases (``no_bias`` false, ``attention_bias``), learned
    positions (where ``attn_config`` turns ``alibi`` off and ``rope`` not on), grouped heads (``attn_type``, ``kv_n_heads``),
    norms on queries and keys (``qk_ln``, ``qk_gn``), windows, RMSNorm, a gated MLP (``mptglu``) and inner widths other than
    four times the width. transformers ignores these keys; its defaults hold where a key is absent. ``block_overrides`` are not
    drawn.

    References
    ----------
    MosaicML 2023, "Introducing MPT-7B"; transformers 5 ``modeling_mpt.py``; mosaicml/llm-foundry (8c8dd48)
    ``models/mpt/configuration_mpt.py``, ``models/layers/attention.py``, ``models/layers/ffn.py``.
    """
    d = config.whole("d_model", default=2048)
    bias = not config.flag("no_bias", default=True)
    norm = _norm(config, d, bias)
    mixer, mlp = _attention(config, d, bias), _mlp(config, d, bias)
    layers = stacks(config.whole("n_layers", default=24), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    context = config.whole("max_seq_len", default=2048)
    inside = config.below("attn_config")
    without = inside.flag("alibi", default=True) or inside.flag("rope", default=False)
    learned = config.flag("learned_pos_emb", default=True) and not without
    return decoder(
        config,
        d_model=d,
        vocab_size=config.whole("vocab_size", default=50368),
        layers=layers,
        final=(norm,),
        tied=True,
        tables=(Table("position", context, d),) if learned else (),
        context=context,
    )


def _norm(config: Settings, width: int, bias: bool) -> Norm:
    name = config.text("norm_type", default="layernorm").lower()
    if name in _RMS_NORMS:
        return Norm(width, "rms")
    if name not in _FUSED_NORMS:
        raise BadConfig("norm_type is unknown", expected="layernorm or rmsnorm", found=shown(name))
    return Norm(width, bias=bias)


def _attention(config: Settings, d: int, bias: bool) -> Attention:
    inside = config.below("attn_config")
    n_head = config.whole("n_heads", default=16)
    kind = inside.text("attn_type", default="multihead_attention")
    if kind not in _KINDS:
        raise BadConfig("attn_type is unknown", expected=" or ".join(_KINDS), found=shown(kind))
    n_kv = {"multihead_attention": n_head, "multiquery_attention": 1}.get(kind) or inside.whole("kv_n_heads")
    config.divided(n_head, n_kv, "n_heads by kv_n_heads")
    heads = Heads(n_head, n_kv, config.divided(d, n_head, "d_model by n_heads"))
    of_inputs = config.flag("attention_bias", default=bias)
    norms: tuple[Norm, ...] = ()
    if inside.flag("qk_ln", default=False):
        norms = (_norm(config, heads.query, bias), _norm(config, heads.key, bias))
    elif inside.flag("qk_gn", default=False):
        norms = (_norm(config, heads.width, bias),) * 2
    if inside.flag("fused_qkv", default=True):
        inner: tuple[Linear, ...] = (Linear("Wqkv", d, d + 2 * heads.key, of_inputs),)
    else:
        widths = (("Wq", d), ("Wk", heads.key), ("Wv", heads.key))
        inner = tuple(Linear(name, d, width, of_inputs) for name, width in widths)
    linears = (*inner, Linear("out_proj", d, d, bias))
    window = inside.raw("sliding_window_size", -1)
    return attention(heads, linears, norms, None if window == -1 else inside.whole("sliding_window_size") + 1)


def _mlp(config: Settings, d: int, bias: bool) -> Mlp:
    inside = config.below("ffn_config")
    d_ff = inside.whole_or_none("ffn_hidden_size") or _inner_width(config, d)
    kind = inside.text("ffn_type", default="mptmlp")
    up = [Linear("up_proj", d, d_ff, bias)]
    if kind == "mptglu":
        up.append(Linear("gate_proj", d, d_ff, bias))
    elif kind != "mptmlp":
        raise BadConfig("ffn_type is not drawn", expected="mptmlp or mptglu", found=shown(kind))
    return Mlp(d_ff, kind == "mptglu", (*up, Linear("down_proj", d_ff, d, bias)), "gelu")


def _inner_width(config: Settings, d: int) -> int:
    ratio = config.number("expansion_ratio", default=4.0)
    if not 0 < ratio <= MAX_SIZE or int(d * ratio) != d * ratio or d * ratio > MAX_SIZE:
        raise BadConfig(
            "expansion_ratio gives no whole inner width",
            expected="such as 4",
            found=shown(config.raw("expansion_ratio")),
        )
    return int(d * ratio)
