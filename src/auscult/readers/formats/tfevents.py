"""TensorBoard event files: TFRecord framing around ``Event`` messages.

A file is a chain of records, ``u64le length | u32le check of the length | data | u32le check of the data``, where a check is a
masked CRC-32C. The reader differs from TensorBoard's in three ways: every point is kept; bytes after a damaged record are not
given up but searched for the next good one; and what could not be read is counted.

Records are framed in a plain loop over chunks. Their messages are then read a column at a time: records of one length whose
fixed bytes (field numbers, lengths, tag) are those of a record that was walked field by field hold their numbers at the same
offsets. Whatever does not match is walked by itself, so the fast way never decides what a message means.

NumPy and crc32c are imported by the first read, not with the module.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes: TypeAlias = NDArray[np.uint8]
    Words: TypeAlias = NDArray[np.uint64]
    Integers: TypeAlias = NDArray[np.int64]
    Doubles: TypeAlias = NDArray[np.float64]
    Rows: TypeAlias = Integers | slice  # an index of rows

__all__ = ["Damage", "EventFile", "Scalars", "read_events"]

Damage: TypeAlias = Literal["truncated", "bad_crc", "not_an_event_file"]

CHUNK = 4 << 20  # bytes per read; 1 to 16 MiB measured the same
MAX_RECORD = 256 << 20  # a length above this is damage, not an allocation
MAX_BATCH = 200_000  # records handed on at once: bounds the lists when a buffer is full of tiny records
MAX_TEXT = 1 << 20  # bytes kept of one text
MAX_TEXTS = 1_000
MAX_TAGS = (
    100_000  # a Scalars takes some 500 bytes, its tag in the file as few as 30: without a bound, twenty times the file
)
MAX_ROW = 1_024  # bytes of a message worth reading by columns: scalars take 30 to 200
MIN_GROUP = 16  # records of one length below which NumPy's overhead exceeds the walk
MAX_SHAPES = 32  # layouts tried among records of one length; a writer makes a handful (per kind and width of the step)
FEW = 32  # checks verified one by one rather than as an array
SEARCH_BLOCK = 64 << 10  # offsets tried at once in the search for the next good record
SEARCH_BUDGET = 16  # bytes of data that the search may check in vain, per byte of the file ...
SEARCH_GRACE = 64 << 20  # ... beyond this many: nested false headers cannot make it quadratic
FALSE_HEADER = 1 << 10  # what one costs in time besides, in bytes checked
HEADER = 12
FRAME = 16  # header and the check after the data

_U32 = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


@dataclass(frozen=True, slots=True)
class Scalars:
    """The points of one tag, as columns in file order; nothing is sorted, dropped or merged.

    Parameters
    ----------
    steps : array of int64
    values : array of double
        A 32-bit value gives the double that equals it; ``nan`` and ``inf`` stay.
    wall_times : array of double
        Seconds since the epoch.
    """

    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    wall_times: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class EventFile:
    """What one event file holds, and how much of it could not be read.

    ``size_bytes`` is the sum of the good records, ``skipped_bytes`` and ``unread_bytes``.

    Parameters
    ----------
    name : str
        The file's name, as given.
    scalars : dict of str to Scalars
        By tag, in the order of first appearance.
    texts : dict of str to str
        First string of each tensor of strings, by tag; of a tag written more than once the last. Cut at 1 MiB, at most 1000.
    session_starts : list of (int, int)
        Step and record index of every ``SessionLog START``: a writer resumed there and disowns earlier points from that step on.
    records : int
        Records whose checks are right, whatever is in them.
    size_bytes, unread_bytes, skipped_bytes : int
        The whole file; the bytes after the last good record; the bytes between good records.
    damage : {"truncated", "bad_crc", "not_an_event_file"} or None
        The worst that was met; None for an empty file, which has nothing to damage.
    malformed : int
        Good records whose message could not be decoded to its end.
    dropped : int
        Values and texts left out because there were too many tags.
    """

    name: str
    scalars: dict[str, Scalars]
    texts: dict[str, str]
    session_starts: list[tuple[int, int]]
    records: int
    size_bytes: int
    unread_bytes: int
    skipped_bytes: int
    damage: Damage | None
    malformed: int = 0
    dropped: int = 0


def read_events(stream: BinaryIO, *, name: str) -> EventFile:
    """Read a TensorBoard event file from its current position to its end.

    Parameters
    ----------
    stream : binary file
        Read forwards, in chunks; it need not be seekable.
    name : str
        Carried into the result.

    Returns
    -------
    EventFile
        Whatever the bytes are: damage is reported in it, not raised.

    Raises
    ------
    OSError
        When the stream cannot be read.
    ImportError
        When NumPy or crc32c is not installed.

    Examples
    --------
    >>> import io
    >>> found = read_events(io.BytesIO(b"step,loss"), name="metrics.csv")
    >>> found.damage, found.unread_bytes
    ('not_an_event_file', 9)
    """
    events = _Events()
    frames = _Frames(stream, events.add)
    frames.run()
    foreign = not events.recognised if frames.records else frames.foreign
    return EventFile(
        name=name,
        scalars=events.in_file_order(),
        texts=events.texts,
        session_starts=events.session_starts,
        records=frames.records,
        size_bytes=frames.size,
        unread_bytes=frames.size - frames.good_end,
        skipped_bytes=frames.good_end - frames.good_bytes,
        damage="not_an_event_file" if foreign else frames.damage,
        malformed=events.malformed,
        dropped=events.dropped,
    )


# ---------------------------------------------------------------------------------------------------------- framing


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _plausible(head: bytes) -> bool:
    """Whether fewer bytes than a header could begin one."""
    from crc32c import crc32c

    length = int.from_bytes(head[:8], "little")
    return length <= MAX_RECORD and _U32.pack(_masked(crc32c(head[:8]))).startswith(head[8:HEADER])


class _Chain(NamedTuple):
    """Records that follow one another from some offset on."""

    starts: list[int]  # of the data, within the buffer
    ends: list[int]  # where the data of a record would start that followed this one
    crcs: list[int]  # computed, not masked
    stop: int  # offset within the buffer where the next header is expected
    want: int  # bytes needed from there to go on; 0 if a header is wrong there


class _Frames:
    """Good records of a stream, handed to ``sink(buffer, starts, lengths)`` in batches.

    Positions are offsets in the file, except where a name says that they are within the buffer.
    """

    def __init__(self, stream: BinaryIO, sink: Callable[[bytes, Integers, Integers], None]) -> None:
        self._stream = stream
        self._sink = sink
        self._buffer = b""
        self._base = 0  # position of the buffer's first byte
        self._ended = False
        self._lengths: dict[bytes, int] = {}  # by header, of those whose check is right: a run has few distinct lengths
        self._batch: tuple[list[int], list[int]] = ([], [])
        self._found: Integers | None = None  # positions of headers in the last block searched
        self._searched = 0  # the end of that block
        self._wasted = 0  # bytes checked in vain
        self._tables: NDArray[np.uint32] | None = None
        self.records = 0
        self.good_bytes = 0
        self.good_end = 0
        self.damage: Damage | None = None
        self.foreign = False  # the first bytes are no header

    @property
    def size(self) -> int:
        """Bytes read so far; in the end, of the whole stream."""
        return self._base + len(self._buffer)

    def run(self) -> None:
        """Go through the whole stream."""
        position: int | None = 0
        if self._need(0, 1):
            self._need(0, HEADER)
            head = self._buffer[:HEADER]
            self.foreign = not _plausible(head) if len(head) < HEADER else self._length(head) is None
        while position is not None:
            position = self._advance(position)
        self._flush()

    def _advance(self, position: int) -> int | None:
        """Take the good records from ``position`` on; give where to go on, or None at the end."""
        chain = self._chain(position - self._base)
        good = self._verify(chain)
        stop = chain.stop + self._base
        damaged = stop
        known = chain.want > HEADER  # what comes next begins with a right header
        if chain.starts and not good[-1] and not known:
            # The last record is wrong and nothing confirms that it ends where it says: look again from within it.
            damaged = chain.starts[-1] + self._base - HEADER
            good.pop()
        self._accept(chain, good)
        if not all(good):
            self.damage = "bad_crc"
        if chain.want == 0 and len(chain.starts) >= MAX_BATCH:  # stopped by the bound, not by a wrong header
            return damaged
        if chain.want and self._need(damaged, stop - damaged + chain.want):
            return damaged
        if damaged == self.size:
            return None
        truncated = damaged == stop and chain.want > 0
        self._wasted += stop - damaged
        found = self._search(damaged + 1)
        self.damage = self.damage or ("truncated" if truncated and found is None else "bad_crc")
        return found

    def _length(self, header: bytes) -> int | None:
        """The length in a header whose check is right, remembered."""
        from crc32c import crc32c

        length, check = struct.unpack("<QI", header)
        if length > MAX_RECORD or _masked(crc32c(header[:8])) != check:
            return None
        if len(self._lengths) >= 1 << 16:
            self._lengths.clear()
        self._lengths[header] = length
        return int(length)

    def _chain(self, at: int) -> _Chain:
        """Follow the lengths from an offset within the buffer, as far as headers are right and records are whole."""
        from crc32c import crc32c

        buffer, known = self._buffer, self._lengths.get
        size = len(buffer)
        starts: list[int] = []
        crcs: list[int] = []
        took, computed = starts.append, crcs.append
        want = 0
        with memoryview(buffer) as view:
            for _ in range(MAX_BATCH):
                header = buffer[at : at + HEADER]
                length = known(header)
                if length is None:
                    if len(header) < HEADER:
                        want = HEADER
                        break
                    length = self._length(header)
                    if length is None:
                        break
                start = at + HEADER
                end = start + length
                if end + 4 > size:
                    want = length + FRAME
                    break
                took(start)
                computed(crc32c(view[start:end]))
                at = end + 4
        ends = starts[1:]
        if starts:
            ends.append(at + HEADER)
        return _Chain(starts, ends, crcs, at, want)

    def _verify(self, chain: _Chain) -> list[bool]:
        """Whether the data of each record of a chain agree with their check."""
        import numpy as np

        if len(chain.starts) <= FEW:
            checks = (_U32.unpack_from(self._buffer, end - FRAME)[0] for end in chain.ends)
            return [_masked(crc) == check for crc, check in zip(chain.crcs, checks, strict=True)]
        crc = np.array(chain.crcs, np.uint32)
        window = np.lib.stride_tricks.sliding_window_view(np.frombuffer(self._buffer, np.uint8), 4)
        check = window[np.array(chain.ends, np.int64) - FRAME].view("<u4")[:, 0]
        agree = ((crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(_MASK_DELTA)) == check
        verdicts: list[bool] = agree.tolist()
        return verdicts

    def _accept(self, chain: _Chain, good: list[bool]) -> None:
        """Put the good records of a chain into the batch."""
        starts, ends = chain.starts, chain.ends
        if not all(good) or len(good) < len(starts):
            starts, ends = list(compress(starts, good)), list(compress(ends, good))
        if starts:
            self._batch[0].extend(starts)
            self._batch[1].extend(ends)
            self.good_end = self._base + ends[-1] - HEADER
        if len(self._batch[0]) >= MAX_BATCH:
            self._flush()

    def _flush(self) -> None:
        """Hand the batch on, before the buffer changes."""
        import numpy as np

        if not self._batch[0]:
            return
        starts, ends = np.array(self._batch[0], np.int64), np.array(self._batch[1], np.int64)
        self._batch = ([], [])
        lengths = ends - starts - FRAME
        self.records += len(starts)
        self.good_bytes += int(lengths.sum()) + FRAME * len(starts)
        self._sink(self._buffer, starts, lengths)

    def _need(self, position: int, count: int) -> bool:
        """Have ``count`` bytes from ``position`` on in the buffer, at the price of those before; False if the file ends first."""
        have = self.size - position
        if have >= count or self._ended:
            return have >= count
        self._flush()
        pieces = [self._buffer[position - self._base :]]
        self._buffer, self._base = b"", position
        goal = max(count, have + CHUNK)
        while have < goal:  # by chunks: a false length must not allocate more than the file has
            piece = self._stream.read(min(CHUNK, goal - have))
            if not piece:
                self._ended = True
                break
            pieces.append(piece)
            have += len(piece)
        self._buffer = b"".join(pieces)
        return have >= count

    def _search(self, position: int) -> int | None:
        """The next position at which a whole record stands whose both checks are right."""
        from crc32c import crc32c

        while self._wasted <= SEARCH_GRACE + SEARCH_BUDGET * self.size:
            candidate = self._next_header(position)
            if candidate is None:
                break
            self._need(candidate, FRAME)
            at = candidate - self._base
            length = int.from_bytes(self._buffer[at : at + 8], "little")
            if self._need(candidate, length + FRAME):
                start = candidate - self._base + HEADER
                with memoryview(self._buffer) as view:
                    crc = crc32c(view[start : start + length])
                if _masked(crc) == _U32.unpack_from(self._buffer, start + length)[0]:
                    return candidate
                self._wasted += length
            self._wasted += FALSE_HEADER
            position = candidate + 1
        self._drain()
        return None

    def _next_header(self, position: int) -> int | None:
        """The next position at which twelve bytes are a right header; every byte is looked at once."""
        import numpy as np

        while True:
            if self._found is not None:
                index = int(np.searchsorted(self._found, position))
                if index < len(self._found):
                    return int(self._found[index])
            begin = max(position, self._searched)
            if not self._need(begin, HEADER):
                return None
            at = begin - self._base
            block = np.frombuffer(self._buffer[at : at + SEARCH_BLOCK + HEADER - 1], np.uint8)
            self._found = begin + self._headers(block)
            self._searched = begin + len(block) - HEADER + 1

    def _headers(self, block: Bytes) -> Integers:
        """Offsets of the right headers within a block."""
        import numpy as np

        count = len(block) - HEADER + 1
        columns = [block[i : i + count] for i in range(HEADER)]
        # A length within the bound leaves the upper four bytes 0, and most of the fourth.
        at = np.flatnonzero((columns[4] | columns[5] | columns[6] | columns[7] == 0) & (columns[3] <= MAX_RECORD >> 24))
        length = sum((columns[i][at].astype(np.int64) << 8 * i for i in range(4)), np.zeros(len(at), np.int64))
        check = sum((columns[8 + i][at].astype(np.int64) << 8 * i for i in range(4)), np.zeros(len(at), np.int64))
        crc = np.zeros(len(at), np.uint32)
        tables = self._length_tables()
        for i in range(4):
            crc ^= tables[i][columns[i][at]]
        masked = (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(_MASK_DELTA)
        found: Integers = at[(masked == check) & (length <= MAX_RECORD)].astype(np.int64)
        return found

    def _length_tables(self) -> NDArray[np.uint32]:
        """What each of a length's lower bytes adds to its CRC: a CRC of a fixed number of bytes is linear over XOR."""
        import numpy as np
        from crc32c import crc32c

        if self._tables is None:
            zero = crc32c(bytes(8))
            rows = [[crc32c((v << 8 * i).to_bytes(8, "little")) ^ zero for v in range(256)] for i in range(4)]
            self._tables = np.array(rows, np.uint32)
            self._tables[0] ^= np.uint32(zero)
        return self._tables

    def _drain(self) -> None:
        """Read on to the end for the size alone."""
        self._flush()
        self._base, self._buffer = self.size, b""
        while not self._ended:
            piece = self._stream.read(CHUNK)
            self._ended = not piece
            self._base += len(piece)


