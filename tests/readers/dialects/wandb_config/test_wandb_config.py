"""W&B's config.yaml, of older and of newer versions."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import BadConfig, InputError
from auscult.readers import read_all
from auscult.readers.dialects.wandb_config import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import TRACKER
from auscult.run import Known, Unknown
from wandb_runs import NANOGPT, config_yaml, corpus_case, opened, readings, said

NAME = "files/config.yaml"
OLD = """wandb_version: 1

_wandb:
  desc: null
  value:
    python_version: 3.10.13
    cli_version: 0.16.0
batch_size:
  desc: null
  value: 48
learning_rate:
  desc: what a person wrote
  value: 1e-3
optimizer:
  desc: null
  value:
    weight_decay: 0.05
    betas:
    - 0.9
    - 0.98
"""


def test_values_with_and_without_descriptions(tmp_path: Path) -> None:
    """Older versions write a description beside each value; numbers like 1e-3 are numbers, nested names are read too."""
    (reading,) = readings(DIALECT, tmp_path, NAME, OLD)
    values = said(reading.settings)
    assert values["recipe.batch_size"] == 48
    assert values["recipe.learning_rate"] == 0.001
    assert (values["recipe.weight_decay"], values["recipe.beta2"]) == (0.05, 0.98)
    assert reading.settings["recipe.batch_size"].source.line == 10  # type: ignore[union-attr]  # known by the line above
    assert (reading.root, reading.role, reading.authority) == (".", "config", TRACKER)


def test_nanogpt(tmp_path: Path) -> None:
    """NanoGPT's keys are kept under its names, a whole number where it means a fraction included; nothing is defaulted."""
    config = {**NANOGPT, "dropout": 0, "use_no_mlp": True, "wandb_notes": "by jane.doe@example.org", "vocab_size": 500}
    (reading,) = readings(DIALECT, tmp_path, NAME, config_yaml(config))
    raw = said(reading.raw)
    assert reading.vocabulary == "nanogpt"
    assert (raw["n_embd"], raw["lr_decay_iters"], raw["dropout"], raw["(vocab_size)"]) == (32, 500, 0.0, 500)
    assert "(defaults)" not in raw
    assert said(reading.noted) == {"nanogpt.device": "cuda", "nanogpt.use_no_mlp": True, "wandb.gpu_count": 2}
    assert said(reading.settings) == {"machine.gpu_name": "NVIDIA L4"}


def test_an_impossible_value_is_a_problem(tmp_path: Path) -> None:
    """A value that no run can have is unknown, with its place."""
    (reading,) = readings(DIALECT, tmp_path, NAME, config_yaml({**NANOGPT, "n_layer": -3}))
    assert isinstance(reading.raw["n_layer"], Unknown)
    assert [p.kind for p in reading.problems] == ["impossible_value"]


def test_one_card_is_the_runs(tmp_path: Path) -> None:
    """A machine with one card says how many the run used; one with several does not."""
    (reading,) = readings(DIALECT, tmp_path, NAME, config_yaml({"lr": 0.1}, gpu="NVIDIA A10G", gpus=1))
    assert said(reading.settings)["machine.gpu_count"] == 1


def test_processes_and_accumulation_of_each(tmp_path: Path) -> None:
    """An accumulation of each process is multiplied where the number of processes is logged, and unknown where it is not."""
    config = {"gradient_accumulation_steps": 4, "lr": 1e-3}
    (alone,) = readings(DIALECT, tmp_path, NAME, config_yaml(config))
    assert isinstance(alone.settings["recipe.gradient_accumulation_steps"], Unknown)
    (together,) = readings(DIALECT, tmp_path, NAME, config_yaml({**config, "world_size": 8}))
    values = said(together.settings)
    assert (values["recipe.gradient_accumulation_steps"], values["machine.gpu_count"]) == (32, 8)


def test_nothing_private_is_kept(tmp_path: Path) -> None:
    """Texts beside names of people, hosts and keys are left out; of paths the last part is kept."""
    config = {
        "lr": 0.1,
        "wandb_entity": "jdoe-account",
        "dataset": "/home/jdoe-account/data/fables",
        "api_key": "abcdef",
        "num_key_value_heads": 4,
        "run_name": "jane.doe@example.org",
    }
    (reading,) = readings(DIALECT, tmp_path, NAME, config_yaml(config))
    assert said(reading.settings)["recipe.dataset"] == "fables"
    assert said(reading.settings)["architecture.n_kv_head"] == 4
    for private in ("jdoe", "jane", "abcdef", "secret-host", "/home"):
        assert private not in repr((reading, list(reading.settings.values()))), private


def test_broken_yaml_is_an_error_of_ours(tmp_path: Path) -> None:
    """A file that is no YAML is refused with its place."""
    with pytest.raises(BadConfig, match="not valid YAML"):
        readings(DIALECT, tmp_path, NAME, OLD + "\n\tx: [1\n")


def test_sniff(tmp_path: Path) -> None:
    """W&B's layout is known; other YAML files are not claimed."""
    assert DIALECT.sniff(opened(tmp_path, NAME, OLD)) >= 0.9
    assert DIALECT.sniff(opened(tmp_path, NAME, config_yaml({"a": 1}))) >= 0.9
    assert DIALECT.sniff(opened(tmp_path, "x.yaml", "a:\n    value: 1\nb:\n    value: 2\nc:\n    value: 3\n")) == 0.6
    assert DIALECT.sniff(opened(tmp_path, NAME, "model:\n  dim: 64\ntrain:\n  lr: 0.1\n")) == 0.0
    assert DIALECT.sniff(opened(tmp_path, "config.json", "{}")) == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_text_is_it_is_read_or_refused(data: st.DataObject) -> None:
    """A config that is cut, overwritten or spliced gives readings or an error of ours."""
    content = bytearray((OLD + config_yaml(NANOGPT)).encode())
    for _edit in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(content)))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=12), st.sampled_from([b"value:", b"1e999", b"&a *a", b"!!python/x ", b"9" * 400])
            )
        )
        content[at : at + data.draw(st.integers(0, 40))] = piece
    file = InputFile(NAME, lambda: io.BytesIO(bytes(content)), len(content))
    with contextlib.suppress(InputError):
        tuple(DIALECT.read(file))


def test_a_real_one() -> None:
    """A config of a real run gives what the facts say."""
    run = read_all(corpus_case("custom-gpt2-large-reversal-nan")).runs[0]
    wanted = {"batch": 128, "data": "reverse", "decay": 0.01, "context": 10, "card": "NVIDIA RTX A6000"}
    recipe = run.recipe
    found = {
        "batch": recipe.batch_size,
        "data": recipe.dataset,
        "decay": recipe.weight_decay,
        "context": recipe.architecture.context,
        "card": run.machine.gpu_name,
    }
    assert said(found) == wanted
    assert isinstance(run.recipe.learning_rate, Known)
