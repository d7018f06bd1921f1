"""Dense and masked models: every count equals that of the model which transformers builds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from architectures.dense_configs import PUBLISHED
from architectures.oracle import model_on_meta, parts_of
from auscult.architectures import build, family_names
from auscult.errors import BadConfig
from auscult.facts.parameters import count_parameters

RANDOM_EACH = 12


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


def _head_dim(rng: random.Random) -> dict[str, Any]:
    return {"head_dim": rng.choice((8, 16))}


def _falcon(rng: random.Random) -> dict[str, Any]:
    shape = _common(rng, kv=False)
    shape["ffn_hidden_size"] = shape.pop("intermediate_size")
    new = _flag(rng)
    if new:
        shape["num_kv_heads"] = 1
        shape["num_ln_in_parallel_attn"] = rng.choice((None, 1, 2))
    return {
        **shape,
        "new_decoder_architecture": new,
        "multi_query": _flag(rng),
        "parallel_attn": True if new else _flag(rng),
        "bias": _flag(rng),
        "alibi": _flag(rng),
    }


def _gpt(rng: random.Random, **more: Any) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    return {
        "n_layer": rng.randint(1, 4),
        "n_head": heads,
        "n_embd": width,
        "n_positions": 64,
        "vocab_size": rng.choice((101, 128)),
        "n_inner": rng.choice((None, 40)),
        "tie_word_embeddings": _flag(rng),
        **more,
    }


def _neo(rng: random.Random) -> dict[str, Any]:
    layers, (heads, _kv, width) = 2 * rng.randint(1, 2), _heads(rng)
    return {
        "num_layers": layers,
        "num_heads": heads,
        "hidden_size": width,
        "intermediate_size": rng.choice((None, 40)),
        "attention_types": [[["global", "local"], layers // 2]],
        "vocab_size": 101,
        "max_position_embeddings": 64,
    }


def _opt(rng: random.Random) -> dict[str, Any]:
    shape = _common(rng, kv=False)
    shape["ffn_dim"] = shape.pop("intermediate_size")
    return {
        **shape,
        "word_embed_proj_dim": rng.choice((shape["hidden_size"], 8)),
        "do_layer_norm_before": _flag(rng),
        "enable_bias": _flag(rng),
        "layer_norm_elementwise_affine": _flag(rng),
    }


def _distilbert(rng: random.Random) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    return {"n_layers": rng.randint(1, 3), "n_heads": heads, "dim": width, "hidden_dim": 40, "vocab_size": 101}


def _xglm(rng: random.Random) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    return {
        "num_layers": rng.randint(1, 3),
        "attention_heads": heads,
        "d_model": width,
        "ffn_dim": 40,
        "vocab_size": 101,
    }


def _mpt(rng: random.Random) -> dict[str, Any]:
    heads, _kv, width = _heads(rng)
    return {
        "n_layers": rng.randint(1, 3),
        "n_heads": heads,
        "d_model": width,
        "expansion_ratio": 4,  # transformers builds 4 whatever it says
        "vocab_size": 101,
    }


def _bias(rng: random.Random) -> dict[str, Any]:
    return {"attention_bias": _flag(rng)}


DRAW: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "gpt2": _gpt,
    "gptj": lambda rng: _gpt(rng, rotary_dim=4),
    "codegen": lambda rng: _gpt(rng, rotary_dim=4, n_head=4, n_embd=64),
    "gpt_bigcode": lambda rng: _gpt(rng, multi_query=_flag(rng)),
    "gpt_neo": _neo,
    "gpt_neox": lambda rng: _common(rng, kv=False, **_bias(rng)),
    "opt": _opt,
    "bloom": lambda rng: {
        "n_layer": rng.randint(1, 3),
        "n_head": 2,
        "hidden_size": rng.choice((16, 32)),
        "vocab_size": 101,
    },
    "falcon": _falcon,
    "mpt": _mpt,
    "xglm": _xglm,
    "llama": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng), **_head_dim(rng)),
    "mistral": lambda rng: _common(rng, sliding_window=rng.choice((None, 16)), **_head_dim(rng)),
    "granite": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng)),
    "smollm3": lambda rng: _common(rng, pad_token_id=0, mlp_bias=_flag(rng), **_bias(rng)),
    "helium": lambda rng: _common(
        rng, mlp_bias=_flag(rng), **_bias(rng), head_dim=8, num_attention_heads=4, hidden_size=32, num_key_value_heads=2
    ),
    "seed_oss": lambda rng: _common(
        rng, attention_out_bias=_flag(rng), mlp_bias=_flag(rng), **_bias(rng), **_head_dim(rng)
    ),
    "ernie4_5": lambda rng: _common(rng, use_bias=_flag(rng), **_head_dim(rng)),
    "qwen2": lambda rng: _common(rng, use_sliding_window=_flag(rng), sliding_window=16, max_window_layers=1),
    "qwen3": lambda rng: _common(rng, **_bias(rng), **_head_dim(rng)),
    "phi3": lambda rng: _common(rng, pad_token_id=0),
    "glm": lambda rng: _common(rng, **_bias(rng), **_head_dim(rng), pad_token_id=0),
    "glm4": lambda rng: _common(rng, **_bias(rng), **_head_dim(rng), pad_token_id=0),
    "olmo": lambda rng: _common(rng, **_bias(rng)),
    "olmo2": lambda rng: _common(rng, **_bias(rng), pad_token_id=0),
    "olmo3": lambda rng: _common(rng, **_bias(rng), pad_token_id=0, sliding_window=16),
    "exaone4": lambda rng: _common(rng, sliding_window=16),
    "arcee": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng), head_dim=None),
    "apertus": lambda rng: _common(rng, **_bias(rng), pad_token_id=0),
    "gemma": lambda rng: _common(rng, **_bias(rng), **_head_dim(rng)),
    "gemma2": lambda rng: _common(rng, **_bias(rng), **_head_dim(rng)),
    "gemma3_text": lambda rng: _common(rng, **_bias(rng), **_head_dim(rng)),
    "phi": lambda rng: _common(rng, qk_layernorm=_flag(rng)),
    "stablelm": lambda rng: _common(
        rng, use_qkv_bias=_flag(rng), qk_layernorm=_flag(rng), use_parallel_residual=_flag(rng)
    ),
    "starcoder2": lambda rng: _common(rng, use_bias=_flag(rng)),
    "cohere": lambda rng: _common(rng, use_qk_norm=_flag(rng), **_bias(rng), pad_token_id=0),
    "cohere2": lambda rng: _common(rng, **_bias(rng), pad_token_id=0),
    "nemotron": lambda rng: _common(rng, mlp_bias=_flag(rng), **_bias(rng), head_dim=None),
    "bert": lambda rng: _common(rng, kv=False, type_vocab_size=rng.choice((1, 2)), tie_word_embeddings=True),
    "roberta": lambda rng: _common(rng, kv=False, type_vocab_size=rng.choice((1, 2)), tie_word_embeddings=True),
    "xlm-roberta": lambda rng: _common(rng, kv=False, type_vocab_size=1, tie_word_embeddings=True),
    "camembert": lambda rng: _common(rng, kv=False, type_vocab_size=1, tie_word_embeddings=True),
    "distilbert": _distilbert,
    "modernbert": lambda rng: _common(
        rng,
        kv=False,
        attention_bias=_flag(rng),
        mlp_bias=_flag(rng),
        norm_bias=_flag(rng),
        pad_token_id=0,
        decoder_bias=_flag(rng),
        classifier_bias=_flag(rng),
        tie_word_embeddings=True,
    ),
}


def compare(config: dict[str, Any]) -> None:
    """Compare a blueprint's counts with the model's own, part by part."""
    count, parts = count_parameters(build(config)), parts_of(model_on_meta(config))
    assert count.total == parts["total"]
    assert count.embedding == parts["embedding"]
    assert count.norms == parts["norms"]
    assert count.matmul == parts["matmul"]
    assert count.active == count.total


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models(name: str) -> None:
    """A published config gives the count of transformers' model, by part, and the total that is published."""
    config, total = PUBLISHED[name]
    compare(config)
    if total is not None:
        assert count_parameters(build(config)).total == total


