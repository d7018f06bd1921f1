"""Folders as users leave them, with made-up numbers: logs, trainer states, event files, W&B folders and configs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from readers.formats.event_files import scalar_event, write_events
from readers.formats.wandb_files import ending, history, run, wandb_file

CONFIG = "n_layer = 12\nn_head = 12\nn_embd = 384\nbatch_size = 16\n"
Curve = dict[int, float]


def curve(last: int = 400, every: int = 10, seed: int = 1, first: int = 0, noise: float = 0.05) -> Curve:
    """A loss that falls like a power law, with noise of its own for each seed, to four decimals."""
    rng = random.Random(seed)
    return {
        step: round(2.5 + 8.3 * (1 + step / 20) ** -0.5 + rng.gauss(0, noise), 4)
        for step in range(first, last + 1, every)
    }


def part(whole: Curve, first: int, last: int) -> Curve:
    """The steps of a curve from one to another, both included."""
    return {step: value for step, value in whole.items() if first <= step <= last}


def put(path: Path, text: str) -> Path:
    """Write a text and give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def log_text(losses: Mapping[int, float], ms: float = 90.0) -> str:
    """A log as nanoGPT prints it, each line with a time of its own."""
    return "".join(
        f"iter {step}: loss {loss:.4f}, time {ms + step % 7 / 10:.2f}ms, mfu 30.00%\n" for step, loss in losses.items()
    )


def log(path: Path, losses: Mapping[int, float], ms: float = 90.0) -> Path:
    """Write such a log."""
    return put(path, log_text(losses, ms))


def state(path: Path, losses: Mapping[int, float], max_steps: int = 1000) -> Path:
    """Write a ``trainer_state.json``."""
    rows = [
        {"epoch": step / max_steps, "grad_norm": 1 + step % 13 / 10, "learning_rate": 1e-4, "loss": loss, "step": step}
        for step, loss in losses.items()
    ]
    last = max(losses)
    document = {"epoch": last / max_steps, "global_step": last, "max_steps": max_steps, "log_history": rows}
    return put(path, json.dumps(document, indent=2))


def model_config(path: Path, layers: int) -> Path:
    """Write a model's ``config.json``."""
    said = {"model_type": "llama", "num_hidden_layers": layers, "hidden_size": 512, "num_attention_heads": 8}
    return put(path, json.dumps({**said, "vocab_size": 32000, "architectures": ["LlamaForCausalLM"]}))


def events(path: Path, losses: Mapping[int, float], tag: str = "train/loss") -> Path:
    """Write an event file."""
    return write_events(path, [scalar_event(tag, loss, step=step) for step, loss in losses.items()])


def tracked(
    folder: Path, run_id: str, rows: Iterable[Mapping[str, object]], config: Mapping[str, object] | None = None
) -> Path:
    """Write a W&B run's folder with its binary, and give it."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [run(run_id, config), *(history(row, step) for step, row in enumerate(rows)), *ending()]
    (folder / f"run-{run_id}.wandb").write_bytes(wandb_file(records))
    return folder


def rows_of(losses: Mapping[int, float], counter: str | None = "iter") -> Sequence[Mapping[str, object]]:
    """Rows of ``wandb.log``; without a counter W&B's own, which counts calls, is all there is."""
    return [{"train/loss": loss} | ({counter: step} if counter else {}) for step, loss in losses.items()]


def table(path: Path, losses: Mapping[int, float], first_line: str = "step,train_loss") -> Path:
    """Write a CSV of steps and losses."""
    return put(path, first_line + "\n" + "".join(f"{step},{loss}\n" for step, loss in losses.items()))


def lightning(folder: Path, losses: Mapping[int, float], lr: float = 1e-3) -> Path:
    """Write Lightning's ``metrics.csv`` and ``hparams.yaml``."""
    lines = [f"0,{step},{loss}," for step, loss in losses.items()]
    put(folder / "metrics.csv", "epoch,step,train_loss_step,val_loss\n" + "\n".join(lines) + "\n")
    put(folder / "hparams.yaml", f"learning_rate: {lr}\nbatch_size: 8\n")
    return folder
