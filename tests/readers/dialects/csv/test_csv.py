"""Tables of metrics that training scripts write as CSV, by whatever rules."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError, NotText
from auscult.readers import read_all
from auscult.readers.dialects import csv
from auscult.readers.dialects.csv import DIALECT, CsvTable, layout_for, sheet_of
from auscult.readers.table import Tables
from auscult.run import Known
from table_files import agrees, at, corpus_case, kinds, one, points, said, survives

FORK = """iter,tokens_seen,train_loss,val_loss,lr,tokens_per_sec,mfu,grad_norm
0,0,10.9101,10.9203,0.000001,,-100.00,
0,4096,10.9344,,0.000001,2010,-100.00,0.0000
10,45056,9.8120,,0.000010,51000,12.50,0.0000
20,81920,8.9003,9.0107,0.000020,,12.60,
20,86016,8.8770,,0.000020,50900,12.70,0.0000
30,126976,8.1002,,0.000030,51200,12.80,0.0000
"""


def test_separate_rows(tmp_path: Path) -> None:
    """Training and validation losses on rows of their own keep their steps, and the training loss is of train mode."""
    text = "step,train_loss,val_loss,tokens_step\n0,9.5,,512\n100,,8.1,512\n200,7.7,,512\n200,,7.9,512\n"
    reading = one(DIALECT, at(tmp_path, "metrics.csv", text))
    assert points(reading, "train_loss") == [(0, 9.5), (200, 7.7)]
    assert points(reading, "val_loss") == [(100, 8.1), (200, 7.9)]
    train, val = reading.get("train_loss"), reading.get("val_loss")
    assert train is not None
    assert val is not None
    assert (train.mode, val.mode, list(val.lines)) == ("train", "eval", [3, 5])
    assert said(reading)["logged.tokens_per_step"] == 512


def test_rows_of_a_fork_of_nanogpt(tmp_path: Path) -> None:
    """A training loss beside a validation loss, at the step of another row, is an evaluation's; sentinels are left out."""
    reading = one(DIALECT, at(tmp_path, "run.csv", FORK))
    assert points(reading, "train_loss_eval") == [(0, 10.9101), (20, 8.9003)]
    assert points(reading, "train_loss") == [(0, 10.9344), (10, 9.812), (20, 8.877), (30, 8.1002)]
    assert points(reading, "val_loss") == [(0, 10.9203), (20, 9.0107)]
    assert points(reading, "mfu") == [(10, 0.125), (20, 0.126), (20, 0.127), (30, 0.128)]
    assert reading.get("grad_norm") is None
    assert "grad_norm_constant_zero" in kinds(reading)
    assert points(reading, "tokens_seen")[-1] == (30, 126976)
    assert said(reading)["logged.tokens_per_step"] == 4096


