"""A corpus without a network: the sources of the machine's own Python library."""

from __future__ import annotations

import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

__all__ = ["DEFAULT_CORPUS_BYTES", "Corpus", "write_corpus"]

DEFAULT_CORPUS_BYTES = 8_000_000
_LEFT_OUT = frozenset({"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test", "_bundled"})
"""Not of the library, or its tests, which repeat themselves."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was written."""

    files: int
    bytes: int


def write_corpus(folder: Path, *, size_bytes: int = DEFAULT_CORPUS_BYTES, library: Path | None = None) -> Corpus:
    """Copy sources of the Python library as text files, one document each, up to a size.

    Parameters
    ----------
    folder : Path
        New or empty.
    size_bytes : int
        The first files, by their paths in order, that fit into so much.
    library : Path, optional
        Where the sources are; those of the Python that runs.

    Returns
    -------
    Corpus
        Fewer bytes where the library has no more.

    Raises
    ------
    UsageError
        When the folder has something in it or cannot be written, or there are no sources.

    Notes
    -----
    Equal on machines with the same Python; another version gives other text. A file of another encoding than UTF-8 is left
    out, and so is one without text. The folder appears whole or not at all.
    """
    library = Path(sysconfig.get_path("stdlib")) if library is None else library
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not empty. Next: choose a new folder as --output.")
    files = total = 0
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            for name, data in _texts(library):
                if total + len(data) > size_bytes:
                    break
                target = temporary / f"{name}.txt"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                files, total = files + 1, total + len(data)
            if not files:
                raise UsageError(
                    f"{library}: has no Python sources that fit into {size_bytes:,} bytes. Next: ask for more --bytes."
                )
            temporary.chmod(0o755)
            temporary.replace(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror}). Next: choose another --output.") from None
    return Corpus(files, total)


def _texts(library: Path) -> Iterator[tuple[str, bytes]]:
    found = []
    for top, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        found += [Path(top) / name for name in names if name.endswith(".py")]
    for path in sorted(found, key=lambda path: path.relative_to(library).as_posix()):
        try:
            data = path.read_bytes()
            data.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if data.strip():
            yield path.relative_to(library).as_posix(), data
