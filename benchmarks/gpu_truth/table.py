"""Results as rows of the estimator's error table: ``python -m benchmarks.gpu_truth.table RESULTS.jsonl … > rows.csv``.

The columns are those of ``measured_runs.csv``. ``scripts/measured`` reads every file under ``benchmarks/gpu_truth/results`` through
`rows_of`, so that a committed result is a row of docs/accuracy.md.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "GROUP", "RESULTS", "records", "rows_of"]

GROUP = "auscult/gpu_truth"
"""What these rows' publisher is called."""
RESULTS = Path(__file__).resolve().parent / "results"
COLUMNS = (
    *("source", "gpu", "n_gpu", "model", "n_layer", "n_head", "n_kv_head", "n_embd", "ffn", "vocab", "seq"),
    *("micro_batch", "grad_accum", "dtype", "compile", "flash", "checkpointing", "optimizer", "parallelism"),
    *("peak_mem_gib", "tokens_per_s", "mfu", "notes"),
)
GIB = 2**30
_SHOWN = ("ok", "out of memory")


def records(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the results of a file were measured on, and the results.

    Raises
    ------
    ValueError
        When a line is no JSON, or the first is not that of the machine.
    """
    lines = []
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}:{number}: not a line of JSON: {error}") from error
    if not lines or lines[0].get("kind") != "machine":
        raise ValueError(f"{file}:1: expected the machine's line of benchmarks.gpu_truth")
    return lines[0], [line for line in lines[1:] if "status" in line]


def rows_of(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the timed steps of a result file, each with its line: all columns, what is not known left empty.

    Results on a processor are no rows.
    """
    machine, _ = records(file)
    name = machine["card"].get("name")
    if name is None:
        return
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        record = json.loads(text)
        if record.get("kind") == "step" and record.get("status") in _SHOWN:
            yield number, _row(record, name, file.name)


def _row(record: dict[str, Any], card: str, file: str) -> dict[str, str]:
    step = record["step"]
    shape = step["shape"]
    ran = record["status"] == "ok"
    notes = [f"dropout {step['dropout']:g}", f"cross-entropy {step['cross_entropy']}", f"{record['section']} of {file}"]
    if ran:
        notes.insert(0, f"allocated peak; reserved {record['peak_reserved_bytes'] / GIB:.6f} GiB")
    return {
        "source": f"{GROUP} {file}",
        "gpu": card,
        "n_gpu": "1",
        "model": f"{step['family']}-{shape['n_layer']}x{shape['d_model']}",
        "n_layer": str(shape["n_layer"]),
        "n_head": str(shape["n_head"]),
        "n_kv_head": str(shape["n_head"]),
        "n_embd": str(shape["d_model"]),
        "ffn": str(4 * shape["d_model"]),
        "vocab": str(shape["vocab_size"]),
        "seq": str(shape["context"]),
        "micro_batch": str(shape["micro_batch"]),
        "grad_accum": str(step["accumulation"]),
        "dtype": "amp_bf16" if step["dtype"] == "bfloat16" else "fp32",
        "compile": "yes" if step["compiled"] else "no",
        "flash": "flex" if step["backend"] == "flex" else "sdpa",
        "checkpointing": step["checkpointing"],
        "optimizer": "muon+adamw" if step["optimizer"] == "muon" else "adamw",
        "parallelism": "",
        "peak_mem_gib": f"{record['peak_allocated_bytes'] / GIB:.6f}" if ran else "OOM",
        "tokens_per_s": f"{record['tokens_per_s']:.1f}" if ran else "",
        "mfu": "",
        "notes": "; ".join(notes),
    }


def main() -> None:
    """Print the rows of the files given."""
    writer = csv.DictWriter(sys.stdout, COLUMNS)
    writer.writeheader()
    for file in sys.argv[1:]:
        for _, row in rows_of(Path(file)):
            writer.writerow(row)


if __name__ == "__main__":
    main()
