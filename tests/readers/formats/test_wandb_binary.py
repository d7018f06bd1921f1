"""The reader of W&B's transaction log: made-up files, damaged files, real files, and wandb's own classes as the oracle."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import random
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.formats import wandb_binary
from auscult.readers.formats.wandb_binary import WandbFile, read_wandb
from readers.formats import wandb_files as wf

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[4] / "shared" / "corpus"))
BULK = {"_BULK_AFTER": 0, "_BULK_LEAST": 1}
ONE_BY_ONE = {"_BULK_AFTER": 1 << 60, "_BULK_LEAST": 1 << 60}
INF = math.inf


def read(data: bytes, **constants: int) -> WandbFile:
    with mock.patch.dict(vars(wandb_binary), constants):
        return read_wandb(io.BytesIO(data), name="run-x.wandb")


def listen(data: bytes) -> bytes:
    heard: list[bytes] = []
    read_wandb(io.BytesIO(data), name="run-x.wandb", on_console=heard.append)
    return b"".join(heard)


def columns(found: WandbFile) -> dict[str, list[tuple[int, float]]]:
    return {key: list(zip(*column, strict=True)) for key, column in found.history.items()}


def said(found: WandbFile) -> str:
    """Everything the file says, NaN equal to NaN and columns in any order."""
    values = dataclasses.asdict(found)
    return repr({**values, "history": dict(sorted(columns(found).items()))}).replace("-0.0,", "0.0,")


def accounted(found: WandbFile) -> bool:
    lost = (found.skipped_bytes, found.unread_bytes)
    return min(lost) >= 0 and sum(lost) <= found.size_bytes


def corpus_file(case: str) -> bytes:
    paths = sorted((CORPUS / case).rglob("*.wandb"))
    if not paths:
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    return paths[0].read_bytes()


def ordinary(rows: int = 40) -> list[bytes]:
    out = [wf.run(config={"n_layer": 12, "lr": 6e-4})]
    for step in range(rows):
        out.append(wf.console(f"iter {step}: loss {9 - step / 10}"))
        out.append(wf.console("\n"))
        out.append(wf.history({"iter": step * 10, "loss": 9 - step / 10, "_step": step}, step, num=len(out)))
    return [*out, wf.summary({"loss": 5.1}), *wf.ending()]


# What a file says ---------------------------------------------------------------------------------------------------------------------


def test_a_whole_run() -> None:
    """Identity, configuration, columns, steps, summary, console and ending come out as they were written."""
    data = wf.wandb_file(ordinary(3))
    found = read(data)
    assert found.run_id == "abc12345"
    assert found.config == {"n_layer": 12, "lr": 6e-4}
    assert columns(found)["loss"] == [(0, 9.0), (1, 8.9), (2, 8.8)]
    assert columns(found)["iter"] == [(0, 0.0), (1, 10.0), (2, 20.0)]
    assert found.history_steps.tolist() == [0, 1, 2]
    assert found.summary == {"loss": 5.1}
    assert (found.exit_code, found.runtime_s, found.closed, found.damage) == (0, 60.0, True, None)
    assert (found.rows, found.records, found.size_bytes) == (3, 14, len(data))
    assert (found.skipped_bytes, found.unread_bytes) == (0, 0)
    assert listen(data) == b"iter 0: loss 9.0\niter 1: loss 8.9\niter 2: loss 8.8\n"


@pytest.mark.parametrize("constants", [BULK, ONE_BY_ONE], ids=["bulk", "one by one"])
def test_what_is_a_number(constants: dict[str, int]) -> None:
    """NaN and infinities count, bare or quoted; booleans, texts, lists, histograms and broken JSON are dropped and counted."""
    numbers = {
        "a": "NaN",
        "b": '"Infinity"',
        "c": "-Infinity",
        "d": "6e-05",
        "e": "1e999",
        "f": " 7 ",
        "g": "1" + "0" * 400,
    }
    others = {
        "h": "true",
        "i": '"text"',
        "j": "[1]",
        "k": '{"_type":"histogram"}',
        "l": "null",
        "m": "01",
        "n": "1,2",
        "o": "",
        "p": "+1",
    }
    message = b"".join(wf.bytes_field(1, wf.item(key, text)) for key, text in (numbers | others).items())
    found = read(wf.wandb_file([wf.record(2, message)]), **constants)
    assert list(found.history) == list(numbers)
    assert [column[1][0] for column in found.history.values()][1:] == [INF, -INF, 6e-5, INF, 7.0, INF]
    assert math.isnan(found.history["a"][1][0])
    assert (found.rows, found.dropped_items, found.damage) == (1, len(others), None)


def test_nested_keys_are_joined_with_dots() -> None:
    """An old key and a new one-part key are the same column; a path of parts is joined."""
    path = wf.bytes_field(1, wf.item(("nest", "b", "c"), "2.5"))
    rows = [
        wf.history({"loss": 3}),
        wf.history({"loss": 2}, 1, nested=True),
        wf.record(2, path + wf.bytes_field(2, b"")),
    ]
    for constants in (BULK, ONE_BY_ONE):
        assert columns(read(wf.wandb_file(rows), **constants)) == {"loss": [(0, 3.0), (1, 2.0)], "nest.b.c": [(2, 2.5)]}


def test_the_step_comes_from_the_field_or_the_item_or_the_row_before() -> None:
    """A row without a step field takes its ``_step`` item, and without that it follows the row before."""
    rows = [
        wf.history({"x": 1}, None),
        wf.history({"_step": 7}, None),
        wf.history({"x": 2}, None),
        wf.history({"_step": 3}, 90),
    ]
    rows.append(wf.history({"_step": math.nan}, None))
    for constants in (BULK, ONE_BY_ONE):
        assert read(wf.wandb_file(rows), **constants).history_steps.tolist() == [0, 7, 8, 90, 91]


def test_the_last_update_of_the_configuration_wins() -> None:
    """Configuration records come after the run's own, replace values whole, and reach into nested ones by path."""
    nested = wf.record(5, wf.bytes_field(1, wf.item(("model", "d"), "9")))
    removed = wf.record(5, wf.bytes_field(2, wf.item("gone", "")))
    first = wf.run(config={"lr": 1.0, "model": {"d": 3, "name": "x"}, "gone": 1})
    found = read(wf.wandb_file([first, wf.config({"lr": 2.0}), nested, removed]))
    assert found.config == {"lr": 2.0, "model": {"d": 9, "name": "x"}}