# ---------------------------------------------------------------------------------------------------------- messages


class _Malformed(ValueError):
    """Bytes that are not the message they should be; never leaves this module."""


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """The unsigned 64-bit number at an offset, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise _Malformed


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def _fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, start and end of every field of a message; raises when they do not fill it exactly."""
    while at < end:
        key, at = _varint(data, at, end)
        wire = key & 7
        if wire == LENGTH:
            size, at = _varint(data, at, end)
            stop = at + size
        elif wire == VARINT:
            _, stop = _varint(data, at, end)
        elif wire == FIXED64:
            stop = at + 8
        elif wire == FIXED32:
            stop = at + 4
        else:
            raise _Malformed
        if stop > end or key < 8:
            raise _Malformed
        yield key >> 3, wire, at, stop
        at = stop


Span: TypeAlias = tuple[int, int]  # start and end within a message
ABSENT: Span = (0, 0)


class _Head(NamedTuple):
    """Where an Event's own fields stand."""

    wall_time: Span
    step: Span
    starts_session: bool
    recognised: bool  # has what only an Event has


def _head(data: memoryview) -> _Head:
    wall_time = step = ABSENT
    session = recognised = False
    for number, wire, start, end in _fields(data, 0, len(data)):
        if number == 1 and wire == FIXED64:
            wall_time = (start, end)
            recognised = True
        elif number == 2 and wire == VARINT:
            step = (start, end)
        elif number == 3 and wire == LENGTH:
            recognised = recognised or bytes(data[start : min(end, start + 12)]) == b"brain.Event:"
        elif number == 7 and wire == LENGTH:
            for inner, kind, a, b in _fields(data, start, end):
                if inner == 1 and kind == VARINT:
                    session = _varint(data, a, b)[0] == 1
    return _Head(wall_time, step, session, recognised)


