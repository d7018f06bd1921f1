"""Decoders with LayerNorm: GPT-Neo, GPT-J, GPT-NeoX, OPT, BLOOM, Falcon, Phi, OLMo, StableLM, StarCoder, Cohere …"""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Block, Linear, Model, Norm, Table
from ..registry import family
from ..settings import Settings
from .parts import optional
from .shared import (
    Heads,
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

__all__ = [
    "bloom",
    "cohere",
    "falcon",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "nemotron",
    "olmo",
    "opt",
    "persimmon",
    "phi",
    "stablelm",
    "starcoder2",
    "xglm",
]


def _equal(config: Settings, d: int, n_head: int, what: str) -> Heads:
    return Heads(n_head, n_head, config.divided(d, n_head, what))


@family("gpt_neox")
def gpt_neox(config: Settings) -> Model:
    """Draw GPT-NeoX and Pythia: rotary positions, an untied head, biases throughout.

    References
    ----------
    Black et al. 2022, arXiv:2204.06745; Biderman et al. 2023, arXiv:2304.01373; transformers 5 ``modeling_gpt_neox.py``.
    """
    d = config.whole("hidden_size", default=6144)
    heads = _equal(config, d, config.whole("num_attention_heads", default=64), "hidden_size by num_attention_heads")
    d_ff = config.whole("intermediate_size", default=24576)
    bias = config.flag("attention_bias", default=True)
    norm = Norm(d, bias=True)
    mixer = attention(heads, (Linear("query_key_value", d, 3 * d, bias), Linear("dense", d, d, bias)))
    act = activation_of(config, "hidden_act", default="gelu")
    mlp = plain_mlp(d, d_ff, act, ("dense_h_to_4h", "dense_4h_to_h"), bias=True)
    layers = stacks(config.whole("num_hidden_layers", default=44), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=50432)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=False)


@family("gpt_neo")
def gpt_neo(config: Settings) -> Model:
    """Draw GPT-Neo: learned positions, every second layer sees a window, no biases on queries, keys and values.

    References
    ----------
    Black et al. 2021, doi:10.5281/zenodo.5297715; transformers 5 ``modeling_gpt_neo.py``.
    """
    d = config.whole("hidden_size", default=2048)
    heads = _equal(config, d, config.whole("num_heads", "num_attention_heads", default=16), "hidden_size by num_heads")
    n_layer = config.whole("num_layers", "num_hidden_layers", default=24)
    d_ff = config.whole("intermediate_size", default=4 * d)
    context = config.whole("max_position_embeddings", default=2048)
    window = config.whole("window_size", default=256)
    norm = Norm(d, bias=True)
    linears = projections(d, heads, out="out_proj", out_bias=True)
    act = activation_of(config, "activation_function", default="gelu_new")
    mlp = plain_mlp(d, d_ff, act, ("c_fc", "c_proj"), bias=True)
    layers = stacks(
        n_layer,
        _local_layers(config, n_layer),
        lambda sliding: Block(attention(heads, linears, window=window if sliding else None), mlp, (norm, norm)),
    )
    vocab = config.whole("vocab_size", default=50257)
    tables = (Table("position", context, d),)
    return decoder(
        config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=True, tables=tables, context=context
    )


def _local_layers(config: Settings, n_layer: int) -> int:
    """Return how many layers of a GPT-Neo attend locally: ``attention_types`` lists patterns with how often each comes.

    Raises
    ------
    BadConfig
        When it is no such list, or gives another number of layers, as transformers refuses it.
    """
    given = config.raw("attention_types")
    if given is None:
        return n_layer // 2  # the default, global and local in turn
    layers = local = 0
    for entry in given if isinstance(given, list | tuple) else (given,):
        kinds, times = entry if isinstance(entry, list | tuple) and len(entry) == 2 else (None, None)
        if not isinstance(kinds, list | tuple) or not isinstance(times, int) or not 0 <= times <= n_layer:
            raise BadConfig("attention_types is not a list of patterns", expected='[[["global", "local"], 12]]')
        if any(kind not in ("global", "local") for kind in kinds):
            raise BadConfig("attention_types names another kind of layer", expected="global or local")
        layers += times * len(kinds)
        local += times * sum(kind == "local" for kind in kinds)
    if layers != n_layer:
        raise BadConfig("attention_types is not as long as there are layers", expected=str(n_layer), found=str(layers))
    return local


