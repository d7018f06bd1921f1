"""The outputs of a Jupyter notebook as lines of a log, read as a stream: sources of cells are not outputs.

Only what cells printed counts: ``text`` of streams and results, ``text/plain`` of displayed data, and tracebacks, in
the order of the file. Of displayed HTML only the tables in which the Hugging Face Trainer shows its progress are taken,
a line for each row with `` | `` between the cells, and the bar above them. In a notebook as Jupyter writes it, one printed line is one line of the file, and that is its
number; in a minified one, which has a single line, printed lines are counted from 1.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..errors import NotText
from .patterns import lazy
from .text import MAX_LINE_CHARS, Line, clean, encoding_of

__all__ = ["notebook_lines"]

_CHUNK_BYTES = 1 << 18
_MAX_DEPTH = 200
_MAX_KEY_CHARS = 200
_SPACE = lazy(r"[\s:,]*")
_LITERAL = lazy(r"[^\s,:\[\]{}\"]+")
_INSIDE = lazy(r"(?:[^\"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+", re.DOTALL)
"""Whole characters of a string; possessive, so that a string of megabytes is walked once."""
_ESCAPE = lazy(r'(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))|\\')
"""A good escape, or a backslash that is none."""
_DECODE = json.JSONDecoder(strict=False).decode
_TOKEN = lazy(r"<(/?)(table|tr|td|th)\b[^<>]{0,1000}>|([^<]+)|<", re.IGNORECASE)
_BAR = lazy(r"\[ {0,8}\d{1,12}/\d{1,12} [^\[\]\n|]{1,60}, Epoch [\d.]{1,12}/\d{1,12}\]")
"""``[ 500/1000 09:10 < 09:12, 0.91 it/s, Epoch 0.50/1]``, which stands above the table."""
_MAX_CELLS, _MAX_CELL_CHARS, _MAX_TAG_CHARS = 200, 80, 2000
_SURROGATE = lazy("[\ud800-\udfff]")


@dataclass
class _Frame:
    """An open object or array: the key under which it stands, and for an object the key whose value comes next."""

    is_object: bool
    name: str | None
    key: str | None = None
    wanted: str | None = None


class _Text:
    """A stream of characters with a window on it, and the number of the line at which the window begins."""

    def __init__(self, stream: BinaryIO, name: str, head: bytes) -> None:
        self._stream, self._name = stream, name
        self._decoder = codecs.getincrementaldecoder(encoding_of(head, name))(errors="replace")
        self.window, self.at, self.row, self.ended = "", 0, 1, False

    def more(self) -> bool:
        """Add characters to the window; return False at the end of the stream."""
        while not self.ended:
            data = self._stream.read(_CHUNK_BYTES)
            try:
                text = self._decoder.decode(data, final=not data)
            except UnicodeError:
                raise NotText("the text cannot be decoded", where=f"{self._name}:{self.row}") from None
            self.ended = not data
            if text:
                self.window = self.window[self.at :] + text
                self.at = 0
                return True
        return False

    def skip_space(self) -> bool:
        """Go to the next token; return False at the end."""
        while True:
            found = _SPACE.match(self.window, self.at)
            end = found.end() if found else self.at
            self.row += self.window.count("\n", self.at, end)
            self.at = end
            if end < len(self.window):
                return True
            if not self.more():
                return False

    def skip_literal(self) -> None:
        """Go behind a number, ``true`` or anything else that is no string and opens nothing."""
        while True:
            found = _LITERAL.match(self.window, self.at)
            self.at = found.end() if found else self.at + 1
            if self.at < len(self.window) or not self.more():
                return

    def string(self) -> Iterator[str]:
        """Yield the text of the string that begins here, in portions; raise _Cut when the file ends inside it."""
        self.at += 1
        while True:
            found = _INSIDE.match(self.window, self.at)
            end = found.end() if found else self.at
            raw = self.window[self.at : end]
            if raw:
                yield _unescaped(raw)
            self.row += raw.count("\n")
            self.at = end
            rest = self.window[end : end + 6]
            if rest[:1] == '"':
                self.at += 1
                return
            if len(rest) < 6 and self.more():
                continue
            if not rest or self.ended:
                raise _Cut
            yield "\ufffd"  # an escape that means nothing
            self.at += 1


class _Cut(Exception):
    """The file ends inside a string."""


def _unescaped(raw: str) -> str:
    if "\\" not in raw:
        return _SURROGATE.sub("\ufffd", raw)
    try:
        text = _DECODE(f'"{raw}"')
    except ValueError:
        text = _DECODE('"' + _ESCAPE.sub(lambda found: found[1] or "", raw) + '"')
    assert isinstance(text, str)
    return _SURROGATE.sub("\ufffd", text)


def notebook_lines(stream: BinaryIO, name: str, head: bytes) -> Iterator[Line]:
    """Yield the lines of a notebook's outputs in bounded memory.

    Parameters
    ----------
    stream : binary stream
        The notebook.
    name : str
        As messages show it.
    head : bytes
        Its first bytes, which tell the encoding.

    Raises
    ------
    NotText
        When it cannot be decoded, or is nested too deep to be a notebook.
    """
    text = _Text(stream, name, head)
    table = _Table()
    pretty = b"\n" in head.lstrip()[:_CHUNK_BYTES].partition(b'"')[0]
    out = _Lines(pretty)
    stack: list[_Frame] = []
    while text.skip_space():
        mark = text.window[text.at]
        if mark in "{[":
            if len(stack) >= _MAX_DEPTH:
                raise NotText("not a notebook that can be read: nested too deep", where=f"{name}:{text.row}")
            stack.append(_Frame(mark == "{", _take_key(stack)))
            if mark == "[":
                stack[-1].wanted = _wanted(stack)
            text.at += 1
        elif mark in "}]":
            if stack:
                closed = stack.pop()
                if closed.name == "text" or _is_output(stack):
                    yield from out.flush()
                    table = _Table()
            text.at += 1
        elif mark == '"':
            yield from _string(text, stack, out, table)
        else:
            _take_key(stack)
            text.skip_literal()
    yield from out.flush()


def _string(text: _Text, stack: list[_Frame], out: _Lines, table: _Table) -> Iterator[Line]:
    """Take a key, or a value that may be an output."""
    frame = stack[-1] if stack else None
    if frame is not None and frame.is_object and frame.key is None:
        frame.key = _short(text)
        return
    what = _wanted(stack) if frame is None or frame.is_object else frame.wanted
    row = text.row
    _take_key(stack)
    try:
        for portion in text.string():
            if what == "html":
                for shown in table.add(portion):
                    yield from out.add(shown + "\n", row)
            elif what is not None:
                yield from out.add(portion, row)
    except _Cut:
        yield from out.flush(ended=False)
        return
    if what == "traceback":
        yield from out.add("\n", row)
    elif what is not None and not (stack and not stack[-1].is_object):
        yield from out.flush()  # the whole text was one string


def _short(text: _Text) -> str:
    key = ""
    try:
        for portion in text.string():
            key = (key + portion)[:_MAX_KEY_CHARS]
    except _Cut:
        pass
    return key


def _take_key(stack: list[_Frame]) -> str | None:
    """Return the key whose value comes here, and await the next key."""
    if not stack or not stack[-1].is_object:
        return None
    key, stack[-1].key = stack[-1].key, None
    return key


def _wanted(stack: list[_Frame]) -> str | None:
    """Return what the string that comes next is, ``text``, ``html`` or ``traceback``, or None when it is no output."""
    names = [frame.name for frame in stack]
    here = stack[-1].key if stack and stack[-1].is_object else None
    path = [*names, here] if here is not None else names
    try:
        start = len(path) - 1 - path[::-1].index("outputs")
    except ValueError:
        return None
    inner = [part for part in path[start + 1 :] if part is not None]
    if inner in (["text"], ["data", "text/plain"]):
        return "text"
    if inner == ["data", "text/html"]:
        return "html"
    return "traceback" if inner == ["traceback"] else None


def _is_output(stack: list[_Frame]) -> bool:
    """Return whether what was just closed stood in a list of outputs, that is, whether an output ended."""
    return bool(stack) and stack[-1].name == "outputs"


class _Table:
    """Finds the rows of the Trainer's table of progress in HTML that comes in portions."""

    def __init__(self) -> None:
        self._rest = ""
        self._cells: list[str] | None = None
        self._cell: list[str] | None = None
        self._is_head = self._is_wanted = False

    def add(self, portion: str) -> Iterator[str]:
        """Take a portion, and yield the rows that it completes."""
        text = self._rest + portion
        cut = text.rfind("<")
        whole = cut < 0 or ">" in text[cut:]
        self._rest = "" if whole else text[cut : cut + _MAX_TAG_CHARS]
        for token in _TOKEN.finditer(text if whole else text[:cut]):
            if token[3] is not None:
                if self._cell is not None:
                    self._cell.append(token[3][:_MAX_CELL_CHARS])
                elif self._cells is None and (bar := _BAR.search(html.unescape(token[3][:_MAX_TAG_CHARS]))):
                    yield bar[0]
            elif token[2] is not None:
                yield from self._tag(token[2].lower(), closes=token[1] == "/")

    def _tag(self, name: str, *, closes: bool) -> Iterator[str]:
        if name == "table":
            self._is_wanted, self._cells, self._cell = False, None, None
        elif name == "tr" and not closes:
            self._cells, self._cell, self._is_head = [], None, False
        elif name == "tr" and self._cells is not None:
            cells, self._cells, self._cell = self._cells, None, None
            if self._is_head:
                self._is_wanted = len(cells) > 1 and cells[0] in ("Step", "Epoch") and "Training Loss" in cells
            if self._is_wanted:
                yield " | ".join(cells)
        elif name in ("td", "th") and self._cells is not None:
            if closes and self._cell is not None and len(self._cells) < _MAX_CELLS:
                text = html.unescape("".join(self._cell))
                self._cells.append(" ".join(text.split())[:_MAX_CELL_CHARS].replace("|", "/"))
            self._cell = None if closes else []
            self._is_head |= name == "th"


