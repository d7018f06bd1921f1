"""Predicted against measured speed on every row whose model, setup and card are known.

``python -m scripts.measured.speed`` prints the table, what intervals from the other publishers alone would have covered, the
worst rows, and how the calibrated constants compare with their neighbours.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from auscult.facts import roofline
from auscult.facts.roofline import StepEstimate, estimate_step
from auscult.hardware import Gpu, find_gpu
from auscult.planner.machine import device_of

from .rows import Row, read_rows

__all__ = ["HeldOut", "Result", "calibration", "held_out", "results", "table", "worst"]

CALIBRATED_ON = "mosaicml/llm-foundry"
COVERAGE = 0.9
NOT_ADAMW = re.compile(r"_SOAP/")
"""Rows of an optimiser that the setup cannot say and that takes as long as the model (SOAP's step: 363 ms against Muon's 216)."""
GRID = {
    "MATMUL_EFFICIENCY": (0.73, 0.76, 0.79, 0.82, 0.85),
    "FAST_CARD_LOSS": (0.14, 0.21, 0.28, 0.35),
    "ATTENTION_EFFICIENCY": (0.24, 0.28, 0.32, 0.36, 0.4),
    "BANDWIDTH_EFFICIENCY": (0.6, 0.65, 0.7, 0.75, 0.8),
    "EXCHANGE_EXPOSED": (0.15, 0.25, 0.35),
    "OVERLAP_SHARE": (0.4, 0.6, 0.8),
}

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
        if NOT_ADAMW.search(row.source):
            continue
        gpu = _card(row.gpu_name)
        if gpu is None or row.setup.gpu_count != row.gpu_count:
            continue
        peak = gpu.peak_flops_per_s(_DTYPES[row.setup.precision])
        if peak is None or gpu.bandwidth_bytes_per_s is None:
            continue
        found.append(Result(row, estimate_step(row.model, row.setup, device_of(gpu, row.gpu_count, peak))))
    return found


@functools.cache
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


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One publisher's rows against an interval that comes from all others alone.

    Attributes
    ----------
    group : str
        The publisher.
    rows : int
        Its rows.
    low, high : float
        Of the predicted speed: the narrowest range that leaves a twentieth of the others on either side, each publisher
        weighing the same however many rows it has.
    coverage, coverage_printed : float
        The share of its rows in that range, and in the interval that is printed.
    """

    group: str
    rows: int
    low: float
    high: float
    coverage: float
    coverage_printed: float


def held_out(found: Sequence[Result]) -> list[HeldOut]:
    """Return what an interval from the other publishers would have covered, publisher by publisher."""
    groups: dict[str, list[Result]] = {}
    for result in found:
        groups.setdefault(result.row.group, []).append(result)
    rows = []
    for group, some in sorted(groups.items()):
        weighed = sorted(
            (1 / (1 + result.error), 1 / len(others))
            for name, others in groups.items()
            if name != group
            for result in others
        )
        low, high = _quantile(weighed, (1 - COVERAGE) / 2), _quantile(weighed[::-1], (1 - COVERAGE) / 2)
        inside = sum(low <= 1 / (1 + result.error) <= high for result in some)
        printed = sum(result.inside for result in some)
        rows.append(HeldOut(group, len(some), low, high, inside / len(some), printed / len(some)))
    return rows


def _quantile(weighed: Sequence[tuple[float, float]], share: float) -> float:
    """Return the value below which (in the order given) that share of the weight lies."""
    wanted, seen = share * math.fsum(weight for _value, weight in weighed), 0.0
    for value, weight in weighed:
        seen += weight
        if seen >= wanted:
            return value
    raise ValueError("no rows")


def worst(found: Sequence[Result], count: int = 8) -> str:
    """Return the rows with the largest errors as Markdown."""
    lines = ["| row | source | card | layers x width | context | error |", "|---:|---|---|---|---:|---:|"]
    for result in sorted(found, key=lambda r: -abs(math.log1p(r.error)))[:count]:
        row = result.row
        assert row.model is not None
        lines.append(
            f"| {row.number} | {row.group} | {row.gpu_count} x {row.gpu_name} | {row.model.n_layer} x {row.model.d_model} |"
            f" {row.context} | {100 * result.error:+.0f} % |"
        )
    return "\n".join(lines)


def calibration() -> Iterator[tuple[str, float, float]]:
    """Yield constant, value, and the median absolute error on the calibrating publisher's rows, one constant varied at a time."""
    rows = [row for row in read_rows() if row.group == CALIBRATED_ON]
    for name, values in GRID.items():
        before = getattr(roofline, name)
        try:
            for value in values:
                _set(name, value)
                yield name, value, median(abs(result.error) for result in results(rows))
        finally:
            _set(name, before)


def _set(name: str, value: float) -> None:
    """Set a constant of the roofline; what it has kept under the old value is dropped."""
    setattr(roofline, name, value)
    roofline._pass_seconds.cache_clear()
    roofline._matmul.cache_clear()


def _main() -> None:
    everything = results()
    print(table(everything), "\n")
    for one in held_out(everything):
        print(
            f"{one.group}: {one.rows} rows, {one.coverage:.0%} in {one.low:.2f} to {one.high:.2f} from the others,"
            f" {one.coverage_printed:.0%} in the printed interval"
        )
    print("\n" + worst(everything), "\n")
    ours = {name: getattr(roofline, name) for name in GRID}
    for name, value, error in list(calibration()):
        print(f"{name} {value:.2f}: {error:.2%}", "(ours)" if value == ours[name] else "")


if __name__ == "__main__":
    _main()
