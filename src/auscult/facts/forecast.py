"""Where a loss curve ends, from the slope of its last stretch."""

from __future__ import annotations

import math

from .curve import Noise, Slope
from .scaling import Band
from .statistics import t_quantile

__all__ = ["extrapolate"]

CURVATURE = 0.35
"""Share of the extrapolated change added on both sides: the decay of the learning rate and the law's curvature bend the
line. Set from the width that science.md §5 found for schedule-blind power laws (90 % half-width 0.10 nats at half a run)."""


def extrapolate(slope: Slope, noise: Noise, mean_loss: float, mean_log_step: float, final_step: int) -> Band:
    """Extrapolate the fitted line to a step [nats/token].

    Parameters
    ----------
    slope, noise : Slope, Noise
        Of the last stretch.
    mean_loss, mean_log_step : float
        The point through which the fitted line passes.
    final_step : int
        Where the loss is wanted, at or after the window.

    Notes
    -----
    The bounds are the 95 % interval of the line plus 35 % of the change for what the line ignores: the schedule. A
    schedule-aware law is better (science.md §5) and is not used here yet.

    References
    ----------
    Draper & Smith 1998, "Applied Regression Analysis", ch. 3 (interval of a fitted line).

    Examples
    --------
    >>> s = Slope(-0.1, -0.15, -0.05, 0.02, 12, 7_000, 10_000)
    >>> band = extrapolate(s, Noise(0.01, 20), 3.6, math.log(8_500), 20_000)
    >>> band.low < band.value < band.high
    True
    """
    distance = math.log(final_step) - mean_log_step
    value = mean_loss + slope.value * distance
    beyond = max(math.log(final_step / slope.last_step), 0.0)
    sd = noise.sd if math.isfinite(noise.sd) else slope.standard_error
    error = math.hypot(slope.standard_error * distance, sd / math.sqrt(slope.points))
    half = t_quantile(0.975, max(slope.points - 2, 1)) * error + CURVATURE * abs(slope.value) * beyond
    return Band(value - half, value, value + half)
