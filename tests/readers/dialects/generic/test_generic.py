"""Logs of no known trainer: forms, counters, runs, and all that must not be taken for a log."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from log_files import file_of
from log_files import notice_kinds as notices

DIALECT = find_dialect("generic")
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


SAMPLE = [f"step {i * 10} | loss {5 - i / 10:.4f} | lr {0.001:.6f} | grad_norm {1 + i:.2f}" for i in range(1, 13)]
FORMS = [
    "step {s} | loss {l:.4f} | lr 0.0003",
    "step={s} loss={l:.4f} lr=3e-4",
    "step: {s}, loss: {l:.4f}, lr: 3e-04",
    "[Step {s}/5000] loss={l:.4f}, lr=0.0003",
    "{{'loss': {l:.4f}, 'lr': 0.0003, 'step': {s}}}",
    '{{"step": {s}, "train_loss": {l:.4f}, "lr": 0.0003}}',
    "2024-01-01 12:00:01,123 - INFO - train.py:33 - step={s} train/loss={l:.4f}, lr=0.0003",
    "Iteration {s}: train loss {l:.4f}, learning rate 0.0003",
    "global_step {s} loss tensor({l:.4f}, device='cuda:0', grad_fn=<NllLossBackward0>) lr 0.0003",
    "[{s}/5000] loss: {l:.4f} lr: 0.0003 (12.5 s)",
    "it {s} loss = {l:.4f}; lr = 0.0003",
]


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    """A counter and a loss in any of the usual forms are read, with the learning rate beside them."""
    lines = [form.format(s=i * 100, l=5 - i / 10) for i in range(1, 9)]
    file = file_of("\n".join(["hello", *lines]) + "\n")
    assert DIALECT.sniff(file) == 0.5
    reading = one("hello", *lines)
    assert points(reading, "train_loss") == [(i * 100, pytest.approx(5 - i / 10)) for i in range(1, 9)]
    assert points(reading, "learning_rate") == [(i * 100, 0.0003) for i in range(1, 9)]
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.mode, loss.window, loss.axis, loss.lines[0]) == ("unknown", "not said", "step", 2)


def test_names_and_units() -> None:
    """Synonyms are one metric, units are converted, and other names stay as they are."""
    lines = [f"step {i} valid loss 2.{i} ppl: 9.0{i} dt: 120ms mfu: 35.0% acc=0.5 tok/s 1,234" for i in range(1, 8)]
    reading = one(*lines)
    assert points(reading, "val_loss")[0] == (1, 2.1)
    assert points(reading, "ppl")[0] == (1, 9.01)
    assert points(reading, "mfu")[0] == (1, pytest.approx(0.35))
    assert points(reading, "acc")[0] == (1, 0.5)
    assert points(reading, "tokens_per_s")[0] == (1, 1234.0)
    val = reading.get("val_loss")
    assert val is not None
    assert (val.mode, val.split) == ("eval", "val")


@pytest.mark.parametrize("name", ["eval_loss", "val_loss", "valid loss", "validation loss", "eval/loss"])
def test_synonyms_of_the_validation_loss(name: str) -> None:
    """What people call a validation loss is one metric."""
    assert points(one(*[f"step {i}: {name}: {3 - i / 10:.3f}" for i in range(6)]), "val_loss")[0] == (0, 3.0)


def test_steps_that_begin_anew_in_every_epoch() -> None:
    """Where the counter starts again with each epoch, steps are put together, and the series says how."""
    lines = [
        f"Epoch [{e}/3], Step [{s}/300], Loss: {5 - e / 10 - s / 1000:.4f}" for e in (1, 2, 3) for s in (100, 200, 300)
    ]
    reading = one(*lines)
    assert [step for step, _loss in points(reading, "train_loss")] == list(range(100, 1000, 100))
    loss = reading.get("train_loss")
    assert loss is not None
    assert "epoch" in loss.convention


def test_steps_that_go_through_epochs() -> None:
    """A counter that goes on over epochs is left as it is."""
    lines = [f"epoch {1 + s // 300} step {s}/900 loss {5 - s / 1000:.3f}" for s in range(100, 901, 100)]
    assert [step for step, _loss in points(one(*lines), "train_loss")] == list(range(100, 901, 100))


def test_a_table_row_form() -> None:
    """The word-language-model form, with the counter before its name, is read."""
    lines = [
        f"| epoch   1 | {b:5d}/ 2983 batches | lr 5.00 | ms/batch 12.3 | loss {8 - b / 1000:.2f} | ppl 3750.1"
        for b in range(200, 2000, 200)
    ]
    assert points(one(*lines), "train_loss")[:2] == [(200, 7.8), (400, 7.6)]


def test_epochs_alone() -> None:
    """Without steps the epoch is the axis, and the series says so."""
    reading = one(*[f"Epoch {e}/8 - train loss: {3 - e / 10:.3f} - val loss: {3.1 - e / 10:.3f}" for e in range(1, 9)])
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.axis, list(loss.steps)) == ("epoch", list(range(1, 9)))


def test_no_counter_at_all() -> None:
    """Losses without any counter stand at the number of their record, and the series says so."""
    lines = [f"loss: {3 - i / 10:.3f}" for i in range(12)]
    assert DIALECT.sniff(file_of("\n".join(lines))) == 0.5
    loss = one(*lines).get("train_loss")
    assert loss is not None
    assert (loss.axis, list(loss.steps)) == ("row", list(range(1, 13)))


def test_losses_that_are_not_finite() -> None:
    """A loss that is not a number is kept as it is."""
    values = [
        value
        for _step, value in points(one(*SAMPLE, "step 130 | loss nan | lr 0.001000 | grad_norm inf"), "train_loss")
    ]
    assert values[-1] != values[-1]


def test_two_runs_and_a_crash() -> None:
    """Runs one after another, and what ended them, are told as in every log."""
    first, second = readings(*SAMPLE, "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", *SAMPLE)
    assert len(points(first, "train_loss")) == len(points(second, "train_loss")) == 12
    assert "out_of_memory" in notices(first)


def test_a_last_value_that_may_be_cut() -> None:
    """A last line without its end gives no value that could be cut; the file is said to be truncated."""
    reading = one(*SAMPLE, "step 130 | loss 3.1", end="")
    assert len(points(reading, "train_loss")) == 12
    assert "truncated" in notices(reading)


NOT_LOGS = {
    "prose": "The loss at step 100 was 2.5 and we saw it fall. At step 200 the loss was 2.3, then it rose.\n" * 20,
    "benchmark table": "| step | loss | val loss |\n|---|---|---|\n"
    + "".join(f"| {i} | {3 - i / 10:.2f} | 3.1 |\n" for i in range(20)),
    "source": "".join(
        f"    print(f'step {{step}} loss {{loss:.4f}} lr {{lr}}')\n    loss = criterion(x, {i})\n" for i in range(20)
    ),
    "comments": "".join(f"# step {i}: loss {3 - i / 10:.2f}\n" for i in range(20)),
    "requirements": "torch==2.1.0\nnumpy>=1.26\ntransformers==4.40.0\n" * 10,
    "config": "learning_rate: 0.0003\nloss_weight: 0.5\nstep_size: 10\nmax_steps: 1000\n" * 5,
    "list": "".join(f"- step {i}: loss {3 - i / 10:.2f}\n" for i in range(20)),
    "no loss": "".join(f"step {i} lr 0.001\n" for i in range(20)),
    "few": "step 1 loss 3.0\nstep 2 loss 2.9\n",
    "unordered": "".join(f"step {i * 7919 % 101} loss 3.{i}\n" for i in range(30)),
}


@pytest.mark.parametrize("kind", list(NOT_LOGS))
def test_what_is_no_log(kind: str) -> None:
    """Prose, tables, programs, configs and lists are not taken for a run."""
    assert DIALECT.sniff(file_of(NOT_LOGS[kind], "x.txt")) < 0.5


@pytest.mark.parametrize("name", ["train.py", "config.yaml", "x.json", "metrics.csv", "metrics.jsonl", "run.sh"])
def test_other_kinds_of_files(name: str) -> None:
    """Programs, configs and tables are other dialects' business, whatever stands in them."""
    assert DIALECT.sniff(file_of("\n".join(SAMPLE), name)) == 0


