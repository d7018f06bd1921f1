"""Whether the shards of a folder are what their manifest or header says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import BadData
from .formats import SPLITS, Layout, Shard, expect_size, find_layout
from .manifest import MANIFEST, read_manifest
from .split import check_crc32c

__all__ = ["Verified", "verify"]

_BLOCK_TOKENS = 1 << 22


@dataclass(frozen=True, slots=True)
class Verified:
    """A shard that was looked at.

    Attributes
    ----------
    split : str
    shard : Shard
    largest_token : int, optional
        None where the file could not be read.
    problem : str, optional
        The paragraph that says what is wrong with it.
    """

    split: str
    shard: Shard
    largest_token: int | None
    problem: str | None


def verify(folder: Path, *, watch: Callable[[int], None] | None = None) -> Iterator[Verified]:
    """Look at every shard: its size, its checksum where there is one, and that every token is in the vocabulary.

    Parameters
    ----------
    folder : Path
        In any format that is read.
    watch : callable, optional
        Told how many bytes more were looked at.

    Raises
    ------
    BadData
        When there are no shards, or the manifest or a header cannot be read.
    """
    for split, layout in _layouts(folder):
        for shard in layout.shards:
            largest, problem = None, None
            try:
                expect_size(shard)
                check_crc32c(shard)
                largest = _largest(shard)
                if layout.vocab_size is not None and largest >= layout.vocab_size:
                    raise BadData(
                        f"holds token {largest:,}, which is outside of the vocabulary",
                        where=str(shard.path),
                        expected=f"tokens below {layout.vocab_size:,}",
                    )
            except BadData as error:
                problem = str(error)
            yield Verified(split, shard, largest, problem)
            if watch is not None:
                watch(shard.file_bytes)


def _layouts(folder: Path) -> Iterator[tuple[str, Layout]]:
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        for split, entry in manifest.splits.items():
            shards = tuple(Shard(folder / s.file, manifest.dtype, 0, s.tokens, s.crc32c) for s in entry.shards)
            yield split, Layout("auscult", shards, manifest.tokenizer.vocab_size)
        return
    problems = []
    for split in SPLITS:
        try:
            yield split, find_layout(folder, split)
        except BadData as error:
            if f"none of {split}" not in str(error):
                problems.append(error)
    if problems:
        raise problems[0]


def _largest(shard: Shard) -> int:
    dtype = np.dtype(shard.dtype).newbyteorder("<")
    largest = 0
    try:
        with shard.path.open("rb") as stream:
            stream.seek(shard.offset_bytes)
            while len(block := np.fromfile(stream, dtype, _BLOCK_TOKENS)):
                largest = max(largest, int(block.max()))
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror})", where=str(shard.path)) from None
    return largest