@family("gptj", "codegen")
def gptj(config: Settings) -> Model:
    """Draw GPT-J and CodeGen: one norm a layer, attention without biases, a biased head of its own.

    References
    ----------
    Wang and Komatsuzaki 2021, "GPT-J-6B"; Nijkamp et al. 2022, arXiv:2203.13474; transformers 5 ``modeling_gptj.py``.
    """
    d = config.whole("n_embd", "hidden_size", default=4096)
    heads = _equal(config, d, config.whole("n_head", "num_attention_heads", default=16), "n_embd by n_head")
    d_ff = config.whole("n_inner", default=4 * d)
    norm = Norm(d, bias=True)
    fused = (Linear("qkv_proj", d, 3 * d), Linear("out_proj", d, d))
    linears = fused if config.family == "codegen" else projections(d, heads, out="out_proj")
    act = activation_of(config, "activation_function", default="gelu_new")
    mlp = plain_mlp(d, d_ff, act, ("fc_in", "fc_out"), bias=True)
    n_layer = config.whole("n_layer", "num_hidden_layers", default=28)
    layers = stacks(n_layer, 0, lambda _s: Block(attention(heads, linears), mlp, (norm,)))
    vocab = config.whole("vocab_size", default=50400)
    context = config.whole("n_positions", "max_position_embeddings", default=2048)
    return decoder(
        config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=False, head_bias=True, context=context
    )


@family("gpt_bigcode")
def gpt_bigcode(config: Settings) -> Model:
    """Draw StarCoder 1 and SantaCoder: GPT-2 with one key and value head.

    References
    ----------
    Li et al. 2023, arXiv:2305.06161; transformers 5 ``modeling_gpt_bigcode.py``.
    """
    d = config.whole("n_embd", "hidden_size", default=768)
    n_head = config.whole("n_head", "num_attention_heads", default=12)
    width = config.divided(d, n_head, "n_embd by n_head")
    heads = Heads(n_head, 1 if config.flag("multi_query", default=True) else n_head, width)
    d_ff = config.whole("n_inner", default=4 * d)
    context = config.whole("n_positions", "max_position_embeddings", default=1024)
    norm = Norm(d, bias=True)
    mixer = attention(heads, (Linear("c_attn", d, d + 2 * heads.key, True), Linear("c_proj", d, d, True)))
    act = activation_of(config, "activation_function", default="gelu_tanh")
    mlp = plain_mlp(d, d_ff, act, ("c_fc", "c_proj"), bias=True)
    n_layer = config.whole("n_layer", "num_hidden_layers", default=12)
    layers = stacks(n_layer, 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=50257)
    tables = (Table("position", context, d),)
    return decoder(
        config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=True, tables=tables, context=context
    )