class _Slot(NamedTuple):
    """Where one value of a summary stands, and how it is written."""

    tag: Span
    code: str  # NumPy's for a number, "text" for a string
    start: int
    end: int
    varint: bool  # the number is a varint whose bits are those of the code
    certain: bool  # a scalar by itself; else only if an earlier record of the tag said so


def _slots(data: memoryview) -> Iterator[_Slot]:
    """The values of an Event that are single numbers or strings."""
    for number, wire, start, end in _fields(data, 0, len(data)):
        if number == 5 and wire == LENGTH:
            for inner, kind, a, b in _fields(data, start, end):
                if inner == 1 and kind == LENGTH and (slot := _slot(data, a, b)) is not None:
                    yield slot


def _slot(data: memoryview, at: int, end: int) -> _Slot | None:
    """One Summary.Value."""
    tag = simple = tensor = ABSENT
    plugin: bytes | None = None
    for number, wire, a, b in _fields(data, at, end):
        if number == 1 and wire == LENGTH:
            tag = (a, b)
        elif number == 2 and wire == FIXED32:
            simple, tensor = (a, b), ABSENT
        elif number == 8 and wire == LENGTH:
            simple, tensor = ABSENT, (a, b)
        elif number == 9 and wire == LENGTH:
            plugin = _plugin(data, a, b)
    if simple is not ABSENT:
        return _Slot(tag, "f4", *simple, varint=False, certain=True)
    if tensor is ABSENT or (found := _tensor(data, *tensor)) is None:
        return None
    code, a, b, varint = found
    if code != "text" and plugin not in (b"scalars", None):
        return None
    return _Slot(tag, code, a, b, varint, certain=plugin is not None)


