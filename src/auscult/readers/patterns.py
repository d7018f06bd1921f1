"""Patterns that are compiled when they are first used: a run waits only for those of the dialects that read it.

Some four hundred patterns of all dialects take a tenth of a second to compile, a file needs a few dozen of them.
"""

from __future__ import annotations

import re
from typing import Any, cast, overload

__all__ = ["lazy"]


class _Lazy:
    """Stands for a compiled pattern, and compiles it when anything of it is asked for."""

    def __init__(self, text: str | bytes, flags: int) -> None:
        self._text, self._flags = text, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, value)  # asked for again, it is found without coming here
        return value

    def __repr__(self) -> str:
        return f"lazy({self._text!r})"


@overload
def lazy(text: str, flags: int = 0) -> re.Pattern[str]: ...


@overload
def lazy(text: bytes, flags: int = 0) -> re.Pattern[bytes]: ...


def lazy(text: str | bytes, flags: int = 0) -> re.Pattern[str] | re.Pattern[bytes]:
    """Return what :func:`re.compile` returns, to be used by its methods only.

    Examples
    --------
    >>> number = lazy(r"[0-9]+")
    >>> number.findall("step 10 of 20")
    ['10', '20']
    """
    return cast("re.Pattern[str]", _Lazy(text, int(flags)))
