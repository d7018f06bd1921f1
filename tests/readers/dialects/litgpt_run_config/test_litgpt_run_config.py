"""litgpt's hyperparameters.yaml."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.dialects.litgpt_run_config import DIALECT
from auscult.run import Known, Unknown
from table_files import at, one, said, survives

TEXT = """checkpoint_dir: /home/somebody/checkpoints/org/small
precision: bf16-true
devices: 2
num_nodes: 2
lora_r: 8
data:
  class_path: litgpt.data.Alpaca
  init_args:
    json_path: /home/somebody/secret.json
train:
  global_batch_size: 64
  micro_batch_size: 4
  lr_warmup_steps: 100
  epochs: 3
  max_norm: null
  min_lr: 6.0e-05
eval:
  interval: 50
  max_iters: 20
optimizer: AdamW
"""


def test_batches_over_all_devices(tmp_path: Path) -> None:
    """Accumulation counts the micro-batches of all devices, as the product's convention wants it."""
    settings_ = said(one(DIALECT, at(tmp_path, "final/hyperparameters.yaml", TEXT)))
    assert settings_["recipe.batch_size"] == 4
    assert settings_["recipe.gradient_accumulation_steps"] == 16
    assert settings_["recipe.world_size"] == 4
    assert settings_["machine.gpu_count"] == 4
    assert settings_["recipe.dtype"] == "bfloat16"
    assert settings_["recipe.warmup_steps"] == 100
    assert "recipe.grad_clip" not in settings_


def test_defaults_of_the_optimiser_say_so(tmp_path: Path) -> None:
    """Where only AdamW is named, PyTorch's defaults hold, and their source says default."""
    reading = one(DIALECT, at(tmp_path, "final/hyperparameters.yaml", TEXT))
    rate = reading.settings["recipe.learning_rate"]
    assert isinstance(rate, Known)
    assert (rate.value, rate.source.how) == (1e-3, "default")
    given = TEXT.replace(
        "optimizer: AdamW",
        "optimizer:\n  class_path: torch.optim.AdamW\n  init_args:\n    lr: 0.0004\n    betas:\n    - 0.9\n    - 0.95",
    )
    settings_ = said(one(DIALECT, at(tmp_path, "b/hyperparameters.yaml", given)))
    assert (settings_["recipe.learning_rate"], settings_["recipe.beta2"]) == (0.0004, 0.95)
    assert settings_["recipe.optimizer"] == "AdamW"


def test_devices_that_are_not_said(tmp_path: Path) -> None:
    """`auto` devices are unknown; the accumulation over all of them follows from the two batch sizes."""
    reading = one(DIALECT, at(tmp_path, "hyperparameters.yaml", TEXT.replace("devices: 2", "devices: auto")))
    assert isinstance(reading.settings["recipe.world_size"], Unknown)
    assert said(reading)["recipe.gradient_accumulation_steps"] == 16


def test_no_private_paths(tmp_path: Path) -> None:
    """Absolute paths lose their folders."""
    reading = one(DIALECT, at(tmp_path, "final/hyperparameters.yaml", TEXT))
    assert said(reading)["recipe.init_from"] == "small"
    settings_ = {k: q.value for k, q in reading.settings.items() if isinstance(q, Known)}
    assert "somebody" not in repr(settings_)


def test_run_folder(tmp_path: Path) -> None:
    """What is saved beside a checkpoint belongs to the folder above it."""
    assert one(DIALECT, at(tmp_path, "out/step-00001000/hyperparameters.yaml", TEXT)).root == "out"
    assert one(DIALECT, at(tmp_path, "final/hyperparameters.yaml", TEXT)).root == ""
    assert one(DIALECT, at(tmp_path, "x/hyperparameters.yaml", TEXT)).root is None


def test_sniff(tmp_path: Path) -> None:
    """The name and litgpt's batch sizes are needed."""
    assert DIALECT.sniff(at(tmp_path, "hyperparameters.yaml", TEXT)) == 0.97
    assert DIALECT.sniff(at(tmp_path, "hyperparameters.yaml", "lr: 3\n")) == 0
    assert DIALECT.sniff(at(tmp_path, "other.yaml", TEXT)) == 0


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_mangled_configs(data: st.DataObject) -> None:
    """A config with pieces cut out or replaced never raises anything but an input error."""
    text = TEXT
    for _ in range(data.draw(st.integers(1, 4))):
        where, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 40))
        text = (
            text[:where]
            + data.draw(st.sampled_from(["", ": ", "- ", "\n", "0", "[", "{a: b}", "é"]))
            + text[where + length :]
        )
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "hyperparameters.yaml", text))