def _plugin(data: memoryview, at: int, end: int) -> bytes | None:
    """The plugin's name in a SummaryMetadata, as far as it could be that of scalars."""
    name: bytes | None = None
    for number, wire, start, stop in _fields(data, at, end):
        if number == 1 and wire == LENGTH:
            for inner, kind, a, b in _fields(data, start, stop):
                if inner == 1 and kind == LENGTH:
                    name = bytes(data[a : min(b, a + 16)])
    return name


STRING = 7
DTYPES = {  # of TensorFlow: NumPy's code ("b2" for bfloat16, which has none), and the field that holds such values
    1: ("f4", 5),
    2: ("f8", 6),
    3: ("i4", 7),
    4: ("u1", 7),
    5: ("i2", 7),
    6: ("i1", 7),
    9: ("i8", 10),
    10: ("u1", 11),
    14: ("b2", 13),
    17: ("u2", 7),
    19: ("f2", 13),
    22: ("u4", 16),
    23: ("u8", 17),
}
FORMATS = {
    "f4": "<f",
    "f8": "<d",
    "f2": "<e",
    "i4": "<i",
    "u1": "<B",
    "i2": "<h",
    "i1": "<b",
    "i8": "<q",
    "u2": "<H",
    "u4": "<I",
    "u8": "<Q",
}


