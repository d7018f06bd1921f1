"""YAML, TOML and JSON of strangers unfold into no more than they may: aliases, long names, depth, endless numbers."""

from __future__ import annotations

import contextlib
import io
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from auscult.errors import BadConfig, BadSettings, InputError
from auscult.readers.files import InputFile
from auscult.readers.given import read_settings
from auscult.readers.json_text import key_lines, read_mapping
from auscult.readers.toml_text import read_toml
from auscult.readers.yaml_text import read_yaml

MAX_MEMORY = 200 * 2**20


def of_memory(text: str, name: str) -> InputFile:
    data = text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def within_bounds(read: Callable[[], Any]) -> Any:
    """Read, and hold the memory of its peak against what a config may take."""
    tracemalloc.start()
    try:
        found = read()
        assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY
    finally:
        tracemalloc.stop()
    return found


def test_an_alias_to_a_list_counts_as_the_whole_list() -> None:
    """A YAML list of a thousand numbers that is named thousands of times is refused before it fills the memory."""
    text = f"a: &a [{'1, ' * 1000}1]\nb:\n" + "".join(f" k{i}: *a\n" for i in range(20_000))
    with pytest.raises(BadConfig, match="too many values"):
        within_bounds(lambda: read_yaml(text, "a.yaml"))


def test_an_alias_within_itself_is_refused() -> None:
    """A YAML mapping that holds itself ends as an error of ours."""
    with pytest.raises(BadConfig, match="too many values"):
        read_yaml("a: &a\n  b: *a\n", "a.yaml")


@pytest.mark.parametrize("levels", [40, 60])
def test_aliases_that_double_are_refused(levels: int) -> None:
    """Lists of two of the list before ("a billion laughs") are refused soon."""
    text = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, levels))
    with pytest.raises(BadConfig, match="too many values"):
        read_yaml(text, "a.yaml")


def test_long_names_are_left_out_of_yaml() -> None:
    """Names within names of a thousand characters are not repeated for each value below them."""
    depth = 20
    head = "".join(f"{' ' * i}{'k' * 1000}:\n" for i in range(depth))
    text = head + "".join(f"{' ' * depth}v{i}: 1\n" for i in range(10_000)) + "lr: 0.1\n"
    assert list(within_bounds(lambda: read_yaml(text, "a.yaml"))) == ["lr"]


def test_long_names_are_left_out_of_toml() -> None:
    """A table of a name of a hundred thousand characters is not repeated for each value in it."""
    text = "lr = 0.1\n[" + "k" * 100_000 + "]\n" + "".join(f"b{i}=1\n" for i in range(5_000))
    assert list(within_bounds(lambda: read_toml(text, "a.toml"))) == ["lr"]


def test_long_names_are_left_out_of_json() -> None:
    """A key of half a million characters is not repeated for each value below it."""
    text = '{"lr": 0.1, "' + "k" * 500_000 + '": {' + ", ".join(f'"b{i}": 1' for i in range(5_000)) + "}}"
    assert list(within_bounds(lambda: read_mapping(of_memory(text, "a.json")))) == ["lr"]


@pytest.mark.parametrize("text", ["[" + ".".join("a" * 20_000) + "]\n", ".".join("a" * 20_000) + " = 1\n"])
def test_names_of_many_parts_are_refused(text: str) -> None:
    """A TOML name of thousands of parts, over which its parser goes again and again, is refused unread."""
    with pytest.raises(BadConfig, match="dots"):
        read_toml(text, "a.toml")


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{a=" * 5000, "a = " + "1" * 5000])
def test_toml_too_deep_or_endless_is_an_error_of_ours(text: str) -> None:
    """Depth and endless numbers that Python's parser gives up on end as an error of ours, also in ``auscult.toml``."""
    with pytest.raises(BadConfig):
        read_toml(text, "a.toml")
    with pytest.raises(BadSettings):
        read_settings(of_memory(text, "auscult.toml"))


@pytest.mark.parametrize(
    "text",
    [
        f'train_tokens = "{"9" * 400}"',
        f"val_tokens = {10**400}",
        f"gpus = {10**400}",
        'train_tokens = "9000000000000T"',
    ],
)
def test_a_count_beyond_sense_is_an_error_of_ours(text: str) -> None:
    """Counts in ``auscult.toml`` that no run can have are refused before anything is computed with them."""
    with pytest.raises(BadSettings, match="cannot be used"):
        read_settings(of_memory(text, "auscult.toml"))


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 50_000, "- " * 50_000, "? " * 50_000, "{a: " * 50_000, "a: " + "9" * 50_000]
)
def test_yaml_too_deep_or_endless_does_no_harm(text: str) -> None:
    """Depth and endless numbers in YAML are read or refused."""
    with contextlib.suppress(InputError):
        read_yaml(text, "a.yaml")


def test_the_line_of_a_value_is_shown_without_copying_it() -> None:
    """Values that share one line of a million characters do not each take that line apart."""
    text = " {" + ", ".join(f"k{i}: 1" for i in range(40_000)) + " " * 400_000 + "}"
    start = time.process_time()
    assert len(read_yaml(text, "a.yaml")) == 40_000
    assert time.process_time() - start < 10


@pytest.mark.parametrize("text", ['"' + '\\"' * 50_000, '"a\\' * 50_000, '{"a": "' + "\\" * 100_001])
def test_a_quotation_mark_that_is_never_closed_is_passed_over_once(text: str) -> None:
    """Text after an open quotation mark is looked at once and not from each of its marks again."""
    start = time.process_time()
    key_lines(text)
    assert time.process_time() - start < 2
