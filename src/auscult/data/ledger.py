"""The ledger of a preparation: what is durable, so that an interrupted one goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ..errors import UsageError
from .documents import Cursor
from .errors import BadData
from .formats import SPLITS
from .manifest import ShardEntry

__all__ = ["LEDGER", "Ledger", "Progress", "SplitProgress"]

LEDGER = "prepare.ledger"
VERSION = 1
"""Another one where the same settings would give other tokens."""


@dataclass(slots=True)
class SplitProgress:
    """How far a split is: whole shards, and the tokens and checksum of the one being written."""

    documents: int = 0
    shards: tuple[ShardEntry, ...] = ()
    tokens: int = 0
    crc32c: str = "00000000"


@dataclass(slots=True)
class Progress:
    """How far a preparation is.

    Attributes
    ----------
    cursor : Cursor
        Where reading goes on.
    splits : dict of str to SplitProgress
    source_documents : dict of int to int
        Documents of each source.
    source_bytes, text_bytes, empty_documents : int
        Read of the sources; of the documents; documents without text.
    ended : bool
        Whether all documents wanted are written.
    """

    cursor: Cursor = field(default_factory=Cursor)
    splits: dict[str, SplitProgress] = field(default_factory=lambda: {split: SplitProgress() for split in SPLITS})
    source_documents: dict[int, int] = field(default_factory=dict)
    source_bytes: int = 0
    text_bytes: int = 0
    empty_documents: int = 0
    ended: bool = False


class Ledger:
    """A file of lines of JSON in the folder: the first says what is prepared, each other what has become durable since.

    Notes
    -----
    A line counts once it is whole: what a crash cut off is dropped. The file is locked while a process writes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._stream = path.open("a+b", buffering=0)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror}). Next: choose another --output.") from None
        try:
            _lock(self._stream.fileno(), path)
        except BaseException:
            self._stream.close()
            raise
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stream.close()

    def load(self) -> tuple[Mapping[str, Any], Progress] | None:
        """Return the first line and how far the others say it is; None where nothing was begun.

        Raises
        ------
        BadData
            When the file is no ledger.
        """
        self._stream.seek(0)
        data = self._stream.readall() or b""
        whole = data[: data.rfind(b"\n") + 1]
        progress = Progress()
        begun: Mapping[str, Any] | None = None
        try:
            for line in whole.splitlines():
                found = json.loads(line)
                if begun is None:
                    begun = found["begin"]
                else:
                    _add(progress, found)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadData(
                f"not a ledger of `auscult data prepare` ({type(error).__name__}: {error})",
                where=str(self._path),
                hint="delete the folder, and start again",
            ) from None
        self._cut(len(whole))
        return None if begun is None else (begun, progress)

    def begin(self, what: Mapping[str, Any]) -> None:
        """Write the first line."""
        self._cut(0)
        self._write({"begin": dict(what)})

    def commit(self, before: Progress, now: Progress) -> None:
        """Write down what has become durable since the last line."""
        splits = {}
        for name, split in now.splits.items():
            new = split.shards[len(before.splits[name].shards) :]
            rest = {"documents": split.documents, "tokens": split.tokens, "crc32c": split.crc32c}
            splits[name] = {**rest, "new_shards": [asdict(shard) for shard in new]}
        sources = {
            str(number): documents
            for number, documents in now.source_documents.items()
            if before.source_documents.get(number) != documents
        }
        plain = {key: getattr(now, key) for key in ("source_bytes", "text_bytes", "empty_documents", "ended")}
        self._write({"cursor": asdict(now.cursor), "splits": splits, "sources": sources, **plain})

    def remove(self) -> None:
        """Remove the file; everything is in the manifest."""
        self._path.unlink()

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        written = 0
        while written < len(data):
            written += self._stream.write(data[written:]) or 0
        os.fsync(self._stream.fileno())
        self._size += len(data)

    def _cut(self, size: int) -> None:
        self._stream.truncate(size)
        self._size = size


def _add(progress: Progress, line: Mapping[str, Any]) -> None:
    progress.cursor = Cursor(**line["cursor"])
    for name, entry in line["splits"].items():
        split = progress.splits[name]
        split.documents, split.tokens, split.crc32c = entry["documents"], entry["tokens"], entry["crc32c"]
        split.shards += tuple(ShardEntry(**shard) for shard in entry["new_shards"])
    progress.source_documents |= {int(number): documents for number, documents in line["sources"].items()}
    for key in ("source_bytes", "text_bytes", "empty_documents", "ended"):
        setattr(progress, key, line[key])


def _lock(handle: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows, where two processes writing into one folder are the user's own affair
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{path.parent}: another process is preparing data there. Next: wait for it, or choose another --output."
        ) from None
    except OSError:  # a file system without locks
        return
