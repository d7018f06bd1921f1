"""Floating-point operations per token of training."""

from __future__ import annotations

__all__ = ["A100_PEAK_FLOPS_PER_S", "flops_per_token"]

A100_PEAK_FLOPS_PER_S = 312e12
"""The A100's dense bf16 peak, by which nanoGPT divides on every card (``model.py`` ``estimate_mfu``)."""


def flops_per_token(*, params_without_position: int, n_layer: int, d_model: int, context: int) -> int:
    """Count the FLOPs of one token, forward and backward [FLOPs/token].

    Parameters
    ----------
    params_without_position : int
        N: all parameters but the position table; the tied token table counts, for it is the output head.
    n_layer, d_model, context : int
        L, d and T.

    Notes
    -----
    ``6N + 12·L·d·T``. The causal half of attention is not discounted and recomputation is not counted, as in
    PaLM's MFU; norms, biases, softmax and the optimiser step are ignored (below 1 % together).

    References
    ----------
    Chowdhery et al. 2022, "PaLM", appendix B, arXiv:2204.02311; karpathy/nanoGPT ``estimate_mfu`` (3adf61e).

    Examples
    --------
    >>> flops_per_token(params_without_position=40_560_000, n_layer=12, d_model=384, context=1024)
    299983104
    """
    return 6 * params_without_position + 12 * n_layer * d_model * context
