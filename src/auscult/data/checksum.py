"""Checksums of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import BadData

__all__ = ["file_crc32c", "file_sha256", "show_crc32c"]

_BLOCK_BYTES = 1 << 20


def show_crc32c(value: int) -> str:
    """Return a CRC-32C as manifests write it.

    Examples
    --------
    >>> show_crc32c(0xE3069283)
    'e3069283'
    """
    return f"{value:08x}"


def file_crc32c(path: Path, *, size_bytes: int | None = None) -> str:
    """Return the CRC-32C (Castagnoli) of a file, or of its beginning.

    Raises
    ------
    BadData
        When it cannot be read.
    """
    from crc32c import crc32c

    value = 0
    left = size_bytes
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES if left is None else min(left, _BLOCK_BYTES)):
                value = crc32c(block, value)
                left = None if left is None else left - len(block)
    except FileNotFoundError:
        raise BadData("the shard is missing", where=str(path), hint="copy or prepare it again") from None
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror})", where=str(path)) from None
    return show_crc32c(value)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises
    ------
    BadData
        When it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadData(f"cannot be read ({error.strerror})", where=str(path)) from None
