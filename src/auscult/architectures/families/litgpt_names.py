"""The shapes that litgpt knows by name, of the models that people train or fine-tune with it.

Read from ``litgpt/config.py`` of litgpt 0.5.13 (Lightning-AI/litgpt), with padded vocabularies and inner widths worked out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MODELS"]

_Keys = dict[str, Any]


def _neox(n_layer: int, n_embd: int, n_head: int, vocab: int, block: int, **more: Any) -> _Keys:
    """Return what litgpt takes by default: LayerNorm, biases, attention and MLP in parallel."""
    shape = {"n_layer": n_layer, "n_embd": n_embd, "n_head": n_head}
    return {**shape, "padded_vocab_size": vocab, "block_size": block, **more}


def _llama(
    n_layer: int, n_embd: int, n_head: int, groups: int, d_ff: int, vocab: int, block: int, **more: Any
) -> _Keys:
    """Return Llama's parts: RMSNorm, no biases, a gated MLP after attention."""
    parts = {"norm_class_name": "RMSNorm", "bias": False, "mlp_class_name": "LLaMAMLP", "parallel_residual": False}
    sizes = {"n_query_groups": groups, "intermediate_size": d_ff}
    return {**_neox(n_layer, n_embd, n_head, vocab, block), **sizes, **parts, **more}


def _alternate(n_layer: int) -> list[int]:
    """Return Gemma 2's marks: every second layer sees a window, the first one too."""
    return [1 - i % 2 for i in range(n_layer)]


