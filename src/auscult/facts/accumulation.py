"""Losses that a trainer summed over accumulation steps, told from the loss of a fresh model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["MAX_ACCUMULATION", "TOLERANCE", "LossScale", "accumulation_factor"]

TOLERANCE = 0.03
"""A first loss this close to a multiple of ln(vocabulary): rows average the first few steps, and initial weights add a little."""
MAX_ACCUMULATION = 256
"""Multiples above it lie within the tolerance of one another's neighbours and prove nothing."""
_AMBIGUOUS = 16
"""Above this factor whole numbers lie closer together than twice the tolerance: only a known accumulation confirms one."""
_NEAR, _NEAR_ODD = 0.15, 0.05
"""How near, in whole numbers, a ratio must lie to a factor that no known accumulation confirms: a power of two, which
people choose, or another number. A model that was initialised badly has any ratio, and must seldom be taken for a sum."""


@dataclass(frozen=True, slots=True)
class LossScale:
    """By what the logged loss exceeds the loss of a token.

    Attributes
    ----------
    factor : float
        2, 4, 16 … (the logged loss is that many times too high), or 1/2, 1/4 … (too low).
    vocab_size : int
        The vocabulary for which it was found.
    deviation : float
        Relative distance of the rescaled first loss from ln(vocabulary).
    """

    factor: float
    vocab_size: int
    deviation: float


def accumulation_factor(
    first_loss: float, vocab_sizes: Iterable[int], *, accumulation: int | None = None
) -> LossScale | None:
    """Return the factor by which gradient accumulation scaled the logged loss of a model trained from scratch.

    Parameters
    ----------
    first_loss : float
        The first logged training loss [nats/token], from the first few steps.
    vocab_sizes : iterable of int
        Candidates for the vocabulary; the first that explains the loss wins, one that explains it unscaled above all.
    accumulation : int, optional
        The accumulation steps where they are known: the factor must be one of their divisors.

    Returns
    -------
    LossScale or None
        None when the loss is that of a fresh model with one of the vocabularies as it stands, or when no whole factor of
        at least 2 (or 1 over one) fits within 3 %. A factor that no known accumulation confirms must be at most 16 and fit
        more closely: within 0.15 / k of a power of two, within 0.05 / k (at most 1 %) of another number.

    Notes
    -----
    A fresh model predicts all tokens alike, so its loss is ln V. Summing instead of averaging over k micro-batches makes it
    k · ln V; dividing twice, ln V / k. A fine-tuned model starts far below ln V: 1/k is believed only with a known
    accumulation, since some fraction always lies near.

    References
    ----------
    huggingface/transformers issues 35204 and 37766 and pull request 35438 (summed, versions 4.46 and 4.47);
    pytorch-lightning issue 2569 (divided).

    Examples
    --------
    >>> accumulation_factor(173.2, [50_257])
    LossScale(factor=16.0, vocab_size=50257, deviation=8.765...e-06)
    >>> accumulation_factor(10.9, [50_257]) is None
    True
    """
    if not math.isfinite(first_loss) or first_loss <= 0 or (accumulation is not None and accumulation < 2):
        return None
    sizes = [size for size in dict.fromkeys(vocab_sizes) if size >= 2]
    if any(abs(first_loss / math.log(size) - 1) <= TOLERANCE for size in sizes):
        return None
    for size in sizes:
        found = _factor(first_loss / math.log(size), accumulation)
        if found is not None:
            deviation = abs(first_loss / found / math.log(size) - 1)
            return LossScale(found, size, deviation)
    return None


def _factor(ratio: float, accumulation: int | None) -> float | None:
    """Return the whole factor, or one over it, that a ratio to ln V is within the tolerance."""
    if accumulation is None:
        multiple = round(ratio)
        return float(multiple) if 2 <= multiple <= _AMBIGUOUS and _fits(ratio, multiple) else None
    for wanted, make in ((ratio, float), (1 / ratio, _one_over)):
        nearest = min(_divisors(accumulation), key=lambda k: abs(wanted / k - 1))
        if abs(wanted / nearest - 1) <= TOLERANCE:
            return make(nearest)
    return None


def _fits(ratio: float, multiple: int) -> bool:
    """Return whether a ratio lies near enough to a factor that nothing else confirms."""
    power_of_two = multiple & (multiple - 1) == 0
    allowed = min(TOLERANCE, _NEAR / multiple) if power_of_two else min(TOLERANCE / 3, _NEAR_ODD / multiple)
    return abs(ratio / multiple - 1) <= allowed


def _one_over(factor: int) -> float:
    return 1 / factor


def _divisors(number: int) -> list[int]:
    return [k for k in range(2, min(number, MAX_ACCUMULATION) + 1) if number % k == 0] or [number]
