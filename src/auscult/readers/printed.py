"""Python objects as they were printed: ``{'lr': 0.1, 'train': TrainArgs(epochs=1), 'dir': PosixPath('out')}``.

A trainer's hyperparameters in its log are text that Python made of its objects. They are taken apart by their marks
alone; nothing is evaluated, unknown objects are passed over, and what is cut off does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..run import Known, Source
from .patterns import lazy

__all__ = ["depth_of", "read_printed"]

_MAX_VALUES = 2_000
_MAX_DEPTH = 20
_MAX_LIST = 1_000
_MAX_TEXT = 300
_TOKEN = lazy(
    r"""(?P<string>'(?:[^'\\\n]|\\.){0,4000}+'|"(?:[^"\\\n]|\\.){0,4000}+")"""
    r"|(?P<open>(?:[A-Za-z_][\w.]{0,100})?[({\[])|(?P<close>[)}\]])|(?P<object><[^<>\n]{0,300}>)"
    r"|(?P<keyword>[A-Za-z_]\w{0,100})=(?!=)|(?P<field>[A-Za-z_]\w{0,100}):(?=\s)"
    r"|(?P<number>[-+]?(?:\d[\d_]{0,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,4})?)(?![\w.])"
    r"|(?P<word>[A-Za-z_]\w{0,100})|(?P<colon>:)|(?P<line>\n)"
)
_WORDS = {"None": None, "True": True, "False": False, "nan": float("nan"), "inf": float("inf")}
_MARKS = lazy(r"""'(?:[^'\\\n]|\\.){0,4000}+'|"(?:[^"\\\n]|\\.){0,4000}+"|[({\[]|[)}\]]""")


def depth_of(text: str, depth: int = 0) -> int:
    """Return how many brackets are open at the end of a text that begins inside ``depth`` of them.

    Examples
    --------
    >>> depth_of("{'a': [1, 2], 'b': f(")
    2
    """
    for found in _MARKS.finditer(text):
        mark = found[0]
        if mark in "({[":
            depth += 1
        elif mark in ")}]":
            depth -= 1
    return depth


def read_printed(text: str, file: str, first_line: int) -> Mapping[str, Known[Any]]:
    r"""Return every number, string, word and list of these in a printed object under its dotted path, with its line.

    An object stands under its path by the name of its class, beside its fields.

    Examples
    --------
    >>> read_printed("{'lr': 0.1,\n 'train': Args(epochs=1, dir=PosixPath('out'))}", "a.log", 7)
    {'lr': Known(0.1, a.log:7), 'train': Known('Args', a.log:8), 'train.epochs': Known(1, a.log:8), 'train.dir': Known('out', a.log:8)}
    """
    found: dict[str, Known[Any]] = {}
    lists: dict[str, list[Any]] = {}
    path: list[str | None] = []
    key: str | None = None
    before: str | None = None  # a string that becomes a key when a colon follows
    row = first_line

    def put(value: Any) -> None:
        names = [name for name in path if name is not None]
        if key is not None:
            names.append(key)
        where = ".".join(names)
        if where in lists and key is None:
            if len(lists[where]) < _MAX_LIST:
                lists[where].append(value)
        elif where and where not in found and len(found) < _MAX_VALUES:
            found[where] = Known(value, Source("read", file, row, f"{where} = {value!r}"[:160]))

    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        said, before = before, None
        if kind == "colon":
            key = said if said is not None else key
            continue
        if said is not None:
            put(said)
            key = None
        if kind == "line":
            row += 1
        elif kind == "string":
            before = token[0][1:-1][:_MAX_TEXT]
        elif kind in ("keyword", "field"):
            key = token[kind]
        elif kind == "open":
            if len(path) >= _MAX_DEPTH:
                break
            name = token[0][:-1]
            path.append(key)
            if key is not None and not name and token[0] != "{":
                items: list[Any] = []
                key = None
                put(items)
                lists.setdefault(".".join(n for n in path if n is not None), items)
            elif key is not None and name and not name.endswith("Path"):
                key = None
                put(name)
            key = None
        elif kind == "close":
            if path:
                path.pop()
            key = None
        elif kind == "number":
            put(_number(token[0]))
            key = None
        elif kind == "word" and token[0] in _WORDS:
            put(_WORDS[token[0]])
            key = None
    if before is not None:
        put(before)
    return found


def _number(text: str) -> float:
    digits = text.replace("_", "")
    return int(digits) if digits.lstrip("+-").isdigit() else float(digits)
