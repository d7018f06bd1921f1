"""Numbers as trainers round them for people: ``10.5M``, ``1.2K``, ``1.05B``."""

from __future__ import annotations

import math

from .patterns import lazy

__all__ = ["HUMAN", "human", "human_interval"]

HUMAN = r"[-+]?(?:\d{1,18}(?:\.\d{1,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,3})?[KMBTPE]?|nan|-?inf"
"""For use inside a group."""
_POWERS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_PARTS = lazy(r"^([-+]?[\d.]+(?:[eE][-+]?\d+)?)([KMBTPE]?)$")


def human(text: str) -> float:
    """Return the value of a rounded number.

    Examples
    --------
    >>> human("10.5M"), human("3.2e-05"), human("nan")
    (10500000.0, 3.2e-05, nan)
    """
    found = _PARTS.match(text)
    if found is None:
        return float(text)
    return float(found[1]) * _POWERS[found[2]]


def human_interval(text: str, digits: int | None = None, decimals: int | None = None) -> tuple[int, int]:
    """Return the lowest and the highest count that is printed so.

    Parameters
    ----------
    text : str
        The number.
    digits : int, optional
        To how many significant digits it was rounded, zeros at its end left out.
    decimals : int, optional
        Or to how many decimals in its unit.

    Examples
    --------
    >>> human_interval("1.2B", digits=3), human_interval("1.24B", decimals=2), human_interval("42", digits=3)
    ((1195000000, 1205000000), (1235000000, 1245000000), (42, 42))
    """
    value = human(text)
    if not math.isfinite(value) or value <= 0:
        return (0, 0)
    unit = _POWERS[text[-1]] if text[-1:] in _POWERS else 1
    if digits is not None:
        half = 0.5 * 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    else:
        half = 0.5 * unit * 10.0 ** -(decimals or 0)
    if half < 0.5:
        return (round(value), round(value))
    return (round(value - half), round(value + half))