def test_the_machine_comes_from_the_environment_or_from_wandbs_own_configuration() -> None:
    """GPU and counts are read from either place; W&B's own configuration is not the user's."""
    machine = {"gpu": "NVIDIA L4", "gpu_count": 2, "cpu_count": 64, "email": "someone@example.org"}
    for data in (
        [wf.environment("NVIDIA L4", 2, 64)],
        [wf.run(config={"_wandb": {"e": {"writer": machine}}})],
        [wf.record(5, wf.bytes_field(1, wf.item(("_wandb", "value", "e", "writer"), json.dumps(machine))))],
    ):
        found = read(wf.wandb_file(data))
        assert (found.gpu_name, found.gpu_count, found.cpu_count, found.config) == ("NVIDIA L4", 2, 64, {})


def test_nothing_personal_comes_out() -> None:
    """E-mail, user, host, entity, project and paths are in the file and nowhere in the answer."""
    private = {name: f"secret-{name}" for name in ("program", "email", "root", "host", "username")}
    names = {name: f"secret-{name}" for name in ("entity", "project", "host")}
    data = wf.wandb_file(
        [wf.run(config={"_wandb": {"e": {"w": private}}}, **names), wf.environment("A100", 8, 1, **private)]
    )
    assert b"secret" in data
    assert "secret" not in said(read(data))
    assert listen(data) == b""


def test_output_that_was_recorded_twice_is_heard_once() -> None:
    """Some versions write each line raw and cooked; the kind that comes first is the console."""
    pieces = [wf.console("a\r"), wf.console("a", kind=4), wf.console("b\n"), wf.console("b", kind=4)]
    assert listen(wf.wandb_file(pieces)) == b"a\rb\n"
    assert listen(wf.wandb_file(pieces[1:])) == b"ab"


