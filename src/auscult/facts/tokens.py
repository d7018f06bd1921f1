"""Tokens: per step, seen, planned, and against what published laws call compute-optimal."""

from __future__ import annotations

from .scaling import LAWS

__all__ = ["CHINCHILLA_TOKENS_PER_PARAMETER", "optimal_tokens_range", "tokens_per_step"]

CHINCHILLA_TOKENS_PER_PARAMETER = 20
"""The rule of thumb of Hoffmann et al. 2022 (arXiv:2203.15556)."""


def tokens_per_step(*, batch_size: int, gradient_accumulation_steps: int, context: int) -> int:
    """Return the tokens of one optimiser step, over all ranks [tokens].

    Parameters
    ----------
    batch_size : int
        Micro-batch per rank [sequences].
    gradient_accumulation_steps : int
        Summed over all ranks (nanoGPT divides it by the world size itself).
    context : int
        Sequence length [tokens].

    References
    ----------
    karpathy/nanoGPT ``train.py`` (3adf61e): ``tokens_per_iter``.

    Examples
    --------
    >>> tokens_per_step(batch_size=16, gradient_accumulation_steps=32, context=1024)
    524288
    """
    return batch_size * gradient_accumulation_steps * context


def optimal_tokens_range(parameters: float) -> tuple[float, float]:
    """Return the smallest and largest compute-optimal token count over the published laws and the rule of 20 [tokens].

    References
    ----------
    Laws and their sources: :data:`auscult.facts.scaling.LAWS`.

    Examples
    --------
    >>> low, high = optimal_tokens_range(40_560_000)
    >>> f"{low / 1e9:.2f}B to {high / 1e9:.2f}B"
    '0.80B to 1.08B'
    """
    values = [law.optimal_tokens(parameters) for law in LAWS if law.balanced] + [
        CHINCHILLA_TOKENS_PER_PARAMETER * parameters
    ]
    return min(values), max(values)
