"""Time `auscult diagnose` on the example as a whole process, against Python importing its one dependency.

Run it with the project's own Python: ``.venv/bin/python benchmarks/startup.py``. Prints the median wall time of each over
interleaved runs, and their ratio; the ratio is what to compare between machines. Python may keep compiled modules, as on a
user's machine, whatever the environment says.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15
COMMANDS = {
    "auscult diagnose examples/fineweb-40m": [sys.executable, "-m", "auscult", "diagnose", "examples/fineweb-40m"],
    "python -c 'import rich.console, rich.table'": [sys.executable, "-c", "import rich.console, rich.table"],
}


def main() -> None:
    """Time both commands in turn and print the medians."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for run in range(RUNS + 1):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False, env=environment)
            if run:  # the first of each warms the caches
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{median:7.3f} s  {name}  ({min(times[name]):.3f} to {max(times[name]):.3f}, n = {RUNS})")
    first, second = medians.values()
    print(f"{first / second:7.2f}    ratio")


if __name__ == "__main__":
    main()
