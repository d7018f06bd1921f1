"""What holds for every dialect: its own example is its own, strangers' bytes do no harm, and its page says what it does."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import all_dialects
from auscult.readers.files import HEAD_BYTES, InputFile
from auscult.readers.reading import Dialect, Reading
from auscult.readers.registry import find_dialect, is_tracker

ROOT = Path(__file__).resolve().parents[2]
EVERY = all_dialects()
each_dialect = pytest.mark.parametrize("dialect", EVERY, ids=lambda d: d.name)
NAMES = (
    "train.log",
    "trainer_state.json",
    "config.yaml",
    "metrics.csv",
    "run.toml",
    "x.jsonl",
    "notes.md",
    "a.ipynb",
    "x",
)


def in_memory(data: bytes, name: str = "train.log") -> InputFile:
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read_or_refuse(dialect: Dialect, file: InputFile) -> tuple[Reading, ...]:
    """Read a file; an error of ours is as good as a reading."""
    try:
        score = dialect.sniff(file)
        assert 0.0 <= score <= 1.0
        readings = tuple(dialect.read(file))
    except InputError:
        return ()
    for reading in readings:
        assert isinstance(reading, Reading)
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0, series.name
            assert series.count >= len(series.steps)
            assert series.mode in ("train", "eval", "unknown")
            assert series.scope in ("rank", "global", "unknown")
    return readings


@each_dialect
def test_it_says_what_it_reads(dialect: Dialect) -> None:
    """A dialect has a name for the command line, an example, and sentences on what is read and what cannot be known."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", dialect.name)
    for text in (dialect.title, dialect.example, dialect.reads, dialect.cannot, dialect.source):
        assert text.strip()
    assert len(dialect.reads.split()) >= 4
    assert find_dialect(dialect.name.replace("_", "-")) is dialect


@each_dialect
def test_it_has_its_tests(dialect: Dialect) -> None:
    """Every dialect has a folder of tests of its own."""
    homes = [
        ROOT / "tests" / "readers" / "dialects" / dialect.name,
        ROOT / "tests" / "readers" / f"test_{dialect.name}.py",
        ROOT / "tests" / "readers" / f"test_{dialect.name}_log.py",
    ]
    assert any(home.exists() for home in homes), f"write tests/readers/dialects/{dialect.name}/test_{dialect.name}.py"


@each_dialect
@settings(database=None, derandomize=True, deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutations_of_the_example_do_no_harm(dialect: Dialect, data: st.DataObject) -> None:
    """An example that is cut, repeated, spliced with bytes or sprinkled with odd characters is read or refused."""
    base = dialect.example.encode()
    text = bytearray(base * data.draw(st.integers(1, 3)))
    for _edit in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b"\n", b"\r", b"nan", b"-1", b"9" * 400, b"\x1b[31m", b"{", b'"']),
            )
        )
        text[at : at + data.draw(st.integers(0, 12))] = piece
    read_or_refuse(dialect, in_memory(bytes(text), data.draw(st.sampled_from(NAMES))))


@each_dialect
@settings(database=None, derandomize=True, deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=400), name=st.sampled_from(NAMES))
def test_any_bytes_do_no_harm(dialect: Dialect, data: bytes, name: str) -> None:
    """Whatever the bytes, reading them as this dialect gives readings or an error of ours."""
    read_or_refuse(dialect, in_memory(data, name))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        read_or_refuse(dialect, InputFile(name, lambda: path.open("rb"), len(data), path))


@each_dialect
@pytest.mark.parametrize("mark", [b"\n", b" \n", b"a:\n", b"{"], ids=repr)
def test_a_look_takes_no_time(dialect: Dialect, mark: bytes) -> None:
    """A head of nothing but blanks or of one mark costs a look no more than a log does: no pattern goes over it twice."""
    data = (mark * HEAD_BYTES)[: HEAD_BYTES // 4]
    for name in NAMES:
        file = in_memory(data, name)
        start = time.process_time()
        with contextlib.suppress(InputError):
            dialect.sniff(file)
        assert time.process_time() - start < 3, name


def test_trackers_say_that_they_are() -> None:
    """Trackers and plain tables are told from trainers by a field of theirs; an unknown name is no tracker."""
    assert is_tracker("wandb")
    assert is_tracker("csv")
    assert not is_tracker("nanogpt")
    assert not is_tracker("no such dialect")


def test_names_are_unique() -> None:
    """No two dialects share a name."""
    names = [dialect.name for dialect in EVERY]
    assert len(set(names)) == len(names)
