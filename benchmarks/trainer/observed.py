"""One clock for all subjects: torch calls it after every step of an optimiser, whoever owns the loop."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

__all__ = ["Observation", "resident_bytes", "run_subject"]


class Observation:
    """The times of a subject's steps, and its memory.

    Parameters
    ----------
    device : str
        On ``cuda`` a step ends where the device has reached an event; on ``cpu`` where the optimiser returned.
    steps : int
        Of the run; memory is read at the end of the last.
    spawned_at_s : float
        ``time.perf_counter()`` of whoever started the process; the clock is the system's, the same in both.
    """

    def __init__(self, device: str, steps: int, spawned_at_s: float) -> None:
        self.device, self.steps, self.spawned_at_s = device, steps, spawned_at_s
        self.ended: list[Any] = []
        self.losses: list[float] = []
        self.memory: dict[str, int] = {"resident_before_model_bytes": resident_bytes()["now"]}
        register_optimizer_step_post_hook(self._stepped)

    def _stepped(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self.device == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.ended.append(event)
        else:
            self.ended.append(time.perf_counter())
        if len(self.ended) == self.steps:  # what is saved afterwards is not training
            self.memory["peak_resident_bytes"] = resident_bytes()["peak"]
            if self.device == "cuda":
                self.memory["peak_allocated_bytes"] = torch.cuda.max_memory_allocated()
                self.memory["peak_reserved_bytes"] = torch.cuda.max_memory_reserved()

    def ended_s(self) -> list[float]:
        """Return when each step ended [s after the process was started]."""
        if self.device != "cuda":
            return [moment - self.spawned_at_s for moment in self.ended]
        torch.cuda.synchronize()
        now = time.perf_counter() - self.spawned_at_s
        last = self.ended[-1]
        return [now - event.elapsed_time(last) / 1000 for event in self.ended]

    def write(self, path: Path, **more: Any) -> None:
        """Write what was seen as JSON."""
        if not len(self.ended) == len(self.losses) == self.steps:
            raise ValueError(
                f"{len(self.ended)} steps and {len(self.losses)} losses were seen, {self.steps} are expected"
            )
        found: dict[str, Any] = {
            "step_ended_s": [round(moment, 6) for moment in self.ended_s()],
            "loss_nats_per_token": self.losses,
            **self.memory,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            **more,
        }
        path.write_text(json.dumps(found) + "\n", encoding="utf-8")


def resident_bytes() -> dict[str, int]:
    """Return the resident memory of this process alone, now and at its peak [bytes]; compilers that it started do not count."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines() if ":" in line)
        return {name: int(lines[key].split()[0]) * 1024 for name, key in (("now", "VmRSS"), ("peak", "VmHWM"))}
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"now": peak, "peak": peak}


def run_subject(subject: Callable[[Path, Observation, list[str]], dict[str, Any]]) -> None:
    """Run a subject as ``python -m MODULE CASE RESULT SPAWNED_AT [OPTION …]`` and write what was observed.

    Raises
    ------
    ValueError
        When it did not take as many steps, or tell as many losses, as the case has.
    """
    case, result, spawned_at, *options = sys.argv[1:]
    from .case import load_case

    settings = load_case(Path(case))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_float32_matmul_precision("high")  # TF32 where there is any, for all
    observation = Observation(settings.device, settings.steps, float(spawned_at))
    more = subject(Path(case), observation, options)
    observation.write(Path(result), **more)
