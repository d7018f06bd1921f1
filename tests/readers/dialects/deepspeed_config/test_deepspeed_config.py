"""DeepSpeed's configuration: the three batch sizes, schedules, what auto leaves open, the run it completes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read_all
from auscult.readers.dialects.deepspeed_config import DIALECT, reading_of_text
from auscult.run import Known
from config_files import file_of, line_of, mangled, plain, read_one, survives, why

CONFIG: dict[str, Any] = {
    "train_batch_size": 64,
    "train_micro_batch_size_per_gpu": 4,
    "gradient_accumulation_steps": 2,
    "optimizer": {"type": "AdamW", "params": {"lr": 3e-4, "betas": [0.9, 0.95], "weight_decay": 0.1}},
    "scheduler": {
        "type": "WarmupDecayLR",
        "params": {"warmup_min_lr": 0, "warmup_max_lr": 3e-4, "warmup_num_steps": 20, "total_num_steps": 400},
    },
    "gradient_clipping": 1.0,
    "bf16": {"enabled": True},
    "fp16": {"enabled": False},
    "zero_optimization": {"stage": 2},
}


def test_settings() -> None:
    """Batch, optimiser, schedule and precision are read with their lines; three sizes give the ranks."""
    reading = read_one(DIALECT, json.dumps(CONFIG, indent=2), "ds_config.json")
    found = plain(reading)
    assert (found["batch_size"], found["gradient_accumulation_steps"]) == (4, 16)
    assert (found["schedule"], found["warmup_steps"], found["decay_steps"]) == ("linear", 20, 400)
    assert (found["dtype"], found["grad_clip"], found["beta2"], found["optimizer"]) == ("bfloat16", 1.0, 0.95, "AdamW")
    assert reading.noted["deepspeed.data_parallel_ranks"].value == 8
    assert reading.noted["deepspeed.zero_optimization.stage"].value == 2
    assert line_of(reading, "recipe.batch_size") == 3


def test_accumulation_of_each_rank() -> None:
    """Without the whole batch the accumulation counts for each rank only."""
    reading = read_one(DIALECT, json.dumps({k: v for k, v in CONFIG.items() if k != "train_batch_size"}), "ds.json")
    assert "2 for each rank" in why(reading, "recipe.gradient_accumulation_steps")


def test_auto_says_nothing() -> None:
    """What the trainer fills in is absent."""
    text = json.dumps(
        {
            "train_batch_size": "auto",
            "train_micro_batch_size_per_gpu": "auto",
            "gradient_clipping": "auto",
            "fp16": {"enabled": "auto"},
            "zero_optimization": {"stage": 3},
        }
    )
    assert read_one(DIALECT, text, "zero3.json").settings == {}


@pytest.mark.parametrize(
    ("kind", "name"), [("WarmupLR", "constant"), ("WarmupCosineLR", "cosine"), ("OneCycle", "OneCycle")]
)
def test_schedules(kind: str, name: str) -> None:
    """DeepSpeed's schedules have their usual names."""
    changed = {**CONFIG, "scheduler": {"type": kind, "params": {"warmup_num_steps": 20, "total_num_steps": 400}}}
    assert plain(read_one(DIALECT, json.dumps(changed), "ds.json"))["schedule"] == name


def test_text_in_a_script() -> None:
    """A config that a script writes has its lines in the script."""
    reading = reading_of_text(json.dumps(CONFIG, indent=2), "job.slurm", 50)
    assert reading is not None
    assert line_of(reading, "recipe.batch_size") == 52
    assert reading_of_text('{"a": 1}', "job.slurm", 1) is None
    assert reading_of_text("{" * 10_000, "job.slurm", 1) is None


def test_completes_a_run(tmp_path: Path) -> None:
    """Beside another trainer's config it is no run of its own."""
    (tmp_path / "ds_config.json").write_text(json.dumps(CONFIG))
    axolotl = "base_model: org/x\nadapter: lora\nsequence_len: 64\nval_set_size: 0.1\nmicro_batch_size: 4\nlearning_rate: 1e-4\n"
    (tmp_path / "lora.yml").write_text(axolotl)
    (run,) = read_all(tmp_path).runs
    assert isinstance(run.recipe.gradient_accumulation_steps, Known)
    assert (run.dialect, run.recipe.gradient_accumulation_steps.value) == ("axolotl_config", 16)


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"name": "x", "optimizer": {}}, "package.json"),
        ({"model_type": "gpt2", "train_batch_size": 3, "fp16": {}, "optimizer": {}}, "config.json"),
        ({"log_history": [], "train_batch_size": 3}, "trainer_state.json"),
        ({"train_batch_size": 3}, "a.json"),
        (["zero_optimization"], "a.json"),
    ],
)
def test_leaves_others_alone(document: Any, name: str) -> None:
    """Package files and the Hugging Face trainer's own are not claimed."""
    assert DIALECT.sniff(file_of(json.dumps(document), name)) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(json.dumps(CONFIG)), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "ds_config.json")
