"""Logs of one-line records at a few bytes per nanosecond: whole blocks of lines at once, with numpy.

A record like nanoGPT's ``iter 20: loss 6.2977, time 3917.80ms, mfu 12.87%`` is a :class:`Template`: literals and numbers
of a known count of decimals. A line that is such a record byte for byte is converted here; all others (headers, records
that were cut, ``nan``, prefixes) are handed back as spans, for a reader that takes its time over each line.

How it is done: lines are walked from their ends backwards, all lines of a chunk in step. What stands before a position
is fetched as one 64-bit word of eight characters; literals are compared as words, and the digits of a number are
weighted and added within the word (SIMD within a register), so that a number of any width costs the same few operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import Formatter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    import numpy.typing as npt

    Bools: TypeAlias = npt.NDArray[np.bool_]
    Floats: TypeAlias = npt.NDArray[np.float64]
    Ints: TypeAlias = npt.NDArray[np.int64]
    Words: TypeAlias = npt.NDArray[np.uint64]

__all__ = [
    "BLOCK_BYTES",
    "Field",
    "Parsed",
    "Records",
    "Spans",
    "Template",
    "iter_blocks",
    "parse_block",
]

BLOCK_BYTES = 2 * 2**20
"""What is read at once. Larger blocks are no faster, and one of empty lines alone takes sixty times its size."""
_CHUNK_LINES = 2**15
"""Lines that are walked in step: their columns stay in the cache from one operation to the next."""
_WORD = 8
_MAX_DECIMALS = 7

# Eight characters at once, one per byte; the first is the lowest byte.
_ZEROS = int.from_bytes(b"0" * 8, "little")
_TO_HIGH_BIT = 0x7676767676767676  # 9 + 0x76 is the largest that leaves a byte's high bit clear
_HIGH_BITS = 0x8080808080808080
_EXPONENT_OF_HALF = 1022  # as a float64 is stored: so that the exponent of 2**(n - 1) less this is n


@dataclass(frozen=True, slots=True)
class Field:
    """A number in a template.

    Attributes
    ----------
    name : str
        The column's name.
    decimals : int
        Digits after the point; 0 is a number without a point.
    integer : bool
        Whether the column holds integers.
    """

    name: str
    decimals: int
    integer: bool = False


@dataclass(frozen=True)
class Template:
    """How a trainer prints a record: literal text, and numbers as ``{name:int}`` or ``{name:decimals}``.

    Whole numbers and the part before a point have 1 to 8 digits; there are no signs, exponents or padding, and at most
    7 decimals. Braces of the text are doubled, as in :meth:`str.format`.

    Examples
    --------
    >>> Template(b"step {step:int}: train loss {train:4}").fields
    (Field(name='step', decimals=0, integer=True), Field(name='train', decimals=4, integer=False))
    """

    text: bytes

    def __post_init__(self) -> None:
        names = [each.name for each in self.fields]
        if not names or len(set(names)) != len(names) or not all(name.isidentifier() for name in names):
            raise ValueError(f"fields need names of their own: {self.text!r}")
        if any(not 0 <= each.decimals <= _MAX_DECIMALS for each in self.fields):
            raise ValueError(f"decimals must be 0 to {_MAX_DECIMALS}: {self.text!r}")
        if not self.text.isascii() or b"\n" in self.text:
            raise ValueError(f"not one line of ASCII: {self.text!r}")
        if not all(self.literals[1:-1]) or any(before[-1:].isdigit() for before in self.literals[:-1]):
            raise ValueError(f"a number that touches a number or a digit is ambiguous: {self.text!r}")

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The numbers, from left to right."""
        return tuple(
            Field(name, 0, integer=True) if spec == "int" else Field(name, int(spec or "-1"))
            for _, name, spec, _ in Formatter().parse(self.text.decode("latin-1"))
            if name is not None
        )

    @cached_property
    def literals(self) -> tuple[bytes, ...]:
        """The text before each number, and after the last one (it may be empty)."""
        pieces = list(Formatter().parse(self.text.decode("latin-1")))
        texts = [""]
        for text, name, _, _ in pieces:
            texts[-1] += text
            if name is not None:
                texts.append("")
        return tuple(text.encode("latin-1") for text in texts)

    @cached_property
    def reach(self) -> int:
        """How far before its start a walk over some other line can get."""
        return sum(map(len, self.literals)) + len(self.fields) * (_WORD + 1 + _MAX_DECIMALS) + _WORD


