"""Ranks of ``auscult train`` without the seconds that each import of torch takes: a server that forks them.

Every rank is a forked process that has the environment that torchrun gives it and runs the command line, and nothing watches
over it: what torchrun does when a rank fails is not done here, so that whoever hangs is seen hanging. A request and its answer
are a line of JSON each: ``{"arguments", "world_size", "kill"?, "counted_steps"?}`` -> ``{"statuses", "outputs", ...}``.

usage: python ranks_world.py RECIPE (any good one: what its preflight imports is imported once)
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import io
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SLOWEST_S = 120.0


def main() -> None:
    for name in (
        "auscult.cli",
        "auscult.training",
        "auscult.trainer.loop",
        "auscult.trainer.weights",
        "torch.profiler",
    ):
        importlib.import_module(name)
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("auscult.cli").main(["train", sys.argv[1], "--preflight"])
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    with socket.socket() as found, tempfile.TemporaryDirectory() as scratch:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        found.close()
        began, size = time.monotonic(), asked["world_size"]
        pids = [_forked(asked, rank, port, Path(scratch)) for rank in range(size)]
        statuses: list[int | None] = [None] * size
        ended_s = [0.0] * size
        kill, killed_s = asked.get("kill"), None
        while None in statuses and time.monotonic() - began < SLOWEST_S:
            if kill is not None and killed_s is None and _reached(Path(kill["log"]), kill["step"]):
                for rank in kill["ranks"]:
                    os.kill(pids[rank], kill["signal"])
                killed_s = time.monotonic() - began
            for rank, pid in enumerate(pids):
                if statuses[rank] is None and (waited := os.waitpid(pid, os.WNOHANG))[0]:
                    statuses[rank], ended_s[rank] = os.waitstatus_to_exitcode(waited[1]), time.monotonic() - began
            time.sleep(0.01)
        for rank, pid in enumerate(pids):  # "None" in the answer: this rank hung, and its errors say where
            if statuses[rank] is None:
                os.kill(pid, signal.SIGABRT)
                os.waitpid(pid, 0)
        outputs = [Path(scratch, f"{rank}.out").read_text("utf-8") for rank in range(size)]
        errors = [Path(scratch, f"{rank}.err").read_text("utf-8") for rank in range(size)]
        counts = [json.loads(path.read_text()) for path in sorted(Path(scratch).glob("*.counts"))]
    after_kill_s = None if killed_s is None else max(ended_s) - killed_s
    return {"statuses": statuses, "outputs": outputs, "errors": errors, "counts": counts, "after_kill_s": after_kill_s}


def _reached(log: Path, step: int) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return any(json.loads(line).get("step", -1) >= step for line in log.read_text("utf-8").splitlines())
    return False


def _forked(asked: dict[str, Any], rank: int, port: int, scratch: Path) -> int:
    if pid := os.fork():
        return pid
    status = 70
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(scratch / f"{rank}.{name}", os.O_CREAT | os.O_WRONLY), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        faulthandler.enable(2)
        if asked["world_size"] > 1:
            told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": asked["world_size"], "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in told.items()}, MASTER_ADDR="127.0.0.1")
        from auscult.cli import main as command

        with _counted(scratch / f"{rank}.counts", asked.get("counted_steps", [])):
            status = command(asked["arguments"])
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@contextlib.contextmanager
def _counted(file: Path, steps: list[int]) -> Iterator[None]:
    """Count the collectives of some training steps, those that torch starts from C++ included, as its profiler sees them."""
    from torch.profiler import ProfilerActivity, profile

    from auscult.trainer.loop import Trainer

    step, counts = Trainer._train_step, []

    def counted(self: Trainer) -> Any:
        if self.step not in steps:
            return step(self)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            out = step(self)
        counts.append(dict(Counter(event.name for event in seen.events() if event.name.startswith("c10d::"))))
        return out

    Trainer._train_step = counted  # type: ignore[method-assign]  # only within this process
    yield
    file.write_text(json.dumps(counts))


if __name__ == "__main__":
    main()
