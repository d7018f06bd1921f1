"""Logs in memory, and what readings of them say, for the tests of dialects."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from auscult.readers.files import InputFile
from auscult.readers.reading import Reading
from auscult.run import Known

CORPUS = Path(os.environ.get("AUSCULT_CORPUS") or Path(__file__).resolve().parents[2] / "shared" / "corpus")


def file_of(text: str, name: str = "train.log") -> InputFile:
    """Return a text as a file."""
    data = text.encode(errors="replace")
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def corpus_case(name: str) -> Path:
    """Return the folder of a real run, or skip where there is no corpus."""
    if not (CORPUS / name).is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    return CORPUS / name


def points(reading: Reading, name: str) -> list[tuple[int, float]]:
    """Return a series as pairs of step and value; none where there is no such series."""
    series = reading.get(name)
    return [] if series is None else list(zip(series.steps, series.values, strict=True))


def plain(reading: Reading, key: str) -> object:
    """Return the plain value of a setting that is known."""
    quantity = reading.settings[key]
    assert isinstance(quantity, Known), quantity
    return quantity.value


def notice_counts(reading: Reading) -> dict[str, int]:
    """Return how often each kind of notice was seen."""
    return {notice.kind: notice.count for notice in reading.notices}


def notice_kinds(reading: Reading) -> set[str]:
    """Return the kinds of the notices."""
    return {notice.kind for notice in reading.notices}
