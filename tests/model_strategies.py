"""Models of random shapes for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from auscult.architectures import Model, build

__all__ = ["models"]


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Draw a GPT-2 or a Llama with heads of 64 or 128, from one head to thirty-two."""
    heads, layers = draw(st.integers(1, 32)), draw(st.integers(1, 48))
    if draw(st.booleans()):
        return build(
            {"model_type": "gpt2", "n_layer": layers, "n_head": heads, "n_embd": 64 * heads, "n_positions": 4096}
        )
    return build(
        {
            "model_type": "llama",
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "hidden_size": 128 * heads,
            "intermediate_size": 256 * heads,
            "vocab_size": draw(st.sampled_from((32_000, 128_256))),
        }
    )
