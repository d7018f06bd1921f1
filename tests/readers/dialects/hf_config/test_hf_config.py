"""Configurations of transformers models: every family against the library itself, and what users' files do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.dialects.hf_config import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.hf_models import FAMILIES
from auscult.readers.reading import Reading
from auscult.run import Known, Unknown

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 96,
    "intermediate_size": 256,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 6,
    "num_hidden_layers": 3,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 1024,
}


def file_of(document: Any, name: str = "config.json", *, indent: int | None = 2) -> InputFile:
    data = (document if isinstance(document, str) else json.dumps(document, indent=indent)).encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(document: Any, **options: Any) -> Reading:
    (reading,) = DIALECT.read(file_of(document, **options))
    return reading


def plain(reading: Reading, field: str) -> Any:
    quantity = reading.settings.get(field if "." in field else f"architecture.{field}")
    return quantity.value if isinstance(quantity, Known) else None


def test_shape_is_read_with_its_lines() -> None:
    """Each number has the line of its key; what is not set has the family's default and says so."""
    reading = read(LLAMA)
    assert {
        f: plain(reading, f)
        for f in ("n_layer", "n_head", "n_kv_head", "d_model", "d_ff", "vocab_size", "tied", "bias")
    } == {
        "n_layer": 3,
        "n_head": 6,
        "n_kv_head": 6,
        "d_model": 96,
        "d_ff": 256,
        "vocab_size": 1024,
        "tied": True,
        "bias": False,
    }
    layers = reading.settings["architecture.n_layer"]
    assert isinstance(layers, Known)
    assert (layers.source.how, layers.source.line) == ("read", 10)
    heads = reading.settings["architecture.n_kv_head"]
    assert isinstance(heads, Known)
    assert heads.source.how == "default"
    assert "not set in the config" in heads.source.place