@dataclass(frozen=True, slots=True)
class Records:
    """The lines of a block that match one template.

    Attributes
    ----------
    line_index : ndarray of int64
        Their numbers within the block, from 0, ascending.
    columns : dict
        By the field's name, a column of int64 or float64. A float equals ``float()`` of the text.
    """

    line_index: Ints
    columns: dict[str, Ints | Floats]


@dataclass(frozen=True, slots=True)
class Spans:
    """Lines by where they stand; iteration gives ``(line_index, start, end)``, the end before the newline."""

    line_index: Ints
    start: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.line_index)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.line_index.tolist(), self.start.tolist(), self.end.tolist(), strict=True)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a block holds: per template its records, the spans of all other lines, and how many lines there are."""

    records: tuple[Records, ...]
    rest: Spans
    lines: int


def parse_block(block: bytes | bytearray | memoryview, templates: Sequence[Template]) -> Parsed:
    r"""Convert all lines of a block that match a template byte for byte.

    Parameters
    ----------
    block : bytes-like
        Whole lines, each ended by ``\n``.
    templates : sequence of Template
        Where a line matches several, the first counts.

    Raises
    ------
    ValueError
        When the last line is not ended.

    Examples
    --------
    >>> step = Template(b"step {step:int}: train loss {train:4}, val loss {val:4}")
    >>> parsed = parse_block(b"compiling\nstep 10: train loss 3.1234, val loss 3.2500\n", [step])
    >>> parsed.records[0].columns["val"].tolist(), parsed.records[0].line_index.tolist()
    ([3.25], [1])
    >>> list(parsed.rest)
    [(0, 0, 9)]
    """
    import numpy as np

    data = np.frombuffer(block, dtype=np.uint8)
    if len(data) and data[-1] != 10:
        raise ValueError("the block's last line is not ended")
    ends = np.flatnonzero(data == 10).astype(np.int64, copy=False)
    starts = np.empty_like(ends)
    starts[:1] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    matched = np.zeros(len(ends), dtype=np.bool_)
    found: list[list[tuple[Ints, list[Ints | Floats]]]] = [[] for _ in templates]
    for low in range(0, len(ends), _CHUNK_LINES):
        high = min(low + _CHUNK_LINES, len(ends))
        chunk = _Chunk.of(data, starts[low:high], ends[low:high], max((each.reach for each in templates), default=0))
        for template, parts in zip(templates, found, strict=True):
            parts.extend((index + low, columns) for index, columns in chunk.take(template, matched[low:high]))
    rest = np.flatnonzero(~matched)
    return Parsed(
        tuple(_joined(template, parts) for template, parts in zip(templates, found, strict=True)),
        Spans(rest.astype(np.int64, copy=False), starts[rest], ends[rest]),
        len(ends),
    )


def _joined(template: Template, parts: list[tuple[Ints, list[Ints | Floats]]]) -> Records:
    import numpy as np

    empty = np.empty(0, dtype=np.int64)
    index = np.concatenate([empty, *(index for index, _ in parts)])
    # A chunk's wide numbers come after its narrow ones.
    order = None if bool((index[1:] > index[:-1]).all()) else np.argsort(index)
    columns: dict[str, Ints | Floats] = {}
    for at, each in enumerate(template.fields):
        kind = np.int64 if each.integer else np.float64
        column = np.concatenate([np.empty(0, dtype=kind), *(columns[at] for _, columns in parts)])
        columns[each.name] = column if order is None else column[order]
    return Records(index if order is None else index[order], columns)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some lines of a block, copied between margins so that no walk leaves the copy.

    ``words[i]`` are the eight characters from position ``i``, the first in the lowest byte; ``heads`` those from each
    line's start.
    """

    words: Words
    starts: Ints
    ends: Ints
    heads: Words

    @classmethod
    def of(cls, data: npt.NDArray[np.uint8], starts: Ints, ends: Ints, reach: int) -> _Chunk:
        import numpy as np

        first, last = int(starts[0]), int(ends[-1])
        copy = np.empty(reach + last - first + _WORD, dtype=np.uint8)
        copy[:reach] = 0
        copy[reach:-_WORD] = data[first:last]
        copy[-_WORD:] = 0
        words = np.ndarray((len(copy) - _WORD + 1,), dtype="<u8", buffer=copy, strides=(1,))
        starts, ends = starts - (first - reach), ends - (first - reach)
        return cls(words, starts, ends, words[starts])

    def take(self, template: Template, matched: Bools) -> Iterator[tuple[Ints, list[Ints | Floats]]]:
        """Yield the indices and columns of lines that match, and mark them.

        First those whose every number fits in a word with its point, which are nearly all, then wider ones.
        """
        import numpy as np

        head = template.literals[0][:_WORD]
        candidates = self.heads & ((1 << 8 * len(head)) - 1) == int.from_bytes(head, "little")
        for wide in (False, True):
            index = np.flatnonzero(candidates & ~matched)
            if not len(index):
                return
            ok, columns = _walk(self, template, index, wide)
            if not ok.all():
                index, columns = index[ok], [column[ok] for column in columns]
            if len(index):
                matched[index] = True
                yield index, columns


