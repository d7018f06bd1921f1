"""How large a validation split must be for the noise that its loss may have."""

from __future__ import annotations

import math

from ..facts.curve import SEQUENCE_SD_NATS, split_sampling_error
from ..prose import say

__all__ = ["noise_warning", "tokens_for_noise"]


_MARGIN = 1.05
"""Documents are drawn at random, so that a little less than asked for may come out."""


def tokens_for_noise(nats: float, *, sequence_tokens: int = 1024) -> tuple[int, int]:
    """Return how many tokens a split needs for its own sampling error to be this small [tokens].

    Parameters
    ----------
    nats : float
        Standard error of the mean loss [nats/token].

    Returns
    -------
    low, high : int
        For the smallest and the largest spread of losses between sequences that was measured.

    Notes
    -----
    The inverse of :func:`auscult.facts.curve.split_sampling_error`: ``sequence_tokens · (sd / nats)²``. The spread was
    measured on GPT-2 tokens; shorter tokens, bytes above all, carry fewer nats each, and need fewer of them than said.

    References
    ----------
    The spread between sequences, which is what neighbouring tokens having much in common leaves of the spread between
    tokens: :data:`auscult.facts.curve.SEQUENCE_SD_NATS` and its sources.

    Examples
    --------
    >>> tokens_for_noise(0.005)
    (10240000, 40960000)
    """
    low, high = (math.ceil(round(sequence_tokens * (sd / nats) ** 2, 6)) for sd in SEQUENCE_SD_NATS)
    return low, high


def noise_warning(val_tokens: int, wanted_nats: float, *, total_tokens: int | None = None) -> str | None:
    """Return what to say of a validation split that is too small for the noise wanted; None of one that may do.

    Parameters
    ----------
    val_tokens : int
        In the split.
    wanted_nats : float
        Standard error that it may have [nats/token].
    total_tokens : int, optional
        In both splits.

    Examples
    --------
    >>> noise_warning(20_000_000, 0.005) is None
    True
    >>> print(noise_warning(5_242_880, 0.005))
    the val split has 5,242,880 tokens: its own sampling error is 0.007 to 0.014 nats, more than the 0.005 wanted (--val-noise). Next: about 10,240,000 to 40,960,000 tokens would do, such as --val-tokens 10.76M.
    """
    low, high = split_sampling_error(val_tokens)
    if low <= wanted_nats:
        return None
    least, most = tokens_for_noise(wanted_nats)
    text = str(
        say(
            "the val split has {tokens:count} tokens: its own sampling error is {low} to {high} nats, more than the {wanted:g}"
            " wanted (--val-noise). Next: about {least:count} to {most:count} tokens would do",
            tokens=val_tokens,
            low=f"{low:.2g}",
            high=f"{high:.2g}",
            wanted=wanted_nats,
            least=least,
            most=most,
        )
    )
    if total_tokens is not None and least >= total_tokens:
        return (
            f"{text}, which is more than there are: prepare more text, or mind the error when two losses are compared."
        )
    return f"{text}, such as --val-tokens {_as_option(math.ceil(least * _MARGIN))}."


def _as_option(tokens: int) -> str:
    """Return a number of tokens as the option takes it, never less than it is."""
    if tokens < 10_000:
        return str(tokens)
    unit, letter = (1e6, "M") if tokens >= 1e6 else (1e3, "k")
    return f"{math.ceil(tokens / unit * 100) / 100:g}{letter}"
