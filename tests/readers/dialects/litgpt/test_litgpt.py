"""Litgpt's lines of all its versions, its printed hyperparameters, and what its steps count."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read
from auscult.readers.reading import Reading
from auscult.readers.registry import find_dialect, recognise
from auscult.run import Unknown
from log_files import file_of, plain, points
from log_files import notice_kinds as notices

DIALECT = find_dialect("litgpt")
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


DICT = [
    "{'checkpoint_dir': PosixPath('/data/checkpoints/some/base'),",
    " 'data': Stories(mask_prompt=False,",
    "                 style=<litgpt.prompts.Default object at 0x7f00>,",
    "                 folder=PosixPath('data/stories')),",
    " 'devices': 2,",
    " 'eval': EvalArgs(interval=50, max_new_tokens=None, max_iters=20),",
    " 'lora_r': 8,",
    " 'optimizer': \"{'class_path': 'torch.optim.AdamW', 'init_args': {'lr': 0.0004, 'betas': [0.9, 0.95]}}\",",
    " 'precision': 'bf16-true',",
    " 'train': TrainArgs(log_interval=1,",
    "                    global_batch_size=16,",
    "                    micro_batch_size=2,",
    "                    lr_warmup_steps=10,",
    "                    max_steps=60,",
    "                    max_seq_length=256,",
    "                    max_norm=1.0)}",
]
SETUP = ["Seed set to 1", "Number of trainable parameters: 1,000,448", "Number of non-trainable parameters: 9,000,000"]


def new(iteration: int, step: int, loss: float, val: str = "n/a", end: str = "") -> str:
    """Return a record as litgpt prints it since 2024."""
    mark = " (step)" if iteration == 4 * step else ""
    return (
        f"Epoch 1 | iter {iteration} step {step} | loss train: {loss:.3f}, val: {val} | iter time: 250.50 ms{mark}{end}"
    )


SAMPLE = [
    *DICT,
    *SETUP,
    *[new(i, i // 4, 4 - i / 50) for i in range(1, 13)],
    "iter 12: val loss 3.9012, val time: 900.10 ms",
]


def test_records_of_2024() -> None:
    """A record gives the running mean of the train loss and the iteration's seconds; the repeated validation is left out."""
    reading = one(*SAMPLE, new(13, 3, 3.7, "3.901"), new(14, 3, 3.6, "3.901"))
    assert points(reading, "train_loss")[:2] == [(1, 3.98), (2, 3.96)]
    assert points(reading, "train_loss")[-1] == (14, 3.6)
    assert points(reading, "val_loss") == [(12, 3.9012)]
    assert points(reading, "iter_time_s")[0] == (1, 0.2505)
    loss = reading.get("train_loss")
    assert loss is not None
    assert (loss.mode, loss.scope) == ("train", "rank")
    assert "running mean" in loss.window
    assert loss.lines[0] == len(DICT) + len(SETUP) + 1
    assert "steps_are_iterations" in notices(reading)


def test_hyperparameters() -> None:
    """The printed dict gives batch, accumulation over both devices, schedule and optimiser, each with its line."""
    reading = one(*SAMPLE)
    assert plain(reading, "recipe.batch_size") == 2
    assert plain(reading, "recipe.world_size") == plain(reading, "machine.gpu_count") == 2
    assert plain(reading, "recipe.gradient_accumulation_steps") == 8
    assert plain(reading, "recipe.max_steps") == 60
    assert plain(reading, "recipe.warmup_steps") == 10
    assert plain(reading, "recipe.learning_rate") == 0.0004
    assert plain(reading, "recipe.beta2") == 0.95
    assert plain(reading, "recipe.optimizer") == "AdamW"
    assert plain(reading, "recipe.dtype") == "bfloat16"
    assert plain(reading, "recipe.eval_interval") == 50
    assert plain(reading, "recipe.grad_clip") == 1.0
    assert plain(reading, "recipe.dataset") == "Stories"
    assert plain(reading, "architecture.context") == 256
    assert repr(reading.settings["recipe.batch_size"]) == "Known(2, train.log:12)"
    assert reading.noted["litgpt.lora_r"].value == 8


