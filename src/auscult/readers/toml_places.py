"""Where the values of a TOML document stand, character by character, so that they can be corrected in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Assignment, Known
from .patterns import lazy

__all__ = ["assignments_in"]

_ASSIGNED = lazy(
    r"^\s{0,40}[\w\"'.\- ]{1,200}?\s{0,40}=[ \t]{0,200}"
    r"(\"(?:[^\"\\\n]|\\.){0,1000}\"|'[^'\n]{0,1000}'|[^\s,#\[\]{}\"']{1,200})[ \t\r]{0,200}(?:#.*)?$"
)
"""A key and a value that is a scalar on the same line, with or without a comment behind it."""


def assignments_in(text: str, values: Mapping[str, Known[Any]]) -> tuple[Assignment, ...]:
    r"""Return where each scalar that stands on its key's line begins and ends.

    Parameters
    ----------
    text : str
        The document.
    values : mapping
        Dotted paths to values with their lines, as :func:`auscult.readers.toml_text.read_toml` returns them.

    Returns
    -------
    tuple of Assignment
        Values of arrays, of inline tables and over several lines are left out: their place is not told.

    Examples
    --------
    >>> from auscult.readers.toml_text import read_toml
    >>> text = "[model]\nn_layer = 1_2  # deep\n"
    >>> [place] = assignments_in(text, read_toml(text, "a.toml"))
    >>> place.key, place.value, text.split("\n")[place.line - 1][place.column : place.end_column]
    ('model.n_layer', 12, '1_2')
    """
    import tomllib

    lines = text.split("\n")
    found: list[Assignment] = []
    for path, one in values.items():
        line = one.source.line
        match = _ASSIGNED.match(lines[line - 1]) if line is not None else None
        if match is None or line is None:
            continue
        try:
            written = tomllib.loads(f"value = {match[1]}")["value"]
        except tomllib.TOMLDecodeError:
            continue
        if type(written) is type(one.value) and written == one.value:
            found.append(Assignment(path, one.value, one.source, match.start(1), line, match.end(1)))
    return tuple(found)
