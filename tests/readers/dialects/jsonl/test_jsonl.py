"""Metrics written as JSON lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText
from auscult.readers import read_all
from auscult.readers.dialects.jsonl import DIALECT
from auscult.run import Unknown
from table_files import at, corpus_case, kinds, one, points, said, survives


def lines(*objects: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def test_nested_objects(tmp_path: Path) -> None:
    """Nested objects are read under their paths, and mere wrappers count for nothing."""
    text = lines(
        {"step": 10, "train": {"loss": 5.0, "lr": 0.1}, "perf": {"mfu": 0.4}},
        {"step": 10, "metrics": {"val": {"loss": 5.5}}},
        {"step": 20, "train": {"loss": 4.0, "lr": 0.2}},
    )
    reading = one(DIALECT, at(tmp_path, "log.jsonl", text))
    assert points(reading, "train_loss") == [(10, 5.0), (20, 4.0)]
    assert points(reading, "val_loss") == [(10, 5.5)]
    assert points(reading, "learning_rate") == [(10, 0.1), (20, 0.2)]


def test_bare_nan(tmp_path: Path) -> None:
    """A bare NaN, as Python writes it, is kept as the value it is."""
    reading = one(DIALECT, at(tmp_path, "log.jsonl", '{"step": 1, "loss": 5.0}\n{"step": 2, "loss": NaN}\n'))
    (_first, (step, value)) = points(reading, "train_loss")
    assert step == 2
    assert math.isnan(value)


def test_split_key(tmp_path: Path) -> None:
    """A key that says train or val tells whose loss a line holds."""
    text = lines({"type": "train", "step": 1, "loss": 5.0}, {"type": "eval", "step": 1, "loss": 5.2})
    reading = one(DIALECT, at(tmp_path, "log.jsonl", text * 2))
    assert points(reading, "val_loss")[0] == (1, 5.2)
    assert points(reading, "train_loss")[0] == (1, 5.0)


def test_config_line(tmp_path: Path) -> None:
    """A line that holds the config gives settings; accumulation for each of unknown processes stays unknown, with a reason."""
    config = {"n_layer": 6, "n_embd": 384, "lr": 3e-4, "gradient_accumulation_steps": 4, "user": "somebody"}
    text = lines({"type": "config", "config": config}, {"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.0})
    reading = one(DIALECT, at(tmp_path, "log.jsonl", text))
    assert said(reading)["architecture.n_layer"] == 6
    assert said(reading)["recipe.learning_rate"] == 3e-4
    accumulation = reading.settings["recipe.gradient_accumulation_steps"]
    assert isinstance(accumulation, Unknown)
    assert "log.jsonl:1" in accumulation.reason
    assert "somebody" not in repr(reading)


def test_late_evaluation_is_learnt(tmp_path: Path) -> None:
    """A metric that appears beyond the sample of a long file is read all the same."""
    many = lines(*({"step": s, "loss": 5.0, "padding": "x" * 200} for s in range(4_000)))
    text = many[: len(many) // 2] + ""
    cut = text.rpartition("\n")[0] + "\n"
    middle = lines({"step": 2_000, "val_loss": 4.5})
    reading = one(DIALECT, at(tmp_path, "log.jsonl", cut + middle + many[len(cut) :]))
    assert points(reading, "val_loss") == [(2_000, 4.5)]


def test_broken_line(tmp_path: Path) -> None:
    """A line that was cut is counted, with its place."""
    reading = one(
        DIALECT, at(tmp_path, "log.jsonl", '{"step": 1, "loss": 5}\n{"step": 2, "lo\n{"step": 3, "loss": 4}\n')
    )
    (problem,) = reading.problems
    assert (problem.count, problem.source.line) == (1, 2)


def test_steps_and_evaluations_in_two_files(tmp_path: Path) -> None:
    """steps.jsonl and eval.jsonl of one folder are read; neither hides the other."""
    at(tmp_path, "train.jsonl", lines(*({"step": s, "loss": 5.0 - s} for s in range(3))))
    at(tmp_path, "eval.jsonl", lines({"step": 1, "loss": 4.5}, {"step": 2, "loss": 4.0}))
    (run,) = read_all(tmp_path).runs
    assert points(run, "val_loss") == [(1, 4.5), (2, 4.0)]


def test_several_runs(tmp_path: Path) -> None:
    """A key that names the run parts mixed lines."""
    text = lines(*({"run_id": r, "step": s, "loss": 5.0 - s} for s in range(6) for r in ("a", "b")))
    found = list(DIALECT.read(at(tmp_path, "log.jsonl", text)))
    assert [r.label for r in found] == ["a", "b"]
    assert all("several_runs_in_file" in kinds(r) for r in found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.jsonl", lines({"text": "a loss of step 3", "label": 1}, {"text": "b", "label": 2})),
        ("summary.json", lines({"step": 10, "loss": 5.0})),
        ("x.log", "step 1 loss 5\n"),
        ("y.jsonl", "[1, 2]\n[3, 4]\n"),
    ],
)
def test_other_json_is_left_alone(tmp_path: Path, name: str, text: str) -> None:
    """Data sets, single objects and other text are not claimed."""
    assert DIALECT.sniff(at(tmp_path, name, text)) < 0.5


def test_sniff(tmp_path: Path) -> None:
    """JSON lines with a step and a loss are recognised by what is in them, whatever the file is called."""
    text = lines({"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.0})
    assert DIALECT.sniff(at(tmp_path, "log.jsonl", text)) == 0.6
    assert DIALECT.sniff(at(tmp_path, "log.txt", text)) == 0.5


def test_not_recognised_is_an_input_error(tmp_path: Path) -> None:
    """Something else gets a message that says what was expected."""
    with pytest.raises(NotText, match="no JSON lines"):
        list(DIALECT.read(at(tmp_path, "log.jsonl", "nothing\n")))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["step", "loss", "val", "run", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(json_values, max_size=6), st.binary(max_size=60))
def test_any_json_gives_readings_or_an_input_error(objects: list[Any], tail: bytes) -> None:
    """Whatever the lines hold, nothing else is raised."""
    text = lines({"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.0}, *objects).encode() + tail
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "log.jsonl", text))


def test_specific_dialects_come_first() -> None:
    """LLaMA-Factory's JSON lines are read by its own dialect where there is one."""
    _facts, runs = corpus_case("llamafactory-7b-cpt")
    assert all(run.dialect != "jsonl" for run in runs)
