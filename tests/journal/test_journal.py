"""The journal: what it writes is standard, whole after a kill, and never worth a run."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from auscult.journal import Journal, SilentJournal
from auscult.journal.appended import AppendedFile
from auscult.journal.pace import Pace
from auscult.journal.record import json_line
from auscult.recipe import LogSettings, TrainingRecipe, recipe_values

STEP = {
    "step": 120,
    "tokens": 58_982_400,
    "loss_nats_per_token": 3.1415,
    "learning_rate": 5.9e-4,
    "grad_norm": 0.82,
    "step_time_s": 0.71,
    "tokens_per_s": 4320.0,
    "flops_per_s": 7.17e12,
    "mfu": 0.123,
    "memory_allocated_bytes": 9 * 2**30,
}
QUIET = LogSettings(tensorboard=False)
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


def journal(folder: Path, log: LogSettings = QUIET, **more: Any) -> tuple[Journal, io.StringIO]:
    screen = io.StringIO()
    console = Console(file=screen, width=more.pop("width", 200), force_terminal=more.pop("terminal", False))
    more = {"steps": 2000, "recipe": recipe_values(TrainingRecipe(name="trial")), **more}
    return Journal(folder, log, console=console, **more), screen


def events(folder: Path) -> list[dict[str, Any]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def only(kind: str, wanted: str) -> str | None:
    return "pets" if kind == wanted else None


def test_every_event_is_one_line_with_its_values(tmp_path: Path) -> None:
    """All eight kinds arrive in order, with their keys, the recipe nested in the first."""
    for first_step in (0, 150):
        log, _screen = journal(tmp_path, first_step=first_step)
        with log:
            log.start({"auscult_version": "1", "micro_batch": 4, "gpu": None})
            log.step(STEP)
            log.evaluation({"step": 120, "split": "val", "mode": "eval", "loss_nats_per_token": 3.2, "tokens": 99})
            log.checkpoint({"step": 120, "path": Path("checkpoints/step-00000120")})
            log.note("a sentence")
            log.end({"step": 2000, "tokens": 5})
            log.stop("SIGTERM: saved step 120")
    found = events(tmp_path)
    kinds = ["step", "evaluation", "checkpoint", "note", "end", "stop"]
    assert [event["event"] for event in found] == ["start", *kinds, "resume", *kinds]
    assert found[0]["recipe"]["model"]["n_layer"] == 12
    assert (found[0]["micro_batch"], found[0]["gpu"], found[0]["step"], found[7]["step"]) == (4, None, 0, 150)
    assert {key: found[1][key] for key in STEP} == STEP
    assert found[3]["path"] == str(Path("checkpoints/step-00000120"))
    assert (found[4]["text"], found[4]["step"]) == ("a sentence", 120)
    assert all(abs(event["time_unix_s"] - time.time()) < 60 for event in found)


@given(
    values=st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=5,
    )
)
def test_whatever_is_said_becomes_one_line_of_standard_json(values: dict[str, Any]) -> None:
    """No value breaks the line or the standard, and finite ones come back as they were."""
    for own in ("event", "time_unix_s", "not_finite"):
        values.pop(own, None)
    line = json_line("note", values, time_unix_s=1.0)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    found = json.loads(line, parse_constant=refuse)
    missing = found.pop("not_finite", [])
    assert len(missing) == sum(1 for number in numbers(values) if not math.isfinite(number))
    if not missing:
        assert found == {"event": "note", "time_unix_s": 1.0, **values}


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers(inner)


def test_a_loss_that_is_no_number_is_told_from_one_not_measured(tmp_path: Path) -> None:
    """NaN and infinity are null and listed; None is null and not listed; scalars of numpy are numbers."""
    import numpy as np

    log: Any  # scalars of numpy are no float to a type checker
    log, screen = journal(tmp_path)
    with log:
        log.step({"step": 7, "loss_nats_per_token": np.float32("nan"), "grad_norm": math.inf, "mfu": None})
        log.step({"step": np.int64(8), "loss_nats_per_token": np.float32(2.5)})
    first, second = events(tmp_path)
    assert first["not_finite"] == ["loss_nats_per_token", "grad_norm"]
    assert first["loss_nats_per_token"] is first["grad_norm"] is first["mfu"] is None
    assert (second["step"], second["loss_nats_per_token"]) == (8, 2.5)
    assert "loss NaN  grad inf" in screen.getvalue()


@given(torn=st.binary(max_size=70_000).filter(lambda raw: b"\n" not in raw), whole=st.integers(0, 3))
def test_a_torn_last_line_is_dropped_and_nothing_else(
    torn: bytes, whole: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a killed process left behind its last newline goes, however long; whole lines stay as they are."""
    path = tmp_path_factory.mktemp("torn") / "log.jsonl"
    kept = b'{"event": "note"}\n' * whole
    path.write_bytes(kept + torn)
    file = AppendedFile(path, lines=True)
    assert file.append(b"{}\n")
    file.close()
    assert path.read_bytes() == kept + b"{}\n"


