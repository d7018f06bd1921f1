"""PyTorch checkpoints (``.pt``, ``.pth``, ``.bin``, ``.ckpt``): recognised by their zip directory, never unpickled.

Since version 1.6 ``torch.save`` writes a zip file of ``<name>/data.pkl``, ``<name>/data/0``, ``<name>/data/1`` …: one member
for each storage, uncompressed, so that the directory gives their sizes. What they hold stands in the pickle, and is left there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from ...errors import NotText
from ...run import Known, Problem, Source
from ..files import InputFile
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading

if TYPE_CHECKING:
    import zipfile

__all__ = ["DIALECT"]

_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar")
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled magic number with which torch.save began its files before version 1.6."""
_END = b"PK\x05\x06"
_END_BYTES = 22 + 65_535
_MAX_DIRECTORY = 8 * 2**20
"""Some hundred thousand storages; Python takes ten times as much to list them."""
_STORAGE = lazy(r"^[^/]{1,200}/data/\d{1,9}$")
_PICKLE = lazy(r"^[^/]{1,200}/data\.pkl$")
_KINDS = (
    (lazy(r"optim"), "optimizer state"),
    (lazy(r"sched"), "schedule state"),
    (lazy(r"rng_state|random_states"), "random state"),
    (lazy(r"scaler"), "loss scale state"),
    (lazy(r"adapter"), "adapter"),
    (lazy(r"pytorch_model|model_states|^model"), "model weights"),
)


def _kind(file: InputFile) -> str:
    return next((kind for pattern, kind in _KINDS if pattern.search(file.base)), "checkpoint")


def _directory(stream: BinaryIO, name: str) -> list[zipfile.ZipInfo] | None:
    """Return the zip's directory when it is of a bounded size, or None when it is damaged."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _END_BYTES))
    tail = stream.read(_END_BYTES)
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        return None
    length = struct.unpack_from("<I", tail, at + 12)[0]
    if length == 0xFFFFFFFF:
        length = _zip64_length(stream, tail, at)
    if length is None or length > _MAX_DIRECTORY:
        return None
    stream.seek(0)
    import zipfile  # only a run that has checkpoints waits for it

    try:
        with zipfile.ZipFile(stream) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, OverflowError, struct.error, NotImplementedError):
        return None


def _zip64_length(stream: BinaryIO, tail: bytes, at: int) -> int | None:
    if at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
        return None
    offset = struct.unpack_from("<Q", tail, at - 12)[0]
    if offset >= 2**63:
        return None
    stream.seek(offset)
    record = stream.read(56)
    return int(struct.unpack_from("<Q", record, 40)[0]) if len(record) == 56 and record[:4] == b"PK\x06\x06" else None


def _sniff(file: InputFile) -> float:
    if file.base == "training_args.bin":
        return 0.0
    named = file.base.lower().endswith(_SUFFIXES)
    head = file.head
    if head.startswith(_LEGACY):
        return 0.9 if named else 0.6
    if not head.startswith(b"PK\x03\x04") or len(head) < 34:
        return 0.0
    length = struct.unpack_from("<H", head, 26)[0]
    first = head[30 : 30 + length].decode("utf-8", "replace")
    if _PICKLE.match(first):
        return 0.95 if named else 0.7
    return 0.7 if named and b"data.pkl" in head[:4096] else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    here = Source("read", file.name)
    noted: dict[str, Known[object]] = {"checkpoint.kind": Known(_kind(file), here)}
    if file.size:
        noted["checkpoint.bytes"] = Known(file.size, here)
    if file.head.startswith(_LEGACY):
        noted["checkpoint.format"] = Known("pickle of torch before 1.6", here)
        return (Reading("pt_checkpoint", file.name, "weights", authority=FRAMEWORK, noted=noted),)
    with file.opener() as stream:
        if not stream.seekable():
            raise NotText("the checkpoint cannot be looked into as it comes", where=file.name, hint="download it first")
        entries = _directory(stream, file.name)
    problems: tuple[Problem, ...] = ()
    if entries is None:
        message = "the checkpoint's zip directory is missing or damaged: it was not written to its end"
        problems = (Problem("checkpoint_damaged", message, here),)
    else:
        storages = [entry.file_size for entry in entries if _STORAGE.match(entry.filename)]
        noted["checkpoint.format"] = Known("zip of torch since 1.6", here)
        noted["checkpoint.storages"] = Known(len(storages), here)
        noted["checkpoint.storage_bytes"] = Known(sum(storages), here)
    return (Reading("pt_checkpoint", file.name, "weights", authority=FRAMEWORK, problems=problems, noted=noted),)


DIALECT = Dialect(
    name="pt_checkpoint",
    title="PyTorch checkpoint (zip directory only)",
    role="weights",
    example="ckpt.pt",
    reads="that it is a checkpoint, of what kind by its name, how many storages it has and how many bytes they take",
    cannot="what is in it: that stands in a pickle, which can run code when it is opened, and is never opened. A checkpoint of"
    " nanoGPT holds the model and two moments of AdamW, some twelve bytes for each parameter",
    source="pytorch/pytorch torch/serialization.py",
    sniff=_sniff,
    read=_read,
)
