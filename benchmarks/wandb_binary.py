"""Time `read_wandb` on a quarter of a million history rows, against framing, wandb's own protobuf classes and `json.loads`.

Run it with a Python that has wandb, numpy and msgspec: ``python benchmarks/wandb_binary.py``; or give the Python that has wandb:
``.venv/bin/python benchmarks/wandb_binary.py /path/to/venv/bin/python``. Both sides read the same file, each run in a fresh process
pinned to one core, checksums verified by both; ours counts its imports, the peer does not. Prints the median CPU time of interleaved
runs, which is the wall time of an idle machine, peak memory, and the ratio, which is what to compare between machines. Two files:
keys in one order, as wandb's Python writes them, and in changing order, as its Go core does.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROWS = 250_000
RUNS = 5

MEASURE = """
import resource, sys, time
start = time.process_time()
path = sys.argv[1]
{body}
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, values, repr(total))
"""
OURS = """
from auscult.readers.formats.wandb_binary import read_wandb
with open(path, "rb") as stream:
    found = read_wandb(stream, name=path)
assert found.damage is None and found.closed
values = sum(len(column[1]) for column in found.history.values())
total = sum(found.history["train/loss"][1])
"""
PEER = """
import json, struct, zlib
from wandb.proto import wandb_internal_pb2
start = time.process_time()  # importing wandb takes a second and is no part of the comparison
def records(data):
    at, piece = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        crc, size, kind = struct.unpack_from("<IHB", data, at)
        assert zlib.crc32(data[at + 6 : at + 7 + size]) == crc
        piece += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield piece
            piece = b""
with open(path, "rb") as stream:
    data = stream.read()
columns = {}
record = wandb_internal_pb2.Record()
row = 0
for payload in records(data):
    record.ParseFromString(payload)
    if record.WhichOneof("record_type") == "history":
        for item in record.history.item:
            key = item.key or ".".join(item.nested_key)
            rows, numbers = columns.setdefault(key, ([], []))
            rows.append(row)
            numbers.append(json.loads(item.value_json))
        row += 1
values = sum(len(column[1]) for column in columns.values())
total = sum(columns["train/loss"][1])
"""


def write(path: Path, *, shuffled: bool) -> None:
    """Write the file: six numbers a row, as a training script logs them."""
    sys.path.insert(0, str(ROOT / "tests"))
    from readers.formats import wandb_files as wf

    chance = random.Random(20)

    def rows() -> Iterator[bytes]:
        yield wf.run(config={"n_layer": 12})
        for step in range(ROWS):
            values: dict[str, object] = {
                "train/loss": chance.uniform(2, 11),
                "lr": chance.uniform(1e-5, 6e-4),
                "iter": step * 10,
                "_timestamp": 1.7e9 + step * 1.25 + chance.random(),
                "_runtime": step * 1.25 + chance.random(),
                "_step": step,
            }
            if shuffled:
                turn = chance.randrange(len(values))
                keys = list(values)
                values = {key: values[key] for key in keys[turn:] + keys[:turn]}
            yield wf.history(values, step, num=step + 3, nested=shuffled)
        yield from wf.ending()

    path.write_bytes(wf.wandb_file(rows()))


def measure(python: str, body: str, path: Path) -> tuple[float, float, str]:
    """Run one side in a fresh process on one core: CPU seconds, peak MiB, and what it found."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    done = subprocess.run(
        [python, "-c", MEASURE.format(body=body), str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, {core})) if core is not None else None,
    )
    seconds, kib, *found = done.stdout.split()
    return float(seconds), int(kib) / 1024, " ".join(found)


def has_wandb(python: str) -> bool:
    """Say whether that Python can import wandb's protobuf classes."""
    code = "from wandb.proto import wandb_internal_pb2"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Time both sides in turn on both files and print the medians."""
    peer = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    sides = {"auscult": (sys.executable, OURS), "wandb protobuf + json.loads": (peer, PEER)}
    if not has_wandb(peer):
        print(f"wandb is missing in {peer}: only auscult is timed. Give a Python that has it as the first argument.")
        del sides["wandb protobuf + json.loads"]
    with tempfile.TemporaryDirectory() as folder:
        for name, shuffled in (("one order", False), ("changing order", True)):
            path = Path(folder) / "run-bench.wandb"
            write(path, shuffled=shuffled)
            print(f"{ROWS} rows of 6 numbers, {name}, {path.stat().st_size / 1e6:.1f} MB")
            seconds: dict[str, list[float]] = {side: [] for side in sides}
            memory: dict[str, float] = {}
            found: set[str] = set()
            for _ in range(RUNS):
                for side, (python, body) in sides.items():
                    taken, memory[side], result = measure(python, body, path)
                    seconds[side].append(taken)
                    found.add(result)
            assert len(found) == 1, f"the two sides differ: {found}"
            medians = [statistics.median(times) for times in seconds.values()]
            for side, median in zip(sides, medians, strict=True):
                print(
                    f"{median:7.3f} s  {memory[side]:6.0f} MiB  {side}  ({min(seconds[side]):.3f} to {max(seconds[side]):.3f})"
                )
            if len(medians) > 1:
                print(f"{medians[1] / medians[0]:7.2f}    times as fast")


if __name__ == "__main__":
    main()
