"""A nanoGPT run of known numbers, as config and log text, to be mutated one number at a time."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CONFIG: dict[str, object] = {
    "wandb_run_name": "narrow",
    "dataset": "fineweb",
    "eval_interval": 500,
    "eval_iters": 200,
    "log_interval": 100,
    "batch_size": 16,
    "gradient_accumulation_steps": 32,
    "block_size": 1024,
    "n_layer": 6,
    "n_head": 6,
    "n_embd": 384,
    "dropout": 0.1,
    "bias": False,
    "learning_rate": 1e-3,
    "min_lr": 1e-4,
    "warmup_iters": 500,
    "lr_decay_iters": 20_000,
    "max_iters": 20_000,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.99,
    "grad_clip": 1.0,
    "compile": True,
}
STEP_TIME_MS = 2000.0
EVALUATION_MS = 9000.0
NOISE = 0.008
DROPOUT_COST = 0.08


@dataclass
class Log:
    """The numbers of a log: per step, evaluations ``(train, val)`` and iterations ``(loss, ms, mfu %)``."""

    evaluations: dict[int, tuple[float, float]] = field(default_factory=dict)
    iterations: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    def text(self) -> str:
        """The log as nanoGPT prints it."""
        lines = ["tokens per iteration will be: 524,288"]
        for step in sorted(self.evaluations.keys() | self.iterations.keys()):
            if step in self.evaluations:
                train, val = self.evaluations[step]
                lines.append(f"step {step}: train loss {train:.4f}, val loss {val:.4f}")
            if step in self.iterations:
                loss, ms, mfu = self.iterations[step]
                lines.append(f"iter {step}: loss {loss:.4f}, time {ms:.2f}ms, mfu {mfu:.2f}%")
        return "\n".join(lines) + "\n"


def healthy_log(last: int = 20_000, seed: int = 1) -> Log:
    """A log that falls like a power law in tokens, with evaluation noise and the price of dropout in its iterations."""
    rng = random.Random(seed)
    log = Log()

    def trend(step: int) -> float:
        return 10.85 if step == 0 else 2.9 + 7.95 * (1 + step / 40) ** -0.38

    mfu = -100.0
    for step in range(0, last + 1, 100):
        evaluates = step % 500 == 0
        if evaluates:
            log.evaluations[step] = (trend(step) + rng.gauss(0, NOISE), trend(step) + rng.gauss(0, NOISE))
        ms = STEP_TIME_MS + rng.gauss(0, 3) + (EVALUATION_MS if evaluates else 0.0)
        raw = 11.9 * STEP_TIME_MS / ms
        if step:
            mfu = raw if mfu == -100.0 else 0.9 * mfu + 0.1 * raw
        log.iterations[step] = (trend(step) + (DROPOUT_COST + rng.gauss(0, 0.05) if step else 0.0), ms, mfu)
    return log


class MadeUpRun:
    """A folder with ``train_narrow.py`` and ``train.log``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, config: Mapping[str, object] | None = None, log: Log | None = None, comments: str = "") -> Path:
        """Write the run and return its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = CONFIG | dict(config or {})
        text = comments + "".join(f"{key} = {value!r}\n" for key, value in values.items())
        (self.folder / "train_narrow.py").write_text(text, encoding="utf-8")
        (self.folder / "train.log").write_text((log or healthy_log()).text(), encoding="utf-8")
        return self.folder


def flat(value: object, path: str = "") -> dict[str, object]:
    """Flatten nested JSON into ``{"run.steps.last": 20000, …}``; lists count by position."""
    if isinstance(value, dict):
        items = [(f"{path}.{key}".lstrip("."), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {key: leaf for name, item in items for key, leaf in flat(item, name).items()} or {path: None}


def is_close(a: float, b: float, tolerance: float) -> bool:
    """Whether two numbers agree to a relative tolerance."""
    return math.isclose(a, b, rel_tol=tolerance)
