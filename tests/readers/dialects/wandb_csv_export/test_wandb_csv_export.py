"""W&B's CSV exports."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import NotText
from auscult.readers import read_all
from auscult.readers.dialects.wandb_csv_export import DIALECT
from auscult.run import Known
from table_files import agrees, at, corpus_case, kinds, points, said, survives

CHART = """"Step","run - a - train/loss","run - a - train/loss__MIN","run - a - train/loss__MAX","b - train/loss","b - train/loss__MIN","b - train/loss__MAX"
"0","5.5","5.5","5.5","25.25","25.25","25.25"
"1","4.5","4.25","4.75","",,
"3","","","","12.125","12.125","12.125"
"""
TABLE = """"Name","State","Notes","User","Tags","Created","Runtime","Sweep","batch_size","bias","n_layer","n_params","learning_rate","iter","train/loss","val/loss"
"base","finished","-","somebody","","2026-01-01T00:00:00.000Z","732","","64","false","6","10745088","0.001","5000","0.625","1.75"
"base","crashed","-","somebody","","2026-01-01T00:00:00.000Z","100","","64","true","8","-","0.001","1200","1.5","1.875"
"dead","failed","-","somebody","","2026-01-01T00:00:00.000Z","2","","64","true","8","-","0.001","","",""
"""


def test_a_curve_for_each_run(tmp_path: Path) -> None:
    """Each run of a chart is a reading with the run's name; empty cells are no values, and the axis is W&B's."""
    a, b = DIALECT.read(at(tmp_path, "export.csv", CHART))
    assert (a.label, b.label) == ("run - a", "b")
    assert points(a, "train_loss") == [(0, 5.5), (1, 4.5)]
    assert points(b, "train_loss") == [(0, 25.25), (3, 12.125)]
    series = a.get("train_loss")
    assert series is not None
    assert series.mode == "unknown"
    assert "_step" in series.convention
    assert {"several_runs_in_file", "tracker_steps", "sampled"} <= kinds(a)


def test_nothing_is_said_to_be_sampled_where_nothing_was(tmp_path: Path) -> None:
    """Minimum, maximum and value that are one mean that no value was left out."""
    a, _b = DIALECT.read(at(tmp_path, "export.csv", CHART.replace("4.25", "4.5").replace("4.75", "4.5")))
    assert "sampled" not in kinds(a)


@pytest.mark.parametrize(
    ("axis", "wanted"),
    [("train/global_step", "step"), ("tokens_seen", "tokens"), ("Relative Time (Process)", "row"), ("epoch", "epoch")],
)
def test_other_axes(tmp_path: Path, axis: str, wanted: str) -> None:
    """A chart over something else than W&B's step says what its axis is."""
    a, _b = DIALECT.read(at(tmp_path, "export.csv", CHART.replace('"Step"', f'"{axis}"')))
    series = a.get("train_loss")
    assert series is not None
    assert series.axis == wanted
    assert "tracker_steps" not in kinds(a)


def test_several_metrics_of_one_run(tmp_path: Path) -> None:
    """A chart of two metrics of one run gives both; W&B's own columns are left out."""
    text = '"Step","a - _step","a - train/loss","a - val/loss"\n"0","0","5","6"\n"1","1","4",""\n'
    (a,) = DIALECT.read(at(tmp_path, "export.csv", text))
    assert [s.name for s in a.series] == ["train_loss", "val_loss"]


def test_table_of_runs(tmp_path: Path) -> None:
    """Each row is a run with its config, its last losses and how it ended; a row without a loss is none."""
    first, second = DIALECT.read(at(tmp_path, "table.csv", TABLE))
    assert (first.label, second.label) == ("base", "base (2)")
    assert points(first, "val_loss") == [(5000, 1.75)]
    assert said(first)["logged.parameters"] == (10745088, 10745088)
    assert said(first)["architecture.bias"] is False
    assert said(first)["architecture.n_layer"] == 6
    assert "logged.parameters" not in said(second)
    assert "killed" in kinds(second)
    assert first.noted["wandb.runtime_s"].value == "732"


