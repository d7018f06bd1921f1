"""Runs of ``auscult train`` that tests start, watch, starve and kill: real processes of the real command line.

Each is forked from a server that has imported torch once (importing it costs seconds, and there are dozens); what runs in
the child is :func:`auscult.cli.console_main` with a command line, an environment and limits of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pkgutil
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np

from auscult import checks
from auscult.readers import dialects

__all__ = ["Done", "Run", "checkpoints", "losses", "start", "wait_until", "weights", "write_recipe", "write_tokens"]

LEFT_S = 300.0
"""After which a test gives up on what it waits for."""
_QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "400"}
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        *("auscult.trainer.loop", "auscult.training", "auscult.cli", "auscult.diagnosis", "trainer_runs"),
        *(module.name for module in pkgutil.walk_packages(dialects.__path__, f"{dialects.__name__}.")),
        *(module.name for module in pkgutil.walk_packages(checks.__path__, f"{checks.__name__}.")),
    ]
)
TINY: Mapping[str, Mapping[str, Any]] = {
    "model": {"n_layer": 1, "n_head": 2, "d_model": 32, "vocab_size": 256, "context": 32, "dropout": 0.1},
    "batch": {"tokens_per_step": 256, "micro_batch": 4},
    "optimizer": {"learning_rate": 3e-3},
    "schedule": {"steps": 60, "warmup_steps": 5},
    "machine": {"compile": False, "device": "cpu"},
    "evaluation": {"every_steps": 20, "tokens": 640},
    "checkpoint": {"every_steps": 5, "keep": 3},
    "log": {"every_steps": 1, "tensorboard": False},
}
"""Dropout, two micro-batches a step, evaluations and many checkpoints: a second or two on one core."""


def write_tokens(folder: Path, count: int = 40_000, *, seed: int = 0) -> Path:
    """Write bytes that can be learned (each mostly follows the one before) as nanoGPT keeps tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for name, size in (("train", count), ("val", count // 4)):
        tokens = np.cumsum(generator.choice([1, 2, 5], size, p=[0.8, 0.15, 0.05])) % 200
        tokens.astype("<u2").tofile(folder / f"{name}.bin")
    return folder


def write_recipe(path: Path, data: Path, **changes: Any) -> Path:
    """Write the tiny recipe with some settings changed, such as ``schedule__steps=10``; None leaves one out."""
    tables: dict[str, dict[str, Any]] = {name: dict(values) for name, values in TINY.items()}
    tables["data"] = {"path": str(data)}
    plain: dict[str, Any] = {}
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        (tables.setdefault(table, {}) if table else plain)[name] = value
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items() if value is not None]
    for table, values in tables.items():
        lines += ["", f"[{table}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items() if v is not None)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class Done:
    """How a process ended, and what it said; ``status`` is -9 where it was killed."""

    status: int
    out: str
    error: str

    @property
    def paragraph(self) -> str:
        """What stands on stderr, which is to be one line and no trace."""
        lines = self.error.strip().splitlines()
        assert len(lines) == 1, self.error
        assert "Traceback" not in self.error
        return lines[0]


@dataclass
class Run:
    """A process that trains."""

    process: ForkServerProcess
    folder: Path
    told: Path = field(repr=False)

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def end(self, number: int | None = None) -> Done:
        """Send a signal, or none, and wait for the end."""
        if number is not None:
            os.kill(self.pid, number)
        self.process.join(LEFT_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {LEFT_S} s: {self._said('out')}{self._said('error')}")
        return Done(self.process.exitcode, self._said("out"), self._said("error"))

    def at_step(self, step: int) -> Run:
        """Wait until a step is in the log."""
        wait_until(lambda: self.logged >= step, self)
        return self

    @property
    def logged(self) -> int:
        """The last step in the log."""
        return max((key[1] for key in losses(self.folder, "step")), default=-1)

    def _said(self, which: str) -> str:
        path = self.told.with_suffix(f".{which}")
        return path.read_text(encoding="utf-8") if path.exists() else ""


def start(
    *arguments: str | Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    largest_file_bytes: int | None = None,
    prepare: Callable[[], None] | None = None,
) -> Run:
    """Start ``auscult train`` with some arguments and ``--output`` a folder.

    Parameters
    ----------
    environment : mapping, optional
        Variables on top of this process's.
    largest_file_bytes : int, optional
        Beyond it the process cannot write to a file, as on a full disk.
    prepare : callable, optional
        Called in the process first; importable by name.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    told = folder.parent / f"{folder.name}-{time.monotonic_ns()}"
    line = ["train", *map(str, arguments), "--output", str(folder)]
    if not _STARTED:
        before = {name: os.environ.get(name) for name in _QUIET}
        os.environ.update(_QUIET)  # of the server, before it imports torch
        _STARTED.append(True)
    else:
        before = {}
    given = (line, str(told), {**_QUIET, **(environment or {})}, largest_file_bytes, prepare)
    process = _SERVER.Process(target=_child, args=given, daemon=True)
    process.start()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    return Run(process, folder, told)


_STARTED: list[bool] = []


def _child(
    line: Sequence[str],
    told: str,
    environment: Mapping[str, str],
    largest_file_bytes: int | None,
    prepare: Callable[[], None] | None,
) -> None:
    for number, which in ((1, "out"), (2, "error")):
        os.dup2(os.open(f"{told}.{which}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8", buffering=1)
    os.environ.update(environment)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if largest_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    if prepare is not None:
        prepare()
    sys.argv = ["auscult", *line]
    from auscult.cli import console_main

    try:
        console_main()
    finally:
        sys.stdout.flush()


def wait_until(true: Callable[[], bool], run: Run, *, pause_s: float = 0.002) -> None:
    """Wait for something while a run runs; fail where the run ends before."""
    last = time.monotonic() + LEFT_S
    while not true():
        if run.process.exitcode is not None:
            raise AssertionError(f"the run ended before: {run.end()}")
        if time.monotonic() > last:
            raise AssertionError(f"not so after {LEFT_S} s: {run.end(signal.SIGKILL)}")
        if pause_s:
            time.sleep(pause_s)


def events(folder: Path) -> list[dict[str, Any]]:
    """Every whole line of the log."""
    path = folder / "log.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def losses(folder: Path, *kinds: str) -> dict[tuple[Any, ...], float]:
    """Every loss of a log by what it is of; where a step was taken twice, both must have had the same one."""
    found: dict[tuple[Any, ...], float] = {}
    for one in events(folder):
        if one["event"] in (kinds or ("step", "evaluation")):
            key = (one["event"], one["step"], one.get("split"), one.get("mode"))
            loss = one["loss_nats_per_token"]
            assert found.setdefault(key, loss) == loss, f"{key} is {loss} and was {found[key]}"
    return found


def checkpoints(folder: Path) -> list[int]:
    """Steps of the checkpoints that are named."""
    return sorted(int(p.name[5:]) for p in (folder / "checkpoints").glob("step-*") if p.name[5:].isdecimal())


def weights(folder: Path) -> bytes:
    """The file of the final weights."""
    return (folder / "weights" / "model.safetensors").read_bytes()
