"""Event files written in pure Python, checks included: nothing here is shared with the reader.

``write_events(path, [scalar_event("loss", 2.5, step=1), ...])`` is what most tests need; the pieces below it make odd files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

WALL_TIME = 1_700_000_000.0
DT_FLOAT, DT_DOUBLE, DT_INT32, DT_STRING, DT_INT64, DT_BFLOAT16, DT_HALF = 1, 2, 3, 7, 9, 14, 19


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """The check of TFRecord: CRC-32C, rotated and offset.

    >>> hex(masked_crc(b"123456789"))  # the CRC itself is 0xe3069283
    '0xc78ab0e5'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """A framed record."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def single(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def event(*fields: bytes, step: int = 0, wall_time: float = WALL_TIME) -> bytes:
    """An Event message; like every writer's, without a step that is 0."""
    return double(1, wall_time) + (integer(2, step) if step else b"") + b"".join(fields)


def version_event(wall_time: float = WALL_TIME) -> bytes:
    """The first message of every file."""
    return event(message(3, b"brain.Event:2"), wall_time=wall_time)


def summary(*values: bytes) -> bytes:
    return message(5, b"".join(message(1, value) for value in values))


def simple_value(tag: str, value: float) -> bytes:
    return message(1, tag.encode()) + single(2, value)


def tensor_value(tag: str, tensor: bytes, plugin: str | None = "scalars") -> bytes:
    metadata = b"" if plugin is None else message(9, message(1, message(1, plugin.encode())))
    return message(1, tag.encode()) + metadata + message(8, tensor)


def tensor(dtype: int, data: bytes, dims: Sequence[int] = ()) -> bytes:
    """A TensorProto; ``data`` is its value field, say ``message(4, content)`` or ``single(5, 2.5)``."""
    return integer(1, dtype) + message(2, b"".join(message(2, integer(1, dim)) for dim in dims)) + data


def scalar_event(tag: str, value: float, *, step: int = 0, wall_time: float = WALL_TIME) -> bytes:
    """What torch's ``add_scalar`` writes."""
    return event(summary(simple_value(tag, value)), step=step, wall_time=wall_time)


def tensor_scalar_event(tag: str, value: float, *, step: int = 0, wall_time: float = WALL_TIME) -> bytes:
    """What TF2's ``tf.summary.scalar`` and Keras write."""
    content = tensor(DT_FLOAT, message(4, struct.pack("<f", value)))
    return event(summary(tensor_value(tag, content)), step=step, wall_time=wall_time)


def text_event(tag: str, *strings: str, step: int = 0, wall_time: float = WALL_TIME) -> bytes:
    """What ``add_text`` writes; torch appends ``/text_summary`` to the tag."""
    content = tensor(DT_STRING, b"".join(message(8, text.encode()) for text in strings), dims=[len(strings)])
    return event(summary(tensor_value(tag, content, plugin="text")), step=step, wall_time=wall_time)


def session_start_event(step: int, *, wall_time: float = WALL_TIME) -> bytes:
    """What a writer resumed with ``purge_step`` writes."""
    return event(message(7, integer(1, 1)), step=step, wall_time=wall_time)


def event_file(events: Iterable[bytes]) -> bytes:
    """A whole file: the version, then the events."""
    return b"".join(record(data) for data in [version_event(), *events])


def write_events(path: Path, events: Iterable[bytes]) -> Path:
    """Write an event file and give its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(event_file(events))
    return path
