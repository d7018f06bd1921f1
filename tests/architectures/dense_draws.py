"""Random small configs of dense and masked models."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["DRAW", "drawn"]


def _heads(rng: random.Random) -> tuple[int, int, int]:
    kv = rng.choice((1, 2, 4))
    heads = kv * rng.choice((1, 2, 3))
    return heads, kv, heads * rng.choice((8, 16))


def _flag(rng: random.Random) -> bool:
    return rng.random() < 0.5


def _common(rng: random.Random, *, kv: bool = True, **more: Any) -> dict[str, Any]:
    heads, n_kv, width = _heads(rng)
    shape = {
        "num_hidden_layers": rng.randint(1, 4),
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": rng.choice((24, 40, 4 * width)),
        "vocab_size": rng.choice((101, 128, 257)),
        "max_position_embeddings": 64,
        "tie_word_embeddings": _flag(rng),
    }
    return {**shape, **({"num_key_value_heads": n_kv} if kv else {}), **more}


def _sliding(rng: random.Random, **more: Any) -> dict[str, Any]:
    """Draw a config whose layers have windows: as the family's pattern has them, or as a list says."""
    config = _common(rng, **more)
    config["num_hidden_layers"] = rng.randint(1, 7)
    config["sliding_window"] = rng.choice((5, 9))
    if _flag(rng):
        kinds = ("full_attention", "sliding_attention")
        config["layer_types"] = [rng.choice(kinds) for _ in range(config["num_hidden_layers"])]
    return config


def _head_dim(rng: random.Random) -> dict[str, Any]:
    return {"head_dim": rng.choice((8, 16, None))}


def _wide(rng: random.Random) -> dict[str, Any]:
    """Draw the width of a head for families whose class takes no null for it."""
    return {"head_dim": rng.choice((8, 16))}


def _bias(rng: random.Random) -> dict[str, Any]:
    return {"attention_bias": _flag(rng)}


def _gpt(rng: random.Random, **more: Any) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    return {
        "n_layer": rng.randint(1, 4),
        "n_head": heads,
        "n_embd": width,
        "n_positions": 64,
        "vocab_size": rng.choice((101, 128)),
        "n_inner": rng.choice((None, 40)),
        "activation_function": rng.choice(("gelu", "gelu_new", "relu")),
        "tie_word_embeddings": _flag(rng),
        **more,
    }


def _first_gpt(rng: random.Random) -> dict[str, Any]:
    config = _gpt(rng, afn=rng.choice(("gelu", "relu", "swish")))
    return {key: value for key, value in config.items() if key not in ("n_inner", "activation_function")}


def _neo(rng: random.Random) -> dict[str, Any]:
    patterns: list[list[Any]] = rng.choice(
        ([[["global", "local"], 2]], [[["global"], 1], [["local", "local"], 1]], [[["local"], 1]])
    )
    heads, _kv, width = _heads(rng)
    return {
        "num_layers": sum(len(kinds) * times for kinds, times in patterns),
        "num_heads": heads,
        "hidden_size": width,
        "intermediate_size": rng.choice((None, 40)),
        "attention_types": patterns,
        "window_size": 5,
        "activation_function": rng.choice(("gelu_new", "relu")),
        "vocab_size": 101,
        "max_position_embeddings": 64,
        "tie_word_embeddings": _flag(rng),
    }


def _opt(rng: random.Random) -> dict[str, Any]:
    shape = _common(rng, kv=False)
    shape["ffn_dim"] = shape.pop("intermediate_size")
    return {
        **shape,
        "word_embed_proj_dim": rng.choice((shape["hidden_size"], 8)),
        "do_layer_norm_before": _flag(rng),
        "_remove_final_layer_norm": _flag(rng),
        "enable_bias": _flag(rng),
        "layer_norm_elementwise_affine": _flag(rng),
        "activation_function": rng.choice(("relu", "gelu")),
    }


def _bloom(rng: random.Random) -> dict[str, Any]:
    return {
        "n_layer": rng.randint(1, 3),
        "n_head": rng.choice((2, 4)),
        "hidden_size": rng.choice((16, 32)),
        "vocab_size": 101,
        "tie_word_embeddings": _flag(rng),
    }


