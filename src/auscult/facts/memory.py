"""What one training step of a GPT-2 shaped model needs on one GPU, by part."""

from __future__ import annotations

from dataclasses import dataclass

from .parameters import ParameterCount

__all__ = [
    "CONTEXT_BYTES",
    "MARGIN_FRACTION",
    "USABLE_FRACTION",
    "MemoryEstimate",
    "estimate_training_memory",
]

CONTEXT_BYTES = round(0.55 * 2**30)
"""CUDA context and kernels, outside PyTorch's allocator (stas00/ml-engineering: 0.55 GiB)."""
MARGIN_FRACTION = 0.12
"""Allocator reserve and fragmentation on top of what is allocated. Reserved/allocated was 1.04 to 1.73 in 93 public
modded-nanogpt logs (planners.md §2); a loop of fixed shapes such as nanoGPT's stays near the low end."""
USABLE_FRACTION = 0.975
"""Of the nominal memory: a "12 GB" card offers 11.7 to 12.0 GiB (planners.md §3)."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Estimated peak memory of a training step by part [bytes]."""

    weights: int
    gradients: int
    optimizer: int
    autocast_copies: int
    activations: int
    logits: int
    context: int
    margin: int

    @property
    def total(self) -> int:
        """The peak [bytes]."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Return the parts by name [bytes]."""
        return {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "autocast_copies": self.autocast_copies,
            "activations": self.activations,
            "logits": self.logits,
            "context": self.context,
            "margin": self.margin,
        }


def estimate_training_memory(
    *,
    parameters: ParameterCount,
    n_layer: int,
    n_head: int,
    d_model: int,
    vocab_size: int,
    context: int,
    batch_size: int,
    dropout: float,
    dtype: str,
    compiled: bool,
) -> MemoryEstimate:
    """Estimate the peak memory of one nanoGPT training step [bytes].

    Parameters
    ----------
    parameters : ParameterCount
        Of the model.
    n_layer, n_head, d_model, vocab_size, context : int
        Its shape.
    batch_size : int
        Micro-batch [sequences].
    dropout : float
        Above 0, masks are kept.
    dtype : str
        ``bfloat16`` or ``float16`` (autocast over fp32 weights), or ``float32``.
    compiled : bool
        ``torch.compile``: the logits' float copy and log-softmax are fused away.

    Returns
    -------
    MemoryEstimate

    Notes
    -----
    Per parameter: 4 B weights, 4 B gradients, 8 B AdamW, and under autocast 2 B per matrix weight. Per token and layer,
    saved for backward: ``36C + 4H + 16`` under autocast with flash attention, ``64C`` in fp32; ``+2C`` with dropout. Per
    token and vocabulary entry: 14 B eager, 4 B compiled under autocast; 16 and 8 in fp32. The phase before backward sets
    the peak; evaluation (10 B per token and entry, no activations) and the optimiser step are smaller here. Flash
    attention is assumed (PyTorch ≥ 2). Not counted: DDP buckets, gradient checkpointing, other programs on the card.

    References
    ----------
    Slopes measured by exact dispatch traces and AOT graphs on a CPU with emulated CUDA autocast (planners.md §2; the
    compiled figures are not yet confirmed on a GPU); Korthikanti et al. 2022, arXiv:2205.05198, for the structure.

    Examples
    --------
    >>> from auscult.facts.parameters import count_gpt2
    >>> shape = dict(n_layer=12, d_model=768, vocab_size=50304, context=1024)
    >>> parts = estimate_training_memory(parameters=count_gpt2(**shape, bias=False), n_head=12, batch_size=8,
    ...                                  dropout=0.0, dtype="bfloat16", compiled=True, **shape)
    >>> round((parts.total - parts.context - parts.margin) / 2**30, 2)
    6.16
    """
    tokens = batch_size * context
    mixed = dtype in ("bfloat16", "float16")
    matrices = parameters.total - parameters.position - parameters.norms
    per_layer = (36 if mixed else 64) * d_model + 4 * n_head + 16 + (2 * d_model if dropout > 0 else 0)
    per_vocab = (4 if compiled else 14) if mixed else (8 if compiled else 16)
    activations = tokens * (n_layer * per_layer + (d_model if dropout > 0 else 0))
    logits = tokens * vocab_size * per_vocab
    allocated = 16 * parameters.total + (2 * matrices if mixed else 0) + activations + logits
    return MemoryEstimate(
        weights=4 * parameters.total,
        gradients=4 * parameters.total,
        optimizer=8 * parameters.total,
        autocast_copies=2 * matrices if mixed else 0,
        activations=activations,
        logits=logits,
        context=CONTEXT_BYTES,
        margin=round(MARGIN_FRACTION * allocated),
    )
