"""What families of mixtures, state-space models and hybrids have in common; nothing is registered here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from ...errors import BadConfig
from ..blueprint import Attention, Block, Experts, Linear, Mlp, Model, Norm, Ssm, Stack, Table, Vector
from ..settings import MAX_LAYERS, MAX_SIZE, Settings, shown

__all__ = [
    "Shape",
    "active_experts",
    "causal_lm",
    "gated",
    "layer_names",
    "layer_numbers",
    "mamba2",
    "mixture",
    "optional",
    "projected",
    "read_shape",
    "rms",
    "stacked",
]

K = TypeVar("K", bound=Hashable)
_LEGACY_LAYERS = {"mamba": "linear_attention", "attention": "full_attention"}
"""Names of layers in older configs (transformers ``configuration_utils.remap_legacy_layer_types``)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that nearly every decoder has."""

    d: int
    n_layer: int
    n_head: int
    n_kv: int
    head_dim: int
    vocab: int
    context: int | None
    tied: bool
    activation: str


def optional(config: Settings, name: str, default: int | None, *, least: int = 1, most: int = MAX_SIZE) -> int | None:
    """Return a size, the default where the key is absent, and None where its value is null."""
    if config.is_null(name):
        return None
    found = config.whole_or_none(name, least=least, most=most)
    return default if found is None else found


def read_shape(
    config: Settings,
    *,
    d: int,
    n_layer: int,
    n_head: int,
    vocab: int,
    n_kv: int | None = None,
    head_dim: int | None = None,
    context: int | None = None,
    uneven: bool = False,
) -> Shape:
    """Return the shape that transformers' keys give, with a family's defaults.

    Parameters
    ----------
    n_kv, head_dim : int or None
        The family's defaults; None for as many as query heads, and for the width over the heads.
    uneven : bool
        Whether the heads may leave a remainder of the width, as in the family's own defaults.

    Raises
    ------
    BadConfig
        When a size is impossible, or the heads do not divide what they share.
    """
    d = config.whole("hidden_size", default=d)
    n_head = config.whole("num_attention_heads", default=n_head)
    n_kv = optional(config, "num_key_value_heads", n_kv) or n_head
    config.divided(n_head, n_kv, "num_attention_heads by num_key_value_heads")
    head_dim = optional(config, "head_dim", head_dim) or (uneven and d // n_head)
    return Shape(
        d=d,
        n_layer=config.whole("num_hidden_layers", default=n_layer, most=MAX_LAYERS),
        n_head=n_head,
        n_kv=n_kv,
        head_dim=head_dim or config.divided(d, n_head, "hidden_size by num_attention_heads"),
        vocab=config.whole("vocab_size", default=vocab),
        context=config.whole_or_none("max_position_embeddings") or context,
        tied=config.flag("tie_word_embeddings", default=False),
        activation=config.text("hidden_act", default="silu"),
    )


def rms(width: int, *, gain: bool = True) -> Norm:
    """Return an RMSNorm as transformers writes it out, in several operations."""
    return Norm(width, "rms", gain=gain, fused=False)


def projected(
    shape: Shape,
    *,
    bias: bool = False,
    out_bias: bool | None = None,
    window: int | None = None,
    norms: tuple[Norm, ...] = (),
    vectors: tuple[Vector, ...] = (),
    gated: bool = False,
) -> Attention:
    """Draw attention with a projection each for queries, keys, values and output.

    Parameters
    ----------
    bias, out_bias : bool
        Of the first three, and of the last where it differs.
    gated : bool
        The query projection also gives a gate for the output, and is twice as wide.
    """
    queries, keys = shape.n_head * shape.head_dim, shape.n_kv * shape.head_dim
    return Attention(
        *(shape.n_head, shape.n_kv, shape.head_dim, shape.head_dim),
        (
            Linear("q_proj", shape.d, queries * (2 if gated else 1), bias),
            Linear("k_proj", shape.d, keys, bias),
            Linear("v_proj", shape.d, keys, bias),
            Linear("o_proj", queries, shape.d, bias if out_bias is None else out_bias),
        ),
        norms=norms,
        vectors=vectors,
        window=window,
    )


def gated(d: int, d_ff: int, activation: str = "silu", *, bias: bool = False) -> Mlp:
    """Draw a gated feed-forward part with its three matrices apart."""
    return Mlp(
        *(d_ff, True),
        (
            Linear("gate_proj", d, d_ff, bias),
            Linear("up_proj", d, d_ff, bias),
            Linear("down_proj", d_ff, d, bias),
        ),
        activation,
    )


def active_experts(config: Settings, name: str, count: int, default: int | None = None) -> int:
    """Return the experts that a token passes.

    Raises
    ------
    BadConfig
        When they are more than there are.
    """
    active = config.whole(name, default=default)
    if active > count:
        raise BadConfig(f"{name} is larger than the number of experts", expected=f"at most {count}", found=str(active))
    return active


def stacked(kinds: Iterable[K], draw: Callable[[K], Block]) -> tuple[Stack, ...]:
    """Draw each kind of layer once, and say how many there are of it.

    Parameters
    ----------
    kinds : iterable
        What tells layers apart, one entry for each layer.
    draw : callable
        Draws a layer of a kind.
    """
    return tuple(Stack(draw(kind), count) for kind, count in Counter(kinds).items())


def layer_names(config: Settings, name: str, n_layer: int, known: Collection[str]) -> list[str] | None:
    """Return the kind of every layer from a list in the config, or None where there is none.

    Raises
    ------
    BadConfig
        When it is no list, not as long as there are layers, or names a kind that the family does not have.
    """
    found = _list(config, name)
    if found is None:
        return None
    kinds = [_LEGACY_LAYERS.get(kind, kind) if isinstance(kind, str) else kind for kind in found]
    unknown = [kind for kind in kinds if kind not in tuple(known)]
    if unknown:
        raise BadConfig(f"{name} has an unknown layer", expected=" or ".join(known), found=shown(unknown[0]))
    if len(kinds) != n_layer:
        raise BadConfig(f"{name} is not as long as there are layers", expected=str(n_layer), found=str(len(kinds)))
    return kinds


def layer_numbers(config: Settings, name: str) -> frozenset[int] | None:
    """Return the layers that a list in the config names by number, or None where there is none.

    Raises
    ------
    BadConfig
        When it is no list of whole numbers.
    """
    found = _list(config, name)
    if found is None:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int) for value in found):
        raise BadConfig(f"{name} does not number layers", expected="whole numbers", found=shown(found))
    return frozenset(found)


def _list(config: Settings, name: str) -> list[Any] | None:
    found = config.list(name)
    if found is None and name in config:
        raise BadConfig(f"{name} is no list", expected="a list", found=shown(config.raw(name)))
    if found is not None and len(found) > MAX_LAYERS:
        raise BadConfig(f"{name} is longer than any model", expected=f"at most {MAX_LAYERS} layers")
    return found


def mamba2(
    d: int,
    *,
    n_head: int,
    head_dim: int,
    d_state: int,
    n_groups: int,
    chunk: int,
    conv_width: int,
    bias: bool,
    conv_bias: bool,
) -> Ssm:
    """Draw a Mamba-2 mixer as transformers builds it in all its families.

    References
    ----------
    Dao and Gu 2024, "Transformers are SSMs", arXiv:2405.21060; transformers ``Mamba2Mixer``.
    """
    inner = n_head * head_dim
    channels = inner + 2 * n_groups * d_state
    return Ssm(
        *(n_head, head_dim, d_state, n_groups, chunk, conv_width, channels),
        (Linear("in_proj", d, inner + channels + n_head, bias), Linear("out_proj", inner, d, bias)),
        norms=(rms(inner),),
        vectors=(
            Vector("conv1d", channels * (conv_width + int(conv_bias))),
            Vector("dt_bias", n_head),
            Vector("A_log", n_head),
            Vector("D", n_head),
        ),
    )


def causal_lm(
    config: Settings, shape: Shape, stacks: tuple[Stack, ...], norm: Norm, *, head_bias: bool = False
) -> Model:
    """Put layers between a token table and a head, with one norm before the head."""
    return Model(
        family=config.family,
        d_model=shape.d,
        vocab_size=shape.vocab,
        context=shape.context,
        tables=(Table("embedding", shape.vocab, shape.d),),
        stacks=stacks,
        norms=(norm,),
        head=Linear("lm_head", shape.d, shape.vocab, head_bias),
        tied=shape.tied,
    )


def mixture(
    d: int,
    count: int,
    active: int,
    d_ff: int,
    activation: str = "silu",
    *,
    gate: str = "gate",
    shared: Mlp | None = None,
) -> Experts:
    """Draw experts of gated feed-forward parts without biases."""
    return Experts(count, active, gated(d, d_ff, activation), Linear(gate, d, count), shared=shared)
