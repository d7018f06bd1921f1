"""The models of trainers that have few of their own: llm.c, modded-nanogpt, torchtitan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import BadConfig
from ..blueprint import Attention, Block, Linear, Mlp, Model, Norm, Stack, Table, Vector
from ..registry import family
from ..settings import MAX_LAYERS, MAX_SIZE, Settings, shown
from .deepseek import deepseek_v3
from .gpt2 import gpt2
from .parts import stacked

__all__ = ["llmc", "modded_nanogpt", "torchtitan"]

LLMC_VOCABULARY = 50_304
"""Rows of llm.c's token table: GPT-2's 50,257 padded to a multiple of 128."""
_LLMC_DEPTHS = {6: (384, 6), 12: (768, 12), 24: (1024, 16), 36: (1280, 20), 48: (1600, 25)} | {
    60: (1920, 30),
    72: (2880, 30),
    84: (3456, 36),
}
"""Channels and heads of ``dX`` (``gpt2_set_hyperparameters``)."""
_LLMC_CHANNELS = {384: (6, 64), 768: (12, 64), 1024: (24, 64), 1536: (24, 96), 2048: (24, 128)} | {
    2560: (32, 80),
    4096: (32, 128),
    12288: (96, 128),
}
"""Layers and head size of ``gpt3:cX`` (``gpt3_set_hyperparameters``); 5140 is there too, which its head size does not divide."""


@family("llm.c")
def llmc(config: Settings) -> Model:
    """Draw llm.c's GPT-2 or GPT-3 from ``descriptor`` (its ``-e`` flag): ``d12``, ``gpt2:d48``, ``gpt3:c768``.

    References
    ----------
    karpathy/llm.c ``train_gpt2.cu`` (f1e2ace): ``gpt_build_from_descriptor``.
    """
    name = config.text("descriptor", default="")
    kind, number = name.removeprefix("gpt2:")[:1], name.removeprefix("gpt2:")[1:]
    if name.startswith("gpt3:c"):
        kind, number = "c", name.removeprefix("gpt3:c")
    size = int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else 0
    if kind == "d" and size in _LLMC_DEPTHS:
        (channels, heads), depth, context = _LLMC_DEPTHS[size], size, 1024
    elif kind == "c" and name.startswith("gpt3:") and size in _LLMC_CHANNELS:
        (depth, head_dim), channels, context = _LLMC_CHANNELS[size], size, 2048
        heads = channels // head_dim
    else:
        raise BadConfig("the descriptor is unknown to llm.c", expected="d12, gpt2:d12 or gpt3:c768", found=shown(name))
    shape = {"n_layer": depth, "n_head": heads, "n_embd": channels, "n_positions": context}
    return gpt2(Settings({**shape, "vocab_size": LLMC_VOCABULARY}, config.family))


@family("modded-nanogpt")
def modded_nanogpt(config: Settings) -> Model:
    """Draw modded-nanogpt's GPT: norms without weights, squared ReLU, rotary positions, queries and keys normalised.

    Its records changed the model every few weeks, and no config says how, so these keys do (others: ``n_layer`` or
    ``num_layers``, ``n_head`` or ``num_heads``, ``n_embd`` or ``model_dim``, ``vocab_size``):

    ``tie_word_embeddings`` : bool
        False by default, as from 2024-11-03 on.
    ``value_embeds`` : int
        Tables of value embeddings of the model's width (12 from 2024-12-04 on, 6 from 12-08, 3 from 12-17). 0 by default.
    ``attention_layers`` : int
        Layers that attend; all by default, one less from 2024-12-17 on (the eighth does not).
    ``head_vocab_size`` : int
        Rows of the head where they are more than the table's (50,304 beside 50,257, from 2025-01-13 on).
    ``scalars`` : int
        Learned scalars in all. 0 by default; with U-net skips and lambdas of blocks and values it is 42 in twelve layers from
        2024-11-10 on, 54 from 12-08, 52 from 12-17, and 60 padded to a multiple of the GPUs (64 for eight) from 2025-05 on.

    What the records add from August 2025 on is not drawn: gates, smearing, bigram tables, layers without an MLP, paired heads.

    References
    ----------
    KellerJordan/modded-nanogpt (f411b3d3), the programs in ``records/track_1_short``, 2024-10-14 to 2025-07-13.
    """
    d = config.whole("n_embd", "model_dim", default=768)
    n_layer = config.whole("n_layer", "num_layers", default=12, most=MAX_LAYERS)
    n_head = config.whole("n_head", "num_heads", default=6)
    n_kv = config.whole("n_kv_head", "num_kv_heads", default=n_head)
    config.divided(n_head, n_kv, "n_head by n_kv_head")
    head_dim = config.whole_or_none("head_dim") or config.divided(d, n_head, "n_embd by n_head")
    vocab = config.whole("vocab_size", default=50304)
    tied = config.flag("tie_word_embeddings", "tied", default=False)
    rows = vocab if tied else config.whole("head_vocab_size", default=vocab)
    attending = config.whole("attention_layers", default=n_layer, least=0, most=n_layer)
    plain, of_head = Norm(d, "rms", gain=False), Norm(head_dim, "rms", gain=False)
    inner, keys = n_head * head_dim, n_kv * head_dim
    linears = (Linear("c_q", d, inner), Linear("c_k", d, keys), Linear("c_v", d, keys), Linear("c_proj", inner, d))
    attention = Attention(n_head, n_kv, head_dim, head_dim, linears, norms=(of_head, of_head))
    mlp = Mlp(4 * d, False, (Linear("c_fc", d, 4 * d), Linear("c_proj", 4 * d, d)), "relu2")
    scalars = config.whole("scalars", default=0, least=0)
    values = config.whole("value_embeds", default=0, least=0, most=MAX_LAYERS)

    def draw(attends: bool) -> Block:
        return Block(attention, mlp, (plain, plain)) if attends else Block(None, mlp, (plain,))

    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=config.whole_or_none("context", "block_size", "max_seq_len", "sequence_length"),
        tables=(Table("embedding", vocab, d), *((Table("other", vocab, d),) * values)),
        stacks=stacked((i < attending for i in range(n_layer)), draw),
        norms=(plain,),
        head=Linear("lm_head", d, rows),
        tied=tied,
        vectors=(Vector("scalars", scalars),) if scalars else (),
    )


def _llama3_flavor(
    dim: int, layers: int, heads: int, multiple: int, multiplier: float, *, tied: bool = False
) -> Mapping[str, Any]:
    return {
        "dim": dim,
        "n_layers": layers,
        "n_heads": heads,
        "n_kv_heads": 8,
        "multiple_of": multiple,
        "ffn_dim_multiplier": multiplier,
        "enable_weight_tying": tied,
    }


_LLAMA3: Mapping[str, Mapping[str, Any]] = {
    "debugmodel": {"dim": 256, "n_layers": 6, "n_heads": 16, "vocab_size": 2048, "multiple_of": 256},
    "1B": _llama3_flavor(2048, 16, 32, 1024, 1.5, tied=True),
    "3B": _llama3_flavor(3072, 28, 24, 1024, 1.0, tied=True),
    "8B": _llama3_flavor(4096, 32, 32, 1024, 1.3),
    "70B": _llama3_flavor(8192, 80, 64, 4096, 1.3),
    "405B": _llama3_flavor(16384, 126, 128, 4096, 1.2),
}
"""torchtitan 0.3.0 ``models/llama3/__init__.py``."""


def _deepseek(sizes: tuple[int, ...], q_lora_rank: int | None) -> Mapping[str, Any]:
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size")
    more = (
        "moe_intermediate_size",
        "n_routed_experts",
        "n_shared_experts",
        "num_experts_per_tok",
        "first_k_dense_replace",
    )
    return {**dict(zip(names + more, sizes, strict=True)), "q_lora_rank": q_lora_rank}


_DEEPSEEK: Mapping[str, Mapping[str, Any]] = {
    "debugmodel": _deepseek((256, 6, 16, 2048, 1024, 256, 8, 2, 3, 1), None),
    "16B": _deepseek((2048, 27, 16, 102400, 10944, 1408, 64, 2, 6, 1), None),
    "236B": _deepseek((5120, 60, 128, 102400, 12288, 1536, 160, 2, 6, 1), 1536),
    "671B": _deepseek((7168, 61, 128, 129280, 18432, 2048, 256, 1, 8, 3), 1536),
}
"""torchtitan 0.3.0 ``models/deepseek_v3/__init__.py``, in transformers' keys."""


