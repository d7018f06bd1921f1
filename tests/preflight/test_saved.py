"""Saved states on disk: which checkpoint is whole, and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from auscult.errors import UnreadableInput
from auscult.preflight.saved import (
    CHECKPOINT_FILE,
    fingerprint,
    good_checkpoint,
    name_checkpoint,
    named_checkpoints,
    reason_of,
)

KEEP_ALL = 100


def save(folder: Path, step: int, *, keep: int = KEEP_ALL, content: bytes = b"weights") -> Path:
    """Write a checkpoint as the trainer does: its files, then its name."""
    partial = folder / f"step-{step:08d}.partial"
    partial.mkdir(parents=True)
    (partial / "a.safetensors").write_bytes(content)
    (partial / "b.safetensors").write_bytes(bytes(range(256)) * 300)
    name_checkpoint(partial, {"step": step, "recipe": {"seed": 1}}, keep)
    return partial.with_suffix("")


def steps(folder: Path) -> list[int]:
    return [int(path.name[5:]) for path in named_checkpoints(folder)]


def change(checkpoint: Path, **values: object) -> None:
    path = checkpoint / CHECKPOINT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit flipped": lambda p: flip(p / "b.safetensors"),
    "cut short": lambda p: (p / "b.safetensors").write_bytes((p / "b.safetensors").read_bytes()[:-1]),
    "a file missing": lambda p: (p / "a.safetensors").unlink(),
    "no checkpoint.json": lambda p: (p / CHECKPOINT_FILE).unlink(),
    "half a checkpoint.json": lambda p: (p / CHECKPOINT_FILE).write_text((p / CHECKPOINT_FILE).read_text()[:40]),
    "no UTF-8": lambda p: (p / CHECKPOINT_FILE).write_bytes(b"\xff\xfe{}"),
    "no object": lambda p: (p / CHECKPOINT_FILE).write_text("[1]"),
    "another step": lambda p: change(p, step=7),
    "no step": lambda p: change(p, step=None),
    "no files": lambda p: change(p, files={}),
    "files in a list": lambda p: change(p, files=["a.safetensors"]),
}


@given(st.binary(max_size=3000))
def test_a_fingerprint_is_size_and_crc32c(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Read in pieces or at once, the fingerprint is the size and the CRC-32C of the content."""
    path = tmp_path_factory.mktemp("f") / "x"
    path.write_bytes(content)
    assert fingerprint(path) == [len(content), crc32c(content)]


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    """The newest, with its facts; what is still being written has no name and is not looked at."""
    save(tmp_path, 9)
    newest = save(tmp_path, 10)
    (tmp_path / "step-00000011.partial").mkdir()
    (tmp_path / "step-notes").mkdir()
    found = good_checkpoint(tmp_path, pytest.fail)
    assert found is not None
    assert found[0] == newest
    assert found[1]["step"] == 10
    assert found[1]["recipe"] == {"seed": 1}
    assert set(found[1]["files"]) == {"a.safetensors", "b.safetensors"}


def test_without_checkpoints_there_is_none(tmp_path: Path) -> None:
    """An empty folder, or none, is a run that has not begun."""
    assert good_checkpoint(tmp_path, pytest.fail) is None
    assert good_checkpoint(tmp_path / "nowhere", pytest.fail) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_passed_over(tmp_path: Path, damage: str) -> None:
    """Whatever is wrong with the newest, it is named in one sentence, and the one before it is taken."""
    before, newest = save(tmp_path, 5), save(tmp_path, 10)
    DAMAGES[damage](newest)
    told: list[str] = []
    found = good_checkpoint(tmp_path, told.append)
    assert found is not None
    assert found[0] == before
    assert len(told) == 1
    assert told[0].startswith(f"{newest}: ")
    assert told[0].endswith("is not as it was written; the checkpoint before it is taken")


def test_where_none_is_whole_it_is_an_error(tmp_path: Path) -> None:
    """To start again from step 0 would lose the run: it is refused, and nothing is removed."""
    for step in (1, 2, 3):
        flip(save(tmp_path, step) / "b.safetensors")
    with pytest.raises(UnreadableInput, match=r"none of its 3 checkpoints is whole\. Next: restore one from a copy"):
        good_checkpoint(tmp_path, lambda _: None)
    assert steps(tmp_path) == [1, 2, 3]


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    """``keep`` counts the one just written; the oldest go."""
    for step in range(1, 7):
        save(tmp_path, step, keep=2)
        assert steps(tmp_path) == [*range(max(1, step - 1), step + 1)]


def test_a_damaged_later_one_pushes_out_no_good_one(tmp_path: Path) -> None:
    """After a resume from before a damaged checkpoint, those written before its step are the ones to keep."""
    save(tmp_path, 10, keep=1)
    flip(save(tmp_path, 20, keep=2) / "b.safetensors")
    save(tmp_path, 12, keep=1)
    assert steps(tmp_path) == [12, 20]
    found = good_checkpoint(tmp_path, lambda _: None)
    assert found is not None
    assert found[1]["step"] == 12


def test_a_step_saved_again_replaces_the_old(tmp_path: Path) -> None:
    """The same step written twice is the second one, and nothing is left of the first."""
    save(tmp_path, 4, content=b"old")
    path = save(tmp_path, 4, content=b"new")
    assert (path / "a.safetensors").read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    """Beyond eight digits, too."""
    for step in (99_999_999, 100_000_000, 5):
        save(tmp_path, step)
    assert steps(tmp_path) == [5, 99_999_999, 100_000_000]
    found = good_checkpoint(tmp_path, pytest.fail)
    assert found is not None
    assert found[1]["step"] == 100_000_000


def test_a_reason_is_one_line() -> None:
    """An error of many lines, of none, or a collection of ranks' errors: one line that says what happened."""

    class Collected(BaseException):
        failures: ClassVar = {0: (OSError(28, "No space left on device"), "its trace")}

    assert reason_of(Collected("ranks: …\nTraceback …")) == "[Errno 28] No space left on device"
    assert reason_of(ValueError("first\nsecond")) == "first"
    assert reason_of(MemoryError()) == "MemoryError"
    assert len(reason_of(ValueError("x" * 10_000))) <= 200
