"""Inputs come from strangers: each bad one gets a clear paragraph or a finding, never a traceback, never execution."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import auscult
from auscult.errors import AuscultError
from auscult.report.json import dumps
from made_up import MadeUpRun, healthy_log


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "auscult", *arguments], capture_output=True, text=True, check=False)


def assert_clear_paragraph(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("auscult: ")
    assert done.stderr.count("\n") == 1, "one paragraph"
    for word in words:
        assert word in done.stderr


def assert_report_or_paragraph(path: Path) -> None:
    """Whatever the file holds, it gives a report with strict JSON, or one of our errors that names the file."""
    try:
        diagnosis = auscult.diagnose(auscult.read(path))
    except AuscultError as error:
        message = str(error)
    else:
        json.loads(dumps(diagnosis))
        return
    assert path.name in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("train.log", "empty")),
        (bytes(range(256)) * 400, ("train.log", "the file is binary")),
        (b"hello\nworld\n", ("no training log", "hello", "iter 10")),
        (b"\x80\x02}q\x00X\x05\x00\x00\x00model" + bytes(5000), ("the file is binary", "checkpoints are never opened")),
        (random.Random(0).randbytes(100_000), ("the file is binary",)),
    ],
    ids=["empty", "bytes", "not a log", "pickle", "random"],
)
def test_unusable_logs(tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    """An empty, binary or foreign file: what, where, what was expected, what next; exit 2."""
    log = tmp_path / "train.log"
    log.write_bytes(content)
    assert_clear_paragraph(run("diagnose", str(log)), *words)


def test_unreadable_log(tmp_path: Path) -> None:
    """A missing file, a folder in place of a file, and a log without permission (unless we are root)."""
    assert_clear_paragraph(run("diagnose", str(tmp_path / "no.log")), "no.log", "no such file")
    (tmp_path / "train.log").mkdir()
    assert_clear_paragraph(run("diagnose", str(tmp_path)), "nothing in it looks like a training run")
    if os.geteuid() != 0:
        secret = tmp_path / "secret.log"
        secret.write_text(healthy_log().text())
        secret.chmod(0)
        assert_clear_paragraph(run("diagnose", str(secret)), "cannot be opened", "permissions")


def test_two_gigabytes(tmp_path: Path) -> None:
    """A log followed by 2 GB of zeros, as a full disk leaves them, is read: what is text in it is whole."""
    log = tmp_path / "train.log"
    with log.open("wb") as stream:
        stream.write(healthy_log().text().encode())
        stream.truncate(2 * 10**9)
    start = time.monotonic()
    done = run("diagnose", str(log), "--format", "json")
    assert json.loads(done.stdout)["run"]["steps"]["last"] == 20_000, done.stderr
    assert time.monotonic() - start < 60


def test_truncated_log(made_up: MadeUpRun) -> None:
    """A log cut inside a number: the half record is left out and reported; the rest is read."""
    folder = made_up.write()
    text = (folder / "train.log").read_text()
    position = text.rindex("val loss ") + len("val loss 3.1")
    (folder / "train.log").write_text(text[:position])
    diagnosis = auscult.diagnose(auscult.read(folder))
    found = diagnosis.find("LOG005")
    assert found is not None
    assert "cut" in str(found.message)
    series = diagnosis.run.get("val_loss")
    assert series is not None
    assert series.steps[-1] == 19_500
    assert min(series.values) > 3.0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_wrong_encodings(made_up: MadeUpRun, encoding: str) -> None:
    """UTF-16 (PowerShell), a byte-order mark, and stray Latin-1 bytes read to the same series."""
    folder = made_up.write()
    plain = auscult.read(folder)
    text = (folder / "train.log").read_text()
    noisy = "durée écoulée\n" + text if encoding == "latin-1" else text
    (folder / "train.log").write_bytes(noisy.encode(encoding))
    again = auscult.read(folder)
    assert [(s.steps, s.values) for s in again.series] == [(s.steps, s.values) for s in plain.series]


def test_log_full_of_nan(made_up: MadeUpRun) -> None:
    """NaN losses are a finding with their first step; the JSON stays strict and the status is diverged."""
    log = healthy_log()
    for step in log.evaluations:
        if step >= 5_000:
            log.evaluations[step] = (float("nan"), float("nan"))
    for step in log.iterations:
        if step >= 5_000:
            log.iterations[step] = (float("nan"), *log.iterations[step][1:])
    diagnosis = auscult.diagnose(auscult.read(made_up.write(log=log)))
    found = diagnosis.find("NUM001")
    assert found is not None
    assert found.numbers["first_step"] == 5_000
    assert diagnosis.status == "diverged"
    assert diagnosis.verdict.cause == "numerics"
    json.loads(dumps(diagnosis), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))


def test_log_of_nothing_but_nan(made_up: MadeUpRun) -> None:
    """A log whose every loss is NaN from step 0 still gives a report."""
    log = healthy_log()
    for step in log.evaluations:
        log.evaluations[step] = (float("nan"), float("inf"))
    for step in log.iterations:
        log.iterations[step] = (float("nan"), *log.iterations[step][1:])
    diagnosis = auscult.diagnose(auscult.read(made_up.write(log=log)))
    assert diagnosis.find("NUM001") is not None
    assert json.loads(dumps(diagnosis))["status"] == "diverged"


HOSTILE = """
import os
open({target!r}, 'w').write('executed')
exec("open({target!r}, 'w').write('executed')")
os.system('touch ' + {target!r})
__import__('pathlib').Path({target!r}).touch()
n_layer = __import__('os').system('touch ' + {target!r})
n_embd = (lambda: open({target!r}, 'w').write('x'))()
n_head = [open({target!r}, 'w') for _ in range(1)]
dropout = eval("open({target!r}, 'w').write('x')")
f"{{len(str(open({target!r}, 'w')))}}"
class A:
    open({target!r}, 'w').write('x')
