"""Llama 1 to 3 and the families that keep its parts: RMSNorm, rotary positions, grouped heads, a gated MLP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import BadConfig
from ..blueprint import Block, Linear, Mlp, Model, Norm, Vector
from ..registry import family
from ..settings import Settings, shown
from .parts import optional
from .shared import (
    activation_of,
    attention,
    decoder,
    gated_mlp,
    heads_of,
    plain_mlp,
    projections,
    stacks,
    windowed_layers,
)

__all__ = ["apertus", "arcee", "exaone4", "glm", "llama", "olmo2", "phi3", "qwen2", "qwen3"]


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What a family's configuration class says where a config does not."""

    d_model: int
    n_layer: int
    n_head: int
    n_kv_head: int | None
    d_ff: int
    vocab_size: int
    head: int | None = None
    tied: bool = False


_LLAMA = {
    "llama": _Defaults(4096, 32, 32, None, 11008, 32000),
    "mistral": _Defaults(4096, 32, 32, 8, 14336, 32000),
    "ministral": _Defaults(4096, 32, 32, 8, 14336, 32000),
    "ministral3": _Defaults(4096, 34, 32, 8, 14336, 131072, 128),
    "cwm": _Defaults(6144, 64, 48, 8, 21504, 128256, 128),
    "exaone": _Defaults(4096, 32, 32, 8, 14336, 102400),
    "internlm3": _Defaults(4096, 48, 32, 2, 10240, 128512, 128),
    "granite": _Defaults(4096, 32, 32, None, 11008, 32000),
    "smollm3": _Defaults(2048, 36, 16, 4, 11008, 128256, tied=True),
    "helium": _Defaults(2560, 24, 20, 20, 7040, 48000, 128),
    "seed_oss": _Defaults(4096, 64, 80, 8, 27648, 155136, 128),
    "ernie4_5": _Defaults(1024, 18, 16, 2, 3072, 103424, 128, tied=True),
}
_MISTRALS = ("mistral", "ministral", "ministral3")
_BIAS_KEYS = {
    "ernie4_5": (("use_bias",), ("use_bias",)),
    "internlm3": (("attention_bias", "qkv_bias"), ("mlp_bias", "bias")),
}
_WINDOWS = {"mistral": 4096, "ministral": 4096, "ministral3": None, "cwm": 8192}
"""Families whose layers may see a window, and the default."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """The sizes that every family here has."""

    d: int
    n_layer: int
    d_ff: int
    vocab: int
    activation: str


def _sizes(config: Settings, default: _Defaults) -> _Shape:
    return _Shape(
        d=config.whole("hidden_size", default=default.d_model),
        n_layer=config.whole("num_hidden_layers", "num_layers", default=default.n_layer),
        d_ff=config.whole("intermediate_size", default=default.d_ff),
        vocab=config.whole("vocab_size", default=default.vocab_size),
        activation=activation_of(config, "hidden_act", default="silu"),
    )


@family(*_LLAMA)
def llama(config: Settings) -> Model:
    """Draw Llama and those that differ from it in biases and defaults alone.

    References
    ----------
    Touvron et al. 2023, arXiv:2302.13971; Grattafiori et al. 2024, arXiv:2407.21783; Jiang et al. 2023, arXiv:2310.06825;
    transformers 5 ``modeling_llama.py``, ``modeling_mistral.py``, ``modeling_granite.py`` …
    """
    default = _LLAMA[config.family]
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head, n_kv_head=default.n_kv_head, width=default.head)
    bias, out_bias, mlp_bias = _llama_biases(config)
    norm = Norm(s.d, "rms", fused=False)
    linears = projections(s.d, heads, bias=bias, out_bias=out_bias)
    mlp = gated_mlp(s.d, s.d_ff, s.activation, bias=mlp_bias)
    window, windowed = _llama_windows(config, s.n_layer)
    layers = stacks(
        s.n_layer,
        windowed,
        lambda sliding: Block(attention(heads, linears, window=window if sliding else None), mlp, (norm, norm)),
    )
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)


def _llama_biases(config: Settings) -> tuple[bool, bool, bool]:
    """Return whether queries, keys and values, the attention's output, and the MLP have biases."""
    if config.family in _MISTRALS:
        return False, False, False
    of_attention, of_mlp = _BIAS_KEYS.get(config.family, (("attention_bias",), ("mlp_bias",)))
    mlp = config.flag(*of_mlp, default=False)
    if config.family == "cwm":
        return False, False, mlp
    bias = config.flag(*of_attention, default=config.family == "seed_oss")
    if config.family == "seed_oss":
        return bias, config.flag("attention_out_bias", default=False), mlp
    return bias, bias and config.family != "helium", mlp