def test_nobody_is_named(tmp_path: Path) -> None:
    """The User column is never read, whatever is asked of the readings."""
    assert "somebody" not in repr(list(DIALECT.read(at(tmp_path, "table.csv", TABLE))))


def test_table_that_a_script_wrote(tmp_path: Path) -> None:
    """Final figures of a script's own table stand at the planned last step, and say so."""
    text = (
        "run_name,seed,max_iters,batch_size,block_size,n_layer,n_embd,learning_rate,n_params,final_train_loss,final_val_loss\n"
        "a,1,5000,64,256,6,384,0.001,1000000,0.5,1.5\nb,1,5000,64,256,6,384,0.001,1000000,0.6,1.6\n"
    )
    file = at(tmp_path, "metrics.csv", text)
    assert DIALECT.sniff(file) > 0.6
    a, _b = DIALECT.read(file)
    series = a.get("val_loss")
    assert series is not None
    assert (series.steps[0], series.values[0]) == (5000, 1.5)
    assert "planned" in series.convention


def test_means_over_seeds_are_no_runs(tmp_path: Path) -> None:
    """A summary of means and deviations is not claimed."""
    text = "run_name,batch_size,n_layer,n_head,learning_rate,val/loss_mean,val/loss_std\na,64,6,6,0.001,1.5,0.1\n"
    assert DIALECT.sniff(at(tmp_path, "summary.csv", text)) == 0


def test_same_run_in_two_tables_is_one(tmp_path: Path) -> None:
    """A chart beside the table of the same runs gives all runs once each at least, and nothing is lost."""
    at(tmp_path, "table.csv", TABLE)
    at(tmp_path, "copy.csv", TABLE)
    assert len(read_all(tmp_path).runs) == 2


def test_sniff(tmp_path: Path) -> None:
    """Both exports are unmistakable; an ordinary table is not one."""
    assert DIALECT.sniff(at(tmp_path, "a.csv", CHART)) == 0.95
    assert DIALECT.sniff(at(tmp_path, "b.csv", TABLE)) == 0.95
    assert DIALECT.sniff(at(tmp_path, "c.csv", "step,train_loss\n1,5\n")) == 0
    with pytest.raises(NotText, match="no export of W&B"):
        list(DIALECT.read(at(tmp_path, "c.csv", "a,b\n1,2\n")))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mangled_exports(data: st.DataObject) -> None:
    """An export with pieces cut out or replaced never raises anything but an input error."""
    text = data.draw(st.sampled_from([CHART, TABLE]))
    for _ in range(data.draw(st.integers(1, 4))):
        where, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 60))
        text = (
            text[:where]
            + data.draw(st.sampled_from(["", '"', ",", "\n", "\0", "1e999", " - ", "__MIN"]))
            + text[where + length :]
        )
    with TemporaryDirectory() as folder:
        survives(DIALECT, at(Path(folder), "export.csv", text))


def test_corpus_chart() -> None:
    """Each of the eight curves of the corpus is met under its run's name."""
    facts, runs = corpus_case("wandbcsv-wide-two-bad-starts")
    assert len(runs) == len(facts["series"]) == 8
    by_label = {run.name.rpartition("#")[2]: run for run in runs}
    for name, wanted in facts["series"].items():
        label, _, _metric = name.partition("/")
        series = by_label[label].get("train_loss")
        assert series is not None
        assert agrees(series, wanted), name


def test_corpus_table() -> None:
    """The baseline's final losses and parameters are met."""
    facts, runs = corpus_case("wandbcsv-shakespeare-ablations")
    wanted = facts["facts"]["final.val_loss"]
    assert any([(wanted["step"], wanted["value"])] == points(run, "val_loss") for run in runs)
    total = facts["facts"]["run.parameters.total"]
    assert any(isinstance(r.logged.parameters, Known) and r.logged.parameters.value == (total, total) for r in runs)
