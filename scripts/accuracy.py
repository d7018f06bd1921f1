"""Write docs/accuracy.md: our errors against public measurements, and those of other estimators on the same rows.

``make accuracy`` runs it. Without the table of measurements it says so and writes nothing; without the environment of the other
estimators their part is left out, and the page says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.measured import flops, memory, peers, speed  # noqa: E402  # the checkout is put on the path first
from scripts.measured.rows import facts, gpu_truth_rows, read_rows  # noqa: E402  # as above

PAGE = ROOT / "docs" / "accuracy.md"


def page() -> str:
    """Return the page as Markdown."""
    rows = read_rows()
    ours = gpu_truth_rows()
    peaks = [result for result in memory.results(rows) if result.test == "equal"]
    speeds = speed.results(rows)
    inside = sum(result.holds for result in peaks)
    errors = sorted(abs(result.error) for result in peaks)
    return "\n".join(
        [
            "# How exact the arithmetic is",
            "",
            "Written by `make accuracy` (`scripts/accuracy.py`) from `measured_runs.csv`: public measurements, most of them made by the",
            "authors of trainers. A row is used when it says, or its trainer's source implies, every number that the estimate needs;",
            "the others are listed with the reason by `python -m scripts.measured.memory`. Results of `benchmarks/gpu_truth` that are",
            f"committed are rows, too: {len(ours)} of them now.",
            "",
            "| what | rows | median absolute error | inside the printed interval |",
            "|---|---:|---:|---:|",
            f"| memory of a card, setup known | {len(peaks)} | {median(errors):.1%} | {inside} of {len(peaks)} |",
            f"| speed | {len(speeds)} | {median(abs(r.error) for r in speeds):.1%} | {sum(r.inside for r in speeds)} of {len(speeds)} |",
            "",
            "## FLOPs and MFU",
            "",
            flops.table(),
            "",
            "## Memory",
            "",
            "`equal`: the whole setup is known. `at most ours`: the longest sequence that was allowed is known, not the longest that",
            "came. `at least ours`: an older library kept more than today's. `fits`, `out of memory`: the row shows only that it ran on",
            "its card, or did not. `hold`: inside the interval, or on the side of it that the test says.",
            "",
            memory.summary(memory.results(rows)),
            "",
            "The uncertainties of the parts were set by hand with these rows in view, and corrections for what single trainers keep or",
            "free were read from their sources after looking at their rows. Each publisher judged by an interval scaled on the others:",
            "",
            memory.cross_validated(memory.results(rows)),
            "",
            memory.table([r for r in memory.results(rows) if r.row.peak_memory_bytes is not None]),
            "",
            "Cross-entropy alone, against Liger's measurements on an A100:",
            "",
            _cross_entropy(),
            "",
            "## Speed",
            "",
            "The efficiencies of matrix multiplications, of attention and of cards with many FLOPs for each byte were fitted on the",
            "MosaicML rows; every other publisher's are not fitted on. FP8 is out of scope.",
            "",
            speed.table(speeds),
            "",
            "## Other estimators on the same rows",
            "",
            "Estimators that install from PyPI, each called as its documentation says with all that it has a parameter for",
            "(`scripts/measured/peers_worker.py`). Where one leaves the logits, the batch or the sharding out, that is its error.",
            "",
            _peers(),
            "",
        ]
    )


def _cross_entropy() -> str:
    found = memory.cross_entropy()
    worst = max(abs(item.error) for item in found)
    return f"{len(found)} measurements of the kernels that are drawn; the largest error is {worst:.1%}."


def _peers() -> str:
    rows = peers.peer_rows()
    try:
        return peers.peers_table(rows, peers.ask_peers(rows))
    except FileNotFoundError as error:
        return f"Not run: {error}."


def main() -> int:
    """Write the page."""
    if facts() is None:
        print("no measured_runs.csv: set AUSCULT_FACTS to the folder that holds it; docs/accuracy.md is left as it is")
        return 0
    temporary = PAGE.with_suffix(".new")
    temporary.write_text(page(), encoding="utf-8")
    temporary.replace(PAGE)
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