_SHAPES: tuple[tuple[_Keys, tuple[str, ...]], ...] = (
    (_neox(16, 4096, 32, 50688, 4096), ("stablelm-base-alpha-3b",)),
    (_neox(16, 6144, 48, 50432, 4096), ("stablelm-base-alpha-7b",)),
    (_neox(6, 128, 4, 50304, 512), ("pythia-14m",)),
    (_neox(6, 256, 8, 50304, 1024), ("pythia-31m",)),
    (_neox(6, 512, 8, 50304, 2048), ("pythia-70m", "pythia-70m-deduped")),
    (_neox(12, 768, 12, 50304, 2048), ("pythia-160m", "pythia-160m-deduped")),
    (_neox(24, 1024, 16, 50304, 2048), ("pythia-410m", "pythia-410m-deduped")),
    (_neox(16, 2048, 8, 50304, 2048), ("pythia-1b", "pythia-1b-deduped")),
    (_neox(24, 2048, 16, 50304, 2048), ("pythia-1.4b", "pythia-1.4b-deduped")),
    (_neox(32, 2560, 32, 50304, 2048), ("pythia-2.8b", "pythia-2.8b-deduped")),
    (_neox(32, 4096, 32, 50432, 2048), ("pythia-6.9b", "pythia-6.9b-deduped")),
    (_neox(36, 5120, 40, 50688, 2048), ("pythia-12b", "pythia-12b-deduped")),
    (
        _neox(32, 4544, 71, 65024, 2048, bias=False, shared_attention_norm=True, n_query_groups=1),
        ("falcon-7b", "falcon-7b-instruct"),
    ),
    (_neox(60, 8192, 128, 65024, 2048, bias=False, n_query_groups=8), ("falcon-40b", "falcon-40b-instruct")),
    (_llama(26, 3200, 32, 32, 8640, 32000, 2048), ("open_llama_3b",)),
    (_llama(32, 4096, 32, 32, 11008, 32000, 2048), ("open_llama_7b",)),
    (_llama(40, 5120, 40, 40, 13824, 32000, 2048), ("open_llama_13b",)),
    (_llama(32, 4096, 32, 32, 11008, 32000, 4096), ("Llama-2-7b-hf", "Llama-2-7b-chat-hf")),
    (_llama(40, 5120, 40, 40, 13824, 32000, 4096), ("Llama-2-13b-hf", "Llama-2-13b-chat-hf")),
    (_llama(80, 8192, 64, 8, 28672, 32000, 4096), ("Llama-2-70b-hf", "Llama-2-70b-chat-hf")),
    (_llama(32, 4096, 32, 8, 14336, 128256, 8192), ("Llama-3-8B", "Llama-3-8B-Instruct")),
    (_llama(32, 4096, 32, 8, 14336, 128256, 131072), ("Llama-3.1-8B", "Llama-3.1-8B-Instruct")),
    (_llama(80, 8192, 64, 8, 28672, 128256, 8192), ("Llama-3-70B", "Llama-3-70B-Instruct")),
    (_llama(80, 8192, 64, 8, 28672, 128256, 131072), ("Llama-3.1-70B", "Llama-3.1-70B-Instruct")),
    (_llama(126, 16384, 128, 8, 53248, 128256, 131072), ("Llama-3.1-405B", "Llama-3.1-405B-Instruct")),
    (_llama(16, 2048, 32, 8, 8192, 128256, 131072), ("Llama-3.2-1B", "Llama-3.2-1B-Instruct")),
    (_llama(28, 3072, 24, 8, 8192, 128256, 131072), ("Llama-3.2-3B", "Llama-3.2-3B-Instruct")),
    (
        _neox(
            16,
            2048,
            16,
            50304,
            2048,
            bias=False,
            mlp_class_name="LLaMAMLP",
            parallel_residual=False,
            intermediate_size=8192,
            elementwise_affine=False,
        ),
        ("OLMo-1B-hf",),
    ),
    (
        _neox(
            32,
            4096,
            32,
            50304,
            2048,
            bias=False,
            mlp_class_name="LLaMAMLP",
            parallel_residual=False,
            intermediate_size=11008,
            elementwise_affine=False,
        ),
        ("OLMo-7B-hf", "OLMo-7B-Instruct-hf"),
    ),
    (
        _llama(18, 2048, 8, 1, 16384, 256000, 4096, mlp_class_name="GemmaMLP", gelu_approximate="tanh"),
        ("Gemma-2b", "Gemma-2b-it"),
    ),
    (
        _llama(
            28, 3072, 16, 16, 24576, 256000, 4096, head_size=256, mlp_class_name="GemmaMLP", gelu_approximate="tanh"
        ),
        ("Gemma-7b", "Gemma-7b-it"),
    ),
    (
        _llama(
            26,
            2304,
            8,
            4,
            9216,
            256000,
            8192,
            head_size=256,
            mlp_class_name="GemmaMLP",
            gelu_approximate="tanh",
            post_attention_norm=True,
            post_mlp_norm=True,
            sliding_window_size=4096,
            sliding_window_indices=_alternate(26),
        ),
        ("Gemma-2-2b", "Gemma-2-2b-it"),
    ),
    (
        _llama(
            42,
            3584,
            16,
            8,
            14336,
            256000,
            8192,
            head_size=256,
            mlp_class_name="GemmaMLP",
            gelu_approximate="tanh",
            post_attention_norm=True,
            post_mlp_norm=True,
            sliding_window_size=4096,
            sliding_window_indices=_alternate(42),
        ),
        ("Gemma-2-9b", "Gemma-2-9b-it"),
    ),
    (
        _llama(
            46,
            4608,
            32,
            16,
            36864,
            256000,
            8192,
            head_size=128,
            mlp_class_name="GemmaMLP",
            gelu_approximate="tanh",
            post_attention_norm=True,
            post_mlp_norm=True,
            sliding_window_size=4096,
            sliding_window_indices=_alternate(46),
        ),
        ("Gemma-2-27b", "Gemma-2-27b-it"),
    ),
    (
        _neox(24, 2048, 32, 51200, 2048, lm_head_bias=True, gelu_approximate="tanh", shared_attention_norm=True),
        ("phi-1_5",),
    ),
    (
        _neox(32, 2560, 32, 51200, 2048, lm_head_bias=True, gelu_approximate="tanh", shared_attention_norm=True),
        ("phi-2",),
    ),
    (_llama(32, 3072, 32, 32, 8192, 32064, 4096, sliding_window_size=2048), ("Phi-3-mini-4k-instruct",)),
    (_llama(32, 3072, 32, 32, 8192, 32064, 131072, sliding_window_size=262145), ("Phi-3-mini-128k-instruct",)),
    (_llama(32, 3072, 32, 32, 8192, 32064, 4096), ("Phi-3.5-mini-instruct",)),
    (_llama(40, 5120, 40, 10, 17920, 100352, 16384), ("phi-4",)),
    (
        _llama(32, 4096, 32, 8, 14336, 32000, 4096, sliding_window_size=4096),
        ("Mistral-7B-v0.1", "Mistral-7B-Instruct-v0.1"),
    ),
    (
        _llama(32, 4096, 32, 8, 14336, 32000, 32768, mlp_class_name="LLaMAMoE", n_expert=8, n_expert_per_token=2),
        ("Mixtral-8x7B-v0.1", "Mixtral-8x7B-Instruct-v0.1"),
    ),
    (
        _llama(56, 6144, 48, 8, 16384, 32768, 65536, mlp_class_name="LLaMAMoE", n_expert=8, n_expert_per_token=2),
        ("Mixtral-8x22B-v0.1", "Mixtral-8x22B-Instruct-v0.1"),
    ),
    (_llama(32, 4096, 32, 8, 14336, 32000, 32768), ("Mistral-7B-v0.2", "Mistral-7B-Instruct-v0.2")),
    (_llama(32, 4096, 32, 8, 14336, 32768, 32768), ("Mistral-7B-v0.3", "Mistral-7B-Instruct-v0.3")),
    (_llama(22, 2048, 32, 4, 5632, 32000, 2048), ("tiny-llama-1.1b", "tiny-llama-1.1b-chat")),
    (_llama(12, 1024, 16, 4, 5632, 32000, 2048), ("micro-llama-300M",)),
    (_llama(24, 896, 14, 2, 4864, 151936, 32768, attn_bias=True), ("Qwen2.5-0.5B", "Qwen2.5-0.5B-Instruct")),
    (_llama(28, 1536, 12, 2, 8960, 151936, 131072, attn_bias=True), ("Qwen2.5-1.5B", "Qwen2.5-1.5B-Instruct")),
    (_llama(36, 2048, 16, 2, 11008, 151936, 32768, attn_bias=True), ("Qwen2.5-3B", "Qwen2.5-3B-Instruct")),
    (_llama(28, 3584, 28, 4, 18944, 152064, 131072, attn_bias=True), ("Qwen2.5-7B", "Qwen2.5-7B-Instruct")),
    (_llama(48, 5120, 40, 8, 13824, 152064, 131072, attn_bias=True), ("Qwen2.5-14B", "Qwen2.5-14B-Instruct")),
    (_llama(64, 5120, 40, 8, 27648, 152064, 131072, attn_bias=True), ("Qwen2.5-32B", "Qwen2.5-32B-Instruct")),
    (_llama(80, 8192, 64, 8, 29568, 152064, 131072, attn_bias=True), ("Qwen2.5-72B", "Qwen2.5-72B-Instruct")),
    (_llama(28, 1024, 16, 8, 3072, 151936, 40960, head_size=128, norm_qk=True), ("Qwen3-0.6B", "Qwen3-0.6B-Base")),
    (_llama(28, 2048, 16, 8, 6144, 151936, 40960, norm_qk=True), ("Qwen3-1.7B", "Qwen3-1.7B-Base")),
    (_llama(36, 2560, 32, 8, 9728, 151936, 40960, head_size=128, norm_qk=True), ("Qwen3-4B", "Qwen3-4B-Base")),
    (_llama(36, 4096, 32, 8, 12288, 151936, 40960, norm_qk=True), ("Qwen3-8B", "Qwen3-8B-Base")),
    (_llama(40, 5120, 40, 8, 17408, 151936, 40960, norm_qk=True), ("Qwen3-14B", "Qwen3-14B-Base")),
    (_llama(64, 5120, 64, 8, 25600, 151936, 40960, head_size=128, norm_qk=True), ("Qwen3-32B",)),
    (
        _llama(
            48,
            2048,
            32,
            4,
            6144,
            151936,
            40960,
            head_size=128,
            moe_intermediate_size=768,
            mlp_class_name="LLaMAMoE",
            norm_qk=True,
            n_expert=128,
            n_expert_per_token=8,
        ),
        ("Qwen3-30B-A3B", "Qwen3-30B-A3B-Base"),
    ),
    (
        _llama(
            48,
            2048,
            32,
            4,
            6144,
            151936,
            262144,
            head_size=128,
            moe_intermediate_size=768,
            mlp_class_name="LLaMAMoE",
            norm_qk=True,
            n_expert=128,
            n_expert_per_token=8,
        ),
        ("Qwen3-30B-A3B-Thinking-2507", "Qwen3-30B-A3B-Instruct-2507"),
    ),
    (
        _llama(36, 2560, 32, 8, 9728, 151936, 262144, head_size=128, norm_qk=True),
        ("Qwen3-4B-Thinking-2507", "Qwen3-4B-Instruct-2507"),
    ),
    (_llama(30, 576, 9, 3, 1536, 49152, 8192), ("SmolLM2-135M", "SmolLM2-135M-Instruct")),
    (_llama(32, 960, 15, 5, 2560, 49152, 8192), ("SmolLM2-360M", "SmolLM2-360M-Instruct")),
    (_llama(24, 2048, 32, 32, 8192, 49152, 8192), ("SmolLM2-1.7B", "SmolLM2-1.7B-Instruct")),
)

MODELS: Mapping[str, Mapping[str, Any]] = {name: keys for keys, names in _SHAPES for name in names}
"""litgpt's keys for each name."""
