"""What a model is made of, family by family reduced to the same few parts: matrices, norms, tables, attention, experts.

A blueprint says nothing about how the model is trained. Parameters, FLOPs, memory and time are sums over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "Attention",
    "Block",
    "Experts",
    "Linear",
    "Mixer",
    "Mlp",
    "Model",
    "Norm",
    "Ssm",
    "Stack",
    "Table",
    "Vector",
]


@dataclass(frozen=True, slots=True)
class Linear:
    """One matrix multiplication, named as the module of the reference implementation is (``c_attn``, ``q_proj`` …).

    Fused projections are one ``Linear`` where the reference implementation holds one matrix, so that LoRA counts agree.
    """

    name: str
    d_in: int
    d_out: int
    bias: bool = False

    @property
    def weights(self) -> int:
        """Entries of the matrix, without the bias."""
        return self.d_in * self.d_out

    @property
    def parameters(self) -> int:
        """Matrix and bias."""
        return self.weights + (self.d_out if self.bias else 0)


@dataclass(frozen=True, slots=True)
class Norm:
    """A normalisation over ``width`` values; ``gain`` and ``bias`` say whether it learns anything.

    ``fused`` is False for RMSNorms that are written out in several operations (as in transformers' Llama), which save an
    fp32 copy of their input for backward.
    """

    width: int
    kind: Literal["layer", "rms"] = "layer"
    gain: bool = True
    bias: bool = False
    fused: bool = True

    @property
    def parameters(self) -> int:
        """Gain and bias."""
        return self.width * (int(self.gain) + int(self.bias))


@dataclass(frozen=True, slots=True)
class Vector:
    """Learned values that are neither a matrix multiplication nor a norm: sinks, decay rates, convolutions, gates."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is looked up: token embedding, learned positions, token types, value embeddings."""

    kind: Literal["embedding", "position", "other"]
    rows: int
    width: int

    @property
    def parameters(self) -> int:
        """Rows times width."""
        return self.rows * self.width


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax attention of one layer.

    Attributes
    ----------
    n_head, n_kv_head : int
        Query heads, and key/value heads.
    qk_dim, v_dim : int
        Width of a head for queries and keys, and for values (they differ in multi-head latent attention).
    linears : tuple of Linear
        Every projection, output included.
    norms : tuple of Norm
        Of queries, keys or latents, each once per set of weights (a norm shared by all heads has the width of one head).
    window : int or None
        The most tokens a query sees (sliding window); None sees all before it.
    causal : bool
        False in masked language models.
    """

    n_head: int
    n_kv_head: int
    qk_dim: int
    v_dim: int
    linears: tuple[Linear, ...]
    norms: tuple[Norm, ...] = ()
    vectors: tuple[Vector, ...] = ()
    window: int | None = None
    causal: bool = True


@dataclass(frozen=True, slots=True)
class Ssm:
    """A Mamba-2 mixer: projections, a short convolution, and the state-space recurrence.

    ``n_head`` heads of ``head_dim`` with a state of ``d_state`` each, ``n_groups`` groups sharing B and C; the scan works in
    chunks of ``chunk`` tokens. The convolution's weights are among ``vectors``; it has ``conv_width`` taps over
    ``conv_channels`` channels.
    """

    n_head: int
    head_dim: int
    d_state: int
    n_groups: int
    chunk: int
    conv_width: int
    conv_channels: int
    linears: tuple[Linear, ...]
    norms: tuple[Norm, ...] = ()
    vectors: tuple[Vector, ...] = ()


Mixer: TypeAlias = Attention | Ssm


@dataclass(frozen=True, slots=True)
class Mlp:
    """A feed-forward part: ``d_ff`` wide inside; gated ones multiply two projections (SwiGLU, GeGLU).

    ``activation`` is the name of the function: ``gelu``, ``gelu_tanh``, ``silu``, ``relu``, ``relu2`` …
    """

    d_ff: int
    gated: bool
    linears: tuple[Linear, ...]
    activation: str = "gelu"


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of ``count`` experts of which each token passes ``active``, and a part that every token passes.

    ``shared`` is that part (all shared experts together), ``shared_gate`` the matrix that weighs it, ``vectors`` biases of
    the router.
    """

    count: int
    active: int
    expert: Mlp
    router: Linear
    shared: Mlp | None = None
    shared_gate: Linear | None = None
    vectors: tuple[Vector, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One layer. ``mixer`` or ``mlp`` is None in layers that have only the other."""

    mixer: Mixer | None
    mlp: Mlp | Experts | None
    norms: tuple[Norm, ...]
    vectors: tuple[Vector, ...] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """The same block several times. The order of layers is not kept: no sum depends on it."""

    block: Block
    count: int


@dataclass(frozen=True, slots=True)
class Model:
    """A language model.

    Attributes
    ----------
    family : str
        As transformers calls it (``model_type``), or the trainer's name for its own.
    d_model, vocab_size : int
        Width of the residual stream; rows of the token embedding as it is stored (padding included).
    context : int or None
        Rows of a learned position table, or the longest sequence that the config names; None where nothing does.
    tables, stacks : tuple
        Tables that are looked up, and the layers.
    norms, linears : tuple
        What stands outside the layers: embedding and final norms; projections and transforms before the head.
    head : Linear
        The output head; ``tied``, its matrix is the token embedding and only its bias counts as parameters.
    """

    family: str
    d_model: int
    vocab_size: int
    context: int | None
    tables: tuple[Table, ...]
    stacks: tuple[Stack, ...]
    norms: tuple[Norm, ...]
    head: Linear
    tied: bool
    linears: tuple[Linear, ...] = ()
    vectors: tuple[Vector, ...] = ()

    @property
    def n_layer(self) -> int:
        """The number of layers."""
        return sum(stack.count for stack in self.stacks)

    @property
    def attentions(self) -> Iterator[tuple[Attention, int]]:
        """Each kind of attention with the number of layers that have it."""
        return ((s.block.mixer, s.count) for s in self.stacks if isinstance(s.block.mixer, Attention))

    @property
    def learned_positions(self) -> int | None:
        """The longest sequence that a learned position table serves, a few less than its rows in OPT; None without a table."""
        rows = next((table.rows for table in self.tables if table.kind == "position"), None)
        return rows if rows is None or self.context is None else min(rows, self.context)