def _walk(chunk: _Chunk, template: Template, index: Ints, wide: bool) -> tuple[Bools, list[Ints | Floats]]:
    """Walk the lines backwards; return which of them match, and the columns of all."""
    import numpy as np

    at = chunk.ends[index]
    start = chunk.starts[index] + len(template.literals[0])
    ok = np.ones(len(index), dtype=np.bool_)
    columns: list[Ints | Floats] = []
    for literal, each in zip(reversed(template.literals[1:]), reversed(template.fields), strict=True):
        at = _skip(chunk.words, at, literal, ok)
        column, at = _number(chunk.words, at, each, wide, ok)
        columns.append(column)
    ok &= at == start
    if len(template.literals[0]) > _WORD:
        _skip(chunk.words, at, template.literals[0], ok)
    return ok, columns[::-1]


def _skip(words: Words, at: Ints, literal: bytes, ok: Bools) -> Ints:
    """Compare the characters before a position with a literal, and return the position before them."""
    while literal:
        piece = literal[-_WORD:]
        found = words[at - _WORD] >> (64 - 8 * len(piece))
        ok &= found == int.from_bytes(piece, "little")
        at = at - len(piece)
        literal = literal[: -len(piece)]
    return at


def _number(words: Words, at: Ints, each: Field, wide: bool, ok: Bools) -> tuple[Ints | Floats, Ints]:
    """Convert the number before a position; return it and the position before it."""
    import numpy as np

    word = words[at - _WORD].astype(np.uint64, copy=False)
    if not each.decimals:
        value, width = _whole(word, ok)
    elif wide:
        fraction = _fraction(word, each.decimals, ok)
        value, width = _whole(words[at - (each.decimals + 1 + _WORD)].astype(np.uint64, copy=False), ok)
        value *= 10**each.decimals
        value += fraction
        width += each.decimals + 1
    else:
        _close_gap(word, each.decimals, ok)
        value, width = _whole(word, ok, at_least=each.decimals + 1)
        width += 1
    if each.integer:
        return value.view(np.int64), at - width
    # Both are whole and below 2**53, so that the quotient is the float nearest to the decimal, as float() gives it.
    return value.astype(np.float64) / 10.0**each.decimals, at - width


