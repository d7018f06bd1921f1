"""Who sees whom: the attention that transformers computes, layer by layer, against the blueprint's."""

from __future__ import annotations

from collections import Counter

import pytest

from architectures.dense_draws import DRAW, drawn
from architectures.oracle import seen_by
from auscult.architectures import build

TOKENS = 14
"""Longer than every window that is drawn."""
WINDOWED = frozenset(
    {
        *("gpt_neo", "mistral", "ministral", "ministral3", "cwm", "smollm3", "qwen2", "qwen3", "phi3", "olmo3"),
        *("exaone4", "gemma2", "gemma3_text", "starcoder2", "cohere2", "modernbert"),
    }
)


@pytest.mark.parametrize("family", DRAW)
def test_layers_see_what_they_see_in_transformers(family: str) -> None:
    """As many layers as in the running model have so many heads, see so many tokens at most, and see later ones or not."""
    for number in range(6 if family in WINDOWED else 1):
        config = drawn(family, number)
        ours: Counter[tuple[int, int, bool]] = Counter()
        for attention, layers in build(config).attentions:
            ours[attention.n_head, min(attention.window or TOKENS, TOKENS), not attention.causal] += layers
        assert ours == seen_by(config, TOKENS), config


@pytest.mark.parametrize("family", DRAW)
def test_windows_are_drawn(family: str) -> None:
    """Every family that has windows is compared with layers that have one and layers that have none; others never have one."""
    windows = {a.window for number in range(6) for a, _n in build(drawn(family, number)).attentions}
    assert None in windows
    assert (len(windows) > 1) == (family in WINDOWED)


@pytest.mark.parametrize(("pattern", "sliding"), [("LLLG", 24), ("LG", 16), ("G", 0), (4, 24), (None, 24)], ids=str)
def test_exaone_spells_its_pattern(pattern: object, sliding: int) -> None:
    """EXAONE 4's pattern of 32 layers is a number or letters, of which L is local."""
    model = build({"model_type": "exaone4", "sliding_window_pattern": pattern})
    assert sum(n for a, n in model.attentions if a.window == 4096) == sliding


@pytest.mark.parametrize(
    "family", ["mistral", "ministral", "gemma2", "gemma3_text", "olmo3", "cohere2", "exaone4", "cwm", "qwen2"]
)
def test_no_window_where_the_config_says_null(family: str) -> None:
    """A null window leaves every layer whole, whatever pattern the family has."""
    wanted = {"use_sliding_window": True, "max_window_layers": 0} if family == "qwen2" else {}
    assert {a.window for a, _n in build({"model_type": family, **wanted}).attentions} != {None}
    model = build({"model_type": family, **wanted, "sliding_window": None})
    assert {attention.window for attention, _n in model.attentions} == {None}
