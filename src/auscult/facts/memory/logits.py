"""What the output head and the cross-entropy keep of one token."""

from __future__ import annotations

from dataclasses import dataclass

from ...architectures import Model
from ..setup import Setup

__all__ = ["LogitSlopes", "logit_slopes"]

FP32 = 4
CHUNK_TOKENS = 128
"""Tokens of one chunk of a chunked loss (litgpt ``chunked_cross_entropy``)."""


@dataclass(frozen=True, slots=True)
class LogitSlopes:
    """Bytes of one token at four moments; ``fixed`` is the buffer of the size of the head that fused losses need."""

    evaluation: float
    forward: float
    backward: float
    kept: float
    fixed: int


def logit_slopes(model: Model, setup: Setup, *, tokens: int) -> LogitSlopes:
    """Return what logits and cross-entropy take, in bytes per token, on a GPU that holds the whole head.

    Parameters
    ----------
    model : Model
        Its vocabulary and width.
    setup : Setup
        Precision, and how the loss is computed.
    tokens : int
        Of one pass on this GPU: the size of a chunk depends on it.

    Returns
    -------
    LogitSlopes
        ``evaluation`` without gradients; ``forward`` when the loss is computed; ``backward`` when its gradient reaches the
        logits; ``kept`` afterwards, while the caller holds the logits.

    Notes
    -----
    With V entries, and m bytes a value of the multiplication (4 in fp32, else 2):

    * ``eager``: the logits m, their fp32 copy 4, and log-softmax 4; the copy goes, and the backward pass adds the gradients
      of log-softmax and of its input, 4 each. In fp32 there is no copy.
    * ``compiled``: log-softmax is recomputed from the logits; the gradient is written in m.
    * ``chunked``: the logits of all chunks and their log-softmax; copies and gradients of one chunk only.
    * ``fused``: logits of one chunk (as many chunks as the vocabulary holds widths), in m and fp32, and the gradients of the
      hidden states and of the head that the forward pass computes.

    References
    ----------
    PyTorch ``derivatives.yaml`` (``_log_softmax``, ``nll_loss_forward``); karpathy/nanoGPT ``model.py`` (3adf61e), which
    returns the logits; Lightning-AI/litgpt ``utils.py`` ``chunked_cross_entropy``; linkedin/Liger-Kernel
    ``ops/fused_linear_cross_entropy.py``. Compared with Liger's published measurements on an A100 by
    ``scripts/measured/memory.py``.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> model = build({"model_type": "gpt2", "vocab_size": 50304})
    >>> eager = logit_slopes(model, Setup(micro_batch=8, context=1024), tokens=8192)
    >>> eager.evaluation / 50304, eager.backward / 50304
    (10.0, 14.0)
    """
    value = FP32 if setup.precision == "fp32" else 2
    vocab, width = model.head.d_out, model.head.d_in
    path = setup.loss_path
    copy = FP32 if value != FP32 else 0
    soft = FP32 if setup.precision != "bf16" else value
    if path == "eager":
        gone = value + FP32
        return LogitSlopes(
            *(vocab * (gone + copy), vocab * (gone + copy), vocab * (gone + 2 * FP32)), kept=vocab * value, fixed=0
        )
    if path == "compiled":
        return LogitSlopes(vocab * value, vocab * value, vocab * 2 * value, kept=0, fixed=0)
    if path == "chunked":
        chunk = vocab * min(1.0, CHUNK_TOKENS / max(tokens, 1))
        both = vocab * (value + soft)
        return LogitSlopes(both, both + chunk * copy, both + chunk * 2 * soft, kept=vocab * value, fixed=0)
    chunks = max(1, -(-vocab // max(width, 1)))
    fused = vocab / chunks * (value + copy) + 2 * value * width
    return LogitSlopes(fused, fused, fused, kept=value * width, fixed=value * vocab * width)
