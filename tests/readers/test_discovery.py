"""Which files of a folder make the run: found by what they hold, bounded, and never guessed between two."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from auscult.errors import AmbiguousInput, InputError, NotText
from auscult.readers import read, read_all
from auscult.run import Known, Unknown

CONFIG = "n_layer = 12\nn_head = 12\nn_embd = 384\nbatch_size = 16\n"
LOG = "step 0: train loss 10.8684, val loss 10.8727\niter 0: loss 10.8720, time 32025.45ms, mfu -100.00%\n"


def write(folder: Path, **files: str) -> Path:
    """Write files into a folder; ``__`` in a name stands for a dot and ``___`` for a slash."""
    for name, text in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_folder_with_config_and_log(tmp_path: Path) -> None:
    """A config and a log in one folder are one run, named after the folder, with both as sources."""
    run = read(write(tmp_path / "my-run", train_x__py=CONFIG, train__log=LOG))
    assert (run.name, run.dialect, run.sources) == ("my-run", "nanogpt", ("train_x.py", "train.log"))
    assert repr(run.recipe.architecture.d_model) == "Known(384, train_x.py:3)"
    assert {series.name for series in run.series} == {"train_loss_eval", "val_loss", "train_loss", "step_time_s"}
    assert run.config is not None
    assert run.config.text == CONFIG


def test_a_config_alone_is_a_preflight(tmp_path: Path) -> None:
    """A config alone, as a folder or as a file, is a run without series whose own figures are unknown."""
    folder = write(tmp_path, train_x__py=CONFIG)
    for run in (read(folder), read(folder / "train_x.py")):
        assert run.sources == ("train_x.py",)
        assert run.series == ()
        assert isinstance(run.logged.parameters, Unknown)
        assert isinstance(run.recipe.batch_size, Known)


def test_a_log_alone(tmp_path: Path) -> None:
    """A log alone is a run with series and an unknown recipe."""
    folder = write(tmp_path, train__log=LOG)
    for run in (read(folder), read(folder / "train.log")):
        assert run.get("val_loss") is not None
        assert isinstance(run.recipe.batch_size, Unknown)
        assert run.config is None


@pytest.mark.parametrize("name", ["output.txt", "slurm-123.out", "nohup", "TRAIN.LOG", "logs/deep/train.log"])
def test_logs_of_other_names(tmp_path: Path, name: str) -> None:
    """What a file holds makes it the log, under any of the names that logs have and a few folders down."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LOG)
    assert read(tmp_path).sources == (name,)


def test_files_named_one_by_one_in_any_order(tmp_path: Path) -> None:
    """Config, log and settings can be named in any order, from different folders."""
    write(tmp_path, a___train_x__py=CONFIG, b___train__log=LOG, c___auscult__toml='gpu = "RTX 4070"\n')
    paths = [tmp_path / "a/train_x.py", tmp_path / "b/train.log", tmp_path / "c/auscult.toml"]
    for order in (paths, paths[::-1]):
        run = read(*order)
        assert repr(run.machine.gpu_name) == "Known('RTX 4070', auscult.toml:1)"
        assert run.get("val_loss") is not None
        assert isinstance(run.recipe.batch_size, Known)


OTHER = LOG.replace("10.8", "10.7")


@pytest.mark.parametrize(("first", "second"), [("one.log", "two.log"), ("train_one.py", "train_two.py")])
def test_two_of_a_kind_are_two_runs(tmp_path: Path, first: str, second: str) -> None:
    """Two logs or two configs are two runs; where one is asked for, the error names both and says how to name one."""
    for name, log in ((first, LOG), (second, OTHER)):
        (tmp_path / name).write_text(log if name.endswith("log") else CONFIG)
    assert [run.name for run in read_all(tmp_path).runs] == [first, second]
    with pytest.raises(
        AmbiguousInput, match=rf"it holds 2 runs, and one is asked for\. Found {first}, {second}\. Next: .*--run NAME"
    ):
        read(tmp_path)
    assert read(tmp_path, run=second).sources == (second,)


def test_a_copy_of_a_log_is_the_same_run(tmp_path: Path) -> None:
    """The same history in two files is one run, and the relation names both."""
    found = read_all(write(tmp_path, one__log=LOG, two__log=LOG))
    assert len(found.runs) == 1
    assert [(r.kind, r.files) for r in found.relations] == [("copies", ("one.log", "two.log"))]


def test_one_log_and_two_configs(tmp_path: Path) -> None:
    """With two configs beside one log none is guessed: what they would say is unknown, and the reason names both."""
    run = read(write(tmp_path, a__py=CONFIG, b__py=CONFIG.replace("384", "768"), x__log=LOG))
    assert isinstance(run.recipe.batch_size, Unknown)
    assert "2 configs may be this run's (a.py, b.py)" in run.recipe.batch_size.reason
    assert run.config is None


