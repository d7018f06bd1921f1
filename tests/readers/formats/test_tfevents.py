"""Every point of an event file is read, as TensorBoard reads it; and damage costs the records it touches, no more."""

from __future__ import annotations

import io
import math
import os
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.readers.formats import tfevents
from auscult.readers.formats.tfevents import EventFile, read_events
from readers.formats import event_files as ef

ROOT = Path(__file__).resolve().parents[3]
CORPUS = Path(os.environ.get("AUSCULT_CORPUS", ROOT.parent / "shared" / "corpus"))


def read(data: bytes) -> EventFile:
    found = read_events(io.BytesIO(data), name="events")
    assert found.size_bytes == len(data)
    assert 0 <= found.skipped_bytes + found.unread_bytes <= len(data)
    assert all(len(s.steps) == len(s.values) == len(s.wall_times) > 0 for s in found.scalars.values())
    return found


def points(found: EventFile) -> dict[str, list[tuple[int, float, float]]]:
    return {tag: list(zip(s.steps, s.values, s.wall_times, strict=True)) for tag, s in found.scalars.items()}


def float32(value: float) -> float:
    return cast(float, struct.unpack("<f", struct.pack("<f", value))[0])


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@contextmanager
def constants(**values: int) -> Iterator[None]:
    """The reader's bounds set to other values, so that small files meet them."""
    before = {name: getattr(tfevents, name) for name in values}
    for name, value in values.items():
        setattr(tfevents, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(tfevents, name, value)


# ------------------------------------------------------------------------------------------------ oracles


def tensorboard(path: Path) -> Any:
    """What TensorBoard reads, nothing sampled."""
    pytest.importorskip("tensorboard", reason="the oracle is TensorBoard's own reader")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its dependencies use what newer versions deprecate
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        accumulator = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
        accumulator.Reload()
    return accumulator


def torch_writer(folder: Path) -> Any:
    pytest.importorskip("tensorboard", reason="torch writes event files through TensorBoard")
    pytest.importorskip("torch", reason="the oracle is torch's SummaryWriter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder))


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*tfevents*")
    return path


def assert_equals_tensorboard(path: Path) -> EventFile:
    """Tags, points and their order are TensorBoard's; so are the first strings of text tensors."""
    found, oracle = read(path.read_bytes()), tensorboard(path)
    tags = oracle.Tags()
    expected = {tag: [(e.step, e.value, e.wall_time) for e in oracle.Scalars(tag)] for tag in tags["scalars"]}
    texts = {}
    for tag in tags["tensors"]:
        for e in oracle.Tensors(tag):
            if e.tensor_proto.string_val:
                texts[tag] = e.tensor_proto.string_val[0].decode()
            else:
                value = next(iter([*e.tensor_proto.float_val, *e.tensor_proto.double_val]))
                expected.setdefault(tag, []).append((e.step, value, e.wall_time))
    got = points(found)
    assert got.keys() == expected.keys()
    for tag, rows in expected.items():
        assert len(got[tag]) == len(rows)
        assert all(a[0] == b[0] and same(a[1], b[1]) and a[2] == b[2] for a, b in zip(got[tag], rows, strict=True)), tag
    assert found.texts == texts
    assert (found.damage, found.unread_bytes, found.skipped_bytes, found.malformed) == (None, 0, 0, 0)
    return found


def test_equals_tensorboard_on_what_torch_writes(tmp_path: Path) -> None:
    """Scalars of several tags, widths of steps and odd values, among texts and histograms, are read as TensorBoard reads them."""
    writer, rng = torch_writer(tmp_path), random.Random(0)
    for step in [*range(300), *range(16_300, 16_500), *range(2_097_000, 2_097_200), 2**40, 2**62]:
        for tag in ("train/loss", "train/norm", "lr", "eval/a-much-longer-name/loss"):  # the first two of one length
            value = rng.choice([rng.gauss(0, 1), rng.lognormvariate(0, 30), math.nan, math.inf, -math.inf, 0.0])
            writer.add_scalar(tag, value, step, walltime=1.7e9 + rng.random() * 1e6)
        if step % 50 == 0:
            writer.add_text("args", f'{{"step": {step}, "é": "ü"}}', step)
    writer.close()
    found = assert_equals_tensorboard(only_file(tmp_path))
    assert list(found.scalars) == ["train/loss", "train/norm", "lr", "eval/a-much-longer-name/loss"]


def test_equals_tensorboard_on_tensor_scalars(tmp_path: Path) -> None:
    """Scalars that torch writes as tensors, 32-bit and 64-bit, are read as TensorBoard reads them."""
    writer = torch_writer(tmp_path)
    for step in range(200):
        writer.add_scalar("loss", 1 / (step + 1), step, new_style=True)
        writer.add_scalar("loss64", 1 / (step + 3), step, new_style=True, double_precision=True)
    writer.close()
    found = assert_equals_tensorboard(only_file(tmp_path))
    assert found.scalars["loss64"].values[0] == 1 / 3


@pytest.mark.parametrize("run", ["hf-lora-five-checkpoints", "hf-no-loss-row"])
def test_equals_tensorboard_on_real_runs(run: str) -> None:
    """Event files of Hugging Face runs give TensorBoard's points and the arguments and model config they carry."""
    files = sorted((CORPUS / run).rglob("*tfevents*")) if (CORPUS / run).is_dir() else []
    if not files:
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put {run} at {CORPUS}")
    texts: dict[str, str] = {}
    for path in files:
        texts |= assert_equals_tensorboard(path).texts
    assert {"args/text_summary", "model_config/text_summary"} <= texts.keys()
    assert '"output_dir"' in texts["args/text_summary"]


def test_helper_writes_what_tensorboard_reads(tmp_path: Path) -> None:
    """The event files that our tests write in pure Python are valid to TensorBoard."""
    events = [ef.scalar_event("loss", 2.5, step=step) for step in range(30)] + [
        ef.text_event("args/text_summary", "{}")
    ]
    found = assert_equals_tensorboard(ef.write_events(tmp_path / "run" / "events.out.tfevents.1.host", events))
    assert found.records == 32


# ------------------------------------------------------------------------------------------------ what messages mean


class Point(NamedTuple):
    """A point to be written, and how."""

    tag: str
    step: int
    value: float
    wall_time: float
    kind: str

    def value_field(self) -> bytes:
        """Its Summary.Value."""
        if self.kind == "simple":
            return ef.simple_value(self.tag, self.value)
        if self.kind == "content":
            data = ef.message(4, struct.pack("<f", self.value))
            return ef.tensor_value(self.tag, ef.tensor(ef.DT_FLOAT, data))
        return ef.tensor_value(self.tag, ef.tensor(ef.DT_DOUBLE, ef.message(6, struct.pack("<d", self.value))))


STEPS = st.one_of(st.integers(0, 300), st.integers(-(2**63), 2**63 - 1))
POINTS = st.builds(
    Point,
    tag=st.sampled_from(["", "a", "b", "lr", "loss", "é", "b" * 120]),
    step=STEPS,
    value=st.floats(width=32),
    wall_time=st.floats(allow_nan=False),
    kind=st.sampled_from(["simple", "content", "double"]),
)


@settings(database=None, derandomize=True, deadline=None, max_examples=200)
@given(
    groups=st.lists(st.lists(POINTS, min_size=1, max_size=3), max_size=8),
    copies=st.integers(1, 4),
    chunk=st.integers(1, 400),
    group=st.integers(1, 20),
)
def test_every_point_is_read_in_order(groups: list[list[Point]], copies: int, chunk: int, group: int) -> None:
    """Any mixture of tags, kinds, steps and several values per event comes back, by columns or by walk, across any chunks."""
    events, expected = [], dict[str, list[tuple[int, float, float]]]()
    for members in groups * copies:
        step, wall_time = members[0].step, members[0].wall_time
        events.append(ef.event(ef.summary(*(p.value_field() for p in members)), step=step, wall_time=wall_time))
        for point in members:
            expected.setdefault(point.tag, []).append((step, point.value, wall_time))
    with constants(CHUNK=chunk, MIN_GROUP=group):
        found = read(ef.event_file(events))
    got = points(found)
    assert list(got) == list(expected)
    for tag, rows in expected.items():
        assert all(a[0] == b[0] and same(a[1], b[1]) and a[2] == b[2] for a, b in zip(got[tag], rows, strict=True))
        assert len(got[tag]) == len(rows)
    assert (found.damage, found.records) == (None, len(events) + 1)


@pytest.mark.parametrize(
    ("dtype", "data", "value"),
    [
        (ef.DT_FLOAT, ef.message(4, struct.pack("<f", 0.1)), float32(0.1)),
        (ef.DT_FLOAT, ef.single(5, 0.1), float32(0.1)),
        (ef.DT_FLOAT, ef.message(5, struct.pack("<f", 0.1)), float32(0.1)),
        (ef.DT_DOUBLE, ef.message(4, struct.pack("<d", 0.1)), 0.1),
        (ef.DT_DOUBLE, ef.double(6, 0.1), 0.1),
        (ef.DT_HALF, ef.message(4, struct.pack("<e", 0.1)), struct.unpack("<e", struct.pack("<e", 0.1))[0]),
        (ef.DT_HALF, ef.integer(13, 0x3C00), 1.0),
        (ef.DT_BFLOAT16, ef.message(4, b"\x80\x3f"), 1.0),
        (ef.DT_BFLOAT16, ef.integer(13, 0xBF80), -1.0),
        (ef.DT_INT32, ef.integer(7, -7), -7.0),
        (ef.DT_INT32, ef.message(7, ef.varint(-7)), -7.0),
        (ef.DT_INT32, ef.message(4, struct.pack("<i", -7)), -7.0),
        (ef.DT_INT64, ef.integer(10, 1 << 40), float(1 << 40)),
        (ef.DT_INT64, ef.message(4, struct.pack("<q", -(1 << 40))), float(-(1 << 40))),
    ],
)
@pytest.mark.parametrize("copies", [1, 40])
def test_tensor_scalars(dtype: int, data: bytes, value: float, copies: int) -> None:
    """A TF2 scalar is read from its typed field or its raw content, in every type that a loss is logged in, alone or in bulk."""
    event = ef.event(ef.summary(ef.tensor_value("loss", ef.tensor(dtype, data))), step=3)
    assert points(read(ef.event_file([event] * copies))) == {"loss": [(3, value, ef.WALL_TIME)] * copies}


@pytest.mark.parametrize("chunk", [500, tfevents.CHUNK])
def test_plugin_named_in_the_first_record_only(chunk: int) -> None:
    """A tensor without metadata is a scalar when an earlier record of its tag said so, and is left out otherwise."""
    data = ef.tensor(ef.DT_FLOAT, ef.single(5, 0.5))
    bare = [ef.event(ef.summary(ef.tensor_value(tag, data, plugin=None)), step=2) for tag in ("loss", "other")]
    first = ef.event(ef.summary(ef.tensor_value("loss", data)), step=1)
    with constants(CHUNK=chunk, MIN_GROUP=2):
        found = read(ef.event_file([first, *bare * 40]))
    assert points(found) == {"loss": [(1, 0.5, ef.WALL_TIME)] + [(2, 0.5, ef.WALL_TIME)] * 40}


@pytest.mark.parametrize(
    "value",
    [
        ef.tensor_value("x", ef.tensor(ef.DT_FLOAT, ef.single(5, 0.5)), plugin="histograms"),
        ef.tensor_value("x", ef.tensor(ef.DT_FLOAT, ef.single(5, 0.5), dims=[3])),
        ef.tensor_value("x", ef.tensor(ef.DT_FLOAT, ef.message(4, bytes(8)))),
        ef.tensor_value("x", ef.tensor(8, ef.message(4, bytes(8)))),
        ef.tensor_value("x", ef.tensor(ef.DT_INT32, ef.single(7, 0.5))),
        ef.message(1, b"x"),
    ],
    ids=["histogram", "vector", "wrong-size", "complex", "wrong-wire", "no-value"],
)
def test_what_is_no_scalar_is_left_out(value: bytes) -> None:
    """A histogram, a vector, a tensor of another size or type, and a value without a value give no points."""
    found = read(ef.event_file([ef.event(ef.summary(value))] * 20))
    assert (found.scalars, found.texts, found.records, found.damage) == ({}, {}, 21, None)


def test_float32_and_signalling_nan() -> None:
    """A 32-bit value gives the double that equals it, and a signalling nan is a nan, without a warning."""
    odd = ef.event(ef.summary(ef.message(1, b"x") + ef.varint(2 << 3 | 5) + b"\x01\x00\x80\x7f"))
    found = read(ef.event_file([odd] * 20 + [ef.scalar_event("lr", 6e-4)] * 20))
    assert all(math.isnan(value) for value in found.scalars["x"].values)
    assert set(found.scalars["lr"].values) == {0.0006000000284984708}


def test_texts() -> None:
    """The first string of a tensor is kept, the last one written to a tag, cut at its bound; bad UTF-8 stays visible."""
    raw = ef.tensor(ef.DT_STRING, ef.message(8, b"caf\xe9"))
    events = [
        ef.text_event("a", "old"),
        ef.text_event("a", "new", "second"),
        ef.text_event("long", "x" * (tfevents.MAX_TEXT + 1)),
        ef.event(ef.summary(ef.tensor_value("latin", raw, plugin=None))),
    ]
    found = read(ef.event_file(events))
    assert found.texts == {"a": "new", "long": "x" * tfevents.MAX_TEXT, "latin": "caf\\xe9"}


def test_session_starts() -> None:
    """A START is reported with its step and the index of its record, also among records read by columns and across batches."""
    scalars = [ef.scalar_event("loss", 1.0, step=step) for step in range(50)]
    data = ef.event_file([*scalars, ef.session_start_event(40), *scalars[40:], ef.session_start_event(-1)])
    assert read(data).session_starts == [(40, 51), (-1, 62)]
    with constants(CHUNK=100):
        assert read(data).session_starts == [(40, 51), (-1, 62)]


def test_too_many_tags_and_texts_are_counted() -> None:
    """Tags and texts beyond their bounds are left out and counted, so that memory stays bounded."""
    tags = [ef.scalar_event(f"t{i:02}", 1.0, step=s) for s in range(2) for i in range(30)]
    with constants(MAX_TAGS=20, MAX_TEXTS=3):
        found = read(ef.event_file(tags + [ef.text_event(f"x{i}", "text") for i in range(5)]))
    assert (len(found.scalars), len(found.texts), found.dropped) == (20, 3, 20 + 2)
    assert all(len(scalars) == 2 for scalars in found.scalars.values())


def test_records_that_are_no_events() -> None:
    """A good record with an undecodable message is counted and costs nothing else; a TFRecord file of other messages is named."""
    good = ef.scalar_event("loss", 1.0)
    found = read(ef.event_file([good, b"\xff\xff", b"\x0b", b"\x0a\xff", b"\x00\x00", good]))
    assert (len(found.scalars["loss"]), found.malformed, found.records, found.damage) == (2, 4, 7, None)
    example = ef.record(ef.message(1, ef.message(1, b"features")))
    assert read(example * 30).damage == "not_an_event_file"


# ------------------------------------------------------------------------------------------------ damage


def small_file() -> tuple[bytes, list[int]]:
    """A file of 20 records, and where each ends."""
    events = [ef.version_event(), ef.text_event("args", "x" * 30)]
    events += [ef.scalar_event(tag, step, step=step) for step in range(1, 10) for tag in ("loss", "grad")]
    ends = [0]
    for data in events:
        ends.append(ends[-1] + len(ef.record(data)))
    return b"".join(map(ef.record, events)), ends[1:]


def steps(found: EventFile) -> dict[str, list[int]]:
    return {tag: list(scalars.steps) for tag, scalars in found.scalars.items()}


@pytest.mark.parametrize("chunk", [64, tfevents.CHUNK])
def test_truncation_keeps_what_is_before(chunk: int) -> None:
    """Cut at any byte, a file gives the records before the cut, counts the bytes after them, and says that it is truncated."""
    data, ends = small_file()
    with constants(CHUNK=chunk, MIN_GROUP=4):
        whole = steps(read(data))
        for cut in range(len(data) + 1):
            found = read(data[:cut])
            assert found.records == sum(end <= cut for end in ends)
            assert found.unread_bytes == cut - max((end for end in ends if end <= cut), default=0)
            assert found.skipped_bytes == 0
            assert found.damage == ("truncated" if found.unread_bytes else None)
            assert all(column == whole[tag][: len(column)] for tag, column in steps(found).items())


@pytest.mark.parametrize("chunk", [64, tfevents.CHUNK])
def test_a_flipped_byte_loses_the_record_it_is_in(chunk: int) -> None:
    """Whichever byte is damaged, all other records are read, the lost bytes are counted, and the damage is reported."""
    data, ends = small_file()
    with constants(CHUNK=chunk, MIN_GROUP=4):
        for at in range(len(data)):
            broken = bytearray(data)
            broken[at] ^= 1 << at % 8
            found = read(bytes(broken))
            lost = next(i for i, end in enumerate(ends) if at < end)
            begin = ends[lost - 1] if lost else 0
            assert found.records == len(ends) - 1
            assert found.skipped_bytes + found.unread_bytes == ends[lost] - begin
            assert bool(found.unread_bytes) == (lost == len(ends) - 1)
            assert sum(map(len, found.scalars.values())) == 18 - (lost >= 2)
            assert found.damage == "bad_crc" or (found.damage == "truncated" and lost == len(ends) - 1)


@settings(database=None, derandomize=True, deadline=None, max_examples=200)
@given(data=st.data(), chunk=st.sampled_from([16, 100, tfevents.CHUNK]))
def test_bytes_inserted_removed_or_zeroed(data: st.DataObject, chunk: int) -> None:
    """After a splice anywhere, every record that is still whole is read."""
    whole, ends = small_file()
    begin = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(begin, min(len(whole), begin + 200)))
    filling = data.draw(st.one_of(st.binary(max_size=50), st.just(bytes(end - begin))))
    with constants(CHUNK=chunk):
        found = read(whole[:begin] + filling + whole[end:])
    spans = list(zip([0, *ends], ends, strict=False))
    intact = sum(b <= begin or a >= end for a, b in spans)
    assert intact <= found.records <= len(spans)


def test_several_damages_and_a_torn_tail() -> None:
    """Damage in many places at once costs the records touched, and a torn tail is still counted apart."""
    events = [ef.record(ef.scalar_event("loss", step, step=step)) for step in range(1, 2001)]
    for i in range(7, 2000, 13):
        at = i % len(events[i])
        events[i] = events[i][:at] + bytes([events[i][at] ^ 0x40]) + events[i][at + 1 :]
    broken = range(7, 2000, 13)
    found = read(b"".join(events)[:-3])
    assert list(found.scalars["loss"].steps) == [s for s in range(1, 2000) if s - 1 not in broken]
    assert (found.unread_bytes, found.damage) == (len(events[-1]) - 3, "bad_crc")
    assert found.skipped_bytes == sum(len(events[i]) for i in broken)


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04\x14\0\0\0\x08\0", b"step,loss\n1,2\n" * 100, b"\x89PNG\r\n\x1a\n" + bytes(1000), bytes(5000)]
)
def test_other_files_are_named(data: bytes) -> None:
    """A file that does not begin with a record and holds none is not an event file."""
    found = read(data)
    assert (found.damage, found.unread_bytes, found.records) == ("not_an_event_file", len(data), 0)


