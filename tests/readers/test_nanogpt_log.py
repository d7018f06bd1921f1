"""The grammar of nanoGPT's log: exact values with their lines, what is left out, and what is not a log line at all."""

from __future__ import annotations

import io
import math
import tempfile
from array import array
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read
from auscult.readers.files import InputFile, open_path
from auscult.readers.nanogpt_keys import FOUND_VOCAB
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect
from auscult.run import Known, Quantity, Series, Unknown

NOT_PRINTED = Unknown("the log does not print it")


class LogText:
    """What the runs of a log say, one after another."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self.readings = tuple(readings)
        pieces: dict[str, list[Series]] = {}
        for reading in self.readings:
            for item in reading.series:
                pieces.setdefault(item.name, []).append(item)
        self.series = [
            replace(
                parts[0],
                steps=array("q", [x for p in parts for x in p.steps]),
                values=array("d", [x for p in parts for x in p.values]),
                lines=array("q", [x for p in parts for x in p.lines]),
                count=-1,
            )
            for parts in pieces.values()
        ]
        self.problems = tuple(problem for reading in self.readings for problem in reading.problems)
        self.notices = tuple(notice for reading in self.readings for notice in reading.notices)

    def setting(self, key: str) -> Quantity[Any]:
        """Return what the log says of a setting, under its canonical key or nanoGPT's."""
        for reading in self.readings:
            for said in (reading.settings, reading.raw):
                if key in said:
                    return said[key]
        return NOT_PRINTED


def read_log(path: Path, name: str) -> LogText:
    return LogText(find_dialect("nanogpt").read(open_path(path, name)))


def sniff(text: str) -> float:
    return find_dialect("nanogpt").sniff(InputFile("x.log", lambda: io.BytesIO(text.encode())))


def log_of(tmp_path: Path, *lines: str, end: str = "\n") -> LogText:
    """Read a log made of these lines; ``end`` stands after the last one."""
    path = tmp_path / "train.log"
    path.write_text("\n".join(lines) + end, encoding="utf-8", newline="")
    return read_log(path, "train.log")


def series(log: LogText, name: str) -> Series:
    found = [item for item in log.series if item.name == name]
    assert len(found) == 1, f"{name} is not among {[item.name for item in log.series]}"
    return found[0]


def points(log: LogText, name: str) -> list[tuple[int, float, int]]:
    """Return ``(step, value, line)`` of a series."""
    found = series(log, name)
    return list(zip(found.steps, found.values, found.lines, strict=True))


def names(log: LogText) -> set[str]:
    return {item.name for item in log.series}


def test_the_lines_of_a_normal_log(tmp_path: Path) -> None:
    """Step and iter lines give five series with exact values, and the line of each."""
    log = log_of(
        tmp_path,
        "step 0: train loss 10.8684, val loss 10.8727",
        "iter 0: loss 10.8720, time 32025.45ms, mfu -100.00%",
        "iter 200: loss 6.2977, time 3917.80ms, mfu 12.87%",
        "step 500: train loss 5.4354, val loss 5.5328",
        "saving checkpoint to out-fineweb",
    )
    assert points(log, "train_loss_eval") == [(0, 10.8684, 1), (500, 5.4354, 4)]
    assert points(log, "val_loss") == [(0, 10.8727, 1), (500, 5.5328, 4)]
    assert points(log, "train_loss") == [(0, 10.8720, 2), (200, 6.2977, 3)]
    assert points(log, "step_time_s") == [(0, 32025.45 * 1e-3, 2), (200, 3917.80 * 1e-3, 3)]
    assert points(log, "mfu") == [(200, 12.87 / 100, 3)]
    assert log.problems == ()
    assert [(notice.kind, notice.count) for notice in log.notices] == [("checkpoint", 1)]