@family("torchtitan")
def torchtitan(config: Settings) -> Model:
    """Draw torchtitan's Llama 3 or DeepSeek-V3.

    ``name`` is ``llama3`` (the default) or ``deepseek_v3`` and ``flavor`` one of its sizes (``debugmodel``, ``8B`` …); Llama 3
    also has ``dim``, ``n_layers``, ``n_heads``, ``n_kv_heads``, ``vocab_size``, ``multiple_of`` and ``ffn_dim_multiplier``, which
    override the flavor's. The inner width of its MLP is two thirds of 4·``dim``, times the multiplier, rounded down each time,
    then up to the multiple (256 where it is not given, as in the ``ModelArgs`` of Llama and of torchtitan before 0.3);
    ``hidden_dim`` gives it outright. The layers for multi-token prediction are not drawn.

    References
    ----------
    pytorch/torchtitan 0.3.0: ``models/llama3``, ``models/deepseek_v3``, ``models/common/feed_forward.py``
    ``compute_ffn_hidden_dim``.
    """
    name, flavor = config.text("name", default="llama3"), config.text("flavor", default="")
    flavors = {"llama3": _LLAMA3, "deepseek_v3": _DEEPSEEK}.get(name)
    if flavors is None:
        raise BadConfig("the model is not drawn as torchtitan's", expected="llama3 or deepseek_v3", found=shown(name))
    if flavor and flavor not in flavors:
        raise BadConfig("the flavor is unknown", expected=", ".join(flavors), found=shown(flavor))
    if name == "deepseek_v3":
        if not flavor:
            raise BadConfig("torchtitan's deepseek_v3 needs a flavor", expected=", ".join(flavors))
        return deepseek_v3(Settings(flavors[flavor], config.family))
    return _llama3(config.over(flavors.get(flavor, {})))


