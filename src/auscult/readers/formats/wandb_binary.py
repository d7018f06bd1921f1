"""W&B's local transaction log, ``run-<id>.wandb``: configuration, history and console of a run, also of one that was killed.

Three layers, each with its own class. ``_Log`` cuts the file into records: LevelDB's log format under a header of W&B's own, every
checksum verified. ``_Content`` reads one record at a time: protobuf, field by field, whatever its layout. ``_Bulk`` reads the history
records of a whole chunk at once with NumPy; what does not look exactly as it expects goes back to ``_Content``, so that it may only
be faster, never different.

The file also holds the e-mail address, host, user and paths of whoever ran it. None of these is ever decoded.

Field numbers are those of ``wandb/proto/wandb_internal.proto`` in wandb 0.31.0, checked on files of 2023 to 2026.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from ..patterns import lazy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bytes = NDArray[np.uint8]
    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Pieces = dict[str, list[tuple[Ints, Floats]]]  # for every key, records and numbers

Damage = Literal["empty", "header_only", "truncated", "bad_crc", "not_a_wandb_file"]
Column = tuple["array[int]", "array[float]"]
Span = tuple[int, int]
Row = tuple[int, dict[str, float]]  # step and numbers
Change = tuple[int, tuple[str, ...], bytes]  # update or removal, key, value

MAGIC: Final = b":W&B\xe1\xbe"  # ":W&B", then 0xBEE1 as u16le; the seventh byte is a version, 0 in every file met
HEADER_BYTES: Final = 7
BLOCK_BYTES: Final = 32768
CHUNK_BYTES: Final = 32 * BLOCK_BYTES
MOST_RECORD_BYTES: Final = 1 << 26  # a history row is kilobytes; more than this is a length that lies

_FRAME: Final = struct.Struct("<IHB")  # crc32 of type and data, length of data, type
_FRAME_BYTES: Final = _FRAME.size
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_UNWRITTEN_BYTES: Final = 7  # zeros from inside a record to the end of its block, an empty head at least: never written

# Record
_HISTORY: Final = 2
_SUMMARY: Final = 3
_OUTPUT: Final = 4
_CONFIG: Final = 5
_OUTPUT_RAW: Final = 13
_RUN: Final = 17
_EXIT: Final = 18
_FINAL: Final = 20
_FOOTER: Final = 22
_ENVIRONMENT: Final = 26
# RunRecord
_RUN_ID: Final = 1
_RUN_CONFIG: Final = 4
_RUN_SUMMARY: Final = 5
# HistoryRecord, HistoryStep
_ITEM: Final = 1
_STEP: Final = 2
_STEP_NUM: Final = 1
# ConfigRecord, SummaryRecord
_UPDATE: Final = 1
_REMOVE: Final = 2
# HistoryItem, ConfigItem, SummaryItem
_KEY: Final = 1
_NESTED_KEY: Final = 2
_VALUE_JSON: Final = 16
# HistoryItem only; declared in wandb 0.31 and not written by it
_INTEGER: Final = 5
_DOUBLE: Final = 6
_JSON: Final = 8
# OutputRecord, OutputRawRecord
_LINE: Final = 3
# RunExitRecord
_EXIT_CODE: Final = 1
_EXIT_RUNTIME: Final = 2
# EnvironmentRecord, GpuNvidiaInfo
_CPU_COUNT: Final = 16
_GPU_TYPE: Final = 18
_GPU_COUNT: Final = 19
_GPU_NVIDIA: Final = 24
_NVIDIA_NAME: Final = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types

_JSON_NUMBER: Final = lazy(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = {
    quote + text + quote: float(text) for text in (b"NaN", b"Infinity", b"-Infinity") for quote in (b"", b'"')
}
_LONGEST_NUMBER: Final = 1100  # characters; the longest double in full has 1077
_DEEPEST: Final = 64  # levels of a configuration value; whoever walks it may recurse
_MOST_INT: Final = 2**63 - 1
_NO_STEP: Final = -(2**63)

_BULK_AFTER: Final = 1000  # rows read one by one before NumPy is worth its import
_BULK_LEAST: Final = 64  # records in a chunk below which one by one is faster
_BULK_FIELDS: Final = 8  # fields of a record
_BULK_ITEMS: Final = 512  # items and steps of a row
_BULK_KEYS: Final = 1024  # distinct keys of a chunk
_CELL: Final = 32  # bytes for a comma and a number; 24 characters hold every double
_PADDING: Final = bytes(64)  # after the last record, so that looking a few bytes ahead stays inside
_TOO_FAR: Final = 1 << 40  # stands for a varint of more than five bytes: no length may be that large


class _DamagedRecordError(ValueError):
    """A record whose checksum is right and whose protobuf is not."""


@dataclass(frozen=True, slots=True)
class WandbFile:
    """What one ``.wandb`` file says.

    Attributes
    ----------
    name
        The file's name, as given.
    run_id
        W&B's identifier of the run; a resumed run appends a new file with the same one.
    config
        The configuration as logged; nested keys are nested dictionaries, the last update wins. W&B's own ``_wandb`` is left out.
    history
        For every key (nested ones joined with dots), the rows where it has a number and these numbers. NaN and infinities count as
        numbers. A key that never had a number is absent.
    rows
        History rows, those without a number included.
    history_steps
        W&B's ``_step`` of each row, which is not the iteration: it counts calls to ``wandb.log``.
    summary
        The last summary of each key, where it is a number.
    dropped_items
        History and summary items that are not numbers: booleans, texts, histograms, media.
    gpu_name, gpu_count, cpu_count
        The machine, of which the run may have used a part.
    exit_code
        Of the process; None where the run was never closed.
    runtime_s
        The run's duration as W&B closed it, in seconds.
    closed
        Whether W&B wrote the end of the run.
    records
        Readable records.
    size_bytes, skipped_bytes, unread_bytes
        Of the file; of what was damaged and has readable records after it; of what comes after the last readable record.
    damage
        ``truncated``: the file ends inside a record or in zeros. ``bad_crc``: something contradicts its checksum or its own lengths.
    """

    name: str
    run_id: str | None = None
    config: dict[str, object] = field(default_factory=dict)
    history: dict[str, Column] = field(default_factory=dict)
    rows: int = 0
    history_steps: array[int] = field(default_factory=lambda: array("q"))
    summary: dict[str, float] = field(default_factory=dict)
    dropped_items: int = 0
    gpu_name: str | None = None
    gpu_count: int | None = None
    cpu_count: int | None = None
    exit_code: int | None = None
    runtime_s: float | None = None
    closed: bool = False
    records: int = 0
    size_bytes: int = 0
    skipped_bytes: int = 0
    unread_bytes: int = 0
    damage: Damage | None = None


def read_wandb(stream: BinaryIO, *, name: str, on_console: Callable[[bytes], None] | None = None) -> WandbFile:
    r"""Read a ``.wandb`` file as far as it goes.

    Parameters
    ----------
    stream
        The file from its first byte. It is read once, front to back, a mebibyte at a time; it need not be seekable.
    name
        What to call the file.
    on_console
        Receives what the run printed, standard output and error as they came, piece by piece; joined, the pieces are the text.

    Returns
    -------
    WandbFile
        Whatever the bytes are; ``damage`` says what is wrong with them.

    Raises
    ------
    OSError
        What `stream` raises on reading. Exceptions of `on_console` pass through as well.

    Examples
    --------
    >>> import io
    >>> read_wandb(io.BytesIO(b":W&B\xe1\xbe\x00"), name="run-1.wandb").damage
    'header_only'
    >>> read_wandb(io.BytesIO(b"step,loss"), name="run-1.csv").damage
    'not_a_wandb_file'
    """
    log = _Log(stream)
    content = _Content(on_console)
    bulk: _Bulk | None = None
    for chunk in log.chunks():
        done = content.read_rows(chunk, _BULK_AFTER)
        if len(chunk.starts) - done >= _BULK_LEAST:
            bulk = bulk or _Bulk.of(content)
        if bulk and len(chunk.starts) - done >= _BULK_LEAST:
            bulk.read(chunk, done)
        else:
            content.read_rows(chunk, None, done)
    return content.result(name, log)


# Records ------------------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Chunk:
    """Bytes of the file, followed by the records that were joined from several blocks, and where the records are in them."""

    text: bytes = b""
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    joined: bytearray = field(default_factory=bytearray)

    def append_joined(self, at: int, pieces: list[bytes]) -> None:
        """Add a record that spans blocks; the bytes of the file end at `at`."""
        self.starts.append(at + len(self.joined))
        self.joined += b"".join(pieces)
        self.ends.append(at + len(self.joined))


class _Log:
    """The frames of the file: headers, checksums, blocks; and the account of every byte.

    Attributes
    ----------
    size
        Bytes seen.
    good
        Everything before this offset is read or skipped; at the end, the rest is unread.
    skipped
        Bytes between readable records.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._first = 0
        self._corrupt = False
        self._head = b""
        self.size = 0
        self.good = 0
        self.skipped = 0

    def chunks(self) -> Iterator[_Chunk]:
        """Yield the records of the file, in order, about a mebibyte at a time."""
        while data := self._fill():
            base, self.size = self.size, self.size + len(data)
            if not base:
                self._head = data[:HEADER_BYTES]
                if len(self._head) < HEADER_BYTES or not data.startswith(MAGIC):
                    break
                self.good = HEADER_BYTES
            yield self._cut(data, base)

    def _fill(self) -> bytes:
        """Read a chunk, however little the stream gives at a time: blocks are counted from the start of the file."""
        data = self._stream.read(CHUNK_BYTES) or b""
        while 0 < len(data) < CHUNK_BYTES and (more := self._stream.read(CHUNK_BYTES - len(data))):
            data += more
        return data

    def _cut(self, data: bytes, base: int) -> _Chunk:
        """Find the records in the blocks of a chunk that starts at offset `base` of the file."""
        chunk = _Chunk()
        view = memoryview(data)
        for start in range(0, len(data), BLOCK_BYTES):
            stop = min(start + BLOCK_BYTES, len(data))
            self._block(view, HEADER_BYTES if base + start == 0 else start, stop, base, chunk)
            if stop - start == BLOCK_BYTES and base + stop - self.good < _FRAME_BYTES:
                self.good = base + stop  # too few bytes for the head of another frame are left empty
        chunk.text = data + chunk.joined
        return chunk

    def _block(self, view: memoryview, at: int, stop: int, base: int, chunk: _Chunk) -> None:
        """Read the records of one block; after a bad one its length is no guide to the next, so the rest of the block is left."""
        unpack, crc32, starts, ends = _FRAME.unpack_from, zlib.crc32, chunk.starts, chunk.ends
        good = self.good - base
        while stop - at >= _FRAME_BYTES:
            crc, length, kind = unpack(view, at)
            start = at + _FRAME_BYTES
            end = start + length
            # The checksum is over type and data, which stand side by side.
            if end > stop or crc32(view[start - 1 : end]) != crc:
                self._corrupt |= self._contradicts(view, start, end, stop, base)
                self._pieces = []
                break
            if kind == _FULL:
                starts.append(start)
                ends.append(end)
                self.skipped += at - good
                good = end
                self._pieces = []
            elif self._piece(kind, view[start:end], base + at):
                chunk.append_joined(len(view), self._pieces)
                self.skipped += self._first - base - good
                good = end
                self._pieces = []
            at = end
        self.good = good + base

    def _piece(self, kind: int, data: memoryview, offset: int) -> bool:
        """Take one piece of a record that spans blocks; True when it is complete."""
        if kind == _FIRST:
            self._pieces, self._first, self._pieces_bytes = [bytes(data)], offset, len(data)
            return False
        if not self._pieces or kind not in (_MIDDLE, _LAST) or self._pieces_bytes + len(data) > MOST_RECORD_BYTES:
            self._corrupt = True
            self._pieces = []
            return False
        self._pieces.append(bytes(data))
        self._pieces_bytes += len(data)
        return kind == _LAST

    @staticmethod
    def _contradicts(view: memoryview, start: int, end: int, stop: int, base: int) -> bool:
        """Say whether a bad record is damaged, or was only never written to its end.

        The last block of the file may be short, and of a run that was killed the rest of a block may be zeros.
        """
        if end > stop:
            return (base + stop) % BLOCK_BYTES == 0
        rest = bytes(view[start - _FRAME_BYTES : stop])
        zeros = len(rest) - len(rest.rstrip(b"\0"))
        return zeros < _UNWRITTEN_BYTES or zeros <= stop - end

    def damage(self, bad_bytes: int) -> Damage | None:
        """Name what is wrong with the file."""
        if not self.size:
            return "empty"
        if not MAGIC.startswith(self._head[: len(MAGIC)]):
            return "not_a_wandb_file"
        if self.size == HEADER_BYTES:
            return "header_only"
        if self._corrupt or self.skipped or bad_bytes:
            return "bad_crc"
        return "truncated" if self.good < self.size else None