@family("opt")
def opt(config: Settings) -> Model:
    """Draw OPT: learned positions from row 2 on, ReLU, and in 350M an embedding narrower than the model.

    References
    ----------
    Zhang et al. 2022, arXiv:2205.01068; transformers 5 ``modeling_opt.py``.
    """
    d = config.whole("hidden_size", default=768)
    heads = _equal(config, d, config.whole("num_attention_heads", default=12), "hidden_size by num_attention_heads")
    d_ff = config.whole("ffn_dim", default=3072)
    context = config.whole("max_position_embeddings", default=2048)
    narrow = config.whole("word_embed_proj_dim", default=d)
    bias = config.flag("enable_bias", default=True)
    affine = config.flag("layer_norm_elementwise_affine", default=True)
    norm = Norm(d, gain=affine, bias=affine)
    mixer = attention(heads, projections(d, heads, bias=bias, out="out_proj", out_bias=bias))
    act = activation_of(config, "activation_function", default="relu")
    mlp = plain_mlp(d, d_ff, act, ("fc1", "fc2"), bias=bias)
    layers = stacks(config.whole("num_hidden_layers", default=12), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    before = config.flag("do_layer_norm_before", default=True)
    final = (norm,) if before and not config.flag("_remove_final_layer_norm", default=False) else ()
    linears = (Linear("project_in", narrow, d), Linear("project_out", d, narrow)) if narrow != d else ()
    return decoder(
        config,
        d_model=d,
        vocab_size=config.whole("vocab_size", default=50272),
        layers=layers,
        final=final,
        tied=True,
        tables=(Table("position", context + 2, d),),
        context=context,
        linears=linears,
        head_in=narrow,
    )


@family("bloom")
def bloom(config: Settings) -> Model:
    """Draw BLOOM: ALiBi, a norm after the embedding, a tied head.

    References
    ----------
    BigScience 2022, arXiv:2211.05100; transformers 5 ``modeling_bloom.py``.
    """
    d = config.whole("hidden_size", "n_embed", default=64)
    heads = _equal(config, d, config.whole("n_head", "num_attention_heads", default=8), "hidden_size by n_head")
    norm = Norm(d, bias=True)
    mixer = attention(heads, (Linear("query_key_value", d, 3 * d, True), Linear("dense", d, d, True)))
    mlp = plain_mlp(d, 4 * d, "gelu_tanh", ("dense_h_to_4h", "dense_4h_to_h"), bias=True)
    n_layer = config.whole("n_layer", "num_hidden_layers", default=2)
    layers = stacks(n_layer, 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=250880)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm, norm), tied=True)


@family("falcon", "RefinedWeb", "RefinedWebModel")
def falcon(config: Settings) -> Model:
    """Draw Falcon 7B, 40B, 180B and 1B: one key and value head, or grouped ones in the new decoder architecture.

    Before transformers had it, Falcon's own code called the new architecture (40B) ``RefinedWeb``, the old one
    ``RefinedWebModel``.

    References
    ----------
    Almazrouei et al. 2023, arXiv:2311.16867; transformers 5 ``modeling_falcon.py``.
    """
    d = config.whole("hidden_size", default=4544)
    n_head = config.whole("num_attention_heads", "n_head", default=71)
    width = config.divided(d, n_head, "hidden_size by num_attention_heads")
    new = config.flag("new_decoder_architecture", default=config.family == "RefinedWeb")
    if new:
        n_kv = config.whole("num_kv_heads", "n_head_kv", default=n_head)
    else:
        n_kv = 1 if config.flag("multi_query", default=True) else n_head
    heads = Heads(n_head, n_kv, width)
    d_ff = config.whole("ffn_hidden_size", default=4 * d)
    bias = config.flag("bias", default=False)
    norm = Norm(d, bias=True)
    mixer = attention(heads, (Linear("query_key_value", d, d + 2 * heads.key, bias), Linear("dense", d, d, bias)))
    act = activation_of(config, "activation", default="gelu")
    mlp = plain_mlp(d, d_ff, act, ("dense_h_to_4h", "dense_4h_to_h"), bias=bias)
    parallel = config.flag("parallel_attn", default=True)
    together = config.whole("num_ln_in_parallel_attn", default=2 if new else 1)
    norms = 2 if not parallel or together == 2 else 1
    n_layer = config.whole("num_hidden_layers", "n_layer", default=32)
    layers = stacks(n_layer, 0, lambda _s: Block(mixer, mlp, (norm,) * norms))
    vocab = config.whole("vocab_size", default=65024)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=True)


