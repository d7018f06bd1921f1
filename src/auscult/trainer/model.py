"""A decoder: GPT-2 exactly, or the modern variant, by the settings of one dataclass.

Shape suffixes: B sequences, T tokens, D width, H heads, S head size, N = B x T rows, V vocabulary.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint

from ..recipe import ModelSettings

__all__ = ["IGNORED", "Mask", "Transformer", "attention_mask"]

IGNORED = -100  # a target that counts for nothing
EPS = 1e-5
STD = 0.02  # of initial weights; of projections into the residual stream 1/sqrt(2 n_layer) of it (Radford et al. 2019)
Mask: TypeAlias = Tensor | BlockMask | None
Rotary: TypeAlias = tuple[Tensor, Tensor] | None


def norm(settings: ModelSettings) -> nn.Module:
    """Return the norm of an architecture."""
    if settings.norm == "rmsnorm":
        return nn.RMSNorm(settings.d_model, eps=EPS)
    return nn.LayerNorm(settings.d_model, eps=EPS, bias=settings.bias)


def rotated(x_BTHS: Tensor, cos_TS: Tensor, sin_TS: Tensor) -> Tensor:
    """Rotate each pair (i, i + S/2) by its position (Su et al. 2021, arXiv:2104.09864, in Llama's layout)."""
    left, right = x_BTHS.chunk(2, dim=-1)
    return (x_BTHS * cos_TS[:, None] + torch.cat((-right, left), dim=-1) * sin_TS[:, None]).to(x_BTHS.dtype)


class Attention(nn.Module):
    """Causal self-attention, with grouped queries where there are fewer key and value heads."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.sizes = [heads * settings.head_size for heads in (settings.n_head, settings.n_kv_head, settings.n_kv_head)]
        self.c_attn = nn.Linear(settings.d_model, sum(self.sizes), bias=settings.bias)
        self.c_proj = nn.Linear(self.sizes[0], settings.d_model, bias=settings.bias)

    def forward(self, x_BTD: Tensor, rotary: Rotary, mask: Mask) -> Tensor:
        settings = self.settings
        q, k, v = (x.unflatten(-1, (-1, settings.head_size)) for x in self.c_attn(x_BTD).split(self.sizes, dim=-1))
        if rotary is not None:
            q, k = rotated(q, *rotary), rotated(k, *rotary)
        if settings.qk_norm:
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        grouped, dropout = settings.n_kv_head != settings.n_head, settings.dropout if self.training else 0.0
        if isinstance(mask, BlockMask):
            y = flex_attention(q, k, v, block_mask=mask, enable_gqa=grouped)
            assert isinstance(y, Tensor)  # it returns more only when asked for more
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None, enable_gqa=grouped)
        return F.dropout(self.c_proj(y.transpose(1, 2).flatten(2)), settings.dropout, self.training)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "relu2": lambda x: F.relu(x).square(),
}


class Mlp(nn.Module):
    """Two matrices and an activation; SwiGLU has its gate and its value in the first."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        width = settings.d_ff * (2 if settings.activation == "swiglu" else 1)
        self.c_fc = nn.Linear(settings.d_model, width, bias=settings.bias)
        self.c_proj = nn.Linear(settings.d_ff, settings.d_model, bias=settings.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x = self.c_fc(x_BTD)
        if self.settings.activation == "swiglu":
            gate, value = x.chunk(2, dim=-1)
            x = F.silu(gate) * value
        else:
            x = ACTIVATIONS[self.settings.activation](x)
        return F.dropout(self.c_proj(x), self.settings.dropout, self.training)


class Block(nn.Module):
    """A layer, normalised before each half."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.ln_1, self.attn = norm(settings), Attention(settings)
        self.ln_2, self.mlp = norm(settings), Mlp(settings)

    def forward(self, x_BTD: Tensor, rotary: Rotary, mask: Mask) -> Tensor:
        x_BTD = x_BTD + self.attn(self.ln_1(x_BTD), rotary, mask)
        out: Tensor = x_BTD + self.mlp(self.ln_2(x_BTD))
        return out


class Transformer(nn.Module):
    """A language model; its tensors carry the names of Hugging Face's GPT-2.

    With ``checkpointing="full"`` only the input of each block is kept for the backward pass; with
    ``cross_entropy="chunked"`` there are never all logits at once; without a ``seed`` the weights are not initialised.
    """

    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(
        self, settings: ModelSettings, *, checkpointing: str = "none", cross_entropy: str = "full", seed: int | None = 0
    ) -> None:
        super().__init__()
        self.settings, self.checkpointing, self.cross_entropy = settings, checkpointing, cross_entropy
        self.wte = nn.Embedding(settings.vocab_size, settings.d_model)
        self.wpe = nn.Embedding(settings.context, settings.d_model) if settings.position == "learned" else None
        self.h = nn.ModuleList(Block(settings) for _ in range(settings.n_layer))
        self.ln_f = norm(settings)
        self.lm_head = None if settings.tied else nn.Linear(settings.d_model, settings.vocab_size, bias=False)
        if settings.position == "rope":
            pairs = torch.arange(0, settings.head_size, 2).float() / settings.head_size
            angles_TS = torch.outer(torch.arange(settings.context).float(), settings.rope_theta**-pairs).repeat(1, 2)
            self.register_buffer("rotary_cos", angles_TS.cos(), persistent=False)
            self.register_buffer("rotary_sin", angles_TS.sin(), persistent=False)
        if seed is not None:
            self._initialise(torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            residual = name.endswith("c_proj.weight")
            if name.endswith("bias") or (residual and self.settings.family == "modern"):
                parameter.zero_()  # modern blocks start as the identity (modded-nanogpt, record 5)
            elif parameter.dim() == 2:
                std = STD / math.sqrt(2 * self.settings.n_layer) if residual else STD
                parameter.normal_(0.0, std, generator=generator)

    @property
    def head_VD(self) -> Tensor:
        """The matrix from width to vocabulary."""
        return self.wte.weight if self.lm_head is None else self.lm_head.weight

    def forward(self, tokens_BT: Tensor, targets_BT: Tensor | None = None, mask: Mask = None) -> Tensor:
        """Return the logits, shape (B, T, V); with targets, the sum of their losses [nats] in fp32."""
        T, x_BTD, rotary = tokens_BT.shape[1], self.wte(tokens_BT), None
        if self.wpe is not None:
            x_BTD = x_BTD + self.wpe(torch.arange(T, device=tokens_BT.device))
        else:
            rotary = self.rotary_cos[:T], self.rotary_sin[:T]
        x_BTD = F.dropout(x_BTD, self.settings.dropout, self.training)
        for block in self.h:
            if self.checkpointing == "full" and torch.is_grad_enabled():
                x_BTD = checkpoint(block, x_BTD, rotary, mask, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, rotary, mask)
        x_BTD = self.ln_f(x_BTD)
        if targets_BT is None:
            return F.linear(x_BTD, self.head_VD)
        if self.cross_entropy == "chunked":
            loss: Tensor = chunked_loss(x_BTD.flatten(0, 1), self.head_VD, targets_BT.flatten())
            return loss
        logits_NV = F.linear(x_BTD, self.head_VD).flatten(0, 1).float()
        return F.cross_entropy(logits_NV, targets_BT.flatten(), ignore_index=IGNORED, reduction="sum")


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it untyped; the compiler has no path for the op
def chunked_loss(x_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Return the summed loss; only a chunk of the logits exists at a time, and the op does not autocast by itself."""
    kind = x_ND.device.type
    if torch.is_autocast_enabled(kind):
        x_ND, head_VD = (x.to(torch.get_autocast_dtype(kind)) for x in (x_ND, head_VD))
    with torch.autocast(kind, enabled=False):
        options = nn.LinearCrossEntropyOptions()
        loss_N = F.linear_cross_entropy(
            x_ND, head_VD, targets_N, reduction="none", ignore_index=IGNORED, options=options
        )
    return loss_N.float().sum()  # in fp32: summed by the op, the loss would be rounded to bf16


def attention_mask(tokens_BT: Tensor, separator: int | None, kernel: str) -> Mask:
    """Return which positions see which, for ``sdpa`` or ``flex``: those before, and none of another document.

    None is plain causal attention; ``separator``, where it is given, is the token before each document.
    """
    B, T = tokens_BT.shape
    if separator is None:
        return None if kernel == "sdpa" else causal_blocks(T, tokens_BT.device.type)
    document_BT = (tokens_BT == separator).cumsum(1)  # a separator belongs to the document after it
    if kernel == "sdpa":
        return (document_BT[:, :, None] == document_BT[:, None, :]).tril()[:, None]

    def sees(b: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (document_BT[b, query] == document_BT[b, key])

    return create_block_mask(sees, B, None, T, T, device=tokens_BT.device.type)


@functools.cache
def causal_blocks(context: int, device: str) -> BlockMask:
    """Return the blocks of causal attention, the same for every batch."""
    return create_block_mask(lambda _b, _h, query, key: query >= key, None, None, context, context, device=device)
