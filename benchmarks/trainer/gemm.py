"""How fast this machine multiplies matrices: the rate that a trainer on it is measured against where no peak is published.

``python -m benchmarks.trainer.gemm cpu float32`` prints FLOP/s, the best of some products of random square matrices.
"""

from __future__ import annotations

import os
import sys
import time

import torch

__all__ = ["gemm_flops_per_s"]


def gemm_flops_per_s(device: str, dtype: torch.dtype, *, size: int, repeats: int = 8) -> float:
    """Return the best rate over some products of two random matrices of size x size [FLOP/s]."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(repeats + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_float32_matmul_precision("high")
    print(gemm_flops_per_s(sys.argv[1], getattr(torch, sys.argv[2]), size=8192 if sys.argv[1] == "cuda" else 2048))
