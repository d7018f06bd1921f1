"""What a card draws at most: the board power of its data sheet."""

from __future__ import annotations

from . import Gpu

__all__ = ["board_power_w"]

_WATTS = {
    "RTX 3060": 170,
    "RTX 3070": 220,
    "RTX 3080": 320,
    "RTX 3090": 350,
    "RTX 3090 Ti": 450,
    "RTX 4060": 115,
    "RTX 4070": 200,
    "RTX 4070 Ti": 285,
    "RTX 4080": 320,
    "RTX 4090": 450,
    "RTX 5090": 575,
    "A100-PCIE-40GB": 250,
    "A100-SXM4-40GB": 400,
    "A100-SXM4-80GB": 400,
    "H100-SXM5-80GB": 700,
    "H100-PCIE-80GB": 350,
    "H200-SXM-141GB": 700,
    "L4": 72,
    "L40S": 350,
    "T4": 70,
    "RTX A6000": 300,
}
"""Graphics card or maximum thermal design power [W], from NVIDIA's product pages and data sheets (recalled, not re-read)."""


def board_power_w(gpu: Gpu) -> float | None:
    """Return the board power of a card [W]; None where it is not known.

    Examples
    --------
    >>> from auscult.hardware import find_gpu
    >>> board_power_w(find_gpu("RTX 4070"))
    200
    """
    return _WATTS.get(gpu.name)
