"""Writes ``.wandb`` files byte by byte, as W&B does: protobuf records in LevelDB's log format.

Independent of the reader and of wandb; only the field numbers are shared, and an oracle test reads what is written here with wandb's
own protobuf classes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping

HEADER = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
BLOCK = 32768


def varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def bytes_field(number: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def item(key: str | tuple[str, ...], text: str | bytes) -> bytes:
    """An item with its value as JSON text: an old ``key`` for a string, a new ``nested_key`` for a tuple of strings."""
    path = bytes_field(1, key) if isinstance(key, str) else b"".join(bytes_field(2, part) for part in key)
    return path + bytes_field(16, text)


def items(values: Mapping[str, object], number: int = 1, *, nested: bool = False) -> bytes:
    """Fields of items, values as Python's json writes them: NaN and Infinity bare."""
    return b"".join(
        bytes_field(number, item((key,) if nested else key, json.dumps(value))) for key, value in values.items()
    )


def record(number: int, message: bytes, *, num: int = 1, before: bytes = b"", after: bytes = b"") -> bytes:
    return number_field(1, num) + before + bytes_field(number, message) + after


def history(
    values: Mapping[str, object], step: int | None = 0, *, num: int = 1, nested: bool = False, **around: bytes
) -> bytes:
    """A history row; `step` None leaves the step field out."""
    step_field = b"" if step is None else bytes_field(2, number_field(1, step) if step else b"")
    return record(2, items(values, nested=nested) + step_field, num=num, **around)


def run(run_id: str = "abc12345", config: Mapping[str, object] | None = None, **private: str) -> bytes:
    fields = {"entity": 2, "project": 3, "host": 13}
    message = bytes_field(1, run_id) + b"".join(bytes_field(fields[name], text) for name, text in private.items())
    return record(17, message + bytes_field(4, items(config or {})))


def config(update: Mapping[str, object]) -> bytes:
    return record(5, items(update))


def summary(values: Mapping[str, object], *, nested: bool = False) -> bytes:
    return record(3, items(values, nested=nested))


def console(text: str | bytes, *, num: int = 1, kind: int = 13) -> bytes:
    """A piece of output: `kind` 13 is output_raw, 4 is output."""
    when = bytes_field(2, number_field(1, 1_700_000_000) + number_field(2, 5))
    return record(kind, number_field(1, 1) + when + bytes_field(3, text), num=num)


def environment(gpu: str, gpus: int, cpus: int, **private: str) -> bytes:
    fields = {"program": 6, "email": 10, "root": 11, "host": 12, "username": 13}
    texts = b"".join(bytes_field(fields[name], text) for name, text in private.items())
    return record(26, texts + number_field(16, cpus) + bytes_field(18, gpu) + number_field(19, gpus))


def ending(exit_code: int = 0, runtime: int = 60) -> list[bytes]:
    """Exit, final and footer, as a run that ends writes them."""
    code = number_field(1, exit_code) if exit_code else b""
    return [record(18, code + number_field(2, runtime)), record(20, b""), record(22, b"")]


def frame(kind: int, data: bytes) -> bytes:
    return struct.pack("<IHB", zlib.crc32(bytes([kind]) + data), len(data), kind) + data


def wandb_file(records: Iterable[bytes]) -> bytes:
    """The file of these records."""
    out = bytearray(HEADER)
    for data in records:
        first, rest = True, memoryview(data)
        while first or rest:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += bytes(left)
                left = BLOCK
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if not rest else 2) if first else (3 if rest else 4)
            out += frame(kind, bytes(piece))
            first = False
    return bytes(out)