# One record at a time -----------------------------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int, end: int) -> Span:
    """Read a varint: its value, of 64 bits at most, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise _DamagedRecordError


def _signed(value: int) -> int:
    """Read a varint as int64."""
    return value - (1 << 64) if value >> 63 else value


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, start and end of every field of a message; of a varint, its value stands for the start."""
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at, end)
        wire = tag & 7
        if wire == _BYTES:
            length, at = _varint(data, at, end)
            start, at = at, at + length
        elif wire == _VARINT:
            start, at = _varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            start, at = at, at + (8 if wire == _FIXED64 else 4)
        else:
            raise _DamagedRecordError
        if at > end or tag < 8:
            raise _DamagedRecordError
        yield tag >> 3, wire, start, at


def _messages(data: bytes, start: int, end: int) -> dict[int, Span]:
    """Find the texts and messages in a message; of a field that comes twice, the last."""
    return {number: (a, b) for number, wire, a, b in _fields(data, start, end) if wire == _BYTES}


def _varints(data: bytes, start: int, end: int) -> dict[int, int]:
    """Find the varints in a message; of a field that comes twice, the last."""
    return {number: a for number, wire, a, _ in _fields(data, start, end) if wire == _VARINT}


def _text(data: bytes, start: int, end: int) -> str:
    return data[start:end].decode("utf-8", "replace")


