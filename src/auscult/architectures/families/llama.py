"""Llama 1 to 3 and the families that keep its parts: RMSNorm, rotary positions, grouped heads, a gated MLP."""

from __future__ import annotations

from ..blueprint import Attention, Block, Linear, Mlp, Model, Norm, Stack, Table
from ..registry import family
from ..settings import Settings

__all__ = ["llama"]


@family("llama", "mistral")
def llama(config: Settings) -> Model:
    """Draw Llama.

    References
    ----------
    Touvron et al. 2023, arXiv:2302.13971; Grattafiori et al. 2024, arXiv:2407.21783; transformers ``LlamaConfig``.
    """
    d = config.whole("hidden_size", default=4096)
    n_layer = config.whole("num_hidden_layers", default=32)
    n_head = config.whole("num_attention_heads", default=32)
    n_kv = config.whole("num_key_value_heads", default=8 if config.family == "mistral" else n_head)
    d_ff = config.whole("intermediate_size", default=14336 if config.family == "mistral" else 11008)
    vocab = config.whole("vocab_size", default=32000)
    head = config.whole_or_none("head_dim") or config.divided(d, n_head, "hidden_size by num_attention_heads")
    bias = config.flag("attention_bias", default=False)
    mlp_bias = config.flag("mlp_bias", default=False)
    window = config.whole_or_none("sliding_window") if config.family == "mistral" else None
    norm = Norm(d, "rms", fused=False)
    attention = Attention(
        *(n_head, n_kv, head, head),
        (
            Linear("q_proj", d, n_head * head, bias),
            Linear("k_proj", d, n_kv * head, bias),
            Linear("v_proj", d, n_kv * head, bias),
            Linear("o_proj", n_head * head, d, bias),
        ),
        window=window,
    )
    mlp = Mlp(
        *(d_ff, True),
        (
            Linear("gate_proj", d, d_ff, mlp_bias),
            Linear("up_proj", d, d_ff, mlp_bias),
            Linear("down_proj", d_ff, d, mlp_bias),
        ),
        "silu",
    )
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=config.whole_or_none("max_position_embeddings"),
        tables=(Table("embedding", vocab, d),),
        stacks=(Stack(Block(attention, mlp, (norm, norm)), n_layer),),
        norms=(norm,),
        head=Linear("lm_head", d, vocab),
        tied=config.flag("tie_word_embeddings", default=False),
    )