def test_a_config_is_found_by_its_name(tmp_path: Path) -> None:
    """Of several configs and logs, those go together whose names do."""
    write(
        tmp_path, train_wide__py=CONFIG.replace("384", "768"), train_narrow__py=CONFIG, wide__log=LOG, narrow__log=OTHER
    )
    runs = {run.name: run for run in read_all(tmp_path).runs}
    assert repr(runs["wide.log"].recipe.architecture.d_model) == "Known(768, train_wide.py:3)"
    assert repr(runs["narrow.log"].recipe.architecture.d_model) == "Known(384, train_narrow.py:3)"


def test_a_hundred_logs_are_named_briefly(tmp_path: Path) -> None:
    """Of many logs the error names a few and counts the rest."""
    for i in range(100):
        (tmp_path / f"{i:03}.log").write_text(LOG.replace("10.8", f"10.{i:03}"))
    with pytest.raises(AmbiguousInput, match=r"it holds 100 runs.*000\.log.* and 94 more") as caught:
        read(tmp_path)
    assert len(str(caught.value)) < 500


def test_the_training_script_is_not_a_second_config(tmp_path: Path) -> None:
    """A train.py beside a config is its defaults, and model.py, sample.py and configurator.py are nothing."""
    script = CONFIG + "dropout = 0.25\nexec(open('configurator.py').read())\ndef get_batch(split): pass\n"
    write(tmp_path, train__py=script, config___train_x__py="n_layer = 6\nbatch_size = 8\n", train__log=LOG)
    write(
        tmp_path,
        model__py="class GPT: pass\n",
        sample__py="init_from = 'resume'\nstart = 'x'\n",
        configurator__py="import sys\n",
    )
    run = read(tmp_path)
    assert repr(run.recipe.batch_size) == "Known(8, config/train_x.py:2)"
    assert repr(run.recipe.dropout) == "Known(0.25, train.py:5)"


def test_an_empty_folder(tmp_path: Path) -> None:
    """An empty folder says what was expected and what a log looks like."""
    with pytest.raises(
        AmbiguousInput, match=r"nothing in it looks like a training run\. Expected a log that a trainer printed.*Next: "
    ):
        read(tmp_path)


def test_no_path_at_all() -> None:
    """Reading nothing is an error of ours."""
    with pytest.raises(AmbiguousInput, match="nothing to read"):
        read()


