"""Write docs/performance.md from the committed results: ``python -m benchmarks.trainer.page``. No figure is written by hand."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_truth import page as gpu_page

from .case import Case
from .summary import REFERENCE, ROUNDING, Figures, figures

__all__ = ["NAMES", "page", "section"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = Path(__file__).resolve().parent / "results"
MIB, GIB = 2**20, 2**30
NAMES: Mapping[str, str] = {
    REFERENCE: "plain PyTorch loop, eager",
    "plain-compiled": "plain PyTorch loop, compiled",
    "hf-eager": "Hugging Face Trainer",
    "hf-compiled": "Hugging Face Trainer, `torch_compile`",
    "auscult-eager": "auscult train, `compile = false`",
    "auscult-compiled": "auscult train",
    ROUNDING: "plain PyTorch loop, weights changed by a millionth",
}
OURS, COMPILED, HUGGING_FACE = "auscult-compiled", "plain-compiled", "hf-eager"
HF_TARGET = 1.3
NOISE = 10
"""Curves count as one where they are apart by at most this many times what a millionth of a change makes."""
HEAD = """\
# How fast the trainer is

Written by `python -m benchmarks.trainer.page` from the results under `benchmarks/trainer/results` and `benchmarks/gpu_truth/results`; no
figure here was typed.

```sh
make bench-trainer        # our trainer and its peers on this machine, one run; then this page
make gpu-truth            # what needs a GPU, in one call of at most 9.5 minutes
```

## Against its peers

One case, given to each: the same initial weights (a file), the same tokens, the same crops in the same order, GPT-2 with LayerNorm, GELU by
tanh and a tied head, AdamW (fused; 0.9, 0.95, 1e-8; 0.1 on matrices), gradients clipped at 1, a constant rate, no dropout. Each subject runs
in processes of its own with an empty compiler cache, the subjects in turn, each round in another order. One clock for all: torch calls it
after each step of an optimiser. Peers:

- **plain PyTorch loop**: `plain_loop.py`, written here in the manner of [nanoGPT](https://github.com/karpathy/nanoGPT): the loop that the
  field measures itself by;
- **Hugging Face Trainer**: transformers' `GPT2LMHeadModel` and `Trainer` as documented, with fused AdamW; its GELU is written out in several
  operations, its default (`gelu_new`);
- **auscult train**: the command itself, checks and logs (every step to JSONL and TensorBoard) included.

A **step** is the median of the steps after the warm ones, and of the processes' medians; in brackets the fastest and the slowest process.
**Start** is what a process takes beyond a median step until its first step is done: imports, set-up, compilation. **To the loss** is the
time from the start of the process until the mean of ten steps is at most the target. **Memory** is the peak of the process (compilers it
started not counted), and how much of it came after the imports; on a GPU, reserved and allocated. **Apart** is the largest difference of any
step's loss from the plain eager loop's; equal trainers drift apart too, as the last line shows: the same loop with its weights changed by a
millionth.
"""


def page(results: Sequence[Mapping[str, Any]], gpu: str) -> str:
    """Return the page as Markdown.

    Parameters
    ----------
    results : sequence
        Of ``python -m benchmarks.trainer``, in the order in which they are shown.
    gpu : str
        The part about GPUs.
    """
    parts = [section(result) for result in results] or ["Not measured yet.\n"]
    return "\n".join([HEAD, *parts, gpu])


def section(found: Mapping[str, Any]) -> str:
    """Return the part of one machine."""
    case = Case(**found["case"])
    of = {
        name: figures(case, runs, found["runs"][REFERENCE][0])
        for name, runs in found["runs"].items()
        if runs and name != ROUNDING
    }
    drift = figures(case, found["runs"][ROUNDING], found["runs"][REFERENCE][0]).apart_nats
    about = found["machine"]
    title = about["gpu"].partition(",")[0] if "gpu" in about else f"{about['processor']}, {about['cores']} cores"
    return "\n".join(
        [
            f"### {title}, {found['started'][:10]}",
            "",
            *_machine(found, case),
            "",
            *_table(found, case, of, drift),
            "",
            *_rates(found, case, of),
            "",
            *_verdicts(of, drift),
            "",
            *_curves(found),
            "",
        ]
    )


def _machine(found: Mapping[str, Any], case: Case) -> Iterable[str]:
    about = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    yield (
        f"{case.parameters:,} parameters ({case.n_layer} layers, {case.d_model} wide, {case.n_head} heads), {case.micro_batch} x "
        f"{case.context} tokens{f' x {case.accumulation} passes' if case.accumulation > 1 else ''} a step, {case.dtype}, {case.steps} steps "
        f"of which {case.warm_steps} warm up; {len(found['runs'][REFERENCE])} processes of each, {found['threads']} threads."
    )
    yield ""
    memory = f"{about['memory_bytes'] / GIB:.0f} GiB"
    busy = about["busy_before"]
    others = [run["busy_with_others"] for runs in found["runs"].values() for run in runs if "busy_with_others" in run]
    quiet = "" if busy is None else f"; {100 * busy:.0f} % busy with other things just before"
    quiet += f", at most {100 * max(others):.0f} % during a process" if others else ""
    yield (
        f"{about['processor']}, {about['cores']} cores, {memory}{', ' + about['gpu'] if 'gpu' in about else ''}; {about['system']}; "
        f"Python {about['python']}, {versions}; commit `{found['commit']}`{quiet}."
    )
    yield ""
    yield "```sh"
    yield shlex.join(shlex.split(found["command"]))
    yield "```"


def _table(found: Mapping[str, Any], case: Case, of: Mapping[str, Figures], drift: float) -> Iterable[str]:
    fastest = of.get(OURS)
    yield (
        f"| subject | step [ms] | tokens/s | {'of ours' if fastest else ''} | start [s] | to {case.target_loss:g} nats [s] | memory [MiB] "
        "| apart [nats] |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, one in of.items():
        share = f"{one.step_time_s / fastest.step_time_s:.2f} x" if fastest else ""
        reached = "not reached" if one.to_loss_s is None else f"{one.to_loss_s:.1f}"
        yield (
            f"| {NAMES[name]} | {1000 * one.step_time_s:.1f} ({1000 * one.lowest_s:.1f} to {1000 * one.highest_s:.1f}) "
            f"| {one.tokens_per_s:,.0f} | {share} | {one.start_s:.1f} | {reached} "
            f"| {one.peak_bytes / MIB:,.0f}, {one.above_bytes / MIB:,.0f} | {one.apart_nats:.1e} |"
        )
    yield f"| {NAMES[ROUNDING]} | | | | | | | {drift:.1e} |"
    for name, why in found["failed"].items():
        yield f"| {NAMES[name]} | failed: {why.strip().splitlines()[-1][:120]} | | | | | | |"


def _rates(found: Mapping[str, Any], case: Case, of: Mapping[str, Figures]) -> Iterable[str]:
    """Return FLOPs in both conventions, over the card's peak where one is published, and over what was measured here."""
    peak, gemm = found["peak"], found["gemm_flops_per_s"]
    conventions = list(case.flops_per_token())
    if peak is None:
        yield (
            "No peak is published for this processor, so there is no MFU. The last columns divide by the rate of "
            f"matrix products measured here just before: {gemm / 1e9:.1f} GFLOP/s in {case.dtype}."
        )
    else:
        yield (
            f"MFU over {peak['flops_per_s'] / 1e12:g} TFLOP/s, the dense peak of the {peak['gpu']} in our table; matrix products measured "
            f"here reach {gemm / 1e12:.0f} TFLOP/s."
        )
    yield ""
    over = gemm if peak is None else peak["flops_per_s"]
    what = "of the measured rate" if peak is None else "MFU"
    columns = [f"{name} [GFLOP/s]" for name in conventions] + [f"{what}, {name}" for name in conventions]
    yield f"| subject | {' | '.join(columns)} |"
    yield "|---|" + "---:|" * len(columns)
    for name, one in of.items():
        rates = [f"{one.flops_per_s[convention] / 1e9:,.1f}" for convention in conventions]
        shares = [f"{one.flops_per_s[convention] / over:.1%}" for convention in conventions]
        yield f"| {NAMES[name]} | {' | '.join(rates + shares)} |"


def _verdicts(of: Mapping[str, Figures], drift: float) -> Iterable[str]:
    """Return the targets and whether they are met."""
    ours = of.get(OURS)
    if ours is None:
        yield "Our trainer was not measured in this run."
        return
    if COMPILED in of:
        ratio = ours.step_time_s / of[COMPILED].step_time_s
        yield f"- As fast as the compiled plain loop: {'yes' if ratio <= 1 else 'no'} ({ratio:.3f} of its step)."
    if HUGGING_FACE in of:
        ratio = of[HUGGING_FACE].step_time_s / ours.step_time_s
        met = "yes" if ratio >= HF_TARGET else "no"
        yield f"- At least {HF_TARGET} times as fast as Hugging Face's Trainer: {met} ({ratio:.2f} times)."
    farthest = max(one.apart_nats for one in of.values())
    same = "yes" if farthest <= NOISE * drift else "no"
    yield (
        f"- Equal losses at equal steps: {same} (at most {farthest:.1e} nats apart; a millionth of a change makes {drift:.1e}, and up to "
        f"{NOISE} times that counts as equal)."
    )


def _curves(found: Mapping[str, Any]) -> Iterable[str]:
    """Return the losses at some steps."""
    runs = {name: runs[0]["loss_nats_per_token"] for name, runs in found["runs"].items() if runs}
    last = len(runs[REFERENCE]) - 1
    steps = sorted({0, last, *range(0, last, max(1, last // 6))})
    yield "| loss [nats] at step | " + " | ".join(str(step) for step in steps) + " |"
    yield "|---|" + "---:|" * len(steps)
    for name, losses in runs.items():
        yield f"| {NAMES[name]} | " + " | ".join(f"{losses[step]:.5f}" for step in steps) + " |"


def main() -> int:
    """Write the page."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.glob("*.json"))]
    temporary = PAGE.with_suffix(".new")
    temporary.write_text(page(results, gpu_page.section()), encoding="utf-8")
    temporary.replace(PAGE)
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