def _llama_windows(config: Settings, n_layer: int) -> tuple[int | None, int]:
    """Return the window of a Mistral (every layer), Ministral, CWM (as listed) or SmolLM3, and how many layers have it.

    SmolLM3 has one only where it is asked for, on the layers without rotary positions: every fourth, or as listed.
    """
    if config.family == "smollm3":
        wanted = config.flag("use_sliding_window", default=False)
        window = config.whole_or_none("sliding_window") if wanted else None
        interval = config.whole("no_rope_layer_interval", default=4)
        rotary = config.list("no_rope_layers") or [(index + 1) % interval for index in range(n_layer)]
        if len(rotary) != n_layer:
            raise BadConfig(
                "no_rope_layers is not as long as there are layers", expected=str(n_layer), found=str(len(rotary))
            )
        return window, windowed_layers(config, n_layer, window, lambda index: not rotary[index])
    window = optional(config, "sliding_window", _WINDOWS[config.family]) if config.family in _WINDOWS else None
    if config.family not in ("ministral", "cwm"):
        return window, n_layer if window else 0
    whole_every = 4 if config.family == "cwm" else None  # of four of CWM's layers the first sees everything
    return window, windowed_layers(
        config, n_layer, window, lambda index: whole_every is None or index % whole_every != 0
    )


@family("qwen2")
def qwen2(config: Settings) -> Model:
    """Draw Qwen 2 and 2.5: biases on queries, keys and values; the upper layers may see a window.

    References
    ----------
    Yang et al. 2024, arXiv:2407.10671; transformers 5 ``modeling_qwen2.py``.
    """
    default = _Defaults(4096, 32, 32, 32, 22016, 151936)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head, n_kv_head=default.n_kv_head)
    norm = Norm(s.d, "rms", fused=False)
    linears = projections(s.d, heads, bias=True)
    return _qwen(
        config, s, default, lambda window: Block(attention(heads, linears, window=window), _mlp(s), (norm, norm)), norm
    )


@family("qwen3", "hunyuan_v1_dense")
def qwen3(config: Settings) -> Model:
    """Draw Qwen 3 and the dense Hunyuan: norms on the heads of queries and keys, no biases; Hunyuan has no windows.

    References
    ----------
    Yang et al. 2025, arXiv:2505.09388; transformers 5 ``modeling_qwen3.py``, ``modeling_hunyuan_v1_dense.py``.
    """
    default = _Defaults(4096, 32, 32, 32, 22016, 151936, 128)
    if config.family == "hunyuan_v1_dense":
        default = _Defaults(4096, 32, 32, None, 11008, 290943)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head, n_kv_head=default.n_kv_head, width=default.head)
    bias = config.flag("attention_bias", default=False)
    norm, of_head = Norm(s.d, "rms", fused=False), Norm(heads.width, "rms", fused=False)
    linears = projections(s.d, heads, bias=bias, out_bias=bias)

    def block(window: int | None) -> Block:
        return Block(attention(heads, linears, (of_head, of_head), window), _mlp(s), (norm, norm))

    return _qwen(config, s, default, block, norm)


def _mlp(s: _Shape) -> Mlp:
    return gated_mlp(s.d, s.d_ff, s.activation)


def _qwen(config: Settings, s: _Shape, default: _Defaults, block: Callable[[int | None], Block], norm: Norm) -> Model:
    wanted = config.family != "hunyuan_v1_dense" and config.flag("use_sliding_window", default=False)
    window = optional(config, "sliding_window", 4096) if wanted else None
    first = config.whole("max_window_layers", default=28, least=0)
    windowed = windowed_layers(config, s.n_layer, window, lambda index: index >= first)
    layers = stacks(s.n_layer, windowed, lambda sliding: block(window if sliding else None))
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)


@family("phi3")
def phi3(config: Settings) -> Model:
    """Draw Phi-3, 3.5 and 4: fused projections, Llama's parts otherwise.

    References
    ----------
    Abdin et al. 2024, arXiv:2404.14219; transformers 5 ``modeling_phi3.py``.
    """
    default = _Defaults(3072, 32, 32, None, 8192, 32064)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head)
    norm = Norm(s.d, "rms", fused=False)
    linears = (Linear("qkv_proj", s.d, heads.query + 2 * heads.key), Linear("o_proj", heads.query, s.d))
    window = config.whole_or_none("sliding_window")
    block = Block(
        attention(heads, linears, window=window),
        gated_mlp(s.d, s.d_ff, s.activation, fused="gate_up_proj"),
        (norm, norm),
    )
    layers = stacks(s.n_layer, 0, lambda _sliding: block)
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)


@family("glm", "glm4")
def glm(config: Settings) -> Model:
    """Draw GLM-4: biased queries, keys and values, a fused gate; GLM-4-0414 (``glm4``) norms each part's output too.

    References
    ----------
    GLM team 2024, arXiv:2406.12793; transformers 5 ``modeling_glm.py``, ``modeling_glm4.py``.
    """
    default = _Defaults(4096, 40, 32, 2, 13696, 151552)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head, n_kv_head=default.n_kv_head, width=128)
    norm = Norm(s.d, "rms", fused=False)
    linears = projections(s.d, heads, bias=config.flag("attention_bias", default=True))
    mlp = gated_mlp(s.d, s.d_ff, s.activation, fused="gate_up_proj")
    block = Block(attention(heads, linears), mlp, (norm,) * (4 if config.family == "glm4" else 2))
    layers = stacks(s.n_layer, 0, lambda _sliding: block)
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)


