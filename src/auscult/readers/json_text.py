"""JSON from a stranger: the lines on which its keys stand, which ``json`` does not tell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..errors import NotText
from ..run import Known, Source
from .files import MAX_CONFIG_BYTES, InputFile
from .patterns import lazy

__all__ = ["count", "key_lines", "mapping_in", "number_in", "peek", "read_mapping", "step_lines"]

_MAX_DEPTH = 4
_MAX_KEYS = 100_000
_MAX_SHOWN = 120
_MAX_PATH = 500
"""Longer dotted paths are left out: no setting has one, and each value under a long name would hold it again."""
_TOKEN = lazy(r'"(?:[^"\\]|\\.)*+"?|[{}\[\],:\n]', re.DOTALL)
_STEP = lazy(r'"step"\s{0,20}:\s{0,20}(-?\d{1,18})')
_LARGEST = 2**62


def peek(file: InputFile) -> dict[str, Any] | None:
    """Return a small JSON object for a look at it, or None when it is none or longer than the head of a file."""
    text = file.sample.strip()
    if not text.startswith("{") or len(file.head) >= 262_144:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_mapping(file: InputFile) -> dict[str, Known[Any]]:
    """Return the values of a JSON object under their dotted paths, mappings themselves and what is in them, with lines.

    The text of a source is the key and its value alone: the line may hold a whole document, with paths and names in it.

    Raises
    ------
    NotText
        When it is no JSON object, besides what reading it as text raises.
    """
    found = file.json(MAX_CONFIG_BYTES)
    if not isinstance(found, dict):
        raise NotText("the JSON document is not an object", where=file.name, expected='{"key": value, …}')
    return mapping_in(found, file.name, key_lines(file.text()))


def mapping_in(
    found: dict[str, Any], file: str, lines: dict[tuple[str, ...], int] | None = None
) -> dict[str, Known[Any]]:
    """Return a parsed JSON object's values under their dotted paths, with the lines where they are known."""
    return dict(_walk(found, (), file, lines or {}))


def _walk(
    found: dict[str, Any], path: tuple[str, ...], file: str, lines: dict[tuple[str, ...], int]
) -> Iterator[tuple[str, Known[Any]]]:
    for key, value in found.items():
        here = (*path, key)
        name = ".".join(here)
        if len(name) > _MAX_PATH:
            continue
        shown = "{…}" if isinstance(value, dict) else json.dumps(value)[:_MAX_SHOWN]
        yield name, Known(value, Source("read", file, lines.get(here), f'"{key[:_MAX_SHOWN]}": {shown}'))
        if isinstance(value, dict) and len(here) < _MAX_DEPTH:
            yield from _walk(value, here, file, lines)


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    r"""Return the line of each key of a valid JSON document, by its path; keys within lists are left out.

    Examples
    --------
    >>> key_lines('{\n "a": 1,\n "b": {"c": [{"d": 2}]}\n}')
    {('a',): 2, ('b',): 3, ('b', 'c'): 3}
    """
    found: dict[tuple[str, ...], int] = {}
    stack: list[str | None] = []  # the key under which each open object or list stands; None below a list
    line, last, key, in_list = 1, "", "", 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word == "\n":
            line += 1
        elif word[0] == '"':
            last = word
        elif word == ":":
            key = last
            if not in_list and len(stack) <= _MAX_DEPTH:
                path = (*(part for part in stack[1:] if part is not None), _plain(key))
                found[path] = line
                if len(found) >= _MAX_KEYS:
                    break
        elif word in "{[":
            stack.append(_plain(key) if key else None)
            in_list += word == "["
        elif word in "}]" and stack:
            stack.pop()
            in_list -= word == "]"
    return found


def _plain(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        return quoted[1:-1]


def step_lines(text: str, steps: list[int | None]) -> list[int]:
    r"""Return the line of each row of a history by its ``"step"``, 0 for rows that have none or cannot be found.

    Parameters
    ----------
    text : str
        The JSON document.
    steps : list of int or None
        The step of each row, in the order of the document.

    Examples
    --------
    >>> step_lines('[\n{"step": 5},\n{"loss": 1},\n{"step": 10}\n]', [5, None, 10])
    [2, 0, 4]
    """
    lines, at, line = [], 0, 1
    found = _STEP.finditer(text)
    for step in steps:
        here = 0
        if step is not None:
            for match in found:
                line += text.count("\n", at, match.start())
                at = match.start()
                if int(match[1]) == step:
                    here = line
                    break
        lines.append(here)
    return lines


def number_in(value: Any) -> float | None:
    """Return a JSON number as a float, also one that was written as a string; None for anything else.

    Examples
    --------
    >>> number_in("0.91"), number_in(True), number_in(None), number_in("0.2GB")
    (0.91, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def count(value: Any) -> int | None:
    """Return a whole number from 0 that fits a counter, None for anything else.

    Examples
    --------
    >>> count(500.0), count(-1), count(10**30), count(True)
    (500, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if 0 <= value <= _LARGEST else None