def _tensor(data: memoryview, at: int, end: int) -> tuple[str, int, int, bool] | None:
    """Code and place of a TensorProto's one number or its first string, and whether it is a varint."""
    dtype, elements = 0, 1
    for number, wire, a, b in _fields(data, at, end):
        if number == 1 and wire == VARINT:
            dtype, _ = _varint(data, a, b)
        elif number == 2 and wire == LENGTH:
            elements = _elements(data, a, b)
    if dtype == STRING:
        return next((("text", a, b, False) for n, w, a, b in _fields(data, at, end) if (n, w) == (8, LENGTH)), None)
    if elements != 1 or dtype not in DTYPES:
        return None
    code, holder = DTYPES[dtype]
    found = [(n, w, a, b) for n, w, a, b in _fields(data, at, end) if n in (4, holder) and b > a]
    if len(found) != 1:  # none is how some writers put a zero; it is rare and looks like a tensor without data
        return None
    number, wire, a, b = found[0]
    if number == 4 or code in ("f4", "f8"):
        return (code, a, b, False) if b - a == int(code[1]) and wire != VARINT else None
    return (code, a, b, True) if wire in (VARINT, LENGTH) and _varint(data, a, b)[1] == b else None


def _elements(data: memoryview, at: int, end: int) -> int:
    """Elements of a TensorShapeProto; 2 stands for any number but one."""
    for number, wire, start, stop in _fields(data, at, end):
        if number == 2 and wire == LENGTH:
            for inner, kind, a, b in _fields(data, start, stop):
                if inner == 1 and kind == VARINT and _varint(data, a, b)[0] != 1:
                    return 2
    return 1


