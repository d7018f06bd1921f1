"""Made-up configs for tests: files from texts, their settings as plain values, and texts that went wrong."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.files import InputFile
from auscult.readers.reading import Dialect, Reading
from auscult.run import Known

__all__ = ["case_files", "file_of", "line_of", "mangled", "plain", "read_one", "survives", "why"]

_NOISE = (
    "${",
    "*a",
    "&a ",
    "1e999",
    "9" * 40,
    "\x00",
    "!!python/object:os.system ",
    '"',
    "'",
    "[",
    "{",
    ": ",
    "$((",
    "<<E\n",
    "\\",
)


def file_of(text: str | bytes, name: str) -> InputFile:
    """Return a file of that content."""
    data = text if isinstance(text, bytes) else text.encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read_one(dialect: Dialect, text: str, name: str) -> Reading:
    """Return the only reading of a text that the dialect recognises."""
    file = file_of(text, name)
    assert dialect.sniff(file) >= 0.5, dialect.sniff(file)
    (reading,) = dialect.read(file)
    return reading


def plain(reading: Reading) -> dict[str, Any]:
    """Return the known settings by the last part of their keys."""
    return {key.rpartition(".")[2]: q.value for key, q in reading.settings.items() if isinstance(q, Known)}


def why(reading: Reading, key: str) -> str:
    """Return why a setting is unknown."""
    quantity = reading.settings[key]
    assert not isinstance(quantity, Known), quantity
    return quantity.reason


def line_of(reading: Reading, key: str) -> int | None:
    """Return the line on which a setting was read."""
    quantity = reading.settings[key]
    assert isinstance(quantity, Known), quantity
    return quantity.source.line


@st.composite
def mangled(draw: st.DrawFn, text: str) -> bytes:
    """Return the text with a few of its bytes cut, doubled or replaced."""
    data = text.encode()
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 60)))
        noise = draw(
            st.one_of(st.sampled_from(_NOISE).map(str.encode), st.binary(max_size=8), st.just(data[at:to] * 2))
        )
        data = data[:at] + noise + data[to:]
    return data


def survives(dialect: Dialect, data: bytes, name: str) -> None:
    """Assert that nothing but an InputError comes out of reading these bytes."""
    file = file_of(data, name)
    assert 0 <= dialect.sniff(file) <= 1
    with contextlib.suppress(InputError):
        for reading in dialect.read(file):
            assert reading.dialect == dialect.name


def case_files(case: str, *names: str) -> list[Path]:
    """Return files of a case of the corpus; skip the test where it is not here."""
    root = Path(__file__).resolve().parent.parent
    corpus = Path(os.environ.get("AUSCULT_CORPUS", root.parent / "shared" / "corpus"))
    if not (corpus / case).is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {corpus}")
    return [corpus / case / name for name in names]
