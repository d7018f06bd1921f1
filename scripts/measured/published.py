"""The models that measured rows name without their dimensions, as published, and what the recipes behind such rows set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["LITGPT_DEVICES", "Adapter", "config_of", "litgpt_adapter", "plain"]

Config = Mapping[str, Any]


def _gemma(width: int, layers: int, heads: int, kv: int, ffn: int, family: str = "gemma") -> Config:
    return {
        "model_type": family,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": 256,
        "intermediate_size": ffn,
        "vocab_size": 256000,
        "tie_word_embeddings": True,
    }


def _llama(width: int, layers: int, heads: int, kv: int, ffn: int, vocab: int, **more: Any) -> Config:
    return {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "tie_word_embeddings": False,
        **more,
    }


def _mistral(**more: Any) -> Config:
    return {**_llama(4096, 32, 32, 8, 14336, 32000), "model_type": "mistral", **more}


def _mixtral(width: int, layers: int, heads: int, ffn: int, vocab: int) -> Config:
    return {
        **_llama(width, layers, heads, 8, ffn, vocab),
        "model_type": "mixtral",
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "sliding_window": None,
    }


def _phi(layers: int, width: int, ffn: int) -> Config:
    return {
        "model_type": "phi",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "intermediate_size": ffn,
        "vocab_size": 51200,
        "tie_word_embeddings": False,
    }


_LLAMA_3_8B = _llama(4096, 32, 32, 8, 14336, 128256)

_PUBLISHED: Mapping[str, Config] = {
    # Each is the config.json of the repository on the Hugging Face Hub that the comment names.
    "falcon7b": {  # tiiuae/falcon-7b
        "model_type": "falcon",
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "vocab_size": 65024,
        "multi_query": True,
        "parallel_attn": True,
        "new_decoder_architecture": False,
        "alibi": False,
        "bias": False,
    },
    "falcon40b": {  # tiiuae/falcon-40b
        "model_type": "falcon",
        "hidden_size": 8192,
        "num_hidden_layers": 60,
        "num_attention_heads": 128,
        "num_kv_heads": 8,
        "vocab_size": 65024,
        "multi_query": True,
        "parallel_attn": True,
        "new_decoder_architecture": True,
        "alibi": False,
        "bias": False,
    },
    "gemma2b": _gemma(2048, 18, 8, 1, 16384),  # google/gemma-2b
    "gemma7b": _gemma(3072, 28, 16, 16, 24576),  # google/gemma-7b
    "gemma22b": {**_gemma(2304, 26, 8, 4, 9216, "gemma2"), "sliding_window": 4096},  # google/gemma-2-2b
    "gemma29b": {**_gemma(3584, 42, 16, 8, 14336, "gemma2"), "sliding_window": 4096},  # google/gemma-2-9b
    "llama27b": _llama(4096, 32, 32, 32, 11008, 32000),  # meta-llama/Llama-2-7b-hf
    "llama213b": _llama(5120, 40, 40, 40, 13824, 32000),  # meta-llama/Llama-2-13b-hf
    "llama270b": _llama(8192, 80, 64, 8, 28672, 32000),  # meta-llama/Llama-2-70b-hf
    "llama38b": _LLAMA_3_8B,  # meta-llama/Meta-Llama-3-8B
    "llama318b": _LLAMA_3_8B,  # meta-llama/Llama-3.1-8B
    "llama370b": _llama(8192, 80, 64, 8, 28672, 128256),  # meta-llama/Meta-Llama-3-70B
    "llama3170b": _llama(8192, 80, 64, 8, 28672, 128256),  # meta-llama/Llama-3.1-70B
    "llama31405b": _llama(16384, 126, 128, 8, 53248, 128256),  # meta-llama/Llama-3.1-405B
    "llama321b": _llama(  # meta-llama/Llama-3.2-1B
        2048, 16, 32, 8, 8192, 128256, head_dim=64, tie_word_embeddings=True
    ),
    "llama323b": _llama(  # meta-llama/Llama-3.2-3B
        3072, 28, 24, 8, 8192, 128256, head_dim=128, tie_word_embeddings=True
    ),
    "mistral7b": _mistral(sliding_window=4096),  # mistralai/Mistral-7B-v0.1
    "mistral7bv02": _mistral(sliding_window=None),  # mistralai/Mistral-7B-Instruct-v0.2
    "mixtral8x7b": _mixtral(4096, 32, 32, 14336, 32000),  # mistralai/Mixtral-8x7B-v0.1
    "mixtral8x22b": _mixtral(6144, 56, 48, 16384, 32768),  # mistralai/Mixtral-8x22B-v0.1
    "phi15": _phi(24, 2048, 8192),  # microsoft/phi-1_5
    "phi2": _phi(32, 2560, 10240),  # microsoft/phi-2
    "phi3mini4kinstruct": {  # microsoft/Phi-3-mini-4k-instruct
        "model_type": "phi3",
        "hidden_size": 3072,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "intermediate_size": 8192,
        "vocab_size": 32064,
        "sliding_window": 2047,
        "tie_word_embeddings": False,
        "pad_token_id": 32000,
    },
    "stablelmbasealpha3b": {  # stabilityai/stablelm-base-alpha-3b
        "model_type": "gpt_neox",
        "hidden_size": 4096,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "intermediate_size": 16384,
        "vocab_size": 50688,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
    },
    "tinyllama": _llama(2048, 22, 32, 4, 5632, 32000),  # TinyLlama/TinyLlama-1.1B-Chat-v1.0
}

_ALIASES = {"phi1513b": "phi15", "stablelmalpha3b": "stablelmbasealpha3b", "tinyllama11b": "tinyllama"}


def plain(name: str) -> str:
    """Return a model's name with nothing but letters and digits.

    Examples
    --------
    >>> plain("Llama 2 7 B"), plain("Phi-3-mini-4k-instruct")
    ('llama27b', 'phi3mini4kinstruct')
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def config_of(name: str) -> Config | None:
    """Return the published config of a model that a row names, or None."""
    key = plain(name)
    return _PUBLISHED.get(_ALIASES.get(key, key))