class _Lines:
    """Puts portions of output together to lines."""

    def __init__(self, pretty: bool) -> None:
        self._pretty = pretty
        self._parts: list[str] = []
        self._length = 0
        self._row = 0
        self._count = 1

    def add(self, portion: str, row: int) -> Iterator[Line]:
        """Take a portion that began on a line of the file, and yield the lines that it completes."""
        *whole, last = portion.split("\n")
        for piece in whole:
            self._push(piece, row)
            yield from self._line(ended=True)
        if last:
            self._push(last, row)
            if self._length > MAX_LINE_CHARS:
                yield from self._redraws()

    def flush(self, *, ended: bool = True) -> Iterator[Line]:
        """Yield what was begun, at the end of an output."""
        if self._parts:
            yield from self._line(ended=ended)

    def _push(self, piece: str, row: int) -> None:
        if not self._parts:
            self._row = row
        if self._length <= 2 * MAX_LINE_CHARS:
            self._parts.append(piece)
            self._length += len(piece)

    def _line(self, *, ended: bool) -> Iterator[Line]:
        text, number = "".join(self._parts)[: 2 * MAX_LINE_CHARS], self._row if self._pretty else self._count
        self._parts, self._length = [], 0
        self._count += 1
        pieces = [piece for piece in text.rstrip("\r").split("\r") if piece] or [""]
        for index, piece in enumerate(pieces):
            over = index < len(pieces) - 1
            yield Line(number, clean(piece[:MAX_LINE_CHARS]), ended or over, over)

    def _redraws(self) -> Iterator[Line]:
        """Give out what a progress bar has drawn over, so that an endless line needs no endless memory."""
        text = "".join(self._parts)
        before, mark, after = text.rpartition("\r")
        if not mark:
            return
        number = self._row if self._pretty else self._count
        for piece in before.split("\r"):
            if piece:
                yield Line(number, clean(piece[:MAX_LINE_CHARS]), True, True)
        self._parts, self._length = [after], len(after)
