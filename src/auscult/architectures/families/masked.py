"""Masked language models: BERT, RoBERTa, DistilBERT and ModernBERT, with the head that predicts the masked tokens."""

from __future__ import annotations

from ..blueprint import Block, Linear, Mlp, Model, Norm, Stack, Table
from ..registry import family
from ..settings import Settings
from .shared import Heads, attention, plain_mlp

__all__ = ["bert", "distilbert", "modernbert"]


def _heads(config: Settings, d: int, n_head: int) -> Heads:
    return Heads(n_head, n_head, config.divided(d, n_head, "the width by the heads"))


@family("bert", "roberta", "xlm-roberta", "camembert")
def bert(config: Settings) -> Model:
    """Draw BERT and RoBERTa as masked language models: no pooler, the head tied to the token table, with a bias of its own.

    RoBERTa's position table holds two rows more than the sequences it takes (514 for 512); ``max_position_embeddings`` counts
    them.

    References
    ----------
    Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692; transformers 5 ``modeling_bert.py``.
    """
    d = config.whole("hidden_size", default=768)
    heads = _heads(config, d, config.whole("num_attention_heads", default=12))
    d_ff = config.whole("intermediate_size", default=3072)
    vocab = config.whole("vocab_size", default=50265 if config.family == "roberta" else 30522)
    positions = config.whole("max_position_embeddings", default=512)
    types = config.whole("type_vocab_size", default=2)
    norm = Norm(d, bias=True)
    linears = tuple(Linear(name, d, d, True) for name in ("query", "key", "value", "dense"))
    mlp = plain_mlp(d, d_ff, "gelu", ("dense", "dense"), bias=True)
    block = Block(attention(heads, linears, causal=False), mlp, (norm, norm))
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=positions,
        tables=(Table("embedding", vocab, d), Table("position", positions, d), Table("other", types, d)),
        stacks=(Stack(block, config.whole("num_hidden_layers", default=12)),),
        norms=(norm, norm),
        head=Linear("decoder", d, vocab, True),
        tied=config.flag("tie_word_embeddings", default=True),
        linears=(Linear("dense", d, d, True),),
    )


@family("distilbert")
def distilbert(config: Settings) -> Model:
    """Draw DistilBERT as a masked language model.

    References
    ----------
    Sanh et al. 2019, arXiv:1910.01108; transformers 5 ``modeling_distilbert.py``.
    """
    d = config.whole("dim", "hidden_size", default=768)
    heads = _heads(config, d, config.whole("n_heads", "num_attention_heads", default=12))
    vocab = config.whole("vocab_size", default=30522)
    positions = config.whole("max_position_embeddings", default=512)
    norm = Norm(d, bias=True)
    linears = tuple(Linear(name, d, d, True) for name in ("q_lin", "k_lin", "v_lin", "out_lin"))
    mlp = plain_mlp(d, config.whole("hidden_dim", default=3072), "gelu", ("lin1", "lin2"), bias=True)
    block = Block(attention(heads, linears, causal=False), mlp, (norm, norm))
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=positions,
        tables=(Table("embedding", vocab, d), Table("position", positions, d)),
        stacks=(Stack(block, config.whole("n_layers", "num_hidden_layers", default=6)),),
        norms=(norm, norm),
        head=Linear("vocab_projector", d, vocab, True),
        tied=config.flag("tie_word_embeddings", default=True),
        linears=(Linear("vocab_transform", d, d, True),),
    )


@family("modernbert")
def modernbert(config: Settings) -> Model:
    """Draw ModernBERT as a masked language model: every third layer sees everything, the others 128 tokens around each.

    References
    ----------
    Warner et al. 2024, arXiv:2412.13663; transformers 5 ``modeling_modernbert.py``. The first layer has no norm before
    its attention: the norm of the embedding stands there.
    """
    d = config.whole("hidden_size", default=768)
    heads = _heads(config, d, config.whole("num_attention_heads", default=12))
    d_ff = config.whole("intermediate_size", default=1152)
    vocab = config.whole("vocab_size", default=50368)
    n_layer = config.whole("num_hidden_layers", default=22)
    every = config.whole("global_attn_every_n_layers", default=3)
    local = config.whole("local_attention", default=128)
    attention_bias, mlp_bias = config.flag("attention_bias", default=False), config.flag("mlp_bias", default=False)
    norm = Norm(d, bias=config.flag("norm_bias", default=False))
    linears = (Linear("Wqkv", d, 3 * d, attention_bias), Linear("Wo", d, d, attention_bias))
    mlp = Mlp(d_ff, True, (Linear("Wi", d, 2 * d_ff, mlp_bias), Linear("Wo", d_ff, d, mlp_bias)), "gelu")
    kinds = config.list("layer_types") or [
        "sliding_attention" if index % every else "full_attention" for index in range(n_layer)
    ]
    windowed = sum(kind == "sliding_attention" for kind in kinds[1:n_layer])
    first = local if kinds[0] == "sliding_attention" else None

    def block(window: int | None, norms: int) -> Block:
        return Block(attention(heads, linears, window=window, causal=False), mlp, (norm,) * norms)

    counted = ((block(first, 1), 1), (block(None, 2), n_layer - 1 - windowed), (block(local, 2), windowed))
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=config.whole("max_position_embeddings", default=8192),
        tables=(Table("embedding", vocab, d),),
        stacks=tuple(Stack(one, count) for one, count in counted if count > 0),
        norms=(norm, norm, norm),
        head=Linear("decoder", d, vocab, config.flag("decoder_bias", default=True)),
        tied=config.flag("tie_word_embeddings", default=True),
        linears=(Linear("dense", d, d, config.flag("classifier_bias", default=False)),),
    )
