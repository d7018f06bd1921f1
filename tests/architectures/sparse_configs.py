"""Configs of mixtures, state-space models and hybrids: published ones, and random small ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["PUBLISHED", "RANDOM", "Published", "drawn"]

Config = dict[str, Any]


class Published(NamedTuple):
    """A model's ``config.json``, its keys that shape it, with the size its authors name.

    ``total`` and ``active`` are in billions as published, None where nothing is published or something else is counted (a
    vision encoder, further heads). Of the active ones, authors leave out no vocabulary table, the token table, or that and the
    head: ``left_out`` is how many.
    """

    repo: str
    config: Config
    total: str | None = None
    active: str | None = None
    left_out: int = 0


def _hf(model_type: str, d: int, layers: int, heads: int, kv: int | None, vocab: int, /, **more: Any) -> Config:
    config: Config = {
        "model_type": model_type,
        "hidden_size": d,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocab,
    }
    if kv is not None:
        config["num_key_value_heads"] = kv
    return {**config, **more}


def _routed(count: int, active: int, **more: Any) -> Config:
    return {"num_experts": count, "num_experts_per_tok": active, **more}


def _local(count: int, active: int, **more: Any) -> Config:
    return {"num_local_experts": count, "num_experts_per_tok": active, **more}


def _latent(q: int | None, **more: Any) -> Config:
    widths = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    return {"q_lora_rank": q, **widths, **more}


def _deepseek(count: int, active: int, shared: int, first: int, d_ff: int, narrow: int) -> Config:
    return {
        "n_routed_experts": count,
        "num_experts_per_tok": active,
        "n_shared_experts": shared,
        "first_k_dense_replace": first,
        "intermediate_size": d_ff,
        "moe_intermediate_size": narrow,
    }


def _granite4(attends: tuple[int, ...], heads: int, d_state: int = 128) -> Config:
    kinds = ["attention" if i in attends else "mamba" for i in range(40)]
    return {
        "layer_types": kinds,
        "mamba_n_heads": heads,
        "mamba_d_head": 64,
        "mamba_d_state": d_state,
        "mamba_n_groups": 1,
        "mamba_expand": 2,
        "mamba_d_conv": 4,
        "tie_word_embeddings": True,
    }


PUBLISHED: tuple[Published, ...] = (
    Published(
        "mistralai/Mixtral-8x7B-v0.1",
        _hf("mixtral", 4096, 32, 32, 8, 32000, intermediate_size=14336, **_local(8, 2)),
        *("46.7", "12.9"),
    ),
    Published(
        "mistralai/Mixtral-8x22B-v0.1",
        _hf("mixtral", 6144, 56, 48, 8, 32000, intermediate_size=16384, **_local(8, 2)),
        *("141", "39"),
    ),
    Published(
        "Qwen/Qwen1.5-MoE-A2.7B",
        _hf(
            *("qwen2_moe", 2048, 24, 16, 16, 151936),
            intermediate_size=5632,
            **_routed(60, 4, moe_intermediate_size=1408, shared_expert_intermediate_size=5632),
        ),
        *("14.3", "2.7"),
    ),
    Published(
        "Qwen/Qwen2-57B-A14B",
        _hf(
            *("qwen2_moe", 3584, 28, 28, 4, 151936),
            intermediate_size=18944,
            **_routed(64, 8, moe_intermediate_size=2560, shared_expert_intermediate_size=20480),
        ),
        *("57", "14"),
    ),
    Published(
        "Qwen/Qwen3-30B-A3B",
        _hf(
            *("qwen3_moe", 2048, 48, 32, 4, 151936),
            head_dim=128,
            intermediate_size=6144,
            **_routed(128, 8, moe_intermediate_size=768),
        ),
        *("30.5", "3.3"),
    ),
    Published(
        "Qwen/Qwen3-235B-A22B",
        _hf(
            *("qwen3_moe", 4096, 94, 64, 4, 151936),
            head_dim=128,
            intermediate_size=12288,
            **_routed(128, 8, moe_intermediate_size=1536),
        ),
        *("235", "22"),
    ),
    Published(
        "Qwen/Qwen3-Coder-480B-A35B-Instruct",
        _hf(
            *("qwen3_moe", 6144, 62, 96, 8, 151936),
            head_dim=128,
            intermediate_size=8192,
            **_routed(160, 8, moe_intermediate_size=2560),
        ),
        *("480", "35"),
    ),
    Published(
        "allenai/OLMoE-1B-7B-0924",
        _hf("olmoe", 2048, 16, 16, 16, 50304, intermediate_size=1024, **_routed(64, 8)),
        *("6.9", "1.3"),
    ),
    Published(
        "deepseek-ai/DeepSeek-V2-Lite",
        _hf("deepseek_v2", 2048, 27, 16, 16, 102400, **_latent(None), **_deepseek(64, 6, 2, 1, 10944, 1408)),
        *("15.7", "2.4", 1),
    ),
    Published(
        "deepseek-ai/DeepSeek-V2",
        _hf("deepseek_v2", 5120, 60, 128, 128, 102400, **_latent(1536), **_deepseek(160, 6, 2, 1, 12288, 1536)),
        *("236", "21"),
    ),
    Published(
        "deepseek-ai/DeepSeek-V3",
        _hf("deepseek_v3", 7168, 61, 128, 128, 129280, **_latent(1536), **_deepseek(256, 8, 1, 3, 18432, 2048)),
        *("671", "37", 1),
    ),
    Published(
        "moonshotai/Moonlight-16B-A3B",
        _hf("deepseek_v3", 2048, 27, 16, 16, 163840, **_latent(None), **_deepseek(64, 6, 2, 1, 11264, 1408)),
        *("16", "3"),
    ),
    Published(
        "moonshotai/Kimi-K2-Base",
        _hf("kimi_k2", 7168, 61, 64, 64, 163840, **_latent(1536), **_deepseek(384, 8, 1, 1, 18432, 2048)),
        *(None, "32", 1),
    ),
    Published(
        "meta-llama/Llama-4-Scout-17B-16E (text_config)",
        _hf(
            *("llama4_text", 5120, 48, 40, 8, 202048),
            head_dim=128,
            intermediate_size=8192,
            intermediate_size_mlp=16384,
            interleave_moe_layer_step=1,
            use_qk_norm=True,
            attention_chunk_size=8192,
            **_local(16, 1),
        ),
        *(None, "17"),  # 109 B with the vision encoder
    ),
    Published(
        "meta-llama/Llama-4-Maverick-17B-128E (text_config)",
        _hf(
            *("llama4_text", 5120, 48, 40, 8, 202048),
            head_dim=128,
            intermediate_size=8192,
            intermediate_size_mlp=16384,
            interleave_moe_layer_step=2,
            use_qk_norm=False,
            attention_chunk_size=8192,
            **_local(128, 1),
        ),
        *(None, "17"),  # 400 B, rounded
    ),
    Published(
        "microsoft/Phi-3.5-MoE-instruct",
        _hf(
            *("phimoe", 4096, 32, 32, 8, 32064),
            intermediate_size=6400,
            attention_bias=True,
            lm_head_bias=True,
            **_local(16, 2),
        ),
        *("41.9", "6.6"),
    ),
    Published(
        "ibm-granite/granite-3.0-1b-a400m-base",
        _hf("granitemoe", 1024, 24, 16, 8, 49155, intermediate_size=512, tie_word_embeddings=True, **_local(32, 8)),
        *("1.3", "0.4", 1),
    ),
    Published(
        "ibm-granite/granite-3.0-3b-a800m-base",
        _hf("granitemoe", 1536, 32, 24, 8, 49155, intermediate_size=512, tie_word_embeddings=True, **_local(40, 8)),
        *("3.3", "0.8", 1),
    ),
    Published(
        "openai/gpt-oss-20b",
        _hf("gpt_oss", 2880, 24, 64, 8, 201088, head_dim=64, intermediate_size=2880, **_local(32, 4)),
        *("20.91", "3.61", 1),
    ),
    Published(
        "openai/gpt-oss-120b",
        _hf("gpt_oss", 2880, 36, 64, 8, 201088, head_dim=64, intermediate_size=2880, **_local(128, 4)),
        *("116.83", "5.13", 1),
    ),
    Published(
        "databricks/dbrx-base",
        {
            "model_type": "dbrx",
            "d_model": 6144,
            "n_heads": 48,
            "n_layers": 40,
            "max_seq_len": 32768,
            "vocab_size": 100352,
            "attn_config": {"kv_n_heads": 8, "clip_qkv": 8, "rope_theta": 500000},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
        },
        *("132", "36"),
    ),
    Published(
        "Qwen/Qwen3-Next-80B-A3B-Instruct",
        _hf(
            *("qwen3_next", 2048, 48, 16, 2, 151936),
            head_dim=256,
            intermediate_size=5120,
            full_attention_interval=4,
            linear_num_key_heads=16,
            linear_num_value_heads=32,
            linear_key_head_dim=128,
            linear_value_head_dim=128,
            **_routed(512, 10, moe_intermediate_size=512, shared_expert_intermediate_size=512),
        ),
        *("80", "3", 2),
    ),
    Published(
        "zai-org/GLM-4.5-Air",
        _hf(
            *("glm4_moe", 4096, 46, 96, 8, 151552),
            head_dim=128,
            attention_bias=True,
            use_qk_norm=False,
            **_deepseek(128, 8, 1, 1, 10944, 1408),
        ),
        *(None, "12", 2),  # 106 B and 355 B count a layer that predicts further tokens, which transformers leaves out
    ),
    Published(
        "zai-org/GLM-4.5",
        _hf(
            *("glm4_moe", 5120, 92, 96, 8, 151552),
            head_dim=128,
            attention_bias=True,
            use_qk_norm=True,
            **_deepseek(160, 8, 1, 3, 12288, 1536),
        ),
        *(None, "32", 2),
    ),
    Published(
        "MiniMaxAI/MiniMax-Text-01-hf",
        _hf(
            *("minimax", 6144, 80, 64, 8, 200064),
            head_dim=128,
            intermediate_size=9216,
            layer_types=["full_attention" if i % 8 == 7 else "linear_attention" for i in range(80)],
            **_local(32, 2),
        ),
        *("456", "45.9", 2),
    ),
    Published(
        "state-spaces/mamba-130m-hf",
        {"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "vocab_size": 50280, "time_step_rank": 48},
        *("0.129", None),
    ),
    Published(
        "state-spaces/mamba-2.8b-hf",
        {"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280},
        *("2.8", None),
    ),
    Published(
        "tiiuae/falcon-mamba-7b",
        {
            "model_type": "falcon_mamba",
            "hidden_size": 4096,
            "num_hidden_layers": 64,
            "vocab_size": 65024,
            "state_size": 16,
            "time_step_rank": 256,
            "tie_word_embeddings": False,
        },
        *("7.27", None),
    ),
    Published(
        "state-spaces/mamba2-1.3b",
        {
            "model_type": "mamba2",
            "hidden_size": 2048,
            "num_hidden_layers": 48,
            "vocab_size": 50288,
            "num_heads": 64,
            "head_dim": 64,
            "state_size": 128,
            "n_groups": 1,
            "tie_word_embeddings": True,
        },
        *("1.3", None),
    ),
    Published(
        "mistralai/Mamba-Codestral-7B-v0.1",
        {
            "model_type": "mamba2",
            "hidden_size": 4096,
            "num_hidden_layers": 64,
            "vocab_size": 32768,
            "num_heads": 128,
            "head_dim": 64,
            "state_size": 128,
            "n_groups": 8,
            "tie_word_embeddings": False,
        },
        *("7.3", None),
    ),
    Published(
        "ibm-ai-platform/Bamba-9B-v1",
        _hf(
            *("bamba", 4096, 32, 32, 8, 128256),
            intermediate_size=14336,
            attn_layer_indices=[9, 18, 27],
            mamba_n_heads=128,
            mamba_d_head=64,
            mamba_d_state=128,
            mamba_n_groups=1,
        ),
        *("9.78", None),
    ),
    Published(
        "ibm-granite/granite-4.0-h-micro",
        _hf(
            *("granitemoehybrid", 2048, 40, 32, 8, 100352),
            shared_intermediate_size=8192,
            **_local(0, 0),
            **_granite4((5, 15, 25, 35), 64),
        ),
        *("3", None),
    ),
    Published(
        "ibm-granite/granite-4.0-h-tiny",
        _hf(
            *("granitemoehybrid", 1536, 40, 12, 4, 100352),
            intermediate_size=512,
            shared_intermediate_size=1024,
            **_local(64, 6),
            **_granite4((5, 15, 25, 35), 48),
        ),
        *("7", "1"),
    ),
    Published(
        "ibm-granite/granite-4.0-h-small",
        _hf(
            *("granitemoehybrid", 4096, 40, 32, 8, 100352),
            intermediate_size=768,
            shared_intermediate_size=1536,
            **_local(72, 10),
            **_granite4((5, 15, 25, 35), 128),
        ),
        *("32", "9"),
    ),
    Published(
        "ai21labs/Jamba-v0.1",
        _hf("jamba", 4096, 32, 32, 8, 65536, intermediate_size=14336, **_routed(16, 2)),
        *("52", "12"),
    ),
    Published(
        "ai21labs/AI21-Jamba-Large-1.5",
        _hf("jamba", 8192, 72, 64, 8, 65536, intermediate_size=24576, **_routed(16, 2)),
        *("398", "94"),
    ),
)


def _small(rng: random.Random, **more: Any) -> Config:
    """Draw what every attention family has, a tenth or so of a real size."""
    kv = rng.choice((1, 2, 4))
    heads = kv * rng.choice((1, 2, 3))
    config = {
        "hidden_size": heads * rng.choice((4, 8, 16)),
        "num_hidden_layers": rng.randint(1, 6),
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": rng.randint(8, 90),
        "intermediate_size": rng.randint(1, 70),
        "tie_word_embeddings": rng.random() < 0.5,
    }
    return {**config, **more}


def _flags(rng: random.Random, *names: str) -> Config:
    return {name: rng.random() < 0.5 for name in names}


def _choice(rng: random.Random, local: str = "num_local_experts", least: int = 1) -> Config:
    count = rng.randint(least, 9)
    return {local: count, "num_experts_per_tok": rng.randint(1, max(count, 1))}


def _head_dim(rng: random.Random) -> Config:
    return {"head_dim": rng.choice((4, 6, 10))} if rng.random() < 0.5 else {}


def _mixtral(rng: random.Random) -> Config:
    return {**_small(rng), **_choice(rng), **_head_dim(rng), "sliding_window": rng.choice((None, 7))}


def _minimax(rng: random.Random) -> Config:
    config = {**_small(rng), **_choice(rng), **_head_dim(rng)}
    if rng.random() < 0.5:
        kinds = ("full_attention", "linear_attention")
        config["layer_types"] = [rng.choice(kinds) for _ in range(config["num_hidden_layers"])]
    return config


def _sparse_steps(rng: random.Random, layers: int) -> Config:
    config: Config = {"decoder_sparse_step": rng.randint(1, 3), "moe_intermediate_size": rng.randint(1, 40)}
    if rng.random() < 0.5:
        config["mlp_only_layers"] = rng.sample(range(layers), rng.randint(0, layers))
    return config


def _qwen2_moe(rng: random.Random) -> Config:
    config = {**_small(rng), **_choice(rng, "num_experts"), **_flags(rng, "qkv_bias", "use_sliding_window")}
    config |= _sparse_steps(rng, config["num_hidden_layers"])
    return {**config, "shared_expert_intermediate_size": rng.randint(1, 40), "max_window_layers": rng.randint(0, 6)}


def _qwen3_moe(rng: random.Random) -> Config:
    config = {**_small(rng), **_choice(rng, "num_experts"), **_head_dim(rng)}
    config |= _flags(rng, "attention_bias", "use_sliding_window")
    return {**config, **_sparse_steps(rng, config["num_hidden_layers"])}


def _qwen3_next(rng: random.Random) -> Config:
    config = {**_small(rng), **_choice(rng, "num_experts"), **_flags(rng, "attention_bias")}
    config |= _sparse_steps(rng, config["num_hidden_layers"])
    k_heads = rng.randint(1, 3)
    config |= {
        "head_dim": rng.choice((8, 16)),
        "shared_expert_intermediate_size": rng.randint(1, 40),
        "linear_num_key_heads": k_heads,
        "linear_num_value_heads": k_heads * rng.randint(1, 3),
        "linear_key_head_dim": rng.choice((4, 8)),
        "linear_value_head_dim": rng.choice((4, 12)),
        "linear_conv_kernel_dim": rng.randint(2, 5),
    }
    if rng.random() < 0.5:
        config["full_attention_interval"] = rng.randint(1, 4)
    return config


def _olmoe(rng: random.Random) -> Config:
    return {**_small(rng), **_choice(rng, "num_experts"), **_flags(rng, "attention_bias")}


def _phimoe(rng: random.Random) -> Config:
    return {**_small(rng), **_choice(rng), **_flags(rng, "attention_bias", "lm_head_bias")}


def _granitemoe(rng: random.Random) -> Config:
    return {**_small(rng), **_choice(rng), **_flags(rng, "attention_bias")}


def _granitemoeshared(rng: random.Random) -> Config:
    return {**_granitemoe(rng), "shared_intermediate_size": rng.choice((0, 5, 24))}


def _dense_first(rng: random.Random) -> Config:
    return {
        **_choice(rng, "n_routed_experts"),
        "n_shared_experts": rng.randint(1, 3),
        "first_k_dense_replace": rng.randint(0, 4),
        "moe_intermediate_size": rng.randint(1, 40),
    }


def _glm4_moe(rng: random.Random) -> Config:
    return {**_small(rng), **_dense_first(rng), **_head_dim(rng), **_flags(rng, "attention_bias", "use_qk_norm")}


def _deepseek_v3(rng: random.Random) -> Config:
    config = {**_small(rng), **_dense_first(rng), **_flags(rng, "attention_bias"), "n_group": 1, "topk_group": 1}
    return {
        **config,
        "q_lora_rank": rng.choice((None, 6, 12)),
        "kv_lora_rank": rng.randint(1, 16),
        "qk_nope_head_dim": rng.randint(1, 12),
        "qk_rope_head_dim": rng.choice((2, 4)),
        "v_head_dim": rng.randint(1, 12),
    }


def _deepseek_v2(rng: random.Random) -> Config:
    return {**_deepseek_v3(rng), **_flags(rng, "mlp_bias")}


def _gpt_oss(rng: random.Random) -> Config:
    config = {**_small(rng), **_choice(rng), **_flags(rng, "attention_bias"), "head_dim": rng.choice((4, 8))}
    if rng.random() < 0.5:
        kinds = ("full_attention", "sliding_attention")
        config["layer_types"] = [rng.choice(kinds) for _ in range(config["num_hidden_layers"])]
    return config


def _llama4(rng: random.Random) -> Config:
    config = {**_small(rng), **_choice(rng), **_flags(rng, "attention_bias", "use_qk_norm")}
    config |= {
        "head_dim": rng.choice((4, 8)),
        "intermediate_size_mlp": rng.randint(1, 70),
        "interleave_moe_layer_step": rng.randint(1, 3),
        "attention_chunk_size": rng.choice((None, 8)),
        "no_rope_layer_interval": rng.randint(1, 4),
    }
    layers = config["num_hidden_layers"]
    if rng.random() < 0.3:
        config["moe_layers"] = rng.sample(range(layers), rng.randint(0, layers))
    if rng.random() < 0.3:
        config["no_rope_layers"] = [rng.randint(0, 1) for _ in range(layers)]
    return config


def _dbrx(rng: random.Random) -> Config:
    count, kv = rng.randint(1, 6), rng.choice((1, 2))
    heads = kv * rng.randint(1, 3)
    return {
        "d_model": heads * rng.choice((4, 8)),
        "n_heads": heads,
        "n_layers": rng.randint(1, 4),
        "vocab_size": rng.randint(8, 90),
        "attn_config": {"kv_n_heads": kv, "rope_theta": 10000.0},
        "ffn_config": {
            "ffn_hidden_size": rng.randint(1, 40),
            "moe_num_experts": count,
            "moe_top_k": rng.randint(1, count),
        },
    }


def _mamba2(rng: random.Random) -> Config:
    groups = rng.choice((1, 2))
    heads, head_dim, expand = groups * rng.choice((2, 4)), rng.choice((4, 8)), rng.choice((1, 2))
    return {
        "num_heads": heads,
        "head_dim": head_dim,
        "hidden_size": heads * head_dim // expand,
        "expand": expand,
        "n_groups": groups,
        "state_size": rng.randint(1, 12),
        "conv_kernel": rng.randint(2, 5),
        "num_hidden_layers": rng.randint(1, 4),
        "vocab_size": rng.randint(8, 90),
        **_flags(rng, "use_bias", "use_conv_bias", "tie_word_embeddings"),
    }


def _mamba(rng: random.Random) -> Config:
    return {
        "hidden_size": rng.randint(2, 40),
        "expand": rng.choice((1, 2, 3)),
        "state_size": rng.randint(1, 12),
        "conv_kernel": rng.randint(2, 5),
        "time_step_rank": rng.choice(("auto", 3)),
        "num_hidden_layers": rng.randint(1, 4),
        "vocab_size": rng.randint(8, 90),
        **_flags(rng, "use_bias", "use_conv_bias", "tie_word_embeddings"),
    }


def _with_mamba2(rng: random.Random, config: Config) -> Config:
    expand = rng.choice((1, 2))
    inner = expand * config["hidden_size"]
    heads = rng.choice([n for n in (1, 2, 4, 8) if inner % n == 0])
    return {
        **config,
        "mamba_expand": expand,
        "mamba_n_heads": heads,
        "mamba_d_head": rng.choice(("auto", inner // heads)),
        "mamba_n_groups": 1,
        "mamba_d_state": rng.randint(1, 12),
        "mamba_d_conv": rng.randint(2, 5),
        **_flags(rng, "mamba_conv_bias", "mamba_proj_bias", "attention_bias"),
    }


def _bamba(rng: random.Random) -> Config:
    config = {**_with_mamba2(rng, _small(rng)), **_flags(rng, "mlp_bias")}
    layers = config["num_hidden_layers"]
    return {**config, "attn_layer_indices": rng.choice((None, rng.sample(range(layers), rng.randint(0, layers))))}


def _granitemoehybrid(rng: random.Random) -> Config:
    config = {**_with_mamba2(rng, _small(rng)), **_choice(rng, least=0), "shared_intermediate_size": rng.randint(1, 40)}
    if rng.random() < 0.7:
        kinds = ("mamba", "attention", "linear_attention", "full_attention")
        config["layer_types"] = [rng.choice(kinds) for _ in range(config["num_hidden_layers"])]
    return config


def _jamba(rng: random.Random) -> Config:
    period, every = rng.randint(1, 4), rng.randint(1, 3)
    return {
        **_small(rng),
        **_choice(rng, "num_experts"),
        "attn_layer_period": period,
        "attn_layer_offset": rng.randrange(period),
        "expert_layer_period": every,
        "expert_layer_offset": rng.randrange(every),
        "mamba_expand": rng.choice((1, 2)),
        "mamba_d_state": rng.randint(1, 12),
        "mamba_d_conv": rng.randint(2, 5),
        "mamba_dt_rank": rng.choice(("auto", 3)),
        **_flags(rng, "mamba_conv_bias", "mamba_proj_bias"),
    }


RANDOM: Mapping[str, Callable[[random.Random], Config]] = {
    "bamba": _bamba,
    "dbrx": _dbrx,
    "deepseek_v2": _deepseek_v2,
    "deepseek_v3": _deepseek_v3,
    "falcon_mamba": _mamba,
    "glm4_moe": _glm4_moe,
    "gpt_oss": _gpt_oss,
    "granitemoe": _granitemoe,
    "granitemoehybrid": _granitemoehybrid,
    "granitemoeshared": _granitemoeshared,
    "jamba": _jamba,
    "llama4_text": _llama4,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "minimax": _minimax,
    "mixtral": _mixtral,
    "olmoe": _olmoe,
    "phimoe": _phimoe,
    "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe,
    "qwen3_next": _qwen3_next,
}
"""How to draw a random small config of each family, of which every flag that changes the parameters may be either."""


def drawn(family: str, number: int) -> Config:
    """Return the n-th random config of a family, the same on every machine."""
    return {"model_type": family, **RANDOM[family](random.Random(f"{family} {number}"))}
