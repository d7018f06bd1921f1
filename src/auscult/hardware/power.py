"""What a card draws at most: the board power of its data sheet (``power.csv``, a source per row)."""

from __future__ import annotations

from .gpu import Gpu

__all__ = ["board_power_w"]


def board_power_w(gpu: Gpu) -> float | None:
    """Return the board power of a card [W]; None where it is not known.

    Examples
    --------
    >>> from auscult.hardware import find_gpu
    >>> board_power_w(find_gpu("RTX 4070"))
    200.0
    """
    return gpu.board_power_w