def test_empty_file_is_not_damaged() -> None:
    """A file of no bytes, which a crash before the first flush leaves, has no records and no damage."""
    found = read(b"")
    assert (found.damage, found.records, found.unread_bytes) == (None, 0, 0)


@settings(database=None, derandomize=True, deadline=None, max_examples=500)
@given(data=st.binary(max_size=300), chunk=st.integers(1, 100))
def test_arbitrary_bytes_never_raise(data: bytes, chunk: int) -> None:
    """Any bytes give a result, and never more records than fit."""
    with constants(CHUNK=chunk):
        found = read(data)
    assert found.records * tfevents.FRAME + found.skipped_bytes + found.unread_bytes <= len(data)


MESSAGES = st.recursive(
    st.one_of(
        st.binary(max_size=12),
        st.builds(ef.integer, st.integers(0, 20), st.integers(0, 2**64)),
        st.builds(ef.double, st.integers(1, 9), st.floats()),
        st.builds(ef.single, st.integers(1, 9), st.floats(width=32)),
    ),
    lambda inner: st.lists(st.builds(ef.message, st.sampled_from([1, 2, 4, 5, 7, 8, 9]), inner), max_size=4).map(
        b"".join
    ),
    max_leaves=12,
)


@settings(
    database=None, derandomize=True, deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow]
)
@given(messages=st.lists(MESSAGES, max_size=5), copies=st.integers(1, 3))
def test_arbitrary_messages_never_raise(messages: list[bytes], copies: int) -> None:
    """Any message in a good record, alone or in bulk, is read or left out, and by columns exactly as by walk."""
    data = b"".join(ef.record(message) for message in messages) * copies
    with constants(MIN_GROUP=1):
        by_columns = read(data)
    with constants(MIN_GROUP=1 << 30):
        by_walk = read(data)
    assert by_columns.records == len(messages) * copies
    assert repr(by_columns) == repr(by_walk)  # nan equals itself in print


