"""Configs that no model can have: refused as what they are, and never another error, whichever the family."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.dense_configs import PUBLISHED
from auscult.architectures import Model, build, family_names
from auscult.errors import BadConfig
from auscult.facts.parameters import count_parameters

LONGEST_MESSAGE = 700
"""Characters of a refusal, a line or two of a terminal each for what, expected, found and hint."""
HUGE = 10**5000
"""More digits than Python prints, and more than a float holds."""


class Asked(dict[str, Any]):
    """A config that takes down every key it is asked for, those of nested configs among them."""

    def __init__(self, values: Mapping[str, Any], keys: set[str]) -> None:
        super().__init__(values)
        self.keys_asked = keys

    def get(self, key: str, default: Any = None) -> Any:
        """Take the key down; a nested config that is not there is an empty one that does so, too."""
        self.keys_asked.add(key)
        if key.endswith("_config") and key not in self.keys():
            return Asked({}, self.keys_asked)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.keys_asked.add(str(key))
        return super().__contains__(key)


def keys_of(family: str) -> set[str]:
    """Return the keys that a family's builder looks up in a config that names nothing else."""
    keys: set[str] = set()
    with contextlib.suppress(BadConfig):  # what it asked for until then
        build(Asked({"model_type": family}, keys))
    return keys - {"model_type", "text_config", "llm_config", "language_config"}


def built_or_refused(config: dict[str, Any]) -> Model | BadConfig:
    """Return the blueprint of a config, or its refusal."""
    try:
        return build(config)
    except BadConfig as refusal:
        return refusal


def leaves() -> st.SearchStrategy[Any]:
    words = ("full_attention", "sliding_attention", "global", "local", "LLLG", "gelu", "auto", "12", "")
    numbers = st.integers(-2, 12) | st.integers(-(2**70), 2**70) | st.sampled_from((2**31, 10**400, -(10**4000)))
    return st.none() | st.booleans() | numbers | st.floats() | st.sampled_from(words) | st.text(max_size=4)


def json_values(keys: list[str]) -> st.SearchStrategy[Any]:
    def inside(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(keys), inner, max_size=3)

    return st.recursive(leaves(), inside, max_leaves=5)


@pytest.mark.parametrize("family", family_names())
def test_any_values_are_a_model_or_one_refusal(family: str) -> None:
    """Whatever a config holds under the keys that its family reads, it is drawn and counted, or refused in one short message."""
    keys = sorted(keys_of(family)) or ["hidden_size"]

    @settings(max_examples=40)
    @given(config=st.dictionaries(st.sampled_from(keys), json_values(keys), max_size=5))
    def check(config: dict[str, Any]) -> None:
        answer = built_or_refused({"model_type": family, **config})
        if isinstance(answer, BadConfig):
            assert len(str(answer)) < LONGEST_MESSAGE
            return
        count = count_parameters(answer)
        assert 0 < count.matmul < count.total + answer.head.weights
        assert answer.n_layer > 0

    check()


def test_every_family_is_asked_for_its_sizes() -> None:
    """The keys under which values are drawn are those that shape a model: at least its width and depth, family by family."""
    named = {"llm.c", "torchtitan", "litgpt"}  # these give a size or a flavor by name
    for family in family_names():
        assert len(keys_of(family)) >= (1 if family in named else 4), family


def wrong() -> Iterator[tuple[dict[str, Any], str]]:
    """Yield configs that cannot be, each with what its refusal names."""
    for value in ("12", -1, 0, 1.5, True, [12], {"a": 1}, float("inf"), float("nan"), HUGE, 2**31 + 1):
        yield {"model_type": "llama", "hidden_size": value}, "hidden_size"
    yield {"model_type": "llama", "num_hidden_layers": 100_001}, "num_hidden_layers"
    yield {"model_type": "llama", "num_attention_heads": 33}, "num_attention_heads"
    yield {"model_type": "llama", "num_key_value_heads": 5}, "num_key_value_heads"
    yield {"model_type": "llama", "mlp_bias": 1}, "mlp_bias"
    yield {"model_type": "gpt2", "n_head": 7}, "n_head"
    yield {"model_type": "qwen2", "use_sliding_window": True, "layer_types": ["full_attention"]}, "layer_types"
    yield {"model_type": "olmo3", "layer_types": ["chunked_attention"] * 32}, "layer_types"
    yield {"model_type": "gemma3_text", "layer_types": "sliding"}, "layer_types"
    yield {"model_type": "smollm3", "use_sliding_window": True, "no_rope_layers": [1]}, "no_rope_layers"
    yield {"model_type": "exaone4", "sliding_window_pattern": "LLXG"}, "sliding_window_pattern"
    yield {"model_type": "gpt_neo", "attention_types": [[["global", "local"], 5]]}, "attention_types"
    yield {"model_type": "gpt_neo", "attention_types": [[["global"] * 1000, 10**9]]}, "attention_types"
    yield {"model_type": "gpt_neo", "attention_types": "global"}, "attention_types"
    yield {"model_type": "roberta", "max_position_embeddings": 2}, "max_position_embeddings"
    yield {"model_type": "mpt", "expansion_ratio": HUGE}, "expansion_ratio"
    yield {"model_type": "mpt", "expansion_ratio": 0.00001}, "expansion_ratio"
    yield {"model_type": "mpt", "attn_config": {"attn_type": "grouped_query_attention"}}, "kv_n_heads"
    yield {"model_type": "perceiver"}, "perceiver"
    yield {"hidden_size": 64}, "model_type"
    yield {"model_type": HUGE, "text_config": {}}, "model_type"
    yield {"model_type": "gemma3", "text_config": {"model_type": [1]}}, "model_type"
    yield {"model_type": "gemma3", "text_config": {"hidden_size": "wide"}}, "hidden_size"


@pytest.mark.parametrize(("config", "named"), list(wrong()))
def test_what_cannot_be_is_refused_by_name(config: dict[str, Any], named: str) -> None:
    """An impossible value is refused in a message that names its key."""
    with pytest.raises(BadConfig, match=named):
        build(config)


def test_published_configs_are_what_their_families_read() -> None:
    """Every key typed in for a published model is one that its builder looks up: none is decoration, or misspelt."""
    for name, (config, _total) in PUBLISHED.items():
        asked: set[str] = set()
        build(Asked(config, asked))
        assert config.keys() <= asked, name
