"""Real runs with known facts: nothing that is read contradicts them, and files of one run agree.

The corpus is not part of the project: ``$AUSCULT_CORPUS`` or ``../shared/corpus``; without it these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

from auscult.readers import Found, read_all
from auscult.run import Known, Run, Series

ROOT = Path(__file__).resolve().parent.parent


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpus_script", ROOT / "scripts" / "corpus.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SCRIPT = load_script()
CORPUS: Path | None = SCRIPT.corpus()
CASES = sorted(p.parent for p in CORPUS.glob("*/facts.json")) if CORPUS is not None else []
pytestmark = pytest.mark.skipif(
    CORPUS is None, reason="no corpus here: set AUSCULT_CORPUS, or put it at ../shared/corpus"
)
each_case = pytest.mark.parametrize("folder", CASES or [Path()], ids=lambda p: p.name)


@each_case
def test_no_fact_is_contradicted(folder: Path) -> None:
    """Every fact that was verified by hand is met, or honestly unknown."""
    _dialects, verdicts, found = SCRIPT.judge(folder)
    assert verdicts or found is not None
    wrong = [f"{key}: {detail}" for word, key, detail in verdicts if word == SCRIPT.CONTRADICTED]
    assert not wrong
    assert sum(word == SCRIPT.MET for word, *_ in verdicts) >= sum(word == SCRIPT.UNKNOWN for word, *_ in verdicts)


def agree(one: Series, two: Series) -> bool:
    """Return whether two series have equal values at equal steps, to the digits that the coarser of them has."""
    a = dict(zip(one.steps, one.values, strict=True))
    b = dict(zip(two.steps, two.values, strict=True))
    shared = [s for s in a.keys() & b.keys() if math.isfinite(a[s]) and math.isfinite(b[s])]
    digits = min(digits_of(a.values()), digits_of(b.values()))
    close = [abs(a[s] - b[s]) <= 0.51 * 10.0**-digits + 1e-6 * abs(a[s]) for s in shared]
    return sum(close) >= 0.95 * len(close)  # a trainer may write one evaluation into one file only


def digits_of(values: object) -> int:
    assert hasattr(values, "__iter__")
    texts = [repr(v) for v in values if math.isfinite(v)]
    return max((12 if "e" in t else len(t.partition(".")[2]) for t in texts), default=0)


def read_alone(folder: Path, file: str) -> Run | None:
    found: Found = read_all(folder / file)
    return found.runs[0] if len(found.runs) == 1 else None


@each_case
def test_readers_of_one_run_agree(folder: Path) -> None:
    """Where a folder holds one run in several formats, what two of them both say is the same."""
    found = read_all(folder) if not (folder / "facts.json").read_text().count('"logbook"') else Found(())
    copies = [relation for relation in found.relations if relation.kind == "copies"]
    for relation in copies:
        alone = {file: run for file in relation.files if (run := read_alone(folder, file)) is not None}
        for (name, one), (other, two) in itertools.combinations(alone.items(), 2):
            for series in one.series:
                twin = two.get(series.name)
                if twin is not None and twin.axis == series.axis and twin.mode == series.mode:
                    assert agree(series, twin), f"{series.name} of {name} and {other}"
            for field in ("max_steps", "batch_size", "learning_rate", "warmup_steps"):
                a, b = getattr(one.recipe, field), getattr(two.recipe, field)
                if isinstance(a, Known) and isinstance(b, Known):
                    assert a.value == pytest.approx(b.value), f"{field} of {name} and {other}"
