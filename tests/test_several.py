"""Several runs in one call: the overview, the JSON contract of several, and choosing one of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

import auscult
from auscult.cli import main
from auscult.errors import UsageError
from auscult.report.json import SCHEMA, SCHEMA_OF_SEVERAL, load_schema
from made_up import MadeUpRun, healthy_log


def validate(body: object) -> None:
    resource = referencing.Resource.from_contents(load_schema(SCHEMA))
    registry: referencing.Registry[Any] = referencing.Registry().with_resource(SCHEMA, resource)
    jsonschema.Draft202012Validator(load_schema(SCHEMA_OF_SEVERAL), registry=registry).validate(body)


@pytest.fixture
def two_runs(made_up: MadeUpRun) -> Path:
    """Return a folder with a log of two runs, one after another, and their config."""
    folder = made_up.write({}, healthy_log(3_000))
    second = healthy_log(2_000, seed=5).text().partition("\n")[2]
    with (folder / "train.log").open("a") as stream:
        stream.write(second)
    return folder


def test_the_json_of_several_runs(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs in one file give one object with both diagnoses and their relation, valid against its schema."""
    status = main(["diagnose", str(two_runs), "--format", "json", "--fail-on", "never"])
    body = json.loads(capsys.readouterr().out)
    validate(body)
    assert status == 0
    assert [run["run"]["steps"]["last"] for run in body["runs"]] == [3_000, 2_000]
    assert [(r["kind"], len(r["runs"])) for r in body["relations"]] == [("same_file", 2)]
    assert body["unread"] == []
    for run in body["runs"]:
        assert any(f["name"] == "several_runs_in_file" for f in run["findings"])


def test_the_overview_in_the_terminal(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal shows a line for each run with its status and loss, and how to see one in full."""
    main(["diagnose", str(two_runs), "--fail-on", "never"])
    out = capsys.readouterr().out
    assert out.startswith("2 runs in train.log · nanoGPT")
    assert [line.split()[0] for line in out.splitlines() if line.startswith("#")] == ["#1", "#2"]
    assert '--run "train.log#1"' in out


def test_the_overview_as_markdown(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Markdown shows the same lines as a table."""
    main(["diagnose", str(two_runs), "--fail-on", "never", "--format", "markdown"])
    out = capsys.readouterr().out
    assert "| run | status |" in out
    assert out.count("| \\#") == 2


def test_one_of_several_runs(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--run picks one by its name or the end of it, and an unknown name lists those that there are."""
    for name in ("train.log#2", "#2"):
        main(["diagnose", str(two_runs), "--format", "json", "--fail-on", "never", "--run", name])
        body = json.loads(capsys.readouterr().out)
        assert (body["schema"], body["run"]["steps"]["last"]) == (SCHEMA, 2_000)
    assert main(["diagnose", str(two_runs), "--run", "nowhere"]) == 2
    assert "it holds no run 'nowhere'. Found train.log#1, train.log#2." in capsys.readouterr().err


def test_fix_asks_which(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fix corrects one config and does not guess whose."""
    assert main(["fix", str(two_runs)]) == 2
    assert "it holds 2 runs" in capsys.readouterr().err


def test_the_dialect_can_be_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--dialect reads a file as what the user says, and an unknown name is met with the nearest one."""
    log = tmp_path / "odd.bin"
    log.write_text("\n".join(f"xx iter {i}: loss {5 - i / 100:.4f}, time 9.00ms" for i in range(40)) + "\n")
    assert auscult.read(log, dialect="nanogpt").dialect == "nanogpt"
    with pytest.raises(UsageError, match="did you mean nanogpt"):
        auscult.read(log, dialect="nanogtp")
    assert main(["diagnose", str(log), "--dialect", "nanogpt", "--fail-on", "never", "--quiet"]) == 0
    assert "odd · nanoGPT" in capsys.readouterr().out


def test_stdin_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`-` is what is piped in."""
    data = healthy_log(3_000).text().encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    main(["diagnose", "-", "--format", "json", "--fail-on", "never"])
    body = json.loads(capsys.readouterr().out)
    assert (body["run"]["name"], body["run"]["steps"]["last"]) == ("stdin", 3_000)


def test_dialects_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`auscult dialects` lists every dialect, and explains one."""
    assert main(["dialects"]) == 0
    assert {"nanogpt", "hf_trainer"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert main(["dialects", "nanogpt"]) == 0
    assert "**Cannot be known from it:**" in capsys.readouterr().out


def test_a_resumed_run_in_two_files_is_one_run(made_up: MadeUpRun) -> None:
    """A log that takes up where another ends is the same run: one series over both, with the seam and both places."""
    folder = made_up.write({}, healthy_log(6_000))
    lines = (folder / "train.log").read_text().splitlines(keepends=True)
    half = next(i for i, line in enumerate(lines) if line.startswith("step 3500:"))
    again = next(i for i, line in enumerate(lines) if line.startswith("step 3000:"))
    (folder / "train.log").write_text("".join(lines[:half]))
    (folder / "train_resumed.log").write_text("".join(lines[again:]))
    found = auscult.read_all(folder)
    assert len(found.runs) == 1
    (run,) = found.runs
    assert [(r.kind, r.files) for r in found.relations] == [("resumed", ("train.log", "train_resumed.log"))]
    assert [(s.step_after, s.source.file) for s in run.seams] == [(3_000, "train_resumed.log")]
    series = run.get("train_loss")
    assert series is not None
    assert series.source(0).file == "train.log"
    assert series.source(len(series) - 1).file == "train_resumed.log"
    latest = series.latest_pass()
    assert list(latest.steps) == sorted(set(series.steps))
    assert latest.source(len(latest) - 1).file == "train_resumed.log"


@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_names_of_strangers_drive_no_terminal_and_end_no_quotes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """A file's name with escapes or a command in it is shown as text, and the next command quotes it for the shell."""
    for name, shift in (("a\x1b[31m$(x).log", 0.0), ("b.log", 0.4)):
        lines = (f"iter {i}: loss {5 - i / 100 + shift:.4f}, time 90.00ms, mfu 30.00%" for i in range(40))
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    main(["diagnose", str(tmp_path), "--fail-on", "never", "--format", form])
    out = capsys.readouterr().out
    assert "a$(x).log" in out
    assert "--run 'a$(x).log'" in out
    assert "\x1b" not in out
    main(["diagnose", str(tmp_path), "--fail-on", "never", "--format", form, "--run", "a$(x).log"])
    out = capsys.readouterr().out
    assert "a$(x).log" in out
    assert "\x1b" not in out