def _item(data: bytes, start: int, end: int) -> tuple[tuple[str, ...], bytes]:
    """Read one item: its key as a path, and its value as JSON."""
    key: tuple[str, ...] = ()
    nested: list[str] = []
    value = b""
    for number, wire, a, b in _fields(data, start, end):
        if wire == _BYTES:
            if number == _KEY:
                key = (_text(data, a, b),)
            elif number == _NESTED_KEY:
                nested.append(_text(data, a, b))
            elif number in (_VALUE_JSON, _JSON):
                value = data[a:b]
        elif number == _INTEGER and wire == _VARINT:
            value = str((a >> 1) ^ -(a & 1)).encode()  # sint64: zigzag
        elif number == _DOUBLE and wire == _FIXED64:
            value = json.dumps(struct.unpack_from("<d", data, a)[0]).encode()
    return (tuple(nested) if nested else key), value


def _changes(data: bytes, start: int, end: int) -> list[Change]:
    """Read the updates and removals of a configuration or summary."""
    return [
        (number, *_item(data, a, b))
        for number, wire, a, b in _fields(data, start, end)
        if wire == _BYTES and number in (_UPDATE, _REMOVE)
    ]


def _number(text: bytes) -> float | None:
    """Read a JSON number, or what Python and W&B write for those JSON lacks; None for anything else.

    >>> _number(b"6e-05"), _number(b'"Infinity"'), _number(b"true")
    (6e-05, inf, None)
    """
    text = text[: _LONGEST_NUMBER + 1].strip(b" \t\r\n")
    if len(text) <= _LONGEST_NUMBER and _JSON_NUMBER.fullmatch(text):
        return float(text)
    return _NOT_FINITE.get(text)


