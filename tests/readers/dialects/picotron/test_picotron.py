"""Picotron's lines in three versions, its rounded numbers and its fixed peak."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Known
from log_files import file_of, plain
from log_files import notice_kinds as notices

DIALECT = find_dialect("picotron")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


def readings(*lines: str, end: str = "\n", name: str = "train.log") -> list[Reading]:
    """Return what the dialect reads of these lines."""
    return list(DIALECT.read(file_of("\n".join(lines) + end, name)))


def one(*lines: str, end: str = "\n", name: str = "train.log") -> Reading:
    """Return the only run in these lines."""
    (reading,) = readings(*lines, end=end, name=name)
    return reading


def points(reading: Reading, name: str) -> list[tuple[int, object]]:
    """Return a series as pairs of step and value."""
    series = reading.get(name)
    return [] if series is None else list(zip(series.steps, series.values, strict=True))


def rec(step: int, loss: float = 6.1234, rank: int = 0) -> str:
    """Return a record of the present version."""
    return (
        f"[rank {rank}] Step: {step:<5d} | Loss: {loss:6.4f} | Global batch size:   1.05M | Tokens/s: 120.00K | "
        f"Tokens/s/GPU:  15.00K | Tokens: {step * 1.05:6.2f}M/1.00B | MFU: 40.12% | Memory usage:  45.67GB"
    )


SAMPLE = [
    "Tokens per step: 1.05M",
    "rank 0: Creating model config",
    "Number of parameters: 1.24B",
    *[rec(i, 7 - i / 10) for i in range(1, 9)],
]


def test_records() -> None:
    """A record gives loss, throughput, tokens, MFU and memory in the field's units; what is rounded says so."""
    reading = one(*SAMPLE)
    assert points(reading, "train_loss")[:2] == [(1, 6.9), (2, 6.8)]
    assert points(reading, "tokens_per_s")[0] == (1, 120_000.0)
    assert points(reading, "tokens_per_s_per_gpu")[0] == (1, 15_000.0)
    assert points(reading, "tokens_seen")[0] == (1, 1.05e6)
    assert points(reading, "mfu")[0] == (1, pytest.approx(0.4012))
    assert points(reading, "memory_bytes")[0] == (1, pytest.approx(45.67e9))
    loss, seen = reading.get("train_loss"), reading.get("tokens_seen")
    assert loss is not None
    assert seen is not None
    assert (loss.scope, loss.lines[0]) == ("global", 4)
    assert "rounded" in seen.convention


def test_the_peak_behind_its_mfu() -> None:
    """The MFU is a share of an H100's peak whatever the card, which is a default of picotron's and says so."""
    peak = one(*SAMPLE).settings["logged.mfu_peak_flops_per_s"]
    assert isinstance(peak, Known)
    assert (peak.value, peak.source.how) == (989.5e12, "default")


def test_rounded_counts_are_intervals_or_facts() -> None:
    """Parameters are an interval; a rounded batch or budget is no setting."""
    reading = one(*SAMPLE)
    assert plain(reading, "logged.parameters") == (1_235_000_000, 1_245_000_000)
    assert "logged.tokens_per_step" not in reading.settings
    assert reading.noted["picotron.tokens_per_step"].value == 1.05e6
    assert reading.noted["picotron.max_tokens"].value == 1e9


OLDER = [
    "[rank 0] Step: 3, Loss: 5.2500, Global batch size: 4.10K, Tokens/s: 1.20K, Tokens/s/GPU: 600.00, Tokens: 12.29K/1.00M, Memory usage: 2.50GB",
    "[rank 0] Step: 3, Loss: 5.2500, Global batch size: 4096, Tokens: 12288/1000000",
    "[rank 0] Step: 3, Loss: 5.2500, Tokens: 12288/1000000",
    "Step: 3, Loss: 5.2500, Tokens: 12288/1000000",
]


@pytest.mark.parametrize("line", OLDER)
def test_older_versions(line: str) -> None:
    """Fields between commas are read alike; counts that are printed whole are exact."""
    reading = one(line)
    assert points(reading, "train_loss") == [(3, 5.25)]
    if "/1000000" in line:
        assert plain(reading, "logged.tokens_planned") == 1_000_000
    if "4096" in line:
        assert plain(reading, "logged.tokens_per_step") == 4096


def test_ranks() -> None:
    """Where several processes print, one of them is the run."""
    reading = one(*[rec(step, 5.0 + rank, rank) for step in range(1, 6) for rank in (0, 1)])
    assert {value for _step, value in points(reading, "train_loss")} == {5.0}
    assert "ranks_interleaved" in notices(reading)


def test_a_cut_record_gives_no_wrong_number() -> None:
    """Wherever the file ends inside a record, what is read of it is what was printed."""
    whole, truth = rec(2), {s.name: s.values[0] for s in one(rec(2)).series}
    for size in range(14, len(whole)):
        reading = one(rec(1), whole[:size], end="")
        for series in reading.series:
            for step, value in zip(series.steps, series.values, strict=True):
                assert step == 1 or value == truth[series.name], whole[:size]


def test_sniff() -> None:
    """Lines of all versions with a rank are recognised; other steps and losses are not."""
    for text in ("\n".join(SAMPLE), *OLDER[:3]):
        assert recognise(file_of(text))[1] is DIALECT
    assert DIALECT.sniff(file_of("Step: 3, Loss: 5.25")) == 0


@_HARMLESS
@given(st.integers(0, 3000), st.text(max_size=6), st.integers(0, 40), st.booleans())
def test_whatever_is_changed_gives_readings_or_an_input_error(at: int, put: str, cut: int, end: bool) -> None:
    """A log with characters put in and taken out anywhere gives readings, or an error of ours."""
    text = "\n".join(SAMPLE)
    at %= len(text) + 1
    text = text[:at] + put + text[at + cut :] + ("\n" if end else "")
    try:
        found = list(DIALECT.read(file_of(text)))
    except InputError:
        return
    for reading in found:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines)


@_HARMLESS
@given(st.text(max_size=300))
def test_any_text_gives_readings_or_an_input_error(text: str) -> None:
    """Arbitrary text gives readings, or an error of ours, and is sniffed without harm."""
    file = file_of(text)
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        list(DIALECT.read(file))
    except InputError:
        return
