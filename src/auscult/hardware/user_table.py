"""Cards that a user adds: ``[[gpu]]`` tables of an ``auscult.toml``."""

from __future__ import annotations

import difflib
import math
import re
from pathlib import Path
from typing import Any

from ..errors import BadSettings, UnreadableInput
from .gpu import Gpu
from .names import vendor_of
from .rule import peak_by_rule

__all__ = ["gpus_of_settings"]

_MOST_BYTES = 2**20
_MOST_CARDS = 1000
_FIGURES: dict[str, tuple[str, float, float]] = {
    "memory_gib": ("memory_bytes", 2**30, 1e5),
    "bandwidth_gb_per_s": ("bandwidth_bytes_per_s", 1e9, 1e6),
    "bf16_tflops": ("bf16_flops_per_s", 1e12, 1e6),
    "fp16_tflops": ("fp16_flops_per_s", 1e12, 1e6),
    "tf32_tflops": ("tf32_flops_per_s", 1e12, 1e6),
    "fp32_tflops": ("fp32_flops_per_s", 1e12, 1e6),
    "fp8_tflops": ("fp8_flops_per_s", 1e12, 1e6),
    "fp16_accumulate_tflops": ("fp16_accumulate_flops_per_s", 1e12, 1e6),
    "board_power_w": ("board_power_w", 1, 1e5),
}
"""Key -> field, its unit in base units, and the most that is believed: above it, the unit is another one."""
_PEAKS = ("bf16_flops_per_s", "fp16_flops_per_s", "tf32_flops_per_s", "fp32_flops_per_s")
_RULE = ("sm_count", "boost_clock_mhz", "compute_capability")
_KEYS = ("name", "vendor", "source", *_RULE, "geforce", *_FIGURES)
_MOST_SM = 10_000
_MOST_MHZ = 10_000


class _Entry:
    """One ``[[gpu]]`` table, with the place to name when something in it is wrong."""

    def __init__(self, values: dict[str, Any], file: str, first_line: int, lines: list[str]) -> None:
        self.values, self._file, self._first, self._lines = values, file, first_line, lines

    def where(self, key: str | None = None) -> str:
        if not self._first:
            return self._file
        for offset, line in enumerate(self._lines):
            if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return f"{self._file}:{self._first + offset}"
        return f"{self._file}:{self._first}"

    def bad(self, key: str, expected: str) -> BadSettings:
        found = repr(self.values.get(key))
        return BadSettings(
            f"{key} has a value that cannot be used", where=self.where(key), expected=expected, found=found
        )

    def number(self, key: str, most: float) -> float | None:
        value = self.values.get(key)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or not 0 < value <= most
        ):
            raise self.bad(key, f"a number above 0, at most {most:g}")
        return float(value)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip() or len(value) > 500):
            raise self.bad(key, "a short text in quotes")
        return value.strip() if isinstance(value, str) else None


def gpus_of_settings(path: str | Path) -> tuple[Gpu, ...]:
    """Return the cards that the ``[[gpu]]`` tables of a settings file describe.

    Parameters
    ----------
    path : str or Path
        An ``auscult.toml``. Each table has ``name`` and any of ``memory_gib``, ``bandwidth_gb_per_s``, ``bf16_tflops``,
        ``fp16_tflops``, ``tf32_tflops``, ``fp32_tflops``, ``fp8_tflops``, ``fp16_accumulate_tflops`` (dense),
        ``board_power_w``, ``sm_count``, ``vendor``, ``source``. For an NVIDIA card without peaks, ``sm_count``,
        ``boost_clock_mhz``, ``compute_capability`` ("8.9") and ``geforce`` (true or false) give them by
        :func:`auscult.hardware.rule.peak_by_rule`.

    Raises
    ------
    UnreadableInput
        When the file cannot be read.
    BadSettings
        When it is not TOML, or a table has an unknown key, no name, no peak, or a value that no card has.
    """
    import tomllib  # only a run that has an auscult.toml waits for it

    name = str(path)
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableInput(f"cannot be read ({error.strerror or error})", where=name) from None
    if len(raw) > _MOST_BYTES:
        raise BadSettings(f"larger than {_MOST_BYTES:,} bytes", where=name)
    try:
        text = raw.decode("utf-8")
        tables = tomllib.loads(text).get("gpu", [])
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"not valid TOML ({error})", where=name, hint="mend that line") from None
    except (RecursionError, ValueError):
        raise BadSettings(
            "not TOML that can be read: not UTF-8, nested too deep, or an endless number", where=name
        ) from None
    if isinstance(tables, str):
        return ()  # gpu = "RTX 4070" says which card ran
    if (
        not isinstance(tables, list)
        or len(tables) > _MOST_CARDS
        or not all(isinstance(table, dict) for table in tables)
    ):
        raise BadSettings("gpu is neither a name nor [[gpu]] tables", where=name, hint="write [[gpu]] above each card")
    gpus: list[Gpu] = []
    for entry in _entries(tables, name, text):
        gpu = _gpu(entry)
        if any(other.name.casefold() == gpu.name.casefold() for other in gpus):
            raise BadSettings(f"two cards are called {gpu.name!r}", where=entry.where("name"))
        gpus.append(gpu)
    return tuple(gpus)