if True:
    open({target!r}, 'w').write('x')
@open({target!r}, 'w').write
def decorated(): pass
batch_size = 8
block_size = 1024
max_iters = 1000
"""


def test_a_config_is_never_executed(tmp_path: Path) -> None:
    """A config that would create a file in a dozen ways creates none; what it sets by calls is unknown and reported."""
    target = tmp_path / "created"
    config = tmp_path / "train_evil.py"
    config.write_text(HOSTILE.format(target=str(target)))
    done = run("diagnose", str(config), "--format", "json")
    assert not target.exists()
    assert "Traceback" not in done.stderr
    result = json.loads(done.stdout)
    assert result["run"]["architecture"]["n_layer"] is None
    assert "never executed" in result["unknown"]["run.architecture.n_layer"]
    assert result["run"]["recipe"]["batch_size"] == 8
    found = next(f for f in result["findings"] if f["code"] == "LOG005")
    assert {e["line"] for e in found["evidence"]} >= {2, 3, 4, 5, 6, 7, 8, 9, 10}
    assert run("fix", str(config)).returncode == 0
    assert not target.exists()


def test_the_hostile_config_is_really_hostile(tmp_path: Path) -> None:
    """The control: run by Python, that config does create the file."""
    target = tmp_path / "created"
    config = tmp_path / "train_evil.py"
    config.write_text(HOSTILE.format(target=str(target)))
    subprocess.run([sys.executable, str(config)], capture_output=True, check=False)
    assert target.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_layer = 12\nn_embd = = 384\n", (":2", "not valid Python", "n_embd = = 384")),
        ("n_layer = 12\n  n_embd = 384\n", (":2", "not valid Python")),
        ("n_layer = (12\n", ("not valid Python",)),
        ("n_layer = 12\x00\n", ("train_bad.py",)),
        ("(" * 5000 + ")" * 5000, ("train_bad.py",)),
    ],
    ids=["syntax", "indent", "unclosed", "nul", "deep"],
)
def test_configs_that_cannot_be_parsed(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """A syntax error names file, line, what was expected and what stands there; exit 2."""
    config = tmp_path / "train_bad.py"
    config.write_text(text)
    assert_clear_paragraph(run("diagnose", str(config)), *words)


@pytest.mark.parametrize(
    "key", ["n_layer", "n_head", "n_embd", "block_size", "batch_size", "gradient_accumulation_steps", "max_iters"]
)
@pytest.mark.parametrize("value", ["0", "-1", "10**9", "1e300", "'768'", "True", "None", "768.5", "undefined_name"])
def test_absurd_values(made_up: MadeUpRun, key: str, value: str) -> None:
    """A value that no run can have is unknown, is reported with its line, and nothing is computed from it."""
    folder = made_up.write()
    config = folder / "train_narrow.py"
    config.write_text(config.read_text() + f"{key} = {value}\n")
    lines = config.read_text().count("\n")
    diagnosis = auscult.diagnose(auscult.read(folder))
    name = {"n_embd": "d_model", "block_size": "context", "max_iters": "planned"}.get(key, key)
    body = json.loads(dumps(diagnosis))
    values = body["run"]["architecture"] | body["run"]["recipe"] | body["run"]["steps"]
    assert values[name] is None
    code = "LOG005" if value == "undefined_name" else "MDL005"
    found = diagnosis.find(code)
    assert found is not None
    assert any(source.line == lines for source in found.evidence)


def test_heads_that_do_not_divide_the_width(made_up: MadeUpRun) -> None:
    """n_head 7 in a width of 384 is an error with the nearest width of whole, aligned heads: 7 · 56."""
    found = auscult.diagnose(auscult.read(made_up.write({"n_head": 7}))).find("MDL002")
    assert found is not None
    assert found.severity == "error"
    assert "392" in str(found.action)


def test_terminal_escapes_are_not_passed_on(made_up: MadeUpRun) -> None:
    """A comment or log line with escape sequences cannot repaint the reader's terminal, nor inject Markdown."""
    folder = made_up.write(comments="# ~900M parameters \x1b]0;owned\x07\x1b[2J<img src=x>|`a`\n")
    for form in ("terminal", "markdown"):
        done = run("diagnose", str(folder), "--format", form)
        assert "900M" in done.stdout
        assert "\x1b" not in done.stdout
        assert "\x07" not in done.stdout
    assert "<img" not in run("diagnose", str(folder), "--format", "markdown").stdout.replace("\\<img", "")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_any_bytes_as_a_log(tmp_path: Path, data: bytes) -> None:
    """Whatever the bytes: a report or one of our errors, nothing else."""
    log = tmp_path / "train.log"
    log.write_bytes(b"iter 0: loss 10.9, time 9.00ms, mfu -100.00%\n" + data)
    assert_report_or_paragraph(log)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300))
def test_any_text_as_a_config(tmp_path: Path, text: str) -> None:
    """Whatever the text: a report or one of our errors, nothing else."""
    config = tmp_path / "train_any.py"
    config.write_text("n_layer = 2\n" + text, encoding="utf-8", errors="replace")
    assert_report_or_paragraph(config)


KEYS = [
    "n_layer",
    "n_head",
    "n_embd",
    "block_size",
    "batch_size",
    "gradient_accumulation_steps",
    "max_iters",
    "lr_decay_iters",
    "warmup_iters",
    "eval_interval",
    "eval_iters",
    "log_interval",
    "learning_rate",
    "min_lr",
    "dropout",
    "beta2",
]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(
        st.sampled_from(KEYS),
        st.one_of(st.integers(-5, 10**7), st.floats(allow_nan=False, allow_infinity=False), st.booleans()),
        min_size=1,
    )
)
def test_any_values_in_a_config(tmp_path: Path, values: dict[str, object]) -> None:
    """Whatever the numbers, config and log together give a report whose JSON is strict."""
    run_ = MadeUpRun(tmp_path / "run")
    dumps(auscult.diagnose(auscult.read(run_.write(values, SHORT))))


SHORT = healthy_log(4_000)
