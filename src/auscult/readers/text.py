"""Bytes of a stranger's file to lines of text: decoded, stripped of terminal escapes, bounded, never trusted."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ..errors import NotText
from .patterns import lazy

__all__ = ["MAX_LINE_CHARS", "Line", "clean", "decode", "encoding_of", "lines_of", "looks_binary", "pieces"]

MAX_LINE_CHARS = 1_000_000
"""A longer line is cut there: no trainer prints one, and memory stays bounded."""
_CHUNK_BYTES = 1 << 20
_SNIFF_BYTES = 65_536
_MAX_CONTROL_SHARE = 0.10
_MAX_BINARY_SHARE = 0.20
"""Control characters and bytes that are not UTF-8: some 5 % in French Latin-1, half in compressed data."""

_ESCAPE = lazy(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_CONTROL = lazy(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TEXT_BYTES = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)))


class Line(NamedTuple):
    """A line of a log.

    Attributes
    ----------
    number : int
        Counted by line feeds from 1, as an editor counts; a progress bar's redraws share a number.
    text : str
        Without its end, escapes and control characters.
    ended : bool
        False for a last line without a newline, which may be cut in the middle of a number.
    redrawn : bool
        Whether a carriage return wrote something else over it.
    """

    number: int
    text: str
    ended: bool = True
    redrawn: bool = False


def clean(text: str) -> str:
    r"""Return the text without terminal escapes and control characters, safe to print.

    Examples
    --------
    >>> clean("\x1b[31mred\x1b[0m\x07 text")
    'red text'
    """
    if text.isprintable():
        return text
    if "\x1b" in text:
        text = _ESCAPE.sub("", text)
    return _CONTROL.sub("", text)


def looks_binary(head: bytes) -> bool:
    """Return whether the first bytes of a file are not text in UTF-8, UTF-16 or a Latin alphabet."""
    return bool(head) and _binary_share(head[:_SNIFF_BYTES]) is not None


def _binary_share(head: bytes) -> float | None:
    """Return the share of bytes that are not text when there are too many of them."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    text = head.rstrip(b"\0")  # a crashed machine leaves zeros behind the text, and some within
    head = text.replace(b"\0", b"") if text.count(0) < len(text) // 2 else head
    control = len(head.translate(None, _TEXT_BYTES)) / max(len(head), 1)
    undecodable = head.decode("utf-8", errors="replace").count("\ufffd") / max(len(head), 1)
    share = control + undecodable
    return share if control > _MAX_CONTROL_SHARE or share > _MAX_BINARY_SHARE else None


def encoding_of(head: bytes, name: str) -> str:
    """Return the encoding of a text by its first bytes.

    Raises
    ------
    NotText
        When they are not text.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    share = _binary_share(head[:_SNIFF_BYTES])
    if share is not None:
        raise NotText(
            "the file is binary",
            where=name,
            expected="text that a trainer printed, or a config",
            found=f"{100 * share:.0f} % of the first {min(len(head), _SNIFF_BYTES):,} bytes are not text",
            hint="give the log or the config instead; pickled checkpoints are never opened",
        )
    return "utf-8"


def decode(data: bytes, name: str, *, strict: bool = False) -> str:
    """Return text from bytes; with ``strict``, undecodable bytes are an error with their place.

    Raises
    ------
    NotText
    """
    try:
        return data.decode(encoding_of(data, name), errors="strict" if strict else "replace")
    except UnicodeDecodeError as error:
        raise NotText(
            "the text cannot be decoded",
            where=name,
            expected="UTF-8",
            found=f"byte 0x{data[error.start]:02x} at offset {error.start}" if error.start < len(data) else None,
            hint="save it as UTF-8",
        ) from None


def lines_of(stream: BinaryIO, name: str, head: bytes) -> Iterator[Line]:
    r"""Yield the lines of a stream in bounded memory.

    Lines are counted by ``\n``; a progress bar's ``\r`` separates texts that share a number.

    Raises
    ------
    NotText
        When the text cannot be decoded.
    """
    decoder = codecs.getincrementaldecoder(encoding_of(head, name))(errors="replace")
    number, pending, dropping = 1, "", False
    while True:
        data = stream.read(_CHUNK_BYTES)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeError:
            raise NotText("the text cannot be decoded", where=f"{name}:{number}", found="broken characters") from None
        *whole, last = (pending + text).split("\n")
        for line in whole:
            if dropping:
                dropping, line = False, line.rpartition("\r")[2] if "\r" in line else ""
                if line:
                    yield from pieces(number, line, ended=True)
            else:
                yield from pieces(number, line, ended=True)
            number += 1
        pending = last
        if not data:
            break
        if len(pending) > MAX_LINE_CHARS:  # an endless line: redraws are given out, the rest is dropped
            before, mark, after = pending.rpartition("\r")
            if mark and len(after) <= MAX_LINE_CHARS:
                yield from pieces(number, before, ended=True, redrawn=True)
                pending, dropping = after, False
            else:
                if not dropping:
                    yield from pieces(number, pending[:MAX_LINE_CHARS], ended=True)
                pending, dropping = "", True
    if pending and not dropping:
        yield from pieces(number, pending, ended=False)


def pieces(number: int, line: str, *, ended: bool, redrawn: bool = False) -> Iterator[Line]:
    """Yield the texts of one physical line: more than one where carriage returns drew over it."""
    line = line.rstrip("\r")
    if "\r" not in line:
        yield Line(number, clean(line), ended, redrawn)
        return
    pieces = [piece for piece in line.split("\r") if piece]
    for index, piece in enumerate(pieces):
        over = redrawn or index < len(pieces) - 1
        yield Line(number, clean(piece), ended or over, over)