def _entries(tables: list[dict[str, Any]], file: str, text: str) -> list[_Entry]:
    """Pair each table with its lines; tables written inline have none."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*[\"']?gpu[\"']?\s*\]\]", line)]
    if len(starts) != len(tables):
        return [_Entry(table, file, 0, []) for table in tables]
    ends = [*(start - 1 for start in starts[1:]), len(lines)][: len(starts)]
    return [
        _Entry(table, file, start, lines[start - 1 : end])
        for table, start, end in zip(tables, starts, ends, strict=True)
    ]


def _gpu(entry: _Entry) -> Gpu:
    for key in entry.values:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {near[0]}" if near else f"known keys: {', '.join(_KEYS)}"
            raise BadSettings(f"unknown key {key!r}", where=entry.where(key), hint=hint)
    name = entry.text("name")
    if name is None:
        raise BadSettings("a [[gpu]] table without a name", where=entry.where(), hint='add name = "…"')
    figures: dict[str, Any] = {}
    for key, (field, unit, most) in _FIGURES.items():
        if (number := entry.number(key, most)) is not None:
            figures[field] = round(number * unit) if field == "memory_bytes" else number * unit
    sm_count = entry.number("sm_count", _MOST_SM)
    if sm_count is not None and sm_count != int(sm_count):
        raise entry.bad("sm_count", "a whole number")
    source = entry.text("source") or f"given in {entry.where('name')}"
    if not any(field in figures for field in _PEAKS):
        figures |= _by_rule(entry, sm_count)
        source += "; peaks: SM x clock x FLOP per SM and cycle"
    return Gpu(
        name=name,
        vendor=(entry.text("vendor") or vendor_of(name) or "unknown").lower(),
        sm_count=int(sm_count) if sm_count else None,
        source=source,
        **dict.fromkeys(("memory_bytes", "bandwidth_bytes_per_s", *_PEAKS)) | figures,
    )


def _by_rule(entry: _Entry, sm_count: float | None) -> dict[str, float | None]:
    clock_mhz, capability = entry.number("boost_clock_mhz", _MOST_MHZ), entry.text("compute_capability")
    geforce = entry.values.get("geforce", "geforce" in (entry.text("name") or "").lower())
    if sm_count is None or clock_mhz is None or capability is None:
        hint = f"add bf16_tflops (dense), or all of {', '.join(_RULE)}"
        raise BadSettings("a [[gpu]] table without a peak", where=entry.where("name"), hint=hint)
    if not isinstance(geforce, bool):
        raise entry.bad("geforce", "true or false")
    found = re.fullmatch(r"(\d{1,2})\.(\d)", capability)
    pair = (int(found[1]), int(found[2])) if found else (0, 0)
    peaks = {
        f"{short}_flops_per_s": peak_by_rule(int(sm_count), clock_mhz, pair, geforce=geforce, dtype=dtype)
        for short, dtype in (("bf16", "bfloat16"), ("fp16", "float16"))
    }
    if peaks["fp16_flops_per_s"] is None:
        raise entry.bad("compute_capability", 'one whose tensor cores are known, such as "8.9"')
    return peaks
