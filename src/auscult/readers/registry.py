"""The dialects that there are: every module of ``readers/dialects``, found by looking."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from ..errors import UsageError
from . import dialects
from .files import InputFile
from .reading import Dialect

__all__ = ["CLEAR", "all_dialects", "find_dialect", "is_tracker", "recognise", "title_of", "vocabulary"]

CLEAR = 0.5
"""A file scores at least this before it is read without having been named."""


@cache
def all_dialects() -> tuple[Dialect, ...]:
    """Return every dialect, by name."""
    found = []
    for module in pkgutil.iter_modules(dialects.__path__):
        loaded = importlib.import_module(f"{dialects.__name__}.{module.name}")
        dialect = loaded.DIALECT
        assert isinstance(dialect, Dialect), module.name
        found.append(dialect)
    names = [dialect.name for dialect in found]
    assert len(set(names)) == len(names), names
    return tuple(sorted(found, key=lambda dialect: dialect.name))


def find_dialect(name: str) -> Dialect:
    """Return a dialect by its name.

    Raises
    ------
    UsageError
        When there is none of that name.
    """
    wanted = name.lower().replace("-", "_")
    by_name = {dialect.name: dialect for dialect in all_dialects()}
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, by_name, 1)
    hint = f"; did you mean {near[0]}" if near else ""
    raise UsageError(f"There is no dialect {name!r}{hint}. Next: choose one of {', '.join(sorted(by_name))}.")


def title_of(name: str) -> str:
    """Return what people call a dialect; the name itself where there is none of that name."""
    return next((dialect.title for dialect in all_dialects() if dialect.name == name), name)


@cache
def is_tracker(name: str) -> bool:
    """Return whether a dialect is a tracker's or a plain table; False where there is none of that name."""
    return any(dialect.tracker for dialect in all_dialects() if dialect.name == name)


def vocabulary(name: str) -> Dialect | None:
    """Return the dialect that interprets the raw settings of a vocabulary."""
    return next((d for d in all_dialects() if d.name == name and d.interpret is not None), None)


def recognise(file: InputFile) -> tuple[float, Dialect | None]:
    """Return the dialect that a file looks most like, and how much."""
    best: tuple[float, Dialect | None] = (0.0, None)
    for dialect in sorted(all_dialects(), key=lambda dialect: dialect.last_resort):
        if dialect.last_resort and best[0] >= CLEAR:
            break
        score = dialect.sniff(file)
        if score > best[0]:
            best = (score, dialect)
    return best
