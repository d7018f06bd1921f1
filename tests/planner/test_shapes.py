"""Shapes for a size: counted exactly, aligned, in published proportions; published shapes against their cards' counts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.architectures import build, family_names
from auscult.errors import UsageError
from auscult.facts.parameters import count_parameters
from auscult.planner.shapes import (
    SLIMMEST,
    WIDEST,
    family_choices,
    like,
    pad_vocabulary,
    published_names,
    shapes_for,
)

DRAWN = [name for name in family_choices() if name in family_names()]
CARDS = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "tinyllama-1.1b": 1_100_048_384,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "mistral-7b": 7_241_732_096,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-8b": 8_190_735_360,
}
"""Parameters as the safetensors of the hub count them (Pythia: table 1 of arXiv:2304.01373)."""


def size_of(config: Mapping[str, Any]) -> int:
    return count_parameters(build(config)).total


def width_and_layers(config: Mapping[str, Any]) -> tuple[int, int]:
    return config.get("n_embd") or config["hidden_size"], config.get("n_layer") or config["num_hidden_layers"]


@pytest.mark.parametrize(("name", "parameters"), CARDS.items())
def test_published_shapes_have_their_cards_counts(name: str, parameters: int) -> None:
    """Every digit, for the families whose blueprint is known."""
    if like(name)["model_type"] not in family_names():
        pytest.skip(f"no blueprint of {like(name)['model_type']} yet")
    assert size_of(like(name)) == parameters


@pytest.mark.parametrize("family", DRAWN)
@given(size=st.floats(7.5, 11.5), vocab=st.integers(100, 60_000), context=st.sampled_from([256, 1024, 4096]))
def test_the_size_is_met(family: str, size: float, vocab: int, context: int) -> None:
    """From 30M to 300B parameters the first shape is within 5 % wherever the table is not most of the model."""
    wanted = round(10**size)
    found = shapes_for(wanted, family=family, vocab_size=vocab, context=context)
    assert found
    model = build(found[0])
    assert model.vocab_size == pad_vocabulary(vocab)
    assert model.context == context
    if pad_vocabulary(vocab) * 64 < wanted / 50:
        assert size_of(found[0]) == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("family", DRAWN)
@given(size=st.floats(6, 12))
def test_shapes_are_aligned_and_of_known_proportions(family: str, size: float) -> None:
    """Widths in whole tiles, heads that divide them, width over layers within what was published; no shape twice."""
    found = shapes_for(round(10**size), family=family)
    assert len({width_and_layers(config) for config in found}) == len(found)
    for config in found:
        width, layers = width_and_layers(config)
        heads = config.get("n_head") or config["num_attention_heads"]
        assert width % 64 == 0
        assert width % heads == 0
        assert config["vocab_size"] % 64 == 0
        assert SLIMMEST <= width / layers <= WIDEST
        assert all(attention.qk_dim >= 64 for attention, _count in build(config).attentions)


@pytest.mark.parametrize(
    ("wanted", "family", "shape"),
    [
        (124_000_000, "gpt2", (768, 12)),
        (350_000_000, "gpt2", (1024, 24)),
        (774_000_000, "gpt2", (1280, 36)),
        (8_000_000_000, "llama", (4096, 32)),
    ],
)
def test_a_published_shape_comes_first(wanted: int, family: str, shape: tuple[int, int]) -> None:
    """A size that a published model has within 3 % gets that model's shape."""
    vocab = 128_256 if family == "llama" else None
    assert width_and_layers(shapes_for(wanted, family=family, vocab_size=vocab)[0]) == shape


def test_a_table_larger_than_the_size_gives_the_smallest_model() -> None:
    """A million parameters with 50,304 tokens cannot be had: the smallest model comes back, and its count says so."""
    found = shapes_for(1_000_000)
    assert width_and_layers(found[0]) == (64, 1)
    assert size_of(found[0]) > 3_000_000


def test_shapes_are_found_quickly() -> None:
    """A planner calls it dozens of times: 20 ms for a first call, far less for the next."""
    shapes_for(10**9)
    start = time.perf_counter()
    for size in range(10):
        shapes_for(10**9 + size * 10**8)
    assert (time.perf_counter() - start) / 10 < 0.02


@pytest.mark.parametrize(
    "written",
    ["gpt2-medium", "GPT2-Medium", "openai-community/gpt2-medium", "gpt2 medium", "gpt2_medium"],
)
def test_names_are_known_as_people_write_them(written: str) -> None:
    """Owner, case and the marks between words do not count."""
    assert like(written) == like("gpt2-medium")


def test_names_differ_where_models_do() -> None:
    """Dots count, so that 1.4b is not 14b; and no two names are one."""
    assert like("pythia-1.4b-deduped") == like("pythia-1.4b")
    with pytest.raises(UsageError, match=r"pythia-1\.4b"):
        like("pythia-14b")
    assert all(like(name.upper()) == like(name) for name in published_names())


def test_a_near_miss_is_suggested() -> None:
    """A name that is no model's gets the nearest; nonsense gets the list."""
    with pytest.raises(UsageError, match=r"did you mean.*llama-3\.2-1b"):
        like("lama3.2-1b")
    with pytest.raises(UsageError, match="known are gpt2"):
        like("¿")


def test_what_cannot_be_drawn_is_refused() -> None:
    """An unknown family names those there are; sizes out of all proportion are refused."""
    with pytest.raises(UsageError, match="gpt2, gpt_neox, llama"):
        shapes_for(10**8, family="rnn")
    for size in (0, -5, 10**14):
        with pytest.raises(UsageError, match="expected a model"):
            shapes_for(size)
