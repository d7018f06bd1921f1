"""OLMo's YAML: durations, tokens turned into steps, gated widths, defaults, a long list of data read quickly."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read
from auscult.readers.dialects.olmo_config import DIALECT
from config_files import case_files, file_of, line_of, mangled, plain, read_one, survives, why

TEXT = """\
run_name: made-up
seed: 1
wandb:
  name: ${run_name}
model:
  d_model: 64
  n_heads: 4
  n_layers: 3
  mlp_ratio: 8
  weight_tying: false
  include_bias: false
  activation_type: swiglu
  residual_dropout: 0.0
  max_sequence_length: 256
  vocab_size: 1000
  embedding_size: 1024
optimizer:
  name: adamw
  learning_rate: 4.0e-4
  betas:
  - 0.9
  - 0.95
scheduler:
  name: cosine_with_warmup
  units: tokens
  t_warmup: 81920
  t_max: 1e6
  alpha_f: 0.1
max_duration: 5e5T
global_train_batch_size: 16
device_train_microbatch_size: 4
precision: amp_bf16
max_grad_norm: 1.0
eval_interval: 100
fsdp:
  precision: mixed
data:
  paths:
  - /weka/somewhere/part-0.npy
evaluators: []
"""


def test_settings() -> None:
    """Tokens of the budget and of the schedule come out in steps; the gated MLP is half as wide as its projection."""
    reading = read_one(DIALECT, TEXT, "olmo.yaml")
    found = plain(reading)
    assert (found["n_layer"], found["d_ff"], found["vocab_size"], found["family"]) == (3, 256, 1024, "olmo")
    assert (found["tokens_per_step"], found["gradient_accumulation_steps"]) == (4096, 4)
    assert (found["max_steps"], found["tokens_planned"]) == (123, 500_000)
    assert (found["warmup_steps"], found["decay_steps"], found["min_lr"]) == (20, 244, 4e-5)
    assert (found["weight_decay"], found["run_name"], found["dtype"]) == (0.01, "made-up", "bfloat16")
    assert line_of(reading, "architecture.context") == 14


@pytest.mark.parametrize(
    ("said", "steps"),
    [("300", 300), ("1ep", None), ("5e5T\nstop_at: 60", 60), ("5e5T\nstop_at: 600", 123), ("${x}", None)],
)
def test_durations(said: str, steps: int | None) -> None:
    """Steps, tokens and an earlier stop are understood; epochs and open references say why not."""
    reading = read_one(DIALECT, TEXT.replace("max_duration: 5e5T", f"max_duration: {said}"), "olmo.yaml")
    assert plain(reading).get("max_steps") == steps
    if steps is None:
        assert why(reading, "recipe.max_steps")


def test_schedule_in_steps() -> None:
    """Without units the schedule counts steps."""
    text = (
        TEXT.replace("  units: tokens\n", "")
        .replace("t_warmup: 81920", "t_warmup: 7")
        .replace("t_max: 1e6", "t_max: 90")
    )
    found = plain(read_one(DIALECT, text, "olmo.yaml"))
    assert (found["warmup_steps"], found["decay_steps"]) == (7, 90)


def test_olmo2() -> None:
    """Norms after the layers and on the queries make it an OLMo 2."""
    text = TEXT.replace("model:\n", "model:\n  norm_after: true\n  attention_layer_norm: true\n")
    assert plain(read_one(DIALECT, text, "olmo.yaml"))["family"] == "olmo2"


def test_saved_config() -> None:
    """The config that a run saves has each device's batch, and with it the number of devices."""
    found = plain(read_one(DIALECT, TEXT + "device_train_batch_size: 4\n", "config.yaml"))
    assert found["world_size"] == 4


def test_long_lists_are_fast() -> None:
    """A config that lists thousands of files is read at once."""
    text = TEXT.replace(
        "  - /weka/somewhere/part-0.npy\n", "".join(f"  - /weka/x/part-{i}.npy\n" for i in range(20_000))
    )
    begun = time.monotonic()
    assert plain(read_one(DIALECT, text, "olmo.yaml"))["max_steps"] == 123
    assert time.monotonic() - begun < 10


def test_leaves_others_alone() -> None:
    """llm-foundry has the same words, and a loader."""
    assert DIALECT.sniff(file_of(TEXT + "train_loader:\n  name: text\n", "a.yaml")) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(TEXT), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "olmo.yaml")


def test_corpus() -> None:
    """OLMo 2 1B: 4e12 tokens in 1,907,349 steps, of a cosine that would have lasted for 5e12; its second stage stops early."""
    first, second = case_files(
        "config-olmo2",
        "configs/official-0425/OLMo2-1B-stage1.yaml",
        "configs/official-0425/OLMo2-1B-stage2-seed42.yaml",
    )
    run = read(first)
    assert "1907349" in repr(run.recipe.max_steps)
    assert "2384186" in repr(run.recipe.decay_steps)
    assert "23842" in repr(read(second).recipe.max_steps)
