"""llm-foundry's YAML: durations in every unit, references, MPT's defaults, the platform's files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read
from auscult.readers.dialects.llmfoundry_config import DIALECT, duration
from config_files import case_files, file_of, line_of, mangled, plain, read_one, survives, why

TEXT = """\
variables:
  max_seq_len: 512
max_seq_len: ${variables.max_seq_len}
run_name: ${oc.env:RUN_NAME}
model:
  name: mpt_causal_lm
  d_model: 128
  n_heads: 4
  n_layers: 3
  expansion_ratio: 2
  max_seq_len: ${max_seq_len}
train_loader:
  name: text
  dataset:
    local: ./my-data
scheduler:
  name: cosine_with_warmup
  t_warmup: 10ba
  alpha_f: 0.1
optimizer:
  name: decoupled_adamw
  lr: 6.0e-4
  betas: [0.9, 0.95]
algorithms:
  gradient_clipping:
    clipping_threshold: 1.0
max_duration: 200ba
eval_interval: 50ba
global_train_batch_size: 32
device_train_microbatch_size: 8
precision: amp_bf16
"""


def test_settings() -> None:
    """Shape, batch, schedule and precision are read; a reference is followed to where its value stands."""
    reading = read_one(DIALECT, TEXT, "mpt.yaml")
    found = plain(reading)
    assert (found["n_layer"], found["d_ff"], found["vocab_size"], found["family"]) == (3, 256, 50368, "mpt")
    assert (found["gradient_accumulation_steps"], found["tokens_per_step"]) == (4, 32 * 512)
    assert (found["max_steps"], found["warmup_steps"], found["decay_steps"], found["min_lr"]) == (200, 10, 200, 6e-5)
    assert (found["schedule"], found["dtype"], found["grad_clip"], found["eval_interval"]) == (
        "cosine",
        "bfloat16",
        1.0,
        50,
    )
    assert line_of(reading, "architecture.context") == 2
    assert "oc.env:RUN_NAME" in why(reading, "recipe.run_name")


@pytest.mark.parametrize(
    ("said", "steps"), [("50000tok", 4), ("3200sp", 100), ("200ba", 200), ("1ep", None), ("soon", None), (2, None)]
)
def test_durations(said: str | int, steps: int | None) -> None:
    """Tokens and samples give steps with the batch, rounded up as Composer ends; epochs do not."""
    reading = read_one(DIALECT, TEXT.replace("max_duration: 200ba", f"max_duration: {said}"), "mpt.yaml")
    assert plain(reading).get("max_steps") == steps
    if steps is None:
        assert why(reading, "recipe.max_steps")


def test_duration_units() -> None:
    """A span has a number and a unit, with underscores and exponents as people write them."""
    assert repr(duration("3e9tok")) == "Duration(value=3000000000.0, unit='tok')"
    assert repr(duration("10_000sp")) == "Duration(value=10000.0, unit='sp')"
    assert duration("9" * 500 + "ba") is None


def test_auto_micro_batch() -> None:
    """A micro-batch that is found by trying is unknown, and so is the accumulation."""
    reading = read_one(DIALECT, TEXT.replace("microbatch_size: 8", "microbatch_size: auto"), "mpt.yaml")
    assert "auto" in why(reading, "recipe.batch_size")
    assert "auto" in why(reading, "recipe.gradient_accumulation_steps")
    assert plain(reading)["tokens_per_step"] == 32 * 512


def test_platform_file() -> None:
    """A file for MosaicML's platform holds the config under parameters, and says how many devices there were."""
    inner = "".join(f"  {line}\n" for line in TEXT.replace("run_name: ${oc.env:RUN_NAME}\n", "").splitlines())
    text = f"name: my-run\ncompute:\n  gpus: 4\nparameters:\n{inner}"
    found = plain(read_one(DIALECT, text, "mcli.yaml"))
    assert (found["world_size"], found["n_layer"], found["max_steps"]) == (4, 3, 200)
    assert (found["context"], found["run_name"]) == (512, "my-run")


def test_models_of_transformers() -> None:
    """GPT-2 by its name has its known shape; fine-tuning leaves the context open."""
    text = TEXT.replace(
        "  name: mpt_causal_lm\n  d_model: 128\n  n_heads: 4\n  n_layers: 3\n  expansion_ratio: 2\n",
        "  name: hf_causal_lm\n  pretrained: true\n  pretrained_model_name_or_path: gpt2-medium\n",
    )
    reading = read_one(DIALECT, text.replace("name: text", "name: finetuning"), "gpt2.yaml")
    found = plain(reading)
    assert (found["n_layer"], found["d_model"], found["init_from"], found["tied"]) == (24, 1024, "gpt2-medium", True)
    assert "shorter" in why(reading, "architecture.context")


@pytest.mark.parametrize(
    "text",
    ["max_duration: 3ba\n", "max_duration: 1ep\nglobal_train_batch_size: 4\nmodel:\n  d_model: 8\ndata:\n  x: 1\n"],
)
def test_leaves_others_alone(text: str) -> None:
    """OLMo has durations and a global batch, too."""
    assert DIALECT.sniff(file_of(text, "a.yaml")) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(TEXT), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "mpt.yaml")


def test_corpus() -> None:
    """The repository's own MPT-125M: 4,800 steps of 256 sequences."""
    (path,) = case_files("config-llmfoundry", "scripts/train/yamls/pretrain/mpt-125m.yaml")
    run = read(path)
    assert "12×768" in repr(run)
    assert repr(run.recipe.max_steps) == "Known(4800, mpt-125m.yaml:77)"