def _json(text: bytes) -> object:
    """Parse a value; raises ValueError when it is not JSON, or deeper than anybody's configuration."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError from error
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return value
    raise ValueError


def _children(value: object) -> list[object]:
    """List what is one level below."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _step_of(values: dict[str, float]) -> int:
    """Take the step of a row that has it only as an item, as in files that were not written by W&B itself."""
    step = values.get("_step", math.nan)
    return int(step) if abs(step) < _MOST_INT else _NO_STEP


class _Content:
    """What the records said so far, read one at a time.

    Attributes
    ----------
    history, steps, dropped
        As in :class:`WandbFile`.
    records, bad_bytes
        Records that were read; bytes of those that could not be.
    """

    def __init__(self, on_console: Callable[[bytes], None] | None) -> None:
        self.history: dict[str, Column] = {}
        self.steps = array("q")
        self.dropped = 0
        self.records = 0
        self.bad_bytes = 0
        self._on_console = on_console
        self._console_kind: int | None = None
        self._run_id: str | None = None
        self._exit_code: int | None = None
        self._runtime_s: float | None = None
        self._closed = False
        self._config: dict[str, object] = {}
        self._summary: dict[str, float] = {}
        self._gpu_name: str | None = None
        self._gpu_count: int | None = None
        self._cpu_count: int | None = None

    def read_rows(self, chunk: _Chunk, most_rows: int | None, first: int = 0) -> int:
        """Read records until there are that many rows; return the index of the first record that was left."""
        for index in range(first, len(chunk.starts)):
            if most_rows is not None and len(self.steps) >= most_rows:
                return index
            row = self.record(chunk.text, chunk.starts[index], chunk.ends[index])
            if row is not None:
                step, values = row
                for key, value in values.items():
                    rows, numbers = self.column(key)
                    rows.append(len(self.steps))
                    numbers.append(value)
                self.add_steps([step])
        return len(chunk.starts)

    def column(self, key: str) -> Column:
        """Find the column of a key, or make it."""
        if key not in self.history:
            self.history[key] = (array("q"), array("d"))
        return self.history[key]

    def add_steps(self, steps: list[int]) -> None:
        """Add rows; one that does not say its step follows the row before it, as in W&B."""
        for step in steps:
            before = self.steps[-1] if self.steps else -1
            self.steps.append(min(before + 1, _MOST_INT) if step == _NO_STEP else step)

    def record(self, data: bytes, start: int, end: int) -> Row | None:
        """Read one record, all of it or nothing; of a history record, return the row, which the caller adds."""
        try:
            row = self._read(data, start, end)
        except _DamagedRecordError:
            self.bad_bytes += end - start + _FRAME_BYTES
            return None
        self.records += 1
        return row

    def _read(self, data: bytes, start: int, end: int) -> Row | None:
        row: Row | None = None
        for number, (a, b) in _messages(data, start, end).items():
            if number == _HISTORY:
                row = self._row(data, a, b)
            elif number in (_OUTPUT, _OUTPUT_RAW):
                self._console(number, data, a, b)
            elif number == _CONFIG:
                self._configure(_changes(data, a, b))
            elif number == _SUMMARY:
                self._summarise(_changes(data, a, b))
            elif number == _RUN:
                self._run(data, a, b)
            elif number == _ENVIRONMENT:
                self._environment(data, a, b)
            elif number == _EXIT:
                self._exit(data, a, b)
            elif number in (_FINAL, _FOOTER):
                self._closed = True
        return row

    def _row(self, data: bytes, start: int, end: int) -> Row:
        step: int | None = None
        values: dict[str, float] = {}
        dropped = 0
        for number, wire, a, b in _fields(data, start, end):
            if wire == _BYTES and number == _ITEM:
                path, text = _item(data, a, b)
                value = _number(text)
                if path and value is not None:
                    values[".".join(path)] = value
                else:
                    dropped += 1
            elif wire == _BYTES and number == _STEP:
                step = _signed(_varints(data, a, b).get(_STEP_NUM, 0))
        self.dropped += dropped
        return (_step_of(values) if step is None else step), values

    def _console(self, kind: int, data: bytes, start: int, end: int) -> None:
        """Pass on what was printed; a file with both kinds holds everything twice, so that the first kind met is taken."""
        line = _messages(data, start, end).get(_LINE)
        self._console_kind = self._console_kind or kind
        if line and self._on_console and kind == self._console_kind:
            self._on_console(data[line[0] : line[1]])

    def _run(self, data: bytes, start: int, end: int) -> None:
        found = _messages(data, start, end)
        config = _changes(data, *found[_RUN_CONFIG]) if _RUN_CONFIG in found else []
        summary = _changes(data, *found[_RUN_SUMMARY]) if _RUN_SUMMARY in found else []
        if _RUN_ID in found:
            self._run_id = _text(data, *found[_RUN_ID]) or self._run_id
        self._configure(config)
        self._summarise(summary)

    def _exit(self, data: bytes, start: int, end: int) -> None:
        numbers = _varints(data, start, end)
        self._exit_code = _signed(numbers.get(_EXIT_CODE, 0))
        self._runtime_s = float(numbers[_EXIT_RUNTIME]) if _EXIT_RUNTIME in numbers else self._runtime_s
        self._closed = True

    def _environment(self, data: bytes, start: int, end: int) -> None:
        """Take the machine from a record that also holds e-mail, user, host and paths, which are not looked at."""
        numbers, texts = _varints(data, start, end), _messages(data, start, end)
        nvidia = _messages(data, *texts[_GPU_NVIDIA]) if _GPU_NVIDIA in texts else {}
        name = texts.get(_GPU_TYPE) or nvidia.get(_NVIDIA_NAME)
        self._gpu_name = (_text(data, *name) if name else None) or self._gpu_name
        self._gpu_count = numbers.get(_GPU_COUNT) or self._gpu_count
        self._cpu_count = numbers.get(_CPU_COUNT) or self._cpu_count

    def _configure(self, changes: list[Change]) -> None:
        for number, path, text in changes:
            if not 0 < len(path) <= _DEEPEST:
                continue
            if number == _REMOVE:
                self._forget(path)
                continue
            try:
                value = _json(text)
            except ValueError:
                continue
            if path[0] == "_wandb":
                self._hardware(path[1:], value)
            else:
                self._set(path, value)

    def _set(self, path: tuple[str, ...], value: object) -> None:
        level = self._config
        for name in path[:-1]:
            below = level.get(name)
            if not isinstance(below, dict):
                below = level[name] = {}
            level = below
        level[path[-1]] = value

    def _forget(self, path: tuple[str, ...]) -> None:
        level: object = self._config
        for name in path[:-1]:
            level = level.get(name) if isinstance(level, dict) else None
        if isinstance(level, dict):
            level.pop(path[-1], None)

    def _hardware(self, path: tuple[str, ...], value: object) -> None:
        """Take the machine from W&B's own part of the configuration: ``e.<writer>.gpu``, sometimes below ``value``."""
        for key in reversed(path):
            value = {key: value}
        inner = value.get("value", value) if isinstance(value, dict) else None
        writers = inner.get("e") if isinstance(inner, dict) else None
        for machine in _children(writers):
            if isinstance(machine, dict):
                name, gpus, cpus = machine.get("gpu"), machine.get("gpu_count"), machine.get("cpu_count")
                self._gpu_name = name if isinstance(name, str) else self._gpu_name
                self._gpu_count = gpus if type(gpus) is int else self._gpu_count
                self._cpu_count = cpus if type(cpus) is int else self._cpu_count

    def _summarise(self, changes: list[Change]) -> None:
        for number, path, text in changes:
            key, value = ".".join(path), _number(text)
            if number == _REMOVE:
                self._summary.pop(key, None)
            elif path == ("_wandb", "runtime"):
                self._runtime_s = value if value is not None else self._runtime_s
            elif path and path[0] != "_wandb":
                self._summary.pop(key, None)
                if value is not None:
                    self._summary[key] = value
                else:
                    self.dropped += 1

    def result(self, name: str, log: _Log) -> WandbFile:
        """Put together what there is at the end of the file."""
        return WandbFile(
            name=name,
            run_id=self._run_id,
            config=self._config,
            history=self.history,
            rows=len(self.steps),
            history_steps=self.steps,
            summary=self._summary,
            dropped_items=self.dropped,
            gpu_name=self._gpu_name,
            gpu_count=self._gpu_count,
            cpu_count=self._cpu_count,
            exit_code=self._exit_code,
            runtime_s=self._runtime_s,
            closed=self._closed,
            records=self.records,
            size_bytes=log.size,
            skipped_bytes=log.skipped + self.bad_bytes,
            unread_bytes=log.size - log.good,
            damage=log.damage(self.bad_bytes),
        )


