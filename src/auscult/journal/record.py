"""One event of a run as one line of standard JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["json_line"]


def json_line(event: str, values: Mapping[str, Any], *, time_unix_s: float) -> bytes:
    r"""Return an event as a line of JSON (RFC 8259), newline included.

    Parameters
    ----------
    event : str
        Its kind: ``start``, ``resume``, ``step``, ``evaluation``, ``checkpoint``, ``note``, ``end`` or ``stop``.
    values : mapping
        What it says; keys carry their unit.
    time_unix_s : float
        When it happened [s since 1970].

    Returns
    -------
    bytes

    Notes
    -----
    JSON has no NaN and no infinity: such a value is written as null, and its key is listed under ``not_finite``, with dots
    where it lies deeper. A null that is not listed is a value that was not measured.

    Examples
    --------
    >>> json_line("step", {"step": 3, "loss_nats_per_token": float("nan"), "mfu": None}, time_unix_s=1.5)
    b'{"event": "step", "time_unix_s": 1.5, "step": 3, "loss_nats_per_token": null, "mfu": null, "not_finite": ["loss_nats_per_token"]}\n'
    """
    not_finite: list[str] = []
    plain = {str(key): _plain(value, str(key), not_finite) for key, value in values.items()}
    line: dict[str, Any] = {"event": event, "time_unix_s": round(time_unix_s, 3), **plain}
    if not_finite:
        line["not_finite"] = not_finite
    # A file name that is no UTF-8 comes as lone surrogates: with "backslashreplace" they become escapes of JSON.
    return (json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")


def _plain(value: Any, key: str, not_finite: list[str]) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        not_finite.append(key)
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner, f"{key}.{name}", not_finite) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(inner, f"{key}.{index}", not_finite) for index, inner in enumerate(value)]
    if callable(item := getattr(value, "item", None)):  # a scalar of numpy or torch
        return _plain(item(), key, not_finite)
    return str(value)
