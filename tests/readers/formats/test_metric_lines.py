"""Vectorised records against a regular expression and ``float()``, line by line."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auscult.readers.formats import metric_lines
from auscult.readers.formats.metric_lines import Field, Template, iter_blocks, parse_block

NANOGPT = (
    Template(b"iter {step:int}: loss {loss:4}, time {time:2}ms, mfu {mfu:2}%"),
    Template(b"step {step:int}: train loss {train:4}, val loss {val:4}"),
)

ITER = b"iter 20: loss 6.2977, time 3917.80ms, mfu 12.87%"
STEP = b"step 14500: train loss 3.6415, val loss 3.5696"


@dataclass(frozen=True)
class Dialect:
    """Templates, and the same said by hand as regular expressions."""

    templates: tuple[Template, ...]
    patterns: tuple[re.Pattern[bytes], ...]


NANO = Dialect(
    NANOGPT,
    (
        re.compile(
            rb"iter (?P<step>[0-9]{1,8}): loss (?P<loss>[0-9]{1,8}\.[0-9]{4}), "
            rb"time (?P<time>[0-9]{1,8}\.[0-9]{2})ms, mfu (?P<mfu>[0-9]{1,8}\.[0-9]{2})%"
        ),
        re.compile(
            rb"step (?P<step>[0-9]{1,8}): train loss (?P<train>[0-9]{1,8}\.[0-9]{4}), val loss (?P<val>[0-9]{1,8}\.[0-9]{4})"
        ),
    ),
)
ODD = Dialect(
    (
        Template(b"{a:int}"),
        Template(b"{a:1};{b:7}"),
        Template(b"{{'a rather long prefix': {a:int}, 'and then a long middle': {b:3}, 'tokens': {c:0}}}"),
        Template(b"{a:6} .{b:int}x"),
    ),
    (
        re.compile(rb"(?P<a>[0-9]{1,8})"),
        re.compile(rb"(?P<a>[0-9]{1,8}\.[0-9]);(?P<b>[0-9]{1,8}\.[0-9]{7})"),
        re.compile(
            rb"\{'a rather long prefix': (?P<a>[0-9]{1,8}), 'and then a long middle': (?P<b>[0-9]{1,8}\.[0-9]{3}), "
            rb"'tokens': (?P<c>[0-9]{1,8})\}"
        ),
        re.compile(rb"(?P<a>[0-9]{1,8}\.[0-9]{6}) \.(?P<b>[0-9]{1,8})x"),
    ),
)


def reference(
    lines: Sequence[bytes], dialect: Dialect
) -> tuple[list[list[tuple[int, dict[str, int | float]]]], list[int]]:
    """Per template the numbered records, and the numbers of all other lines."""
    records: list[list[tuple[int, dict[str, int | float]]]] = [[] for _ in dialect.templates]
    rest = []
    for number, line in enumerate(lines):
        for template, pattern, found in zip(dialect.templates, dialect.patterns, records, strict=True):
            if match := pattern.fullmatch(line):
                integers = {each.name for each in template.fields if each.integer}
                values = {k: int(v) if k in integers else float(v) for k, v in match.groupdict().items()}
                found.append((number, values))
                break
        else:
            rest.append(number)
    return records, rest


def check(lines: Sequence[bytes], dialect: Dialect) -> None:
    """Assert that a block of these lines is parsed exactly as the reference parses them."""
    block = b"".join(line + b"\n" for line in lines)
    parsed = parse_block(block, dialect.templates)
    expected, rest = reference(lines, dialect)
    assert parsed.lines == len(lines)
    for template, records, wanted in zip(dialect.templates, parsed.records, expected, strict=True):
        names = [each.name for each in template.fields]
        assert list(records.columns) == names
        columns = [records.columns[name].tolist() for name in names]
        rows = zip(records.line_index.tolist(), *columns, strict=True)
        got = [(number, dict(zip(names, row, strict=True))) for number, *row in rows]
        assert got == wanted
        assert records.line_index.dtype == np.int64
        for each in template.fields:
            assert records.columns[each.name].dtype == (np.int64 if each.integer else np.float64)
    assert len(parsed.rest) == len(rest)
    assert [(number, block[start:end]) for number, start, end in parsed.rest] == [(n, lines[n]) for n in rest]


def record(template: Template) -> st.SearchStrategy[bytes]:
    """Lines of a template, the widths of their numbers up to one digit too many."""

    def number(each: Field) -> st.SearchStrategy[bytes]:
        whole = st.from_regex(rb"[0-9]{1,9}", fullmatch=True)
        if not each.decimals:
            return whole
        return st.tuples(whole, st.from_regex(rb"[0-9]{%d}" % each.decimals, fullmatch=True)).map(b".".join)

    numbers = st.tuples(*(number(each) for each in template.fields))
    first, *others = template.literals
    return numbers.map(lambda texts: first + b"".join(t + lit for t, lit in zip(texts, others, strict=True)))


@st.composite
def mutated(draw: st.DrawFn, dialect: Dialect) -> bytes:
    """A record with a byte or a few changed, left out or put in, cut, or run into another."""
    records = st.one_of([record(template) for template in dialect.templates])
    line = bytearray(draw(records))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(line)))
        kind = draw(st.sampled_from(["change", "leave out", "put in", "cut", "join"]))
        some = draw(st.one_of(st.sampled_from([*b"0189./: -\r\t,%e"]), st.integers(0, 255)))
        some = 0 if some == 10 else some
        if kind == "change":
            line[at : at + 1] = bytes([some])
        elif kind == "leave out":
            del line[at : at + draw(st.integers(1, 3))]
        elif kind == "put in":
            line[at:at] = bytes([some])
        elif kind == "cut":
            del line[at:]
        else:
            line += draw(records)
    return bytes(line)


def mixture(dialect: Dialect) -> st.SearchStrategy[list[bytes]]:
    garbage = st.binary(max_size=80).map(lambda data: data.replace(b"\n", b""))
    valid = st.one_of([record(template) for template in dialect.templates])
    return st.lists(st.one_of(valid, mutated(dialect), garbage), max_size=12)


@given(mixture(NANO))
@example([])
@example([ITER])
@example([b""])
@example([STEP, b"", ITER])
def test_nanogpt_lines_agree_with_a_regex(lines: list[bytes]) -> None:
    """For any mixture of records, mutated records and garbage, records and rest are those of a regex and float()."""
    check(lines, NANO)


@given(mixture(ODD))
@example([b"1"])
@example([b"1", b"12345678", b"123456789", b"", b"\xff99", b"99"])
@example([b"9.9;9999999.9999999", b"99999999.9;99999999.9999999"])
def test_other_templates_agree_with_a_regex(lines: list[bytes]) -> None:
    """The same for templates without a prefix, with long literals, braces, numbers without a point and 1 to 7 decimals."""
    check(lines, ODD)


@given(mixture(NANO), st.integers(1, 4))
def test_chunks_do_not_matter(lines: list[bytes], chunk: int) -> None:
    """Lines on both sides of a chunk's border are read as within one."""
    with mock.patch.object(metric_lines, "_CHUNK_LINES", chunk):
        check(lines, NANO)