def test_losses_that_share_every_row_have_an_unknown_mode(tmp_path: Path) -> None:
    """Where both losses stand in every row, nobody knows whether dropout was on."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,train_loss,val_loss\n10,5.0,5.2\n20,4.0,4.3\n30,3.5,3.9\n"))
    train = reading.get("train_loss")
    assert train is not None
    assert train.mode == "unknown"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("step;train_loss;lr\n100;7,25;0,0003\n1 000;6,125;0,0003\n", [(100, 7.25), (1000, 6.125)]),
        ("pas;perte\n10;4,5\n20;4,25\n", [(10, 4.5), (20, 4.25)]),
        ('step,loss\n"1,000",4.5\n"12,000",4.25\n', [(1000, 4.5), (12000, 4.25)]),
        ("step\tloss\n5\t4.5\n6\t4.25\n", [(5, 4.5), (6, 4.25)]),
        ('\ufeff"step","loss"\r\n"5","4.5"\r\n"6","4.25"\r\n', [(5, 4.5), (6, 4.25)]),
        ("# written by me\nstep|loss\n5|4.5\n6|4.25\n", [(5, 4.5), (6, 4.25)]),
        ("sep=;\nstep;loss\n5;4.5\n6;4.25\n", [(5, 4.5), (6, 4.25)]),
    ],
    ids=["french", "french names", "thousands", "tabs", "bom and quotes", "comment and bars", "excel's hint"],
)
def test_ways_of_writing_numbers(tmp_path: Path, text: str, wanted: list[tuple[int, float]]) -> None:
    """Delimiters, quotes, byte-order marks, thousands and decimal commas are read for what they mean."""
    file = at(tmp_path, "m.csv", text)
    assert DIALECT.sniff(file) >= 0.5
    assert points(one(DIALECT, file), "train_loss") == wanted


def test_latin_and_utf16(tmp_path: Path) -> None:
    """Other encodings than UTF-8 do not stop it."""
    text = "étape;perte_entraînement\n1;5,5\n2;5,25\n"
    assert points(one(DIALECT, at(tmp_path, "a.csv", text.encode("utf-16"))), "train_loss") == [(1, 5.5), (2, 5.25)]
    assert survives(DIALECT, at(tmp_path, "b.csv", text.encode("latin-1"))) is not None


def test_nan_is_kept_and_empty_is_not(tmp_path: Path) -> None:
    """A loss that is NaN is a value; an empty cell, a dash or a word is none."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,loss,note\n1,5.0,a\n2,nan,b\n3,-,c\n4,None,d\n5,4.0,e\n"))
    (first, second, third) = points(reading, "train_loss")
    assert (first, third) == ((1, 5.0), (5, 4.0))
    assert second[0] == 2
    assert math.isnan(second[1])


def test_split_column(tmp_path: Path) -> None:
    """A column that says train or val tells whose loss a row holds."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,split,loss\n1,train,5.0\n1,val,5.2\n2,train,4.0\n2,val,4.4\n"))
    assert points(reading, "train_loss") == [(1, 5.0), (2, 4.0)]
    assert points(reading, "val_loss") == [(1, 5.2), (2, 4.4)]


def test_run_column(tmp_path: Path) -> None:
    """A column of runs gives a reading for each, though their rows are mixed."""
    text = "run,step,loss\n" + "".join(
        f"{r},{s},{5 - s / 10 + k}\n" for s in range(6) for k, r in enumerate(("a", "b"))
    )
    found = list(DIALECT.read(at(tmp_path, "m.csv", text)))
    assert [r.label for r in found] == ["a", "b"]
    assert points(found[1], "train_loss")[0] == (0, 6.0)
    assert all("several_runs_in_file" in kinds(r) for r in found)


def test_one_metric_a_row(tmp_path: Path) -> None:
    """A long table sorted by metric is one run, not one run for each metric."""
    rows = [f"{s},{tag},{v - s / 10}" for tag, v in (("train/loss", 5.0), ("val/loss", 6.0)) for s in range(8)]
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,metric,value\n" + "\n".join(rows) + "\n"))
    assert points(reading, "train_loss")[:2] == [(0, 5.0), (1, 4.9)]
    assert points(reading, "val_loss")[-1][0] == 7


def test_tensorboard_download(tmp_path: Path) -> None:
    """TensorBoard's download of one tag names the metric in the file's name alone."""
    reading = one(
        DIALECT, at(tmp_path, "run-a-tag-loss_val.csv", "Wall time,Step,Value\n1.7e9,10,4.5\n1.7e9,20,4.25\n")
    )
    assert points(reading, "val_loss") == [(10, 4.5), (20, 4.25)]


def test_epochs_alone(tmp_path: Path) -> None:
    """Where only epochs count, the axis says so."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "epoch,train_loss,val_loss\n1,5.0,5.1\n2,4.0,4.2\n3,3.5,4.1\n"))
    series = reading.get("val_loss")
    assert series is not None
    assert (series.axis, list(series.steps)) == ("epoch", [1, 2, 3])


def test_steps_within_epochs(tmp_path: Path) -> None:
    """A step that starts again with every epoch is not the run's step: rows are counted, and that is said."""
    text = "epoch,step,loss\n" + "".join(f"{e},{s},{5 - e - s / 100}\n" for e in range(3) for s in range(0, 60, 10))
    reading = one(DIALECT, at(tmp_path, "m.csv", text))
    series = reading.get("train_loss")
    assert series is not None
    assert (series.axis, series.count, series.steps[-1]) == ("row", 18, 17)
    assert "steps_within_epoch" in kinds(reading)