def test_parameters_trained_and_frozen() -> None:
    """The total is what is trained and what is not; where only one figure is printed, it is called what it is."""
    assert plain(one(*SAMPLE), "logged.parameters") == (10_000_448, 10_000_448)
    alone = one("Number of trainable parameters: 1,000,448", new(1, 1, 3.0))
    assert (plain(alone, "logged.parameters_convention"), plain(alone, "logged.parameters")) == (
        "trainable",
        (1_000_448,) * 2,
    )
    total = one("Total parameters: 1,100,048", new(1, 1, 3.0))
    assert (plain(total, "logged.parameters_convention"), plain(total, "logged.parameters")) == (
        "total",
        (1_100_048,) * 2,
    )


def test_an_iteration_is_a_step_without_accumulation() -> None:
    """Where the optimiser steps at every iteration, its seconds are those of a step, and nothing is said of iterations."""
    reading = one(*[new(i, i, 3.0) for i in range(1, 5)])
    assert points(reading, "step_time_s")[0] == (1, 0.2505)
    assert notices(reading) == set()


def test_remaining_time_and_an_initial_validation() -> None:
    """Newer versions add the remaining time; a validation before the first record is kept as a fact."""
    reading = one(new(1, 1, 3.0, "4.210", " remaining time: 1 day, 0:10:00"))
    assert points(reading, "train_loss") == [(1, 3.0)]
    assert reading.noted["litgpt.initial_val_loss"].value == 4.21


OLD = [
    ("iter 0 step 1: loss 10.9123, iter time: 500.00ms (optimizer.step)", (0, 10.9123)),
    ("iter 7 step 2: loss 9.5000, train time: 500.00ms", (7, 9.5)),
    ("iter 16 | step 4: loss 8.2500, iter time: 500.00 ms (optimizer.step), remaining time: 1.25 days", (16, 8.25)),
    ("iter 16 step 4: loss 8.2500, iter time: 500.00 ms, (optimizer.step) remaining time: 1.25 days", (16, 8.25)),
    ("iter 5: loss 7.1250, time: 500.00ms, speed: 1234 toks/s/device", (5, 7.125)),
    ("iter 5: loss 7.1250, time: 500.00ms", (5, 7.125)),
    ("iter 5: loss nan, time: 500.00ms, speed: - toks/s/device", None),
]


@pytest.mark.parametrize(("line", "point"), OLD)
def test_records_of_2023(line: str, point: tuple[int, float] | None) -> None:
    """The forms of lit-llama, lit-parrot and lit-gpt give the loss at the iteration, and its seconds."""
    reading = one(line)
    assert points(reading, "train_loss") == ([point] if point else [])
    if point:
        assert [value for _step, value in points(reading, "iter_time_s") or points(reading, "step_time_s")] == [0.5]


@pytest.mark.parametrize(
    "line",
    [
        "step 100: val loss 3.2500, val time: 12.00ms",
        "step 100: val loss 3.2500",
        "iter 100: val loss 3.2500, val time: 12.00 ms",
    ],
)
def test_validations(line: str) -> None:
    """A validation stands at its iteration, whether the line calls it a step or not."""
    assert points(one(line), "val_loss") == [(100, 3.25)]


def test_the_final_evaluation_stands_at_the_last_iteration() -> None:
    """The last validation, printed without a counter, belongs to the last iteration, with what it is."""
    reading = one(new(1, 1, 3.0), new(2, 2, 2.9), "Final evaluation | val loss: 3.105 | val ppl: 22.309")
    assert points(reading, "val_loss") == [(2, 3.105)]


