"""The end of a loss curve: its noise, its slope against ln(tokens) with an interval, and what more evaluations would show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .statistics import t_quantile

__all__ = [
    "SEQUENCE_SD_NATS",
    "Noise",
    "Slope",
    "evaluation_noise",
    "evaluations_needed",
    "log_token_slope",
    "smoothed_minimum",
    "split_sampling_error",
]


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviation of one evaluation around the trend [nats/token], and the differences behind it."""

    sd: float
    points: int


@dataclass(frozen=True, slots=True)
class Slope:
    """Change of the loss per e-fold of tokens, negative while it falls, with a 95 % interval.

    Attributes
    ----------
    value, low, high : float
        Slope and interval [nats per e-fold of tokens].
    standard_error : float
        Its standard error.
    points : int
        Evaluations in the window.
    first_step, last_step : int
        The window.
    """

    value: float
    low: float
    high: float
    standard_error: float
    points: int
    first_step: int
    last_step: int

    @property
    def t(self) -> float:
        """The slope in units of its standard error."""
        return self.value / self.standard_error if self.standard_error else 0.0


def evaluation_noise(x: Sequence[float], y: Sequence[float]) -> Noise:
    """Estimate the noise of single evaluations from the series itself.

    Parameters
    ----------
    x : sequence of float
        ln(tokens), increasing.
    y : sequence of float
        Loss at each [nats/token].

    Notes
    -----
    Each point is compared with the line through its neighbours; whatever is locally straight drops out. Assumes
    independent errors of equal size; a curve that bends within three evaluations inflates it.

    References
    ----------
    Gasser, Sroka & Jennen-Steinmetz 1986, "Residual variance and residual pattern in nonlinear regression",
    Biometrika 73, eq. 2.

    Examples
    --------
    >>> evaluation_noise([0, 1, 2, 3], [5.0, 4.0, 3.0, 2.0]).sd
    0.0
    """
    squares = []
    for i in range(1, len(x) - 1):
        span = x[i + 1] - x[i - 1]
        a = (x[i + 1] - x[i]) / span
        b = 1 - a
        error = a * y[i - 1] + b * y[i + 1] - y[i]
        squares.append(error * error / (a * a + b * b + 1))
    return Noise(math.sqrt(fmean(squares)) if squares else math.nan, len(squares))


def log_token_slope(steps: Sequence[int], losses: Sequence[float], noise: Noise, *, confidence: float = 0.95) -> Slope:
    """Regress the loss on ln(tokens) and return the slope with its interval [nats per e-fold].

    Parameters
    ----------
    steps : sequence of int
        Steps of the window, above 0; tokens are proportional to them, so their logarithms differ by a constant.
    losses : sequence of float
        Loss at each [nats/token].
    noise : Noise
        The noise of one evaluation, estimated on a longer stretch than the window.
    confidence : float
        Of the interval.

    Notes
    -----
    Ordinary least squares; the larger of the noise given and the window's own residual sets the error, so a curve
    that is not straight within the window widens the interval. Requires a constant number of tokens per step.

    References
    ----------
    Draper & Smith 1998, "Applied Regression Analysis", ch. 1. Loss falls about linearly in ln(D) over short
    stretches of any law of the form E + B/D^β (Hoffmann et al. 2022, arXiv:2203.15556, eq. 10).

    Examples
    --------
    >>> s = log_token_slope([100, 200, 400], [3.0, 2.9, 2.8], Noise(0.01, 20))
    >>> round(s.value, 4), s.high < 0
    (-0.1443, True)
    """
    x = [math.log(step) for step in steps]
    mean_x, mean_y = fmean(x), fmean(losses)
    sxx = sum((xi - mean_x) ** 2 for xi in x)
    slope = sum((xi - mean_x) * (yi - mean_y) for xi, yi in zip(x, losses, strict=True)) / sxx
    residual = sum((yi - mean_y - slope * (xi - mean_x)) ** 2 for xi, yi in zip(x, losses, strict=True))
    own = math.sqrt(residual / (len(x) - 2)) if len(x) > 2 else 0.0
    error = max(own, noise.sd if math.isfinite(noise.sd) else 0.0) / math.sqrt(sxx)
    half = t_quantile(0.5 + confidence / 2, max(len(x) - 2, 1)) * error
    return Slope(slope, slope - half, slope + half, error, len(x), steps[0], steps[-1])


