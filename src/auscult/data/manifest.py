"""``manifest.json``: what a folder of shards holds, and where it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import BadData

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Manifest",
    "ShardEntry",
    "SourceEntry",
    "SplitEntry",
    "TokenizerEntry",
    "read_manifest",
]

FORMAT = "auscult.tokens/1"
MANIFEST = "manifest.json"
DTYPES = {"uint16": 2, "uint32": 4}
"""Little-endian, and the bytes of a token."""


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A file of tokens: little-endian integers and nothing else; ``crc32c`` is of the whole file."""

    file: str
    tokens: int
    bytes: int
    crc32c: str


@dataclass(frozen=True, slots=True)
class SplitEntry:
    """A split: its tokens (separators included), its documents, and its shards in order."""

    tokens: int
    documents: int
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True, slots=True)
class TokenizerEntry:
    """What made the tokens.

    Attributes
    ----------
    name : str
        ``bytes``, tiktoken's name, or the name of the file or repository.
    kind : str
        ``bytes``, ``tiktoken`` or ``tokenizers``.
    vocab_size : int
        Every token is below it.
    sha256 : str, optional
        Of the ``tokenizer.json``, or of tiktoken's ranks, pattern and special tokens; bytes need none.
    file : str, optional
        The copy of ``tokenizer.json`` beside the manifest.
    separator : int, optional
        The token that stands before every document.
    """

    name: str
    kind: str
    vocab_size: int
    sha256: str | None = None
    file: str | None = None
    separator: int | None = None


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source of text: its name as the split was drawn with, its size [bytes] and sha256 (None for a stream)."""

    name: str
    documents: int
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest.

    Attributes
    ----------
    dtype : str
        ``uint16`` or ``uint32``, little-endian.
    splits : mapping of str to SplitEntry
        ``train`` and ``val``.
    split_drawn : mapping
        How each document's split was drawn.
    text_bytes : int
        UTF-8 bytes of the documents, of both splits.
    empty_documents : int
        Documents without text, which are left out.
    settings : mapping
        What was asked for.
    """

    dtype: str
    tokenizer: TokenizerEntry
    splits: Mapping[str, SplitEntry]
    split_drawn: Mapping[str, Any]
    text_bytes: int
    empty_documents: int
    settings: Mapping[str, Any]
    sources: tuple[SourceEntry, ...]
    auscult: str

    def dumps(self) -> str:
        """Return the text of the file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises
    ------
    BadData
        When it is missing, not JSON, of another format, or lacks what is needed to read the shards.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror})", where=str(path)) from None
    except ValueError as error:  # not JSON, or not UTF-8
        raise BadData(f"not a manifest: {error}", where=str(path), hint="prepare the data again") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        said = repr(found.get("format"))[:60] if isinstance(found, dict) else f"a JSON {type(found).__name__}"
        raise BadData("unknown format", where=str(path), expected=f"{FORMAT!r}", found=said)
    try:
        return _manifest(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(
            f"a field is missing or impossible ({type(error).__name__}: {error})",
            where=str(path),
            hint="prepare the data again",
        ) from None


def _manifest(found: dict[str, Any]) -> Manifest:
    if found["dtype"] not in DTYPES:
        raise ValueError(f"dtype {found['dtype']!r}")
    splits = {name: _split(entry, DTYPES[found["dtype"]]) for name, entry in found["splits"].items()}
    tokenizer = TokenizerEntry(**found["tokenizer"])
    if not isinstance(tokenizer.vocab_size, int) or tokenizer.vocab_size < 1:
        raise ValueError(f"vocab_size {tokenizer.vocab_size!r}")
    sources = tuple(SourceEntry(**entry) for entry in found["sources"])
    rest = ("split_drawn", "text_bytes", "empty_documents", "settings", "auscult")
    return Manifest(
        dtype=found["dtype"], tokenizer=tokenizer, splits=splits, sources=sources, **{key: found[key] for key in rest}
    )


def _split(entry: dict[str, Any], token_bytes: int) -> SplitEntry:
    shards = tuple(ShardEntry(**shard) for shard in entry["shards"])
    for shard in shards:
        if Path(shard.file).name != shard.file or shard.file in ("", ".", ".."):
            raise ValueError(f"shard {shard.file!r} is not a plain file name")
        if shard.tokens < 1 or shard.bytes != shard.tokens * token_bytes:
            raise ValueError(f"shard {shard.file!r} has {shard.tokens} tokens in {shard.bytes} bytes")
        int(shard.crc32c, 16)
    if sum(shard.tokens for shard in shards) != entry["tokens"]:
        raise ValueError("tokens of a split are not the sum of its shards")
    return SplitEntry(entry["tokens"], entry["documents"], shards)
