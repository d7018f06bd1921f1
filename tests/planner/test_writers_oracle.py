"""What is written for Hugging Face, against transformers itself: its arguments exist, and its config is the model planned."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, TrainingArguments
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from auscult.facts.setup import Setup
from auscult.planner.planned import PlannedRun
from auscult.planner.shapes import like
from auscult.planner.writers import documents

RUN_CLM = {"config_name", "tokenizer_name", "dataset_name", "train_file", "block_size"}
"""Arguments of ``run_clm.py`` itself (transformers 4.57) that are written."""
CARDS = {
    "gpt2": 124_439_808,
    "pythia-160m": 162_322_944,
    "smollm2-135m": 134_515_008,
    "qwen3-0.6b": 596_049_920,
    "qwen2.5-0.5b": 494_032_768,
    "llama-3.2-1b": 1_235_814_400,
}


def run_of(name: str, **setup: object) -> PlannedRun:
    full = Setup(8, 1024, 64, compiled=True, **setup)  # type: ignore[arg-type]  # keys are checked by Setup
    return PlannedRun(
        *(like(name), full, 20_000, 6e-4, 6e-5, 715, 20_000), dataset="HuggingFaceFW/fineweb", gpu_count=full.gpu_count
    )


@pytest.mark.parametrize(
    "setup",
    [
        {},
        {"optimizer": "adamw_8bit", "checkpointing": "full", "loss": "fused"},
        {"optimizer": "lion", "sharding": "fsdp", "data_parallel": 2},
        {"optimizer": "adafactor", "precision": "amp_fp16"},
    ],
)
def test_every_argument_exists(setup: dict[str, object]) -> None:
    """Each key is a field of TrainingArguments or of run_clm.py; the schedule and the optimiser are among their names."""
    arguments = json.loads(documents(run_of("gpt2", **setup), "hf")[0].text)
    fields = {field.name for field in dataclasses.fields(TrainingArguments)} | RUN_CLM
    assert set(arguments) <= fields
    assert arguments["lr_scheduler_type"] in {one.value for one in SchedulerType}
    assert arguments["optim"] in {one.value for one in OptimizerNames}


@pytest.mark.parametrize(("name", "parameters"), CARDS.items())
def test_the_config_is_the_model(name: str, parameters: int, tmp_path: Path) -> None:
    """Transformers reads the file under the path that run_clm.py is given, and draws a model of the published size."""
    import torch

    path = tmp_path / "config.json"
    path.write_text(documents(run_of(name), "hf")[1].text, encoding="utf-8")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(path)))
    assert sum(weight.numel() for weight in model.parameters()) == parameters