# A chunk at a time --------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Items:
    """History items of a chunk, an array entry each: the record, where its key and its value stand, its place in the row."""

    record: Ints
    key_at: Ints
    key_bytes: Ints
    value_at: Ints
    value_bytes: Ints
    place: Ints

    def of(self, which: Ints | Bools) -> _Items:
        """Take some of them, or put them in another order."""
        return _Items(*(getattr(self, name)[which] for name in self.__slots__))


class _Bulk:
    """Reads all histories of a chunk side by side: the first field of each, then the second, and so on.

    W&B writes the keys of a row in an order that changes from row to row, so that no layout is assumed, only the grammar. A record
    that is not a history, or not as plain as nearly all are, goes to :class:`_Content`.
    """

    @classmethod
    def of(cls, content: _Content) -> _Bulk | None:
        """Make one that adds to `content`; None without NumPy or msgspec, which only make it faster."""
        try:
            return cls(content)
        except ImportError:
            return None

    def __init__(self, content: _Content) -> None:
        import msgspec
        import numpy as np

        self._content = content
        self._decode = msgspec.json.Decoder(list[float]).decode
        self._malformed = msgspec.MsgspecError
        self._names: list[str] = []
        self._named: dict[str, int] = {}
        self._ids: dict[bytes, int] = {}
        # For every length of a number: the bytes of its cell to keep, and what to put there instead, a comma before and blanks after.
        column, length = np.arange(_CELL), np.arange(_CELL)[:, None]
        inside = (column > 0) & (column <= length)
        self._keep = np.where(inside, 255, 0).astype(np.uint8).view(f"V{_CELL}").ravel()
        self._put = (
            np.where(inside, 0, np.where(column == 0, ord(","), ord(" "))).astype(np.uint8).view(f"V{_CELL}").ravel()
        )

    def read(self, chunk: _Chunk, first: int) -> None:
        """Read the records of a chunk from that one on."""
        import numpy as np

        text = chunk.text + _PADDING
        raw = np.frombuffer(text, np.uint8)
        starts, ends = np.array(chunk.starts[first:], np.int64), np.array(chunk.ends[first:], np.int64)
        steps = np.full(len(starts), _NO_STEP, np.int64)
        fast, begins, stops = _histories(raw, starts, ends)
        items = _walk(raw, fast, begins, stops, steps)
        keys = self._keys(text, items, fast)
        known = fast[items.record] & (keys >= 0)
        pieces = self._numbers(text, raw, items.of(known), keys[known])
        self._content.records += int(np.count_nonzero(fast))
        is_row = fast.copy()
        self._rest(chunk, first, is_row, steps, pieces)
        self._add(is_row, steps, pieces)

    def _keys(self, text: bytes, items: _Items, fast: Bools) -> Ints:
        """Number the keys; a record with one too many is no longer fast. Bytes that differ may name the same key."""
        import numpy as np

        keys = np.full(len(items.record), -1, np.int64)
        left = np.arange(len(keys))
        for _ in range(_BULK_KEYS):
            if not left.size:
                return keys
            size = int(items.key_bytes[left[0]])
            key = text[int(items.key_at[left[0]]) : int(items.key_at[left[0]]) + size]
            same = items.key_bytes[left] == size
            candidates = left[same]
            same[same] = _windows(text, size)[items.key_at[candidates]] == key
            keys[left[same]] = self._id(key)
            left = left[~same]
        fast[items.record[left]] = False
        return keys

    def _id(self, key: bytes) -> int:
        if key not in self._ids:
            name = ".".join(_item(key, 0, len(key))[0])
            if name not in self._named:
                self._named[name] = len(self._names)
                self._names.append(name)
            self._ids[key] = self._named[name]
        return self._ids[key]

    def _numbers(self, text: bytes, raw: Bytes, items: _Items, keys: Ints) -> Pieces:
        """Parse the values, and give for every key its records and numbers."""
        import numpy as np

        # By key, then record, then place in the row; all three bounded by what a chunk holds.
        order = np.argsort((keys * len(raw) + items.record) * _BULK_ITEMS + items.place)
        items, keys = items.of(order), keys[order]
        values, numeric = self._parse(text, raw, items)
        self._content.dropped += int(np.count_nonzero(~numeric))
        keys, record, values = keys[numeric], items.record[numeric], values[numeric]
        last = np.ones(len(keys), bool)  # of a key that a row has twice, the last counts
        last[:-1] = (keys[1:] != keys[:-1]) | (record[1:] != record[:-1])
        keys, record, values = keys[last], record[last], values[last]
        cuts = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)] if len(keys) else []
        return {self._names[int(keys[a])]: [(record[a:b], values[a:b])] for a, b in pairwise(cuts)}

    def _parse(self, text: bytes, raw: Bytes, items: _Items) -> tuple[Floats, Bools]:
        """Parse all plain numbers in one go, the rest one by one; say which are numbers at all."""
        import numpy as np

        first, second = raw[items.value_at], raw[items.value_at + 1]
        digit = (first - np.uint8(48) <= 9) | ((first == ord("-")) & (second - np.uint8(48) <= 9))
        plain = digit & (items.value_bytes > 0) & (items.value_bytes < _CELL)
        values, numeric = np.full(len(plain), math.nan), np.ones(len(plain), bool)
        numbers = self._parse_plain(text, items.of(plain))
        if numbers is None:
            plain[:] = False
        else:
            values[plain] = numbers
        for index in np.flatnonzero(~plain).tolist():
            at = int(items.value_at[index])
            value = _number(text[at : at + int(items.value_bytes[index])])
            numeric[index] = value is not None
            values[index] = math.nan if value is None else value
        return values, numeric

    def _parse_plain(self, text: bytes, items: _Items) -> Floats | None:
        """Parse numbers as one JSON list, each padded to a cell of 32 bytes; None when one is not a number or not within doubles."""
        import numpy as np

        count = len(items.record)
        cells = _windows(text, _CELL)[items.value_at - 1].view(np.uint64)  # the byte before a value is its length
        cells &= self._keep[items.value_bytes].view(np.uint64)
        cells |= self._put[items.value_bytes].view(np.uint64)
        try:
            numbers = self._decode(b"[" + cells.tobytes()[1:] + b"]")
        except self._malformed:
            return None
        # Every cell starts with a digit or a minus, so as many numbers as cells means one each.
        return np.fromiter(numbers, np.float64, count) if len(numbers) == count else None

    def _rest(self, chunk: _Chunk, first: int, is_row: Bools, steps: Ints, pieces: Pieces) -> None:
        """Read what is left, one record at a time and in order."""
        import numpy as np

        slow: dict[str, tuple[list[int], list[float]]] = {}
        for index in np.flatnonzero(~is_row).tolist():
            row = self._content.record(chunk.text, chunk.starts[first + index], chunk.ends[first + index])
            if row is not None:
                is_row[index], steps[index] = True, row[0]
                for key, value in row[1].items():
                    records, values = slow.setdefault(key, ([], []))
                    records.append(index)
                    values.append(value)
        for key, (records, values) in slow.items():
            pieces.setdefault(key, []).append((np.array(records, np.int64), np.array(values)))

    def _add(self, is_row: Bools, steps: Ints, pieces: Pieces) -> None:
        """Add the rows of the chunk to the columns."""
        import numpy as np

        row_of = np.cumsum(is_row) - 1 + len(self._content.steps)
        for key, parts in pieces.items():
            record = np.concatenate([part[0] for part in parts])
            values = np.concatenate([part[1] for part in parts])
            if len(parts) > 1:
                order = np.argsort(record)
                record, values = record[order], values[order]
            rows, numbers = self._content.column(key)
            rows.frombytes(row_of[record].astype(np.int64).tobytes())
            numbers.frombytes(values.tobytes())
            if key == "_step":
                missing = steps[record] == _NO_STEP
                steps[record[missing]] = [_step_of({key: value}) for value in values[missing].tolist()]
        self._content.add_steps(steps[is_row].tolist())