@pytest.mark.parametrize(
    ("line", "dialect"),
    [
        (ITER, NANO),
        (STEP, NANO),
        (b"iter 12345678: loss 12345678.1234, time 123456.78ms, mfu 1234567.89%", NANO),
        (b"1", ODD),
        (b"1.5;2.1234567", ODD),
        (b"{'a rather long prefix': 1, 'and then a long middle': 2.125, 'tokens': 12345678}", ODD),
        (b"1.123456 .2x", ODD),
    ],
)
def test_every_byte_counts(line: bytes, dialect: Dialect) -> None:
    """Each byte of a record left out, doubled, or replaced by each other byte gives what a regex gives."""
    changed = [line[:at] + bytes([b]) + line[at + 1 :] for at in range(len(line)) for b in range(256) if b != 10]
    shifted = [line[:at] + line[at + n :] for at in range(len(line)) for n in (1, -1)]
    check([line, *changed, *shifted, line], dialect)


def test_every_cut_and_prefix_is_seen() -> None:
    """A record cut at either end, or with text before or after it, is not taken for one."""
    cuts = [piece for line in (ITER, STEP) for at in range(len(line)) for piece in (line[:at], line[at:])]
    glued = [b"[rank0]: " + ITER, ITER + b"\r", ITER + b" ", b" " + STEP, b"\x1b[0m" + STEP, ITER + ITER, b"9" + ITER]
    special = [b"iter 1: loss nan, time 1.00ms, mfu 1.00%", b"iter 1: loss -1.0000, time 1.00ms, mfu -100.00%"]
    check([*cuts, *glued, *special], NANO)