@pytest.mark.parametrize("family", DRAW)
def test_random_models(family: str) -> None:
    """Random shapes with random switches give the count of transformers' model, by part."""
    rng = random.Random(family)
    for _ in range(RANDOM_EACH):
        compare({"model_type": family, **DRAW[family](rng)})


def test_there_are_enough_of_them() -> None:
    """At least sixty published models and five hundred random ones are compared."""
    assert len(PUBLISHED) >= 60
    assert RANDOM_EACH * len(DRAW) >= 500


@pytest.mark.parametrize("family", [name for name in family_names() if not name.startswith("Refined")])
def test_any_values_are_a_model_or_one_refusal(family: str) -> None:
    """Whatever a config holds under a family's keys, it is drawn, or refused as what it is: never another error."""
    rng = random.Random(family)
    junk: list[Any] = [
        None,
        -1,
        0,
        1,
        3,
        2**40,
        1.5,
        float("nan"),
        "12",
        "",
        True,
        [],
        [1],
        ["sliding_attention"],
        {},
        {"a": 1},
    ]
    keys = sorted(KEYS)
    for _ in range(60):
        config = {"model_type": family, **{key: rng.choice(junk) for key in rng.sample(keys, 6)}}
        try:
            model = build(config)
        except BadConfig:
            continue
        assert count_parameters(model).total > 0


KEYS = {key for config, _total in PUBLISHED.values() for key in config if key != "model_type"} | {
    *("head_dim", "layer_types", "sliding_window", "num_ln_in_parallel_attn", "n_inner", "use_sliding_window", "bias"),
    *(
        "num_experts",
        "num_local_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "kv_lora_rank",
        "q_lora_rank",
    ),
    *("n_routed_experts", "n_shared_experts", "first_k_dense_replace", "state_size", "n_groups", "layers_block_type"),
}
