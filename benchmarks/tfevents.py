"""Time our reader of event files against TensorBoard's on a million scalars, each in a process of its own on one core.

Run it with the project's own Python: ``.venv/bin/python benchmarks/tfevents.py [runs]``; it needs torch and tensorboard. The file is
what torch's SummaryWriter writes: 250 000 steps of four tags. Prints the median seconds of reading (without imports) and of the
whole process, the peak memory of each, and the ratios; the ratios are what to compare between machines.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = 250_000
TAGS = ("train/loss", "train/learning_rate", "train/grad_norm", "perf/tokens_per_second")
WRITE = """
import sys, warnings
warnings.simplefilter("ignore")
from torch.utils.tensorboard import SummaryWriter
folder, steps, *tags = sys.argv[1:]
writer = SummaryWriter(folder, max_queue=10_000, flush_secs=3600)
for step in range(int(steps)):
    for i, tag in enumerate(tags):
        writer.add_scalar(tag, 3.0 + i + step / 1e6, step, walltime=1.7e9 + step / 10)
writer.close()
"""
REPORT = """
print(json.dumps({"points": points, "seconds": seconds, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
READERS = {
    "auscult": """
import json, resource, sys, time
import crc32c, numpy
from auscult.readers.formats.tfevents import read_events
start = time.perf_counter()
with open(sys.argv[1], "rb") as stream:
    found = read_events(stream, name=sys.argv[1])
seconds = time.perf_counter() - start
points = sum(map(len, found.scalars.values()))
assert (found.damage, found.unread_bytes, found.skipped_bytes) == (None, 0, 0)
""",
    "EventAccumulator": """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
start = time.perf_counter()
found = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
found.Reload()
seconds = time.perf_counter() - start
points = sum(len(found.Scalars(tag)) for tag in found.Tags()["scalars"])
""",
}


def write(folder: str) -> Path:
    """Have torch write the file."""
    subprocess.run([sys.executable, "-c", WRITE, folder, str(STEPS), *TAGS], check=True, stderr=subprocess.DEVNULL)
    return next(Path(folder).glob("*tfevents*"))


def measure(code: str, path: Path) -> tuple[float, float, float]:
    """Seconds of reading, seconds of the process, and its peak MiB."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT, str(path)],
        cwd=ROOT / "src",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    whole = time.perf_counter() - start
    report = json.loads(done.stdout)
    assert report["points"] == STEPS * len(TAGS), report
    return report["seconds"], whole, report["mib"]


def main() -> None:
    """Write the file, read it in turn with both, and print the medians."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # inherited by the processes started below
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder)
        print(f"{path.stat().st_size / 1e6:.1f} MB, {STEPS * len(TAGS)} scalars, one core, n = {runs}")
        results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in READERS}
        for _ in range(runs):
            for name, code in READERS.items():
                results[name].append(measure(code, path))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in results.items()
    }
    for name, (seconds, whole, mib) in medians.items():
        low, high = min(results[name])[0], max(results[name])[0]
        print(
            f"{seconds:7.2f} s reading ({low:.2f} to {high:.2f})  {whole:7.2f} s process  {mib:5.0f} MiB peak  {name}"
        )
    ours, theirs = medians.values()
    seconds, whole, mib = (b / a for a, b in zip(ours, theirs, strict=True))
    print(f"{seconds:7.1f}                            {whole:7.1f}           {mib:9.1f}           ratio")


if __name__ == "__main__":
    main()