def test_an_exit_code_may_be_negative() -> None:
    """A killed process has a negative code, which protobuf writes as ten bytes."""
    assert read(wf.wandb_file(wf.ending(-9))).exit_code == -9
    assert read(wf.wandb_file(wf.ending(255)[:1])).exit_code == 255
    assert not read(wf.wandb_file([wf.run()])).closed


def test_the_summary_keeps_the_last_number_of_a_key() -> None:
    """Summaries are cumulative; W&B's runtime goes to the duration, and a key that is no number any more goes."""
    found = read(wf.wandb_file([wf.summary({"a": 1, "b": 2.5}), wf.summary({"a": "text", "c": math.nan}, nested=True)]))
    assert found.summary["b"] == 2.5
    assert math.isnan(found.summary["c"])
    assert set(found.summary) == {"b", "c"}
    runtime = wf.record(3, wf.bytes_field(1, wf.item(("_wandb", "runtime"), "11")))
    assert read(wf.wandb_file([runtime])).runtime_s == 11


def test_typed_items_are_read() -> None:
    """Version 0.31 of wandb declares items with an integer or a double instead of JSON text; a file that has them is read."""
    integer = wf.bytes_field(1, wf.bytes_field(2, "i") + wf.number_field(5, 7))  # zigzag of -4
    double = wf.bytes_field(1, wf.bytes_field(2, "d") + wf.varint(6 << 3 | 1) + struct.pack("<d", 0.25))
    for constants in (BULK, ONE_BY_ONE):
        assert columns(read(wf.wandb_file([wf.record(2, integer + double)]), **constants)) == {
            "i": [(0, -4.0)],
            "d": [(0, 0.25)],
        }


def test_a_record_may_span_blocks_and_chunks() -> None:
    """Records of every size around the block's, and one longer than a chunk, come out whole and in order."""
    texts = ["x" * size for size in (32_700, 32_768, 40, 65_600, 1_200_000, 32_740, 3)]
    rows = [row for n, text in enumerate(texts) for row in (wf.console(text), wf.history({"n": n}, n))]
    found = read(wf.wandb_file(rows))
    assert listen(wf.wandb_file(rows)) == "".join(texts).encode()
    assert columns(found) == {"n": [(n, float(n)) for n in range(len(texts))]}
    assert found.damage is None
    assert (found.skipped_bytes, found.unread_bytes) == (0, 0)


def test_a_stream_may_give_little_at_a_time() -> None:
    """Short reads, as from a pipe, change nothing."""

    class Drip(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 1 + self.tell() % 3000))

    data = wf.wandb_file(ordinary(600))
    assert said(read_wandb(Drip(data), name="run-x.wandb")) == said(read(data))


# Damage -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        (b"", "empty"),
        (wf.HEADER, "header_only"),
        (wf.HEADER[:4], "truncated"),
        (b"step,loss\n1,2\n", "not_a_wandb_file"),
        (bytes(100), "not_a_wandb_file"),
        (wf.HEADER + b"\x01", "truncated"),
    ],
)
def test_files_without_a_record(data: bytes, damage: str) -> None:
    """A file with nothing to read says why."""
    found = read(data)
    assert (found.damage, found.records, found.closed, found.rows) == (damage, 0, False, 0)
    assert found.size_bytes == len(data)


@pytest.mark.parametrize("constants", [BULK, ONE_BY_ONE], ids=["bulk", "one by one"])
def test_truncation_at_every_offset_keeps_a_prefix(constants: dict[str, int]) -> None:
    """However much of the end is missing, the rows before it are read as they were, and the loss is said."""
    data = wf.wandb_file(ordinary(8))
    whole = columns(read(data))["loss"]
    ends = set()
    for size in range(8, len(data)):
        found = read(data[:size], **constants)
        assert columns(found).get("loss", []) == whole[: found.rows]
        assert accounted(found)
        assert found.damage == ("truncated" if found.unread_bytes else None)
        ends.add(found.rows)
    assert ends == set(range(9))


