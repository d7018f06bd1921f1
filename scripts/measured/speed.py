"""Predicted against measured speed on every row whose model, setup and card are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from auscult.facts.roofline import StepEstimate, estimate_step
from auscult.hardware import Gpu, find_gpu
from auscult.planner.machine import device_of

from .rows import Row, read_rows

__all__ = ["Result", "results", "table"]

_DTYPES = {"amp_bf16": "bfloat16", "bf16": "bfloat16", "amp_fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True, slots=True)
class Result:
    """One row with its prediction."""

    row: Row
    step: StepEstimate

    @property
    def error(self) -> float:
        """Predicted over measured speed, less one."""
        assert self.row.tokens_per_s is not None
        return self.step.tokens_per_s.value / self.row.tokens_per_s - 1

    @property
    def inside(self) -> bool:
        """Whether the measured speed lies in the printed interval."""
        assert self.row.tokens_per_s is not None
        return self.step.tokens_per_s.low <= self.row.tokens_per_s <= self.step.tokens_per_s.high


def results(rows: Sequence[Row] | None = None) -> list[Result]:
    """Return a prediction for every usable row; FP8 is out of scope."""
    found = []
    for row in read_rows() if rows is None else rows:
        if row.model is None or row.setup is None or row.tokens_per_s is None or row.fp8:
            continue
        gpu = _card(row.gpu_name)
        if gpu is None or row.setup.gpu_count != row.gpu_count:
            continue
        peak = gpu.peak_flops_per_s(_DTYPES[row.setup.precision])
        if peak is None or gpu.bandwidth_bytes_per_s is None:
            continue
        found.append(Result(row, estimate_step(row.model, row.setup, device_of(gpu, row.gpu_count, peak))))
    return found


def _card(name: str) -> Gpu | None:
    """Return the card of a row; where its name leaves the form open (``h100_80gb``), the one on NVLink that nodes are built of."""
    plain = re.sub(r"_(\d+)gb", r" \1GB", name)
    gpu = find_gpu(plain)
    if gpu is None or gpu.bandwidth_bytes_per_s is None:
        gpu = find_gpu(plain + " SXM") or find_gpu(re.sub(r"\s*\d+GB", "", plain) + " SXM") or gpu
    return gpu


def table(found: Sequence[Result]) -> str:
    """Return the summary by publisher and card as Markdown."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in found:
        groups.setdefault((result.row.group, result.row.gpu_name), []).append(result)
    lines = [
        "| source | card | rows | median error | median absolute error | inside the interval |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for (group, card), some in sorted(groups.items()):
        lines.append(_line(group, card, some))
    lines.append(_line("all", "", found))
    return "\n".join(lines)


def _line(group: str, card: str, some: Sequence[Result]) -> str:
    errors = [result.error for result in some]
    inside = sum(result.inside for result in some) / len(some)
    return (
        f"| {group} | {card} | {len(some)} | {100 * median(errors):+.1f} % | {100 * median(map(abs, errors)):.1f} % |"
        f" {100 * inside:.0f} % |"
    )


if __name__ == "__main__":
    everything = results()
    print(table(everything))
