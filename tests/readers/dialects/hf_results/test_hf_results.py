"""Results that the Hugging Face trainer saves at its end."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.hf_results import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading

RESULTS = {
    "epoch": 3.0,
    "eval_loss": 2.25,
    "perplexity": 9.49,
    "train_loss": 2.5,
    "train_runtime": 60.5,
    "train_samples": 99,
}


def file_of(document: Any, name: str = "all_results.json") -> InputFile:
    data = (document if isinstance(document, str) else json.dumps(document, indent=4)).encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(document: Any) -> Reading:
    (reading,) = DIALECT.read(file_of(document))
    return reading


def test_figures_are_noted_under_their_names_with_their_lines() -> None:
    """The last evaluation and the mean over the run are noted; without a step neither is put on a curve."""
    reading = read(RESULTS)
    assert reading.role == "summary"
    assert reading.series == ()
    assert reading.noted["hf.eval_loss"].value == 2.25
    assert reading.noted["hf.eval_loss"].source.line == 3
    assert reading.noted["hf.train_loss"].value == 2.5


def test_step_puts_the_evaluation_on_the_curve() -> None:
    """Where somebody's script saves the step as well, the evaluation has its place."""
    val = read({**RESULTS, "step": 300}).get("val_loss")
    assert val is not None
    assert (list(val.steps), list(val.values), list(val.lines)) == ([300], [2.25], [3])


def test_texts_and_paths_are_left_out() -> None:
    """Only numbers are noted, under names that are names."""
    reading = read({**RESULTS, "output_dir": "/home/somebody/x", "a\nb": 1, "flag": True})
    assert set(reading.noted) == {f"hf.{name}" for name in RESULTS}


@pytest.mark.parametrize(
    ("name", "document", "low", "high"),
    [
        ("all_results.json", RESULTS, 0.9, 1),
        ("eval_results.json", {"perplexity": 8.1}, 0.9, 1),
        ("final.json", RESULTS, 0.5, 0.8),
        ("all_results.json", {"accuracy": 3}, 0, 0),
        ("metrics.json", {"loss": [1, 2]}, 0, 0),
        ("all_results.json", [1], 0, 0),
    ],
)
def test_sniff(name: str, document: Any, low: float, high: float) -> None:
    """The trainer's own names are sure, its columns under another name likely, other figures are left alone."""
    assert low <= DIALECT.sniff(file_of(document, name)) <= high


@given(
    st.text(max_size=80)
    | st.dictionaries(st.sampled_from([*RESULTS, "step"]), st.none() | st.integers() | st.floats() | st.text())
)
def test_any_document_is_read_or_refused(document: Any) -> None:
    """Whatever the values, there are readings or an error of ours."""
    with contextlib.suppress(InputError):
        read(document)