def test_an_unclosed_run_with_an_unwritten_tail() -> None:
    """Zeros from inside a record to the end of a block are a run that was killed, not a damaged one."""
    data = wf.wandb_file(ordinary(100)[:-4])
    whole = columns(read(data))["loss"]
    for cut in (len(data), len(data) - 3, len(data) - 30, len(data) - 200):
        found = read(data[:cut] + bytes(-cut % wf.BLOCK))
        assert columns(found)["loss"] == whole[: found.rows]
        assert found.rows >= 95
        assert (found.damage, found.closed, found.skipped_bytes) == ("truncated", False, 0)
        assert found.unread_bytes > 0


def test_reading_goes_on_at_the_next_block() -> None:
    """A flipped byte costs the rest of its block, which is counted, and no more."""
    data = bytearray(wf.wandb_file(ordinary(1200)))
    whole = columns(read(bytes(data)))["loss"]
    assert len(data) > 4 * wf.BLOCK
    data[wf.BLOCK + 500] ^= 4
    found = read(bytes(data))
    assert found.damage == "bad_crc"
    assert wf.BLOCK // 2 < found.skipped_bytes < wf.BLOCK + 300
    assert found.unread_bytes == 0
    assert {value for _, value in columns(found)["loss"]} < {value for _, value in whole}
    assert 0.6 * len(whole) < found.rows < len(whole)
    assert found.closed


def test_a_wrong_length_inside_a_record_is_damage() -> None:
    """Protobuf that contradicts itself under a right checksum loses that record only."""
    lying = [
        wf.record(2, wf.varint(1 << 3 | 2) + wf.varint(1 << 50)),
        wf.record(2, b"\xff" * 12),
        b"\x0b",
        b"\x08",
        b"\x00\x00",
    ]
    for constants in (BULK, ONE_BY_ONE):
        found = read(wf.wandb_file([wf.history({"a": 1}), *lying, wf.history({"a": 2}, 1)]), **constants)
        assert columns(found) == {"a": [(0, 1.0), (1, 2.0)]}
        assert (found.damage, found.records) == ("bad_crc", 2)
        assert found.skipped_bytes == sum(map(len, lying)) + 7 * len(lying)


def test_pieces_without_a_beginning_or_an_end_are_skipped() -> None:
    """A middle or last piece on its own, and a first piece that is not continued, are counted and passed over."""
    row = wf.history({"a": 1})
    for broken in (wf.frame(3, row), wf.frame(4, row), wf.frame(2, row), wf.frame(9, row)):
        found = read(wf.HEADER + broken + wf.frame(1, row))
        assert (found.rows, found.damage, found.skipped_bytes) == (1, "bad_crc", len(broken))


def test_deep_and_odd_configuration_is_left_out() -> None:
    """JSON nested beyond reason, cut JSON and paths beyond reason neither crash nor come out."""
    deep = wf.item("deep", "[" * 5000 + "]" * 5000)
    deeper = wf.item("deeper", "[" * 100 + "]" * 100)
    cut = wf.item("cut", '{"a": ')
    path = wf.item(("p",) * 1000, "1")
    digits = wf.item("digits", "9" * 100_000)
    message = b"".join(wf.bytes_field(1, one) for one in (deep, deeper, cut, path, digits, wf.item("fine", "1")))
    assert read(wf.wandb_file([wf.record(5, message)])).config == {"fine": 1}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_after_the_header(data: bytes, bulk: bool) -> None:
    """Whatever follows the header, reading ends, raises nothing and accounts for the bytes."""
    found = read(wf.HEADER + data, **(BULK if bulk else ONE_BY_ONE))
    assert accounted(found)
    assert found.damage in {"header_only", "truncated", "bad_crc"} or found.records


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=8),
    st.sampled_from([b"", b"\x12", b"\x12\x04\x0a", b"\x8a\x01"]),
)
def test_arbitrary_records_under_right_checksums(records: list[bytes], start: bytes) -> None:
    """Records of arbitrary bytes raise nothing, and both ways of reading agree on every one."""
    data = wf.wandb_file([start + payload for payload in records])
    assert said(read(data, **BULK)) == said(read(data, **ONE_BY_ONE))


