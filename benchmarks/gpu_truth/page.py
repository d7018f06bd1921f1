"""The part of docs/performance.md about GPUs: what was measured, or that nothing was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .table import RESULTS, records

__all__ = ["section"]

GIB = 2**30
NONE = """\
## On a GPU

Not measured: no GPU was at hand. Nothing is claimed about speed, memory or MFU on GPUs; what `auscult plan` says of them is computed, and
[accuracy.md](accuracy.md) shows how exact that is against public measurements.

The script is ready and was tried on a processor (`--device cpu --tiny`, every kind of measurement): on a machine with a GPU, `make gpu-truth`
(or `python -m benchmarks.gpu_truth --output FOLDER` from a bare clone) measures in at most 9.5 minutes speed and peak memory of 16 shapes x
{eager, compiled} x {dropout 0, 0.1} x {checkpointing none, full} (half of the combinations of each shape), the MFU of GPT-2 124M over
micro-batch, head size and back-end of attention, the loss in chunks, Muon, compile times, bf16 against fp32, kill -9 and resume, and
stepping down when memory runs out. Committed under `benchmarks/gpu_truth/results`, the figures replace this text and are rows of
accuracy.md.
"""


def section(folder: Path = RESULTS) -> str:
    """Return it as Markdown."""
    parts = [part for file in sorted(folder.glob("*.jsonl")) for part in _file(file)]
    return "\n".join(["## On a GPU", "", *parts]) if parts else NONE


def _file(file: Path) -> Iterable[str]:
    machine, results = records(file)
    if not machine["card"]:
        return
    card = machine["card"]
    yield f"### {card['name']}, {machine['started'][:10]}"
    yield ""
    words = [f"driver {card['driver_version']}", f"power limit {card['power.limit']}", f"torch {machine['torch']}"]
    yield f"{', '.join(words)}, commit `{machine['commit']}`; `{machine['command']}`; every line: `{file.name}`."
    yield ""
    peak = _peak(card["name"])
    if peak:
        yield f"MFU over {peak / 1e12:g} TFLOP/s (dense bf16), by 6N+12LdT and by 6N with attention causal and halved."
        yield ""
    yield "| what | step [ms] | tokens/s | MFU | causal | compile [s] | allocated [GiB] | reserved [GiB] | SM [MHz] | power [W] |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for result in results:
        if result["kind"] == "step" and result["status"] not in ("done before", "no time left"):
            yield _step(result, peak)
    yield ""
    for result in results:
        if result["kind"] != "step" and result["status"] not in ("done before", "no time left"):
            yield from _other(result)
    late = sum(result["status"] == "no time left" for result in results)
    yield f"{late} measurements had no time left." if late else ""
    yield ""


def _peak(name: str) -> float | None:
    from auscult.hardware import find_gpu

    gpu = find_gpu(name)
    return gpu.peak_flops_per_s("bfloat16") if gpu else None


def _step(result: Mapping[str, Any], peak: float | None) -> str:
    if result["status"] != "ok":
        return f"| {result['name']} | {result['status']} | | | | | | | | |"
    shares = [
        f"{flops * result['tokens_per_s'] / peak:.1%}" if peak else "" for flops in result["flops_per_token"].values()
    ]
    cells = [
        result["name"],
        f"{1000 * result['step_time_s']:.2f}",
        f"{result['tokens_per_s']:,.0f}",
        *shares,
        f"{result['compile_s']:.1f}" if result["step"]["compiled"] else "",
        f"{result['peak_allocated_bytes'] / GIB:.2f}",
        f"{result['peak_reserved_bytes'] / GIB:.2f}",
        f"{result['sm_clock_mhz']:.0f}" if "sm_clock_mhz" in result else "",
        f"{result['power_w']:.0f}" if "power_w" in result else "",
    ]
    return f"| {' | '.join(cells)} |"


def _other(result: Mapping[str, Any]) -> Iterable[str]:
    if result["status"] != "ok":
        yield f"- {result['name']}: {result['status']} ({result.get('error', '')[:200]})"
        return
    match result["kind"]:
        case "ceilings":
            yield (
                f"- Matrix products {result['gemm_bfloat16_flops_per_s'] / 1e12:.0f} TFLOP/s in bf16, "
                f"{result['gemm_float32_flops_per_s'] / 1e12:.0f} in TF32; copies {result['copy_bytes_per_s'] / 1e12:.2f} TB/s, read and written."
            )
        case "agreement":
            yield "- One pass against eager fp32 (relative error of the loss, of the gradients):"
            for name, path in result["paths"].items():
                told = path.get("failed") or f"{path['loss_relative_error']:.1e}, {path['gradient_relative_error']:.1e}"
                yield f"  - {name}: {told}"
            last = {dtype: losses[-1] for dtype, losses in result["training"].items()}
            yield f"- Loss after 20 steps: {last['float32']:.4f} in fp32, {last['bfloat16']:.4f} in bf16."
        case "resume":
            yield (
                f"- Killed by SIGKILL after step {result['killed_after_step']} of {result['steps']}, resumed at {result['resumed_at_step']}: losses at most "
                f"{result['apart_nats']:.1e} nats from the run left alone, which repeats itself to {result['apart_by_itself_nats']:.1e}."
            )
        case "step_down":
            yield (
                f"- A micro-batch of {result['asked_micro_batch']} on a card that had not the memory: {result['steps_down']} steps down to "
                f"{result['micro_batch']}, {result['tokens_per_step']:,} tokens per step kept of {result['wanted_tokens_per_step']:,}."
            )


if __name__ == "__main__":
    print(section())
