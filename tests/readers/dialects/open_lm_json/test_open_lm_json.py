"""The JSON of open_lm models."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText
from auscult.readers import read_all
from auscult.readers.dialects.open_lm_json import DIALECT
from auscult.run import Unknown
from table_files import at, corpus_case, one, points, said, survives


def model(name: str = "set-d=32_l=2_h=4-1.0", **changes: Any) -> dict[str, Any]:
    given = {
        "model": "configs/d=32_l=2_h=4.json",
        "tokens": 1_048_576,
        "warmup": 10,
        "lr": 0.004,
        "wd": 0.05,
        "cd": 4e-5,
        "global_bs": 16,
        "acc": 2,
        "params": 100_000 + 32 * 512,
        "params_no_embed": 100_000,
        **changes,
    }
    return {
        "name": name,
        "dataset_name": "set",
        "hyperparameters": given,
        "open_lm_version": "0.0.21",
        "open_lm_args": [
            "--lr",
            "0.004",
            "--wd",
            "0.05",
            "--global-batch-size",
            "16",
            "--beta2",
            "0.95",
            "--precision",
            "amp_bfloat16",
            "--logs",
            "/home/somebody/logs",
        ],
        "results": [
            {"loss": 5.5, "sequences": 10, "tokens": 1280, "val_data": ["eval/small/0.tar"]},
            {"loss": 5.25, "sequences": 100, "tokens": 12_800, "val_data": ["eval/large/0.tar"]},
        ],
        "uuid": name,
    }


def test_final_losses_and_settings(tmp_path: Path) -> None:
    """The largest set's loss is the validation loss, at the tokens trained on; what follows from figures is derived."""
    file = at(tmp_path, "m.json", json.dumps(model(), indent=2))
    assert DIALECT.sniff(file) == 0.95
    reading = one(DIALECT, file)
    assert points(reading, "val_loss") == [(1_048_576, 5.25)]
    assert points(reading, "val_loss/small") == [(1_048_576, 5.5)]
    series = reading.get("val_loss")
    assert series is not None
    assert series.axis == "tokens"
    assert "12,800 tokens of large" in series.window
    settings_ = said(reading)
    assert settings_["logged.parameters"] == (116_384, 116_384)
    assert settings_["architecture.vocab_size"] == 512
    assert settings_["architecture.context"] == 128
    assert settings_["logged.tokens_per_step"] == 2048
    assert settings_["recipe.max_steps"] == 512
    assert settings_["recipe.dtype"] == "bfloat16"
    assert settings_["recipe.min_lr"] == 4e-5
    assert "somebody" not in repr(reading)


def test_lines_of_losses(tmp_path: Path) -> None:
    """A loss has the line on which it stands."""
    text = json.dumps(model(), indent=2)
    series = one(DIALECT, at(tmp_path, "m.json", text)).get("val_loss")
    assert series is not None
    assert '"loss": 5.25' in text.split("\n")[series.lines[0] - 1]


def test_another_jobs_command_line_counts_for_nothing(tmp_path: Path) -> None:
    """Where the command line has another learning rate, nothing of it is used, and the batch stays unknown."""
    reading = one(DIALECT, at(tmp_path, "m.json", json.dumps(model(lr=0.0003, global_bs=1))))
    assert "recipe.beta2" not in reading.settings
    assert isinstance(reading.settings["logged.tokens_per_step"], Unknown)
    assert [p.kind for p in reading.problems] == ["settings_disagree"]
    assert said(reading)["recipe.learning_rate"] == 0.0003


def test_many_models_are_many_runs(tmp_path: Path) -> None:
    """Models side by side in a folder are runs of their own."""
    for index in range(5):
        at(tmp_path, f"models/{index}.json", json.dumps(model(f"m{index}")))
    assert len(read_all(tmp_path).runs) == 5


def test_other_json(tmp_path: Path) -> None:
    """Other JSON is not claimed, and named for it gives a message."""
    file = at(tmp_path, "x.json", '{"hyperparameters": {"lr": 1}, "results": []}')
    assert DIALECT.sniff(file) == 0
    with pytest.raises(NotText):
        list(DIALECT.read(at(tmp_path, "y.json", "[1]")))


anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.integers(), max_size=2)
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_odd_values_give_a_reading_or_an_input_error(data: st.DataObject) -> None:
    """Whatever stands in the place of a value, nothing else is raised."""
    document: Any = model()
    for _ in range(data.draw(st.integers(1, 4))):
        home = data.draw(st.sampled_from([document, document.get("hyperparameters"), *(document.get("results") or [])]))
        if isinstance(home, dict) and home:
            home[data.draw(st.sampled_from(sorted(home)))] = data.draw(anything)
        if not isinstance(document.get("hyperparameters"), dict) or not isinstance(document.get("results"), list):
            break
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "m.json", json.dumps(document)))


def test_corpus() -> None:
    """The corpus's models are as many runs as it says, each with a final loss."""
    facts, runs = corpus_case("openlm-scaling-104")
    assert len(runs) == facts["facts"]["n_runs"]
    assert all(run.get("val_loss") is not None for run in runs)
