"""torchtitan's job configs: the layouts of 2024 and 2025, the JSON of a job, shapes by name, ranks from degrees."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.dialects.torchtitan_config import DIALECT
from auscult.run import Known
from config_files import file_of, line_of, mangled, plain, read_one, survives, why

OLD = """\
[job]
dump_folder = "./outputs"

[metrics]
log_freq = 5

[model]
name = "llama3"
flavor = "8B"

[optimizer]
name = "AdamW"
lr = 2e-4

[training]
batch_size = 2
seq_len = 4096
warmup_steps = 50
steps = 700
data_parallel_shard_degree = 4
tensor_parallel_degree = 2
compile = true
dataset = "made_up"

[experimental]
pipeline_parallel_degree = 1
"""
NEW = """\
[job]
description = "a test"

[model]
name = "qwen3"
flavor = "0.6B"

[optimizer]
lr = 1e-3
beta2 = 0.98

[lr_scheduler]
warmup_steps = 20
decay_ratio = 0.25
decay_type = "cosine"
min_lr_factor = 0.1

[training]
local_batch_size = 4
global_batch_size = 64
seq_len = 1024
steps = 400

[parallelism]
data_parallel_shard_degree = -1

[validation]
enable = true
freq = 100
steps = 12
"""


def test_old_layout() -> None:
    """The layout of 2024 has the batch, the warm-up and parallelism under [training]; fixed degrees give the ranks."""
    reading = read_one(DIALECT, OLD, "train.toml")
    found = plain(reading)
    assert (found["batch_size"], found["context"], found["warmup_steps"], found["max_steps"]) == (2, 4096, 50, 700)
    assert (found["n_layer"], found["d_ff"], found["vocab_size"], found["family"]) == (32, 14336, 128256, "llama")
    assert (found["world_size"], found["gradient_accumulation_steps"]) == (8, 4)
    assert found["tokens_per_step"] == 2 * 4 * 4096
    assert found["compile"] is True
    assert line_of(reading, "recipe.learning_rate") == 13


def test_new_layout() -> None:
    """The layout of 2025: a decay over the last quarter, a floor as a share, accumulation from the global batch."""
    reading = read_one(DIALECT, NEW, "train.toml")
    found = plain(reading)
    assert (found["batch_size"], found["gradient_accumulation_steps"], found["tokens_per_step"]) == (4, 16, 65536)
    assert (found["schedule"], found["decay_steps"], found["min_lr"]) == ("wsd", 400, 1e-4)
    assert (found["eval_interval"], found["eval_iters"], found["tied"]) == (100, 12, True)
    assert found["beta2"] == 0.98
    assert "world_size" not in found


def test_defaults_say_so() -> None:
    """What is not set has torchtitan's default, named in its source; ranks left to torchrun leave the accumulation open."""
    reading = read_one(DIALECT, NEW.replace("global_batch_size = 64\n", ""), "train.toml")
    clip = reading.settings["recipe.grad_clip"]
    assert isinstance(clip, Known)
    assert (clip.value, clip.source.how) == (1.0, "default")
    assert "torchrun" in why(reading, "recipe.gradient_accumulation_steps")


def test_saved_job() -> None:
    """The JSON that a job saves of its config is read with the lines of its values."""
    saved = {
        "job": {"dump_folder": "out"},
        "model": {"name": "llama3", "flavor": "debugmodel"},
        "optimizer": {"lr": 5e-4},
        "training": {"local_batch_size": 8, "global_batch_size": -1, "seq_len": 512, "steps": 10},
        "parallelism": {"data_parallel_shard_degree": 1, "data_parallel_replicate_degree": 1},
    }
    reading = read_one(DIALECT, json.dumps(saved, indent=1), "config.json")
    found = plain(reading)
    assert (found["batch_size"], found["gradient_accumulation_steps"], found["learning_rate"]) == (8, 1, 5e-4)
    assert "n_layer" not in found, "the debug model had several shapes"
    assert line_of(reading, "recipe.max_steps") == 16


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[project]\nname = "x"\n[tool.ruff]\nline-length = 100\n', "pyproject.toml"),
        ("[training]\nsteps = 3\n", "a.toml"),
        (NEW.replace("qwen3", "flux"), "flux.toml"),
        ('{"training": {"seq_len": 3}}', "package.json"),
        (NEW, "notes.txt"),
    ],
)
def test_leaves_others_alone(text: str, name: str) -> None:
    """Package files, other TOML and jobs of image models are not claimed."""
    assert DIALECT.sniff(file_of(text, name)) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(NEW), mangled(OLD), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "train.toml")
