"""The Trainer's table in a notebook; tables and numbers are invented look-alikes."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.hf_notebook import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.readers.registry import recognise
from auscult.run import value_of

BANNER = """==((====))==  Unsloth - 2x faster free finetuning | Num GPUs used = 2
   \\\\   /|    Num examples = 1,200 | Num Epochs = 3 | Total steps = 150
O^O/ \\_/ \\    Batch size per device = 4 | Gradient accumulation steps = 3
\\        /    Data Parallel GPUs = 2 | Total batch size (4 x 3 x 2) = 24
 "-____-"     Trainable parameters = 1,234,567 of 90,000,000 (1.37% trained)
"""


def table(rows: list[tuple[Any, ...]], bar: str = "[150/150 01:02, Epoch 3/3]") -> list[str]:
    """Return the HTML of a table as the Trainer writes it, in lines."""
    lines = [
        "\n",
        "    <div>\n",
        "      \n",
        "      <progress value='150' max='150' style='width:300px;'></progress>\n",
    ]
    lines += [f"      {bar}\n", "    </div>\n", '    <table border="1" class="dataframe">\n', "  <thead>\n"]
    lines += [' <tr style="text-align: left;">\n', *(f"      <th>{cell}</th>\n" for cell in rows[0]), "    </tr>\n"]
    lines += ["  </thead>\n", "  <tbody>\n"]
    for row in rows[1:]:
        lines += ["    <tr>\n", *(f"      <td>{cell}</td>\n" for cell in row), "    </tr>\n"]
    return [*lines, "  </tbody>\n", "</table><p>"]


def html(text: list[str] | str) -> dict[str, Any]:
    """Return an output of a cell that shows HTML."""
    data = {"text/html": text, "text/plain": ["<IPython.core.display.HTML object>"]}
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def stream(text: str) -> dict[str, Any]:
    """Return an output of a cell that printed something."""
    return {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}


def notebook(*outputs: dict[str, Any], indent: int | None = 1) -> InputFile:
    """Return a notebook with one cell."""
    cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": list(outputs), "source": ["train()"]}
    document = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    data = json.dumps(document, indent=indent).encode()
    return InputFile("run.ipynb", lambda: io.BytesIO(data), len(data))


def read(*outputs: dict[str, Any], indent: int | None = 1) -> tuple[Reading, ...]:
    """Read a notebook."""
    return tuple(DIALECT.read(notebook(*outputs, indent=indent)))


def points(reading: Reading, name: str) -> list[tuple[int, float]]:
    """Return the points of a series."""
    series = reading.get(name)
    assert series is not None, name
    return list(zip(series.steps, series.values, strict=True))


@pytest.mark.parametrize("indent", [1, None])
@pytest.mark.parametrize("in_one", [True, False])
def test_training_losses(indent: int | None, in_one: bool) -> None:
    """Rows are the trainer's, the bar has the planned steps, however the notebook was written."""
    lines = table([("Step", "Training Loss"), (50, "2.500000"), (100, "1,002.250000"), (150, "nan")])
    (run,) = read(html("".join(lines) if in_one else lines), indent=indent)
    assert points(run, "train_loss")[:2] == [(50, 2.5), (100, 1002.25)]
    loss = run.get("train_loss")
    assert loss is not None
    assert (loss.count, loss.mode, loss.scope) == (3, "train", "global")
    assert loss.window.startswith("mean over the steps since the row before")
    assert value_of(run.settings["recipe.max_steps"]) == 150
    assert value_of(run.noted["hf.num_train_epochs"]) == 3
    assert value_of(run.settings["recipe.log_interval"]) == 50


def test_lines_are_those_of_the_file() -> None:
    """A value's line is a line of its row in the notebook as Jupyter writes it."""
    file = notebook(html(table([("Step", "Training Loss"), (50, "2.500000")])))
    loss = next(iter(DIALECT.read(file))).get("train_loss")
    assert loss is not None
    text = file.head.decode().split("\n")
    assert "</tr>" in text[loss.lines[0] - 1]