def test_series_say_how_they_were_measured(tmp_path: Path) -> None:
    """The step line's losses are measured in eval mode on their split; the iter line's loss in train mode."""
    log = log_of(tmp_path, "step 0: train loss 1.0000, val loss 2.0000", "iter 0: loss 3.0000, time 90.00ms, mfu 1.00%")
    assert (series(log, "train_loss_eval").split, series(log, "train_loss_eval").mode) == ("train", "eval")
    assert (series(log, "val_loss").split, series(log, "val_loss").mode) == ("val", "eval")
    assert (series(log, "train_loss").split, series(log, "train_loss").mode) == ("train", "train")
    assert series(log, "val_loss").unit == "nats_per_token"
    assert series(log, "step_time_s").unit == "s"
    assert series(log, "val_loss").source(0).place == "train.log:1"


@pytest.mark.parametrize(
    "prefix",
    [
        "[rank0]: ",
        "[2025-01-31 12:00:00] ",
        "2025-01-31 12:00:00,123 | ",
        "2025-01-31T12:00:00Z ",
        "0: ",
        "(train pid=123) ",
        "  ",
        "<stdout> ",
        "\x1b[32m[rank3]:\x1b[0m ",
    ],
)
def test_prefixes_are_passed_over(tmp_path: Path, prefix: str) -> None:
    """Timestamps, ranks and colours before a record change nothing."""
    log = log_of(
        tmp_path,
        prefix + "step 100: train loss 3.1234, val loss 3.2345",
        prefix + "iter 100: loss 3.3456, time 90.00ms, mfu 30.00%",
    )
    assert points(log, "val_loss") == [(100, 3.2345, 1)]
    assert points(log, "train_loss") == [(100, 3.3456, 2)]


CUTS = [
    ("iter 200: loss 6.29", set[str]()),
    ("iter 200: loss 6", set()),
    ("iter 200: loss 6.", set()),
    ("iter 200: loss ", set()),
    ("iter 200: lo", set()),
    ("step 500: train loss 5.4354, val loss 5.53", set()),
    ("step 500: train loss 5.4354, val loss ", set()),
    ("step 500: train loss 5.43", set()),
]


@pytest.mark.parametrize(("cut", "expected"), CUTS)
def test_a_cut_last_line_is_dropped_and_reported(tmp_path: Path, cut: str, expected: set[str]) -> None:
    """A file that ends inside a number gives no value from it, and one problem that names the line."""
    log = log_of(tmp_path, "iter 0: loss 10.8720, time 32025.45ms, mfu -100.00%", cut, end="")
    assert points(log, "train_loss") == [(0, 10.8720, 1)]
    assert names(log) == {"train_loss", "step_time_s"} | expected
    assert [(problem.kind, problem.source.line) for problem in log.problems] == [("broken_record", 2)]
    assert cut.strip() in (log.problems[0].source.text or "")


@pytest.mark.parametrize("length", range(len("iter 200: loss 6.2977, time 3917.80ms, mfu 12.87%") + 1))
def test_no_cut_of_a_record_gives_a_wrong_number(tmp_path: Path, length: int) -> None:
    """Wherever the file ends inside a record, what is read is either absent or exactly what was printed."""
    text = "iter 200: loss 6.2977, time 3917.80ms, mfu 12.87%"
    log = log_of(tmp_path, "iter 0: loss 10.8720, time 32025.45ms, mfu -100.00%", text[:length], end="")
    truth = {"train_loss": 6.2977, "step_time_s": 3.9178, "mfu": 0.1287}
    for item in log.series:
        for step, value in zip(item.steps, item.values, strict=True):
            if step != 0:
                assert step == 200
                assert value == pytest.approx(truth[item.name])


@pytest.mark.parametrize("length", range(len("step 500: train loss 5.4354, val loss 15.5328") + 1))
def test_no_cut_of_an_evaluation_gives_a_wrong_number(tmp_path: Path, length: int) -> None:
    """Wherever the file ends inside an evaluation, either both of its losses are read exactly or neither is."""
    text = "step 500: train loss 5.4354, val loss 15.5328"
    log = log_of(tmp_path, "iter 0: loss 10.8720, time 32025.45ms, mfu -100.00%", text[:length], end="")
    assert [points(log, name) for name in ("train_loss_eval", "val_loss") if name in names(log)] in (
        [],
        [[(500, 5.4354, 2)], [(500, 15.5328, 2)]],
    )


