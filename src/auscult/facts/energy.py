"""What a speed costs: the hours of a run, the energy of its cards, and their price."""

from __future__ import annotations

import math

from .scaling import Band

__all__ = ["cost", "energy_kwh", "hours"]

POWER_SHARE = (0.7, 0.9, 1.0)
"""Of its board power that a card draws while training: a judgement, not calibrated. Compute-bound steps run at the power limit;
memory-bound parts, exchange between cards and evaluations below it."""


def hours(tokens: float, tokens_per_s: Band) -> Band:
    """Return how long a number of tokens takes [h]; the fastest speed gives the lower bound.

    Parameters
    ----------
    tokens : float
        Tokens to train on.
    tokens_per_s : Band
        Of all cards together [tokens/s].

    Raises
    ------
    ValueError
        When a speed is not above 0, or the tokens are negative.

    Notes
    -----
    ``tokens / tokens_per_s``: no evaluation, no checkpoint, no interruption.

    References
    ----------
    The definition of speed; the speed itself is ``estimate_step``'s.

    Examples
    --------
    >>> hours(7.2e6, Band(1000, 2000, 4000))
    Band(low=0.5, value=1.0, high=2.0)
    """
    if not (0 < tokens_per_s.low <= tokens_per_s.value <= tokens_per_s.high) or not tokens >= 0:
        raise ValueError(f"tokens must not be negative and speeds above 0, found {tokens} and {tokens_per_s}")
    return Band(*(tokens / rate / 3600 for rate in (tokens_per_s.high, tokens_per_s.value, tokens_per_s.low)))


def energy_kwh(hours: Band, *, gpu_count: int, board_power_w: float) -> Band:
    """Return the energy of the cards of a run [kWh].

    Parameters
    ----------
    hours : Band
        Its duration [h].
    gpu_count : int
        Cards.
    board_power_w : float
        Of one card [W].

    Raises
    ------
    ValueError
        When there is no card, its power is not above 0, or the duration is negative.

    Notes
    -----
    ``hours · cards · board power``, at 70 to 100 % of it. Hosts, network and cooling are not counted.

    References
    ----------
    Luccioni et al. 2022, "Estimating the Carbon Footprint of BLOOM", arXiv:2211.02001, section 4.2, for the formula.

    Examples
    --------
    >>> round(energy_kwh(Band(10, 10, 10), gpu_count=1, board_power_w=200).value, 3)
    1.8
    """
    if not (0 < board_power_w < math.inf):
        raise ValueError(f"board_power_w must be above 0, found {board_power_w}")
    low, middle, high = (share * board_power_w / 1000 for share in POWER_SHARE)
    spent = _gpu_hours(hours, gpu_count)
    return Band(spent.low * low, spent.value * middle, spent.high * high)


def cost(hours: Band, *, gpu_count: int, price_per_gpu_hour: float) -> Band:
    """Return the price of a run, in the currency of the price.

    Parameters
    ----------
    hours : Band
        Its duration [h].
    gpu_count : int
        Cards.
    price_per_gpu_hour : float
        Of one card for an hour; always the caller's, none is built in.

    Raises
    ------
    ValueError
        When there is no card, or the price or the duration is negative.

    Notes
    -----
    ``hours · cards · price``: no storage, no traffic, no rounding up to billed hours.

    References
    ----------
    The definition of a price per GPU-hour.

    Examples
    --------
    >>> cost(Band(1, 2, 3), gpu_count=8, price_per_gpu_hour=2.5)
    Band(low=20.0, value=40.0, high=60.0)
    """
    if not (0 <= price_per_gpu_hour < math.inf):
        raise ValueError(f"price_per_gpu_hour must not be negative, found {price_per_gpu_hour}")
    spent = _gpu_hours(hours, gpu_count)
    return Band(*(spent_hours * price_per_gpu_hour for spent_hours in (spent.low, spent.value, spent.high)))


def _gpu_hours(hours: Band, gpu_count: int) -> Band:
    if gpu_count < 1:
        raise ValueError(f"gpu_count must be at least 1, found {gpu_count}")
    if not (0 <= hours.low <= hours.value <= hours.high):
        raise ValueError(f"hours must not be negative and be in order, found {hours}")
    return Band(gpu_count * hours.low, gpu_count * hours.value, gpu_count * hours.high)
