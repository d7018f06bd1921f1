"""Published MFUs and HFUs, computed again from tokens per second by the publisher's convention.

``python -m scripts.measured.flops`` prints the table of docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from auscult.facts.flops import Convention, count_flops

from .rows import Row, read_rows

__all__ = ["REPRODUCED", "Comparison", "Publisher", "Summary", "compare", "results", "summaries", "table"]

REPRODUCED = 1e-3
"""Relative error up to which a figure counts as reproduced: figures of two decimals of a per cent allow less at 5 % MFU."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """How a publisher counts.

    Attributes
    ----------
    convention : str
        Of FLOPs.
    peaks : mapping
        What it divides by, by the start of the card's name [FLOP/s]; the empty name stands for every card.
    source : str
        Where it says so; empty where it does not, and the convention is an assumption.
    fp8_factor : float or None
        Of the peak where the run was in FP8; None where such rows cannot be compared.
    """

    convention: Convention
    peaks: Mapping[str, float]
    source: str = ""
    fp8_factor: float | None = None

    def peak(self, row: Row) -> float | None:
        """Return what the publisher divides by for a row [FLOP/s], or None."""
        name = row.gpu_name.lower()
        peak = next((value for start, value in self.peaks.items() if name.startswith(start)), None)
        if peak is not None and row.fp8:
            return peak * self.fp8_factor if self.fp8_factor is not None else None
        return peak


PUBLISHERS: Mapping[str, Publisher] = {
    "mosaicml/llm-foundry": Publisher(
        "llm_foundry",
        {"a100": 312e12, "h100": 1.979e15 / 2},
        "scripts/train/benchmarking/README.md; peaks: composer speed_monitor.py GPU_AVAILABLE_FLOPS",
        fp8_factor=2.0,
    ),
    "karpathy/nanoGPT": Publisher("nanogpt", {"": 312e12}, "model.py estimate_mfu"),
    "karpathy/nanochat": Publisher("palm", {"": 989e12}, "gpt.py estimate_flops; base_train.py before PR 237"),
    "pytorch/torchtitan": Publisher(
        "palm", {"h100": 989e12}, "torchtitan/models/utils.py; peak: tools/utils.py get_peak_flops"
    ),
    "AI-Hypercomputer/maxtext": Publisher(
        "palm", {"tpu v6e": 918e12, "tpu v5p": 459e12}, "docs/reference/models/tiering.md, older than PR 1988's halving"
    ),
    "foundation-model-stack/fms-fsdp": Publisher("palm", {"a100": 312e12, "h100": 989e12}),
    "jzhang38/TinyLlama": Publisher("palm", {"a100": 312e12}),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One published figure (``mfu`` or ``hfu``) and what comes out here, both as fractions."""

    row: Row
    figure: str
    published: float
    ours: float

    @property
    def error(self) -> float:
        """Relative, signed."""
        return self.ours / self.published - 1


@dataclass(frozen=True, slots=True)
class Summary:
    """All comparisons of one figure of one publisher."""

    group: str
    figure: str
    convention: Convention
    stated: bool
    count: int
    reproduced: int
    median_error: float
    max_error: float


def compare(row: Row) -> list[Comparison]:
    """Return the comparisons that a row allows: none where model, length or speed are not known."""
    publisher = PUBLISHERS.get(row.group)
    peak = publisher.peak(row) if publisher else None
    if publisher is None or peak is None or row.model is None or row.context is None or row.tokens_per_s is None:
        return []
    checkpointing = row.setup.checkpointing if row.setup else "none"
    flops = count_flops(row.model, context=row.context, convention=publisher.convention, checkpointing=checkpointing)
    per_flop = row.tokens_per_s / (peak * row.gpu_count)
    found = []
    if row.mfu is not None:
        found.append(Comparison(row, "mfu", row.mfu, per_flop * flops.training))
    if row.hfu is not None and row.setup is not None:
        found.append(Comparison(row, "hfu", row.hfu, per_flop * flops.hardware))
    return found


def results(rows: Sequence[Row] | None = None) -> list[Comparison]:
    """Return every comparison of the table (of ``measured_runs.csv`` when no rows are given)."""
    return [comparison for row in (read_rows() if rows is None else rows) for comparison in compare(row)]


def summaries(comparisons: Sequence[Comparison]) -> list[Summary]:
    """Return one summary for each figure of each publisher; those that state their convention first."""
    found = []
    for group, figure in dict.fromkeys((c.row.group, c.figure) for c in comparisons):
        errors = [abs(c.error) for c in comparisons if (c.row.group, c.figure) == (group, figure)]
        publisher = PUBLISHERS[group]
        found.append(
            Summary(
                group=group,
                figure=figure,
                convention=publisher.convention,
                stated=bool(publisher.source),
                count=len(errors),
                reproduced=sum(error <= REPRODUCED for error in errors),
                median_error=median(errors),
                max_error=max(errors),
            )
        )
    return sorted(found, key=lambda summary: (not summary.stated, -summary.count))


def table(comparisons: Sequence[Comparison] | None = None) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        "| publisher | figure | convention | rows | within 0.1 % | median error | largest error |",
        "|---|---|---|---|---|---|---|",
    ]
    for s in summaries(results() if comparisons is None else comparisons):
        convention = s.convention if s.stated else f"{s.convention} (not stated)"
        lines.append(
            f"| {s.group} | {s.figure.upper()} | {convention} | {s.count} | {s.reproduced} "
            f"| {s.median_error:.3%} | {s.max_error:.3%} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
