"""W&B's own log, which holds the configuration as Python."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read_all
from auscult.readers.dialects.wandb_debug_log import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import TRACKER
from auscult.run import Known
from wandb_runs import NANOGPT, config_yaml, corpus_case, folder, nanogpt_console, opened, readings, said

NAME = "logs/debug.log"
STAMP = "2025-01-01 10:00:00,000 INFO    MainThread:7 "


def log(config: str, *more: str) -> str:
    lines = [
        f"{STAMP}[wandb_setup.py:_flush():80] Loading settings from /home/jdoe-account/.config/wandb/settings",
        f"{STAMP}[wandb_init.py:setup_run_log_directory():714] Logging user logs to"
        " /home/jdoe-account/thing/wandb/run-20250101_100000-zz99yy88/logs/debug.log",
        f"{STAMP}[wandb_init.py:init():849] wandb.init called with sweep_config: {{}}",
        f"config: {config}",
        f"{STAMP}[wandb_init.py:init():889] starting backend",
        *(f"{STAMP}{line}" for line in more),
    ]
    return "\n".join(lines) + "\n"


def test_the_configuration_of_a_killed_run(tmp_path: Path) -> None:
    """The dictionary is parsed with its line, under nanoGPT's names, and counts less than what W&B kept itself."""
    (reading,) = readings(DIALECT, tmp_path, NAME, log(repr({**NANOGPT, "_wandb": {}})))
    assert reading.vocabulary == "nanogpt"
    assert said(reading.raw)["warmup_iters"] == 20
    source = reading.raw["warmup_iters"].source  # type: ignore[union-attr]  # known by the line above
    assert (source.line, source.text) == (4, "warmup_iters = 20")
    assert (reading.root, reading.run_id) == (".", "zz99yy88")
    assert reading.authority < TRACKER
    assert "/home" not in repr(reading)


def test_what_was_added_later(tmp_path: Path) -> None:
    """`config_cb` lines hold later updates: of several keys as a dictionary, of one as key and value."""
    more = (
        "[wandb_run.py:_config_callback():1383] config_cb None None {'batch_size': 32, 'optim': {'weight_decay': 0.2}}",
        "[wandb_run.py:_config_callback():1383] config_cb ('lr',) 0.0005 None",
        "[wandb_run.py:_config_callback():1383] config_cb ('x',) <object at 0x7f> None",
    )
    (reading,) = readings(DIALECT, tmp_path, NAME, log("{}", *more))
    assert said(reading.settings) == {
        "recipe.batch_size": 32,
        "recipe.weight_decay": 0.2,
        "recipe.learning_rate": 0.0005,
    }


def test_objects_among_the_values(tmp_path: Path) -> None:
    """A dictionary with an object printed in it is not Python as a whole: its plain pairs are read."""
    text = "{'batch_size': 32, 'model': <Thing at 0x7f>, 'lr': 1e-3, 'beta2': nan, 'name': 'a, b', 'dropout': -inf, 'wd': 0.1}"
    (reading,) = readings(DIALECT, tmp_path, NAME, log(text))
    assert said(reading.settings) == {
        "recipe.batch_size": 32,
        "recipe.learning_rate": 0.001,
        "recipe.weight_decay": 0.1,
    }


def test_a_number_that_python_takes_for_none(tmp_path: Path) -> None:
    """`0123` among plain pairs, which fuzzing found, is left out; what stands beside it is read."""
    (reading,) = readings(DIALECT, tmp_path, NAME, log("{'model': <Thing at 0x7f>, 'lr': 0123, 'batch_size': 32}"))
    assert said(reading.settings) == {"recipe.batch_size": 32}


def test_nothing_is_executed(tmp_path: Path) -> None:
    """Calls, names and huge powers are left out, and what stands beside them is read."""
    text = "{'batch_size': 8, 'a': open('x', 'w'), 'b': 9**9**9, 'c': __import__('os'), 'lr': 1e-4 * 2}"
    (reading,) = readings(DIALECT, tmp_path, NAME, log(text))
    assert said(reading.settings) == {"recipe.batch_size": 8, "recipe.learning_rate": 0.0002}
    assert not (tmp_path / "x").exists()


def test_a_line_that_is_cut(tmp_path: Path) -> None:
    """A file that ends inside the configuration is read as far as it goes, and that is a problem."""
    (reading,) = readings(DIALECT, tmp_path, NAME, log("{'batch_size': 8, 'lr': 0.1, 'max_steps': 10")[:-65])
    assert said(reading.settings)["recipe.batch_size"] == 8
    assert [p.kind for p in reading.problems] == ["broken_record"]


def test_a_link_to_the_latest_log_belongs_to_that_run(tmp_path: Path) -> None:
    """`wandb/debug.log` links to the latest run's; its id stands in its text, so that no other run gets its values."""
    first = "wandb/run-20250101_000000-aaaaaaaa/files/output.log"
    files = {first: nanogpt_console(100), first.replace("output.log", "config.yaml"): config_yaml(NANOGPT)}
    later = "wandb/run-20250101_100000-zz99yy88"
    files |= {
        f"{later}/logs/debug.log": log(repr({**NANOGPT, "learning_rate": 0.5})),
        f"{later}/files/output.log": nanogpt_console(40, every=20),
    }
    folder(tmp_path, files)
    (tmp_path / "wandb" / "debug.log").symlink_to(tmp_path / later / "logs" / "debug.log")
    runs = read_all(tmp_path).runs
    rates = {run.recipe.learning_rate.value for run in runs if isinstance(run.recipe.learning_rate, Known)}
    assert (len(runs), rates) == (2, {0.002, 0.5})
    assert not any(run.problems for run in runs)


def test_nothing_to_tell(tmp_path: Path) -> None:
    """A log without a configuration gives no reading."""
    assert readings(DIALECT, tmp_path, NAME, log("{}")) == []


def test_sniff(tmp_path: Path) -> None:
    """W&B's own words are needed: other logs are not claimed."""
    assert DIALECT.sniff(opened(tmp_path, NAME, log("{}"))) == 0.95
    assert DIALECT.sniff(opened(tmp_path, NAME, "config: {'lr': 0.1}\n")) == 0.0
    assert DIALECT.sniff(opened(tmp_path, "files/output.log", nanogpt_console(50))) == 0.0


@settings(database=None, derandomize=True, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_text_is_it_is_read_or_refused(data: st.DataObject) -> None:
    """A log that is cut, overwritten or spliced gives readings or an error of ours."""
    content = bytearray(log(repr(NANOGPT), "[x] config_cb ('a',) 3 None").encode())
    for _edit in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 40))] = data.draw(
            st.one_of(
                st.binary(max_size=12),
                st.sampled_from([b"{" * 300, b"'", b"9" * 5000, b"config: {", b"-" * 500, b"(" * 200, b"**"]),
            )
        )
    with contextlib.suppress(InputError):
        tuple(DIALECT.read(InputFile(NAME, lambda: io.BytesIO(bytes(content)), len(content))))


def test_a_real_one() -> None:
    """A real run whose config.yaml was never written has its recipe from this log."""
    run = read_all(corpus_case("nanogpt-owt-124m-65k-killed")).runs[0]
    assert isinstance(run.recipe.max_steps, Known)
    assert (run.recipe.max_steps.value, run.recipe.max_steps.source.file) == (600_000, NAME)
