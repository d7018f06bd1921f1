"""Where text comes from: files, folders of files, and data sets of the Hugging Face Hub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UsageError
from .errors import BadData

__all__ = ["Found", "Kind", "Source", "find_sources"]

Kind = Literal["text", "jsonl", "parquet", "hub"]
_KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_PACKED = (".gz", ".zst")
HUB = "hf:"


@dataclass(frozen=True, slots=True)
class Source:
    """One source of documents.

    Attributes
    ----------
    name : str
        What the split is drawn with: the path within the folder that was named, or the file's own name.
    location : str
        The path, or what follows ``hf:``.
    kind : {"text", "jsonl", "parquet", "hub"}
    packed : str
        ``.gz``, ``.zst`` or nothing.
    size_bytes, modified_ns : int, optional
        None for a stream.
    """

    name: str
    location: str
    kind: Kind
    packed: str = ""
    size_bytes: int | None = None
    modified_ns: int | None = None

    @property
    def path(self) -> Path:
        """Its path, for a file."""
        return Path(self.location)


@dataclass(frozen=True, slots=True)
class Found:
    """The sources in order, and the files of folders that are no sources of text."""

    sources: tuple[Source, ...]
    ignored: tuple[str, ...]


def find_sources(inputs: Sequence[str], *, output: Path) -> Found:
    """Find the sources that were named.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders, and ``hf:DATASET`` or ``hf:DATASET/CONFIG``. A folder gives its ``.txt``, ``.md``, ``.jsonl``,
        ``.ndjson`` and ``.parquet`` files, and those with ``.gz`` or ``.zst`` behind it, sorted by their paths in it.
    output : Path
        A folder that is not searched.

    Raises
    ------
    BadData
        When something is missing, or there is no source at all.
    """
    sources: list[Source] = []
    ignored: list[str] = []
    for text in inputs:
        if text.startswith(HUB):
            sources.append(Source(text, text.removeprefix(HUB), "hub"))
            continue
        path = Path(text)
        if path.is_dir():
            for file in _files(path, output):
                kind, packed = _kind(file)
                if kind is None:
                    ignored.append(str(file))
                else:
                    sources.append(_file(file, file.relative_to(path).as_posix(), kind, packed))
        else:
            kind, packed = _kind(path)
            sources.append(_file(path, path.name, kind or _looked_at(path), packed))
    if not sources:
        raise BadData(
            "there is no text in it" if len(inputs) == 1 else "there is no text in them",
            where=", ".join(inputs)[:200],
            expected=f"files ending in {', '.join(_KINDS)} ({' or '.join(_PACKED)} may follow)",
            found=f"{len(ignored)} other files" if ignored else "no files",
            hint="name files of another ending one by one",
        )
    twice = _first_repeated(source.location for source in sources)
    if twice is not None:
        raise UsageError(f"{twice} is named twice. Next: name every input once.")
    return Found(tuple(sources), tuple(ignored))


def _files(folder: Path, output: Path) -> Iterable[Path]:
    skipped = output.resolve()
    found = []
    for top, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".") and (Path(top) / f).resolve() != skipped]
        found += [Path(top) / name for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _kind(path: Path) -> tuple[Kind | None, str]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in _PACKED else ""
    return (_KINDS.get(suffixes[-1]) if suffixes else None), packed


def _looked_at(path: Path) -> Kind:
    """Return what a file of another ending is, where a person named it: Parquet by its first bytes, JSON, else text."""
    if path.suffix.lower() == ".json":
        return "jsonl"
    try:
        with path.open("rb") as stream:
            return "parquet" if stream.read(4) == b"PAR1" else "text"
    except OSError as error:
        raise _unreadable(path, error) from None


def _file(path: Path, name: str, kind: Kind, packed: str) -> Source:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    if not path.is_file():
        raise BadData("is not a regular file, and only files can be taken up again", where=str(path))
    if kind == "parquet" and packed:
        raise BadData(f"a Parquet file inside {packed} cannot be read", where=str(path), hint="unpack it")
    return Source(name, str(path), kind, packed, status.st_size, status.st_mtime_ns)


def _unreadable(path: Path, error: OSError) -> BadData:
    hint = "check the path" if isinstance(error, FileNotFoundError) else None
    return BadData(f"cannot be read ({error.strerror})", where=str(path), hint=hint)


def _first_repeated(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