def test_longest_sequence_is_not_the_context_trained_on() -> None:
    """The config's limit is noted; the context stays unknown, with the reason."""
    reading = read(LLAMA)
    context = reading.settings["architecture.context"]
    assert isinstance(context, Unknown)
    assert "4,096" in context.reason
    assert reading.noted["hf.max_positions"].value == 4096


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_defaults_are_those_of_transformers(family: str) -> None:
    """A config that sets nothing has the defaults of the library's own class."""
    transformers = pytest.importorskip("transformers")
    if family not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this version of transformers has no {family}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.CONFIG_MAPPING[family]()
    reading = read({"model_type": family, "architectures": ["X"]})
    names = {
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "d_model": "hidden_size",
        "vocab_size": "vocab_size",
        "tied": "tie_word_embeddings",
    }
    for field, name in names.items():
        assert plain(reading, field) == getattr(config, name, None), field
    heads = getattr(config, "num_key_value_heads", None)
    if family not in ("dbrx", "gpt_bigcode", "falcon", "rwkv", "mamba", "mamba2"):
        assert plain(reading, "n_kv_head") == (heads or config.num_attention_heads)
    inner = getattr(config, "intermediate_size", None)
    if inner is not None and family not in ("rwkv",):
        assert plain(reading, "d_ff") == inner


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 8, "n_inner": None},
            {"d_ff": 32, "tied": True, "bias": True},
        ),
        ({"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_inner": 24}, {"d_ff": 24}),
        (
            {"model_type": "gpt_neo", "num_layers": 4, "num_heads": 2, "hidden_size": 16},
            {"n_layer": 4, "n_head": 2, "d_ff": 64},
        ),
        (
            {"model_type": "bloom", "n_layer": 2, "n_head": 4, "hidden_size": 16},
            {"d_ff": 64, "tied": True, "n_kv_head": 4},
        ),
        (
            {"model_type": "bloom", "num_hidden_layers": 2, "n_embed": 24, "num_attention_heads": 4},
            {"d_model": 24, "n_layer": 2},
        ),
        (
            {"model_type": "falcon", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 8},
            {"n_kv_head": 1},
        ),
        (
            {
                "model_type": "falcon",
                "num_hidden_layers": 2,
                "hidden_size": 64,
                "num_attention_heads": 8,
                "new_decoder_architecture": True,
                "num_kv_heads": 2,
            },
            {"n_kv_head": 2, "d_ff": 256},
        ),
        ({"model_type": "falcon", "hidden_size": 64, "num_attention_heads": 8, "multi_query": False}, {"n_kv_head": 8}),
        ({"model_type": "gpt_bigcode", "n_layer": 1, "n_embd": 64, "n_head": 8}, {"n_kv_head": 1}),
        (
            {"model_type": "mpt", "d_model": 32, "n_heads": 4, "n_layers": 2, "expansion_ratio": 3},
            {"d_ff": 96, "bias": False},
        ),
        (
            {"model_type": "mpt", "d_model": 32, "n_heads": 4, "attn_config": {"kv_n_heads": 2}},
            {"n_kv_head": 2, "d_ff": 128},
        ),
        (
            {
                "model_type": "dbrx",
                "d_model": 32,
                "n_heads": 4,
                "attn_config": {"kv_n_heads": 2},
                "ffn_config": {"ffn_hidden_size": 80},
            },
            {"n_kv_head": 2, "d_ff": 80},
        ),
        ({"model_type": "opt", "hidden_size": 32, "num_hidden_layers": 2, "ffn_dim": 100}, {"d_ff": 100, "bias": True}),
        ({"model_type": "opt", "hidden_size": 32, "enable_bias": False}, {"bias": False}),
        ({"model_type": "starcoder2", "hidden_size": 32, "use_bias": False}, {"bias": False}),
        (
            {"model_type": "t5", "d_model": 32, "num_layers": 2, "num_heads": 4, "d_ff": 64},
            {"n_layer": 2, "n_head": 4, "d_ff": 64},
        ),
        (
            {"model_type": "distilbert", "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
            {"d_model": 32, "d_ff": 64},
        ),
        ({"model_type": "qwen3_moe", "hidden_size": 32, "num_experts": 4}, {"n_kv_head": 4, "tied": False}),
        (
            {"model_type": "somebodys", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
            {"n_layer": 2, "n_kv_head": 4, "tied": None, "d_ff": None},
        ),
    ],
)
def test_families_have_their_own_names(document: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same thing is found under whatever name the family has for it."""
    reading = read(document)
    assert {field: plain(reading, field) for field in expected} == expected


@pytest.mark.parametrize("part", ["text_config", "llm_config", "language_config"])
def test_language_model_of_a_composite(part: str) -> None:
    """Of a model for images and text the part for text is read; the head may be tied by the whole."""
    reading = read(
        {
            "model_type": "gemma3",
            "tie_word_embeddings": False,
            part: {"hidden_size": 64, "num_hidden_layers": 2},
            "vision_config": {"hidden_size": 9},
        }
    )
    assert (plain(reading, "d_model"), plain(reading, "n_layer"), plain(reading, "tied")) == (64, 2, False)
    assert plain(reading, "n_kv_head") == 4
    layers = reading.settings["architecture.n_layer"]
    assert isinstance(layers, Known)
    assert layers.source.line == 6


def test_biases_in_some_layers_only_are_neither() -> None:
    """Qwen2's biases stand beside queries, keys and values only: the answer is neither yes nor no."""
    assert isinstance(read({"model_type": "qwen2", "hidden_size": 8}).settings["architecture.bias"], Unknown)
    assert isinstance(read({**LLAMA, "attention_bias": True}).settings["architecture.bias"], Unknown)


def test_dropout_of_the_residual_stream() -> None:
    """The residual stream's dropout is the recipe's; a family without one has that of its attention."""
    assert (
        plain(read({"model_type": "gpt2", "n_embd": 8, "resid_pdrop": 0.2, "attn_pdrop": 0.3}), "recipe.dropout") == 0.2
    )
    assert plain(read({"model_type": "gpt2", "n_embd": 8}), "recipe.dropout") == 0.1
    assert plain(read({**LLAMA, "attention_dropout": 0.05}), "recipe.dropout") == 0.05


def test_impossible_values_are_named() -> None:
    """A negative width is no width."""
    reading = read({**LLAMA, "hidden_size": -3})
    assert isinstance(reading.settings["architecture.d_model"], Unknown)
    assert [p.kind for p in reading.problems] == ["impossible_value"]


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("org/tiny", "org/tiny"),
        ("gpt2", "gpt2"),
        ("/home/somebody/tiny", None),
        ("C:\\Users\\somebody\\x", None),
        ("~/somebody", None),
    ],
)
def test_base_model_is_shown_unless_it_is_a_path(base: str, shown: str | None) -> None:
    """A name on the hub is public, a folder of somebody's machine is not, wherever it stands."""
    reading = read({**LLAMA, "_name_or_path": base}, indent=None)
    found = reading.noted.get("hf.base_model")
    assert (found.value if found is not None else None) == shown
    if shown is None:
        assert "somebody" not in repr(reading)


