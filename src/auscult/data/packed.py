"""Compressed files, read as what is in them; one that is cut off says so."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from .errors import BadData

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["open_packed"]

_CHUNK_BYTES = 1 << 13
"""Of compressed data at a time: what it unpacks to is held in memory, and Zstandard packs blanks very tightly."""


@contextlib.contextmanager
def open_packed(path: Path, packed: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file; the first stream is what is in it, the second the file as it is stored.

    Parameters
    ----------
    path : Path
    packed : str
        ``.gz``, ``.zst`` or nothing.

    Raises
    ------
    BadData
        When the file cannot be read, is corrupt or is cut off, also while it is read inside of the ``with``.
    """
    corrupt: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)
    try:
        with path.open("rb") as stored:
            if packed == ".gz":
                with gzip.GzipFile(fileobj=stored) as unpacked:
                    yield cast("IO[bytes]", unpacked), stored
            elif packed == ".zst":
                import zstandard

                corrupt = (EOFError, zstandard.ZstdError)
                with io.BufferedReader(_Zstandard(stored), 1 << 18) as unpacked_zst:
                    yield unpacked_zst, stored
            else:
                yield stored, stored
    except corrupt as error:
        raise BadData(
            f"corrupt or cut off ({error})", where=str(path), hint="copy it again, or fetch it again"
        ) from None
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror or error})", where=str(path)) from None


class _Zstandard(io.RawIOBase):
    """What is in a file of one or more Zstandard frames; the package's own reader takes one cut off for its end."""

    def __init__(self, stored: IO[bytes]) -> None:
        import zstandard

        self._stored = stored
        self._start: Any = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._ready = b""

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill a buffer, or a part of it."""
        while not self._ready:
            chunk = self._stored.read(_CHUNK_BYTES)
            if not chunk:
                if self._frame is not None:
                    raise EOFError("the file ends within a frame")
                return 0
            self._ready = self._unpacked(chunk)
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpacked(self, chunk: bytes) -> bytes:
        found = []
        while chunk:
            frame = self._start() if self._frame is None else self._frame
            found.append(frame.decompress(chunk))
            self._frame, chunk = (None, frame.unused_data) if frame.eof else (frame, b"")
        return b"".join(found)