def _windows(text: bytes, size: int) -> NDArray[np.bytes_]:
    """View the bytes at every offset as a text of that size; NumPy ignores zeros at its end, which equal sizes make exact."""
    import numpy as np

    return np.ndarray((len(text) - size + 1,), f"S{size}", text, strides=(1,))


def _read_varints(raw: Bytes, at: Ints) -> tuple[Ints, Ints]:
    """Read a varint at each place: the values, and where they end. One of more than five bytes is too far for any length."""
    import numpy as np

    values = raw[at].astype(np.int64)
    after = at + 1
    more = np.flatnonzero(values > 127)
    if more.size:
        values[more] &= 127
        for shift in (7, 14, 21, 28):
            byte = raw[after[more]].astype(np.int64)
            values[more] |= (byte & 127) << shift
            after[more] += 1
            more = more[byte > 127]
        values[more] = _TOO_FAR
    return values, after


def _histories(raw: Bytes, starts: Ints, ends: Ints) -> tuple[Bools, Ints, Ints]:
    """Find the records that hold one history and otherwise only varints and messages, and where it begins and ends."""
    import numpy as np

    begins, stops = np.full(len(starts), -1, np.int64), np.zeros(len(starts), np.int64)
    whole = np.zeros(len(starts), bool)
    live, at = np.flatnonzero(starts < ends), starts[starts < ends]
    for _ in range(_BULK_FIELDS):
        if not live.size:
            break
        tag, inner = _read_varints(raw, at)
        value, inner = _read_varints(raw, inner)
        wire = tag & 7
        at = np.where(wire == _BYTES, inner + value, inner)
        history = tag == (_HISTORY << 3 | _BYTES)
        sound = (at <= ends[live]) & (tag > 7) & (value < _TOO_FAR) & ((wire == _BYTES) | (wire == _VARINT))
        sound &= ~(history & (begins[live] >= 0))
        found = sound & history
        begins[live[found]], stops[live[found]] = inner[found], at[found]
        whole[live[sound & (at == ends[live])]] = True
        go_on = sound & (at < ends[live])
        live, at = live[go_on], at[go_on]
    return whole & (begins >= 0), begins, stops


