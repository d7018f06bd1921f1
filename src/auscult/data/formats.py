"""The formats of token shards that are read as they are: our own, nanoGPT's, and llm.c's (modded-nanogpt's)."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import BadData
from .manifest import DTYPES, MANIFEST, read_manifest

__all__ = ["SPLITS", "Layout", "Shard", "Split", "expect_size", "find_layout"]

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")
HEADER_BYTES = 256 * 4
"""llm.c: 256 int32 before the tokens: magic, version, number of tokens, and zeros."""
LLMC = {20240520: ("uint16", 1, 50256), 20240801: ("uint32", 7, 128000)}
"""Magic → dtype, version as ``write_datafile`` writes it, and the token that ``fineweb.py`` puts before each document.
karpathy/llm.c ``dev/data/data_common.py`` (16635d4); modded-nanogpt reads the first."""
LLMC_VERSIONS = {20240520: (1,), 20240801: (1, 7)}
"""llm.c's own writer says 7 for Llama 3; other writers copied the 1."""
_NAME = re.compile(r"^(?P<prefix>.+)_(?P<split>train|val)(?:_(?P<number>\d+))?\.bin$")


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of tokens.

    Attributes
    ----------
    path : Path
    dtype : str
        ``uint16`` or ``uint32``, little-endian.
    offset_bytes : int
        Where the first token is.
    tokens : int
    crc32c : str, optional
        Of the whole file, hexadecimal, where a manifest says it.
    """

    path: Path
    dtype: str
    offset_bytes: int
    tokens: int
    crc32c: str | None = None

    @property
    def file_bytes(self) -> int:
        """Size that the file must have."""
        return self.offset_bytes + self.tokens * DTYPES[self.dtype]


@dataclass(frozen=True, slots=True)
class Layout:
    """The shards of a split, in order, and what their format says of the tokens.

    Attributes
    ----------
    format : str
        ``auscult``, ``nanogpt`` or ``llm.c``.
    shards : tuple of Shard
    vocab_size, separator, documents : int, optional
        None where the format does not say.
    """

    format: Literal["auscult", "nanogpt", "llm.c"]
    shards: tuple[Shard, ...]
    vocab_size: int | None = None
    separator: int | None = None
    documents: int | None = None


def find_layout(folder: Path, split: Split) -> Layout:
    """Return the shards of a split.

    Parameters
    ----------
    folder : Path
        With a ``manifest.json``; or nanoGPT's ``train.bin`` and ``val.bin``; or files named ``*_train_*.bin`` and
        ``*_val_*.bin`` (or ``*_train.bin`` and ``*_val.bin``) with llm.c's header.
    split : {"train", "val"}

    Raises
    ------
    BadData
        When the folder, the split or a shard is missing, or a file has another size than it must have.

    Notes
    -----
    nanoGPT's ``meta.pkl`` is a pickle, which could run any program when opened: it is never opened, and the size of the
    vocabulary stays unknown.
    """
    if not folder.is_dir():
        what = "is a file, not a folder of shards" if folder.exists() else "the folder does not exist"
        raise BadData(what, where=str(folder), hint="make one with `auscult data prepare`")
    if (folder / MANIFEST).exists():
        return _own(folder, split)
    plain = folder / f"{split}.bin"
    if plain.exists():
        return _nanogpt(plain)
    named = sorted(
        (m["prefix"], int(m["number"] or 0), p)
        for p in folder.glob("*.bin")
        if (m := _NAME.match(p.name)) and m["split"] == split
    )
    if not named:
        raise BadData(_nothing(folder, split), where=str(folder), hint=_hint(folder))
    prefixes = sorted({prefix for prefix, _number, _path in named})
    if len(prefixes) > 1:
        raise BadData(
            f"holds the {split} shards of several data sets: {', '.join(prefixes[:4])}",
            where=str(folder),
            hint="give each data set a folder of its own",
        )
    return _llmc([path for _prefix, _number, path in named])


def _hint(folder: Path) -> str:
    if any(folder.glob("*.partial")):
        return "its preparation was interrupted: run the same `auscult data prepare` again, and it continues"
    return "make shards with `auscult data prepare`"


def _nothing(folder: Path, split: str) -> str:
    other = "val" if split == "train" else "train"
    if (folder / f"{other}.bin").exists() or any(folder.glob(f"*_{other}*.bin")):
        return f"holds shards of {other}, but none of {split} ({split}.bin, or *_{split}_*.bin)"
    return "holds neither a manifest.json, nor train.bin and val.bin, nor *_train_*.bin and *_val_*.bin"


def _own(folder: Path, split: str) -> Layout:
    manifest = read_manifest(folder)
    entry = manifest.splits.get(split)
    if entry is None or not entry.shards:
        raise BadData(
            f"the {split} split has no tokens",
            where=str(folder / MANIFEST),
            hint="prepare the data again with a larger --val-tokens" if split == "val" else "prepare more text",
        )
    shards = tuple(Shard(folder / s.file, manifest.dtype, 0, s.tokens, s.crc32c) for s in entry.shards)
    for shard in shards:
        expect_size(shard)
    tokenizer = manifest.tokenizer
    return Layout("auscult", shards, tokenizer.vocab_size, tokenizer.separator, entry.documents)


def _nanogpt(path: Path) -> Layout:
    size = _size(path)
    head = _head(path)
    if _magic(head) in LLMC:
        return _llmc([path])
    if size == 0:
        raise BadData("the file is empty", where=str(path), hint="prepare the data again")
    if size % 2:
        raise BadData(
            "cut off in the middle of a token",
            where=str(path),
            expected="whole tokens of 2 bytes (uint16)",
            found=f"{size:,} bytes",
            hint="copy or prepare the file again",
        )
    return Layout("nanogpt", (Shard(path, "uint16", 0, size // 2),))


def _llmc(paths: Sequence[Path]) -> Layout:
    shards = tuple(_llmc_shard(path) for path in paths)
    kinds = {shard.dtype for shard in shards}
    if len(kinds) > 1:
        raise BadData("shards of uint16 and of uint32 lie side by side", where=str(paths[0].parent))
    return Layout("llm.c", shards, separator=_llmc_separator(shards[0]))


def _llmc_shard(path: Path) -> Shard:
    head = _head(path)
    magic = _magic(head)
    if len(head) < HEADER_BYTES or magic not in LLMC:
        raise BadData(
            "no header of llm.c",
            where=str(path),
            expected=f"{HEADER_BYTES} bytes that begin with the number {' or '.join(map(str, LLMC))}",
            found=f"the number {magic}" if magic is not None else f"{len(head)} bytes",
            hint="uint16 files without a header are read when they are called train.bin and val.bin",
        )
    version, tokens = struct.unpack_from("<2i", head, 4)
    if version not in LLMC_VERSIONS[magic]:
        known = " or ".join(map(str, LLMC_VERSIONS[magic]))
        raise BadData("unknown version of llm.c's header", where=str(path), expected=known, found=str(version))
    if tokens < 1:
        raise BadData(f"the header says {tokens} tokens", where=str(path), hint="copy or prepare the shard again")
    shard = Shard(path, LLMC[magic][0], HEADER_BYTES, tokens)
    expect_size(shard)
    return shard


def _llmc_separator(first: Shard) -> int | None:
    """Return the token before each document, where the very first token is the one that llm.c's scripts put there."""
    separator = next(token for dtype, _version, token in LLMC.values() if dtype == first.dtype)
    with first.path.open("rb") as stream:
        stream.seek(first.offset_bytes)
        token = int.from_bytes(stream.read(DTYPES[first.dtype]), "little")
    return separator if token == separator else None


def expect_size(shard: Shard) -> None:
    """Raise BadData where a file is missing, or has another size than it must have."""
    said_by = "its header" if shard.offset_bytes else "its manifest"
    size = _size(shard.path)
    if size != shard.file_bytes:
        raise BadData(
            f"the shard is {'shorter' if size < shard.file_bytes else 'longer'} than {said_by} says",
            where=str(shard.path),
            expected=f"{shard.file_bytes:,} bytes ({shard.tokens:,} tokens of {shard.dtype})",
            found=f"{size:,} bytes",
            hint="copy or prepare it again",
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise BadData("the shard is missing", where=str(path), hint="copy or prepare it again") from None
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror})", where=str(path)) from None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(HEADER_BYTES)
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror})", where=str(path)) from None


def _magic(head: bytes) -> int | None:
    return int.from_bytes(head[:4], "little") if len(head) >= 4 else None
