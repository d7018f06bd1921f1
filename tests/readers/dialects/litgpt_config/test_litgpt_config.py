"""litgpt's configs: pre-training by a model's name or shape, fine-tuning, devices, budgets of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read
from auscult.readers.dialects.litgpt_config import DIALECT
from config_files import case_files, file_of, line_of, mangled, plain, read_one, survives, why

PRETRAIN = """\
model_name: pythia-70m
model_config:
out_dir: out/pretrain
precision: bf16-mixed
data: TextFiles
train:
  log_interval: 2
  global_batch_size: 96
  micro_batch_size: 6
  lr_warmup_steps: 11
  max_tokens: 1000000
  max_seq_length: 512
  max_norm: 0.7
  min_lr: 3e-5
eval:
  interval: 40
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 3e-4
    betas:
      - 0.9
      - 0.97
devices: 4
num_nodes: 2
"""
SHAPE = """\
model_config:
  block_size: 256
  padded_vocab_size: 3000
  n_layer: 3
  n_head: 4
  n_embd: 64
  bias: false
  mlp_class_name: LLaMAMLP
  intermediate_size: 160
"""
TUNE = """\
checkpoint_dir: checkpoints/org/some-model
out_dir: out/lora
precision: bf16-true
lora_r: 8
data:
  class_path: litgpt.data.Alpaca
train:
  global_batch_size: 8
  micro_batch_size: 2
  lr_warmup_steps: 10
  epochs: 2
  max_seq_length: 512
devices: 1
"""


def test_pretraining() -> None:
    """A model's name gives the shape; the budget of tokens the steps, rounded down as litgpt does; devices the ranks."""
    reading = read_one(DIALECT, PRETRAIN, "run.yaml")
    found = plain(reading)
    assert (found["n_layer"], found["d_model"], found["vocab_size"], found["family"]) == (6, 512, 50304, "gpt_neox")
    assert (found["batch_size"], found["gradient_accumulation_steps"], found["tokens_per_step"]) == (6, 16, 96 * 512)
    assert (found["max_steps"], found["decay_steps"], found["tokens_planned"]) == (20, 20, 1_000_000)
    assert (found["world_size"], found["gpu_count"], found["dtype"], found["beta2"]) == (8, 8, "bfloat16", 0.97)
    assert (found["weight_decay"], found["min_lr"], found["grad_clip"]) == (0.01, 3e-5, 0.7)
    assert line_of(reading, "recipe.batch_size") == 9


def test_written_out_shape() -> None:
    """A shape under model_config stands for the model; its block size is the context where nothing limits it."""
    text = PRETRAIN.replace("model_name: pythia-70m\nmodel_config:\n", SHAPE).replace("  max_seq_length: 512\n", "")
    found = plain(read_one(DIALECT, text, "run.yaml"))
    assert (found["n_layer"], found["n_kv_head"], found["d_ff"], found["context"]) == (3, 4, 160, 256)
    assert (found["family"], found["bias"]) == ("llama", False)


def test_fine_tuning() -> None:
    """In fine-tuning samples are shorter than the limit and epochs are no steps; the floor is not used."""
    reading = read_one(DIALECT, TUNE, "lora.yaml")
    found = plain(reading)
    assert (found["init_from"], found["dataset"], found["world_size"]) == ("checkpoints/org/some-model", "Alpaca", 1)
    assert found["gradient_accumulation_steps"] == 4
    assert "512" in why(reading, "architecture.context")
    assert "epochs" in why(reading, "recipe.max_steps")
    assert "min_lr" not in found
    assert reading.noted["litgpt.lora_r"].value == 8


def test_auto_devices() -> None:
    """Devices left to litgpt are unknown, and the accumulation over all of them is known all the same."""
    reading = read_one(DIALECT, PRETRAIN.replace("devices: 4", "devices: auto"), "run.yaml")
    assert "auto" in why(reading, "recipe.world_size")
    assert plain(reading)["gradient_accumulation_steps"] == 16


@pytest.mark.parametrize(
    ("text", "name"),
    [(PRETRAIN, "hyperparameters.yaml"), (SHAPE, "model_config.yaml"), ("train:\n  epochs: 3\n", "a.yaml")],
)
def test_leaves_others_alone(text: str, name: str) -> None:
    """What litgpt saves beside a checkpoint belongs to other readers."""
    assert DIALECT.sniff(file_of(text, name)) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(PRETRAIN), mangled(TUNE), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "run.yaml")


def test_config_hub() -> None:
    """A config of litgpt's own hub gives its known shape and batch."""
    (path,) = case_files("config-litgpt-hub", "config_hub/pretrain/tinyllama.yaml")
    run = read(path)
    assert repr(run) == "Run('tinyllama', litgpt_config, 22×2048, no log)"