DAMAGED = wf.wandb_file(ordinary(1000))
LOSSES = [9 - step / 10 for step in range(1000)]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 255))
def test_a_flipped_byte_keeps_what_is_not_beside_it(at: int, flip: int) -> None:
    """One changed byte loses rows of its block at most; what comes out was in the file, in order."""
    data = bytearray(DAMAGED)
    at %= len(data)
    data[at] ^= flip
    found = read(bytes(data), **BULK)
    if found.damage == "not_a_wandb_file":
        assert at < 6
        return
    losses = [value for _, value in columns(found)["loss"]]
    expected = iter(LOSSES)
    assert all(any(value == loss for loss in expected) for value in losses)
    assert found.damage is not None or losses == LOSSES
    assert len(losses) > len(LOSSES) // 2
    assert accounted(found)


# Reading in bulk ----------------------------------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.floats(),
    st.integers(-(10**25), 10**25),
    st.booleans(),
    st.sampled_from(["NaN", "Infinity", "text", "x" * 200, None, [1, 2], {"_type": "histogram", "bins": [0.5] * 40}]),
)
KEYS = st.sampled_from(["loss", "lr", "_step", "train/loss", "é", "a", "a\0", "k" * 140]) | st.text(max_size=4)
ROWS = st.lists(
    st.tuples(st.dictionaries(KEYS, VALUES, max_size=8), st.none() | st.integers(-3, 1 << 40), st.booleans()),
    max_size=20,
)