def _walk(raw: Bytes, fast: Bools, begins: Ints, stops: Ints, steps: Ints) -> _Items:
    """Find the items of the fast histories and fill in their steps; a history with anything else in it is no longer fast."""
    import numpy as np

    parts: list[_Items] = []
    live = np.flatnonzero(fast & (begins < stops))
    at = begins[live]
    for place in range(_BULK_ITEMS):
        if not live.size:
            break
        tag = raw[at]
        size, inner = _read_varints(raw, at + 1)
        end = inner + size
        sound = end <= stops[live]
        item, step = sound & (tag == (_ITEM << 3 | _BYTES)), sound & (tag == (_STEP << 3 | _BYTES))
        if step.any():
            step[step] = _walk_steps(raw, live[step], inner[step], end[step], steps)
        if item.any():
            part = _walk_items(raw, live[item], inner[item], end[item], place)
            good = part.value_at + part.value_bytes == end[item]
            parts.append(part if good.all() else part.of(good))
            item[item] = good
        fast[live[~(item | step)]] = False
        go_on = (item | step) & (end < stops[live])
        live, at = (live, end) if go_on.all() else (live[go_on], end[go_on])
    fast[live] = False
    names = _Items.__slots__
    none = [np.zeros(0, np.int64)]
    return _Items(*(np.concatenate([getattr(part, name) for part in parts] or none) for name in names))