OTHERS = [
    ("iter {s}: loss {l:.4f}, time 90.00ms, mfu 30.00%", "nanogpt"),
    ("Epoch 1 | iter {s} step {s} | loss train: {l:.3f}, val: n/a | iter time: 250.50 ms (step)", "litgpt"),
    ("iteration: {s} / 15000 | consumed_tokens: 1.05M | lm_loss: {l:.2f} | lr: 0.0003", "nanotron"),
    ("step: {s}  acc: 0  loss:  {l:.4f}  grad: 1.25e+00  flops: 3.10e+14", "lingua"),
    ("[rank 0] Step: {s:<5d} | Loss: {l:.4f} | Global batch size:   1.05M | Tokens/s: 120.00K", "picotron"),
]


@pytest.mark.parametrize(("form", "name"), OTHERS)
def test_it_is_the_last_resort(form: str, name: str) -> None:
    """Where a trainer is recognised, its own dialect reads the log."""
    dialect = recognise(file_of("\n".join(form.format(s=i * 10, l=5 - i / 10) for i in range(1, 12))))[1]
    assert dialect is not None
    assert dialect.name == name


def test_nothing_else_claims_a_plain_log() -> None:
    """A plain log of steps and losses is read by this dialect."""
    lines = [f"step={i * 10} train_loss={5 - i / 10:.4f} lr=0.001" for i in range(1, 13)]
    assert recognise(file_of("\n".join(lines)))[1] is DIALECT


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