def test_hyperparameters_of_2023() -> None:
    """Module-level names give the recipe; accumulation is per device, and unknown where their number is."""
    before = "{'eval_interval': 1000, 'eval_iters': 100, 'learning_rate': 0.0006, 'batch_size': 125, 'micro_batch_size': 5, 'gradient_accumulation_steps': 25, 'max_iters': 600000, 'weight_decay': 0.1, 'beta1': 0.9, 'beta2': 0.95, 'grad_clip': 1.0, 'min_lr': 6e-05}"
    reading = one(before, "iter 0 step 0: loss 10.9000, iter time: 90.00ms")
    assert plain(reading, "recipe.batch_size") == 5
    assert isinstance(reading.settings["recipe.gradient_accumulation_steps"], Unknown)
    known = one(
        before.replace("'eval_iters'", "'devices': 4, 'eval_iters'"), "iter 0 step 0: loss 10.9000, iter time: 90.00ms"
    )
    assert plain(known, "recipe.gradient_accumulation_steps") == 100


def test_the_shape_that_versions_of_2023_print() -> None:
    """The model's config, printed as it is loaded, gives the shape."""
    line = "Loading model with {'name': 'tiny', 'block_size': 512, 'vocab_size': 60, 'padded_vocab_size': 64, 'n_layer': 3, 'n_head': 4, 'n_embd': 48, 'n_query_groups': 2, 'intermediate_size': 96, 'bias': False}"
    reading = one(line, "iter 0 step 0: loss 4.1000, iter time: 90.00ms")
    assert [
        plain(reading, f"architecture.{k}")
        for k in ("n_layer", "n_head", "d_model", "n_kv_head", "d_ff", "vocab_size", "context")
    ] == [3, 4, 48, 2, 96, 64, 512]
    assert plain(reading, "architecture.bias") is False


def test_the_end_belongs_to_the_run_that_ended() -> None:
    """Figures after the last record stay with their run when another begins; both runs are told apart by their dicts."""
    end = ["| - Total tokens  : 8,192", "| - Training Time : 12.50 s", "| - Memory Used   : 3.25 GB"]
    first, second = readings(*SAMPLE, *end, *DICT, new(1, 0, 5.0), new(2, 0, 4.9))
    assert plain(first, "logged.tokens_seen") == 8192
    assert first.noted["litgpt.training_time_s"].value == 12.5
    assert "logged.tokens_seen" not in second.settings
    assert "several_runs_in_file" in notices(second)


def test_a_cut_record_is_no_record() -> None:
    """A file that ends inside a record gives nothing of it."""
    whole = new(2, 0, 3.25)
    for size in range(14, len(whole) - 1):
        reading = one(new(1, 0, 3.5), whole[:size], end="")
        assert points(reading, "train_loss") == [(1, 3.5)], whole[:size]


def test_a_page_that_quotes_a_log() -> None:
    """In Markdown the quoted lines are read, and it is said where they stand."""
    reading = one("# How to", "```", *SAMPLE, "```", name="how.md")
    assert "log_inside_markdown" in notices(reading)
    assert len(points(reading, "train_loss")) == 12


def test_sniff() -> None:
    """Its lines are unmistakable; nanoGPT's, which begin alike, are not its own."""
    for text in ("\n".join(SAMPLE), *(line for line, point in OLD if point)):
        assert recognise(file_of(text))[1] is DIALECT, text
    nanogpt = "iter 10: loss 3.1234, time 90.00ms, mfu 30.00%"
    assert DIALECT.sniff(file_of(nanogpt)) == 0
    assert DIALECT.sniff(file_of("the loss of iteration 3 was 2.1")) == 0


def test_the_corpus_tutorial() -> None:
    """The ten records that the tutorial quotes are read as its facts say."""
    corpus = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))  # CORPUS
    if not (corpus / "litgpt-tutorial-log").is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {corpus}")
    run = read(corpus / "litgpt-tutorial-log")
    loss = run.get("train_loss")
    assert loss is not None
    assert (loss.count, loss.steps[0], loss.values[0], loss.steps[-1], loss.values[-1]) == (10, 1, 1.646, 10, 1.524)
    assert "log_inside_markdown" in {notice.kind for notice in run.notices}


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