def header(length: int) -> bytes:
    raw = struct.pack("<Q", length)
    return raw + struct.pack("<I", ef.masked_crc(raw))


@pytest.mark.parametrize("length", [200 << 20, tfevents.MAX_RECORD, tfevents.MAX_RECORD + 1, 1 << 40, (1 << 64) - 1])
def test_a_length_is_not_an_allocation(length: int) -> None:
    """A header that promises megabytes or exabytes costs no more memory than the file has; what follows it is read."""
    before, after = ef.event_file([ef.scalar_event("a", 1.0)]), ef.record(ef.scalar_event("b", 1.0))
    tracemalloc.start()
    found = read(before + header(length) + bytes(100) + after)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert set(found.scalars) == {"a", "b"}
    assert (found.damage, found.skipped_bytes) == ("bad_crc", 112)
    assert peak < 3 * tfevents.CHUNK


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytes(4_000_000),
        lambda: header(150_000) * 100_000,
        lambda: header(1 << 27) * 100_000,
        lambda: (ef.record(b"") + b"?") * 30_000,
        lambda: (ef.record(b"")[:-1] + b"?") * 60_000,
        lambda: (header(300_000) + ef.record(b"") + b"?") * 30_000,
        lambda: ef.record(b"") * 200_000,
        lambda: ef.record(ef.message(5, b"") * 200_000),
        lambda: b"".join(ef.record(ef.event(step=1 << i % 63) + bytes([8, 1]) * (i % 400)) for i in range(4_000)),
    ],
    ids=["zeros", "nested", "endless", "junk", "bad", "nested-good", "empty", "summaries", "lengths"],
)
def test_made_to_be_slow(make: Callable[[], bytes]) -> None:
    """Bytes made to send the search for the next record back and forth take seconds at most, not hours."""
    data = make()
    start = time.monotonic()
    read(data)
    assert time.monotonic() - start < 30  # they take under 3 on two slow cores


