"""nanotron's YAML: ranks from the parallel degrees, the decay's place, the padded vocabulary, older layouts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read
from auscult.readers.dialects.nanotron_config import DIALECT
from config_files import case_files, file_of, line_of, mangled, plain, read_one, survives, why

TEXT = """\
general:
  project: made_up
  run: a_run
model:
  dtype: bfloat16
  make_vocab_size_divisible_by: 64
  model_config:
    is_llama_config: true
    hidden_size: 128
    intermediate_size: 352
    num_attention_heads: 4
    num_hidden_layers: 3
    num_key_value_heads: 2
    tie_word_embeddings: true
    vocab_size: 1000
optimizer:
  clip_grad: 1.0
  learning_rate_scheduler:
    learning_rate: 0.001
    lr_decay_starting_step: null
    lr_decay_steps: 80
    lr_decay_style: cosine
    lr_warmup_steps: 20
    min_decay_lr: 1.0e-05
  optimizer_factory:
    adam_beta1: 0.9
    adam_beta2: 0.95
    name: adamW
  weight_decay: 0.05
parallelism:
  dp: 4
  pp: 1
  tp: 2
tokens:
  batch_accumulation_per_replica: 3
  micro_batch_size: 2
  sequence_length: 256
  train_steps: 100
  val_check_interval: -1
"""


def test_settings() -> None:
    """Accumulation over all replicas, tokens per step, GPUs and the padded vocabulary follow from the file."""
    reading = read_one(DIALECT, TEXT, "config.yaml")
    found = plain(reading)
    assert (found["batch_size"], found["gradient_accumulation_steps"], found["tokens_per_step"]) == (
        2,
        12,
        2 * 12 * 256,
    )
    assert (found["world_size"], found["gpu_count"], found["vocab_size"], found["family"]) == (8, 8, 1024, "llama")
    assert (found["warmup_steps"], found["decay_steps"], found["schedule"], found["min_lr"]) == (
        20,
        100,
        "cosine",
        1e-5,
    )
    assert (found["max_steps"], found["run_name"], found["optimizer"], found["bias"]) == (100, "a_run", "adamW", False)
    assert "eval_interval" not in found
    assert line_of(reading, "recipe.beta2") == 27


def test_late_decay() -> None:
    """A decay that begins after the warm-up makes a schedule with a constant part."""
    text = TEXT.replace("lr_decay_starting_step: null", "lr_decay_starting_step: 60").replace(
        "decay_steps: 80", "decay_steps: 40"
    )
    found = plain(read_one(DIALECT, text, "config.yaml"))
    assert (found["schedule"], found["decay_steps"]) == ("wsd", 100)


def test_older_layout() -> None:
    """Older files have Adam's settings directly under optimizer."""
    text = TEXT.replace(
        "  optimizer_factory:\n    adam_beta1: 0.9\n    adam_beta2: 0.95\n    name: adamW\n",
        "  adam_beta1: 0.8\n  adam_beta2: 0.99\n",
    )
    found = plain(read_one(DIALECT, text, "config.yaml"))
    assert (found["beta1"], found["beta2"], found["optimizer"]) == (0.8, 0.99, "adamW")


def test_unknown_replicas() -> None:
    """Without the number of replicas the accumulation over all of them is unknown."""
    reading = read_one(DIALECT, TEXT.replace("  dp: 4\n", ""), "config.yaml")
    assert "3 for each rank" in why(reading, "recipe.gradient_accumulation_steps")


@pytest.mark.parametrize("text", ["tokens:\n  micro_batch_size: 2\n", "parallelism:\n  dp: 1\n"])
def test_leaves_others_alone(text: str) -> None:
    """A part of the grammar is not enough."""
    assert DIALECT.sniff(file_of(text, "config.yaml")) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(TEXT), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "config.yaml")


def test_corpus() -> None:
    """The repository's tiny llama: its decay ends at step 15 of 2,000."""
    (path,) = case_files("config-nanotron", "examples/config_tiny_llama.yaml")
    run = read(path)
    assert "28×2048" in repr(run)
    assert repr(run.recipe.decay_steps) == "Known(15, where the decay begins + lr_decay_steps)"