def _falcon(rng: random.Random) -> dict[str, Any]:
    shape = _common(rng, kv=False)
    shape["ffn_hidden_size"] = shape.pop("intermediate_size")
    new = _flag(rng)
    if new:
        shape["num_kv_heads"] = rng.choice((1, shape["num_attention_heads"]))
        shape["num_ln_in_parallel_attn"] = rng.choice((None, 1, 2))
    return {
        **shape,
        "new_decoder_architecture": new,
        "multi_query": _flag(rng),
        "parallel_attn": _flag(rng) or (new and shape["num_ln_in_parallel_attn"] != 1),
        "bias": _flag(rng),
        "alibi": _flag(rng),
        "activation": rng.choice(("gelu", "relu")),
    }


def _mpt(rng: random.Random) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    return {
        "n_layers": rng.randint(1, 3),
        "n_heads": heads,
        "d_model": width,
        "expansion_ratio": 4,  # transformers builds 4 whatever it says
        "vocab_size": 101,
        "tie_word_embeddings": _flag(rng),
    }


def _xglm(rng: random.Random) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    return {
        "num_layers": rng.randint(1, 3),
        "attention_heads": heads,
        "d_model": width,
        "ffn_dim": 40,
        "vocab_size": 101,
        "tie_word_embeddings": _flag(rng),
    }


def _internlm3(rng: random.Random) -> dict[str, Any]:
    bias = _flag(rng)  # its class refuses one without the other
    return _common(rng, qkv_bias=bias, bias=bias, pad_token_id=0, **_head_dim(rng))


def _smollm3(rng: random.Random) -> dict[str, Any]:
    config = _sliding(rng, mlp_bias=_flag(rng), use_sliding_window=_flag(rng), **_bias(rng), pad_token_id=0)
    if not config["use_sliding_window"]:
        config.pop("layer_types", None)  # transformers needs the window that a list speaks of
    if _flag(rng):
        config["no_rope_layers"] = [rng.randint(0, 1) for _ in range(config["num_hidden_layers"])]
    return {**config, "no_rope_layer_interval": rng.choice((2, 4))}


def _helium(rng: random.Random) -> dict[str, Any]:
    config = _common(rng, mlp_bias=_flag(rng), **_bias(rng), head_dim=8)
    return {**config, "hidden_size": 8 * config["num_attention_heads"]}  # its output projection is square


def _masked(rng: random.Random) -> dict[str, Any]:
    act = rng.choice(("gelu", "relu", "gelu_new"))
    return _common(rng, kv=False, hidden_act=act, type_vocab_size=rng.choice((1, 2)))


def _electra(rng: random.Random) -> dict[str, Any]:
    config = _masked(rng)
    return {**config, "embedding_size": rng.choice((8, config["hidden_size"]))}


def _distilbert(rng: random.Random) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    shape = {"n_layers": rng.randint(1, 3), "n_heads": heads, "dim": width, "hidden_dim": 40, "vocab_size": 101}
    return {**shape, "activation": rng.choice(("gelu", "relu")), "tie_word_embeddings": _flag(rng)}


def _modernbert(rng: random.Random) -> dict[str, Any]:
    switches = ("attention_bias", "mlp_bias", "norm_bias", "decoder_bias", "classifier_bias")
    config = _sliding(rng, kv=False, pad_token_id=0, **{name: _flag(rng) for name in switches})
    del config["sliding_window"]
    every, local = rng.choice((2, 3)), rng.choice((6, 8))
    act = rng.choice(("gelu", "silu"))
    return {**config, "global_attn_every_n_layers": every, "local_attention": local, "hidden_activation": act}