def test_adapter() -> None:
    """An adapter's rank and targets are noted; it is no rival of the model's config."""
    reading = read(
        {
            "peft_type": "LORA",
            "r": 8,
            "lora_alpha": 16,
            "target_modules": ["q_proj", "v_proj"],
            "base_model_name_or_path": "/home/somebody/m",
        },
        name="adapter_config.json",
    )
    assert reading.role == "summary"
    assert reading.noted["peft.r"].value == 8
    assert reading.noted["peft.target_modules"].value == ["q_proj", "v_proj"]
    assert "peft.base_model" not in reading.noted


@pytest.mark.parametrize(
    ("name", "document", "claimed"),
    [
        ("config.json", LLAMA, True),
        ("adapter_config.json", {"peft_type": "LORA", "lora_alpha": 2}, True),
        ("tokenizer_config.json", {"model_max_length": 512, "tokenizer_class": "X"}, False),
        ("generation_config.json", {"transformers_version": "4.40.0", "eos_token_id": 2}, False),
        ("config.json", {"app": {"model_type": 3}}, False),
        ("config.json", [1, 2], False),
        ("info.json", {"model_config": LLAMA}, False),
        ("config.yaml", LLAMA, False),
    ],
)
def test_sniff(name: str, document: Any, claimed: bool) -> None:
    """Configurations of models and adapters are claimed; those of tokenizers, generation and applications are not."""
    assert (DIALECT.sniff(file_of(document, name)) >= 0.5) is claimed


keys = st.sampled_from(
    [*LLAMA, "n_layer", "n_embd", "multi_query", "attn_config", "text_config", "expansion_ratio", "n_inner", "bias"]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["llama", "falcon", "mpt", "gpt2", "", "x" * 200])
)
nested = st.recursive(
    leaves, lambda inner: st.dictionaries(keys, inner, max_size=4) | st.lists(inner, max_size=3), max_leaves=10
)


@settings(deadline=None)
@given(st.dictionaries(keys, nested, max_size=8))
def test_any_values_are_read_or_refused(document: dict[str, Any]) -> None:
    """Whatever values the keys have, there is a reading or an error of ours."""
    with contextlib.suppress(InputError):
        read(document)


@settings(deadline=None)
@given(st.integers(0, 300), st.text(max_size=5))
def test_any_cut_is_read_or_refused(at: int, piece: str) -> None:
    """A configuration that was cut or spliced is read or refused."""
    text = json.dumps(LLAMA, indent=1)
    with contextlib.suppress(InputError):
        read(text[:at] + piece + text[at + 3 :])


def test_corpus_facts() -> None:
    """The shape of a real model of a family that nobody knows is found."""
    folder = CORPUS / "hf-loss-times-2-truncated"
    if not folder.is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))["facts"]
    (run,) = read_all(folder).runs
    for name in ("d_ff", "d_model", "n_head", "n_kv_head", "n_layer", "tied", "vocab_size"):
        quantity = getattr(run.recipe.architecture, name)
        assert isinstance(quantity, Known)
        assert quantity.value == facts[f"run.architecture.{name}"]