def evaluations_needed(
    last_step: int,
    interval: int,
    noise: Noise,
    expected_slope: float,
    window_points: Sequence[int],
    *,
    sigmas: float = 3.0,
) -> int | None:
    """Return how many more evaluations would show an expected slope at ``sigmas`` standard errors.

    Parameters
    ----------
    last_step, interval : int
        The last evaluation, and steps between evaluations.
    noise : Noise
        Of one evaluation.
    expected_slope : float
        Slope to detect, above 0 [nats per e-fold of tokens].
    window_points : sequence of int
        Steps of the evaluations already in the window.

    Returns
    -------
    int or None
        0 when the present ones suffice; None when 1,000 more would not.

    References
    ----------
    Standard error of a regression slope, σ/√Sxx (Draper & Smith 1998, ch. 1).

    Examples
    --------
    >>> evaluations_needed(14_500, 500, Noise(0.01, 20), 0.1, [13_500, 14_000, 14_500])
    8
    """
    if not (math.isfinite(noise.sd) and expected_slope > 0 and interval > 0):
        return None
    steps = list(window_points)
    for more in range(1001):
        x = [math.log(step) for step in steps]
        mean_x = fmean(x) if x else 0.0
        sxx = sum((xi - mean_x) ** 2 for xi in x)
        if sxx and expected_slope * math.sqrt(sxx) >= sigmas * noise.sd:
            return more
        steps.append(last_step + (more + 1) * interval)
    return None


def smoothed_minimum(values: Sequence[float], width: int = 3) -> tuple[int, float]:
    """Return the index and value of the minimum of a running median, which one lucky evaluation does not set.

    References
    ----------
    Tukey 1977, "Exploratory Data Analysis", ch. 7 (running medians of 3).

    Examples
    --------
    >>> smoothed_minimum([5.0, 4.0, 1.0, 3.9, 3.8, 4.2, 4.4])
    (3, 3.8)
    """
    half = width // 2
    medians = [
        sorted(values[max(i - half, 0) : i + half + 1])[len(values[max(i - half, 0) : i + half + 1]) // 2]
        for i in range(len(values))
    ]
    index = min(range(len(medians)), key=lambda i: medians[i])
    return index, medians[index]


SEQUENCE_SD_NATS = (0.5, 1.0)
"""Standard deviation of the mean loss of 1,024-token sequences: at most 0.50 (C4, shuffled), 0.99–1.04 (FineWeb,
contiguous). Computed from public logs of open_lm and modded-nanogpt (science.md §3b)."""


def split_sampling_error(tokens: int, *, sequence_tokens: int = 1024) -> tuple[float, float]:
    """Return the range of the standard error that a split of this size has by itself [nats/token].

    Parameters
    ----------
    tokens : int
        Tokens in the split.

    Notes
    -----
    Sequence sd over the square root of the number of sequences. Long documents make neighbouring sequences alike, so
    the true error is, if anything, larger.

    References
    ----------
    Sequence-level sd from open_lm bootstrap intervals and modded-nanogpt batch losses: see ``SEQUENCE_SD_NATS``.

    Examples
    --------
    >>> low, high = split_sampling_error(5_242_880)
    >>> round(low, 4), round(high, 4)
    (0.007, 0.014)
    """
    sequences = max(tokens / sequence_tokens, 1e-9)
    low, high = SEQUENCE_SD_NATS
    return low / math.sqrt(sequences), high / math.sqrt(sequences)
