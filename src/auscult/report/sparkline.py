"""A loss curve in a few rows of braille dots."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["braille_curve"]

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def braille_curve(steps: Sequence[int], values: Sequence[float], *, width: int, height: int) -> list[str]:
    """Draw a curve against ln(step), top row first.

    Parameters
    ----------
    steps : sequence of int
        Increasing, above 0.
    values : sequence of float
        One a step, finite.
    width, height : int
        In characters; each holds 2 × 4 dots.

    Examples
    --------
    >>> braille_curve([1, 10, 100], [3.0, 2.0, 1.0], width=4, height=1)
    ['⠉⠒⠤⣀']
    """
    x = [math.log(step) for step in steps]
    low, high = min(values), max(values)
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    index = 0
    for column in range(columns):
        at = x[0] + (x[-1] - x[0]) * column / max(columns - 1, 1)
        while index < len(x) - 2 and x[index + 1] < at:
            index += 1
        span = x[index + 1] - x[index] if len(x) > 1 else 0.0
        share = (at - x[index]) / span if span else 0.0
        value = values[index] + (values[min(index + 1, len(values) - 1)] - values[index]) * min(max(share, 0.0), 1.0)
        row = round((high - value) / (high - low) * (rows - 1)) if high > low else rows - 1
        cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]
    return ["".join(chr(0x2800 + cell) for cell in row) for row in cells]
