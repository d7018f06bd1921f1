"""One input as readers see it: plain, compressed, piped or remote bytes, bounded, and counted for the progress bar."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import sys
import tempfile
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import InputTooLarge, NotText, UnreadableInput
from .text import Line, clean, decode, encoding_of, lines_of, looks_binary

__all__ = ["HEAD_BYTES", "InputFile", "open_kept", "open_path", "open_stdin", "open_url", "watched"]

HEAD_BYTES = 262_144
TAIL_BYTES = 65_536
MAX_NOTEBOOK_SAMPLE_BYTES = 32 * 2**20
"""How far into a notebook its outputs are looked for; pictures may stand before them."""
MAX_DOCUMENT_BYTES = 256 * 2**20
"""Largest JSON document that is read whole; a trainer_state.json of a million rows is about half of it."""
MAX_CONFIG_BYTES = 4 * 2**20
MAX_EXPANSION = 200
"""A log shrinks to between a tenth and a fortieth; a file that grows two hundredfold is a decompression bomb."""
FREE_EXPANSION_BYTES = 64 * 2**20
_BUFFER_BYTES = 1 << 20

Watcher = Callable[[str, int, int], None]
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Call ``watcher(file, bytes read, bytes in all)`` while files are read; a total of 0 means that it is not known."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


class _Counted(io.RawIOBase):
    """A raw stream that tells the watcher how far it is."""

    def __init__(self, raw: BinaryIO, name: str, total: int, watcher: Watcher) -> None:
        self._raw, self._name, self._total, self._watcher, self._done = raw, name, total, watcher, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        buffer[: len(data)] = data
        self._done += len(data)
        self._watcher(self._name, self._done, self._total)
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Expanded(io.RawIOBase):
    """A decompressed stream that stops when it grows out of all proportion to what was read of the file."""

    def __init__(self, expanded: io.BufferedReader, packed: BinaryIO, name: str) -> None:
        self._expanded, self._packed, self._name, self._done = expanded, packed, name, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._expanded.read1(len(buffer))  # what was whole before a cut is not lost
        except EOFError:  # cut off, as a run that was killed leaves it: what there is counts
            return 0
        except (OSError, ValueError, zlib.error, _zstd_error()) as error:
            raise UnreadableInput(
                f"the compressed data are damaged ({error})" if str(error) else "the compressed data are damaged",
                where=self._name,
                hint="decompress it by hand as far as it goes, and give the text",
            ) from None
        buffer[: len(data)] = data
        self._done += len(data)
        if self._done > FREE_EXPANSION_BYTES and self._done > MAX_EXPANSION * max(self._packed.tell(), 1):
            raise InputTooLarge(
                f"it expands more than {MAX_EXPANSION} times, as a decompression bomb does",
                where=self._name,
                hint="decompress it by hand if you trust it, and give the text",
            )
        return len(data)

    def close(self) -> None:
        self._packed.close()
        super().close()


def _zstd_error() -> type[Exception]:
    module = sys.modules.get("zstandard")
    return cast("type[Exception]", module.ZstdError) if module is not None else EOFError


def _unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    """Return the stream, decompressed when its first bytes are those of gzip or Zstandard."""
    magic = raw.read(4)
    raw.seek(0)
    if magic[:3] == b"\x1f\x8b\x08":
        return io.BufferedReader(
            _Expanded(cast("io.BufferedReader", gzip.GzipFile(fileobj=raw)), raw, name), _BUFFER_BYTES
        )
    if magic == b"\x28\xb5\x2f\xfd":
        import zstandard

        reader = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(raw, read_across_frames=True)
        return io.BufferedReader(_Expanded(cast("io.BufferedReader", reader), raw, name), _BUFFER_BYTES)
    return raw


@dataclass(frozen=True)
class InputFile:
    """A file to be read: its name as shown, and how to open it as often as needed.

    Attributes
    ----------
    name : str
        The path relative to the folder that the user named, with ``/``; what messages and sources show.
    opener : callable
        Returns a fresh stream of the raw bytes.
    size : int
        Raw bytes, 0 where that is not known.
    path : Path or None
        Where it lies, when it lies on this machine.
    seekable : bool
        Whether the end can be looked at without reading all of it.
    """

    name: str
    opener: Callable[[], BinaryIO]
    size: int = 0
    path: Path | None = None

    @property
    def suffix(self) -> str:
        """The last suffix in lower case, that of the text in a compressed file: ``.log`` of ``train.log.gz``."""
        name = self.name.lower()
        for packed in (".gz", ".zst"):
            name = name.removesuffix(packed)
        dot = name.rpartition("/")[2].rfind(".")
        return name.rpartition("/")[2][dot:] if dot > 0 else ""

    @property
    def base(self) -> str:
        """The file's own name without its folders."""
        return self.name.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The folder's path relative to the root, empty for the root."""
        return self.name.rpartition("/")[0]

    def binary(self) -> BinaryIO:
        """Return a fresh stream of the decompressed bytes.

        Raises
        ------
        UnreadableInput
            When it cannot be opened. Reading may raise it too, or InputTooLarge for a decompression bomb.
        """
        raw = self.opener()
        watcher = _watcher.get()
        if watcher is None:
            return _unpacked(raw, self.name)
        if _is_packed(raw):
            return _unpacked(cast("BinaryIO", _Seekless(raw, self.name, self.size, watcher)), self.name)
        return io.BufferedReader(_Counted(raw, self.name, self.size, watcher), _BUFFER_BYTES)

    @cached_property
    def head(self) -> bytes:
        """The first bytes, decompressed."""
        with _unpacked(self.opener(), self.name) as stream:
            return stream.read(HEAD_BYTES)

    @cached_property
    def tail(self) -> bytes:
        """The last bytes of a longer plain file; empty where they cannot be had cheaply."""
        if self.size <= HEAD_BYTES:
            return b""
        with self.opener() as raw:
            if _is_packed(raw) or not raw.seekable():
                return b""
            raw.seek(max(HEAD_BYTES, self.size - TAIL_BYTES))
            return raw.read(TAIL_BYTES)

    @cached_property
    def is_binary(self) -> bool:
        """Whether its first bytes are not text."""
        return looks_binary(self.head)

    @cached_property
    def is_lfs_pointer(self) -> bool:
        """Whether Git left a note of where the file is in its place, because it was not fetched with the rest."""
        return self.head.startswith(b"version https://git-lfs.github.com/spec/") and len(self.head) < 1024

    @cached_property
    def sample(self) -> str:
        r"""Text from the file's head and tail without terminal escapes, ``\r`` as line ends; empty for binary files."""
        if self.is_binary:
            return ""
        if self.is_notebook:
            return self._notebook_sample()
        text = (
            decode(self.head, self.name)
            + "\n"
            + (decode(self.tail, self.name) if self.tail and not looks_binary(self.tail) else "")
        )
        return "\n".join(clean(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))

    @cached_property
    def is_notebook(self) -> bool:
        """Whether it is a Jupyter notebook, of which only the outputs are read as text."""
        return self.suffix == ".ipynb" and self.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")

    def _notebook_sample(self) -> str:
        """Return text from the first and the last outputs that are within reach."""
        from .notebook import notebook_lines  # only notebooks wait for it

        first: list[str] = []
        last: deque[str] = deque(maxlen=TAIL_BYTES // 64)
        size = 0
        with _unpacked(self.opener(), self.name) as stream:
            bounded = cast("BinaryIO", _First(stream, MAX_NOTEBOOK_SAMPLE_BYTES))
            for line in notebook_lines(bounded, self.name, self.head):
                if size < HEAD_BYTES:
                    first.append(line.text)
                    size += len(line.text) + 1
                else:
                    last.append(line.text[:TAIL_BYTES])
        return "\n".join([*first, *last])

    def lines(self) -> Iterator[Line]:
        r"""Yield the lines of a text (of a notebook: those of its cells' outputs).

        Raises
        ------
        UnreadableInput, NotText, InputTooLarge
        """
        self._not_empty()
        read = lines_of
        if self.is_notebook:
            from .notebook import notebook_lines as read  # only notebooks wait for it
        with self.binary() as stream:
            yield from read(stream, self.name, self.head)

    def text(self, max_bytes: int = MAX_CONFIG_BYTES) -> str:
        """Return the whole text.

        Raises
        ------
        UnreadableInput, NotText, InputTooLarge
            When it is empty, binary, or longer than ``max_bytes``.
        """
        self._not_empty()
        with self.binary() as stream:
            data = stream.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise InputTooLarge(
                "the file is too large to be read whole",
                where=self.name,
                expected=f"at most {max_bytes / 2**20:,.0f} MiB",
                hint="give the file that training was started with, or cut this one down",
            )
        return decode(data, self.name, strict=True)

    def json(self, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
        """Return the JSON document; bare ``NaN`` and ``Infinity`` are read as Python writes them.

        Raises
        ------
        NotText
            When it is not JSON (with the line), besides what :meth:`text` raises.
        """
        text = self.text(max_bytes)
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise NotText(
                f"not valid JSON ({error.msg})",
                where=f"{self.name}:{error.lineno}",
                hint="check that the file was written to its end",
            ) from None
        except (RecursionError, ValueError):
            raise NotText("not JSON that can be read: nested too deep, or an endless number", where=self.name) from None

    def check(self) -> None:
        """Raise what reading it as text would raise: that it is empty or binary.

        Raises
        ------
        NotText
        """
        self._not_empty()
        encoding_of(self.head, self.name)

    def check_is_there(self) -> None:
        """Raise that only Git LFS's note of the file is here, where that is so.

        Raises
        ------
        NotText
        """
        if self.is_lfs_pointer:
            raise NotText(
                "Git LFS's pointer stands in place of the file, whose content was not fetched",
                where=self.name,
                hint="run `git lfs pull`",
            )

    def _not_empty(self) -> None:
        self.check_is_there()
        if not self.head:
            raise NotText(
                "the file is empty",
                where=self.name,
                hint="check that training wrote into it (for instance `| tee train.log`)",
            )


class _First:
    """The first bytes of a stream."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        return data


class _Seekless(io.RawIOBase):
    """A counted packed stream: knows how far it is, and can return to its start once to look at the magic bytes."""

    def __init__(self, raw: BinaryIO, name: str, total: int, watcher: Watcher) -> None:
        self._raw, self._name, self._total, self._watcher = raw, name, total, watcher

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._raw.read(size)
        self._watcher(self._name, self._raw.tell(), self._total)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()
        super().close()


def _is_packed(raw: BinaryIO) -> bool:
    magic = raw.read(4)
    raw.seek(0)
    return magic[:3] == b"\x1f\x8b\x08" or magic == b"\x28\xb5\x2f\xfd"


def open_path(path: Path, name: str) -> InputFile:
    """Return a file of this machine.

    Raises
    ------
    UnreadableInput
        When there is none, or it is a folder, a pipe or a device.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnreadableInput("no such file or folder", where=name, hint="check the path") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UnreadableInput(f"it cannot be opened ({why})", where=name, hint="check its permissions") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableInput("not a regular file", where=name, expected="a file", found="a folder, pipe or device")

    def opener() -> BinaryIO:
        try:
            return path.open("rb", buffering=_BUFFER_BYTES)
        except OSError as error:
            raise UnreadableInput(
                f"it cannot be opened ({error.strerror})", where=name, hint="check its permissions"
            ) from None

    return InputFile(name, opener, status.st_size, path)


class _Shared(io.RawIOBase):
    """One reader's view of a temporary file that others read too."""

    def __init__(self, handle: int) -> None:
        self._handle, self._at = handle, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._handle, len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, os.fstat(self._handle).st_size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


def open_stdin(stream: BinaryIO | None = None) -> InputFile:
    """Return what is piped in; it is kept in an unnamed temporary file, which goes when the program ends."""
    source = stream if stream is not None else sys.stdin.buffer
    watcher = _watcher.get()
    size = 0
    with tempfile.TemporaryFile() as kept:
        while block := source.read(_BUFFER_BYTES):
            kept.write(block)
            size += len(block)
            if watcher is not None:
                watcher("-", size, 0)
        return open_kept(kept, "-", size)


def open_kept(kept: BinaryIO, name: str, size: int) -> InputFile:
    """Return what was written into a temporary file, which may be closed now; it goes when the result does."""
    kept.flush()
    handle = os.dup(kept.fileno())
    file = InputFile(name, lambda: io.BufferedReader(_Shared(handle), _BUFFER_BYTES), size)
    weakref.finalize(file, os.close, handle)
    return file


def open_url(url: str) -> InputFile:
    """Return a remote file, read through fsspec.

    Raises
    ------
    UnreadableInput
        When the ``remote`` extra is not installed, or nothing can be read there.
    """
    try:
        import fsspec
    except ImportError:
        raise UnreadableInput(
            "remote files need the extra `remote`", where=url, hint="pip install 'auscult[remote]'"
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(url)
        size = system.size(path) or 0
    except Exception as error:  # each file system raises its own kinds
        raise UnreadableInput(f"it cannot be opened ({error})", where=url, hint="check the address") from None

    def opener() -> BinaryIO:
        try:
            return cast("BinaryIO", system.open(path, "rb"))
        except Exception as error:  # as above
            raise UnreadableInput(f"it cannot be opened ({error})", where=url, hint="check the address") from None

    return InputFile(url, opener, size)
