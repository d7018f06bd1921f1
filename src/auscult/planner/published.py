"""The shapes of published models that people train from scratch or compare with, typed in from their ``config.json``.

Sources: Radford et al. 2019, table 2 (GPT-2); Biderman et al. 2023, arXiv:2304.01373, table 1 (Pythia); Black et al. 2022,
arXiv:2204.06745 (GPT-NeoX); Touvron et al. 2023, arXiv:2307.09288 (Llama 2); Grattafiori et al. 2024, arXiv:2407.21783
(Llama 3); Zhang et al. 2024, arXiv:2401.02385 (TinyLlama); Allal et al. 2025, arXiv:2502.02737 (SmolLM2); Jiang et al. 2023,
arXiv:2310.06825 (Mistral); Qwen team 2024, arXiv:2412.15115 (Qwen2.5), and 2025, arXiv:2505.09388 (Qwen3); OLMo team 2024,
arXiv:2501.00656 (OLMo 2). Tests compare the counts with those that the models' cards give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PUBLISHED"]


def _gpt2(n_layer: int, n_head: int, width: int) -> Mapping[str, Any]:
    shape = {"n_layer": n_layer, "n_head": n_head, "n_embd": width}
    return {"model_type": "gpt2", **shape, "vocab_size": 50_257, "n_positions": 1024}


def _neox(n_layer: int, n_head: int, width: int, vocab_size: int = 50_304, context: int = 2048) -> Mapping[str, Any]:
    return {
        "model_type": "gpt_neox",
        "num_hidden_layers": n_layer,
        "num_attention_heads": n_head,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "vocab_size": vocab_size,
        "max_position_embeddings": context,
        "rotary_pct": 0.25,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
    }


def _gated(
    model_type: str,
    shape: tuple[int, int, int, int, int],
    vocab_size: int,
    context: int,
    *,
    tied: bool,
    rope_theta: float = 10_000.0,
    **more: Any,
) -> Mapping[str, Any]:
    """Return a config from layers, heads, key and value heads, width and inner width."""
    names = (
        *("num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
        *("hidden_size", "intermediate_size"),
    )
    return {
        "model_type": model_type,
        **dict(zip(names, shape, strict=True)),
        "vocab_size": vocab_size,
        "max_position_embeddings": context,
        "tie_word_embeddings": tied,
        "rope_theta": rope_theta,
        **more,
    }


def _llama3(shape: tuple[int, int, int, int, int], *, tied: bool) -> Mapping[str, Any]:
    return _gated("llama", shape, 128_256, 8192, tied=tied, rope_theta=500_000.0)


def _smollm2(shape: tuple[int, int, int, int, int], rope_theta: float = 100_000.0) -> Mapping[str, Any]:
    return _gated("llama", shape, 49_152, 8192, tied=True, rope_theta=rope_theta)


def _qwen2(shape: tuple[int, int, int, int, int], *, tied: bool, vocab_size: int = 151_936) -> Mapping[str, Any]:
    return _gated("qwen2", shape, vocab_size, 32_768, tied=tied, rope_theta=1_000_000.0)


def _qwen3(shape: tuple[int, int, int, int, int], *, tied: bool) -> Mapping[str, Any]:
    return _gated("qwen3", shape, 151_936, 40_960, tied=tied, rope_theta=1_000_000.0, head_dim=128)


def _olmo2(shape: tuple[int, int, int, int, int]) -> Mapping[str, Any]:
    return _gated("olmo2", shape, 100_352, 4096, tied=False, rope_theta=500_000.0)


PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "gpt2": _gpt2(12, 12, 768),
    "gpt2-medium": _gpt2(24, 16, 1024),
    "gpt2-large": _gpt2(36, 20, 1280),
    "gpt2-xl": _gpt2(48, 25, 1600),
    "pythia-14m": _neox(6, 4, 128),
    "pythia-31m": _neox(6, 8, 256),
    "pythia-70m": _neox(6, 8, 512),
    "pythia-160m": _neox(12, 12, 768),
    "pythia-410m": _neox(24, 16, 1024),
    "pythia-1b": _neox(16, 8, 2048),
    "pythia-1.4b": _neox(24, 16, 2048),
    "pythia-2.8b": _neox(32, 32, 2560),
    "pythia-6.9b": _neox(32, 32, 4096, 50_432),
    "pythia-12b": _neox(36, 40, 5120, 50_688),
    "gpt-neox-20b": _neox(44, 64, 6144, 50_432),
    "tinyllama-1.1b": _gated("llama", (22, 32, 4, 2048, 5632), 32_000, 2048, tied=False),
    "llama-2-7b": _gated("llama", (32, 32, 32, 4096, 11_008), 32_000, 4096, tied=False),
    "llama-2-13b": _gated("llama", (40, 40, 40, 5120, 13_824), 32_000, 4096, tied=False),
    "llama-2-70b": _gated("llama", (80, 64, 8, 8192, 28_672), 32_000, 4096, tied=False),
    "llama-3-8b": _llama3((32, 32, 8, 4096, 14_336), tied=False),
    "llama-3-70b": _llama3((80, 64, 8, 8192, 28_672), tied=False),
    "llama-3.1-8b": _llama3((32, 32, 8, 4096, 14_336), tied=False),
    "llama-3.1-70b": _llama3((80, 64, 8, 8192, 28_672), tied=False),
    "llama-3.1-405b": _llama3((126, 128, 8, 16_384, 53_248), tied=False),
    "llama-3.2-1b": _llama3((16, 32, 8, 2048, 8192), tied=True),
    "llama-3.2-3b": _llama3((28, 24, 8, 3072, 8192), tied=True),
    "smollm2-135m": _smollm2((30, 9, 3, 576, 1536)),
    "smollm2-360m": _smollm2((32, 15, 5, 960, 2560)),
    "smollm2-1.7b": _smollm2((24, 32, 32, 2048, 8192), rope_theta=130_000.0),
    "mistral-7b": _gated("mistral", (32, 32, 8, 4096, 14_336), 32_000, 32_768, tied=False, sliding_window=4096),
    "qwen2.5-0.5b": _qwen2((24, 14, 2, 896, 4864), tied=True),
    "qwen2.5-1.5b": _qwen2((28, 12, 2, 1536, 8960), tied=True),
    "qwen2.5-3b": _qwen2((36, 16, 2, 2048, 11_008), tied=True),
    "qwen2.5-7b": _qwen2((28, 28, 4, 3584, 18_944), tied=False, vocab_size=152_064),
    "qwen3-0.6b": _qwen3((28, 16, 8, 1024, 3072), tied=True),
    "qwen3-1.7b": _qwen3((28, 16, 8, 2048, 6144), tied=True),
    "qwen3-4b": _qwen3((36, 32, 8, 2560, 9728), tied=True),
    "qwen3-8b": _qwen3((36, 32, 8, 4096, 12_288), tied=False),
    "qwen3-14b": _qwen3((40, 40, 8, 5120, 17_408), tied=False),
    "qwen3-32b": _qwen3((64, 64, 8, 5120, 25_600), tied=False),
    "olmo2-1b": _olmo2((16, 16, 16, 2048, 8192)),
    "olmo2-7b": _olmo2((32, 32, 32, 4096, 11_008)),
    "olmo2-13b": _olmo2((40, 40, 40, 5120, 13_824)),
}
"""Keys as in transformers. Contexts are those of pre-training, where a later stage stretched them (Llama 3: 8,192)."""
