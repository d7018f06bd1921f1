"""A file that only grows: whole records or nothing, whatever happens to the process or to the disk."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["AppendedFile"]

_BLOCK_BYTES = 1 << 16


class AppendedFile:
    r"""Appends records to a file, each at once and whole; a full disk costs records, never the run.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    lines : bool
        Whether a record ends with a newline. Whatever stands behind the last newline, such as the line that a killed process
        left half written, is then cut off when the file is opened.

    Attributes
    ----------
    lost : int
        Records that could not be written.
    failure : str or None
        Why the last one could not; None where it could.

    Notes
    -----
    A record is with the operating system when :meth:`append` returns: a killed process loses none. It is not forced to the
    disk: a machine that loses its power may lose the last seconds.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log"
    >>> _ = path.write_bytes(b"whole\ntorn")
    >>> file = AppendedFile(path, lines=True)
    >>> file.append(b"next\n"), path.read_bytes()
    (True, b'whole\nnext\n')
    >>> file.close()
    """

    def __init__(self, path: Path, *, lines: bool = False) -> None:
        self.path = path
        self.lost = 0
        self.failure: str | None = None
        self._descriptor: int | None = None
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags, 0o666)
            if lines:
                _cut_behind_last_newline(self._descriptor)
        except OSError as error:
            self.failure = _reason(error)

    def append(self, record: bytes) -> bool:
        """Write a record behind the last one, and return whether it is there."""
        if self._descriptor is None:
            self.failure = self.failure or "the file is closed"
            self.lost += 1
            return False
        before = written = 0
        try:
            before = os.fstat(self._descriptor).st_size
            while written < len(record):
                written += os.write(self._descriptor, record[written:])
        except OSError as error:
            self.failure = _reason(error)
            self.lost += 1
            if written:
                self._take_back(before)
            return False
        self.failure = None
        return True

    def _take_back(self, size: int) -> None:
        """Remove the part of a record that still found room, so that the next one is not glued to it."""
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, size)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file; further records count as lost."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _cut_behind_last_newline(descriptor: int) -> None:
    end = size = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