def test_evaluations_by_epoch() -> None:
    """With evaluations by epoch the axis is the epoch, 'No log' is no value, and capitalised columns are evaluated."""
    rows = [
        ("Epoch", "Training Loss", "Validation Loss", "Rouge1"),
        (1, "No log", "2.1", "0.3"),
        (2, "1.9", "2.0", "0.4"),
    ]
    (run,) = read(html(table(rows)))
    assert points(run, "train_loss") == [(2, 1.9)]
    assert points(run, "val_loss") == [(1, 2.1), (2, 2.0)]
    loss, rouge = run.get("train_loss"), run.get("eval_rouge1")
    assert loss is not None
    assert rouge is not None
    assert (loss.axis, rouge.axis, rouge.split, rouge.mode) == ("epoch", "epoch", "val", "eval")
    assert "before the evaluation" in loss.window


def test_policy_training_is_no_cross_entropy() -> None:
    """Columns that TRL adds keep their names, and say that the loss is another."""
    (run,) = read(
        html(table([("Step", "Training Loss", "reward", "completions / mean_length"), (5, "0.01", "1.5", "70")]))
    )
    loss, length = run.get("train_loss"), run.get("completions/mean_length")
    assert loss is not None
    assert length is not None
    assert loss.unit == "1"


def test_each_table_is_a_run_with_the_banner_before_it() -> None:
    """Unsloth's banner counts micro-batches of all processes; the next training has none of it."""
    first = html(table([("Step", "Training Loss"), (50, "2.5"), (100, "2.4")]))
    second = html(table([("Step", "Training Loss"), (50, "2.6")], bar="[50/50 00:10, Epoch 1/1]"))
    end = {"data": {"text/plain": ["TrainOutput(global_step=50, training_loss=2.55, metrics={})"]}}
    one, two = read(stream(BANNER), first, second, end | {"output_type": "execute_result"})
    expected = {
        "recipe.batch_size": 4,
        "recipe.gradient_accumulation_steps": 6,
        "recipe.max_steps": 150,
        "machine.gpu_count": 2,
        "logged.parameters": (1234567, 1234567),
        "logged.parameters_convention": "trainable",
    }
    assert {key: value_of(one.settings[key]) for key in expected} == expected
    assert "recipe.batch_size" not in two.settings
    assert value_of(two.settings["recipe.max_steps"]) == 50
    assert value_of(two.noted["hf.train_loss"]) == 2.55


def test_other_tables_are_left() -> None:
    """A data frame is no table of progress, and its cells are no lines of a log."""
    frame = table([("", "loss", "Step"), (0, "1.5", "10")], bar="")
    file = notebook(html(frame), stream("Epoch | Training Loss of some sort\n"))
    assert [line.text for line in file.lines()] == [
        "<IPython.core.display.HTML object>",
        "Epoch | Training Loss of some sort",
    ]
    assert recognise(notebook(html(table([("Step", "Training Loss"), (5, "2.0")]))))[1] is DIALECT
    text = InputFile("a.txt", lambda: io.BytesIO(b"Step | Training Loss\n5 | 2.0\n"), 29)
    assert DIALECT.sniff(text) == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_mangled_tables_never_break_it(data: st.DataObject) -> None:
    """Cut and spliced HTML gives readings or an error of ours."""
    whole = "".join(table([("Step", "Training Loss", "Validation Loss"), (5, "2.0", "2.1"), (10, "1.9", "No log")]))
    at = data.draw(st.integers(0, len(whole)))
    middle = data.draw(
        st.text(max_size=12) | st.sampled_from(["<td>" * 400, "<tr", "&#0;", "<" * 3000, "<td>9|9</td>", "\n"])
    )
    text = whole[:at] + middle + whole[at + data.draw(st.integers(0, 60)) :]
    outputs = [html(text if data.draw(st.booleans()) else text.splitlines(keepends=True))]
    with contextlib.suppress(InputError):
        read(*outputs)