def test_tokens_axis(tmp_path: Path) -> None:
    """Where only tokens count, they are the axis."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "tokens_seen,train_loss\n1000000,5.0\n2000000,4.0\n"))
    series = reading.get("train_loss")
    assert series is not None
    assert (series.axis, series.steps[-1]) == ("tokens", 2_000_000)


def test_fractional_epochs_are_the_trainers_counter(tmp_path: Path) -> None:
    """A fraction of an epoch beside the step says how much of the data was seen."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,epoch,loss\n10,0.5,5\n20,1.0,4\n30,1.5,3\n"))
    assert said(reading)["logged.epochs"] == 1.5


def test_restart_and_several_runs(tmp_path: Path) -> None:
    """Steps that go back a little are a resumed run; a return to the first step is another run."""
    again = "step,loss\n" + "".join(f"{s},{5 - s / 100}\n" for s in [*range(0, 100, 10), *range(60, 120, 10)])
    reading = one(DIALECT, at(tmp_path, "again.csv", again))
    assert [(seam.step_before, seam.step_after) for seam in reading.seams] == [(90, 60)]
    twice = "step,loss\n" + "".join(f"{s},{5 - s / 100}\n" for _ in range(2) for s in range(0, 100, 10))
    assert len(list(DIALECT.read(at(tmp_path, "twice.csv", twice)))) == 2


def test_broken_rows_are_counted(tmp_path: Path) -> None:
    """A row that was cut is left out and reported with its line."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,loss,lr\n1,5.0,0.1\n2,4.\n3,3.0,0.1\n"))
    assert points(reading, "train_loss") == [(1, 5.0), (3, 3.0)]
    (problem,) = reading.problems
    assert (problem.kind, problem.source.line, problem.count) == ("broken_record", 3, 1)


def test_halves_of_one_run(tmp_path: Path) -> None:
    """Training and validation in two files of one name are one run."""
    at(tmp_path, "a.train.csv", "step,train_loss\n1,5.0\n2,4.0\n3,3.0\n")
    at(tmp_path, "a.val.csv", "step,loss\n1,5.5\n3,3.5\n")
    (run,) = read_all(tmp_path).runs
    assert points(run, "val_loss") == [(1, 5.5), (3, 3.5)]
    assert points(run, "train_loss")[0] == (1, 5.0)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n",
        "step,url\n1,https://example.org/1\n",
        "text,label\nthe loss of a step,1\n",
        "step 1, loss 2\nstep 2, loss 3\n",
        "0,5.0\n1,4.0\n",
        "step,loss\n",
        "name,age\nx,3\n",
    ],
)
def test_other_tables_are_left_alone(tmp_path: Path, text: str) -> None:
    """A table without a counter or a loss, or without values, is not claimed."""
    assert DIALECT.sniff(at(tmp_path, "m.csv", text)) < 0.5


def test_private_columns_are_left_out(tmp_path: Path) -> None:
    """Columns of users and hosts are never read."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,loss,user,host\n1,5,7,8\n2,4,7,8\n"))
    assert [s.name for s in reading.series] == ["train_loss"]


