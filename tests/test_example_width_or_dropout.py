"""examples/width-or-dropout: what its recipes are, what its committed logs say, and that auscult says nothing else of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scripts import width_or_dropout
from scripts.width_or_dropout import EXAMPLE, KEPT, RUNS, ended, table, with_table

import auscult
from auscult.preflight import load_recipe, preflight
from auscult.recipe import TrainingRecipe

LOGS = EXAMPLE / "runs"
PARAMETERS = {"narrow": 867_072, "narrow-no-dropout": 867_072, "wide": 3_307_008}


def recipe(name: str) -> TrainingRecipe:
    return load_recipe(EXAMPLE / f"{name}.toml")


@cache
def diagnosis(name: str) -> auscult.Diagnosis:
    return auscult.diagnose(auscult.read(LOGS / name))


def test_one_thing_differs_at_a_time() -> None:
    """The second recipe differs from the first in dropout alone, the third from the second in width alone."""
    narrow, plain, wide = (recipe(name) for name in RUNS)
    assert narrow.model.dropout > 0
    assert replace(plain, name=narrow.name, model=replace(plain.model, dropout=narrow.model.dropout)) == narrow
    assert wide.model.d_model == 2 * plain.model.d_model
    half = replace(wide.model, d_model=plain.model.d_model, d_ff=plain.model.d_ff)
    assert replace(wide, name=plain.name, model=half) == plain


def test_only_the_narrow_recipe_contradicts_itself() -> None:
    """Before step 0 the commented recipe is refused at its comment, with the width of the corrected one; the others are not."""
    found = {}
    for name in RUNS:
        path = EXAMPLE / f"{name}.toml"
        found[name] = preflight(path, recipe(name), gpu=None, world_size=1, device="cpu").refusal
    assert found["narrow-no-dropout"] is found["wide"] is None
    refusal = found["narrow"] or ""
    line = next(n for n, text in enumerate((EXAMPLE / "narrow.toml").read_text().splitlines(), 1) if "~3.3M" in text)
    assert "MDL001" in refusal
    assert f"narrow.toml:{line}" in refusal
    assert f"d_model = {recipe('wide').model.d_model}" in refusal


# ---- the committed logs


def test_the_logs_are_those_of_the_recipes() -> None:
    """Each committed run was trained by its recipe as it stands, in one process, on the same data, in ten minutes or less."""
    starts = []
    for name in RUNS:
        folder = LOGS / name
        assert {path.name for path in folder.iterdir()} == set(KEPT)
        assert (folder / "recipe.toml").read_bytes() == (EXAMPLE / f"{name}.toml").read_bytes()
        events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert [event["event"] for event in events].count("start") == 1
        assert not any(event["event"] == "resume" for event in events)
        facts = json.loads((folder / "run.json").read_text())
        assert facts["recipe"] == events[0]["recipe"]
        assert events[0]["parameters_total"] == PARAMETERS[name]
        assert ended(folder).wall_s <= 600
        starts.append(events[0])
    assert len({(one["train_tokens"], one["val_tokens"], one["torch_version"]) for one in starts}) == 1
    size_bytes = sum(path.stat().st_size for path in LOGS.rglob("*"))
    assert size_bytes < 300_000


def test_the_table_is_that_of_the_logs() -> None:
    """The README's table and its sentence are what the script makes of the committed logs."""
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert with_table(text, LOGS) == text


@pytest.mark.parametrize("name", RUNS)
def test_what_was_trained_is_told(name: str) -> None:
    """Parameters, tokens, last loss and the end of the schedule are those of the log, and the run counts as complete."""
    said, run = diagnosis(name), ended(LOGS / name)
    facts = {f.code: f for f in said.findings}
    assert "LOG004" not in facts  # run_stopped_early
    parameters = said.examination.parameter_count
    assert isinstance(parameters, auscult.Known)
    assert parameters.value.total == run.parameters == PARAMETERS[name]
    tokens = said.examination.tokens_seen
    assert isinstance(tokens, auscult.Known)
    assert tokens.value == run.tokens
    val = next(one for one in said.run.series if one.name == "val_loss" and one.mode == "eval")
    assert val.values[-1] == pytest.approx(run.losses["val", "eval"])


def test_the_causes_are_found_where_they_are() -> None:
    """The narrow run has both defects, width and dropout; the second, without comment and dropout, and the corrected one have none."""
    codes = {name: {finding.code for finding in diagnosis(name).findings} for name in RUNS}
    assert {"MDL001", "REG002"} <= codes["narrow"]
    for name in RUNS[1:]:
        assert not {code for code in codes[name] if code.startswith(("MDL", "REG"))}
    edits = {edit.key: edit.after for finding in diagnosis("narrow").findings for edit in finding.edits}
    assert edits == {"model.d_model": recipe("wide").model.d_model, "model.dropout": 0.0}
    for said in map(diagnosis, RUNS):
        assert not [finding for finding in said.findings if finding.severity == "error" and finding.code != "MDL001"]


