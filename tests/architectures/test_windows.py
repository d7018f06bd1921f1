"""Who sees whom: the attention that transformers computes, layer by layer, against the blueprint's."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from transformers import AutoConfig

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


def drawn_windows(config: dict[str, Any]) -> Counter[int | None]:
    """Count the layers of a blueprint by their windows."""
    found: Counter[int | None] = Counter()
    for attention, layers in build(config).attentions:
        found[attention.window] += layers
    return found


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
    windows = {window for number in range(6) for window in drawn_windows(drawn(family, number))}
    assert None in windows
    assert (len(windows) > 1) == (family in WINDOWED)


@pytest.mark.parametrize("family", sorted(WINDOWED - {"gpt_neo", "modernbert"}))
def test_default_windows_are_those_of_transformers(family: str) -> None:
    """A config that names only its family has as many layers with windows, and as wide ones, as transformers' default."""
    made = AutoConfig.for_model(family)
    kinds = getattr(made, "layer_types", None) or ["sliding_attention"] * made.num_hidden_layers
    expected = Counter(made.sliding_window if kind == "sliding_attention" else None for kind in kinds)
    assert drawn_windows({"model_type": family}) == expected


def test_default_windows_that_are_counted_otherwise() -> None:
    """GPT-Neo's layers attend to 256 tokens in turn; ModernBERT's to 64 on either side in two of three."""
    assert drawn_windows({"model_type": "gpt_neo"}) == {None: 12, 256: 12}
    assert drawn_windows({"model_type": "modernbert"}) == {None: 8, 129: 14}


@pytest.mark.parametrize(("pattern", "sliding"), [("LLLG", 24), ("LG", 16), ("G", 0), (4, 24), (None, 24)], ids=str)
def test_exaone_spells_its_pattern(pattern: object, sliding: int) -> None:
    """EXAONE 4's pattern of 32 layers is a number or letters, of which L is local."""
    assert drawn_windows({"model_type": "exaone4", "sliding_window_pattern": pattern})[4096] == sliding


@pytest.mark.parametrize(
    "family", ["mistral", "ministral", "gemma2", "gemma3_text", "olmo3", "cohere2", "exaone4", "cwm", "qwen2"]
)
def test_no_window_where_the_config_says_null(family: str) -> None:
    """A null window leaves every layer whole, whatever pattern the family has."""
    wanted = {"use_sliding_window": True, "max_window_layers": 0} if family == "qwen2" else {}
    assert drawn_windows({"model_type": family, **wanted}).keys() != {None}
    assert drawn_windows({"model_type": family, **wanted, "sliding_window": None}).keys() == {None}
