"""Golden values: padding is no divergence, a real NaN is one, times are where they were sampled."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Known, Unknown
from log_files import corpus_case as case
from log_files import notice_counts as notices
from log_files import plain, points

DIALECT = find_dialect("megatron_golden_json")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def file_of(text: str, name: str = "golden_values_dev_dgx_h100.json") -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(text: str, name: str = "golden_values_dev_dgx_h100.json") -> Reading:
    (reading,) = DIALECT.read(file_of(text, name))
    return reading


def golden(**changes: dict[str, object]) -> str:
    def metric(values: dict[str, object]) -> dict[str, object]:
        return {"start_step": 1, "end_step": 30, "step_interval": 5, "values": values}

    steps = ("1", "5", "10", "15", "20", "25", "30")
    loss = dict(zip(steps, (10.9, 10.5, 9.75, 9.5, 9.25, "nan", "nan"), strict=True))
    zeros = dict(zip(steps, (100.0, 90.0, 80.0, 70.0, 60.0, "nan", "nan"), strict=True))
    times = dict(zip(steps, (8.0, "nan", 0.25, "nan", 0.24, "nan", "nan"), strict=True))
    values = {"lm loss": loss, "num-zeros": zeros, "iteration-time": times, **changes}
    return json.dumps({name: metric(each) for name, each in values.items()}, indent=4)


LOG = golden()


def test_padding_is_left_out_and_told() -> None:
    """Trailing "nan" strings of every metric are no values, and the notice counts those of the loss."""
    reading = read(LOG)
    assert points(reading, "train_loss") == [(1, 10.9), (5, 10.5), (10, 9.75), (15, 9.5), (20, 9.25)]
    assert points(reading, "step_time_s") == [(1, 8.0), (10, 0.25), (20, 0.24)]
    assert notices(reading)["padding_nan"] == 2


def test_a_loss_of_nan_beside_other_values_is_one() -> None:
    """Where other metrics of the iteration have values, the loss was not a number."""
    steps = ("1", "5", "10", "15", "20", "25", "30")
    reading = read(golden(**{"lm loss": dict(zip(steps, (10.9, "nan", 9.0, "nan", 8.0, "nan", "nan"), strict=True))}))
    values = dict(points(reading, "train_loss"))
    assert math.isnan(values[5])
    assert math.isnan(values[15])
    assert 25 not in values


def test_every_point_has_its_line() -> None:
    """In a file with a value a line, each point names it."""
    loss = read(LOG).get("train_loss")
    assert loss is not None
    assert LOG.split("\n")[loss.lines[2] - 1].strip().startswith('"10": 9.75')


def test_older_lists() -> None:
    """Plain lists are sampled every step_interval from the first iteration."""
    text = json.dumps({"lm loss": {"start_step": 0, "end_step": 15, "step_interval": 5, "values": [10.8, 10.7, 10.1]}})
    assert points(read(text), "train_loss") == [(1, 10.8), (6, 10.7), (11, 10.1)]


def test_the_machine_is_in_the_name() -> None:
    """The file's name says which machine it was; another name says nothing."""
    assert plain(read(LOG), "machine.gpu_name") == "DGX H100"
    assert "machine.gpu_name" not in read(LOG, "golden_values_dev.json").settings


def test_odd_values_do_no_harm() -> None:
    """Steps and values that are none are passed over."""
    odd = {"lm loss": {"values": {"x": 1.0, "5": None, "6": True, "7": "high", "8": 10**400, "9": 2.5}}}
    assert points(read(json.dumps(odd)), "train_loss")[-1] == (9, 2.5)


def test_it_knows_its_own() -> None:
    """It is recognised by its steps; any other JSON is not, and is refused."""
    assert recognise(file_of(LOG))[1] is DIALECT
    assert DIALECT.sniff(file_of('{"loss": [1, 2]}', "results.json")) == 0
    with pytest.raises(InputError):
        read('{"loss": [1, 2]}')


def test_corpus() -> None:
    """The real 15B values end at iteration 50,860, with 28 values of padding."""
    path = case("megatron-golden-15b-h100") / "golden_values_dev_dgx_h100.json"
    (reading,) = DIALECT.read(open_path(path, path.name))
    found = points(reading, "train_loss")
    assert (found[0], found[-1], len(found)) == ((1, 12.95636), (50_860, 2.07335), 10_173)
    assert notices(reading)["padding_nan"] == 28
    assert all(math.isfinite(value) for _, value in found)


def test_corpus_two_jobs() -> None:
    """Two jobs in a folder are two runs, one of a single value, each with its own config."""
    found = read_all(case("megatron-golden-small-resume"))
    assert sorted(len(run.get("train_loss") or ()) for run in found.runs) == [1, 21]
    assert all(isinstance(run.recipe.architecture.n_layer, Known) for run in found.runs)
    assert not any(isinstance(run.recipe.batch_size, Unknown) for run in found.runs)


@_HARMLESS
@given(data=st.data())
def test_mutations_do_no_harm(data: st.DataObject) -> None:
    """A log that is cut, spliced and sprinkled with odd pieces is read, or refused with an error of ours."""
    text = LOG
    for _edit in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(text)))
        odd = st.sampled_from(
            ["\n", "\r", "nan", "-1", "inf", "9" * 40, "9" * 400, "|", "{", "'", '"', ": ", "None", "\x1b[31m"]
        )
        piece = data.draw(st.one_of(st.text(max_size=6), odd))
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 12)) :]
    file = InputFile("golden_values_dev_dgx_h100.json", lambda: io.BytesIO(text.encode("utf-8", "replace")), len(text))
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        readings = tuple(DIALECT.read(file))
    except InputError:
        return
    for reading in readings:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines) > 0
