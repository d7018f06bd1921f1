"""What the card does at best: matrix products and copies, the two rates that a step is measured against."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from benchmarks.trainer.gemm import gemm_flops_per_s

__all__ = ["measure_ceilings"]


def measure_ceilings(values: dict[str, Any], device: str) -> dict[str, Any]:
    """Return the rates of square bf16 and fp32 (TF32) products [FLOP/s] and of a copy, bytes read and written [B/s]."""
    size = 128 if values["tiny"] else 8192
    torch.set_float32_matmul_precision("high")
    begins = time.time()
    found = {
        f"gemm_{name}_flops_per_s": gemm_flops_per_s(device, dtype, size=size)
        for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32))
    }
    source = torch.randn(2**16 if values["tiny"] else 2**29, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(9):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        target.copy_(source)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return {
        **found,
        "copy_bytes_per_s": 2 * source.numel() * source.element_size() / median(times),
        "measured_from": begins,
        "measured_to": time.time(),
    }
