"""Measure everything that a GPU is needed for, within a budget of time.

    python -m benchmarks.gpu_truth --output $OUT                     one call: at most 9.5 minutes
    python -m benchmarks.gpu_truth --output $OUT --done OLD.jsonl    what an earlier call on the same card had no time for
    python -m benchmarks.gpu_truth --output /tmp/x --device cpu --tiny    every path of the code, without a GPU

Runs from a bare clone wherever Python >= 3.11 has torch and numpy (``faults`` also need auscult's own dependencies). Results are lines of
JSON, each written when it comes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .card import Sampler, card_facts
from .design import Job, design

ROOT = Path(__file__).resolve().parents[2]
BUDGET_S = 570.0
RESERVE_S = 5.0
"""Kept for the last lines."""
START_S = 90.0
"""A worker that is not ready by then never will be."""
MIB = 2**20


class Worker:
    """The measuring process, started when first needed and again after it died."""

    def __init__(self, device: str, log: Path) -> None:
        self._device, self._log = device, log
        self._process: subprocess.Popen[bytes] | None = None
        self._results = -1
        self.facts: dict[str, Any] = {}

    def ask(self, job: Job, seconds: float) -> dict[str, Any]:
        """Return the result of a job, or how it ended without one."""
        end = time.monotonic() + seconds
        if self._process is None:
            self._start()
            ready = self._line(min(end, time.monotonic() + START_S))
            if ready is None:
                return self._ended("the worker did not start")
            self.facts = {key: ready[key] for key in ("torch", "cuda") if key in ready}
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"kind": job.kind, "values": dict(job.values)}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._ended("crashed")
        found = self._line(end)
        if found is None:
            return self._ended("timed out" if time.monotonic() >= end else "crashed")
        return found

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with what it started: its session is its own
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
            os.close(self._results)

    def _start(self) -> None:
        self._results, write = os.pipe()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gpu_truth.worker", self._device, str(write)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(write,),
                start_new_session=True,
            )
        os.close(write)

    def _line(self, end: float) -> dict[str, Any] | None:
        """Return the next result; None when the process ends or the time does."""
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._results, selectors.EVENT_READ)
            while not text.endswith(b"\n"):
                if not selector.select(max(0.0, end - time.monotonic())):
                    return None
                part = os.read(self._results, 1 << 16)
                if not part:
                    return None
                text += part
        found: dict[str, Any] = json.loads(text)
        return found

    def _ended(self, status: str) -> dict[str, Any]:
        assert self._process is not None
        code = self._process.poll()
        self.close()
        return {"status": status, "returncode": code}


def run(
    jobs: Iterable[Job], worker: Worker, sampler: Sampler, out: Any, budget_s: float, done: set[str]
) -> dict[str, int]:
    """Do the jobs in their order while there is time, and write each result at once; return how many ended how."""
    end = time.monotonic() + budget_s - RESERVE_S
    counts: dict[str, int] = {}
    for job in jobs:
        if job.name in done:
            found: dict[str, Any] = {"status": "done before"}
        elif time.monotonic() + job.about_s > end:
            found = {"status": "no time left"}
        else:
            start = time.monotonic()
            found = worker.ask(job, min(job.limit_s, end - time.monotonic()))
            found["wall_s"] = round(time.monotonic() - start, 2)
            if "measured_from" in found:
                found |= sampler.between(found.pop("measured_from"), found.pop("measured_to"))
        counts[found["status"]] = counts.get(found["status"], 0) + 1
        write(out, {"name": job.name, "section": job.section, "kind": job.kind, **job.values, **found})
        if found["status"] != "done before":
            print(line_of(job, found), flush=True)
    return counts


def write(out: Any, values: Mapping[str, Any]) -> None:
    """Write a line that survives what comes after it."""
    out.write(json.dumps(values) + "\n")
    out.flush()
    os.fsync(out.fileno())


def line_of(job: Job, found: Mapping[str, Any]) -> str:
    """Return a result in one line for a person."""
    text = f"{found['status']:12} {found.get('wall_s', 0):6.1f} s  {job.name}"
    if found["status"] == "ok" and job.kind == "step":
        text += f": {1000 * found['step_time_s']:.1f} ms, {found['tokens_per_s']:,.0f} tokens/s"
        if "peak_allocated_bytes" in found:
            text += f", {found['peak_allocated_bytes'] / MIB:,.0f} MiB allocated"
    elif "error" in found:
        text += f": {found['error'].splitlines()[0][:160]}"
    return text


def done_before(files: Sequence[Path], card: str) -> set[str]:
    """Return the names of what earlier calls on a card of this name measured."""
    names = set()
    for file in files:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        if lines and lines[0].get("card", {}).get("name", "") == card:
            names |= {line["name"] for line in lines[1:] if line.get("status") in ("ok", "out of memory")}
    return names


def commit() -> str:
    """Return the commit, or what a copy without a repository says."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "no repository"


def machine(device: str) -> dict[str, Any]:
    """Return what the results were measured on."""
    from importlib.metadata import version

    return {
        "kind": "machine",
        "device": device,
        "card": card_facts() if device == "cuda" else {},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": "python -m benchmarks.gpu_truth " + " ".join(sys.argv[1:]),
        "torch": version("torch"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def card_bytes(facts: Mapping[str, str]) -> int | None:
    """Return the memory of a card as nvidia-smi says it: ``81559 MiB``."""
    found = re.match(r"(\d+) MiB", facts.get("memory.total", ""))
    return int(found[1]) * MIB if found else None


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_truth", description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="models that a processor trains in a moment")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds in all (default: %(default)s)")
    parser.add_argument("--done", type=Path, nargs="*", default=[], help="results of earlier calls: not measured again")
    parser.add_argument("--only", default="", help="sections, comma-separated")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    about = machine(options.device)
    if options.device == "cuda" and not about["card"]:
        parser.error("nvidia-smi finds no card; --device cpu --tiny tries the code without one")
    jobs = design(tiny=options.tiny, card_bytes=card_bytes(about["card"]))
    if options.only:
        jobs = [job for job in jobs if job.section in options.only.split(",")]
    stem = re.sub(r"[^a-z0-9]+", "-", f"{about['card'].get('name', 'cpu')} {about['started'][:16]}".lower()).strip("-")
    path = options.output / f"{stem}.jsonl"
    worker, sampler = Worker(options.device, options.output / f"{stem}.log"), Sampler()
    try:
        with path.open("w", encoding="utf-8") as out:
            write(out, about)
            done = done_before(options.done, about["card"].get("name", ""))
            counts = run(jobs, worker, sampler, out, options.budget, done)
            write(out, {"kind": "end", "counts": counts, **worker.facts})
    finally:
        worker.close()
        sampler.close()
    print(f"{path}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return 0 if counts.get("ok") else 1


if __name__ == "__main__":
    sys.exit(main())
