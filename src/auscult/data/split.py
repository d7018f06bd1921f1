"""A split of token data, opened: how many sequences it has, and any of them by number."""

from __future__ import annotations

import bisect
import hashlib
import os
import weakref
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .checksum import file_crc32c
from .errors import BadData
from .formats import SPLITS, Layout, Shard, Split, find_layout
from .manifest import DTYPES

__all__ = ["TokenSplit", "open_split"]

FINGERPRINT_BLOCKS, FINGERPRINT_BLOCK_BYTES = 16, 65_536
"""How much of a split without checksums is read for its fingerprint: at most 1 MiB, spread over it."""


@dataclass(frozen=True)
class TokenSplit:
    """The tokens of a split.

    Attributes
    ----------
    split : str
        ``train`` or ``val``.
    token_count : int
        Tokens of all shards.
    vocab_size : int, optional
        Every token is below it; None where the format does not say.
    separator : int, optional
        The token before every document; None where the format does not say.
    fingerprint : str
        Equal for equal data, wherever it lies.
    layout : Layout
        Its shards and their format.
    vocab_limit : int, optional
        Tokens at or above it are refused by :meth:`sequences`, like those above ``vocab_size``.

    Notes
    -----
    Files are opened by the first read and closed with the object. They are read, not mapped, so that a file cut short
    under a running job gives a message and not a signal. Threads may share it.
    """

    split: str
    token_count: int
    vocab_size: int | None
    separator: int | None
    fingerprint: str
    layout: Layout = field(repr=False)
    vocab_limit: int | None = None

    def sequence_count(self, context: int) -> int:
        """Return how many sequences of ``context + 1`` tokens there are, ``context`` tokens apart, none across two shards.

        Parameters
        ----------
        context : int
            Tokens that a sequence predicts.
        """
        return self._ends(context)[-1]

    def sequences(self, indices: NDArray[np.int64], context: int) -> NDArray[np.int64]:
        """Return sequences by their numbers.

        Parameters
        ----------
        indices : ndarray of int64, shape (n,)
            Each in ``range(sequence_count(context))``.
        context : int
            Tokens that a sequence predicts.

        Returns
        -------
        ndarray of int64, shape (n, context + 1)
            Inputs are ``[:, :-1]``, targets ``[:, 1:]``.

        Raises
        ------
        BadData
            When a token is not in the vocabulary, or a shard cannot be read any more; both are named with the position.
        ValueError
            When an index is out of range.
        """
        ends = self._ends(context)
        found = np.empty((len(indices), context + 1), np.int64)
        for row, index in enumerate(indices.tolist()):
            if not 0 <= index < ends[-1]:
                raise ValueError(f"sequence {index} is not in range({ends[-1]})")
            shard = bisect.bisect_right(ends, index)
            start = (index - (ends[shard - 1] if shard else 0)) * context
            found[row] = self._tokens(shard, start, context + 1)
        limit = min((n for n in (self.vocab_size, self.vocab_limit) if n is not None), default=None)
        if limit is not None and found.size and int(found.max()) >= limit:
            self._refuse(found, indices, ends, context, limit)
        return found

    def _ends(self, context: int) -> list[int]:
        """Return how many sequences there are up to the end of each shard."""
        if context < 1:
            raise ValueError(f"context must be 1 or more, found {context}")
        return list(accumulate((shard.tokens - 1) // context for shard in self.layout.shards))

    def _tokens(self, shard: int, start: int, count: int) -> NDArray[np.unsignedinteger]:
        which = self.layout.shards[shard]
        width = DTYPES[which.dtype]
        offset, wanted = which.offset_bytes + start * width, count * width
        try:
            data = os.pread(self._handle(shard), wanted, offset)
            while 0 < len(data) < wanted:  # a signal, or a network file system, may cut a read short
                more = os.pread(self._handle(shard), wanted - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise BadData(f"cannot be read at token {start:,} ({error.strerror})", where=str(which.path)) from None
        if len(data) < wanted:
            raise BadData(
                f"the shard ends at token {start + len(data) // width:,}: it was cut short after it was opened",
                where=str(which.path),
                expected=f"{which.tokens:,} tokens",
                hint="copy or prepare it again, then resume",
            )
        return np.frombuffer(data, np.dtype(which.dtype).newbyteorder("<"))

    @cached_property
    def _handles(self) -> dict[int, int]:
        return {}

    def _handle(self, shard: int) -> int:
        if shard not in self._handles:
            handle = os.open(self.layout.shards[shard].path, os.O_RDONLY)
            first = self._handles.setdefault(shard, handle)
            if first != handle:  # another thread was first
                os.close(handle)
            else:
                weakref.finalize(self, os.close, handle)
        return self._handles[shard]

    def _refuse(
        self, found: NDArray[np.int64], indices: NDArray[np.int64], ends: list[int], context: int, limit: int
    ) -> None:
        row, column = (int(i) for i in np.argwhere(found >= limit)[0])
        index = int(indices[row])
        shard = bisect.bisect_right(ends, index)
        position = (index - (ends[shard - 1] if shard else 0)) * context + column
        whose = "the data's own" if limit == self.vocab_size else "the model's"
        raise BadData(
            f"token {int(found[row, column]):,} at position {position:,} is outside of {whose} vocabulary",
            where=str(self.layout.shards[shard].path),
            expected=f"tokens below {limit:,}",
            hint="the shard is of another tokenizer, of another dtype, or corrupt: `auscult data verify` tells",
        )


def open_split(path: Path, split: Split, *, verify: bool = True, vocab_limit: int | None = None) -> TokenSplit:
    """Open a split of token data.

    Parameters
    ----------
    path : Path
        A folder of ``auscult data prepare``, nanoGPT's, llm.c's or modded-nanogpt's.
    split : {"train", "val"}
    verify : bool
        Whether the checksums of a manifest are compared with the files, which reads all of them. Sizes always are.
    vocab_limit : int, optional
        Rows of the model's embedding: no token may reach it.

    Raises
    ------
    BadData
        On anything wrong, in one paragraph.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, found {split!r}")
    path = Path(path)
    layout = find_layout(path, split)
    if verify:
        for shard in layout.shards:
            check_crc32c(shard)
    if vocab_limit is not None and layout.vocab_size is not None and layout.vocab_size > vocab_limit:
        raise BadData(
            f"the data has a vocabulary of {layout.vocab_size:,}, more than the model's {vocab_limit:,}",
            where=str(path),
            hint=f"set vocab_size of the model to {-(-layout.vocab_size // 64) * 64:,}, the next multiple of 64",
        )
    tokens = sum(shard.tokens for shard in layout.shards)
    return TokenSplit(
        split, tokens, layout.vocab_size, layout.separator, _fingerprint(layout), layout, vocab_limit=vocab_limit
    )


def check_crc32c(shard: Shard) -> None:
    """Raise BadData where a shard is not what its manifest says; one without a checksum passes."""
    if shard.crc32c is None:
        return
    found = file_crc32c(shard.path)
    if found != shard.crc32c:
        raise BadData(
            "the shard is corrupt: its checksum is not the manifest's",
            where=str(shard.path),
            expected=f"crc32c {shard.crc32c}",
            found=found,
            hint="copy it again, or delete the folder and prepare it again",
        )


def _fingerprint(layout: Layout) -> str:
    """Return a digest of the tokens: from checksums where there are any, else from a sample of every shard set."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr([(s.dtype, s.tokens, s.crc32c) for s in layout.shards]).encode())
    if all(shard.crc32c is not None for shard in layout.shards):
        return digest.hexdigest()
    sizes = [shard.tokens * DTYPES[shard.dtype] for shard in layout.shards]
    ends = list(accumulate(sizes))
    last = max(ends[-1] - FINGERPRINT_BLOCK_BYTES, 0)
    for block in range(FINGERPRINT_BLOCKS):
        position = last * block // (FINGERPRINT_BLOCKS - 1)
        shard = bisect.bisect_right(ends, position)
        start = position - (ends[shard - 1] if shard else 0)
        which = layout.shards[shard]
        try:
            with which.path.open("rb") as stream:
                stream.seek(which.offset_bytes + start)
                digest.update(stream.read(min(FINGERPRINT_BLOCK_BYTES, sizes[shard] - start)))
        except OSError as error:
            raise BadData(f"cannot be read ({error.strerror})", where=str(which.path)) from None
    return digest.hexdigest()
