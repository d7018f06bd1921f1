"""Energy of the cards: their board power over the hours of a run."""

from __future__ import annotations

from .scaling import Band

__all__ = ["energy_kwh"]

POWER_SHARE = (0.7, 0.9, 1.0)
"""Of its board power that a card draws while training: a judgement, not calibrated. Compute-bound steps run at the power limit;
memory-bound parts, exchange between cards and evaluations below it."""


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
    full = gpu_count * board_power_w / 1000
    low, middle, high = POWER_SHARE
    return Band(hours.low * full * low, hours.value * full * middle, hours.high * full * high)
