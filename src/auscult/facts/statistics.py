"""The few distributions that intervals need, and a mean with its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

__all__ = ["Estimate", "difference_of_means", "t_quantile"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its standard error, and the number of points behind it."""

    value: float
    standard_error: float
    points: int


def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Return the quantile of Student's t distribution.

    Parameters
    ----------
    probability : float
        Between 0 and 1, exclusive.
    degrees_of_freedom : float
        Above 0.

    Notes
    -----
    Bisection on the distribution function, to 1e-10.

    References
    ----------
    Abramowitz & Stegun 26.5.27 and 26.5.8 (incomplete beta by continued fraction). A test compares with SciPy.

    Examples
    --------
    >>> round(t_quantile(0.975, 12), 4)
    2.1788
    """
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees_of_freedom)
    low, high = 0.0, 1.0
    while _t_cdf(high, degrees_of_freedom) < probability and high < 1e12:
        high *= 2
    for _ in range(80):
        middle = 0.5 * (low + high)
        if _t_cdf(middle, degrees_of_freedom) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _t_cdf(t: float, dof: float) -> float:
    return 1 - 0.5 * _incomplete_beta(dof / (dof + t * t), 0.5 * dof, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    f, c, d = 1.0, 1.0, 0.0  # Lentz's evaluation of the continued fraction
    for i in range(400):
        m = i // 2
        if i == 0:
            numerator = 1.0
        elif i % 2 == 0:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + numerator * d or tiny)
        c = 1 + numerator / c or tiny
        f *= c * d
        if abs(1 - c * d) < 1e-14:
            break
    return front * (f - 1)


def difference_of_means(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Return mean(first) − mean(second), with Welch's standard error.

    Notes
    -----
    Points are taken as independent; a trend within a sample enlarges the error, so it errs on the wide side.

    References
    ----------
    Welch 1947, "The generalization of Student's problem", Biometrika 34.

    Examples
    --------
    >>> difference_of_means([3.0, 3.2], [2.9, 3.1]).value
    0.10000000000000009
    """
    error = math.sqrt(variance(first) / len(first) + variance(second) / len(second))
    return Estimate(fmean(first) - fmean(second), error, len(first) + len(second))