def test_a_folder_of_irrelevant_files(tmp_path: Path) -> None:
    """Notes, pictures, other Python and other logs are not a run, and do not hide one."""
    write(
        tmp_path,
        README__md="# A project\n",
        notes__txt="iter 5 went well\n",
        setup__py="name = 'x'\n",
        requirements__txt="torch\n",
    )
    write(
        tmp_path, src___model__py="class GPT:\n    n_layer = 12\n", web__log="GET / 200\n", data__csv="name,age\nx,2\n"
    )
    (tmp_path / "ckpt.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "picture").write_bytes(b"\x89PNG" + bytes(100))
    with pytest.raises(AmbiguousInput, match="nothing in it looks like a training run"):
        read(tmp_path)
    write(tmp_path, train__log=LOG)
    assert read(tmp_path).sources == ("train.log",)


def test_a_broken_log_alone_says_why(tmp_path: Path) -> None:
    """A folder whose only log is empty or binary gives that reason, not "nothing found"."""
    for data, reason in ((b"", "the file is empty"), (bytes(1000), "the file is binary")):
        (tmp_path / "train.log").write_bytes(data)
        with pytest.raises(NotText, match=rf"train\.log: {reason}"):
            read(tmp_path)


def test_a_log_cut_before_its_first_value(tmp_path: Path) -> None:
    """A log whose only record is cut gives what it does say, and reports the record."""
    (tmp_path / "train.log").write_text("number of parameters: 40.56M\niter 0: loss 10.8")
    run = read(tmp_path)
    assert run.series == ()
    assert repr(run.logged.parameters) == "Known((40555000, 40565000), train.log:1)"
    assert [(p.kind, p.source.place) for p in run.problems] == [("broken_record", "train.log:2")]


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    """Hidden files, hidden folders and __pycache__ hold no run."""
    write(tmp_path, train__log=LOG)
    for name in (".train.log", ".git/train.log", "__pycache__/train.log", "wandb/.cache/x.log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LOG)
    assert read(tmp_path).sources == ("train.log",)


def test_cyclic_links_do_not_hang(tmp_path: Path) -> None:
    """Links that point to their own folder, to each other, to themselves or to nothing are passed over."""
    write(tmp_path, train__log=LOG, sub___notes__txt="x")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again").symlink_to(tmp_path / "sub", target_is_directory=True)
    (tmp_path / "self.log").symlink_to(tmp_path / "self.log")
    (tmp_path / "a.log").symlink_to(tmp_path / "b.log")
    (tmp_path / "b.log").symlink_to(tmp_path / "a.log")
    (tmp_path / "gone.log").symlink_to(tmp_path / "nowhere")
    start = time.perf_counter()
    assert read(tmp_path).sources == ("train.log",)
    assert time.perf_counter() - start < 2
    (tmp_path / "auscult.toml").symlink_to(tmp_path / "nowhere.toml")
    with pytest.raises(InputError, match=r"auscult\.toml"):
        read(tmp_path)
    for name in ("self.log", "a.log", "gone.log"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


def test_deep_folders_are_bounded(tmp_path: Path) -> None:
    """Below six folders nothing is looked for, so that a dataset's tree is not walked."""
    write(tmp_path, a___b___c___d___e___f___g___train__log=LOG)
    with pytest.raises(AmbiguousInput):
        read(tmp_path)
    write(tmp_path, a___b___c___train__log=LOG)
    assert read(tmp_path).sources == ("a/b/c/train.log",)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    """A folder of more than 10,000 files is refused with a word on what to name instead."""
    for i in range(10_001):
        (tmp_path / f"{i}.bin").touch()
    with pytest.raises(AmbiguousInput, match=r"it holds more than 10,000 files\. Next: name the config and the log"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["hello\nworld\n", "\n\n\n", "the loss was 3.1 at step 10, we think\n"])
def test_a_named_file_that_is_no_log(tmp_path: Path, text: str) -> None:
    """A text that is no log is refused with a line of what a log looks like, and of what was found."""
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(
        NotText,
        match=r"notes\.txt: no training log, metrics or config is recognised in it\. Expected lines such as `iter 10: .*found ",
    ):
        read(path)


def test_a_config_without_the_suffix(tmp_path: Path) -> None:
    """A named file that holds a config is one, whatever it is called."""
    path = tmp_path / "config.txt"
    path.write_text(CONFIG)
    assert repr(read(path).recipe.batch_size) == "Known(16, config.txt:4)"


def test_errors_cannot_drive_the_terminal(tmp_path: Path) -> None:
    """An error quotes a stranger's file and its name without their escape sequences."""
    path = tmp_path / "notes.txt"
    path.write_text("\x1b]0;owned\x07hello \x1b[31mred\n")
    with pytest.raises(NotText) as content:
        read(path)
    assert "hello" in str(content.value)
    assert "\x1b" not in str(content.value)
    path.unlink()
    for name, log in (("a\x1b[31m.log", LOG), ("b.log", OTHER)):
        (tmp_path / name).write_text(log)
    with pytest.raises(AmbiguousInput) as names:
        read(tmp_path)
    assert "b.log" in str(names.value)
    assert "\x1b" not in str(names.value)


def test_the_name_of_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run read from "." is named after the folder, and one read from a file after the file."""
    monkeypatch.chdir(write(tmp_path / "my-run", train__log=LOG))
    assert read(".").name == "my-run"
    assert read("train.log").name == "train"


def test_what_git_lfs_did_not_fetch_is_said(tmp_path: Path) -> None:
    """A pointer in the place of a file is named as such, not taken for a damaged file, and pictures are not mentioned."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0f" * 32 + "\nsize 4096\n"
    for name in ("events.out.tfevents.1700000000.host.1.0", "trainer_state.json", "model.png"):
        (tmp_path / name).write_text(pointer)
    with pytest.raises(InputError, match="git lfs pull"):
        read_all(tmp_path / "trainer_state.json")
    (tmp_path / "train.log").write_text(
        "".join(f"iter {i}: loss 4.{i:04d}, time 9.00ms, mfu 7.00%\n" for i in range(9))
    )
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert len(found.unread) == 2
    assert all("git lfs pull" in str(error) for error in found.unread)


def test_wandbs_own_log_is_not_mentioned(tmp_path: Path) -> None:
    """``debug-cli.<user>.log`` is empty and bears a name: nothing is said of it."""
    (tmp_path / "debug-cli.somebody.log").touch()
    (tmp_path / "train.log").write_text(
        "".join(f"iter {i}: loss 4.{i:04d}, time 9.00ms, mfu 7.00%\n" for i in range(9))
    )
    assert read_all(tmp_path).unread == ()
