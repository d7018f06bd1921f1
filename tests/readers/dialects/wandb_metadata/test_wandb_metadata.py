"""W&B's wandb-metadata.json."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError, NotText
from auscult.readers import read_all
from auscult.readers.dialects.wandb_metadata import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known, Unknown
from wandb_runs import PRIVATE, corpus_case, metadata, opened, readings, said

NAME = "files/wandb-metadata.json"


def one(root: Path, *arguments: str, **more: Any) -> Reading:
    (reading,) = readings(DIALECT, root, NAME, metadata(*arguments, **more))
    return reading


def test_the_cards_of_the_machine(tmp_path: Path) -> None:
    """The name is that of the cards the run had; their number is the machine's, and noted."""
    reading = one(tmp_path, gpu="NVIDIA A40", gpus=4)
    assert said(reading.settings) == {"machine.gpu_name": "NVIDIA A40"}
    name = reading.settings["machine.gpu_name"]
    assert isinstance(name, Known)
    assert (name.source.line, name.source.text) == (15, "gpu = NVIDIA A40")
    assert said(reading.noted) == {"wandb.gpu_count": 4, "wandb.python": "CPython 3.12.8"}
    assert reading.root == "."


def test_one_card(tmp_path: Path) -> None:
    """With one card in the machine the run used one, unless Slurm gave it several machines."""
    assert said(one(tmp_path, gpus=1).settings)["machine.gpu_count"] == 1
    reading = one(tmp_path, gpus=1, slurm={"job_num_nodes": "4", "gpus_on_node": "1", "job_user": "jdoe-account"})
    assert "machine.gpu_count" not in reading.settings
    assert said(reading.noted)["wandb.slurm_gpus_on_node"] == 1


def test_names_in_every_version(tmp_path: Path) -> None:
    """Some versions list the names in one text, newer ones as objects; several kinds of card are unknown."""
    listed = "[NVIDIA H100 80GB HBM3, NVIDIA H100 80GB HBM3]"
    assert said(one(tmp_path, gpu=listed).settings) == {"machine.gpu_name": "NVIDIA H100 80GB HBM3"}
    objects = [{"name": "NVIDIA L40S"}, {"name": "NVIDIA L40S"}, 7, {}]
    assert said(one(tmp_path, gpu=None, gpu_nvidia=objects).settings) == {"machine.gpu_name": "NVIDIA L40S"}
    mixed = one(tmp_path, gpu=None, gpu_devices=[{"name": "NVIDIA A40"}, {"name": "NVIDIA L4"}]).settings[
        "machine.gpu_name"
    ]
    assert isinstance(mixed, Unknown)
    assert "several kinds" in mixed.reason


def test_nanogpts_overrides(tmp_path: Path) -> None:
    """Options of nanoGPT's configurator are its keys; the config file that the command names is noted."""
    reading = one(
        tmp_path,
        "config/train_fables.py",
        "--max_iters=700",
        "--dropout=0.3",
        "--compile=False",
        "--out_dir=/home/jdoe-account/o",
    )
    (part,) = reading.parts
    assert said(part.raw) == {"max_iters": 700, "dropout": 0.3, "compile": False}
    assert part.vocabulary == "nanogpt"
    assert part.authority < reading.authority
    assert said(reading.noted)["wandb.config_file"] == "train_fables.py"


def test_other_options(tmp_path: Path) -> None:
    """Hugging Face's arguments keep its meaning; others are read by common names."""
    options = (
        "--per_device_train_batch_size",
        "16",
        "--learning_rate",
        "3e-4",
        "--gradient_accumulation_steps",
        "2",
        "--bf16",
    )
    (part,) = one(tmp_path, *options).parts
    assert part.vocabulary == "hf_trainer"
    assert said(part.raw)["per_device_train_batch_size"] == 16
    (part,) = one(tmp_path, "--batch-size", "64", "--lr=0.01", "--wandb_entity=jdoe-account", "--fast", "x.txt").parts
    assert said(part.settings) == {"recipe.batch_size": 64, "recipe.learning_rate": 0.01}


def test_nothing_private_is_kept(tmp_path: Path) -> None:
    """Of a file full of names and paths none is kept."""
    reading = one(
        tmp_path,
        "--dataset=/home/jdoe-account/data",
        "--user",
        "jdoe-account",
        "/home/jdoe-account/config.yaml",
        gpus=8,
    )
    for private in ("jdoe", "jane.doe", "/home", "github", *PRIVATE.values()):
        assert private not in repr((reading, said(reading.noted))), private


def test_what_is_no_object_is_refused(tmp_path: Path) -> None:
    """A list is no metadata; an empty object says nothing."""
    with pytest.raises(NotText):
        readings(DIALECT, tmp_path, NAME, "[]")
    assert readings(DIALECT, tmp_path, NAME, "{}") == []


def test_sniff(tmp_path: Path) -> None:
    """The file's name counts."""
    assert DIALECT.sniff(opened(tmp_path, NAME, metadata())) == 0.95
    assert DIALECT.sniff(opened(tmp_path, "metadata.json", metadata())) == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    document=st.dictionaries(
        st.sampled_from(
            ["args", "gpu", "gpu_count", "gpu_nvidia", "gpu_devices", "tpu", "slurm", "program", "python", "cpu_count"]
        ),
        st.recursive(
            st.one_of(
                st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("--lr=1e999")
            ),
            lambda inner: st.one_of(
                st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["name", "nnodes", "gpus_on_node"]), inner)
            ),
            max_leaves=8,
        ),
    ),
    cut=st.integers(0, 400),
)
def test_whatever_it_holds_is_read_or_refused(document: dict[str, Any], cut: int) -> None:
    """Values of any kind, and a file that is cut, give readings or an error of ours."""
    text = json.dumps(document)
    content = text[: max(1, len(text) - cut % 7)].encode()
    with contextlib.suppress(InputError):
        tuple(DIALECT.read(InputFile(NAME, lambda: io.BytesIO(content), len(content))))


def test_a_real_one() -> None:
    """Eight cards in the machine are no proof of eight in the run."""
    run = read_all(corpus_case("nanogpt-oom-logits-a100")).runs[0]
    assert isinstance(run.machine.gpu_name, Known)
    assert run.machine.gpu_name.value == "NVIDIA A100-SXM4-80GB"
    assert isinstance(run.machine.gpu_count, Unknown)
    assert run.noted["wandb.gpu_count"].value == 8
