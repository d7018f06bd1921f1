"""What the builders of several families share: projections, gated parts, and which layers see a window only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..blueprint import Attention, Block, Linear, Mlp, Model, Norm, Stack, Table, Vector
from ..settings import Settings
from .parts import layer_names, optional

__all__ = [
    "Heads",
    "activation_of",
    "attention",
    "decoder",
    "gated_mlp",
    "heads_of",
    "plain_mlp",
    "projections",
    "stacks",
    "windowed_layers",
]


_ACTIVATIONS = {"gelu_pytorch_tanh": "gelu_tanh", "swish": "silu"}
"""transformers' names (``activations.py`` ``ACT2CLS``) of functions that blueprints call otherwise."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Query heads, key and value heads, and the width of one."""

    n_head: int
    n_kv_head: int
    width: int

    @property
    def query(self) -> int:
        """Width of all query heads."""
        return self.n_head * self.width

    @property
    def key(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.n_kv_head * self.width


def heads_of(
    config: Settings, d_model: int, *, n_head: int, n_kv_head: int | None = None, width: int | None = None
) -> Heads:
    """Return the heads that a config gives, else the family's defaults.

    Null is no default: it asks for as many key and value heads as query heads, and for heads that share d_model evenly.
    """
    heads = config.whole("num_attention_heads", default=n_head)
    kv = optional(config, "num_key_value_heads", n_kv_head) or heads
    each = optional(config, "head_dim", width) or config.divided(d_model, heads, "hidden_size by num_attention_heads")
    config.divided(heads, kv, "num_attention_heads by num_key_value_heads")
    return Heads(heads, kv, each)


def projections(
    d_model: int, heads: Heads, *, bias: bool = False, out: str = "o_proj", out_bias: bool = False
) -> tuple[Linear, ...]:
    """Return separate projections for queries, keys, values and the output."""
    return (
        Linear("q_proj", d_model, heads.query, bias),
        Linear("k_proj", d_model, heads.key, bias),
        Linear("v_proj", d_model, heads.key, bias),
        Linear(out, heads.query, d_model, out_bias),
    )


def activation_of(config: Settings, *names: str, default: str) -> str:
    """Return the activation that a config names, as blueprints call it.

    transformers' ``gelu_new`` is written out in several operations, ``gelu_pytorch_tanh`` (here ``gelu_tanh``) is one.
    """
    named = config.text(*names, default=default)
    return _ACTIVATIONS.get(named, named)


def gated_mlp(d_model: int, d_ff: int, activation: str, *, bias: bool = False, fused: str | None = None) -> Mlp:
    """Return a gated feed-forward part; ``fused`` names the one matrix that holds gate and up projection."""
    if fused is not None:
        inner: tuple[Linear, ...] = (Linear(fused, d_model, 2 * d_ff, bias),)
    else:
        inner = (Linear("gate_proj", d_model, d_ff, bias), Linear("up_proj", d_model, d_ff, bias))
    return Mlp(d_ff, True, (*inner, Linear("down_proj", d_ff, d_model, bias)), activation)


def plain_mlp(d_model: int, d_ff: int, activation: str, names: tuple[str, str], *, bias: bool) -> Mlp:
    """Return a feed-forward part of two matrices."""
    up, down = names
    return Mlp(d_ff, False, (Linear(up, d_model, d_ff, bias), Linear(down, d_ff, d_model, bias)), activation)


def windowed_layers(config: Settings, n_layer: int, window: int | None, default: Callable[[int], bool]) -> int:
    """Return how many layers see only a window: those that ``layer_types`` calls sliding, else those of the family's pattern.

    None does without a window, whatever a list says.

    Raises
    ------
    BadConfig
        When ``layer_types`` is no list, not as long as there are layers, or names another kind, as transformers refuses it.
    """
    kinds = layer_names(config, "layer_types", n_layer, ("full_attention", "sliding_attention"))
    if window is None:
        return 0
    if kinds is not None:
        return kinds.count("sliding_attention")
    return sum(default(index) for index in range(n_layer))


def stacks(n_layer: int, windowed: int, block: Callable[[bool], Block]) -> tuple[Stack, ...]:
    """Return the layers, those with a window apart from the others."""
    pairs = ((False, n_layer - windowed), (True, windowed))
    return tuple(Stack(block(sliding), count) for sliding, count in pairs if count > 0)


def decoder(
    config: Settings,
    *,
    d_model: int,
    vocab_size: int,
    layers: Sequence[Stack],
    final: Iterable[Norm],
    tied: bool,
    head_bias: bool = False,
    tables: Sequence[Table] = (),
    context: int | None = None,
    linears: tuple[Linear, ...] = (),
    head_in: int | None = None,
    vectors: tuple[Vector, ...] = (),
) -> Model:
    """Put the parts of a decoder together: token table, layers, final norms, output head."""
    width = head_in or d_model
    return Model(
        family=config.family,
        d_model=d_model,
        vocab_size=vocab_size,
        context=context if context is not None else config.whole_or_none("max_position_embeddings"),
        tables=(Table("embedding", vocab_size, width), *tables),
        stacks=tuple(layers),
        norms=tuple(final),
        head=Linear("lm_head", width, vocab_size, head_bias),
        tied=config.flag("tie_word_embeddings", default=tied),
        linears=linears,
        vectors=vectors,
    )


def attention(
    heads: Heads,
    linears: tuple[Linear, ...],
    norms: tuple[Norm, ...] = (),
    window: int | None = None,
    *,
    causal: bool = True,
) -> Attention:
    """Return attention whose queries, keys and values have heads of one width."""
    return Attention(
        heads.n_head, heads.n_kv_head, heads.width, heads.width, linears, norms, window=window, causal=causal
    )
