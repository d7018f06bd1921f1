"""The first GPT of OpenAI, which norms after each part."""

from __future__ import annotations

from ..blueprint import Block, Linear, Model, Norm, Table
from ..registry import family
from ..settings import Settings
from .shared import Heads, activation_of, attention, decoder, plain_mlp, stacks

__all__ = ["openai_gpt"]

_ACTIVATIONS = {"gelu": "gelu_new"}
"""What its own table of functions calls ``gelu`` is written out (``modeling_openai.py`` ``ACT_FNS``)."""


@family("openai-gpt")
def openai_gpt(config: Settings) -> Model:
    """Draw GPT-1: GPT-2's parts, norms after attention and MLP, none before the head.

    References
    ----------
    Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training"; transformers 5 ``modeling_openai.py``.
    """
    d = config.whole("n_embd", "hidden_size", default=768)
    n_head = config.whole("n_head", "num_attention_heads", default=12)
    heads = Heads(n_head, n_head, config.divided(d, n_head, "n_embd by n_head"))
    context = config.whole("n_positions", "max_position_embeddings", default=512)
    named = activation_of(config, "afn", default="gelu")
    norm = Norm(d, bias=True)
    mixer = attention(heads, (Linear("c_attn", d, 3 * d, True), Linear("c_proj", d, d, True)))
    mlp = plain_mlp(d, 4 * d, _ACTIVATIONS.get(named, named), ("c_fc", "c_proj"), bias=True)
    n_layer = config.whole("n_layer", "num_hidden_layers", default=12)
    return decoder(
        config,
        d_model=d,
        vocab_size=config.whole("vocab_size", default=40478),
        layers=stacks(n_layer, 0, lambda _s: Block(mixer, mlp, (norm, norm))),
        final=(),
        tied=True,
        tables=(Table("position", context, d),),
        context=context,
    )
