"""Gemma 1 to 3: tied heads, wide heads of attention, a GeGLU; norms around each part and windows from the second on."""

from __future__ import annotations

from ..blueprint import Block, Model, Norm
from ..registry import family
from ..settings import Settings
from .parts import optional
from .shared import activation_of, attention, decoder, gated_mlp, heads_of, projections, stacks, windowed_layers

__all__ = ["gemma"]


@family("gemma", "gemma2", "gemma3_text")
def gemma(config: Settings) -> Model:
    """Draw Gemma (``gemma``), Gemma 2 (every second layer sees a window) and the text part of Gemma 3 (five of six do).

    References
    ----------
    Gemma team 2024, arXiv:2403.08295 and arXiv:2408.00118; 2025, arXiv:2503.19786; transformers 5 ``modeling_gemma*.py``.
    """
    first = config.family == "gemma"
    d = config.whole("hidden_size", default=3072 if first else 2304)
    n_layer = config.whole("num_hidden_layers", default=28 if first else 26)
    d_ff = config.whole("intermediate_size", default=24576 if first else 9216)
    vocab = config.whole("vocab_size", default=262208 if config.family == "gemma3_text" else 256000)
    heads = heads_of(config, d, n_head=16 if first else 8, n_kv_head=16 if first else 4, width=256)
    bias = config.flag("attention_bias", default=False)
    norm, of_head = Norm(d, "rms", fused=False), Norm(heads.width, "rms", fused=False)
    linears = projections(d, heads, bias=bias, out_bias=bias)
    act = activation_of(config, "hidden_act" if first else "hidden_activation", default="gelu_tanh")
    mlp = gated_mlp(d, d_ff, "gelu_tanh" if first and act == "gelu" else act)  # what old configs of Gemma call gelu
    head_norms = (of_head, of_head) if config.family == "gemma3_text" else ()
    window, windowed = None, 0
    if not first:
        window = optional(config, "sliding_window", 4096)
        pattern = (
            2
            if config.family == "gemma2"
            else config.whole("sliding_window_pattern", "_sliding_window_pattern", default=6)
        )
        windowed = windowed_layers(config, n_layer, window, lambda index: (index + 1) % pattern != 0)

    def block(sliding: bool) -> Block:
        mixer = attention(heads, linears, head_norms, window if sliding else None)
        return Block(mixer, mlp, (norm,) * (2 if first else 4))

    return decoder(
        config, d_model=d, vocab_size=vocab, layers=stacks(n_layer, windowed, block), final=(norm,), tied=True
    )