@dataclass(frozen=True, slots=True)
class Adapter:
    """LoRA as one of litgpt's recipes sets it: on queries and values only, or on every matrix of the model."""

    rank: int
    everywhere: bool


LITGPT_DEVICES: Mapping[str, int] = {
    "gemma-2b": 4,
    "llama-2-7b": 4,
    "llama-3-8b": 4,
    "llama-3.1-8b": 4,
    "llama-3.2-1b": 1,
    "llama-3.2-3b": 1,
    "phi-2": 2,
    "phi-3": 1,
    "stablelm-base-alpha-3b": 2,
    "tiny-llama": 1,
}
"""``devices`` of litgpt's ``config_hub/finetune/*/full.yaml``; ``lora.yaml`` and ``qlora.yaml`` all say 1 (2685705)."""

_EVERYWHERE: Mapping[str, tuple[int, int]] = {
    "gemma-2b": (8, 16),
    "gemma-7b": (16, 16),
    "gemma2-2b": (8, 16),
    "gemma2b": (8, 16),  # the README's name for the folder gemma2-2b
    "gemma2-9b": (16, 16),
    "phi-2": (8, 8),
    "phi-3": (8, 8),
    "tiny-llama": (32, 32),
}
"""Ranks of ``lora.yaml`` and ``qlora.yaml`` where ``lora_projection``, ``lora_mlp`` and ``lora_head`` are on as well."""
_RANK_ELSEWHERE = 32


def litgpt_adapter(folder: str, *, quantised: bool) -> Adapter:
    """Return the LoRA settings of ``config_hub/finetune/<folder>/{lora,qlora}.yaml`` of litgpt (2685705)."""
    if folder in _EVERYWHERE:
        return Adapter(_EVERYWHERE[folder][int(quantised)], True)
    return Adapter(_RANK_ELSEWHERE, False)
