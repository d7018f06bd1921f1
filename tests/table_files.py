"""What the tests of tabular dialects share: files of given content, and the corpus with what it says of a case."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Dialect, Reading
from auscult.run import Known, Run, Series

ROOT = Path(__file__).resolve().parent.parent


def at(folder: Path, name: str, content: str | bytes) -> InputFile:
    """Return a file of that content, written below a folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_path(path, name)


def one(dialect: Dialect, file: InputFile) -> Reading:
    """Return the only reading of a file."""
    found = list(dialect.read(file))
    assert len(found) == 1, [r.label for r in found]
    return found[0]


def points(reading: Reading | Run, name: str) -> list[tuple[int, float]]:
    """Return a series as pairs of step and value."""
    series = reading.get(name)
    assert series is not None, [s.name for s in reading.series]
    return list(zip(series.steps, series.values, strict=True))


def said(reading: Reading) -> dict[str, Any]:
    """Return the settings that are known, as plain values."""
    return {key: q.value for key, q in reading.settings.items() if isinstance(q, Known)}


def kinds(reading: Reading) -> set[str]:
    """Return the kinds of a reading's notices."""
    return {notice.kind for notice in reading.notices}


def survives(dialect: Dialect, file: InputFile) -> list[Reading]:
    """Read a file; anything but readings or an input error is a defect."""
    try:
        assert 0 <= dialect.sniff(file) <= 1
        return list(dialect.read(file))
    except InputError:
        return []


def corpus_case(slug: str) -> tuple[dict[str, Any], tuple[Run, ...]]:
    """Return what the corpus says of a case and the runs that are read from it; skips where there is no corpus."""
    corpus = Path(os.environ.get("AUSCULT_CORPUS", ROOT.parent / "shared" / "corpus"))
    folder = corpus / slug
    if not folder.is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {corpus}")
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return facts, read_all(folder).runs


def agrees(series: Series, wanted: dict[str, Any]) -> bool:
    """Return whether a series is the one that the corpus describes."""
    pairs = list(zip(series.steps, series.values, strict=True))
    return (
        series.count == wanted["points"]
        and list(pairs[0]) == wanted["first"]
        and list(pairs[-1]) == wanted["last"]
        and wanted["min"] in [list(p) for p in pairs]
        and series.mode == wanted["mode"]
    )
