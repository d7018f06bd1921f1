"""Fixtures shared by the tests: the example, made-up runs, and the corpus where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from made_up import MadeUpRun

hypothesis.settings.register_profile("tests", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("tests")  # the same examples on every machine; `make fuzz` looks for new ones

ROOT = Path(__file__).resolve().parent.parent
CASE = "nanogpt-fineweb-40m-rtx4070"


@pytest.fixture
def example() -> Path:
    """The example that the README's first command diagnoses."""
    return ROOT / "examples" / "fineweb-40m"


@pytest.fixture
def made_up(tmp_path: Path) -> MadeUpRun:
    """A run of known numbers, written into a folder of its own."""
    return MadeUpRun(tmp_path / "run")


@pytest.fixture
def case() -> Path:
    """The project's own case in the corpus (``AUSCULT_CORPUS``, or ``../shared/corpus``)."""
    corpus = Path(os.environ.get("AUSCULT_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not (corpus / CASE).is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {corpus}")
    return corpus / CASE
