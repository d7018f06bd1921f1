"""Inputs that are not plain files of this machine, and what is told while they are read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from auscult.errors import NotText, UnreadableInput
from auscult.readers import read, watched
from auscult.readers.files import InputFile, open_path, open_stdin, open_url

LINE = "iter 10: loss 7.1234, time 90.00ms, mfu 30.00%\n"


def test_what_is_piped_in_can_be_read_twice() -> None:
    """A pipe is kept in a temporary file, so that it can be looked at before it is read."""
    file = open_stdin(io.BytesIO(LINE.encode() * 3))
    assert file.head == LINE.encode() * 3
    assert [line.text for line in file.lines()] == [LINE.strip()] * 3
    assert [line.number for line in file.lines()] == [1, 2, 3]


def test_remote_files_are_read_through_fsspec() -> None:
    """A URL of any file system that fsspec knows is read like a file."""
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://runs/train.log", "wb") as stream:
        stream.write(LINE.encode() * 3)
    assert [line.text for line in open_url("memory://runs/train.log").lines()] == [LINE.strip()] * 3
    loss = read("memory://runs/train.log").get("train_loss")
    assert loss is not None
    with pytest.raises(UnreadableInput, match=r"memory://runs/gone\.log: it cannot be opened.*Next: check the address"):
        open_url("memory://runs/gone.log")


def test_an_unknown_protocol_is_an_error_of_ours() -> None:
    """A URL that no file system opens says so."""
    with pytest.raises(UnreadableInput, match="it cannot be opened"):
        open_url("nosuch://x/train.log")


def test_the_watcher_is_told_how_far_reading_is(tmp_path: Path) -> None:
    """While a file is read its name, the bytes so far and the bytes in all are told, and the last are all."""
    path = tmp_path / "train.log"
    path.write_text(LINE * 50_000)
    seen: list[tuple[str, int, int]] = []
    with watched(lambda *progress: seen.append(progress)):
        assert sum(1 for _line in open_path(path, "train.log").lines()) == 50_000
    size = path.stat().st_size
    assert {(name, total) for name, _done, total in seen} == {("train.log", size)}
    assert [done for _name, done, _total in seen] == sorted(done for _name, done, _total in seen)
    assert seen[-1][1] == size
    assert len(seen) > 2
    seen.clear()
    list(open_path(path, "train.log").lines())
    assert not seen


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("train.log", ".log"), ("a/b.tar/train.log.gz", ".log"), ("x.JSON.zst", ".json"), (".hidden", ""), ("plain", "")],
)
def test_the_suffix_is_that_of_the_text(name: str, suffix: str) -> None:
    """The suffix of a compressed file is that of what is in it."""
    assert InputFile(name, lambda: io.BytesIO(b"")).suffix == suffix


def test_json_may_hold_what_python_writes(tmp_path: Path) -> None:
    """Bare NaN and Infinity are read; what is not JSON is refused with its line."""
    path = tmp_path / "x.json"
    path.write_text('{"loss": NaN,\n "best": -Infinity}')
    assert repr(open_path(path, "x.json").json()) == "{'loss': nan, 'best': -inf}"
    path.write_text('{"loss": 1,\n "cut": ')
    with pytest.raises(NotText, match=r"x\.json:2: not valid JSON.*Next: check that the file was written to its end"):
        open_path(path, "x.json").json()
    path.write_text("[" * 100_000)
    with pytest.raises(NotText, match=r"x\.json"):
        open_path(path, "x.json").json()


def test_the_sample_shows_head_and_tail(tmp_path: Path) -> None:
    """A long log is recognised by its end, too, where its records may come after thousands of lines of set-up."""
    path = tmp_path / "x.log"
    path.write_text("starting\n" * 60_000 + LINE)
    assert LINE.strip() in open_path(path, "x.log").sample
    assert len(open_path(path, "x.log").sample) < 400_000
