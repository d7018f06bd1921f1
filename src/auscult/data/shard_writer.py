"""Shards while they are written: under a name of their own until they are whole and recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .checksum import file_crc32c, show_crc32c
from .errors import BadData
from .manifest import DTYPES, ShardEntry

__all__ = ["PARTIAL", "ShardWriter", "sync_folder"]

PARTIAL = ".partial"


class ShardWriter:
    """Writes the tokens of a split into shards of equal size.

    Parameters
    ----------
    folder : Path
    split : str
    dtype : str
        ``uint16`` or ``uint32``.
    shard_tokens : int
        Tokens of a shard; the last has what is left.
    finished : tuple of ShardEntry
        Shards that are whole already.
    tokens : int
        In the shard that is not; what its file holds beyond them is cut off.
    crc32c : str
        Of those tokens.

    Raises
    ------
    BadData
        When a file is not what these numbers say.

    Notes
    -----
    Full shards keep their temporary names until :meth:`publish`, which is called once the ledger has them: a name without
    ``.partial`` is a promise.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        dtype: str,
        shard_tokens: int,
        *,
        finished: tuple[ShardEntry, ...] = (),
        tokens: int = 0,
        crc32c: str = "00000000",
    ) -> None:
        from crc32c import crc32c as checksum

        self._checksum = checksum
        self._folder, self._split, self._dtype, self._shard_tokens = folder, split, dtype, shard_tokens
        self.finished = list(finished)
        self.tokens = tokens
        self._crc = int(crc32c, 16)
        self._unpublished: list[ShardEntry] = []
        self._full: list[BinaryIO] = []
        self._stream: BinaryIO | None = None
        self._clean_up()

    @property
    def crc32c(self) -> str:
        """Of the tokens in the shard that is not full."""
        return show_crc32c(self._crc)

    @property
    def total(self) -> int:
        """Tokens of the split so far."""
        return sum(shard.tokens for shard in self.finished) + self.tokens

    def append(self, tokens: NDArray[Any]) -> None:
        """Write tokens behind those that are there."""
        while len(tokens):
            taken = tokens[: self._shard_tokens - self.tokens]
            tokens = tokens[len(taken) :]
            data = np.ascontiguousarray(taken).data.cast("B")
            self._open().write(data)
            self._crc = self._checksum(data, self._crc)
            self.tokens += len(taken)
            if self.tokens == self._shard_tokens:
                self._end_shard()

    def end(self) -> None:
        """End the last shard, however few tokens it has."""
        if self.tokens:
            self._end_shard()

    def sync(self) -> None:
        """Make everything written durable."""
        for stream in [*self._full, *([self._stream] if self._stream is not None else [])]:
            stream.flush()
            os.fsync(stream.fileno())

    def publish(self) -> None:
        """Give full shards their names."""
        for stream in self._full:
            stream.close()
        for shard in self._unpublished:
            (self._folder / (shard.file + PARTIAL)).replace(self._folder / shard.file)
        self._full, self._unpublished = [], []

    def close(self) -> None:
        """Close the files; what is not synced may be lost."""
        for stream in [*self._full, *([self._stream] if self._stream is not None else [])]:
            try:
                stream.close()
            except OSError:  # the disk is full, which was said already; the ledger knows what is whole
                stream.raw.close()  # type: ignore[attr-defined] # BinaryIO does not tell that it has one
        self._full, self._stream = [], None

    def _file(self) -> str:
        return f"{self._split}_{len(self.finished):06d}.bin"

    def _open(self) -> BinaryIO:
        if self._stream is None:
            self._stream = (self._folder / (self._file() + PARTIAL)).open("ab")
        return self._stream

    def _end_shard(self) -> None:
        stream = self._open()  # not open yet where nothing was added since it was taken up again
        size = self.tokens * DTYPES[self._dtype]
        shard = ShardEntry(self._file(), self.tokens, size, self.crc32c)
        self._full.append(stream)
        self.finished.append(shard)
        self._unpublished.append(shard)
        self._stream, self.tokens, self._crc = None, 0, 0

    def _clean_up(self) -> None:
        """Bring the folder to the state that the ledger tells: publish what it has, cut off or remove what it has not."""
        for shard in self.finished:
            path, partial = self._folder / shard.file, self._folder / (shard.file + PARTIAL)
            if not path.exists() and partial.exists():
                partial.replace(path)
            if not path.exists() or path.stat().st_size != shard.bytes:
                raise BadData(
                    "a finished shard was removed or changed while its preparation was interrupted",
                    where=str(path),
                    expected=f"{shard.bytes:,} bytes",
                    found=f"{path.stat().st_size:,}" if path.exists() else "no file",
                    hint="delete the folder, and start again",
                )
        here = self._folder / (self._file() + PARTIAL)
        size = self.tokens * DTYPES[self._dtype]
        for path in self._folder.glob(f"{self._split}_*.bin{PARTIAL}"):
            if path != here or not size:
                path.unlink()
        if size:
            if not here.exists() or here.stat().st_size < size or file_crc32c(here, size_bytes=size) != self.crc32c:
                raise BadData(
                    "the last shard is not what it was when its preparation was interrupted",
                    where=str(here),
                    hint="delete the folder, and start again",
                )
            os.truncate(here, size)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
