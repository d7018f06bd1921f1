"""Rewrite a recipe in TOML: values where they stand, layout and comments kept, and nothing else changed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from typing import Any

from ..checks.base import Edit
from ..errors import UsageError
from ..run import ConfigText, split_lines
from .rewrite import Patch, apply_patches

__all__ = ["apply_to_toml"]

_HEADER = re.compile(r"^\s*\[\s*([\w.\- \"']+?)\s*\]\s*(?:#.*)?$", re.ASCII)
_KEY = re.compile(r"^(\s*(?:[\w\-\"']+\s*\.\s*)*)[\w\-\"']+\s*=", re.ASCII)


def apply_to_toml(config: ConfigText, edits: Sequence[Edit]) -> str:
    """Return the recipe's text with each edited value replaced where it stands, or added to its table.

    Parameters
    ----------
    config : ConfigText
        The recipe as read, with the place of every value that is a scalar on its key's line.
    edits : sequence of Edit
        At most one a key; keys as ``table.key``.

    Raises
    ------
    UsageError
        When a value stands elsewhere (an inline table, several lines), so that it has to be changed by hand.
    """
    places = {edit.key: config.get(edit.key) for edit in edits}
    text = apply_patches(
        config.text,
        (
            Patch(item.line, item.column, item.end_column, _literal(edit.after))
            for edit in edits
            if (item := places[edit.key]) is not None
        ),
    )
    wanted = tomllib.loads(config.text)
    for edit in edits:
        if not _put(wanted, edit.key, edit.after):
            raise _by_hand(config, edit)
        if places[edit.key] is None:
            text = _with_key(text, config, edit)
            try:
                found = tomllib.loads(text)
            except tomllib.TOMLDecodeError:
                raise _by_hand(config, edit) from None
            if _value(found, edit.key) != edit.after:
                raise _by_hand(config, edit)
    if tomllib.loads(text) != wanted:
        raise _by_hand(config, edits[0])
    return text


def _with_key(text: str, config: ConfigText, edit: Edit) -> str:
    """Add a key behind the last one of its table, as that is written; a table that is not there, at the end."""
    lines = split_lines(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    table, _, name = edit.key.rpartition(".")
    siblings = [item for item in config.assignments if item.key.rpartition(".")[0] == table]
    if siblings:
        before = max(item.line for item in siblings)
        # lines that were added above it, in this table or another, moved it down
        before = _line_of(lines, config, before)
        written = _KEY.match(lines[before - 1])
        added = f"{written[1] if written else ''}{name} = {_literal(edit.after)}{newline}"
    elif (header := next((i for i, line in enumerate(lines, 1) if _is_header(line, table)), None)) is not None:
        before, added = header, f"{name} = {_literal(edit.after)}{newline}"
    else:
        before = len(lines)
        blank = newline if lines and lines[-1].strip() else ""
        added = f"{blank}[{table}]{newline}{name} = {_literal(edit.after)}{newline}"
    if before and not lines[before - 1].endswith(("\n", "\r")):
        lines[before - 1] += newline
    return "".join([*lines[:before], added, *lines[before:]])


def _line_of(lines: Sequence[str], config: ConfigText, number: int) -> int:
    """Return where a line of the config stands now: lines were only added, and of its own line only the value changed."""
    head = split_lines(config.text)[number - 1].partition("=")[0]
    return next(i for i in range(number, len(lines) + 1) if lines[i - 1].partition("=")[0] == head)


def _is_header(line: str, table: str) -> bool:
    found = _HEADER.match(line)
    return found is not None and re.sub(r"[\s\"']", "", found[1]) == table


def _put(values: dict[str, Any], path: str, value: Any) -> bool:
    """Set a value in nested tables; False where something that is no table stands in the way."""
    *tables, name = path.split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            return False
        values = inner
    values[name] = value
    return True


def _value(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values


def _literal(value: Any) -> str:
    """Return a scalar as TOML writes it.

    Examples
    --------
    >>> _literal(256), _literal(0.0), _literal(6e-05), _literal(True), _literal("a")
    ('256', '0.0', '6e-05', 'true', '"a"')
    """
    return json.dumps(value, ensure_ascii=False)


def _by_hand(config: ConfigText, edit: Edit) -> UsageError:
    return UsageError(
        f"{config.file}: {edit.key} stands where it cannot be rewritten in place (an inline table, or several lines). Next:"
        f" set {edit.key} = {_literal(edit.after)} by hand."
    )