def _llama3(config: Settings) -> Model:
    d = config.whole("dim", default=4096)
    n_head = config.whole("n_heads", default=32)
    n_kv = config.whole("n_kv_heads", default=n_head)
    config.divided(n_head, n_kv, "n_heads by n_kv_heads")
    width = config.divided(d, n_head, "dim by n_heads")
    d_ff = config.whole_or_none("hidden_dim") or _inner_width(config, d)
    vocab = config.whole("vocab_size", default=128256)
    norm = Norm(d, "rms")
    attention = Attention(
        *(n_head, n_kv, width, width),
        (
            Linear("wq", d, d),
            Linear("wk", d, n_kv * width),
            Linear("wv", d, n_kv * width),
            Linear("wo", d, d),
        ),
    )
    mlp = Mlp(d_ff, True, (Linear("w1", d, d_ff), Linear("w3", d, d_ff), Linear("w2", d_ff, d)), "silu")
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=config.whole_or_none("max_seq_len"),
        tables=(Table("embedding", vocab, d),),
        stacks=(Stack(Block(attention, mlp, (norm, norm)), config.whole("n_layers", default=32, most=MAX_LAYERS)),),
        norms=(norm,),
        head=Linear("lm_head", d, vocab),
        tied=config.flag("enable_weight_tying", default=False),
    )


def _inner_width(config: Settings, d: int) -> int:
    multiple = config.whole("multiple_of", default=256)
    inner = config.number("ffn_dim_multiplier", default=1) * int(8 * d / 3)
    if not 1 <= inner <= MAX_SIZE:
        raise BadConfig(
            "ffn_dim_multiplier leaves no MLP of a possible width", found=shown(config.raw("ffn_dim_multiplier"))
        )
    return -(-int(inner) // multiple) * multiple
