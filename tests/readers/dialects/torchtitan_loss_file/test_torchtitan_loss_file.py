"""Losses in two columns without a header: read when the file is named for it."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect
from log_files import corpus_case as case
from log_files import points

DIALECT = find_dialect("torchtitan_loss_file")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "losses/made_up.txt") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "losses/made_up.txt") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


ROWS = "".join(f"{n} {8.1 - n / 7}\n" for n in range(1, 30))


def test_every_row_is_a_point() -> None:
    """Steps and losses with all their digits, each with its line."""
    reading = read(ROWS)
    assert points(reading, "train_loss") == [(n, 8.1 - n / 7) for n in range(1, 30)]
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.mode, loss.lines[3]) == ("train", 4)


def test_nan_stays_and_other_lines_are_told() -> None:
    """A NaN loss is kept; a line that is something else is a problem, not a loss."""
    reading = read("1 8.5\n2 nan\nhello\n4 8.25\n")
    assert [step for step, _ in points(reading, "train_loss")] == [1, 2, 4]
    assert reading.problems[0].kind == "broken_record"
    assert reading.problems[0].source.line == 3


def test_a_number_cut_at_the_end_is_left_out() -> None:
    """A file that ends inside a number does not give half of it."""
    assert points(read("1 8.123456\n2 8.012345\n3 7."), "train_loss")[-1][0] == 2


def test_the_name_decides() -> None:
    """Two columns are losses when the name says so; without it they must be named by the user."""
    assert DIALECT.sniff(file_of(ROWS)) >= 0.5
    assert 0.2 <= DIALECT.sniff(file_of(ROWS, "data/table.txt")) < 0.5
    assert DIALECT.sniff(file_of("2 1.5\n1 1.4\n3 1.2\n")) == 0
    assert DIALECT.sniff(file_of("step loss\n1 1.5\n2 1.4\n3 1.2\n")) == 0


def test_nothing_of_it_is_an_error() -> None:
    """A file without any such line is refused with an error of ours."""
    with pytest.raises(InputError):
        read("no numbers here\n")


def test_corpus() -> None:
    """Three reference files are three runs of a hundred steps."""
    found = read_all(case("torchtitan-loss-files"))
    assert len(found.runs) == 3
    ends = {round(loss.values[-1], 6) for run in found.runs if (loss := run.get("train_loss")) is not None}
    assert 2.746472 in ends


@_HARMLESS
@given(data=st.data())
def test_mutations_do_no_harm(data: st.DataObject) -> None:
    """A log that is cut, spliced and sprinkled with odd pieces is read, or refused with an error of ours."""
    text = ROWS
    for _edit in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(text)))
        odd = st.sampled_from(
            ["\n", "\r", "nan", "-1", "inf", "9" * 40, "9" * 400, "|", "{", "'", '"', ": ", "None", "\x1b[31m"]
        )
        piece = data.draw(st.one_of(st.text(max_size=6), odd))
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 12)) :]
    file = InputFile("losses/made_up.txt", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