DRAW: Mapping[str, Callable[[random.Random], dict[str, Any]]] = {
    "gpt2": _gpt,
    "openai-gpt": _first_gpt,
    "gptj": lambda rng: _gpt(rng, rotary_dim=4),
    "codegen": lambda rng: _gpt(rng, rotary_dim=4, n_head=4, n_embd=64),
    "gpt_bigcode": lambda rng: _gpt(rng, multi_query=_flag(rng)),
    "gpt_neo": _neo,
    "gpt_neox": lambda rng: _common(rng, kv=False, hidden_act=rng.choice(("gelu", "gelu_fast")), **_bias(rng)),
    "opt": _opt,
    "bloom": _bloom,
    "falcon": _falcon,
    "mpt": _mpt,
    "xglm": _xglm,
    "persimmon": lambda rng: _common(rng, kv=False, qk_layernorm=_flag(rng)),
    "llama": lambda rng: _common(
        rng, hidden_act=rng.choice(("silu", "gelu")), mlp_bias=_flag(rng), **_bias(rng), **_head_dim(rng)
    ),
    "mistral": lambda rng: _common(rng, sliding_window=rng.choice((None, 5)), **_head_dim(rng)),
    "ministral": lambda rng: _sliding(rng, **_wide(rng)),
    "ministral3": lambda rng: _common(rng, sliding_window=rng.choice((None, 5)), **_wide(rng)),
    "cwm": lambda rng: _sliding(rng, mlp_bias=_flag(rng), **_wide(rng)),
    "exaone": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng), pad_token_id=0),
    "internlm3": _internlm3,
    "granite": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng)),
    "smollm3": _smollm3,
    "helium": _helium,
    "seed_oss": lambda rng: _common(
        rng, attention_out_bias=_flag(rng), mlp_bias=_flag(rng), **_bias(rng), **_head_dim(rng)
    ),
    "ernie4_5": lambda rng: _common(rng, use_bias=_flag(rng), **_head_dim(rng)),
    "qwen2": lambda rng: _sliding(rng, use_sliding_window=True, max_window_layers=rng.randint(0, 4)),
    "qwen3": lambda rng: _sliding(
        rng, use_sliding_window=True, max_window_layers=rng.randint(0, 4), **_bias(rng), **_wide(rng)
    ),
    "hunyuan_v1_dense": lambda rng: _common(rng, **_bias(rng), **_wide(rng), pad_token_id=0),
    "phi3": lambda rng: _common(rng, pad_token_id=0, sliding_window=rng.choice((None, 5))),
    "glm": lambda rng: _common(rng, **_bias(rng), **_wide(rng), pad_token_id=0),
    "glm4": lambda rng: _common(rng, **_bias(rng), **_wide(rng), pad_token_id=0),
    "olmo": lambda rng: _common(rng, **_bias(rng)),
    "olmo2": lambda rng: _common(rng, **_bias(rng), pad_token_id=0),
    "olmo3": lambda rng: _sliding(rng, **_bias(rng), pad_token_id=0),
    "exaone4": lambda rng: _sliding(rng, sliding_window_pattern=rng.choice((2, 3))),
    "arcee": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng), head_dim=None),
    "apertus": lambda rng: _common(rng, **_bias(rng), pad_token_id=0),
    "gemma": lambda rng: _common(rng, **_bias(rng), **_wide(rng)),
    "gemma2": lambda rng: _sliding(rng, **_bias(rng), **_wide(rng), hidden_activation=rng.choice(("gelu", "silu"))),
    "gemma3_text": lambda rng: _sliding(rng, **_bias(rng), **_wide(rng), sliding_window_pattern=rng.choice((2, 3, 6))),
    "phi": lambda rng: _common(rng, qk_layernorm=_flag(rng)),
    "stablelm": lambda rng: _common(
        rng, use_qkv_bias=_flag(rng), qk_layernorm=_flag(rng), use_parallel_residual=_flag(rng)
    ),
    "starcoder2": lambda rng: _common(rng, use_bias=_flag(rng), sliding_window=rng.choice((None, 5))),
    "cohere": lambda rng: _common(rng, use_qk_norm=_flag(rng), **_bias(rng), pad_token_id=0),
    "cohere2": lambda rng: _sliding(rng, **_bias(rng), pad_token_id=0, sliding_window_pattern=rng.choice((2, 3))),
    "nemotron": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng), head_dim=None),
    "bert": _masked,
    "roberta": _masked,
    "xlm-roberta": _masked,
    "camembert": _masked,
    "electra": _electra,
    "distilbert": _distilbert,
    "eurobert": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng), pad_token_id=0),
    "modernbert": _modernbert,
}
"""How a random small config of each family is drawn: every key that shapes it, each switch both ways."""


_NULL_HEADS = frozenset(
    {
        *("llama", "granite", "smollm3", "seed_oss", "ernie4_5", "qwen2", "qwen3", "phi3", "olmo", "olmo2", "olmo3"),
        *("arcee", "apertus", "phi", "cohere", "cohere2", "exaone", "internlm3", "eurobert", "nemotron"),
    }
)
"""Families whose class takes null for as many key and value heads as query heads; others refuse it."""


def drawn(family: str, number: int) -> dict[str, Any]:
    """Draw the config of a family that has a number, always the same."""
    config = {"model_type": family, **DRAW[family](random.Random(f"{family} {number}"))}
    if family in _NULL_HEADS and number % 3 == 2:
        config["num_key_value_heads"] = None
    return config
