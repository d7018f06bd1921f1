"""Faults on the real device, through the command that people use: killed and resumed; a micro-batch that the card cannot hold.

Each starts ``python -m auscult train`` on bytes of Python's own library, in a folder of its own.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.trainer.case import BYTES, python_library

__all__ = ["measure_resume", "measure_step_down"]

ROOT = Path(__file__).resolve().parents[2]
_RUN_S = 120.0
_LARGE_CONTEXT = {False: 1024, True: 32}
_GIB_PER_SEQUENCE = 0.65
"""Of the model of `measure_step_down`, eager: 50,304 logits a token take most of it."""


def measure_resume(values: dict[str, Any], device: str) -> dict[str, Any]:
    """Kill a run by SIGKILL between checkpoints, start it again, and compare its losses with those of two that were left alone.

    ``apart_nats`` is the largest difference between the resumed and the first; ``apart_by_itself_nats`` that between the two
    that were left alone, which is not zero where kernels add in any order.
    """
    steps, kill_at = (40, 25) if values["tiny"] else (120, 75)
    with tempfile.TemporaryDirectory(prefix="auscult-resume-") as scratch:
        folder = Path(scratch)
        recipe = _recipe(folder, device, tiny=values["tiny"], steps=steps, sequences=8, micro_batch=8)
        start = time.monotonic()
        alone = [_losses(_trained(recipe, folder / name)) for name in ("first", "second")]
        killed = _start(recipe, folder / "killed")
        end = time.monotonic() + _RUN_S
        while _last_step(folder / "killed") < kill_at and killed.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        said, _ = killed.communicate()
        reached = _last_step(folder / "killed")
        if killed.returncode != -signal.SIGKILL or not kill_at <= reached < steps - 1:
            raise RuntimeError(
                f"ended with {killed.returncode} at step {reached} before it could be killed: {said[-500:]}"
            )
        resumed = _losses(_trained(recipe, folder / "killed"))
        resumes = [line for line in _lines(folder / "killed") if line.get("event") == "resume"]
    return {
        "steps": steps,
        "killed_after_step": reached,
        "resumed_at_step": resumes[0].get("step") if resumes else None,
        "compared": len(set(alone[0]) & set(resumed)),
        "apart_nats": _apart(alone[0], resumed),
        "apart_by_itself_nats": _apart(alone[0], alone[1]),
        "seconds": round(time.monotonic() - start, 1),
    }


def measure_step_down(values: dict[str, Any], device: str) -> dict[str, Any]:
    """Train with a micro-batch that the card could hold, were three quarters of it not taken by another process: this one.

    The estimate lets it pass, the first pass runs out of memory, and the run has to go on in smaller passes with the tokens per
    step kept. On a processor nothing is taken, and nothing runs out.
    """
    tiny = values["tiny"]
    micro_batch, taken = (4, None) if tiny or device != "cuda" else _crowded()
    with tempfile.TemporaryDirectory(prefix="auscult-oom-") as scratch:
        folder = Path(scratch)
        recipe = _recipe(
            folder, device, tiny=tiny, steps=2, sequences=2 * micro_batch, micro_batch=micro_batch, large=True
        )
        run = _trained(recipe, folder / "run")
        lines = _lines(run)
        steps_done = len(_losses(run))
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    notes = [line["text"] for line in lines if line.get("event") == "note"]
    return {
        "asked_micro_batch": micro_batch,
        "micro_batch": facts["micro_batch"],
        "gradient_accumulation_steps": facts["gradient_accumulation_steps"],
        "tokens_per_step": facts["tokens_per_step"],
        "wanted_tokens_per_step": 2 * micro_batch * _LARGE_CONTEXT[tiny],
        "steps_down": sum("ran out of memory" in note for note in notes),
        "steps_done": steps_done,
        "taken_bytes": 0 if taken is None else taken.numel(),
        "notes": notes[:20],
    }


def _crowded() -> tuple[int, Any]:
    """Take memory until a quarter of the card is left; return a micro-batch of over half the card, and what was taken."""
    import torch

    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    micro_batch = 2 ** int(math.log2(max(2.0, (0.6 * total / 2**30 - 1) / _GIB_PER_SEQUENCE)))
    return micro_batch, torch.empty(max(1, free - total // 4), dtype=torch.uint8, device="cuda")


def _recipe(
    folder: Path, device: str, *, tiny: bool, steps: int, sequences: int, micro_batch: int, large: bool = False
) -> Path:
    """Write data and a recipe that logs every step, and return its path; a large one has 50,304 logits for 1,024 tokens."""
    tokens = python_library(200_000 if tiny else 4_000_000)
    (folder / "data").mkdir()
    tokens[: len(tokens) * 9 // 10].tofile(folder / "data" / "train.bin")
    tokens[len(tokens) * 9 // 10 :].tofile(folder / "data" / "val.bin")
    layers, heads, width, context = (2, 2, 32, 32) if tiny else (6, 6, 384, 256)
    path = folder / "recipe.toml"
    path.write_text(
        f"""\
[model]
n_layer = {layers}
n_head = {heads}
d_model = {width}
context = {_LARGE_CONTEXT[tiny] if large else context}
vocab_size = {50304 if large and not tiny else BYTES}
[data]
path = "data"
[batch]
tokens_per_step = {sequences * (_LARGE_CONTEXT[tiny] if large else context)}
micro_batch = {micro_batch}
[schedule]
steps = {steps}
warmup_steps = 1
[machine]
device = "{device}"
compile = false
cross_entropy = "full"
[evaluation]
every_steps = 0
[checkpoint]
every_steps = 10
[log]
every_steps = 1
tensorboard = false
""",
        encoding="utf-8",
    )
    return path


def _start(recipe: Path, run: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "auscult", "train", str(recipe), "--output", str(run)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _trained(recipe: Path, run: Path) -> Path:
    """Train to the end and return the folder of the run.

    Raises
    ------
    RuntimeError
        When the command fails: with the end of what it printed.
    """
    process = _start(recipe, run)
    said, _ = process.communicate(timeout=_RUN_S)
    if process.returncode:
        raise RuntimeError(f"auscult train ended with {process.returncode}: {said[-500:]}")
    return run


def _lines(run: Path) -> list[dict[str, Any]]:
    """Return what a run has logged so far; a line that is being written is left out."""
    log = run / "log.jsonl"
    if not log.exists():
        return []
    whole = log.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def _losses(run: Path) -> dict[int, float]:
    """Return the loss of each step, the last time that it was taken."""
    return {
        line["step"]: line["loss_nats_per_token"]
        for line in _lines(run)
        if "loss_nats_per_token" in line and "split" not in line
    }


def _last_step(run: Path) -> int:
    return max(_losses(run), default=-1)


def _apart(one: dict[int, float], other: dict[int, float]) -> float:
    return max(abs(one[step] - other[step]) for step in set(one) & set(other))
