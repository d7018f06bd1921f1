"""The card: its name, driver and limits, and its clocks and power while something is measured."""

from __future__ import annotations

import subprocess
import threading
import time
from statistics import median
from typing import Any

__all__ = ["Sampler", "card_facts"]

_FACTS = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem,clocks.sm,clocks.mem,temperature.gpu,ecc.mode.current,mig.mode.current"
_SAMPLED = ("clocks.sm", "power.draw", "temperature.gpu")
_KEYS = ("sm_clock_mhz", "power_w", "temperature_c")


def card_facts() -> dict[str, str]:
    """Return what ``nvidia-smi`` says of the first card; nothing where there is none."""
    try:
        command = ["nvidia-smi", "-i", "0", f"--query-gpu={_FACTS}", "--format=csv,noheader"]
        line = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return {}
    return dict(zip(_FACTS.split(","), (value.strip() for value in line.split(",")), strict=False))


class Sampler:
    """Clocks, power and temperature twice a second, until it is closed."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, ...]] = []
        command = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(_SAMPLED)}", "--format=csv,noheader,nounits"]
        try:
            self._process: subprocess.Popen[str] | None = subprocess.Popen(
                [*command, "-lms", "500"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError:
            self._process = None
            return
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._seen.append((time.time(), *map(float, line.split(","))))
            except ValueError:
                continue  # a card that does not say "[N/A]"

    def between(self, start: float, end: float) -> dict[str, Any]:
        """Return the medians over a span of ``time.time()``; nothing where nothing was sampled."""
        within = [values for at, *values in self._seen if start <= at <= end]
        return dict(zip(_KEYS, map(median, zip(*within, strict=True)), strict=True)) if within else {}

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