def _point(word: Words, decimals: int) -> Bools:
    point: Bools = (word >> (56 - 8 * decimals)) & 0xFF == ord(".")
    return point


def _close_gap(word: Words, decimals: int, ok: Bools) -> None:
    """Move the characters before the point up by one, over the point."""
    ok &= _point(word, decimals)
    above = (1 << 64) - (1 << 64 - 8 * decimals)
    fraction = word & above
    word <<= 8
    word &= ((1 << 64) - 1) ^ above
    word |= fraction


def _fraction(word: Words, decimals: int, ok: Bools) -> Words:
    """Convert the decimals at a word's end."""
    ok &= _point(word, decimals)
    # Zeros where other characters stood: the decimals alone make a whole number of eight digits.
    word &= (1 << 64) - (1 << 64 - 8 * decimals)
    word |= int.from_bytes(b"0" * (8 - decimals), "little")
    value, width = _whole(word, ok)
    ok &= width == _WORD
    return value


def _whole(word: Words, ok: Bools, at_least: int = 1) -> tuple[Words, Ints]:
    """Convert the digits at a word's end; return the number and how many digits it has (0 to 8)."""
    import numpy as np

    word ^= _ZEROS  # digits become 0 to 9, all else becomes more
    # Only a byte that is not ASCII carries into the next one; templates are ASCII, so such a line is none of theirs.
    other = word + _TO_HIGH_BIT
    other |= word
    other &= _HIGH_BITS
    # The last character that is no digit decides. A float's exponent is where the highest bit is; the bits are too far
    # apart for rounding to move it.
    unused = other.astype(np.float64).view(np.uint64)
    unused >>= 52
    np.maximum(unused, _EXPONENT_OF_HALF, out=unused)
    unused -= _EXPONENT_OF_HALF
    ok &= unused <= 64 - 8 * at_least
    word >>= unused  # two shifts clear what stands before the digits
    word <<= unused
    # Neighbours join: digits to pairs, pairs to fours, fours to eight.
    word *= 10 * (1 << 8) + 1
    word >>= 8
    word &= 0x00FF00FF00FF00FF
    word *= 100 * (1 << 16) + 1
    word >>= 16
    word &= 0x0000FFFF0000FFFF
    word *= 10000 * (1 << 32) + 1
    word >>= 32
    unused >>= 3
    return word, _WORD - unused.view(np.int64)


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


def iter_blocks(stream: _Readable, size: int = BLOCK_BYTES) -> Iterator[memoryview]:
    r"""Yield a stream as blocks of whole lines.

    A block is valid until the next one is asked for. Only the last one may lack its final newline. A line longer than
    ``size`` is cut there; it is still one line.

    Examples
    --------
    >>> import io
    >>> [bytes(block) for block in iter_blocks(io.BytesIO(b"one\ntwo\nthree"), size=10)]
    [b'one\ntwo\n', b'three']
    """
    buffer = bytearray(size)
    view = memoryview(buffer)
    kept, inside_cut = 0, False
    while new := _fill(stream, view[kept:]):
        filled, start = kept + new, 0
        if inside_cut:
            start = buffer.find(b"\n", 0, filled) + 1
            if not start:
                continue
            inside_cut = False
        end = buffer.rfind(b"\n", start, filled) + 1
        if end > start:
            yield view[start:end]
        else:
            end = start
        kept = filled - end
        if kept == size:
            buffer[-1] = 10
            yield view
            kept, inside_cut = 0, True
        else:
            view[:kept] = view[end:filled]
    if kept:
        yield view[:kept]


def _fill(stream: _Readable, view: memoryview) -> int:
    done = 0
    while done < len(view) and (got := stream.readinto(view[done:])):
        done += got
    return done
