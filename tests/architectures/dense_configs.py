"""Published dense and masked models: the figures of their ``config.json`` on the Hugging Face hub, and their known totals.

A total is what the model's card or paper, or the index of its weights, gives for every parameter, tied weights once; None where
none is at hand.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PUBLISHED"]


def _gpt2(layers: int, heads: int, width: int) -> dict[str, Any]:
    return {"model_type": "gpt2", "n_layer": layers, "n_head": heads, "n_embd": width}


def _pythia(layers: int, heads: int, width: int, vocab: int = 50304) -> dict[str, Any]:
    return {
        "model_type": "gpt_neox",
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "vocab_size": vocab,
    }


def _opt(layers: int, heads: int, width: int, **other: Any) -> dict[str, Any]:
    shape = {"num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": width, "ffn_dim": 4 * width}
    return {"model_type": "opt", **shape, "word_embed_proj_dim": width, **other}


def _like_llama(
    kind: str, layers: int, heads: int, kv: int, width: int, d_ff: int, vocab: int, **other: Any
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "hidden_size": width,
        "intermediate_size": d_ff,
        "vocab_size": vocab,
        **other,
    }


def _llama(layers: int, heads: int, kv: int, width: int, d_ff: int, vocab: int = 32000, **other: Any) -> dict[str, Any]:
    return _like_llama("llama", layers, heads, kv, width, d_ff, vocab, **other)


def _qwen(kind: str, layers: int, heads: int, kv: int, width: int, d_ff: int, vocab: int, tied: bool) -> dict[str, Any]:
    return _like_llama(kind, layers, heads, kv, width, d_ff, vocab, tie_word_embeddings=tied)


def _bloom(layers: int, heads: int, width: int) -> dict[str, Any]:
    return {"model_type": "bloom", "n_layer": layers, "n_head": heads, "hidden_size": width, "vocab_size": 250880}


def _starcoder(layers: int, heads: int, width: int) -> dict[str, Any]:
    shape = {"n_layer": layers, "n_head": heads, "n_embd": width, "n_inner": 4 * width}
    return {"model_type": "gpt_bigcode", **shape, "n_positions": 8192, "vocab_size": 49152}


def _bert(kind: str, layers: int, heads: int, width: int, vocab: int, positions: int, types: int) -> dict[str, Any]:
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
    }


PUBLISHED: dict[str, tuple[dict[str, Any], int | None]] = {
    "openai-community/gpt2": (_gpt2(12, 12, 768), 124_439_808),
    "openai-community/gpt2-medium": (_gpt2(24, 16, 1024), 354_823_168),
    "openai-community/gpt2-large": (_gpt2(36, 20, 1280), 774_030_080),
    "openai-community/gpt2-xl": (_gpt2(48, 25, 1600), 1_557_611_200),
    "EleutherAI/pythia-70m": (_pythia(6, 8, 512), 70_426_624),
    "EleutherAI/pythia-160m": (_pythia(12, 12, 768), 162_322_944),
    "EleutherAI/pythia-410m": (_pythia(24, 16, 1024), 405_334_016),
    "EleutherAI/pythia-1b": (_pythia(16, 8, 2048), 1_011_781_632),
    "EleutherAI/pythia-1.4b": (_pythia(24, 16, 2048), 1_414_647_808),
    "EleutherAI/pythia-2.8b": (_pythia(32, 32, 2560), 2_775_208_960),
    "EleutherAI/pythia-6.9b": (_pythia(32, 32, 4096, 50432), 6_857_302_016),
    "EleutherAI/pythia-12b": (_pythia(36, 40, 5120, 50688), 11_846_072_320),
    "EleutherAI/gpt-neo-125m": (
        {
            "model_type": "gpt_neo",
            "num_layers": 12,
            "num_heads": 12,
            "hidden_size": 768,
            "attention_types": [[["global", "local"], 6]],
        },
        125_198_592,
    ),
    "EleutherAI/gpt-neo-1.3B": ({"model_type": "gpt_neo"}, 1_315_575_808),
    "EleutherAI/gpt-j-6b": ({"model_type": "gptj"}, 6_050_882_784),
    "facebook/opt-125m": (_opt(12, 12, 768), 125_239_296),
    "facebook/opt-350m": (
        _opt(24, 16, 1024, word_embed_proj_dim=512, do_layer_norm_before=False),
        331_196_416,
    ),
    "facebook/opt-1.3b": (_opt(24, 32, 2048), 1_315_758_080),
    "facebook/opt-6.7b": (_opt(32, 32, 4096), 6_658_473_984),
    "bigscience/bloom-560m": (_bloom(24, 16, 1024), 559_214_592),
    "bigscience/bloom-7b1": (_bloom(30, 32, 4096), 7_069_016_064),
    "bigscience/bloom": (_bloom(70, 112, 14336), 176_247_271_424),
    "tiiuae/falcon-7b": ({"model_type": "falcon"}, 6_921_720_704),
    "tiiuae/falcon-40b": (
        {
            "model_type": "falcon",
            "hidden_size": 8192,
            "num_hidden_layers": 60,
            "num_attention_heads": 128,
            "num_kv_heads": 8,
            "new_decoder_architecture": True,
        },
        41_303_293_952,
    ),
    "mosaicml/mpt-7b": (
        {"model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "vocab_size": 50432},
        6_649_286_656,
    ),
    "huggyllama/llama-7b": (_llama(32, 32, 32, 4096, 11008), 6_738_415_616),
    "huggyllama/llama-13b": (_llama(40, 40, 40, 5120, 13824), 13_015_864_320),
    "huggyllama/llama-65b": (_llama(80, 64, 64, 8192, 22016), 65_285_660_672),
    "meta-llama/Llama-2-70b-hf": (_llama(80, 64, 8, 8192, 28672), 68_976_648_192),
    "meta-llama/Meta-Llama-3-8B": (_llama(32, 32, 8, 4096, 14336, 128256), 8_030_261_248),
    "meta-llama/Meta-Llama-3-70B": (_llama(80, 64, 8, 8192, 28672, 128256), 70_553_706_496),
    "meta-llama/Llama-3.1-405B": (_llama(126, 128, 8, 16384, 53248, 128256), 405_853_388_800),
    "meta-llama/Llama-3.2-1B": (
        _llama(16, 32, 8, 2048, 8192, 128256, tie_word_embeddings=True),
        1_235_814_400,
    ),
    "meta-llama/Llama-3.2-3B": (
        _llama(28, 24, 8, 3072, 8192, 128256, tie_word_embeddings=True),
        3_212_749_824,
    ),
    "TinyLlama/TinyLlama-1.1B": (_llama(22, 32, 4, 2048, 5632), 1_100_048_384),
    "HuggingFaceTB/SmolLM2-135M": (_llama(30, 9, 3, 576, 1536, 49152, tie_word_embeddings=True), 134_515_008),
    "HuggingFaceTB/SmolLM2-360M": (_llama(32, 15, 5, 960, 2560, 49152, tie_word_embeddings=True), 361_821_120),
    "HuggingFaceTB/SmolLM2-1.7B": (_llama(24, 32, 32, 2048, 8192, 49152, tie_word_embeddings=True), 1_711_376_384),
    "HuggingFaceTB/SmolLM3-3B": ({"model_type": "smollm3"}, 3_075_098_624),
    "mistralai/Mistral-7B-v0.1": ({"model_type": "mistral"}, 7_241_732_096),
    "mistralai/Mistral-Nemo-Base-2407": (
        _like_llama("mistral", 40, 32, 8, 5120, 14336, 131072, head_dim=128, sliding_window=None),
        12_247_782_400,
    ),
    "Qwen/Qwen2.5-0.5B": (_qwen("qwen2", 24, 14, 2, 896, 4864, 151936, True), 494_032_768),
    "Qwen/Qwen2.5-1.5B": (_qwen("qwen2", 28, 12, 2, 1536, 8960, 151936, True), 1_543_714_304),
    "Qwen/Qwen2.5-3B": (_qwen("qwen2", 36, 16, 2, 2048, 11008, 151936, True), 3_085_938_688),
    "Qwen/Qwen2.5-7B": (_qwen("qwen2", 28, 28, 4, 3584, 18944, 152064, False), 7_615_616_512),
    "Qwen/Qwen2.5-72B": (_qwen("qwen2", 80, 64, 8, 8192, 29568, 152064, False), 72_706_203_648),
    "Qwen/Qwen3-0.6B": (_qwen("qwen3", 28, 16, 8, 1024, 3072, 151936, True), 596_049_920),
    "Qwen/Qwen3-1.7B": (_qwen("qwen3", 28, 16, 8, 2048, 6144, 151936, True), 1_720_574_976),
    "Qwen/Qwen3-8B": (_qwen("qwen3", 36, 32, 8, 4096, 12288, 151936, False), 8_190_735_360),
    "Qwen/Qwen3-32B": (_qwen("qwen3", 64, 64, 8, 5120, 25600, 151936, False), 32_762_123_264),
    "google/gemma-2b": (
        _like_llama("gemma", 18, 8, 1, 2048, 16384, 256000, head_dim=256),
        2_506_172_416,
    ),
    "google/gemma-7b": ({"model_type": "gemma"}, 8_537_680_896),
    "google/gemma-2-2b": ({"model_type": "gemma2"}, 2_614_341_888),
    "google/gemma-2-9b": (
        _like_llama("gemma2", 42, 16, 8, 3584, 14336, 256000, head_dim=256),
        9_241_705_984,
    ),
    "google/gemma-2-27b": (
        _like_llama("gemma2", 46, 32, 16, 4608, 36864, 256000, head_dim=128),
        27_227_128_320,
    ),
    "google/gemma-3-1b-pt": (
        _like_llama("gemma3_text", 26, 4, 1, 1152, 6912, 262144, head_dim=256, sliding_window=512),
        999_885_952,
    ),
    "microsoft/phi-1_5": ({"model_type": "phi"}, 1_418_270_720),
    "microsoft/phi-2": (_like_llama("phi", 32, 32, 32, 2560, 10240, 51200), 2_779_683_840),
    "microsoft/Phi-3-mini-4k-instruct": ({"model_type": "phi3"}, 3_821_079_552),
    "microsoft/phi-4": (_like_llama("phi3", 40, 40, 10, 5120, 17920, 100352), 14_659_507_200),
    "allenai/OLMo-1B-hf": (_like_llama("olmo", 16, 16, 16, 2048, 8192, 50304, tie_word_embeddings=True), 1_176_764_416),
    "allenai/OLMo-7B-hf": ({"model_type": "olmo"}, 6_888_095_744),
    "allenai/OLMo-2-1124-7B": (_like_llama("olmo2", 32, 32, 32, 4096, 11008, 100352), 7_298_617_344),
    "allenai/OLMo-2-1124-13B": (_like_llama("olmo2", 40, 40, 40, 5120, 13824, 100352), 13_716_198_400),
    "allenai/Olmo-3-1025-7B": (_like_llama("olmo3", 32, 32, 32, 4096, 11008, 100278), 7_298_011_136),
    "stabilityai/stablelm-3b-4e1t": ({"model_type": "stablelm"}, 2_795_443_200),
    "stabilityai/stablelm-2-1_6b": (
        _like_llama("stablelm", 24, 32, 32, 2048, 5632, 100352, use_qkv_bias=True),
        1_644_515_328,
    ),
    "ibm-granite/granite-3.0-2b-base": (
        _like_llama("granite", 40, 32, 8, 2048, 8192, 49155, tie_word_embeddings=True),
        2_533_531_648,
    ),
    "bigcode/starcoder2-3b": ({"model_type": "starcoder2"}, 3_030_371_328),
    "google-bert/bert-base-uncased": (_bert("bert", 12, 12, 768, 30522, 512, 2), 109_514_298),
    "google-bert/bert-large-uncased": (_bert("bert", 24, 16, 1024, 30522, 512, 2), 335_174_458),
    "FacebookAI/roberta-base": (_bert("roberta", 12, 12, 768, 50265, 514, 1), 124_697_433),
    "FacebookAI/roberta-large": (_bert("roberta", 24, 16, 1024, 50265, 514, 1), 355_412_057),
    "distilbert/distilbert-base-uncased": ({"model_type": "distilbert"}, 66_985_530),
    "answerdotai/ModernBERT-base": ({"model_type": "modernbert"}, 149_655_232),
    "answerdotai/ModernBERT-large": (
        {
            "model_type": "modernbert",
            "hidden_size": 1024,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "intermediate_size": 2624,
        },
        395_881_664,
    ),
    "openai-community/openai-gpt": ({"model_type": "openai-gpt"}, 116_534_784),
    "bigcode/starcoderbase-1b": (_starcoder(24, 16, 2048), 1_137_207_296),
    "bigcode/starcoder": (_starcoder(40, 48, 6144), 15_517_456_384),
    "Salesforce/codegen-350M-mono": (
        {"model_type": "codegen", "n_layer": 20, "n_head": 16, "n_embd": 1024, "vocab_size": 51200},
        356_712_448,
    ),
    "tiiuae/falcon-rw-1b": (
        {
            "model_type": "falcon",
            "hidden_size": 2048,
            "num_hidden_layers": 24,
            "num_attention_heads": 32,
            "vocab_size": 50304,
            "multi_query": False,
            "parallel_attn": False,
            "bias": True,
        },
        1_311_625_216,
    ),
    "facebook/xglm-564M": ({"model_type": "xglm"}, 564_463_616),
    "adept/persimmon-8b-base": ({"model_type": "persimmon"}, None),
    "zai-org/glm-4-9b-hf": ({"model_type": "glm"}, 9_399_951_360),
    "CohereLabs/c4ai-command-r-v01": ({"model_type": "cohere"}, 34_980_831_232),
    "CohereLabs/c4ai-command-r7b-12-2024": (
        _like_llama("cohere2", 32, 32, 8, 4096, 14336, 256000),
        8_028_033_024,
    ),
    "nvidia/Minitron-4B-Base": (
        _like_llama("nemotron", 32, 24, 8, 3072, 9216, 256000, head_dim=128),
        None,
    ),
    "swiss-ai/Apertus-8B-2509": (_like_llama("apertus", 32, 32, 8, 4096, 21504, 131072), 8_053_338_176),
    "baidu/ERNIE-4.5-0.3B-PT": ({"model_type": "ernie4_5"}, 360_748_032),
    "LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct": (
        _like_llama("exaone", 30, 32, 8, 2560, 7168, 102400, tie_word_embeddings=True),
        2_405_327_360,
    ),
    "LGAI-EXAONE/EXAONE-4.0-1.2B": (
        {
            **_like_llama("exaone4", 30, 32, 8, 2048, 4096, 102400, tie_word_embeddings=True),
            "sliding_window": None,
            "layer_types": ["full_attention"] * 30,
        },
        1_279_391_488,
    ),
    "mistralai/Ministral-8B-Instruct-2410": (
        _like_llama("mistral", 36, 32, 8, 4096, 12288, 131072, head_dim=128, sliding_window=32768),
        8_019_808_256,
    ),
    "mistralai/Mistral-Small-24B-Base-2501": (
        _like_llama("mistral", 40, 32, 8, 5120, 32768, 131072, head_dim=128, sliding_window=None),
        23_572_403_200,
    ),
    "FacebookAI/xlm-roberta-base": (_bert("xlm-roberta", 12, 12, 768, 250002, 514, 1), 278_295_186),
    "almanach/camembert-base": (_bert("camembert", 12, 12, 768, 32005, 514, 1), None),
    "google/electra-small-generator": ({"model_type": "electra"}, None),
    "EuroBERT/EuroBERT-210m": ({"model_type": "eurobert"}, None),
}