@settings(max_examples=300, deadline=None)
@given(
    ROWS,
    st.sampled_from(
        [{}, {"before": wf.bytes_field(16, b"\x22\x04abcd")}, {"after": wf.bytes_field(200, b"\x0a\x01x")}]
    ),
)
def test_bulk_and_one_by_one_agree(
    rows: list[tuple[dict[str, object], int | None, bool]], around: dict[str, bytes]
) -> None:
    """Rows of any keys, values, order and surrounding read the same in bulk as one by one."""
    records = [
        wf.history(values, step, num=100 + 30 * n, nested=nested, **around)
        for n, (values, step, nested) in enumerate(rows)
    ]
    records[len(records) // 2 : 0] = [wf.console("between")]
    data = wf.wandb_file(records)
    assert said(read(data, **BULK)) == said(read(data, **ONE_BY_ONE))


def test_bulk_goes_through_many_chunks_keys_and_orders() -> None:
    """Thousands of rows with keys that come, go and change places, among other records, read the same both ways."""
    chance = random.Random(4)
    keys = [f"metric/{n}" for n in range(30)]
    records: list[bytes] = []
    for step in range(6000):
        values = {key: chance.gauss(0, 1) for key in chance.sample(keys, chance.randrange(8))}
        if step % 997 == 0:
            values |= {f"rare/{n}": 1.0 for n in range(700)}  # more items than a row in bulk may have
        records.append(wf.history(values, step, num=step, nested=step > 3000))
        if step % 5 == 0:
            records.append(wf.console("x" * chance.randrange(200)))
    data = wf.wandb_file(records)
    assert len(data) > 1 << 20
    one_by_one = said(read(data, **ONE_BY_ONE))
    assert said(read(data)) == one_by_one
    assert said(read(data, **BULK)) == one_by_one
    assert said(read(data, **BULK, _BULK_KEYS=3, _BULK_ITEMS=6)) == one_by_one


def test_a_key_that_a_row_has_twice_counts_once() -> None:
    """Of the same key twice in a row, in one spelling or two, the last number is the row's."""
    twice = b"".join(wf.bytes_field(1, wf.item(key, text)) for key, text in (("a", "1"), (("a",), "2"), ("a", "true")))
    for constants in (BULK, ONE_BY_ONE):
        found = read(wf.wandb_file([wf.record(2, twice), wf.history({"a": 5}, 1)]), **constants)
        assert columns(found) == {"a": [(0, 2.0), (1, 5.0)]}


def test_without_numpy_the_answer_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy and msgspec only make it faster."""
    data = wf.wandb_file(ordinary(1500))
    expected = said(read(data))
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert said(read(data)) == expected


# Real files ---------------------------------------------------------------------------------------------------------------------------


def test_the_unclosed_run_keeps_its_console() -> None:
    """A run killed on an H200 has four history rows, and its log says iterations 0 to 6813 without a gap."""
    data = corpus_file("nanogpt-wandb-unclosed-h200")
    found = read(data)
    iterations = [int(number) for number in re.findall(rb"^iter (\d+): loss", listen(data), re.MULTILINE)]
    assert iterations == list(range(6814))
    assert (found.rows, found.closed, found.exit_code, found.damage) == (4, False, None, "truncated")
    assert [value for _, value in columns(found)["iter"]] == [0.0, 2000.0, 4000.0, 6000.0]
    assert (found.gpu_name, found.gpu_count, found.cpu_count) == ("NVIDIA H200", 2, 96)
    assert found.config["n_layer"] == 6


def test_the_file_of_seven_bytes() -> None:
    """A run that wrote its header and nothing else."""
    assert read(corpus_file("nanogpt-wandb-7-byte-file")).damage == "header_only"


def test_the_run_without_history() -> None:
    """A run that died of an exception has no rows, its exit code, and the traceback in its console."""
    data = corpus_file("nanogpt-wandb-no-history")
    found = read(data)
    assert (found.rows, found.exit_code, found.closed, found.damage) == (0, 1, True, None)
    assert b"BackendCompilerFailed" in listen(data)


def test_every_real_file_reads_the_same_both_ways() -> None:
    """All files of the corpus are read without a skipped byte, the same in bulk as one by one."""
    paths = sorted(CORPUS.rglob("*.wandb"))
    if not paths:
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    for path in paths:
        data = path.read_bytes()
        found = read(data)
        assert found.skipped_bytes == 0, path
        assert found.damage in {None, "header_only", "truncated"}, path
        assert said(read(data, **BULK)) == said(found), path


# The oracle ---------------------------------------------------------------------------------------------------------------------------


def payloads(data: bytes) -> Iterator[bytes]:
    """Frames of an undamaged file, or of one up to where it ends."""
    at, piece = 7, b""
    while at + 7 <= len(data):
        left = wf.BLOCK - at % wf.BLOCK
        size, kind = struct.unpack_from("<HB", data, at + 4)
        if left < 7:
            at += left
            continue
        if at + 7 + size > len(data):
            return
        piece += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield piece
            piece = b""


def oracle(
    data: bytes, internal: Any
) -> tuple[dict[str, list[tuple[int, float]]], list[int], dict[str, object], bytes]:
    """History, steps, configuration and console as wandb's own classes read them."""
    history: dict[str, list[tuple[int, float]]] = {}
    steps: list[int] = []
    config: dict[str, object] = {}
    console = b""
    for payload in payloads(data):
        record = internal.Record.FromString(payload)
        for message in (record.run.config, record.config):
            config |= {item.key: json.loads(item.value_json) for item in message.update if item.key != "_wandb"}
        console += record.output_raw.line.encode()
        if record.WhichOneof("record_type") == "history":
            row: Mapping[str, object] = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item
            }
            for key, value in row.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    history.setdefault(key, []).append((len(steps), float(value)))
            steps.append(record.history.step.num)
    return history, steps, config, console


def test_wandbs_own_classes_agree_on_real_and_made_up_files() -> None:
    """History, steps, configuration and console equal what wandb's protobuf classes and json give."""
    internal = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    files = [path.read_bytes() for path in sorted(CORPUS.rglob("*.wandb"))]
    for data in [*files, wf.wandb_file(ordinary(3000))]:
        for constants in (BULK, ONE_BY_ONE):
            found = read(data, **constants)
            history, steps, config, console = oracle(data, internal)
            assert columns(found) == history
            assert found.history_steps.tolist() == steps
            assert found.config == config
            assert listen(data) == console
