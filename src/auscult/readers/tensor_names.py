"""What the names and shapes of a checkpoint's tensors say of the model: how many layers, how wide, tied or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .patterns import lazy

__all__ = ["Census", "Tensor", "census", "is_adapter", "layers_of", "tied_by_name"]

_LAYER = lazy(r"(?:^|\.)(?:layers?|h|blocks?|resblocks)\.(\d{1,4})\.")
_EMBEDDING = lazy(
    r"(?:^|\.)(?:embed_tokens|wte|tok_embeddings|word_embeddings|embed_in|token_embedding(?:s|_table)?|tokens_embed|shared|embed)"
    r"\.weight$"
)
_POSITION = lazy(r"(?:^|\.)(?:wpe|embed_positions|position_embeddings?|position_embedding_table|pos_embed)\.weight$")
_HEAD = lazy(r"(?:^|\.)(?:lm_head|embed_out|output|unembed|lm_head\.decoder|head|predictions\.decoder)\.weight$")
_INNER = lazy(
    r"\.(?:up_proj|gate_proj|gate_up_proj|c_fc|fc1|fc_in|dense_h_to_4h|w1|w3|intermediate\.dense|linear_fc1|fc_1)\.weight$"
)
_EXPERT = lazy(r"\.(?:experts?|local_experts|shared_experts?)\.")
_BUFFER = lazy(
    r"(?:\.attn\.bias|\.attention\.bias|\.attn\.masked_bias|\.attention\.masked_bias|rotary_emb\.inv_freq|\.inv_freq|position_ids"
    r"|num_batches_tracked|running_mean|running_var|\.rotary_emb\.\w{1,40}|\.causal_mask)$"
)
_ADAPTER = lazy(r"\.lora_[AB]\.|\.lora_(?:embedding|magnitude)|\.ia3_|prompt_embeddings|\.adapters?\.|\.base_layer\.")
_QUANTISED = lazy(
    r"\.(?:absmax|quant_map|quant_state|qweight|qzeros|scales|SCB|weight_format|weight_scale|weight_packed)"
)
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "C64"})
_LARGE = 10**15


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's name, element type and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Census:
    """What the tensors of a whole model say of it; None where they do not.

    Attributes
    ----------
    n_layer, d_model, d_ff, vocab_size : int or None
    positions : int or None
        Rows of a learned position table.
    tied : bool or None
        Whether there is a token table and no head of its own.
    bias : bool or None
        Whether linear layers and norms have biases; None where only some have.
    parameters : int or None
        Exact count of parameters, shared ones once, buffers left out; None where weights are quantised.
    adapter : bool
        Whether they are an adapter's weights and not a model's.
    """

    n_layer: int | None
    d_model: int | None
    d_ff: int | None
    vocab_size: int | None
    positions: int | None
    tied: bool | None
    bias: bool | None
    parameters: int | None
    adapter: bool


def layers_of(names: Iterable[str]) -> int | None:
    """Return the number of layers by the largest index in tensors' names, encoder and decoder not told apart.

    Examples
    --------
    >>> layers_of(["model.layers.0.mlp.up_proj.weight", "model.layers.11.mlp.up_proj.weight", "lm_head.weight"])
    12
    """
    found = [int(match[1]) for name in names if (match := _LAYER.search(name))]
    return max(found) + 1 if found else None


def tied_by_name(names: Iterable[str]) -> bool | None:
    """Return whether a model has a token table and no head of its own; None where that cannot be told.

    A model without a head, such as ``LlamaModel``, names its token table without anything before it.

    Examples
    --------
    >>> tied_by_name(["transformer.wte.weight"]), tied_by_name(["model.embed_tokens.weight", "lm_head.weight"])
    (True, False)
    >>> tied_by_name(["embed_tokens.weight"]) is None
    True
    """
    outside = [name for name in names if not _LAYER.search(name)]
    if any(_HEAD.search(name) for name in outside):
        return False
    return True if any("." in name[: -len(".weight")] for name in outside if _EMBEDDING.search(name)) else None


def is_adapter(names: Iterable[str]) -> bool:
    """Return whether tensors are an adapter's.

    Examples
    --------
    >>> is_adapter(["base_model.model.layers.0.q_proj.lora_A.weight"])
    True
    """
    return any(_ADAPTER.search(name) for name in names)


def census(tensors: Sequence[Tensor]) -> Census:
    """Return what tensors say of a model.

    Parameters
    ----------
    tensors : sequence of Tensor
        All of the model's, not those of one shard.

    Examples
    --------
    >>> found = census([Tensor("gpt.wte.weight", "F32", (100, 8)), Tensor("gpt.h.0.mlp.c_fc.weight", "F32", (8, 32))])
    >>> found.n_layer, found.d_model, found.d_ff, found.vocab_size, found.tied, found.parameters
    (1, 8, 32, 100, True, 1056)
    """
    names = [tensor.name for tensor in tensors]
    adapter = is_adapter(names)
    outside = [t for t in tensors if len(t.shape) == 2 and not _LAYER.search(t.name)]
    table = next((t for t in outside if _EMBEDDING.search(t.name)), None)
    vocab, width = table.shape if table is not None else (None, None)
    quantised = any(_QUANTISED.search(name) for name in names) or any(
        t.dtype not in _FLOATS and t.name.endswith(".weight") for t in tensors
    )
    kept = [t for t in tensors if t.dtype in _FLOATS and not _is_buffer(t)]
    total = sum(t.count for t in kept)
    positions = next((t.shape[0] for t in outside if _POSITION.search(t.name)), None)
    return Census(
        n_layer=layers_of(names),
        d_model=width,
        d_ff=_inner(tensors, width) if not quantised else None,
        vocab_size=vocab,
        positions=positions,
        tied=tied_by_name(names),
        bias=_bias(kept),
        parameters=None if quantised or not 0 < total < _LARGE else total,
        adapter=adapter,
    )


def _is_buffer(tensor: Tensor) -> bool:
    """Return whether a tensor is a buffer: a causal mask, rotary frequencies …; a bias of one dimension is none."""
    if _BUFFER.search(tensor.name) is None:
        return False
    return not (tensor.name.endswith(".bias") and len(tensor.shape) == 1)


def _inner(tensors: Sequence[Tensor], width: int | None) -> int | None:
    """Return the inner width of an MLP; a first matrix twice as wide as what the second takes holds a gate, too."""
    second = (t for t in tensors if t.name.endswith(".mlp.c_proj.weight") and len(t.shape) == 2 and width in t.shape)
    back = {t.name.replace(".c_proj.", ".c_fc."): _other(t, width) for t in second}
    for tensor in tensors:
        if (
            len(tensor.shape) != 2
            or width not in tensor.shape
            or not _INNER.search(tensor.name)
            or _EXPERT.search(tensor.name)
        ):
            continue
        inner = _other(tensor, width)
        gated = ".gate_up_proj." in tensor.name or 2 * back.get(tensor.name, 0) == inner
        return inner // 2 if gated else inner
    return None


def _other(tensor: Tensor, width: int | None) -> int:
    """Return the side of a matrix that is not the model's width."""
    one, two = tensor.shape
    return one if two == width else two


def _bias(tensors: Sequence[Tensor]) -> bool | None:
    """Return whether all weights of layers have biases, or none has."""
    names = {t.name for t in tensors}
    weights = [n for n in names if n.endswith(".weight") and _LAYER.search(n)]
    if not weights:
        return None
    biased = sum(n.removesuffix("weight") + "bias" in names for n in weights)
    return (
        True if biased == len(weights) else False if not biased and not any(n.endswith("bias") for n in names) else None
    )
