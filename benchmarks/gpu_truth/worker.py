"""The process that measures: jobs come as lines of JSON on stdin, results go as lines of JSON to the file descriptor given.

A measurement that raises is a result, too. After an error that CUDA does not recover from, the process ends itself, and the parent starts
a fresh one for what is left.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["main"]


def _measures() -> dict[str, Callable[[dict[str, Any], str], dict[str, Any]]]:
    from .agreement import measure_agreement
    from .ceilings import measure_ceilings
    from .faults import measure_resume, measure_step_down
    from .step import measure_step

    return {
        "agreement": measure_agreement,
        "ceilings": measure_ceilings,
        "resume": measure_resume,
        "step_down": measure_step_down,
        "step": measure_step,
    }


def main() -> None:
    """Measure what is asked for until stdin ends."""
    device, descriptor = sys.argv[1], int(sys.argv[2])
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:

        def say(values: dict[str, Any]) -> None:
            out.write(json.dumps(values) + "\n")
            out.flush()

        import torch

        measures = _measures()
        say({"status": "ready", "torch": torch.__version__, "cuda": torch.version.cuda})
        for line in sys.stdin:
            job = json.loads(line)
            try:
                found = {"status": "ok", **measures[job["kind"]](job["values"], device)}
            except Exception as error:  # whatever a measurement raises is its result
                traceback.print_exc()
                short = f"{type(error).__name__}: {str(error)[:600]}"
                kind = "out of memory" if isinstance(error, torch.OutOfMemoryError) else "failed"
                error.__traceback__ = None  # its frames hold tensors
                found = {"status": kind, "error": short}
            say(found)
            if found["status"] == "failed" and "CUDA error" in found["error"]:
                os._exit(1)  # the context is lost


if __name__ == "__main__":
    main()