def test_every_width_is_exactly_the_float() -> None:
    """Numbers of all widths, with all decimals, equal float() of their text to the last bit."""
    rng = np.random.default_rng(0)
    for decimals in range(1, 8):
        template = Template(b"x {v:%d}" % decimals)
        texts = [f"{rng.integers(10**width)}.{rng.integers(10**decimals):0{decimals}d}" for width in range(9)] * 200
        texts += [f"99999999.{'9' * decimals}", f"00000000.{'0' * decimals}", f"0.{'0' * decimals}"]
        parsed = parse_block("".join(f"x {text}\n" for text in texts).encode(), [template])
        assert len(parsed.rest) == 0
        assert parsed.records[0].columns["v"].tolist() == [float(text) for text in texts]


def test_lines_of_any_length() -> None:
    """A line of a megabyte among records is one line of the rest, and disturbs none of them."""
    long = b"iter 5: loss " + b"1" * 2**20
    check([ITER, long, STEP, ITER[:-1] + b"0" * 70_000 + b"%", ITER], NANO)


def test_more_lines_than_a_chunk() -> None:
    """Line numbers go on over chunks, and wide numbers stand at their lines' places."""
    lines = [b"iter %d: loss %d.5000, time %d.25ms, mfu 7.50%%" % (n, n % 9999, n * 7) for n in range(70_000)]
    lines[40_000] = b"Traceback"
    check(lines, NANO)


def test_a_block_that_is_not_whole_is_refused() -> None:
    """A last line without its newline may be cut inside a number, so it raises."""
    with pytest.raises(ValueError, match="not ended"):
        parse_block(ITER, NANOGPT)


def test_every_buffer_is_read() -> None:
    """Bytes, a byte array and a part of a memory view give the same; without templates every line is rest."""
    block = ITER + b"\n"
    for data in (block, bytearray(block), memoryview(b"??" + block)[2:]):
        assert parse_block(data, NANOGPT).records[0].columns["mfu"].tolist() == [12.87]
    assert list(parse_block(block, []).rest) == [(0, 0, len(ITER))]


@pytest.mark.parametrize(
    "text",
    [
        b"no numbers",
        b"{a:int}{b:int}",
        b"v2{a:int}",
        b"{a:int}, {a:2}",
        b"{:int}",
        b"{a:8}",
        b"{a:-2}",
        b"{a}",
        b"{a:two}",
        "é {a:int}".encode(),
        b"x\n{a:int}",
    ],
)
def test_ambiguous_templates_are_refused(text: bytes) -> None:
    """A template that could be read in two ways, or lies outside what is converted exactly, raises ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the messages differ, and int() and str.format's are among them
        Template(text)


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._most = io.BytesIO(data), most

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # narrower than any buffer
        """Read at most so many bytes."""
        return self._data.readinto(buffer[: self._most])


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40), st.integers(1, 12))
def test_blocks_hold_whole_lines(pieces: list[bytes], size: int, most: int) -> None:
    """Blocks together are the stream, but for what lies beyond ``size`` of a longer line; only the last may be unended."""
    data = b"\n".join(pieces)
    blocks = [bytes(block) for block in iter_blocks(Trickle(data, most), size)]
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(0 < len(block) <= size for block in blocks)
    wanted = [line if len(line) < size + line.endswith(b"\n") else line[: size - 1] + b"\n" for line in lines_of(data)]
    assert b"".join(blocks) == b"".join(wanted)


def lines_of(data: bytes) -> list[bytes]:
    return [line for line in re.split(rb"(?<=\n)", data) if line]


def test_importing_does_not_load_numpy() -> None:
    """The module can be imported where numpy is slow to load or absent; only parsing needs it."""
    code = "import sys; import auscult.readers.formats.metric_lines; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
