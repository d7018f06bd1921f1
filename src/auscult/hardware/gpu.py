"""One accelerator, and the table of them (``gpus.csv`` and ``power.csv``, a source per row)."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources

__all__ = ["Gpu", "load_table"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator; None where the figure is not known, or differs between the cards that a name fits.

    ``peak_flops_per_s`` maps a dtype (``bfloat16``, ``float16`` with fp32 accumulation, ``float32`` through TF32
    where there is TF32, ``float8``) to the dense peak. ``fp16_accumulate_flops_per_s`` is float16 that also accumulates
    in float16: twice as fast on a GeForce, and not what PyTorch's matrix multiplications do. ``memory_bytes`` is the
    nominal memory, or what the driver reports where the card was asked. ``board_power_w`` is the data sheet's maximum.
    """

    name: str
    vendor: str
    sm_count: int | None
    memory_bytes: int | None
    bandwidth_bytes_per_s: float | None
    bf16_flops_per_s: float | None
    fp16_flops_per_s: float | None
    tf32_flops_per_s: float | None
    fp32_flops_per_s: float | None
    source: str
    fp8_flops_per_s: float | None = None
    fp16_accumulate_flops_per_s: float | None = None
    board_power_w: float | None = None

    def peak_flops_per_s(self, dtype: str) -> float | None:
        """Return the dense peak for a dtype with fp32 accumulation [FLOP/s], or None."""
        match dtype:
            case "bfloat16":
                return self.bf16_flops_per_s
            case "float16":
                return self.fp16_flops_per_s
            case "float32":
                return self.tf32_flops_per_s or self.fp32_flops_per_s
            case "float8":
                return self.fp8_flops_per_s
            case _:
                return None


def _rows(file: str) -> list[dict[str, str]]:
    text = resources.files(__package__ or "auscult.hardware").joinpath(file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@functools.cache
def load_table() -> tuple[Gpu, ...]:
    """Return every card of the table, in its order."""
    watts = {row["name"]: float(row["tdp_w"]) for row in _rows("power.csv")}

    def tera(row: dict[str, str], key: str) -> float | None:
        return float(row[key]) * 1e12 if row[key] else None

    return tuple(
        Gpu(
            name=row["name"],
            vendor=row["vendor"],
            sm_count=int(row["sm_count"]) if row["sm_count"] else None,
            memory_bytes=round(float(row["mem_gib"]) * 2**30) if row["mem_gib"] else None,
            bandwidth_bytes_per_s=float(row["bandwidth_gbs"]) * 1e9 if row["bandwidth_gbs"] else None,
            bf16_flops_per_s=tera(row, "bf16_dense_tflops"),
            fp16_flops_per_s=tera(row, "fp16_fp32acc_tflops"),
            tf32_flops_per_s=tera(row, "tf32_tflops"),
            fp32_flops_per_s=tera(row, "fp32_tflops"),
            source=row["source"],
            fp8_flops_per_s=tera(row, "fp8_tflops"),
            fp16_accumulate_flops_per_s=tera(row, "fp16_dense_tflops"),
            board_power_w=watts.get(row["name"]),
        )
        for row in _rows("gpus.csv")
    )
