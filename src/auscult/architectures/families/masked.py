"""Masked language models: BERT, RoBERTa, ELECTRA, DistilBERT, EuroBERT and ModernBERT, with the head that predicts the masked tokens."""

from __future__ import annotations

from ...errors import BadConfig
from ..blueprint import Block, Linear, Mlp, Model, Norm, Stack, Table, Vector
from ..registry import family
from ..settings import Settings
from .parts import layer_names
from .shared import Heads, activation_of, attention, decoder, gated_mlp, heads_of, plain_mlp, projections

__all__ = ["bert", "distilbert", "electra", "eurobert", "modernbert"]

_ROBERTA = ("roberta", "xlm-roberta", "camembert")


def _heads(config: Settings, d: int, n_head: int) -> Heads:
    return Heads(n_head, n_head, config.divided(d, n_head, "the width by the heads"))


@family("bert", *_ROBERTA)
def bert(config: Settings) -> Model:
    """Draw BERT and RoBERTa as masked language models: no pooler, the head tied to the token table, with a bias of its own.

    RoBERTa numbers positions from the padding token's number on: ``max_position_embeddings`` counts the rows of the table,
    two more than the longest sequence (514 for 512). Untied, transformers holds the bias of the head twice.

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
    mlp = plain_mlp(d, d_ff, activation_of(config, "hidden_act", default="gelu"), ("dense", "dense"), bias=True)
    block = Block(attention(heads, linears, causal=False), mlp, (norm, norm))
    tied = config.flag("tie_word_embeddings", default=True)
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=_longest(config, positions),
        tables=(Table("embedding", vocab, d), Table("position", positions, d), Table("other", types, d)),
        stacks=(Stack(block, config.whole("num_hidden_layers", default=12)),),
        norms=(norm, norm),
        head=Linear("decoder", d, vocab, True),
        tied=tied,
        linears=(Linear("dense", d, d, True),),
        vectors=() if tied else (Vector("bias", vocab),),
    )


def _longest(config: Settings, positions: int) -> int:
    """Return the longest sequence that a table of positions serves."""
    if config.family not in _ROBERTA:
        return positions
    padding = config.whole("pad_token_id", default=1, least=0)
    if positions < padding + 2:
        raise BadConfig(
            "max_position_embeddings leaves no position after the padding token's",
            expected=f"more than {padding + 1}",
            found=str(positions),
        )
    return positions - padding - 1


@family("electra")
def electra(config: Settings) -> Model:
    """Draw ELECTRA's generator, a BERT whose embedding may be narrower than its layers.

    The discriminator, which is what most checkpoints hold, has the same layers and another head.

    References
    ----------
    Clark et al. 2020, arXiv:2003.10555; transformers 5 ``modeling_electra.py`` ``ElectraForMaskedLM``.
    """
    d = config.whole("hidden_size", default=256)
    narrow = config.whole("embedding_size", default=128)
    heads = _heads(config, d, config.whole("num_attention_heads", default=4))
    d_ff = config.whole("intermediate_size", default=1024)
    vocab = config.whole("vocab_size", default=30522)
    positions = config.whole("max_position_embeddings", default=512)
    types = config.whole("type_vocab_size", default=2)
    norm, of_embedding = Norm(d, bias=True), Norm(narrow, bias=True)
    linears = tuple(Linear(name, d, d, True) for name in ("query", "key", "value", "dense"))
    mlp = plain_mlp(d, d_ff, activation_of(config, "hidden_act", default="gelu"), ("dense", "dense"), bias=True)
    block = Block(attention(heads, linears, causal=False), mlp, (norm, norm))
    widened = (Linear("embeddings_project", narrow, d, True),) if narrow != d else ()
    return Model(
        family=config.family,
        d_model=d,
        vocab_size=vocab,
        context=positions,
        tables=(Table("embedding", vocab, narrow), Table("position", positions, narrow), Table("other", types, narrow)),
        stacks=(Stack(block, config.whole("num_hidden_layers", default=12)),),
        norms=(of_embedding, of_embedding),
        head=Linear("generator_lm_head", narrow, vocab, True),
        tied=config.flag("tie_word_embeddings", default=True),
        linears=(*widened, Linear("dense", d, narrow, True)),
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
    d_ff = config.whole("hidden_dim", default=3072)
    linears = tuple(Linear(name, d, d, True) for name in ("q_lin", "k_lin", "v_lin", "out_lin"))
    mlp = plain_mlp(d, d_ff, activation_of(config, "activation", default="gelu"), ("lin1", "lin2"), bias=True)
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


@family("eurobert")
def eurobert(config: Settings) -> Model:
    """Draw EuroBERT: Llama's parts, every token seeing all others, a head of its own.

    References
    ----------
    Boizard et al. 2025, arXiv:2503.05500; transformers 5 ``modeling_eurobert.py``.
    """
    d = config.whole("hidden_size", default=768)
    heads = heads_of(config, d, n_head=12)
    bias, mlp_bias = config.flag("attention_bias", default=False), config.flag("mlp_bias", default=False)
    norm = Norm(d, "rms", fused=False)
    mixer = attention(heads, projections(d, heads, bias=bias, out_bias=bias), causal=False)
    act = activation_of(config, "hidden_act", default="silu")
    mlp = gated_mlp(d, config.whole("intermediate_size", default=3072), act, bias=mlp_bias)
    return decoder(
        config,
        d_model=d,
        vocab_size=config.whole("vocab_size", default=128256),
        layers=(Stack(Block(mixer, mlp, (norm, norm)), config.whole("num_hidden_layers", default=12)),),
        final=(norm,),
        tied=False,
        head_bias=mlp_bias,
    )


@family("modernbert")
def modernbert(config: Settings) -> Model:
    """Draw ModernBERT as a masked language model: every third layer sees everything, the others 64 tokens to either side.

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
    local = config.whole("local_attention", default=128) // 2 * 2 + 1  # half of it to either side, and the token itself
    attention_bias, mlp_bias = config.flag("attention_bias", default=False), config.flag("mlp_bias", default=False)
    norm = Norm(d, bias=config.flag("norm_bias", default=False))
    linears = (Linear("Wqkv", d, 3 * d, attention_bias), Linear("Wo", d, d, attention_bias))
    act = activation_of(config, "hidden_activation", default="gelu")
    mlp = Mlp(d_ff, True, (Linear("Wi", d, 2 * d_ff, mlp_bias), Linear("Wo", d_ff, d, mlp_bias)), act)
    kinds = layer_names(config, "layer_types", n_layer, ("full_attention", "sliding_attention")) or [
        "sliding_attention" if index % every else "full_attention" for index in range(n_layer)
    ]
    windowed = kinds[1:].count("sliding_attention")
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