@pytest.mark.parametrize("keys", ["^[[A", "\x1b[A", ""])
def test_a_record_split_by_a_key_press_is_not_a_loss(tmp_path: Path, keys: str) -> None:
    """An arrow key that broke a record in two leaves no loss of 3: the record is reported instead."""
    log = log_of(
        tmp_path,
        "iter 0: loss 10.8720, time 90.00ms, mfu -100.00%",
        "iter 10: loss 3",
        f"{keys}.1234, time 90.00ms, mfu 30.00%",
        "iter 20: loss 3.0000, time 90.00ms, mfu 30.00%",
    )
    assert points(log, "train_loss") == [(0, 10.8720, 1), (20, 3.0, 4)]
    assert [problem.source.line for problem in log.problems] == [2]


def test_escape_sequences_inside_a_number_are_removed(tmp_path: Path) -> None:
    """A real escape sequence inside a number is stripped, and the number is whole."""
    log = log_of(tmp_path, "iter 10: loss 3\x1b[A.1234, time 90.00ms, mfu 30.00%")
    assert points(log, "train_loss") == [(10, 3.1234, 1)]


def test_losses_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    """NaN and infinite losses are data: a diverged run must show them."""
    log = log_of(
        tmp_path,
        "iter 10: loss nan, time 90.00ms, mfu 30.00%",
        "iter 20: loss inf, time 90.00ms, mfu 30.00%",
        "step 20: train loss nan, val loss nan",
        "step 30: train loss inf, val loss 3.1234",
    )
    values = series(log, "train_loss").values
    assert math.isnan(values[0])
    assert values[1] == math.inf
    assert math.isnan(series(log, "val_loss").values[0])
    assert series(log, "train_loss_eval").values[1] == math.inf
    assert series(log, "val_loss").values[1] == 3.1234
    assert log.problems == ()


def test_the_mfu_sentinel_is_left_out(tmp_path: Path) -> None:
    """-100.00 %, which nanoGPT prints before it has measured, is not an MFU."""
    log = log_of(tmp_path, *[f"iter {i}: loss 9.0000, time 90.00ms, mfu -100.00%" for i in range(5)])
    assert names(log) == {"train_loss", "step_time_s"}


def test_what_the_trainer_says_about_itself(tmp_path: Path) -> None:
    """Parameters as an interval, tokens with commas, the vocabulary and the decayed parameters, with their lines."""
    log = log_of(
        tmp_path,
        "tokens per iteration will be: 524,288",
        "found vocab_size = 65 (inside data/shakespeare_char/meta.pkl)",
        "number of parameters: 40.56M",
        "num decayed parameter tensors: 50, with 40,943,616 parameters",
        "num non-decayed parameter tensors: 25, with 9,600 parameters",
        "iter 0: loss 4.1234, time 90.00ms, mfu -100.00%",
    )
    assert repr(log.setting("logged.tokens_per_step")) == "Known(524288, train.log:1)"
    assert repr(log.setting(FOUND_VOCAB)) == "Known(65, train.log:2)"
    assert repr(log.setting("logged.parameters")) == "Known((40555000, 40565000), train.log:3)"
    assert repr(log.setting("logged.parameters_2d")) == "Known(40943616, train.log:4)"


@pytest.mark.parametrize(
    ("printed", "interval"),
    [
        ("0.80", (795_000, 805_000)),
        ("123.59", (123_585_000, 123_595_000)),
        ("1555.97", (1_555_965_000, 1_555_975_000)),
        ("7", (6_500_000, 7_500_000)),
    ],
)
def test_the_interval_of_a_printed_count(tmp_path: Path, printed: str, interval: tuple[int, int]) -> None:
    """The interval is half a unit of the last digit printed, to either side."""
    log = log_of(tmp_path, f"number of parameters: {printed}M")
    counted = log.setting("logged.parameters")
    assert isinstance(counted, Known)
    assert counted.value == interval


