"""What is printed is text: strangers' names and values never drive a terminal, nor end a shell's quotes."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from ..readers.text import clean

__all__ = ["printable", "quoted"]

T = TypeVar("T")


def printable(thing: T) -> T:
    r"""Return text, or a dataclass or tuple of it, without terminal escapes and control characters.

    Examples
    --------
    >>> printable(("train\x1b[31m.log", 3))
    ('train.log', 3)
    """
    return cast("T", _printable(thing))


def _printable(thing: Any) -> Any:
    if isinstance(thing, str):
        return clean(thing)
    if isinstance(thing, tuple):
        return tuple(_printable(item) for item in thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return dataclasses.replace(
            thing, **{f.name: _printable(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        )
    return thing


def quoted(parts: Sequence[str]) -> str:
    r"""Return arguments as a shell takes them, in double quotes where that is safe and reads better.

    Examples
    --------
    >>> print(quoted(["--gpu", "RTX 4070", "a$(x)"]))
    --gpu 'RTX 4070' 'a$(x)'
    """
    text = shlex.join(parts)
    return text if any(mark in text for mark in '"$`\\!') else text.replace("'", '"')
