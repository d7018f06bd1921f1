"""levanter's YAML: shares and steps, batches that follow a schedule, the precision that is computed in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.dialects.levanter_config import DIALECT
from auscult.run import Known
from config_files import file_of, line_of, mangled, plain, read_one, survives, why

TEXT = """\
data: !include data/made_up.yaml
model:
  type: gpt2
  hidden_dim: 64
  num_heads: 4
  num_layers: 3
  seq_len: 256
trainer:
  tracker:
    project: "x"
    name: a-run
  mp: p=f32,c=bfloat16
  per_device_parallelism: 4
  train_batch_size: 32
  num_train_steps: 1000
optimizer:
  learning_rate: 1E-3
  weight_decay: 0.1
  warmup: 0.02
  min_lr_ratio: 0.2
"""


def test_settings() -> None:
    """A share of the steps comes out in steps; the batch counts sequences over all devices."""
    reading = read_one(DIALECT, TEXT, "small.yaml")
    found = plain(reading)
    assert (found["n_layer"], found["d_ff"], found["family"], found["bias"]) == (3, 256, "gpt2", True)
    assert (found["batch_size"], found["gradient_accumulation_steps"], found["tokens_per_step"]) == (4, 8, 8192)
    assert (found["warmup_steps"], found["min_lr"], found["schedule"], found["decay_steps"]) == (
        20,
        2e-4,
        "cosine",
        1000,
    )
    assert (found["dtype"], found["run_name"], found["beta2"]) == ("bfloat16", "a-run", 0.95)
    assert line_of(reading, "recipe.learning_rate") == 17


def test_defaults_of_the_class() -> None:
    """A llama's missing numbers are its class's, and say so."""
    reading = read_one(DIALECT, TEXT.replace("type: gpt2", "type: llama"), "small.yaml")
    width = reading.settings["architecture.d_ff"]
    assert isinstance(width, Known)
    assert (width.value, width.source.how) == (11008, "default")


def test_whole_share_at_once() -> None:
    """A parallelism of -1 leaves the micro-batch to the number of devices."""
    reading = read_one(DIALECT, TEXT.replace("parallelism: 4", "parallelism: -1"), "small.yaml")
    assert "share" in why(reading, "recipe.batch_size")
    assert plain(reading)["tokens_per_step"] == 8192


def test_batch_schedule() -> None:
    """A batch that grows has no one number of tokens."""
    text = TEXT.replace(
        "train_batch_size: 32", "train_batch_size:\n    - start: 0\n      value: 32\n    - start: 10\n      value: 64"
    )
    assert "schedule" in why(read_one(DIALECT, text, "small.yaml"), "logged.tokens_per_step")


def test_late_decay() -> None:
    """A decay over a last share of the steps makes a schedule with a constant part."""
    assert plain(read_one(DIALECT, TEXT + "  decay: 0.3\n", "small.yaml"))["schedule"] == "wsd"


@pytest.mark.parametrize(
    "text", ["trainer:\n  max_epochs: 3\nmodel:\n  hidden_dim: 8\noptimizer:\n  lr: 1\n", "model:\n  type: gpt2\n"]
)
def test_leaves_others_alone(text: str) -> None:
    """Lightning's command-line configs have a trainer, too."""
    assert DIALECT.sniff(file_of(text, "config.yaml")) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(TEXT), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "small.yaml")
