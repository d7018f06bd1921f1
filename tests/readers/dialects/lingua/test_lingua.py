"""Meta Lingua's step lines, ranks, micro-batches and figures."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from log_files import file_of, plain, points
from log_files import notice_kinds as notices

DIALECT = find_dialect("lingua")
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


def stamp(text: str, rank: str = "0: ", second: int = 0) -> str:
    """Return a message as Lingua's formatter writes it."""
    return f"{rank}INFO    24-10-21 12:00:{second:02d}.123456 - 0:00:{second:02d} - {text}"


def rec(step: int, loss: float = 8.1234, acc: int = 0, grad: str = "1.25e+00", rank: str = "0: ") -> str:
    """Return a record."""
    return stamp(
        f"step: {step}  acc: {acc}  loss: {loss:>7}  grad: {grad}  flops: 3.10e+14  wps: 4.50e+04  iter:  0.3456"
        f"  data: 0.0001  lr: 3.00e-05  mem: 45%  pow: 400.125 W",
        rank,
    )


SAMPLE = [
    stamp("Starting job: small_run"),
    stamp("Running on dp size : 8"),
    stamp("Model size: 1,234,567 total parameters"),
    stamp("GPU capacity: NVIDIA H100 80GB HBM3 (0) with 79.11GiB memory"),
    *[rec(step, round(9 - step / 10, 4)) for step in range(1, 8)],
]


def test_records() -> None:
    """A record gives loss, norm, rate, throughput and power at its step in the field's units."""
    reading = one(*SAMPLE)
    assert points(reading, "train_loss")[:2] == [(1, 8.9), (2, 8.8)]
    assert points(reading, "grad_norm")[0] == (1, 1.25)
    assert points(reading, "tflops_per_gpu")[0] == (1, 310.0)
    assert points(reading, "tokens_per_s_per_gpu")[0] == (1, 45000.0)
    assert points(reading, "iter_time_s")[0] == (1, 0.3456)
    assert points(reading, "learning_rate")[0] == (1, 3e-5)
    assert points(reading, "memory_fraction")[0] == (1, 0.45)
    assert points(reading, "power_w")[0] == (1, 400.125)
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.scope, loss.mode, loss.lines[0]) == ("rank", "train", 5)


def test_figures() -> None:
    """The job, the parameters, the card and the data-parallel ranks are kept with their lines."""
    reading = one(*SAMPLE)
    assert plain(reading, "recipe.run_name") == "small_run"
    assert plain(reading, "logged.parameters") == (1_234_567, 1_234_567)
    assert plain(reading, "machine.gpu_name") == "NVIDIA H100 80GB HBM3"
    assert reading.noted["lingua.data_parallel_ranks"].value == 8


def test_the_norm_of_a_step_that_was_not_taken() -> None:
    """Between optimiser steps the norm is -1, which is no norm; micro-batches are no ranks."""
    lines = [
        rec(step, 5.0 + acc / 10, acc, "1.50e+00" if acc == 0 else "-1.00e+00")
        for step in range(1, 9)
        for acc in (0, 1)
    ]
    reading = one(*lines)
    assert {value for _step, value in points(reading, "grad_norm")} == {1.5}
    assert notices(reading) == {"several_records_a_step"}


def test_ranks() -> None:
    """Under torchrun every process prints with its number; one of them is the run."""
    lines = [rec(step, 5.0 + rank, rank=f"{rank}: ") for step in range(1, 6) for rank in (0, 1)]
    reading = one(*lines)
    assert {value for _step, value in points(reading, "train_loss")} == {5.0}
    assert "ranks_interleaved" in notices(reading)


def test_without_a_rank() -> None:
    """Under Slurm the formatter leaves the number out."""
    assert len(points(one(*[rec(step, rank="") for step in (1, 2)]), "train_loss")) == 2


def test_a_validation() -> None:
    """A validation on a source gives nats per token at the last step."""
    line = stamp(
        "Validation on /data/val.jsonl done. Metrics: defaultdict(<class 'list'>, {'nll': 512.0, 'nll_per_token': 3.25, 'nll_per_char': 0.9})"
    )
    assert points(one(*SAMPLE, line), "val_loss") == [(7, 3.25)]


def test_another_job_is_another_run() -> None:
    """train.log is appended to: a new start is a run of its own, or the same one taken up again where steps go on."""
    first, second = readings(*SAMPLE, *SAMPLE)
    assert len(points(first, "train_loss")) == len(points(second, "train_loss")) == 7


def test_a_cut_record_is_no_record() -> None:
    """Wherever the file ends inside a record, nothing of it is read."""
    whole = rec(2)
    start = whole.index("step:") + 14
    for size in range(start, len(whole) - 1):
        assert points(one(rec(1), whole[:size], end=""), "train_loss") == [(1, 8.1234)]


def test_sniff() -> None:
    """Its two spaces between fields are its own."""
    assert recognise(file_of("\n".join(SAMPLE)))[1] is DIALECT
    assert DIALECT.sniff(file_of("step: 3 loss: 2.1 grad: 3")) == 0


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