def test_what_is_no_table_is_an_input_error(tmp_path: Path) -> None:
    """Something else, named with --dialect csv, gets a message that says what was expected."""
    with pytest.raises(NotText, match="no table of metrics"):
        list(DIALECT.read(at(tmp_path, "m.csv", "nothing here\n")))
    with pytest.raises(InputError):
        list(DIALECT.read(at(tmp_path, "e.csv", b"")))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from(["", "5.5", "nan", "0.25", "-100.00"]),
            st.sampled_from(["", "4.5"]),
            st.sampled_from(["", "-100.0", "12.5"]),
            st.sampled_from(["", "0", "1"]),
        ),
        min_size=1,
        max_size=60,
    ),
    st.booleans(),
    st.booleans(),
)
def test_blocks_are_read_as_rows_are(rows: list[tuple[int, str, str, str, str]], rising: bool, estimates: bool) -> None:
    """Many rows at once give what each of them gives: series, counts, seams and gaps."""
    rows = sorted(rows) if rising else rows
    text = "step,train_loss,val_loss,mfu,epoch\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    with TemporaryDirectory() as folder:
        file = at(Path(folder), "m.csv", text)
        sheet = sheet_of(file)
        if sheet is None or (layout := layout_for(file, sheet)) is None:
            return
        layout.estimates = estimates
        names = sheet.names
        cells = [(number, text.split(",")) for number, text in enumerate(text.splitlines()[1:], 2)]
        by_block, by_row = Tables(CsvTable, "m.csv", layout), Tables(CsvTable, "m.csv", layout)
        for start in range(0, len(cells), 7):
            by_block.take_block(names, cells[start : start + 7], decimal_comma=False)
        for number, row in cells:
            by_row.take(dict(zip(names, row, strict=True)), number)
        for one_, two in zip(by_block.finish(), by_row.finish(), strict=True):
            assert {s.name: repr((s.steps, s.values, s.lines, s.mode)) for s in one_.series} == {
                s.name: repr((s.steps, s.values, s.lines, s.mode)) for s in two.series
            }
            assert kinds(one_) == kinds(two)
            assert [(s.step_before, s.step_after) for s in one_.seams] == [
                (s.step_before, s.step_after) for s in two.seams
            ]


def test_large_files_are_read_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of large files gives the same reading as that of small ones."""
    small = one(DIALECT, at(tmp_path, "run.csv", FORK))
    monkeypatch.setattr(csv, "_SMALL_BYTES", 0)
    large = one(DIALECT, at(tmp_path, "run.csv", FORK))
    assert {s.name: (list(s.steps), list(s.values)) for s in small.series} == {
        s.name: (list(s.steps), list(s.values)) for s in large.series
    }
    assert said(small) == said(large)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=400), st.text(max_size=300).map(lambda t: ("step,loss\n" + t).encode("utf-8", "ignore"))
    )
)
def test_any_bytes_give_readings_or_an_input_error(content: bytes) -> None:
    """Nothing that a file can hold raises anything else."""
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "m.csv", content))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mangled_tables(data: st.DataObject) -> None:
    """A table with pieces cut out, doubled or replaced never raises anything but an input error."""
    text = FORK
    for _ in range(data.draw(st.integers(1, 4))):
        at_, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 40))
        piece = data.draw(st.sampled_from(["", '"', ",", "\n", "\0", "9" * 30, "1e999", "-", ";", "\r", "nan", "é"]))
        text = text[:at_] + piece + text[at_ + length :]
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "m.csv", text))


@pytest.mark.parametrize(
    "slug",
    [
        "csv-fineweb-100m-tokens-overfit",
        "csv-stories-residual-baseline",
        "csv-stories-symplectic-ab2",
        "csv-tinystories-standard",
    ],
)
def test_corpus(slug: str) -> None:
    """The series of the corpus are met point for point, with the mode in which they were measured."""
    facts, (run,) = corpus_case(slug)
    for name, wanted in facts["series"].items():
        series = run.get(name)
        assert series is not None, name
        assert agrees(series, wanted), name
    assert isinstance(run.logged.tokens_per_step, Known)
    assert run.logged.tokens_per_step.value == facts["facts"]["run.budget.tokens_per_step"]


def test_copy_of_a_trainers_history() -> None:
    """A CSV of the losses beside the trainer's own history is a copy of it, not another run."""
    facts, runs = corpus_case("hf-covbert-mlm")
    assert len(runs) == 1
    assert runs[0].dialect == facts["dialect"]


def test_one_evaluation_at_the_end_is_no_estimate(tmp_path: Path) -> None:
    """A training loss that shares its only row of that step with a validation loss is the training loop's."""
    reading = one(DIALECT, at(tmp_path, "m.csv", "step,train_loss,val_loss\n1,5,\n2,4.5,\n3,4,4.2\n"))
    assert points(reading, "train_loss") == [(1, 5), (2, 4.5), (3, 4)]
