"""How long a complete search takes, against the time of importing transformers' configuration of the same model."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from auscult.architectures import build
from auscult.hardware import find_gpu
from auscult.planner.machine import machine_of
from auscult.planner.search import search
from auscult.planner.shapes import like

TARGET_S = 0.2
REPEATS = 7


def seconds(cards: int, name: str, context: int, sequences: int) -> float:
    """Return the median time of a search whose model and setup were never asked for before [s]."""
    gpu = find_gpu("H100 SXM")
    assert gpu is not None
    machine = machine_of(gpu, cards, None)
    config = dict(like(name))
    times = []
    for repeat in range(REPEATS):
        config["vocab_size"] = 50_304 + 64 * repeat  # another model each time: nothing is cached
        model = build(config)
        start = time.perf_counter()
        search(model, machine, tokens_per_step=cards * sequences * context, context=context)
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    """Print the table."""
    for cards, name, context, sequences in (
        (1, "gpt2", 1024, 512),
        (1, "gpt2", 1024, 480),
        (8, "llama-3.1-8b", 8192, 16),
        (64, "llama-3.1-70b", 8192, 24),
    ):
        took = seconds(cards, name, context, sequences)
        print(
            f"{name} on {cards} cards, {sequences} sequences a card: {1000 * took:.0f} ms (target {1000 * TARGET_S:.0f} ms)"
        )
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from transformers import GPT2Config; GPT2Config()"], check=True, capture_output=True
    )
    print(f"peer: importing transformers' GPT2Config takes {1000 * (time.perf_counter() - start):.0f} ms")


if __name__ == "__main__":
    main()
