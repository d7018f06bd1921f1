"""The command line: exit statuses, formats, atomic outputs, and what a person sees on the first screen."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from syrupy.assertion import SnapshotAssertion

from auscult.checks import all_checks
from auscult.cli import main
from auscult.report.json import load_schema
from made_up import MadeUpRun, healthy_log


def run(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auscult", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")} | (env or {}),
    )


def test_the_example_in_a_terminal_is_the_golden_one(example: Path, snapshot: SnapshotAssertion) -> None:
    """The whole report of the README's first command, word for word."""
    done = run("diagnose", "examples/fineweb-40m", cwd=example.parent.parent)
    assert done.stderr == ""
    assert done.stdout == snapshot


def test_the_example_in_markdown_is_the_golden_one(example: Path, snapshot: SnapshotAssertion) -> None:
    """The Markdown report of the example, word for word."""
    assert run("diagnose", "examples/fineweb-40m", "--format", "markdown", cwd=example.parent.parent).stdout == snapshot


def test_the_first_screen_fits(example: Path, made_up: MadeUpRun) -> None:
    """At 100 columns the first screen takes at most 25 lines: verdict, findings, prescription, one next command."""
    for path in (example, made_up.write()):
        lines = run("diagnose", str(path), "--gpu", "RTX 4070", "--quiet").stdout.splitlines()
        assert len(lines) <= 25
        assert sum(line.startswith(" next: ") for line in lines) == 1
        assert all(len(line) <= 100 for line in lines if not line.startswith(" next: "))


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_it_is_width_aware(example: Path, columns: int) -> None:
    """No line is wider than the terminal, except the next command, which must stay in one piece."""
    done = run("diagnose", str(example), env={"COLUMNS": str(columns)})
    body = [line for line in done.stdout.splitlines() if not line.startswith(" next: ")]
    assert max(map(len, body)) <= columns


def test_findings_are_ordered_by_worth(example: Path) -> None:
    """Nats come before clarity, larger before smaller."""
    findings = json.loads(run("diagnose", str(example), "--format", "json").stdout)["findings"]
    worth = [abs(f["effect"]["value"]) if f["effect"]["unit"] == "nats" else 0.0 for f in findings]
    assert worth == sorted(worth, reverse=True)
    assert worth[0] > 0


def test_colour_only_on_a_terminal(example: Path) -> None:
    """Piped output has no escapes; a terminal gets colour; NO_COLOR takes it away."""
    assert "\x1b" not in run("diagnose", str(example)).stdout

    def on_terminal(**env: str) -> str:
        leader, follower = pty.openpty()
        done = subprocess.Popen(
            [sys.executable, "-m", "auscult", "diagnose", str(example), "--quiet"],
            stdout=follower,
            env=dict(os.environ, TERM="xterm-256color", COLUMNS="100") | env,
        )
        os.close(follower)
        output = b""
        try:
            while chunk := os.read(leader, 65536):
                output += chunk
        except OSError:
            pass
        done.wait()
        os.close(leader)
        return output.decode()

    assert "\x1b[1m" in on_terminal()
    assert "\x1b[3" not in on_terminal(NO_COLOR="1")


@pytest.mark.parametrize(("fail_on", "status"), [("error", 1), ("warning", 1), ("info", 1), ("never", 0)])
def test_exit_status_of_a_run_with_an_error(example: Path, fail_on: str, status: int) -> None:
    """1 when a finding is at least as severe as --fail-on."""
    assert run("diagnose", str(example), "--fail-on", fail_on).returncode == status


