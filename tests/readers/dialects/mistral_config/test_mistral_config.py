"""CRFM's mistral: inherited files below the config's folder, the batch of all devices, what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers import read
from auscult.readers.dialects.mistral_config import DIALECT
from auscult.run import Known
from config_files import case_files, file_of, mangled, plain, read_one, survives

TOP = """\
---
inherit:
    - datasets/made_up.yaml
    - models/small.yaml
    - trainers/short.yaml
run_id: null
artifacts:
    cache_dir: /home/somebody/cache
    run_dir: /home/somebody/runs
effective_bsz: 64
checkpoint_frequency:
    - [10, 100]
world_size: -1
seed: 3
"""
PARTS = {
    "datasets/made_up.yaml": "dataset:\n    id: made_up\n",
    "models/small.yaml": 'model:\n    id: "gpt2-small"\n    seq_len: 512\n',
    "trainers/short.yaml": "training_arguments:\n    per_device_train_batch_size: 8\n    learning_rate: 0.0006\n"
    "    max_steps: 700\n    warmup_steps: 70\n    lr_scheduler_type: linear\n    fp16: true\n"
    "    gradient_accumulation_steps: null\n    output_dir: null\n",
}


def write(folder: Path, text: str = TOP) -> Path:
    for name, part in PARTS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(part)
    (folder / "run.yaml").write_text(text)
    return folder / "run.yaml"


def test_inherits(tmp_path: Path) -> None:
    """What the config inherits is read where it lies below it, and the accumulation makes up the whole batch."""
    run = read(write(tmp_path))
    recipe = run.recipe
    values = {
        name: getattr(recipe, name).value
        for name in (
            "batch_size",
            "gradient_accumulation_steps",
            "learning_rate",
            "max_steps",
            "warmup_steps",
            "dataset",
        )
    }
    assert values == {
        "batch_size": 8,
        "gradient_accumulation_steps": 8,
        "learning_rate": 0.0006,
        "max_steps": 700,
        "warmup_steps": 70,
        "dataset": "made_up",
    }
    assert isinstance(recipe.learning_rate, Known)
    assert recipe.learning_rate.source.place == "trainers/short.yaml:3"
    assert "12×768" in repr(run)
    assert "somebody" not in repr(run.noted)


def test_missing_parts() -> None:
    """What is inherited and is not there is named."""
    reading = read_one(DIALECT, TOP, "run.yaml")
    (notice,) = reading.notices
    assert (notice.kind, notice.count) == ("config_inherits", 3)
    assert "models/small.yaml" in notice.detail
    assert reading.noted["mistral.effective_bsz"].value == 64


@pytest.mark.parametrize(
    "name", ["../outside.yaml", "/etc/passwd", "models/../../outside.yaml", "secret.txt", "run.yaml"]
)
def test_nothing_else_is_opened(tmp_path: Path, name: str) -> None:
    """Nothing outside the config's folder is opened, and a file that inherits itself ends."""
    inside = tmp_path / "conf"
    inside.mkdir()
    (tmp_path / "outside.yaml").write_text("effective_bsz: 999\n")
    (inside / "secret.txt").write_text("effective_bsz: 999\n")
    path = write(inside, TOP.replace("models/small.yaml", name).replace("effective_bsz: 64\n", "effective_bsz: 64\n"))
    assert "999" not in repr(read(path).noted)


def test_linked_files_stay_inside(tmp_path: Path) -> None:
    """A link out of the folder is not followed."""
    inside = tmp_path / "conf"
    inside.mkdir()
    (tmp_path / "outside.yaml").write_text("dataset:\n    id: stolen\n")
    path = write(inside)
    (inside / "datasets" / "made_up.yaml").unlink()
    (inside / "datasets" / "made_up.yaml").symlink_to(tmp_path / "outside.yaml")
    assert "stolen" not in repr(read(path).recipe)


@pytest.mark.parametrize("text", ["inherit: x\n", PARTS["models/small.yaml"], PARTS["trainers/short.yaml"]])
def test_leaves_others_alone(text: str) -> None:
    """A part alone is read only when it is named."""
    assert DIALECT.sniff(file_of(text, "a.yaml")) < 0.5


@settings(max_examples=60, deadline=None)
@given(st.one_of(mangled(TOP), st.binary(max_size=400)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Whatever the bytes, there are readings or an InputError."""
    survives(DIALECT, data, "run.yaml")


def test_corpus() -> None:
    """The archived configs inherit from files that are not there."""
    (path,) = case_files("config-mistral-crfm", "conf/archive/v1/gpt2-scaling-config.yaml")
    run = read(path)
    assert any(notice.kind == "config_inherits" for notice in run.notices)
    assert "mistral.effective_bsz" in run.noted
    assert "gpt2" not in plain(read_one(DIALECT, TOP, "run.yaml"))
