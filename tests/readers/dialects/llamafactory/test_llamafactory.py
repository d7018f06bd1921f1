"""LLaMA-Factory's trainer_log.jsonl, of the versions that there were."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.dialects.llamafactory import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.hf_keys import interpret
from auscult.readers.reading import Reading
from auscult.run import Known

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[5] / "shared" / "corpus"))


def row(step: int, total: int = 100, **values: Any) -> dict[str, Any]:
    return {
        "current_steps": step,
        "total_steps": total,
        **values,
        "percentage": step,
        "elapsed_time": "0:01:40",
        "remaining_time": "0:10:00",
    }


def file_of(rows: list[Any] | str, name: str = "trainer_log.jsonl") -> InputFile:
    data = (rows if isinstance(rows, str) else "".join(json.dumps(r) + "\n" for r in rows)).encode()
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(rows: list[Any] | str) -> tuple[Reading, ...]:
    return tuple(DIALECT.read(file_of(rows)))


@pytest.mark.parametrize("rate", ["lr", "learning_rate"])
def test_rows_of_either_version(rate: str) -> None:
    """The learning rate's name changed; the last row has no loss."""
    (reading,) = read(
        [
            row(10, loss=2.5, epoch=0.1) | {rate: 1e-4},
            row(20, loss=2.25, epoch=0.2) | {rate: 9e-5},
            row(20, epoch=0.2),
        ]
    )
    loss, lr = reading.get("train_loss"), reading.get("learning_rate")
    assert loss is not None
    assert lr is not None
    assert (list(loss.steps), list(loss.values), list(loss.lines)) == ([10, 20], [2.5, 2.25], [1, 2])
    assert list(lr.values) == [1e-4, 9e-5]
    found = interpret(reading.raw)
    assert isinstance(found["recipe.max_steps"], Known)
    assert found["recipe.max_steps"].value == 100
    assert found["recipe.max_steps"].source.line == 3


def test_nulls_of_the_first_versions() -> None:
    """Fields that were null say nothing; an evaluation's row has its own loss."""
    (reading,) = read(
        [row(10, loss=2.5, eval_loss=None, predict_loss=None, reward=None), row(10, loss=None, eval_loss=2.75)]
    )
    assert {s.name for s in reading.series} == {"train_loss", "val_loss", "elapsed_time_s"}


def test_throughput_of_zero_was_not_counted() -> None:
    """Zero tokens are left out, counted ones kept."""
    (reading,) = read(
        [row(10, loss=2.5, throughput="0.00", total_tokens=0), row(20, loss=2.5, throughput="0.00", total_tokens=0)]
    )
    assert reading.get("tokens_per_s") is None
    assert "throughput_constant_zero" in {n.kind for n in reading.notices}
    (reading,) = read([row(10, loss=2.5, throughput=1500.5, total_tokens=150050)])
    assert reading.get("tokens_per_s") is not None
    assert isinstance(interpret(reading.raw)["logged.tokens_seen"], Known)


def test_days_in_the_elapsed_time() -> None:
    """Durations are those that Python prints, with days."""
    rows = [
        {**row(10, loss=2.5), "elapsed_time": "1 day, 0:00:01"},
        {**row(20, loss=2.4), "elapsed_time": "9 days, 22:13:15"},
    ]
    (reading,) = read(rows)
    elapsed = reading.get("elapsed_time_s")
    assert elapsed is not None
    assert list(elapsed.values) == [86_401, 9 * 86_400 + 22 * 3600 + 13 * 60 + 15]


def test_log_that_begins_anew_is_another_run() -> None:
    """The trainer appends to a log that is there: from the first step again it is another run; a little back, a resume."""
    anew = {"elapsed_time": "0:00:09"}
    again = read([row(10, loss=2.5), row(20, loss=2.4), row(10, loss=2.6) | anew, row(20, loss=2.3)])
    assert [reading.label for reading in again] == ["1", "2"]
    (resumed,) = read([row(10, loss=2.5), row(20, loss=2.4), row(30, loss=2.4), row(25, loss=2.3)])
    assert [(s.step_before, s.step_after) for s in resumed.seams] == [(30, 25)]


