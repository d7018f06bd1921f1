"""MLflow's file store."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText
from auscult.readers import read_all
from auscult.readers.dialects.mlflow import DIALECT
from auscult.run import Known
from table_files import at, kinds, one, points, said, survives

RUN = "mlruns/0/" + "3f" * 16
META = """artifact_uri: file:///home/somebody/mlruns/0/x/artifacts
end_time: 1700000009000
experiment_id: '0'
lifecycle_stage: active
run_id: 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f
run_name: able-fox-12
status: 5
user_id: somebody
"""


def store(folder: Path, run: str = RUN) -> None:
    at(folder, f"{run}/meta.yaml", META.replace("3f" * 16, run.rpartition("/")[2]))
    at(folder, f"{run}/metrics/train/loss", "".join(f"17000000{s:05d} {5 - s / 10} {s * 10}\n" for s in range(9)))
    at(folder, f"{run}/metrics/eval_loss", "1700000000100 4.75 40\n1700000000200 nan 80\n")
    at(folder, f"{run}/metrics/lr", "1700000000100 0.001 0\n")
    at(folder, f"{run}/params/n_layer", "6")
    at(folder, f"{run}/params/learning_rate", "0.001")
    at(folder, f"{run}/params/output_dir", "/home/somebody/out")
    at(folder, f"{run}/tags/mlflow.user", "somebody")
    at(folder, f"{run}/tags/mlflow.runName", "able-fox-12")
    at(folder, f"{run}/artifacts/model/MLmodel", "run_id: x\n")


def test_one_run_of_many_files(tmp_path: Path) -> None:
    """Metrics, parameters and meta.yaml of a run folder are one run, with names in folders read as one name."""
    store(tmp_path)
    (run,) = read_all(tmp_path).runs
    assert points(run, "train_loss")[-1] == (80, 4.2)
    (first, second) = points(run, "val_loss")
    assert first == (40, 4.75)
    assert math.isnan(second[1])
    assert isinstance(run.recipe.architecture.n_layer, Known)
    assert run.recipe.architecture.n_layer.value == 6
    assert isinstance(run.recipe.run_name, Known)
    assert run.recipe.run_name.value == "able-fox-12"
    assert run.noted["mlflow.status"].value == "KILLED"
    assert "killed" in {n.kind for n in run.notices}
    assert "somebody" not in repr(run.recipe) + repr(run.noted)


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    """Run folders are kept apart, though their metrics are called the same."""
    store(tmp_path)
    store(tmp_path, "mlruns/0/" + "ab" * 16)
    assert len(read_all(tmp_path).runs) == 2


def test_the_run_folder_itself(tmp_path: Path) -> None:
    """A run folder that is named itself, or was renamed, is still one run."""
    store(tmp_path, "my-run")
    (run,) = read_all(tmp_path / "my-run").runs
    assert points(run, "train_loss")[0] == (0, 5.0)
    assert isinstance(run.recipe.learning_rate, Known)


def test_parameters_alone_are_one_run(tmp_path: Path) -> None:
    """A run that logged no metric yet is one run with its parameters."""
    store(tmp_path)
    for path in sorted((tmp_path / RUN / "metrics").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (run,) = read_all(tmp_path).runs
    assert isinstance(run.recipe.architecture.n_layer, Known)


def test_values_that_overtook_one_another(tmp_path: Path) -> None:
    """Neighbours that asynchronous logging mixed up are put in order; the lines stay those of the file."""
    file = at(tmp_path, f"{RUN}/metrics/loss", "1700000000001 5 1\n1700000000003 3 3\n1700000000002 4 2\n")
    series = one(DIALECT, file).get("train_loss")
    assert series is not None
    assert (list(series.steps), list(series.lines)) == ([1, 2, 3], [1, 3, 2])


def test_old_files_without_steps(tmp_path: Path) -> None:
    """Very old stores have no step: rows are counted."""
    series = one(DIALECT, at(tmp_path, f"{RUN}/metrics/loss", "1500000000001 5\n1500000000002 4\n")).get("train_loss")
    assert series is not None
    assert (series.axis, list(series.steps)) == ("row", [0, 1])


def test_constant_zero_gradient_norm(tmp_path: Path) -> None:
    """A gradient norm of 0 throughout was not measured."""
    text = "".join(f"170000000000{s} 0.0 {s}\n" for s in range(5))
    reading = one(DIALECT, at(tmp_path, f"{RUN}/metrics/grad_norm", text))
    assert reading.get("grad_norm") is None
    assert "grad_norm_constant_zero" in kinds(reading)


def test_broken_lines_are_counted(tmp_path: Path) -> None:
    """A line that was cut is left out and reported."""
    reading = one(DIALECT, at(tmp_path, f"{RUN}/metrics/loss", "1700000000001 5 1\n17000\n1700000000002 x 2\n"))
    assert reading.problems[0].count == 2


def test_sniff(tmp_path: Path) -> None:
    """Metrics are known by their lines and their folder, parameters by their run folder."""
    store(tmp_path)
    at(tmp_path, "elsewhere/params/n_layer", "6")
    sniffed = {
        name: DIALECT.sniff(at(tmp_path, name, (tmp_path / name).read_bytes()))
        for name in (
            f"{RUN}/metrics/train/loss",
            f"{RUN}/params/n_layer",
            f"{RUN}/meta.yaml",
            f"{RUN}/tags/mlflow.user",
            "elsewhere/params/n_layer",
        )
    }
    assert list(sniffed.values()) == [0.95, 0.95, 0.95, 0.0, 0.0]
    assert DIALECT.sniff(at(tmp_path, "loss", "1700000000001 5 1\n")) == 0.3
    assert said(one(DIALECT, at(tmp_path, f"{RUN}/params/lr", "0.5"))) == {"recipe.learning_rate": 0.5}
    with pytest.raises(NotText):
        list(DIALECT.read(at(tmp_path, "metrics/x", "hello\n")))


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["metrics/loss", "params/lr", "meta.yaml", "tags/mlflow.runName", "loss"]), st.binary(max_size=200)
)
def test_any_bytes_give_readings_or_an_input_error(name: str, content: bytes) -> None:
    """Whatever the files hold, nothing else is raised."""
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), f"{RUN}/{name}", content))
        survives(DIALECT, at(Path(folder), f"{RUN}/{name}", b"1700000000001 5 1\n" + content))