@family("phi")
def phi(config: Settings) -> Model:
    """Draw Phi 1, 1.5 and 2: one norm a layer, biases throughout, a biased head of its own.

    References
    ----------
    Li et al. 2023, arXiv:2309.05463; transformers 5 ``modeling_phi.py``.
    """
    d = config.whole("hidden_size", default=2048)
    heads = heads_of(config, d, n_head=32)
    d_ff = config.whole("intermediate_size", default=8192)
    norm, of_head = Norm(d, bias=True), Norm(heads.width, bias=True)
    norms = (of_head, of_head) if config.flag("qk_layernorm", default=False) else ()
    mixer = attention(heads, projections(d, heads, bias=True, out="dense", out_bias=True), norms)
    mlp = plain_mlp(d, d_ff, activation_of(config, "hidden_act", default="gelu_new"), ("fc1", "fc2"), bias=True)
    layers = stacks(config.whole("num_hidden_layers", default=24), 0, lambda _s: Block(mixer, mlp, (norm,)))
    vocab = config.whole("vocab_size", default=51200)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=False, head_bias=True)


@family("olmo")
def olmo(config: Settings) -> Model:
    """Draw OLMo 1: norms that learn nothing.

    References
    ----------
    Groeneveld et al. 2024, arXiv:2402.00838; transformers 5 ``modeling_olmo.py``.
    """
    d = config.whole("hidden_size", default=4096)
    heads = heads_of(config, d, n_head=32)
    bias = config.flag("attention_bias", default=False)
    norm = Norm(d, gain=False)
    mixer = attention(heads, projections(d, heads, bias=bias, out_bias=bias))
    act = activation_of(config, "hidden_act", default="silu")
    mlp = gated_mlp(d, config.whole("intermediate_size", default=11008), act)
    layers = stacks(config.whole("num_hidden_layers", default=32), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=50304)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=False)


@family("stablelm")
def stablelm(config: Settings) -> Model:
    """Draw StableLM 2 and 3B: LayerNorm with Llama's feed-forward part; norms of each head in 12B.

    References
    ----------
    Bellagente et al. 2024, arXiv:2402.17834; transformers 5 ``modeling_stablelm.py``.
    """
    d = config.whole("hidden_size", default=2560)
    heads = heads_of(config, d, n_head=32, n_kv_head=32)
    norm = Norm(d, bias=True)
    norms = (Norm(heads.query), Norm(heads.key)) if config.flag("qk_layernorm", default=False) else ()
    linears = projections(d, heads, bias=config.flag("use_qkv_bias", default=False))
    act = activation_of(config, "hidden_act", default="silu")
    mlp = gated_mlp(d, config.whole("intermediate_size", default=6912), act)
    outer = (norm,) if config.flag("use_parallel_residual", default=False) else (norm, norm)
    n_layer = config.whole("num_hidden_layers", default=32)
    layers = stacks(n_layer, 0, lambda _s: Block(attention(heads, linears, norms), mlp, outer))
    vocab = config.whole("vocab_size", default=50304)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=False)


@family("starcoder2")
def starcoder2(config: Settings) -> Model:
    """Draw StarCoder 2: grouped heads, LayerNorm, biases throughout, a window where the config gives one.

    References
    ----------
    Lozhkov et al. 2024, arXiv:2402.19173; transformers 5 ``modeling_starcoder2.py``.
    """
    d = config.whole("hidden_size", default=3072)
    heads = heads_of(config, d, n_head=24, n_kv_head=2)
    bias = config.flag("use_bias", default=True)
    norm = Norm(d, bias=True)
    window = config.whole_or_none("sliding_window")
    mixer = attention(heads, projections(d, heads, bias=bias, out_bias=bias), window=window)
    act = activation_of(config, "hidden_act", default="gelu_tanh")
    mlp = plain_mlp(d, config.whole("intermediate_size", default=12288), act, ("c_fc", "c_proj"), bias=bias)
    layers = stacks(config.whole("num_hidden_layers", default=30), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=49152)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=True)


