"""Measure our trainer and its peers in one run: ``python -m benchmarks.trainer``; ``--help`` says what can be set.

Every subject runs in a process of its own with a compiler cache of its own, the subjects in turn and each round in another order, so
that a machine that slows down slows all. The result is a file of JSON under ``benchmarks/trainer/results``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case, load_case, prepare
from .summary import REFERENCE, ROUNDING, figures, step_times_s

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))  # this checkout is measured, whatever is installed
RESULTS = Path(__file__).resolve().parent / "results"
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    REFERENCE: ("plain_loop",),
    "plain-compiled": ("plain_loop", "compile"),
    "hf-eager": ("hugging_face",),
    "hf-compiled": ("hugging_face", "compile"),
    "auscult-eager": ("ours",),
    "auscult-compiled": ("ours", "compile"),
}
"""Name: module and options."""
PACKAGES = ("torch", "transformers", "accelerate", "numpy")


def run_subject(
    name: str, module: str, options: Sequence[str], case: Path, threads: int, *, quiet: bool = True
) -> dict[str, Any]:
    """Run a subject in a process of its own and return what was observed.

    Raises
    ------
    RuntimeError
        When the process fails: with the end of what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="auscult-bench-") as scratch:
        result = Path(scratch) / "result.json"
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "TORCHINDUCTOR_CACHE_DIR": str(Path(scratch) / "compiled"),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, "-m", f"benchmarks.trainer.{module}", str(case), str(result)]
        before, own_before = _processor_s(), _children_s()
        done = subprocess.run(
            [*command, str(time.perf_counter()), *options],
            cwd=ROOT,
            env=environment,
            capture_output=quiet,
            text=True,
            check=False,
        )
        if done.returncode or not result.exists():
            raise RuntimeError(f"{name} failed with {done.returncode}: {(done.stderr or '')[-2000:]}")
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        after = _processor_s()
        if before is not None and after is not None:
            busy, whole = after[0] - before[0], after[1] - before[1]
            found["busy_with_others"] = round(max(0.0, busy - (_children_s() - own_before)) / max(whole, 1e-9), 3)
        return found


def machine(device: str) -> dict[str, Any]:
    """Return what the machine is, and how busy it was with other things just before."""
    names = [platform.processor() or platform.machine()]
    if Path("/proc/cpuinfo").exists():
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8")) or names
    found: dict[str, Any] = {
        "processor": names[0],
        "cores": _cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "busy_before": _busy(),
    }
    if device == "cuda":
        query = "name,driver_version,clocks.sm,clocks.mem,power.limit"
        command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _busy() -> float | None:
    """Return the share of all cores that was busy over two seconds, before anything is started."""
    before = _processor_s()
    time.sleep(2)
    after = _processor_s()
    if before is None or after is None:
        return None
    return round((after[0] - before[0]) / max(1e-9, after[1] - before[1]), 3)


def _processor_s() -> tuple[float, float] | None:
    """Return how long all cores have been busy, what a hypervisor took included, and how long they have been there [s]."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    values = [int(value) for value in stat.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    ticks = os.sysconf("SC_CLK_TCK")
    return (sum(values) - values[3] - values[4]) / ticks, sum(values) / ticks


def _children_s() -> float:
    """Return the processor time of all processes that this one has waited for, and of theirs [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commit() -> str:
    """Return the commit, marked where the working tree differs from it."""
    say = {"cwd": ROOT, "capture_output": True, "text": True, "check": False}
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **say)  # type: ignore[call-overload]  # keywords in a dict
    if head.returncode:
        return "no repository"
    changed = subprocess.run(["git", "status", "--porcelain"], **say)  # type: ignore[call-overload]  # as above
    return str(head.stdout.strip()) + (" with changes" if changed.stdout.strip() else "")


def versions() -> dict[str, str]:
    """Return the versions of what runs."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def gemm(case: Case, threads: int) -> float:
    """Return the measured rate of matrix products in the case's precision [FLOP/s]."""
    command = [sys.executable, "-m", "benchmarks.trainer.gemm", case.device, case.dtype]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def peak(case: Case, card: str | None) -> dict[str, Any] | None:
    """Return the published dense peak of a card, and its name in the table; None for processors."""
    if card is None:
        return None
    from auscult.hardware import find_gpu

    gpu = find_gpu(card.partition(",")[0])
    flops = gpu.peak_flops_per_s(case.dtype) if gpu else None
    return None if gpu is None or flops is None else {"gpu": gpu.name, "flops_per_s": flops}


