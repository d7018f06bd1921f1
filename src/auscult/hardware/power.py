"""What a card draws at most: the board power of its data sheet (``power.csv``, a source per row)."""

from __future__ import annotations

import csv
import functools
from importlib import resources

from . import Gpu

__all__ = ["board_power_w"]


@functools.cache
def _watts() -> dict[str, float]:
    text = resources.files(__package__ or "auscult.hardware").joinpath("power.csv").read_text(encoding="utf-8")
    return {row["name"]: float(row["tdp_w"]) for row in csv.DictReader(text.splitlines())}


def board_power_w(gpu: Gpu) -> float | None:
    """Return the board power of a card [W]; None where it is not known.

    Examples
    --------
    >>> from auscult.hardware import find_gpu
    >>> board_power_w(find_gpu("RTX 4070"))
    200.0
    """
    return _watts().get(gpu.name)
