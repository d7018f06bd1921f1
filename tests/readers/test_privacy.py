"""Reports are passed on: no reading holds e-mail addresses, logins or home folders, whatever the dialect."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import auscult
from auscult.errors import InputError
from auscult.readers import all_dialects
from auscult.readers.files import InputFile
from auscult.readers.privacy import nameless
from auscult.readers.reading import Dialect
from auscult.report.json import dumps
from auscult.run import ConfigText, Series

HOME = "/home/somebody/"
NAMES = (
    "train.log",
    "config.json",
    "config.yaml",
    "train_x.py",
    "run.sh",
    "metrics.csv",
    "x.jsonl",
    "a.toml",
    "notes.md",
)
PLACES = (
    (r"(['\"])([A-Za-z][^'\"\n:]*)\1(?!\s*:)", rf"\1{HOME}\2\1"),
    (r"(?m)^(\s*[\w.-]+\s*[:=]\s*)([A-Za-z][\w/.-]*)\s*$", rf"\1{HOME}\2"),
    (r"(?m)$", f" somebody@example.org {HOME}x"),
    (r"(--?[\w-]+[ =])([A-Za-z][\w/.-]*)", rf"\1{HOME}\2"),
)
"""Where names are put into the example: quoted words, values of keys, ends of lines, values of options."""


def of_memory(name: str, data: bytes) -> InputFile:
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def words_of(said: Any) -> Iterator[str]:
    """Yield what is said in words; names of files and a config's text, which is what edits are made to, are left out."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, Mapping):
        for value in said.values():
            yield from words_of(value)
    elif isinstance(said, list | tuple):
        for value in said:
            yield from words_of(value)
    elif dataclasses.is_dataclass(said) and not isinstance(said, Series):
        left_out = {"file", "path", "text"} if isinstance(said, ConfigText) else {"file", "path"}
        for field in dataclasses.fields(said):
            if field.name not in left_out:
                yield from words_of(getattr(said, field.name))


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda d: d.name)
def test_no_reading_holds_names(dialect: Dialect) -> None:
    """Names put into the values, lines and options of a dialect's example are in none of its readings."""
    for pattern, with_name in PLACES:
        data = re.sub(pattern, with_name, dialect.example).encode()
        for name in NAMES:
            try:
                readings = [nameless(r) for r in dialect.read(of_memory(name, data))]
            except InputError:
                continue
            assert not [word for word in words_of(readings) if "somebody" in word]


def test_a_diagnosis_holds_no_names(tmp_path: Path) -> None:
    """Names in a config's values and comments, and in lines of the log, are not in the JSON report."""
    (tmp_path / "train_x.py").write_text(
        f"out_dir = '{HOME}out'\ndataset = '{HOME}fineweb'\nn_layer = 12  # GPT-2 124M as somebody@example.org has it\n"
        "n_embd = 384\nn_head = 12\nblock_size = 1024\n"
    )
    (tmp_path / "train.log").write_text(
        f"saving checkpoint to {HOME}out\nstep 0: train loss 10.9, val loss 10.9\niter 0: loss 10.9, time 900.00ms, mfu -100.00%\n"
        f"Traceback (most recent call last):\n  File \"{HOME}train.py\", line 1\nKeyError: '{HOME}x'\n"
    )
    report = dumps(auscult.diagnose(auscult.read(tmp_path)))
    assert "n_layer" in report
    assert "somebody" not in report