def test_the_price_of_dropout_is_that_of_the_log() -> None:
    """REG002's price is the mean difference between the two modes on the training split over the second half of the run."""
    events = [json.loads(line) for line in (LOGS / "narrow" / "log.jsonl").read_text().splitlines()]
    half = events[0]["recipe"]["schedule"]["steps"] / 2
    losses = {
        mode: [
            event["loss_nats_per_token"]
            for event in events
            if event["event"] == "evaluation"
            and event["split"] == "train"
            and event["mode"] == mode
            and event["step"] >= half
        ]
        for mode in ("train", "eval")
    }
    price = sum(a - b for a, b in zip(losses["train"], losses["eval"], strict=True)) / len(losses["eval"])
    finding = diagnosis("narrow").find("REG002")
    assert finding is not None
    assert finding.numbers["cost"] == pytest.approx(price, rel=0.05)


def test_no_worth_is_claimed_that_the_runs_contradict() -> None:
    """Where a finding bounds in nats what a change is worth, the run with just that change is inside."""
    narrow, plain, wide = (ended(LOGS / name).losses["val", "eval"] for name in RUNS)
    for code, change in (("REG002", plain - narrow), ("MDL001", wide - plain)):
        finding = diagnosis("narrow").find(code)
        assert finding is not None
        effect = finding.effect
        if effect.unit == "nats" and effect.value is not None:
            assert effect.low is not None
            assert effect.high is not None
            assert effect.low <= change <= effect.high, code


def test_both_modes_are_measured_where_there_is_dropout() -> None:
    """With dropout both splits are evaluated in both modes, and its noise costs loss on each; without it in one."""
    narrow, plain, _wide = (ended(LOGS / name).losses for name in RUNS)
    assert set(narrow) == {(split, mode) for split in ("train", "val") for mode in ("eval", "train")}
    assert set(plain) == {("train", "eval"), ("val", "eval")}
    for split in ("train", "val"):
        assert narrow[split, "train"] > narrow[split, "eval"]


# ---- the script


def made_run(folder: Path, *, val: float, dropout: float = 0.0, last: str = "end") -> None:
    """Write a run of two processes of 60 and 30 seconds, an hour apart."""
    recipe = {"schedule": {"steps": 20}, "model": {"dropout": dropout, "d_model": 8}}
    start: dict[str, Any] = {"recipe": recipe, "parameters_total": 1000, "tokens_per_step": 50, "step": 0}
    modes = ("eval", "train") if dropout else ("eval",)
    events = [
        {"event": "start", "time_unix_s": 0.0, **start},
        {
            "event": "evaluation",
            "time_unix_s": 60.0,
            "step": 0,
            "split": "val",
            "mode": "eval",
            "loss_nats_per_token": 9.0,
        },
        {"event": "resume", "time_unix_s": 3660.0, **start},
        *(
            {
                "event": "evaluation",
                "time_unix_s": 3680.0,
                "step": 20,
                "split": split,
                "mode": mode,
                "loss_nats_per_token": val + 0.25 * (mode == "train"),
            }
            for mode in modes
            for split in ("train", "val")
        ),
        {"event": last, "time_unix_s": 3690.0, "step": 20},
    ]
    folder.mkdir(parents=True)
    for name in KEPT:
        (folder / name).write_text("\n".join(map(json.dumps, events)))


def test_the_table_says_which_way_each_effect_goes(tmp_path: Path) -> None:
    """A cost is called one, a gain too; the time between two processes does not count."""
    for name, val, dropout in (("narrow", 2.0, 0.1), ("narrow-no-dropout", 1.75, 0.0), ("wide", 1.875, 0.0)):
        made_run(tmp_path / name, val=val, dropout=dropout)
    text = table(tmp_path)
    assert "| `narrow` | 1,000 | 0.1 | 2.0000 | 2.0000 | 2.2500 | 2.2500 | 1.5 |" in text
    assert "Dropout 0.1 costs 0.250 nats and half the width gains 0.125 nats" in text
    assert "after 1,000 tokens" in text


def test_only_whole_runs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was stopped is refused before anything of the example changes; whole ones go in with the table."""
    example = tmp_path / "example"
    example.mkdir()
    shutil.copyfile(EXAMPLE / "README.md", example / "README.md")
    before = (example / "README.md").read_text()
    monkeypatch.setattr(width_or_dropout, "EXAMPLE", example)
    for name, last in (("narrow", "end"), ("narrow-no-dropout", "end"), ("wide", "stop")):
        made_run(tmp_path / "runs" / name, val=1.0, dropout=0.1 * (name == "narrow"), last=last)
    with pytest.raises(ValueError, match="no whole run"):
        width_or_dropout.keep(tmp_path / "runs")
    assert (example / "README.md").read_text() == before
    assert not (example / "runs").exists()
    shutil.rmtree(tmp_path / "runs" / "wide")
    made_run(tmp_path / "runs" / "wide", val=0.5)
    width_or_dropout.keep(tmp_path / "runs")
    assert "half the width costs 0.500 nats" in (example / "README.md").read_text()
    assert {path.name for path in (example / "runs" / "wide").iterdir()} == set(KEPT)