def _number(data: memoryview, slot: _Slot) -> float:
    """The number in a slot."""
    raw = bytes(data[slot.start : slot.end])
    if slot.varint:
        raw = _varint(data, slot.start, slot.end)[0].to_bytes(8, "little")[: int(slot.code[1])]
    if slot.code == "b2":
        return float(struct.unpack("<f", b"\0\0" + raw)[0])
    return float(struct.unpack(FORMATS[slot.code], raw)[0])


# ---------------------------------------------------------------------------------------------------------- columns


class _Layout:
    """Which bits of a message are the same in every message that differs from it in its numbers and tags only."""

    def __init__(self, row: Bytes, head: _Head, slots: list[_Slot], pad: int) -> None:
        import numpy as np

        fixed, tags = np.full(len(row), 0xFF, np.uint8), np.zeros(len(row), np.uint8)
        fixed[:pad] = 0
        free = [head.wall_time] if head.wall_time is not ABSENT else []
        for start, end in [*free, *((slot.start, slot.end) for slot in slots)]:
            fixed[pad + start : pad + end] = 0
        fixed[pad + head.step[0] : pad + head.step[1]] = 0x80  # the bits that say how many bytes the step takes
        for slot in slots:
            fixed[pad + slot.tag[0] : pad + slot.tag[1]] = 0
            tags[pad + slot.tag[0] : pad + slot.tag[1]] = 0xFF
        self.head, self.slots, self.pad = head, slots, pad
        self._template: Words = row.view("<u8")
        self._fixed: Words = fixed.view("<u8")
        self._tags: Words = tags.view("<u8")

    @classmethod
    def of(cls, row: Bytes, pad: int) -> _Layout | None:
        """The layout of a message after ``pad`` bytes, or None when it is not made of scalars alone."""
        data = memoryview(row.tobytes())[pad:]
        try:
            head, slots = _head(data), list(_slots(data))
        except _Malformed:
            return None
        simple = all(slot.code in FORMATS and not slot.varint for slot in slots)
        return cls(row, head, slots, pad) if slots and simple and not head.starts_session else None

    def matches(self, words: Words) -> NDArray[np.bool_]:
        """Which rows agree in every bit that is no number and no tag."""
        same: NDArray[np.bool_] = self._differences(words, self._template, self._fixed) == 0
        return same

    def by_tag(self, words: Words) -> tuple[list[Rows], list[Integers]]:
        """Indices of the rows of each (tuple of) tag, and of rows that a chance collision put elsewhere."""
        import numpy as np

        if not self._differences(words, self._template, self._tags).any():
            return [slice(None)], []
        keys = np.zeros(len(words), np.uint64)
        for i in np.flatnonzero(self._tags):
            keys = (keys ^ (words[:, i] & self._tags[i])) * np.uint64(0x9E3779B97F4A7C15)
            keys ^= keys >> np.uint64(32)
        order = np.argsort(keys, kind="stable")
        clusters: list[Rows] = []
        collided: list[Integers] = []
        for rows in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            same = self._differences(words[rows], words[rows[0]], self._tags) == 0
            clusters.append(rows[same])
            collided.append(rows[~same])
        return clusters, collided

    @staticmethod
    def _differences(words: Words, template: Words, mask: Words) -> Words:
        import numpy as np

        found = np.zeros(len(words), np.uint64)
        for i in np.flatnonzero(mask):
            found |= (words[:, i] ^ template[i]) & mask[i]
        return found

    def steps(self, rows: Bytes) -> Integers:
        """The step of each row: a varint of the same width in all."""
        import numpy as np

        steps = np.zeros(len(rows), np.uint64)
        for i, column in enumerate(range(*self.head.step)):
            steps |= (rows[:, self.pad + column] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * i)
        return steps.view(np.int64)

    def wall_times(self, rows: Bytes) -> Doubles:
        """The wall time of each row, 0 where a message has none."""
        import numpy as np

        if self.head.wall_time is ABSENT:
            return np.zeros(len(rows))
        return self._numbers(rows, *self.head.wall_time, "f8")

    def values(self, rows: Bytes) -> list[Doubles]:
        """The numbers of each slot."""
        return [self._numbers(rows, slot.start, slot.end, slot.code) for slot in self.slots]

    def _numbers(self, rows: Bytes, start: int, end: int, code: str) -> Doubles:
        import numpy as np

        column = np.ascontiguousarray(rows[:, self.pad + start : self.pad + end])
        with np.errstate(invalid="ignore"):  # a signalling nan becomes a quiet one
            return column.view(f"<{code}")[:, 0].astype(np.float64)