def test_cut_rows_are_counted() -> None:
    """A row that is no whole object is left out and reported with its line."""
    (reading,) = read(
        json.dumps(row(10, loss=2.5)) + '\n{"current_steps": 20, "total\n' + json.dumps(row(30, loss=2.25)) + "\n"
    )
    (problem,) = reading.problems
    assert (problem.kind, problem.count, problem.source.line) == ("broken_record", 1, 2)


def test_no_loss_is_said() -> None:
    """A log of predictions has no loss, which is said."""
    (reading,) = read([row(5), row(10)])
    assert "no_loss_logged" in {n.kind for n in reading.notices}


def test_sniff() -> None:
    """The first row is unmistakable; other JSON lines are left alone."""
    assert DIALECT.sniff(file_of([row(10, loss=2.5)])) == 1.0
    assert DIALECT.sniff(file_of([row(10, loss=2.5)], "x.jsonl")) >= 0.9
    assert DIALECT.sniff(file_of([{"step": 1, "loss": 2.5}], "trainer_log.jsonl")) == 0


def test_several_nodes_append_to_one_file() -> None:
    """Each node writes its row for a step, a little after the other; that is no resumption, and is said."""
    rows = [row(step, loss=2.0 - step / 200 + node / 1000) for step in range(10, 200, 10) for node in (0, 1)]
    behind = sorted(range(len(rows)), key=lambda i: rows[i]["current_steps"] + 15 * (i % 2))
    (reading,) = read([rows[i] for i in behind])
    assert [(n.kind, n.count) for n in reading.notices] == [("ranks_interleaved", 19)]
    assert not reading.seams
    (resumed,) = read([row(s, loss=2.0) for s in (*range(10, 110, 10), *range(60, 200, 10))])
    assert not resumed.notices
    assert [(seam.step_before, seam.step_after) for seam in resumed.seams] == [(100, 60)]


@settings(deadline=None)
@given(
    st.lists(
        st.text(max_size=20)
        | st.dictionaries(
            st.sampled_from(
                [
                    "current_steps",
                    "total_steps",
                    "loss",
                    "lr",
                    "epoch",
                    "elapsed_time",
                    "total_tokens",
                    "vram_allocated",
                ]
            ),
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        ).map(lambda r: {"current_steps": 1, **r}),
        max_size=6,
    )
)
def test_any_rows_are_read_or_refused(rows: list[Any]) -> None:
    """Whatever stands in the lines, there are readings or an error of ours."""
    with contextlib.suppress(InputError):
        for reading in read(rows):
            interpret(reading.raw)
            assert all(len(s) for s in reading.series)


@pytest.mark.parametrize("case", ["llamafactory-7b-cpt", "llamafactory-mistral-epoch-staircase"])
def test_corpus_facts(case: str) -> None:
    """Real logs and the states beside them are one run with the facts known of it."""
    folder = CORPUS / case
    if not folder.is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    (run,) = read_all(folder).runs
    for name, wanted in facts["series"].items():
        series = run.get(name)
        assert series is not None
        assert series.count == wanted["points"]
        assert [[series.steps[0], series.values[0]], [series.steps[-1], series.values[-1]]] == [
            wanted["first"],
            wanted["last"],
        ]
    for key, value in facts["facts"].items():
        if key.startswith("hf."):
            assert run.noted[key].value == value
    assert isinstance(run.logged.epochs, Known)
    assert run.logged.epochs.value == pytest.approx(facts["facts"]["run.budget.epochs"])
    assert not run.problems


def test_a_count_without_end_is_no_count() -> None:
    """A total of tokens that is infinite is left out of what the run says of itself."""
    (reading,) = read([{"current_steps": 1, "loss": 2.5, "total_tokens": float("inf")}])
    assert reading.get("train_loss") is not None
    assert "logged.tokens_seen" not in reading.settings