def _walk_steps(raw: Bytes, live: Ints, inner: Ints, end: Ints, steps: Ints) -> Bools:
    """Fill in steps, zero being an empty message; say which are."""
    value, after = _read_varints(raw, inner + 1)
    empty = inner == end
    good: Bools = empty | ((raw[inner] == (_STEP_NUM << 3 | _VARINT)) & (after == end) & (value < _TOO_FAR))
    value[empty] = 0
    steps[live[good]] = value[good]
    return good


def _walk_items(raw: Bytes, live: Ints, inner: Ints, end: Ints, place: int) -> _Items:
    """Find key and value of an item each; of one that is not a key and then a value, the value's end is not the item's."""
    import numpy as np

    key, nested = _KEY << 3 | _BYTES, _NESTED_KEY << 3 | _BYTES
    at = inner.copy()
    more = np.flatnonzero((raw[at] == key) | (raw[at] == nested))
    for _ in range(_BULK_FIELDS):  # parts of a key
        size, after = _read_varints(raw, at[more] + 1)
        at[more] = np.minimum(after + size, end[more])
        more = more[(raw[at[more]] == nested) & (at[more] < end[more])]
        if not more.size:
            break
    size, value_at = _read_varints(raw, at + 2)
    tagged = (
        (raw[at] == 0x82) & (raw[at + 1] == 0x01) & (at > inner)
    )  # the tag of value_json, 16 << 3 | 2, takes two bytes
    size[~tagged] = _TOO_FAR
    return _Items(live, inner, at - inner, value_at, size, np.full(len(live), place))
