"""Chronicles in prose are recognised as such, and pages that hold real logs are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.files import open_path
from auscult.readers.registry import find_dialect, recognise
from log_files import file_of

DIALECT = find_dialect("logbook")
_HARMLESS = settings(
    database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck)
)


STORY = """# Chronicles of a training

### 2023-04-01

We launched the run with the new dataset. The loss looked healthy for the first thousand iterations of the training.

### 2023-04-03

The loss spiked at iteration 12000 and then diverged, so we rolled back to an older state and lowered the LR by a third.

```
 iteration    12010/  100000 | consumed samples:  24596480 | lm loss: 3.107E+00 | loss scale: 4096.0 | grad norm: 1.2E+04 |
 iteration    12020/  100000 | consumed samples:  24616960 | lm loss: 7.713E+00 | loss scale: 4096.0 | grad norm: 2.6E+05 |
```

### 2023-04-05

A bad node made the job hang at the evaluation; we restarted it and it resumed from the state that we had saved before.

### 2023-04-07

We saw NaNs in the gradient norm again, and our guess is an overflow in the attention. The job crashed twice that night,
and we relaunched it on other nodes. After that the training was unstable for some hundred iterations until it recovered.

### 2023-04-09

Our lessons: a lower learning rate cured the instability, and the perplexity on the validation set is back where it was.
We will watch the loss scale from now on, because it fell to its minimum before each of the failures that we describe here.
"""
SAMPLE = STORY.split("\n")


def test_a_chronicle() -> None:
    """It is recognised before the dialects of the lines that it quotes, holds no series, and says what it is."""
    file = file_of(STORY, "chronicles.md")
    score, dialect = recognise(file)
    assert dialect is DIALECT
    assert score >= 0.7
    (reading,) = DIALECT.read(file)
    assert (reading.role, reading.series, dict(reading.settings)) == ("log", (), {})
    (notice,) = reading.notices
    assert notice.kind == "prose_not_a_log"
    assert "quotes 2 log lines" in notice.detail
    assert notice.source.line == 12


def test_a_chronicle_without_a_telling_name() -> None:
    """Dates, the first person and many kinds of incidents are enough."""
    text = STORY.replace("# Chronicles of a training", "# Notes")
    assert DIALECT.sniff(file_of(text, "notes.md")) >= 0.7


README = (
    """# A trainer

A small trainer of language models. It trains on one GPU and on many, and resumes from checkpoints after a crash.

## Install

Run pip install in a fresh environment, and then download the data with the script that you find in the data folder.

## Train

```
step 10 | loss 9.1234 | lr 0.0003
step 20 | loss 8.9876 | lr 0.0003
```

If the loss explodes or is NaN, lower the learning rate. Jobs that failed can be restarted with the flag for resuming.
If you see overflow warnings they are harmless: the loss scale recovers on its own within a few hundred iterations here.
"""
    + "More text about options that nobody reads to the end, with words and words and words and words.\n" * 20
)


def test_a_readme_is_no_chronicle() -> None:
    """A manual that names the same troubles is not one."""
    assert DIALECT.sniff(file_of(README, "README.md")) == 0
    assert DIALECT.sniff(file_of(README, "guide.md")) < 0.5


def test_logs_are_no_chronicles() -> None:
    """Logs, also inside a page, and programs are not prose."""
    log = "\n".join(f"iter {i}: loss {5 - i / 100:.4f}, time 90.00ms, mfu 30.00%" for i in range(200))
    assert DIALECT.sniff(file_of(log, "log.md")) == 0
    assert DIALECT.sniff(file_of(STORY, "story.py")) == 0


CASES = ["incidents-bigscience-104b", "incidents-bigscience-13b", "incidents-bloom-176b", "incidents-opt-175b"]
REAL_LOGS = [
    "torchtitan-moe-readme",
    "litgpt-tutorial-log",
    "mingpt-char-two-runs",
    "build-nanogpt-124m-tiny-corpus-memorised",
]


def corpus(name: str) -> Path:
    """Return a case of the corpus."""
    root = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))  # CORPUS
    if not (root / name).is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {root}")
    return root / name


@pytest.mark.parametrize("name", CASES)
def test_chronicles_of_the_corpus(name: str) -> None:
    """Every public logbook is recognised as prose, and gives no series."""
    runs = read_all(corpus(name)).runs
    assert any(notice.kind == "prose_not_a_log" for run in runs for notice in run.notices)
    assert not any(run.series for run in runs)


@pytest.mark.parametrize("name", REAL_LOGS)
def test_pages_of_the_corpus_that_hold_logs(name: str) -> None:
    """Pages that quote real logs are left to the dialects of those logs."""
    for path in corpus(name).rglob("*.md"):
        assert DIALECT.sniff(open_path(path, path.name)) == 0


@_HARMLESS
@given(st.integers(0, 3000), st.text(max_size=6), st.integers(0, 40), st.booleans())
def test_whatever_is_changed_gives_readings_or_an_input_error(at: int, put: str, cut: int, end: bool) -> None:
    """A log with characters put in and taken out anywhere gives readings, or an error of ours."""
    text = "\n".join(SAMPLE)
    at %= len(text) + 1
    text = text[:at] + put + text[at + cut :] + ("\n" if end else "")
    try:
        found = list(DIALECT.read(file_of(text)))
    except InputError:
        return
    for reading in found:
        for series in reading.series:
            assert len(series.steps) == len(series.values) == len(series.lines)


@_HARMLESS
@given(st.text(max_size=300))
def test_any_text_gives_readings_or_an_input_error(text: str) -> None:
    """Arbitrary text gives readings, or an error of ours, and is sniffed without harm."""
    file = file_of(text)
    assert 0 <= DIALECT.sniff(file) <= 1
    try:
        list(DIALECT.read(file))
    except InputError:
        return