@posix
def test_every_line_that_was_written_survives_kill_9(tmp_path: Path) -> None:
    """A process killed at any moment leaves whole lines, one for each step it had logged; the next process goes on."""
    code = (
        "import sys, io; from pathlib import Path; from rich.console import Console; from auscult.journal import Journal\n"
        "from auscult.recipe import LogSettings\n"
        "j = Journal(Path(sys.argv[1]), LogSettings(tensorboard=False), steps=10**6, recipe={}, console=Console(file=io.StringIO()))\n"
        "j.start({})\n"
        "for s in range(1, 10**6):\n"
        "    j.step({'step': s, 'loss_nats_per_token': 3.0}); sys.stdout.write(f'{s}\\n'); sys.stdout.flush()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    logged = int(next(line for line in reversed(said) if line.endswith("\n")))
    log, _screen = journal(tmp_path, first_step=100)
    with log:
        log.start({})
    steps = [event["step"] for event in events(tmp_path) if event["event"] == "step"]
    assert steps[:logged] == list(range(1, logged + 1))
    assert events(tmp_path)[-1]["event"] == "resume"


@posix
def test_a_full_disk_costs_lines_and_says_how_many(tmp_path: Path) -> None:
    """Under a limit on the size of files no call fails; one sentence says so, the count follows, and the log stays whole."""
    code = """if True:
        import resource, sys
        from pathlib import Path
        from auscult.journal import Journal
        from auscult.recipe import LogSettings
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        journal = Journal(Path(sys.argv[1]), LogSettings(), steps=99, recipe={})
        journal.start({})
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
        for step in range(1, 21):
            journal.step({"step": step, "loss_nats_per_token": 3.0})
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        journal.step({"step": 21, "loss_nats_per_token": 3.0})
        journal.close()
    """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    found = events(tmp_path)
    steps = [event["step"] for event in found if event["event"] == "step"]
    lost = 20 - (len(steps) - 1)
    assert 0 < lost < 20
    assert steps == [*range(1, 21 - lost), 21]
    told = next(event["text"] for event in found if event["event"] == "note")
    lost += 1  # the note about the event files
    assert told.startswith(f"{lost} lines before this one could not be written")
    assert done.stdout.count("a line of the log cannot be written") == 1
    assert done.stdout.count("event files cannot be written") == 1
    assert f"{lost} lines in all could not be written" in done.stdout
    assert done.stdout.count("loss 3.0000") == 21


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_device_that_is_always_full_ends_no_run(tmp_path: Path) -> None:
    """Every line is lost and counted, and nothing is raised."""
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    log, screen = journal(tmp_path)
    with log:
        log.start({})
        for step in range(1, 6):
            log.step({"step": step})
    assert "No space left on device" in screen.getvalue()
    assert "6 lines in all could not be written" in screen.getvalue()


def test_a_folder_that_refuses_files_ends_no_run(tmp_path: Path) -> None:
    """Where neither log nor event files can be opened, each is told once and the console goes on."""
    (tmp_path / "log.jsonl").mkdir()
    (tmp_path / "tensorboard").write_text("in the way", encoding="utf-8")
    log, screen = journal(tmp_path, LogSettings())
    with log:
        log.start({})
        log.step(STEP)
        log.step(STEP)
    assert screen.getvalue().count("cannot be written (") == 2
    assert screen.getvalue().count("loss 3.1415") == 2


def test_tensorboard_reads_the_event_files(tmp_path: Path) -> None:
    """TensorBoard's own reader finds every scalar, the recipe, and drops the steps that a resumed run repeats."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for first_step, last, loss in ((0, 6, 5.0), (4, 8, 4.0)):
        log, _screen = journal(tmp_path, LogSettings(), first_step=first_step)
        with log:
            log.start({})
            for step in range(first_step + 1, last + 1):
                log.step({"step": step, "loss_nats_per_token": loss, "learning_rate": 1e-4 * step, "mfu": None})
            log.evaluation({"step": last, "split": "val", "mode": "eval", "loss_nats_per_token": 1e300, "tokens": 1})
            log.evaluation({"step": last, "split": "train", "mode": "train", "loss_nats_per_token": math.nan})
        time.sleep(1.1 if first_step == 0 else 0)  # its reader orders files by the second in their names
    found = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    losses = [(event.step, event.value) for event in found.Scalars("train/loss_nats_per_token")]
    assert losses == [(1, 5.0), (2, 5.0), (3, 5.0), (5, 4.0), (6, 4.0), (7, 4.0), (8, 4.0)] or losses == [
        *((step, 5.0) for step in range(1, 5)),
        *((step, 4.0) for step in range(5, 9)),
    ]
    assert found.Scalars("train/learning_rate")[-1].value == pytest.approx(8e-4)
    tags = found.Tags()
    assert "train/mfu" not in tags["scalars"]
    assert found.Scalars("evaluation/val_loss_nats_per_token")[-1].value == math.inf
    assert math.isnan(found.Scalars("evaluation/train_loss_nats_per_token_train_mode")[-1].value)
    assert b'"name": "trial"' in found.Tensors("recipe")[-1].tensor_proto.string_val[0]


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_a_missing_tracker_is_one_note(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that is named without its package is told of once, with what to install, and nothing else changes."""
    monkeypatch.setitem(sys.modules, kind, None)
    log, screen = journal(
        tmp_path, LogSettings(tensorboard=False, wandb=only("wandb", kind), trackio=only("trackio", kind))
    )
    with log:
        log.start({})
        log.step(STEP)
    assert screen.getvalue().count("pip install") == 1
    assert [event["event"] for event in events(tmp_path)] == ["start", "note", "step"]


class Tracked(ModuleType):
    """Stands for W&B or trackio: remembers what it is told, and fails where it is asked to."""

    def __init__(self, failing: str = "") -> None:
        super().__init__("tracked")
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        for name in ("init", "log", "finish"):
            setattr(self, name, self._call(name, failing))

    def _call(self, name: str, failing: str) -> Callable[..., None]:
        def call(*given: Any, **named: Any) -> None:
            self.calls.append((name, {**(dict(given[0]) if given else {}), **named}))
            if name == failing:
                raise ConnectionError("no route to host\nand more")

        return call


@pytest.mark.parametrize("failing", ["", "init", "log", "finish"])
def test_a_tracker_gets_the_run_and_may_fail(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets finite values under the tags of TensorBoard; whatever it raises is one sentence, and the last it is asked."""
    fake = Tracked(failing)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for first_step in (0, 120):
        log, screen = journal(tmp_path, LogSettings(tensorboard=False, wandb="pets"), first_step=first_step)
        with log:
            log.start({})
            log.step({**STEP, "grad_norm": math.nan})
            log.step({**STEP, "step": 121})
        assert screen.getvalue().count("no route to host") == bool(failing)
        assert "and more" not in screen.getvalue()
    inits = [values for name, values in fake.calls if name == "init"]
    assert {values["project"] for values in inits} == {"pets"}
    assert inits[0]["id"] == inits[1]["id"], "a resumed run goes on under its identity"
    assert inits[0]["config"]["name"] == "trial"
    logs = [values for name, values in fake.calls if name == "log"]
    assert len(logs) == {"": 4, "init": 0, "log": 2, "finish": 4}[failing]
    if logs:
        assert (logs[0]["step"], logs[0]["train/loss_nats_per_token"]) == (120, 3.1415)
        assert "train/grad_norm" not in logs[0]


def test_no_tracker_is_imported_that_no_recipe_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a project the packages are not even looked for, whether or not they are installed."""
    fakes = {kind: Tracked() for kind in ("wandb", "trackio")}
    for kind, fake in fakes.items():
        monkeypatch.setitem(sys.modules, kind, fake)
    log, _screen = journal(tmp_path, LogSettings())
    with log:
        log.start({})
        log.step(STEP)
    assert not any(fake.calls for fake in fakes.values())


def test_the_journal_imports_nothing_heavy(tmp_path: Path) -> None:
    """Neither torch nor TensorBoard, NumPy or a tracker is loaded by a journal that writes event files."""
    code = (
        "import sys, json; from pathlib import Path; from auscult.journal import Journal\n"
        "from auscult.recipe import LogSettings\n"
        "with Journal(Path(sys.argv[1]), LogSettings(), steps=9, recipe={}) as j: j.start({}); j.step({'step': 1})\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"torch", "tensorboard", "tensorflow", "numpy", "google", "wandb", "trackio"}


def test_a_step_in_a_log_of_ci_is_one_plain_line(tmp_path: Path) -> None:
    """Without a terminal there is no bar, no colour and no wrapping, whatever the width."""
    log, screen = journal(tmp_path, width=40)
    with log:
        log.start({"peak_flops_per_s": 58.3e12, "mfu_convention": "6N+12LdT"})
        log.step(STEP)
        log.progress(120)
        log.evaluation({"step": 120, "split": "val", "mode": "eval", "loss_nats_per_token": 3.2104, "tokens": 655_360})
    assert screen.getvalue() == (
        "step  120/2000  loss 3.1415  lr 5.90e-04  grad 0.82  0.710 s/step  4,320 tok/s  12.3 % of 58.3 TFLOP/s (6N+12LdT)\n"
        "step  120/2000  val loss 3.2104  (eval mode, 655,360 tokens)\n"
    )


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_on_a_terminal_a_step_fits_its_line(width: int, tmp_path: Path) -> None:
    """What does not fit is left out, the loss never; the bar's line fits too, and is gone at the end."""
    log, screen = journal(tmp_path, width=width, terminal=True)
    with log:
        log.start({"peak_flops_per_s": 58.3e12, "mfu_convention": "6N+12LdT"})
        for step in range(117, 121):
            log.progress(step)
        log.step(STEP)
    text = Console(file=io.StringIO(), force_terminal=True).render_str("").plain + screen.getvalue()
    lines = [line for raw in text.replace("\r", "\n").split("\n") if (line := plain(raw))]
    assert all(len(line) <= width for line in lines)
    assert any(line.startswith("step  120/2000  loss 3.1415") for line in lines)
    assert any("120/2000 " in line and "ETA" in line for line in lines)
    assert any("6N+12LdT" in line for line in lines) == (width >= 120)


def plain(raw: str) -> str:
    from rich.text import Text

    return Text.from_ansi(raw).plain.rstrip()


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")
@pytest.mark.parametrize("stdout", ["terminal", "file", "pipe"])
@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb"}])
def test_a_bar_is_shown_only_where_it_cannot_be_torn(stdout: str, environment: dict[str, str], tmp_path: Path) -> None:
    """On a terminal there is a bar; not where stdout is a pipe that may end in the same terminal (tee), nor on a dumb one."""
    import pty

    code = (
        "import sys; from pathlib import Path; from auscult.journal import Journal; from auscult.recipe import LogSettings\n"
        "with Journal(Path(sys.argv[1]), LogSettings(tensorboard=False), steps=9, recipe={}) as j:\n"
        "    j.start({})\n"
        "    for s in range(1, 6): j.step({'step': s, 'loss_nats_per_token': 3.0}); j.progress(s)\n"
    )
    ours, theirs = pty.openpty()
    plain_file = (tmp_path / "out.txt").open("wb")
    to = {"terminal": theirs, "file": plain_file.fileno(), "pipe": subprocess.PIPE}[stdout]
    # COLUMNS and FORCE_COLOR as a CI may set them: neither makes a terminal of a file
    variables = {**os.environ, "TERM": "xterm", "FORCE_COLOR": "1", "COLUMNS": "100", **environment}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=to, stderr=theirs, env=variables)
    os.close(theirs)
    piped = process.communicate()[0] or b""
    plain_file.close()
    shown = b""
    with contextlib.suppress(OSError):  # Linux: the other end is closed
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0
    assert (b"ETA" in shown) == (stdout != "pipe" and not environment)
    lines = shown if stdout == "terminal" else piped + (tmp_path / "out.txt").read_bytes()
    assert lines.count(b"loss 3.0000") == 5
    if stdout != "terminal":
        assert b"\x1b" not in lines
        assert b"loss" not in shown


def test_two_files_get_no_bar(tmp_path: Path) -> None:
    """With stdout and stderr in files there is no bar, whatever a CI says of colours."""
    code = (
        "import sys; from pathlib import Path; from auscult.journal import Journal; from auscult.recipe import LogSettings\n"
        "with Journal(Path(sys.argv[1]), LogSettings(tensorboard=False), steps=9, recipe={}) as j:\n"
        "    j.start({}); j.step({'step': 1, 'loss_nats_per_token': 3.0}); j.progress(1)\n"
    )
    variables = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=out, stderr=err, env=variables, check=True)
    assert (tmp_path / "err").read_bytes() == b""
    assert (tmp_path / "out").read_bytes().splitlines() == [b"step 1/9  loss 3.0000"]


@posix
def test_a_reader_that_leaves_ends_no_run(tmp_path: Path) -> None:
    """`auscult train … | head` closes the pipe: the run writes on in its log, and ends with status 0."""
    code = (
        "import sys, time; from pathlib import Path; from auscult.journal import Journal\n"
        "from auscult.recipe import LogSettings\n"
        "j = Journal(Path(sys.argv[1]), LogSettings(tensorboard=False), steps=3000, recipe={})\n"
        "j.start({})\n"
        "for s in range(1, 3001): j.step({'step': s, 'loss_nats_per_token': 3.0})\n"
        "j.close()\n"
    )
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert said == b""
    assert events(tmp_path)[-1]["step"] == 3000


@given(
    step_s=st.floats(0.01, 10.0),
    evaluation_s=st.floats(0.0, 100.0),
    every=st.integers(5, 20),
    steps=st.integers(40, 90),
)
def test_the_estimate_is_right_where_the_run_is_steady(
    step_s: float, evaluation_s: float, every: int, steps: int
) -> None:
    """With equal steps and equal evaluations, the time that is left is exactly the steps and evaluations that are left."""
    pace = Pace(steps=steps, every_steps=every)
    now = 0.0
    left_at: dict[int, float] = {}
    said: dict[int, float | None] = {}
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            now += evaluation_s
            pace.evaluation()
        if step < steps:
            now += step_s
            pace.step(step + 1, now_s=now)
            said[step + 1], left_at[step + 1] = pace.seconds_left(), now
    assert said[1] is None
    for step in range(every + 1, steps + 1):
        assert said[step] == pytest.approx(now - left_at[step], rel=1e-6, abs=1e-6)


def test_one_slow_step_does_not_move_the_estimate() -> None:
    """A pause (a laptop that slept) is left out by the median."""
    pace = Pace(steps=100)
    now = 0.0
    for step in range(20):
        now += 3600.0 if step == 15 else 1.0
        pace.step(step, now_s=now)
    assert pace.seconds_left() == pytest.approx(81.0)


def test_the_silent_journal_has_the_same_methods(tmp_path: Path) -> None:
    """Other ranks call what rank 0 calls, with the same arguments, and nothing is written."""
    loud = {name: inspect.signature(call) for name, call in inspect.getmembers(Journal, inspect.isfunction)}
    quiet = {name: inspect.signature(call) for name, call in inspect.getmembers(SilentJournal, inspect.isfunction)}
    public = {name for name in loud if not name.startswith("_")} | {"__enter__", "__exit__"}
    assert {name: loud[name] for name in public} == {name: quiet[name] for name in public}
    with SilentJournal() as log:
        log.start({})
        log.step(STEP)
        log.note("nothing")
    assert not list(tmp_path.iterdir())


def test_moving_the_bar_costs_little(tmp_path: Path) -> None:
    """A call of progress, which every step makes, takes far less than the shortest step: bound at ten times what it takes."""
    log, _screen = journal(tmp_path, terminal=True, width=120)
    with log:
        log.start({})
        for step in range(200):
            log.progress(step)
        best = math.inf
        for _ in range(5):
            began = time.perf_counter()
            for step in range(200, 700):
                log.progress(step)
            best = min(best, (time.perf_counter() - began) / 500)
    assert best < 500e-6