# ------------------------------------------------------------------------------------------------ streams


class Dribble(io.RawIOBase):
    """A stream that cannot seek and gives a few bytes at a time, as a pipe does."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, size: int = -1, /) -> bytes:
        """A thousand bytes at most."""
        piece = self._data[self._at : self._at + min(size, 1000)]
        self._at += len(piece)
        return piece


def test_a_pipe_is_read_like_a_file() -> None:
    """Short reads and a stream that cannot seek change nothing."""
    data = ef.event_file(ef.scalar_event("loss", step, step=step) for step in range(500))
    assert read_events(cast(BinaryIO, Dribble(data)), name="events") == read(data)


def test_importing_the_module_imports_no_numpy() -> None:
    """A start of auscult that reads no event file does not pay for NumPy."""
    code = "import sys, auscult.readers.formats.tfevents; sys.exit('numpy' in sys.modules or 'crc32c' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_layouts_are_told_apart() -> None:
    """Records of one length whose bytes mean different things (a longer tag, a shorter step) are not read by one layout."""
    events = []
    for i in range(200):
        events.append(ef.scalar_event("loss", i, step=200 + i))  # two bytes of step
        events.append(ef.scalar_event("loss2", -i, step=i % 100 + 1))  # one
    found = read(ef.event_file(events))
    assert list(found.scalars["loss"].steps) == list(range(200, 400))
    assert list(found.scalars["loss2"].steps) == [i % 100 + 1 for i in range(200)]
    assert list(found.scalars["loss2"].values) == [-i for i in range(200)]


def test_many_tags_of_one_length() -> None:
    """Per-layer tags, hundreds of one length, are told apart and kept in order."""
    events = [ef.scalar_event(f"layers.{i:03}", i * 1000 + s, step=s) for s in range(1, 21) for i in range(300)]
    found = read(ef.event_file(events))
    assert list(found.scalars) == [f"layers.{i:03}" for i in range(300)]
    assert all(list(found.scalars[f"layers.{i:03}"].values) == [i * 1000 + s for s in range(1, 21)] for i in range(300))
