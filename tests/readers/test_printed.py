"""Printed Python objects are taken apart, never evaluated; rounded numbers are what they say and no more."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.human import human, human_interval
from auscult.readers.printed import depth_of, read_printed


def values(text: str) -> dict[str, object]:
    """Return plain values by their paths."""
    return {path: known.value for path, known in read_printed(text, "a.log", 1).items()}


def test_dicts_objects_lists_and_words() -> None:
    """Nested dicts, dataclasses, lists and words are found under their paths; unknown objects are passed over."""
    text = "{'a': {'b': 1}, 'c': Args(d=[1, 2.5], e=None, f=<x.Y object at 0x1>, g=Path('p/q')), 'h': (0.9, 0.95), \"i\": 'x y'}"
    assert values(text) == {
        "a.b": 1,
        "c": "Args",
        "c.d": [1, 2.5],
        "c.e": None,
        "c.g": "p/q",
        "h": [0.9, 0.95],
        "i": "x y",
    }


def test_lines() -> None:
    """Values over many lines have the lines on which they stand."""
    found = read_printed("{'a': 1,\n 'b': A(c=2,\n        d=True)}", "a.log", 10)
    assert [found[key].source.line for key in ("a", "b.c", "b.d")] == [10, 11, 12]


def test_brackets_inside_strings_do_not_count() -> None:
    """The depth of brackets is that of the object, not of the strings in it."""
    assert depth_of("{'a': '(((', 'b': [") == 2
    assert depth_of("]}", 2) == 0


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("{}[]()'\"=:,a1. \n\\<>-eN"), max_size=80) | st.text(max_size=40))
def test_any_text_is_harmless(text: str) -> None:
    """Whatever is given comes apart without an error."""
    read_printed(text, "a.log", 1)
    depth_of(text)


@pytest.mark.parametrize(("text", "value"), [("1.05M", 1.05e6), ("512.00", 512.0), ("-3.2e-05", -3.2e-5), ("2T", 2e12)])
def test_rounded_numbers(text: str, value: float) -> None:
    """A letter at the end is a power of a thousand."""
    assert human(text) == pytest.approx(value)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**14))
def test_the_interval_holds_what_was_rounded(count: int) -> None:
    """However a count is rounded to three digits or two decimals, the interval holds it."""
    size = min((len(str(count)) - 1) // 3, 4)
    decimals = f"{count / 1000**size:.2f}" + ["", "K", "M", "B", "T"][size]
    low, high = human_interval(decimals, decimals=2)
    assert low <= count <= high
    digits = f"{float(f'{count:.3g}') / 1000**size:f}".rstrip("0").rstrip(".") + ["", "K", "M", "B", "T"][size]
    low, high = human_interval(digits, digits=3)
    assert low <= count <= high