class _Piece(NamedTuple):
    """Points of one tag out of one batch."""

    place: int  # of the value within its event, for the first of them
    records: Integers  # within the batch
    steps: Integers
    values: Doubles
    wall_times: Doubles


def _first_place(piece: _Piece) -> tuple[int, int]:
    """Where the first point of a piece stands: its record within the batch, and its place within the event."""
    return int(piece.records[0]), piece.place


def _joined(pieces: list[_Piece]) -> _Piece:
    """All points of the pieces, in file order; of one record in the order of the pieces."""
    import numpy as np

    records = np.concatenate([piece.records for piece in pieces])
    order = np.argsort(records, kind="stable")
    return _Piece(
        min(pieces, key=_first_place).place,
        records[order],
        np.concatenate([piece.steps for piece in pieces])[order],
        np.concatenate([piece.values for piece in pieces])[order],
        np.concatenate([piece.wall_times for piece in pieces])[order],
    )


class _Loose:
    """Points of one tag that were read one by one."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.records, self.steps = array("q"), array("q")
        self.values, self.wall_times = array("d"), array("d")

    def append(self, record: int, step: int, value: float, wall_time: float) -> None:
        """Add a point."""
        self.records.append(record)
        self.steps.append(step)
        self.values.append(value)
        self.wall_times.append(wall_time)

    def piece(self) -> _Piece:
        import numpy as np

        records, steps = np.frombuffer(self.records, np.int64), np.frombuffer(self.steps, np.int64)
        return _Piece(self.place, records, steps, np.frombuffer(self.values), np.frombuffer(self.wall_times))


class _Events:
    """What the messages hold, batch after batch."""

    def __init__(self) -> None:
        self.scalars: dict[str, Scalars] = {}
        self.texts: dict[str, str] = {}
        self.session_starts: list[tuple[int, int]] = []
        self.malformed = 0
        self.dropped = 0
        self.recognised = False
        self._records = 0  # in earlier batches
        self._first: dict[str, tuple[int, int]] = {}  # record and place in which a tag was met first
        self._pieces: dict[str, list[_Piece]] = {}
        self._loose: dict[str, _Loose] = {}

    def in_file_order(self) -> dict[str, Scalars]:
        """The scalars, tags in the order of their first points; columns are read length by length."""
        return {tag: self.scalars[tag] for tag in sorted(self._first, key=self._first.__getitem__)}

    def add(self, buffer: bytes, starts: Integers, lengths: Integers) -> None:
        """Read the messages at ``starts``."""
        import numpy as np

        order = np.argsort(lengths, kind="stable")
        left: list[Integers] = []
        for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            length = int(lengths[group[0]])
            if len(group) < MIN_GROUP or not 0 < length <= MAX_ROW:
                left.append(group)
            else:
                left.extend(self._columns(buffer, starts[group], group, length))
        single = np.sort(np.concatenate(left)) if left else order[:0]
        with memoryview(buffer) as view:
            for i, start, length in zip(
                single.tolist(), starts[single].tolist(), lengths[single].tolist(), strict=True
            ):
                with view[start : start + length] as data:
                    self._walk(data, i)
        self._merge()
        self._records += len(starts)

    def _columns(self, buffer: bytes, begin: Integers, index: Integers, length: int) -> list[Integers]:
        """Read messages of one length by columns; give the indices of those that are to be walked."""
        import numpy as np

        pad = -length % 8  # rows of whole words: the bytes before a message are its header's
        window = np.lib.stride_tricks.sliding_window_view(np.frombuffer(buffer, np.uint8), pad + length)
        rows: Bytes = window[begin - pad]
        left: list[Integers] = []
        for _ in range(MAX_SHAPES):
            if len(rows) < MIN_GROUP:
                break
            layout = _Layout.of(rows[0], pad)
            if layout is None:
                left.append(index[:1])
                rows, index = rows[1:], index[1:]
                continue
            match = layout.matches(rows.view("<u8"))
            if match.all():
                left.extend(self._take(layout, rows, index))
                return left
            left.extend(self._take(layout, rows[match], index[match]))
            rows, index = rows[~match], index[~match]
        return [*left, index]

    def _take(self, layout: _Layout, rows: Bytes, index: Integers) -> list[Integers]:
        """Keep the points of rows that match a layout; give the indices of those that are to be walked."""
        steps, wall_times, values = layout.steps(rows), layout.wall_times(rows), layout.values(rows)
        self.recognised = self.recognised or layout.head.recognised
        clusters, left = layout.by_tag(rows.view("<u8"))
        left = [index[members] for members in left]
        for members in clusters:
            data = memoryview(rows[members][0].tobytes())[layout.pad :]
            tags = [_text(data[slot.tag[0] : slot.tag[1]]) for slot in layout.slots]
            if not all(slot.certain or tag in self.scalars for slot, tag in zip(layout.slots, tags, strict=True)):
                left.append(index[members])  # the record that says what they are may be among those still to be walked
                continue
            for place, (tag, column) in enumerate(zip(tags, values, strict=True)):
                piece = _Piece(place, index[members], steps[members], column[members], wall_times[members])
                if self._room(tag, len(piece.steps)):
                    self._pieces.setdefault(tag, []).append(piece)
        return left

    def _room(self, tag: str, points: int = 1) -> bool:
        """Whether there is a place for points of a tag."""
        if tag not in self.scalars:
            if len(self.scalars) >= MAX_TAGS:
                self.dropped += points
                return False
            self.scalars[tag] = Scalars()
        return True

    def _walk(self, data: memoryview, index: int) -> None:
        """Read one message field by field."""
        try:
            head = _head(data)
            self.recognised = self.recognised or head.recognised
            step = _signed(_varint(data, *head.step)[0]) if head.step is not ABSENT else 0
            wall_time = struct.unpack_from("<d", data, head.wall_time[0])[0] if head.wall_time is not ABSENT else 0.0
            if head.starts_session:
                self.session_starts.append((step, self._records + index))
            for place, slot in enumerate(_slots(data)):
                if slot.code == "text":
                    self._keep_text(data, slot)
                elif (loose := self._points(data, slot, place)) is not None:
                    loose.append(index, step, _number(data, slot), wall_time)
        except _Malformed:
            self.malformed += 1

    def _points(self, data: memoryview, slot: _Slot, place: int) -> _Loose | None:
        """Where a number goes, or None when it is to be left out."""
        tag = _text(data[slot.tag[0] : slot.tag[1]])
        # Some writers name the plugin in the first record of a tag only.
        if not (slot.certain or tag in self.scalars) or not self._room(tag):
            return None
        return self._loose.setdefault(tag, _Loose(place))

    def _keep_text(self, data: memoryview, slot: _Slot) -> None:
        tag = _text(data[slot.tag[0] : slot.tag[1]])
        if tag in self.texts or len(self.texts) < MAX_TEXTS:
            self.texts[tag] = _text(data[slot.start : min(slot.end, slot.start + MAX_TEXT)])
        else:
            self.dropped += 1

    def _merge(self) -> None:
        """Append the batch's points to each tag's, in file order."""
        for tag, loose in self._loose.items():
            self._pieces.setdefault(tag, []).append(loose.piece())
        for tag, pieces in self._pieces.items():
            columns = pieces[0] if len(pieces) == 1 else _joined(pieces)
            record, place = _first_place(columns)
            self._first.setdefault(tag, (self._records + record, place))
            scalars = self.scalars[tag]
            scalars.steps.frombytes(columns.steps.tobytes())
            scalars.values.frombytes(columns.values.tobytes())
            scalars.wall_times.frombytes(columns.wall_times.tobytes())
        self._pieces, self._loose = {}, {}


def _text(data: memoryview) -> str:
    """UTF-8 as it should be; a byte that is not stays visible and distinct."""
    return bytes(data).decode("utf-8", "backslashreplace")
