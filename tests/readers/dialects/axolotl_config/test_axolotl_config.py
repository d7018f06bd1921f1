"""axolotl's YAML: the Hugging Face trainer under other names, joined with its state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read_all
from auscult.readers.dialects.axolotl_config import DIALECT
from auscult.readers.hf_keys import interpret
from auscult.run import Known
from config_files import file_of, mangled, plain, read_one, survives, why

TEXT = """\
base_model: org/Small-1B
model_type: LlamaForCausalLM
datasets:
  - path: org/made_up
    type: alpaca
val_set_size: 0.05
output_dir: /home/somebody/out
adapter: lora
lora_r: 16
sequence_len: 1024
sample_packing: true
wandb_name: a-run
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 3
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: "3e-4"
bf16: true
warmup_ratio: 0.1
weight_decay: 0.02
logging_steps: 1
"""


def test_settings() -> None:
    """The trainer's arguments are handed on under its names; the base model and the data are named."""
    reading = read_one(DIALECT, TEXT, "lora.yml")
    meaning = interpret(reading.raw)
    values = {key.rpartition(".")[2]: q.value for key, q in meaning.items() if isinstance(q, Known)}
    assert (values["batch_size"], values["learning_rate"], values["context"]) == (2, 3e-4, 1024)
    assert (values["schedule"], values["optimizer"], values["dtype"]) == ("cosine", "adamw_bnb_8bit", "bfloat16")
    assert plain(reading) == {
        "init_from": "org/Small-1B",
        "family": "llama",
        "dataset": "org/made_up",
        "run_name": "a-run",
    }
    assert reading.noted["axolotl.lora_r"].value == 16
    assert "somebody" not in repr(reading)


def test_accumulation_is_of_each_process() -> None:
    """Accumulation counts for each process, whose number the config does not say."""
    reading = read_one(DIALECT, TEXT, "lora.yml")
    lost = interpret(reading.raw)["recipe.gradient_accumulation_steps"]
    assert not isinstance(lost, Known)


def test_unpacked_samples() -> None:
    """Without packing the limit of the length is not the context."""
    reading = read_one(DIALECT, TEXT.replace("sample_packing: true", "sample_packing: false"), "lora.yml")
    assert not isinstance(interpret(reading.raw)["architecture.context"], Known)


def test_several_sets_of_data() -> None:
    """Several sets of data have no one name."""
    text = TEXT.replace("val_set_size", "  - path: org/more\n    type: alpaca\nval_set_size")
    assert "several" in why(read_one(DIALECT, text, "lora.yml"), "recipe.dataset")


def test_joins_the_state(tmp_path: Path) -> None:
    """Beside a trainer_state.json the config is the same run's, and its steps are the state's."""
    (tmp_path / "lora.yml").write_text(TEXT)
    state = {
        "epoch": 1.0,
        "global_step": 40,
        "max_steps": 40,
        "log_history": [
            {"loss": 2.0 - i / 50, "step": i + 1, "epoch": (i + 1) / 40, "learning_rate": 1e-4} for i in range(40)
        ],
    }
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    (run,) = read_all(tmp_path).runs
    assert isinstance(run.recipe.max_steps, Known)
    assert isinstance(run.recipe.batch_size, Known)
    assert (run.recipe.max_steps.value, run.recipe.batch_size.value) == (40, 2)


@pytest.mark.parametrize(
    "text",
    [
        "base_model: org/x\n",
        "learning_rate: 1\nmicro_batch_size: 3\nnum_epochs: 2\n",
        "merge_method: ties\nbase_model: org/x\n",
    ],
)
def test_leaves_others_alone(text: str) -> None:
    """A base model alone is not axolotl: mergers and servers name one, too."""
    assert DIALECT.sniff(file_of(text, "config.yaml")) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(TEXT), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "lora.yml")
