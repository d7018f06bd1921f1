"""How fast one card exchanges data with the others: NVLink inside a node where the card has it, the network between nodes."""

from __future__ import annotations

from . import Gpu

__all__ = ["NODE_CARDS", "link_bytes_per_s"]

NODE_CARDS = 8
_NVLINK = (
    ("b200", 900e9),
    ("b100", 900e9),
    ("h200", 450e9),
    ("h100", 450e9),
    ("h800", 200e9),
    ("a100", 300e9),
    ("a800", 200e9),
    ("v100", 150e9),
)
"""One direction, all links of a card together (NVIDIA data sheets: B200 1.8 TB/s, H100 SXM 900 GB/s, H800 and A800 400 GB/s, A100
600 GB/s, V100 300 GB/s in both directions)."""
_NETWORK = (
    ("b200", 400e9),
    ("b100", 400e9),
    ("h200", 400e9),
    ("h100", 400e9),
    ("h800", 400e9),
    ("a100", 200e9),
    ("a800", 200e9),
    ("v100", 50e9),
)
"""Of a whole node, one direction (NVIDIA DGX data sheets: DGX H100 8 x 400 Gb/s, DGX A100 8 x 200 Gb/s, DGX-1 4 x 100 Gb/s). A ring
over many nodes enters and leaves each of them over all adapters at once, so that what reaches one card is bound by its node's
network, not by an eighth of it (NVIDIA/nccl-tests, doc/PERFORMANCE.md, "bus bandwidth")."""


def link_bytes_per_s(gpu: Gpu, count: int) -> float | None:
    """Return what one of several cards exchanges with the others [B/s]; None where it is not known.

    Examples
    --------
    >>> from auscult.hardware import find_gpu
    >>> [link_bytes_per_s(find_gpu("A100 80GB SXM"), count) for count in (8, 64)], link_bytes_per_s(find_gpu("RTX 4090"), 2)
    ([300000000000.0, 200000000000.0], None)
    """
    name = gpu.name.lower()
    if "pcie" in name and count <= NODE_CARDS:
        return None
    inside = next((speed for key, speed in _NVLINK if key in name), None)
    if count <= NODE_CARDS or inside is None:
        return inside
    return min(inside, next(speed for key, speed in _NETWORK if key in name))