def test_what_is_not_printed_is_unknown(tmp_path: Path) -> None:
    """A log without the trainer's own figures leaves them unknown."""
    log = log_of(tmp_path, "iter 0: loss 4.1234, time 90.00ms, mfu -100.00%")
    for quantity in (
        log.setting("logged.parameters"),
        log.setting("logged.parameters_2d"),
        log.setting("logged.tokens_per_step"),
        log.setting(FOUND_VOCAB),
    ):
        assert isinstance(quantity, Unknown)


ECHO = [
    "Overriding config with config/train_x.py:",
    "# a config of ~125M parameters",
    "wandb_run_name = 'gpt2-124M'",
    "",
    "batch_size = 16",
    "gradient_accumulation_steps = 32",
    "n_embd = 384",
    "",
    "Overriding: batch_size = 8",
    "tokens per iteration will be: 262,144",
    "iter 0: loss 10.8720, time 90.00ms, mfu -100.00%",
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("before", [0, 3])
def test_an_echoed_config_points_into_the_log(tmp_path: Path, newline: str, before: int) -> None:
    """A config that the trainer echoed is read, each value with its line in the log, whatever the newline."""
    lines = ["starting"] * before + ECHO
    path = tmp_path / "train.log"
    path.write_bytes((newline.join(lines) + newline).encode())
    run = read(path)
    shape = run.recipe.architecture
    assert repr(shape.d_model) == f"Known(384, train.log:{lines.index('n_embd = 384') + 1})"
    assert (
        repr(run.recipe.gradient_accumulation_steps)
        == f"Known(32, train.log:{lines.index('gradient_accumulation_steps = 32') + 1})"
    )
    assert repr(run.recipe.batch_size) == f"Known(8, train.log:{lines.index('Overriding: batch_size = 8') + 1})"
    claims = {(comment.text, comment.source.line) for comment in run.comments}
    assert ("# a config of ~125M parameters", before + 2) in claims
    assert ("gpt2-124M", before + 3) in claims
    assert isinstance(shape.n_layer, Known)
    assert shape.n_layer.source.how == "default"


def test_an_echo_that_output_interrupts_keeps_what_was_read(tmp_path: Path) -> None:
    """Output that is not Python and no known end of the echo cuts it there; the values before it stand."""
    log = tmp_path / "train.log"
    log.write_text(
        "\n".join(
            [
                "Overriding config with config/x.py:",
                "n_layer = 4",
                "n_embd = 128",
                "some library: hello world",
                "iter 0: loss 4.1234, time 90.00ms, mfu -100.00%",
            ]
        )
        + "\n"
    )
    run = read(log)
    assert repr(run.recipe.architecture.n_layer) == "Known(4, train.log:2)"
    assert repr(run.recipe.architecture.d_model) == "Known(128, train.log:3)"
    assert run.get("train_loss") is not None


def test_a_resumed_log_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    """Steps that go back after a restart stay as printed, and the last pass has each step once, the later one."""
    log = log_of(
        tmp_path,
        *[f"iter {i}: loss {9 - i / 1000:.4f}, time 90.00ms, mfu 30.00%" for i in (0, 100, 200, 300)],
        "Resuming training from out",
        *[f"iter {i}: loss {8 - i / 1000:.4f}, time 90.00ms, mfu 30.00%" for i in (200, 300, 400)],
    )
    assert list(series(log, "train_loss").steps) == [0, 100, 200, 300, 200, 300, 400]
    assert list(series(log, "train_loss").lines) == [1, 2, 3, 4, 6, 7, 8]
    latest = series(log, "train_loss").latest_pass()
    assert list(latest.steps) == [0, 100, 200, 300, 400]
    assert list(latest.values) == [9.0, 8.9, 7.8, 7.7, 7.6]
    assert "resumed" in {notice.kind for notice in log.notices}


LOOK_ALIKES = [
    'print(f"iter {iter_num}: loss {lossf:.4f}, time {dt*1000:.2f}ms, mfu {running_mfu*100:.2f}%")',
    "print(f\"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}\")",
    'f"iter {iter_num}: loss {lossf:.4f}"',
    "iter N: loss F, time Fms, mfu F%",
    "for iter 5 the loss was 3.1234",
    "iteration 5: loss 3.1234, time 90.00ms",
    "step_500: train loss 3.1234, val loss 3.2345",
    "iter -5: loss 3.1234, time 90.00ms, mfu 30.00%",
    "iter 5.5: loss 3.1234, time 90.00ms, mfu 30.00%",
    "iter 5: loss abc, time xyz",
    "iter 5: no loss here",
    "wandb: train/loss 3.1234",
]


@pytest.mark.parametrize("line", LOOK_ALIKES)
def test_look_alikes_are_not_read(tmp_path: Path, line: str) -> None:
    """Source code, documentation and prose that resemble a record give no value."""
    log = log_of(tmp_path, line)
    assert names(log) == set()


def test_two_records_run_together_are_not_mixed(tmp_path: Path) -> None:
    """When two processes write onto one line, the second record's loss is not given to the first record's step."""
    one, two = "iter 10: loss 3.1111, time 90.00ms, mfu 30.00%", "iter 20: loss 2.2222, time 91.00ms, mfu 31.00%"
    for glue in ("", " ", "\t"):
        log = log_of(tmp_path, one + glue + two)
        truth = {(10, 3.1111), (20, 2.2222)}
        found = {
            (step, value)
            for item in log.series
            if item.name == "train_loss"
            for step, value in zip(item.steps, item.values, strict=True)
        }
        assert found <= truth, glue


def test_a_validation_loss_is_not_a_training_loss(tmp_path: Path) -> None:
    """A modified trainer's "iter 5: train loss …, val loss …" does not give its validation loss as a training loss."""
    log = log_of(tmp_path, "iter 5: train loss 3.1111, val loss 2.2222")
    assert 2.2222 not in {value for item in log.series if item.name == "train_loss" for value in item.values}


@pytest.mark.parametrize(
    "line",
    [
        "number of parameters: " + "9" * 400 + "M",
        "tokens per iteration will be: " + "9" * 400,
        "tokens per iteration will be: ,,,",
        "found vocab_size = " + "9" * 400,
        "iter " + "9" * 400 + ": loss 3.1234, time 90.00ms, mfu 30.00%",
        "iter 5: loss " + "9" * 400 + ".1234, time 90.00ms, mfu 30.00%",
        "iter 5: loss 1e999, time 1e999ms, mfu 1e999%",
        "Overriding: n_layer = " + "-" * 100_000 + "1",
        "Overriding: n_layer = " + "(" * 1000,
        "Overriding: n_layer = 'abc",
    ],
    ids=lambda line: line[:32],
)
def test_absurd_figures_do_not_crash(tmp_path: Path, line: str) -> None:
    """Figures of absurd size, and overrides that are no Python, are read or left out, without an exception."""
    path = tmp_path / "train.log"
    path.write_text(line + "\niter 10: loss 3.1234, time 90.00ms, mfu 30.00%\n")
    run = read(path)
    found = run.get("train_loss")
    assert found is not None
    assert (found.steps[-1], found.values[-1]) == (10, 3.1234)


def test_a_figure_that_cannot_be_right_is_not_another_figure(tmp_path: Path) -> None:
    """A step or a token count of thirty digits is left out, not cut to its first eighteen."""
    log = log_of(
        tmp_path,
        "tokens per iteration will be: " + "1" * 30,
        "iter " + "1" * 30 + ": loss 3.1234, time 90.00ms, mfu 30.00%",
        "iter 10: loss 3.1234, time 90.00ms, mfu 30.00%",
    )
    assert list(series(log, "train_loss").steps) == [10]
    assert isinstance(log.setting("logged.tokens_per_step"), Unknown)


def test_notices_are_counted_with_their_first_line(tmp_path: Path) -> None:
    """The harmless SM warning, an out-of-memory error and a traceback are noticed, with the first line of each."""
    log = log_of(
        tmp_path,
        "W0131 12:00:00.000000 123 torch/_inductor/utils.py:1137] [0/0] Not enough SMs to use max_autotune_gemm mode",
        "iter 0: loss 10.8720, time 90.00ms, mfu -100.00%",
        "Traceback (most recent call last):",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 6.14 GiB.",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 6.14 GiB.",
        "KeyboardInterrupt",
    )
    found = {notice.kind: (notice.source.line, notice.count) for notice in log.notices}
    assert found == {"sm_gate": (1, 1), "traceback": (3, 1), "out_of_memory": (4, 2), "interrupted": (6, 1)}


@pytest.mark.parametrize(
    ("printed", "unit"), [("BPC", "bits_per_character"), ("bpb", "bits_per_byte"), ("nats", "nats_per_token")]
)
def test_a_unit_behind_the_losses(tmp_path: Path, printed: str, unit: str) -> None:
    """Forks print bits per character with the unit behind the number: an evaluation stays an evaluation."""
    log = log_of(
        tmp_path,
        f"step 0: train loss 6.2000 {printed}, val loss 6.1000 {printed}",
        f"iter 0: loss 6.3000 {printed}, time 52.10ms, mfu -100.00%",
        f"iter 10: loss 4.5000 {printed}, time 51.10ms, mfu 7.09%",
        f"step 10: train loss 4.4000 {printed}, val loss 4.6000 {printed}",
    )
    assert points(log, "train_loss") == [(0, 6.3, 2), (10, 4.5, 3)]
    assert points(log, "train_loss_eval") == [(0, 6.2, 1), (10, 4.4, 4)]
    assert points(log, "val_loss") == [(0, 6.1, 1), (10, 4.6, 4)]
    assert {series(log, name).unit for name in ("train_loss", "train_loss_eval", "val_loss")} == {unit}
    assert len(series(log, "step_time_s")) == 2


def test_sniffing() -> None:
    """A record makes a text a nanoGPT log; prose and another trainer's lines do not."""
    assert sniff("iter 0: loss 10.8720, time 90.00ms, mfu -100.00%") >= 0.9
    assert sniff("x\n[rank0]: step 500: train loss 5.4354, val loss 5.5328") >= 0.9
    assert sniff("number of parameters: 40.56M") >= 0.5
    assert sniff("hello world") == 0.0
    assert sniff("{'loss': 3.1234, 'step': 10}") == 0.0


FINITE = st.floats(0, 20, allow_nan=False)
RECORD = st.tuples(
    st.integers(0, 10**7),
    st.one_of(FINITE, st.sampled_from([math.nan, math.inf])),
    st.floats(0.01, 1e6),
    st.floats(0, 250),
)


@settings(database=None, derandomize=True, deadline=None, max_examples=120)
@given(
    records=st.lists(RECORD, min_size=1, max_size=20),
    evaluations=st.lists(st.tuples(st.integers(0, 10**7), FINITE, FINITE), max_size=5),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_was_printed_is_read_back(
    records: list[tuple[int, float, float, float]], evaluations: list[tuple[int, float, float]], newline: str
) -> None:
    """Every value printed in nanoGPT's formats is read back exactly as printed, in order, with its line."""
    lines = [f"iter {s}: loss {loss:.4f}, time {ms:.2f}ms, mfu {mfu:.2f}%" for s, loss, ms, mfu in records]
    lines += [f"step {s}: train loss {a:.4f}, val loss {b:.4f}" for s, a, b in evaluations]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.log"
        path.write_bytes((newline.join(lines) + newline).encode())
        log = read_log(path, "train.log")
    losses = series(log, "train_loss")
    assert list(losses.steps) == [step for step, *_ in records]
    assert list(losses.lines) == list(range(1, len(records) + 1))
    assert [f"{v:.4f}" for v in losses.values] == [f"{loss:.4f}" for _s, loss, *_ in records]
    assert [f"{1000 * v:.2f}" for v in series(log, "step_time_s").values] == [f"{ms:.2f}" for _s, _l, ms, _m in records]
    assert [f"{100 * v:.2f}" for v in series(log, "mfu").values] == [f"{mfu:.2f}" for *_, mfu in records]
    if evaluations:
        assert points(log, "val_loss") == [
            (step, float(f"{val:.4f}"), len(records) + 1 + i) for i, (step, _train, val) in enumerate(evaluations)
        ]
    assert log.problems == ()
