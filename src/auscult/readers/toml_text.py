"""TOML from a stranger: values with their lines, which ``tomllib`` does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import BadConfig
from ..run import Known, Source
from .patterns import lazy

__all__ = ["read_toml"]

_MAX_CHARS = 250_000
"""Ten times the longest config of a trainer."""
_MAX_DOTS = 10_000
"""``tomllib`` takes time with the square of a name's parts."""
_MAX_DEPTH = 12
_MAX_VALUES = 100_000
_MAX_PATH = 500
"""Longer dotted paths are left out: no setting has one, and each value under a long name would hold it again."""
_MAX_SHOWN = 160
_HEADER = lazy(r"^\s{0,40}\[\s{0,8}([^\[\]\n]{1,200}?)\s{0,8}\]")
_KEY = lazy(r"^\s{0,40}([\w\"'.\- ]{1,200}?)\s{0,40}=")
_AT_LINE = lazy(r"\(at line (\d{1,9}), column \d{1,9}\)")


def read_toml(text: str, file: str) -> dict[str, Known[Any]]:
    r"""Return every value of a TOML document under its dotted path, with its line.

    Raises
    ------
    BadConfig
        When it is not TOML, or nested too deep.

    Examples
    --------
    >>> read_toml("[training]\nsteps = 10  # few", "a.toml")
    {'training.steps': Known(10, a.toml:2)}
    """
    if len(text) > _MAX_CHARS:
        raise BadConfig("a config of more than 250,000 characters is not read", where=file)
    lines = text.split("\n")
    if any(line.count(".") > _MAX_DOTS for line in lines):
        raise BadConfig("a line of more than 10,000 dots is not read", where=file)
    import tomllib  # ten milliseconds that a run without TOML need not wait

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = _AT_LINE.search(str(error))
        raise BadConfig(
            f"not valid TOML ({_AT_LINE.sub('', str(error)).strip()[:120]})",
            where=f"{file}:{line[1]}" if line else file,
            hint="mend that line",
        ) from None
    except (RecursionError, ValueError):
        raise BadConfig("not TOML that can be read: nested too deep, or an endless number", where=file) from None
    places = _places(lines)
    out: dict[str, Known[Any]] = {}
    for path, value in _walk(found, "", 0):
        if len(out) >= _MAX_VALUES:
            raise BadConfig("it unfolds into too many values", where=file)
        row = places.get(path)
        shown = lines[row - 1].strip()[:_MAX_SHOWN] if row is not None else None
        out[path] = Known(value, Source("read", file, row, shown))
    return out


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if len(path) > _MAX_PATH:
        return
    if isinstance(value, dict) and depth < _MAX_DEPTH:
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value) and depth < _MAX_DEPTH:
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}.{index}", depth + 1)
    elif not isinstance(value, dict) and path:
        yield path, value


def _places(lines: list[str]) -> dict[str, int]:
    """Return the line of each path: sections and keys as they stand at the head of lines."""
    places: dict[str, int] = {}
    section = ""
    quoted = ""
    for number, line in enumerate(lines, 1):
        if quoted:
            if quoted in line:
                quoted = ""
            continue
        if header := _HEADER.match(line):
            section = _plain(header[1])
        elif key := _KEY.match(line):
            path = _plain(key[1])
            places.setdefault(f"{section}.{path}" if section else path, number)
            rest = line[key.end() :]
            for mark in ('"""', "'''"):
                if rest.count(mark) % 2:
                    quoted = mark
    return places


def _plain(path: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in path.split("."))