def measure(case: Case, subjects: Sequence[str], repeats: int, threads: int) -> dict[str, Any]:
    """Run all subjects and return everything that was seen."""
    about = machine(case.device)
    found: dict[str, Any] = {
        "command": "python -m benchmarks.trainer " + " ".join(sys.argv[1:]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": about,
        "versions": versions(),
        "threads": threads,
        "case": asdict(case),
        "gemm_flops_per_s": gemm(case, threads),
        "peak": peak(case, about.get("gpu")),
        "runs": {name: [] for name in (*subjects, ROUNDING)},
        "failed": {},
    }
    with tempfile.TemporaryDirectory(prefix="auscult-case-") as scratch:
        folder = Path(scratch)
        prepare(case, folder)
        if any(name.startswith("auscult") for name in subjects):
            from .ours import crops

            np.save(folder / "crops.npy", crops(load_case(folder), folder))
        for repeat in range(repeats):
            turn = repeat % len(subjects)
            for name in (*subjects[turn:], *subjects[:turn]):
                module, *options = SUBJECTS[name]
                _note(found, name, module, options, folder, threads)
        _note(found, ROUNDING, "plain_loop", ["rounding"], folder, threads)
    return found


def _note(found: dict[str, Any], name: str, module: str, options: list[str], folder: Path, threads: int) -> None:
    """Run a subject once more and keep what was seen; one that fails is noted, and the others go on."""
    if name in found["failed"]:
        return
    try:
        run = run_subject(name, module, options, folder, threads)
    except RuntimeError as error:
        found["failed"][name] = str(error)
        print(error, file=sys.stderr)
        return
    found["runs"][name].append(run)
    times = sorted(step_times_s(run, Case(**found["case"]).warm_steps))
    print(f"{name:18} {times[len(times) // 2]:.4f} s a step, loss {run['loss_nats_per_token'][-1]:.4f}", flush=True)


def table(found: Mapping[str, Any]) -> str:
    """Return the figures as lines of text."""
    case = Case(**found["case"])
    reference = found["runs"][REFERENCE][0]
    lines = [f"GEMM {found['gemm_flops_per_s'] / 1e9:.1f} GFLOP/s; {case.parameters:,} parameters"]
    for name, runs in found["runs"].items():
        if not runs:
            continue
        of = figures(case, runs, reference)
        reached = f"{of.to_loss_s:.1f} s" if of.to_loss_s is not None else "never"
        lines.append(
            f"{name:18} {of.step_time_s:.4f} s ({of.lowest_s:.4f} to {of.highest_s:.4f}) {of.tokens_per_s:8.0f} tokens/s "
            f"{of.peak_bytes / 2**20:6.0f} MiB, to {case.target_loss} nats {reached}, apart {of.apart_nats:.1e} nats"
        )
    return "\n".join(lines)


def slug(found: Mapping[str, Any]) -> str:
    """Return the name of the file that results go to: machine and date."""
    about = found["machine"]
    name = about["gpu"].partition(",")[0] if "gpu" in about else f"{about['processor']} {about['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", f"{name} {found['started'][:10]}".lower()).strip("-")


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer", description=__doc__.partition("\n")[0])
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each subject (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=None, help="default: one a core")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: %(default)s)")
    for field in fields(Case):
        flag = "--" + field.name.replace("_", "-")
        kind = {"int": int, "float": float, "str": str}[str(field.type)]
        parser.add_argument(flag, type=kind, default=field.default, help="default: %(default)s")
    options = parser.parse_args()
    case = Case(**{field.name: getattr(options, field.name) for field in fields(Case)})
    subjects = options.subjects.split(",")
    if unknown := set(subjects) - set(SUBJECTS):
        parser.error(f"unknown subjects {sorted(unknown)}; known: {', '.join(SUBJECTS)}")
    if REFERENCE not in subjects:
        parser.error(f"{REFERENCE} is what losses are compared with: add it")
    if not 1 <= case.warm_steps < case.steps:
        parser.error(f"at least 1 warm step and one more are needed, found {case.warm_steps} of {case.steps}")
    found = measure(case, subjects, options.repeats, options.threads or _cores())
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{slug(found)}.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    temporary.replace(path)
    if found["runs"][REFERENCE]:
        print(table(found))
    print(f"wrote {path}")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
