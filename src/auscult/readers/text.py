"""Bytes of a stranger's file to lines of text: bounded, decoded, stripped of terminal escapes, never trusted."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import InputTooLarge, NotText, UnreadableInput

__all__ = ["MAX_CONFIG_BYTES", "MAX_LINE_CHARS", "MAX_LOG_BYTES", "clean", "iter_lines", "read_text"]

MAX_LOG_BYTES = 512 * 2**20
"""Largest log that is read whole; beyond it a clear error is better than minutes of silence."""
MAX_CONFIG_BYTES = 4 * 2**20
MAX_LINE_CHARS = 1_000_000
"""A longer line is cut there: no trainer prints one, and memory stays bounded."""
_SNIFF_BYTES = 65_536
_MAX_CONTROL_SHARE = 0.10
_MAX_BINARY_SHARE = 0.20
"""Control characters and bytes that are not UTF-8: some 5 % in French Latin-1, half in compressed data."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TEXT_BYTES = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)))


def clean(text: str) -> str:
    r"""Return the text without terminal escapes and control characters, safe to print.

    Examples
    --------
    >>> clean("\x1b[31mred\x1b[0m\x07 text")
    'red text'
    """
    if "\x1b" in text:
        text = _ESCAPE.sub("", text)
    return _CONTROL.sub("", text)


def _open(path: Path, name: str, max_bytes: int) -> BinaryIO:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnreadableInput("no such file or folder", where=name, hint="check the path") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"it cannot be opened ({why})", where=name, hint="check its permissions") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableInput(
            "not a regular file", where=name, expected="a text file", found="a folder, pipe or device"
        )
    if status.st_size == 0:
        raise NotText(
            "the file is empty", where=name, hint="check that training wrote into it (for instance `| tee train.log`)"
        )
    if status.st_size > max_bytes:
        raise InputTooLarge(
            "the file is too large to be read whole",
            where=name,
            expected=f"at most {max_bytes / 2**20:,.0f} MiB",
            found=f"{status.st_size / 2**20:,.0f} MiB",
            hint=f"cut it down to its metric lines: grep -E '^(iter|step) ' {name} > small.log",
        )
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableInput(
            f"it cannot be opened ({error.strerror})", where=name, hint="check its permissions"
        ) from None


def _encoding(head: bytes, name: str) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    control = len(head.translate(None, _TEXT_BYTES)) / max(len(head), 1)
    undecodable = head.decode("utf-8", errors="replace").count("\ufffd") / max(len(head), 1)
    if control > _MAX_CONTROL_SHARE or control + undecodable > _MAX_BINARY_SHARE:
        raise NotText(
            "the file is binary",
            where=name,
            expected="text that a trainer printed, or a nanoGPT config",
            found=f"{100 * (control + undecodable):.0f} % of the first {len(head):,} bytes are not text",
            hint="give the log or the config instead; checkpoints are never opened",
        )
    return "utf-8"


def iter_lines(path: Path, name: str) -> Iterator[tuple[int, str, bool]]:
    r"""Yield ``(line number, text, ended)`` of a log.

    Lines are counted by ``\n``, as an editor counts them; a progress bar's ``\r`` separates texts that share
    a number. ``ended`` is False for a last line that has no newline, which may be cut in the middle of a number.

    Raises
    ------
    UnreadableInput, NotText, InputTooLarge
        When the file is not a regular, non-empty, text file within the bound.
    """
    with _open(path, name, MAX_LOG_BYTES) as raw:
        encoding = _encoding(raw.read(_SNIFF_BYTES), name)
        raw.seek(0)
        stream = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="\n")
        number = 0
        try:
            while line := stream.readline(MAX_LINE_CHARS):
                number += 1
                ended = line.endswith("\n")
                while not ended and len(line) >= MAX_LINE_CHARS:  # drop the rest of an endless line
                    rest = stream.readline(MAX_LINE_CHARS)
                    ended = rest.endswith("\n") or not rest
                    if len(rest) < MAX_LINE_CHARS:
                        break
                text = line.rstrip("\n").rstrip("\r")
                if "\r" in text:
                    pieces = [piece for piece in text.split("\r") if piece]
                    for index, piece in enumerate(pieces):
                        yield number, clean(piece), ended or index < len(pieces) - 1
                else:
                    yield number, (clean(text) if not text.isprintable() else text), ended
        except UnicodeError:
            raise NotText("the text cannot be decoded", where=f"{name}:{number}", found=f"broken {encoding}") from None


def read_text(path: Path, name: str) -> str:
    """Return a config's text.

    Raises
    ------
    UnreadableInput, NotText, InputTooLarge
        When the file is not a regular, non-empty, text file within the bound.
    """
    with _open(path, name, MAX_CONFIG_BYTES) as raw:
        data = raw.read()
    try:
        return data.decode(_encoding(data[:_SNIFF_BYTES], name))
    except UnicodeDecodeError as error:
        raise NotText(
            "the text cannot be decoded",
            where=name,
            expected="UTF-8",
            found=f"byte 0x{data[error.start]:02x} at offset {error.start}",
            hint="save it as UTF-8",
        ) from None