@family("olmo2", "olmo3")
def olmo2(config: Settings) -> Model:
    """Draw OLMo 2 and 3: norms after each part, and over all queries and all keys; three of four layers of OLMo 3 see a window.

    References
    ----------
    OLMo team 2025, arXiv:2501.00656; transformers 5 ``modeling_olmo2.py``, ``modeling_olmo3.py``.
    """
    default = _Defaults(4096, 32, 32, None, 11008, 50304)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head)
    bias = config.flag("attention_bias", default=False)
    norm = Norm(s.d, "rms", fused=False)
    over_all = (Norm(heads.query, "rms", fused=False), Norm(heads.key, "rms", fused=False))
    linears = projections(s.d, heads, bias=bias, out_bias=bias)
    window, windowed = None, 0
    if config.family == "olmo3":
        window = optional(config, "sliding_window", 4096)
        windowed = windowed_layers(config, s.n_layer, window, lambda index: (index + 1) % 4 != 0)
    layers = stacks(
        s.n_layer,
        windowed,
        lambda sliding: Block(attention(heads, linears, over_all, window if sliding else None), _mlp(s), (norm, norm)),
    )
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)


@family("exaone4")
def exaone4(config: Settings) -> Model:
    """Draw EXAONE 4: norms after each part and on the heads of queries and keys; most layers may see a window.

    References
    ----------
    LG AI Research 2025, arXiv:2507.11407; transformers 5 ``modeling_exaone4.py``.
    """
    default = _Defaults(4096, 32, 32, 32, 16384, 102400)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head, n_kv_head=default.n_kv_head)
    norm, of_head = Norm(s.d, "rms", fused=False), Norm(heads.width, "rms", fused=False)
    linears = projections(s.d, heads)
    window = optional(config, "sliding_window", 4096)
    windowed = windowed_layers(config, s.n_layer, window, _exaone_pattern(config))
    layers = stacks(
        s.n_layer,
        windowed,
        lambda sliding: Block(
            attention(heads, linears, (of_head, of_head), window if sliding else None), _mlp(s), (norm, norm)
        ),
    )
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)


def _exaone_pattern(config: Settings) -> Callable[[int], bool]:
    """Return which layers see a window: all but every n-th, or as letters say (``LLLG``: three local, one global)."""
    letters = config.raw("sliding_window_pattern")
    if isinstance(letters, str):
        if not letters or set(letters) - {"L", "G"}:
            raise BadConfig(
                "sliding_window_pattern has other letters than L and G", expected="LLLG", found=shown(letters)
            )
        return lambda index: letters[index % len(letters)] == "L"
    pattern = config.whole("sliding_window_pattern", default=4)
    return lambda index: (index + 1) % pattern != 0


@family("arcee")
def arcee(config: Settings) -> Model:
    """Draw Arcee's AFM: Llama with a feed-forward part of squared ReLU, without a gate.

    References
    ----------
    transformers 5 ``modeling_arcee.py``.
    """
    default = _Defaults(2560, 32, 32, None, 18432, 32000)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head)
    bias = config.flag("attention_bias", default=False)
    norm = Norm(s.d, "rms", fused=False)
    act = activation_of(config, "hidden_act", default="relu2")
    mlp = plain_mlp(s.d, s.d_ff, act, ("up_proj", "down_proj"), bias=config.flag("mlp_bias", default=False))
    block = Block(attention(heads, projections(s.d, heads, bias=bias, out_bias=bias)), mlp, (norm, norm))
    layers = stacks(s.n_layer, 0, lambda _sliding: block)
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)


@family("apertus")
def apertus(config: Settings) -> Model:
    """Draw Apertus: norms on the heads of queries and keys, and an activation that learns two numbers a layer.

    References
    ----------
    Apertus project 2025, arXiv:2509.14233; transformers 5 ``modeling_apertus.py``.
    """
    default = _Defaults(4096, 32, 32, None, 14336, 131072)
    s = _sizes(config, default)
    heads = heads_of(config, s.d, n_head=default.n_head)
    bias = config.flag("attention_bias", default=False)
    norm, of_head = Norm(s.d, "rms", fused=False), Norm(heads.width, "rms", fused=False)
    mixer = attention(heads, projections(s.d, heads, bias=bias, out_bias=bias), (of_head, of_head))
    act = activation_of(config, "hidden_act", default="xielu")
    mlp = plain_mlp(s.d, s.d_ff, act, ("up_proj", "down_proj"), bias=False)
    learned = (Vector("act_fn", 2),) if act == "xielu" else ()
    block = Block(mixer, mlp, (norm, norm), learned)
    layers = stacks(s.n_layer, 0, lambda _sliding: block)
    return decoder(config, d_model=s.d, vocab_size=s.vocab, layers=layers, final=(norm,), tied=default.tied)
