"""Event files of TensorBoard, written without TensorBoard: scalars, one text, and where a resumed run starts again.

A record is its length (64 bits), the masked CRC-32C of the length, an ``Event`` protobuf, and the masked CRC-32C of that.
"""

from __future__ import annotations

import math
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

import crc32c

from .appended import AppendedFile

__all__ = ["EventFile"]

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MASK_DELTA = 0xA282EAD8
_DT_STRING = 7
_SESSION_START = 1


class EventFile:
    """One event file of one process; what TensorBoard shows of a run that was resumed are all files of its folder.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    time_unix_s : float
        Now [s since 1970]; part of the file's name.
    first_step : int
        Where a resumed run starts. Points of earlier files from this step on, written between the checkpoint and the end of
        that process, are dropped by TensorBoard.

    Notes
    -----
    Failures are those of :class:`AppendedFile`: counted, not raised.

    References
    ----------
    tensorflow/tensorboard ``compat/proto/event.proto``, ``summary.proto``, ``tensor.proto``;
    ``summary/writer/record_writer.py``; ``backend/event_processing/event_accumulator.py`` (``SessionLog.START``).
    """

    def __init__(self, folder: Path, *, time_unix_s: float, first_step: int = 0) -> None:
        name = f"events.out.tfevents.{int(time_unix_s):010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = AppendedFile(folder / name)
        self._write(time_unix_s, 0, _text(3, "brain.Event:2"))
        if first_step:
            self._write(time_unix_s, first_step, _message(7, _number(1, _SESSION_START)))

    @property
    def lost(self) -> int:
        """Records that could not be written."""
        return self._file.lost

    @property
    def failure(self) -> str | None:
        """Why the last record could not be written; None where it could."""
        return self._file.failure

    def scalars(self, values: Mapping[str, float], *, step: int, time_unix_s: float) -> None:
        """Write values under their tags, all at one step."""
        summary = b"".join(_message(1, _text(1, tag) + _float(2, value)) for tag, value in values.items())
        self._write(time_unix_s, step, _message(5, summary))

    def text(self, tag: str, text: str, *, step: int, time_unix_s: float) -> None:
        """Write a text in Markdown under a tag."""
        tensor = _number(1, _DT_STRING) + _message(2, b"") + _text(8, text)
        metadata = _message(1, _text(1, "text"))
        self._write(
            time_unix_s, step, _message(5, _message(1, _text(1, tag) + _message(8, tensor) + _message(9, metadata)))
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, time_unix_s: float, step: int, what: bytes) -> None:
        event = _key(1, _FIXED64) + struct.pack("<d", time_unix_s) + _number(2, step) + what
        length = struct.pack("<Q", len(event))
        self._file.append(length + _checksum(length) + event + _checksum(event))


def _checksum(data: bytes) -> bytes:
    crc = crc32c.crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _key(field: int, kind: int) -> bytes:
    return bytes((field << 3 | kind,))


def _number(field: int, value: int) -> bytes:
    encoded = bytearray(_key(field, _VARINT))
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _length(size: int) -> bytes:
    return _number(0, size)[1:]


def _message(field: int, content: bytes) -> bytes:
    return _key(field, _DELIMITED) + _length(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace"))


def _float(field: int, value: float) -> bytes:
    try:
        packed = struct.pack("<f", value)
    except OverflowError:  # finite, but beyond 3.4e38
        packed = struct.pack("<f", math.copysign(math.inf, value))
    return _key(field, _FIXED32) + packed
