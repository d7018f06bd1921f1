"""GPT-2 and what nanoGPT makes of it."""

from __future__ import annotations

from ..blueprint import Attention, Block, Linear, Mlp, Model, Norm, Stack, Table
from ..registry import family
from ..settings import Settings
from .shared import activation_of

__all__ = ["gpt2"]


@family("gpt2")
def gpt2(config: Settings) -> Model:
    """Draw GPT-2: learned positions, one fused projection for queries, keys and values, a tied head.

    ``bias`` (nanoGPT's key; True in GPT-2) switches the biases of matrices and norms together. The activation is nanoGPT's,
    one operation, where ``activation_function`` does not name another: transformers writes ``gelu_new`` into every config.

    References
    ----------
    Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; transformers ``GPT2Config``;
    karpathy/nanoGPT ``model.py`` (3adf61e).
    """
    d = config.whole("n_embd", "hidden_size", default=768)
    n_layer = config.whole("n_layer", "num_hidden_layers", default=12)
    n_head = config.whole("n_head", "num_attention_heads", default=12)
    context = config.whole("n_positions", "max_position_embeddings", "block_size", default=1024)
    vocab = config.whole("vocab_size", default=50257)
    d_ff = config.whole("n_inner", "intermediate_size", default=4 * d)
    bias = config.flag("bias", default=True)
    tied = config.flag("tie_word_embeddings", default=True)
    head_dim = config.divided(d, n_head, "n_embd by n_head")
    act = activation_of(config, "activation_function", default="gelu")
    norm = Norm(d, bias=bias)
    attention = Attention(
        n_head, n_head, head_dim, head_dim, (Linear("c_attn", d, 3 * d, bias), Linear("c_proj", d, d, bias))
    )
    mlp = Mlp(d_ff, False, (Linear("c_fc", d, d_ff, bias), Linear("c_proj", d_ff, d, bias)), act)
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=context,
        tables=(Table("embedding", vocab, d), Table("position", context, d)),
        stacks=(Stack(Block(attention, mlp, (norm, norm)), n_layer),),
        norms=(norm,),
        head=Linear("lm_head", d, vocab),
        tied=tied,
    )
