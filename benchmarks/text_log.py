"""Time reading a nanoGPT log of 1 GB, every number converted, against ``grep -cE`` counting its records.

Run it with the project's own Python: ``.venv/bin/python benchmarks/text_log.py [--bytes N] [--runs N]``. Each run is a fresh
process (imports included) pinned to one core, the two commands in turn. Prints the median wall times, the peak memory of
each process, and the ratio of the medians, which is what to compare between machines.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEADER = """\
Overriding: batch_size = 12
tokens per iteration will be: 491,520
found vocab_size = 50304 (inside data/openwebtext/meta.pkl)
Initializing a new model from scratch
number of parameters: 123.59M
num decayed parameter tensors: 50, with 124,354,560 parameters
num non-decayed parameter tensors: 98, with 121,344 parameters
using fused AdamW: True
compiling the model... (takes a ~minute)
"""
EVAL_INTERVAL = 1000
TAILS = 20_000
"""Different losses, times and MFUs; the steps go on, these come again."""
READ = """\
import sys
import auscult
run = auscult.read(sys.argv[1])
print(sum(run.get(name).count for name in ("train_loss", "val_loss")))
"""


def write_log(path: Path, size: int) -> None:
    """Write a log of about a size as nanoGPT's ``train.py`` prints it."""
    draw = random.Random(0)
    tails = [
        f": loss {draw.gauss(3.0, 0.2):.4f}, time {draw.lognormvariate(6.9, 0.5):.2f}ms, mfu {draw.gauss(40, 4):.2f}%\n"
        for _ in range(TAILS)
    ]
    unknown = [": loss 10.9876, time 48123.07ms, mfu -100.00%\n"] * 5  # so it prints until the sixth iteration
    with path.open("w", encoding="ascii") as stream:
        written, step = stream.write(HEADER), 0
        while written < size:
            loss, at = draw.gauss(3.0, 0.1), step % TAILS
            written += stream.write(f"step {step}: train loss {loss:.4f}, val loss {loss + 0.05:.4f}\n")
            now = tails[at : at + EVAL_INTERVAL] if step else unknown + tails[5:EVAL_INTERVAL]
            written += stream.write("".join([f"iter {number}{tail}" for number, tail in enumerate(now, step)]))
            step += EVAL_INTERVAL


def measure(command: list[str], core: int | None) -> tuple[float, float, str]:
    """Return the wall time in seconds, the peak memory in MB, and the output of a command on one core."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode().strip()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed with {process.returncode}")
    return took, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6, text


def main() -> None:
    """Write the log, time both commands in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bytes", type=int, default=10**9)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "train.log"
        write_log(log, options.bytes)
        commands = {
            "grep -cE '^(iter|step) [0-9]+:'": ["grep", "-cE", "^(iter|step) [0-9]+:", str(log)],
            "auscult: every number converted": [sys.executable, "-c", READ, str(log)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for run in range(options.runs + 1):
            found = {name: measure(command, core) for name, command in commands.items()}
            if run:  # the first of each warms the caches
                for name, (took, _, _) in found.items():
                    times[name].append(took)
        print(f"{log.stat().st_size:,} bytes")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        spread = f"{min(times[name]):.3f} to {max(times[name]):.3f}, n = {options.runs}"
        print(f"{median:7.3f} s  {found[name][1]:6.1f} MB  {name}  ({spread}; {found[name][2]} records)")
    grep, reader = medians.values()
    print(f"{reader / grep:7.2f}    ratio")


if __name__ == "__main__":
    main()