@family("cohere", "cohere2")
def cohere(config: Settings) -> Model:
    """Draw Command R (``cohere``) and R7B (``cohere2``, three of four layers see a window): one norm a layer, without bias.

    References
    ----------
    Cohere 2025, arXiv:2504.00698; transformers 5 ``modeling_cohere.py``, ``modeling_cohere2.py``.
    """
    d = config.whole("hidden_size", default=8192)
    heads = heads_of(config, d, n_head=64)
    bias = config.flag("attention_bias", default=False)
    norm = Norm(d, fused=False)
    second = config.family == "cohere2"
    with_norms = not second and config.flag("use_qk_norm", default=False)
    norms = (Norm(heads.query, fused=False), Norm(heads.key, fused=False)) if with_norms else ()
    linears = projections(d, heads, bias=bias, out_bias=bias)
    act = activation_of(config, "hidden_act", default="silu")
    mlp = gated_mlp(d, config.whole("intermediate_size", default=22528), act)
    n_layer = config.whole("num_hidden_layers", default=40)
    window, windowed = None, 0
    if second:
        window = optional(config, "sliding_window", 4096)
        pattern = config.whole("sliding_window_pattern", "_sliding_window_pattern", default=4)
        windowed = windowed_layers(config, n_layer, window, lambda index: (index + 1) % pattern != 0)
    layers = stacks(
        n_layer,
        windowed,
        lambda sliding: Block(attention(heads, linears, norms, window if sliding else None), mlp, (norm,)),
    )
    vocab = config.whole("vocab_size", default=256000)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=True)


@family("nemotron")
def nemotron(config: Settings) -> Model:
    """Draw Nemotron: LayerNorm, squared ReLU without a gate.

    References
    ----------
    Parmar et al. 2024, arXiv:2402.16819; transformers 5 ``modeling_nemotron.py``.
    """
    d = config.whole("hidden_size", default=6144)
    heads = heads_of(config, d, n_head=48)
    bias = config.flag("attention_bias", default=False)
    norm = Norm(d, bias=True)
    mixer = attention(heads, projections(d, heads, bias=bias, out_bias=bias))
    d_ff = config.whole("intermediate_size", default=24576)
    act = activation_of(config, "hidden_act", default="relu2")
    mlp = plain_mlp(d, d_ff, act, ("up_proj", "down_proj"), bias=config.flag("mlp_bias", default=False))
    layers = stacks(config.whole("num_hidden_layers", default=32), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=256000)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=False)


@family("persimmon")
def persimmon(config: Settings) -> Model:
    """Draw Persimmon: GPT-NeoX's projections, squared ReLU, norms on the heads of queries and keys.

    References
    ----------
    Adept 2023, "Releasing Persimmon-8B"; transformers 5 ``modeling_persimmon.py``.
    """
    d = config.whole("hidden_size", default=4096)
    heads = _equal(config, d, config.whole("num_attention_heads", default=64), "hidden_size by num_attention_heads")
    norm, of_head = Norm(d, bias=True), Norm(heads.width, bias=True)
    norms = (of_head, of_head) if config.flag("qk_layernorm", default=True) else ()
    mixer = attention(heads, (Linear("query_key_value", d, 3 * d, True), Linear("dense", d, d, True)), norms)
    act = activation_of(config, "hidden_act", default="relu2")
    d_ff = config.whole("intermediate_size", default=16384)
    mlp = plain_mlp(d, d_ff, act, ("dense_h_to_4h", "dense_4h_to_h"), bias=True)
    layers = stacks(config.whole("num_hidden_layers", default=36), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=262144)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=False)


@family("xglm")
def xglm(config: Settings) -> Model:
    """Draw XGLM: sinusoidal positions, biases throughout, a tied head.

    References
    ----------
    Lin et al. 2021, arXiv:2112.10668; transformers 5 ``modeling_xglm.py``.
    """
    d = config.whole("d_model", default=1024)
    heads = _equal(config, d, config.whole("attention_heads", default=16), "d_model by attention_heads")
    norm = Norm(d, bias=True)
    mixer = attention(heads, projections(d, heads, bias=True, out="out_proj", out_bias=True))
    act = activation_of(config, "activation_function", default="gelu")
    mlp = plain_mlp(d, config.whole("ffn_dim", default=4096), act, ("fc1", "fc2"), bias=True)
    layers = stacks(config.whole("num_layers", default=24), 0, lambda _s: Block(mixer, mlp, (norm, norm)))
    vocab = config.whole("vocab_size", default=256008)
    return decoder(config, d_model=d, vocab_size=vocab, layers=layers, final=(norm,), tied=True)