def test_exit_status_of_a_healthy_run(made_up: MadeUpRun) -> None:
    """0 when nothing reaches --fail-on."""
    path = made_up.write({"dropout": 0.0, "wandb_run_name": "plain"})
    assert run("diagnose", str(path)).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["diagnose"],
        ["diagnose", "nowhere"],
        ["diagnose", ".", "--format", "html2"],
        ["frobnicate"],
        ["explain", "XYZ999"],
        ["diagnose", ".", "--val-tokens", "many"],
        ["diagnose", ".", "--gpu", ""],
        ["diagnose", ".", "--expect-at", "0"],
    ],
)
def test_wrong_command_lines_exit_2_in_a_paragraph(arguments: list[str], tmp_path: Path) -> None:
    """2, with an explanation on stderr, nothing on stdout, and no traceback."""
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_output_is_written_atomically(example: Path, tmp_path: Path) -> None:
    """--output leaves the whole file and nothing beside it; an impossible place is one paragraph, exit 2."""
    target = tmp_path / "out.json"
    assert (
        run("diagnose", str(example), "--format", "json", "--output", str(target), "--fail-on", "never").returncode == 0
    )
    jsonschema.validate(json.loads(target.read_text()), load_schema())
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    done = run("diagnose", str(example), "--output", str(tmp_path / "no" / "where.txt"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_gpu_that_is_not_in_the_table_is_never_another(made_up: MadeUpRun) -> None:
    """An unknown card has no peak, its name is suggested against, and nothing is computed from a default."""
    result = json.loads(run("diagnose", str(made_up.write()), "--gpu", "RTX 4700", "--format", "json").stdout)
    assert result["run"]["hardware"]["peak_flops_per_s"] is None
    assert result["run"]["throughput"]["mfu"] is None
    assert "RTX 4070" in result["unknown"]["run.hardware.peak_flops_per_s"]


def test_files_one_by_one_equal_the_folder(made_up: MadeUpRun) -> None:
    """Config and log named singly give what the folder gives."""
    folder = made_up.write()
    whole = json.loads(run("diagnose", str(folder), "--format", "json").stdout)
    parts = json.loads(
        run("diagnose", str(folder / "train.log"), str(folder / "train_narrow.py"), "--format", "json").stdout
    )
    whole["run"].pop("name"), parts["run"].pop("name")
    assert whole == parts


def test_preflight_of_a_config_alone(made_up: MadeUpRun) -> None:
    """A config without a log says what would be trained, what it would cost and whether it fits."""
    result = json.loads(
        run("diagnose", str(made_up.write() / "train_narrow.py"), "--gpu", "RTX 4070", "--format", "json").stdout
    )
    assert result["run"]["parameters"]["total"] > 0
    assert result["prescription"]["hours_low"] < result["prescription"]["hours_high"]
    assert "Nothing has run yet" in result["verdict"]["summary"]
    assert next(c for c in result["checks"] if c["code"] == "MEM001")["verdict"] == "clear"


def test_log_alone_says_what_it_proves(made_up: MadeUpRun) -> None:
    """A log without a config gives its series and its slope; the recipe is unknown, not defaulted."""
    result = json.loads(run("diagnose", str(made_up.write() / "train.log"), "--format", "json").stdout)
    assert result["curve"]["slope_nats_per_efold"] < 0
    assert result["run"]["recipe"]["learning_rate"] is None
    assert "no config" in result["unknown"]["run.recipe.learning_rate"]


def test_every_check_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """`auscult explain CODE` works offline for every code, with all its sections."""
    for check in all_checks():
        assert main(["explain", check.code.lower()]) == 0
        page = capsys.readouterr().out
        for section in (
            "What it looks for",
            "Why it matters",
            "What else could explain it",
            "What to do",
            "References",
        ):
            assert f"## {section}" in page, (check.code, section)


def test_checks_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    """`auscult checks` names every check with its code and what it needs."""
    assert main(["checks"]) == 0
    listing = capsys.readouterr().out
    assert all(f"{check.code}  {check.name}" in listing for check in all_checks())


def test_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, example: Path) -> None:
    """Ctrl-C ends with 130 and a word, not a traceback."""

    def interrupted(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("auscult.readers.recognise", interrupted)
    assert main(["diagnose", str(example)]) == 130


def test_reprs_are_worth_reading(made_up: MadeUpRun) -> None:
    """Run, Series and Diagnosis say in their repr what they hold."""
    import auscult

    run_ = auscult.read(made_up.write())
    assert "6×384" in repr(run_)
    assert "val_loss[41]" in repr(run_)
    diagnosis = auscult.diagnose(run_)
    assert diagnosis.status in repr(diagnosis)
    assert f"{healthy_log().evaluations[20_000][1]:.4f}"[:5] in repr(run_.get("val_loss"))


def test_expect_at_beyond_the_plan_is_refused(example: Path) -> None:
    """A step after the last planned one has no expectation, and the refusal says where the plan ends."""
    done = run("diagnose", str(example), "--expect-at", "50000")
    assert done.returncode == 2
    assert "20,000 planned steps" in done.stderr


def test_repeated_data_have_no_anchor(made_up: MadeUpRun) -> None:
    """Known runs read fresh data: at 105 planned passes no loss is promised from them."""
    path = str(made_up.write())
    fresh = json.loads(run("diagnose", path, "--format", "json").stdout)
    repeated = json.loads(run("diagnose", path, "--train-tokens", "100M", "--format", "json").stdout)
    assert fresh["prescription"]["expected"] is not None
    assert repeated["prescription"]["expected"] is None
    assert "105 times" in repeated["unknown"]["prescription.expected"]


def test_a_true_comment_outweighs_a_name(made_up: MadeUpRun) -> None:
    """A comment that says the true size settles it: the size in the run's name is not held against the config."""
    path = made_up.write({"wandb_run_name": "gpt2-124M-look-alike"}, comments="# ~30M parameters, vs 124M baseline\n")
    result = json.loads(run("diagnose", str(path), "--format", "json").stdout)
    assert next(c for c in result["checks"] if c["code"] == "MDL001")["verdict"] == "clear"


def test_evaluation_only_is_no_training(made_up: MadeUpRun) -> None:
    """A config with eval_only trains nothing: no steps are planned and nobody is told to let it finish."""
    result = json.loads(run("diagnose", str(made_up.write({"eval_only": True})), "--format", "json").stdout)
    assert result["run"]["steps"]["planned"] is None
    assert "eval_only" in result["unknown"]["run.steps.planned"]
    assert "LOG004" not in {f["code"] for f in result["findings"]}


def test_a_step_that_cannot_fit_is_not_called_fine(made_up: MadeUpRun) -> None:
    """Where not even one sequence fits, the screen says so and promises no hours."""
    big = {"n_layer": 48, "n_embd": 1600, "n_head": 25, "batch_size": 1}
    screen = run("diagnose", str(made_up.write(big) / "train_narrow.py"), "--gpu", "RTX 4070", "--quiet").stdout
    assert "not even one sequence fits" in screen
    assert "nothing to change" not in screen
    assert "hours for" not in screen
    assert "days for" not in screen


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that it is one."""
        return True


def test_large_inputs_show_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal, reading that takes longer than a second shows a bar on stderr; in a pipe there is none."""
    log = tmp_path / "train.log"
    log.write_text(healthy_log(3_000).text())
    main(["diagnose", str(log), "--fail-on", "never", "--quiet"])
    assert "reading" not in capsys.readouterr().err
    monkeypatch.setattr("auscult.cli.PROGRESS_AFTER_S", 0.0)
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    main(["diagnose", str(log), "--fail-on", "never", "--quiet"])
    assert "reading train.log" in terminal.getvalue()
    assert "reading" not in capsys.readouterr().out


def test_control_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """Interrupted while it reads, auscult ends with 130 and a word, and leaves no file, whole or half."""
    process = subprocess.Popen(
        [sys.executable, "-m", "auscult", "diagnose", "-", "--output", str(tmp_path / "report.txt")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdin is not None
    process.stdin.write(b"iter 0: loss 4.1234, time 90.00ms, mfu -100.00%\n" * 100_000)  # it waits for more
    process.stdin.flush()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"auscult: interrupted\n")
    assert list(tmp_path.iterdir()) == []
