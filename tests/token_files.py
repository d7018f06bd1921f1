"""Shards and texts as others write them: independent of what is tested."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_nanogpt(folder: Path, train: Sequence[int], val: Sequence[int]) -> Path:
    """NanoGPT's ``prepare.py``: uint16 and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tokens in (("train", train), ("val", val)):
        (folder / f"{name}.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))
    return folder


def write_llmc(
    path: Path, tokens: Sequence[int], *, magic: int = 20240520, version: int = 1, count: int | None = None
) -> Path:
    """llm.c's ``write_datafile``: 256 int32, then uint16 (GPT-2) or uint32 (Llama 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack("<256i", magic, version, len(tokens) if count is None else count, *[0] * 253)
    letter = "I" if magic == 20240801 else "H"
    path.write_bytes(header + struct.pack(f"<{len(tokens)}{letter}", *tokens))
    return path


def write_jsonl(path: Path, texts: Iterable[str], **more: Any) -> Path:
    """An object a line, with other keys around the text."""
    path.write_text(
        "".join(
            json.dumps({"id": i, "text": text, **more}, ensure_ascii=i % 2 == 0) + "\n" for i, text in enumerate(texts)
        ),
        encoding="utf-8",
    )
    return path


def stored_tokens(folder: Path, split: str) -> NDArray[Any]:
    """All tokens of a split, by the manifest and NumPy alone."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    files = [
        np.fromfile(folder / shard["file"], "<u2" if manifest["dtype"] == "uint16" else "<u4")
        for shard in manifest["splits"][split]["shards"]
    ]
    return np.concatenate(files) if files else np.zeros(0, "<u2")


def documents_of(tokens: NDArray[Any], separator: int) -> list[list[int]]:
    """Documents between separators, each of which stands before its document."""
    assert not len(tokens) or tokens[0] == separator
    return [part.tolist() for part in np.split(tokens, np.flatnonzero(tokens == separator))[1:] for part in [part[1:]]]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder and what is in it."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
