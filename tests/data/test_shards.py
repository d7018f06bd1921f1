"""Shards in every format: what is in them comes out, and what is wrong with them is said."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.data import BadData, TokenSplit, open_split
from auscult.data.prepare import PrepareSettings, prepare
from auscult.data.verify import verify
from token_files import write_llmc, write_nanogpt


@pytest.fixture
def own(tmp_path: Path, corpus: Path) -> Path:
    """Our own shards, several of each split."""
    folder = tmp_path / "own"
    prepare([str(corpus)], folder, PrepareSettings("bytes", val_share=0.2, shard_tokens=50_000, val_noise=9))
    return folder


def every_sequence(split: TokenSplit, context: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return split.sequences(np.arange(split.sequence_count(context)), context)


@settings(max_examples=40)
@given(tokens=st.lists(st.integers(0, 65_535), min_size=2, max_size=300), context=st.integers(1, 40))
def test_nanogpt_is_read_as_it_is(tmp_path_factory: pytest.TempPathFactory, tokens: list[int], context: int) -> None:
    """Every sequence of a headerless uint16 file is the slice of it that nanoGPT's get_batch would take at that place."""
    folder = write_nanogpt(tmp_path_factory.mktemp("nanogpt"), tokens, [1, 2, 3])
    split = open_split(folder, "train")
    found = every_sequence(split, context)
    assert split.token_count == len(tokens)
    assert found.tolist() == [tokens[i * context : (i + 1) * context + 1] for i in range((len(tokens) - 1) // context)]
    assert split.vocab_size is None


def test_meta_pkl_is_never_opened(tmp_path: Path) -> None:
    """A pickle beside nanoGPT's shards does nothing, whatever it would do."""

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.write_text, (tmp_path / "exploded", "boom"))

    folder = write_nanogpt(tmp_path / "data", range(100), range(100))
    (folder / "meta.pkl").write_bytes(pickle.dumps(Bomb()))
    assert open_split(folder, "val").token_count == 100
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("magic", "version", "first"), [(20240520, 1, 50256), (20240801, 7, 128000), (20240801, 1, 128000)]
)
def test_llmc_is_read_as_it_is(tmp_path: Path, magic: int, version: int, first: int) -> None:
    """Shards with llm.c's header are read in order; sequences stay within a shard; the first token tells the separator."""
    for number in (2, 10, 1):
        write_llmc(
            tmp_path / f"fineweb_train_{number:06d}.bin",
            [first, *range(number, number + 24)],
            magic=magic,
            version=version,
        )
    write_llmc(tmp_path / "fineweb_val_000000.bin", [7, 8, 9], magic=magic, version=version)
    split = open_split(tmp_path, "train")
    assert (split.token_count, split.separator) == (75, first)
    assert split.sequence_count(10) == 6
    found = every_sequence(split, 10)
    assert found[:, 0].tolist() == [first, 10, first, 11, first, 19]
    assert found[5].tolist() == list(range(19, 30))
    assert open_split(tmp_path, "val").separator is None


def test_llmc_with_names_without_numbers(tmp_path: Path) -> None:
    """llm.c's TinyShakespeare is tiny_shakespeare_train.bin, and modded forks call theirs train.bin: the header decides."""
    write_llmc(tmp_path / "a" / "tiny_shakespeare_train.bin", range(50))
    write_llmc(tmp_path / "b" / "train.bin", range(50))
    for name in "ab":
        assert every_sequence(open_split(tmp_path / name, "train"), 7)[0].tolist() == list(range(8))


def test_own_shards_are_read_as_they_are(own: Path) -> None:
    """Sequences of our shards are slices of the files, none across two of them."""
    split = open_split(own, "train")
    files = sorted(own.glob("train_*.bin"))
    context = 999
    wanted = []
    for file in files:
        tokens = np.fromfile(file, "<u2").astype(np.int64)
        wanted += [tokens[i * context : (i + 1) * context + 1] for i in range((len(tokens) - 1) // context)]
    assert len(files) > 5
    assert (split.vocab_size, split.separator) == (257, 256)
    assert np.array_equal(every_sequence(split, context), np.stack(wanted))


def test_fingerprints_tell_data_apart_not_places(own: Path, tmp_path: Path) -> None:
    """The same data elsewhere has the same fingerprint; one token changed in the first block, or a split, has another."""
    first = write_nanogpt(tmp_path / "first", range(1000), range(10))
    same = write_nanogpt(tmp_path / "same", range(1000), range(10))
    other = write_nanogpt(tmp_path / "other", [5, *range(1, 1000)], range(10))
    prints = [open_split(folder, "train").fingerprint for folder in (first, same, other)]
    assert prints[0] == prints[1] != prints[2]
    moved = tmp_path / "moved"
    own.rename(moved)
    assert open_split(moved, "train").fingerprint != open_split(moved, "val").fingerprint


def test_a_token_outside_of_the_vocabulary_is_named(own: Path, tmp_path: Path) -> None:
    """A foreign token is refused with its shard and position: by the data's own vocabulary, or by the model's."""
    shard = own / "train_000001.bin"
    tokens = np.fromfile(shard, "<u2")
    tokens[12_345] = 40_000
    tokens.tofile(shard)
    split = open_split(own, "train", verify=False)
    before = (len(np.fromfile(own / "train_000000.bin", "<u2")) - 1) // 100
    with pytest.raises(BadData, match=r"train_000001\.bin: token 40,000 at position 12,345 .*tokens below 257"):
        split.sequences(np.array([0, before + 123]), 100)
    assert split.sequences(np.array([0, before + 122]), 100).shape == (2, 101)
    folder = write_nanogpt(tmp_path / "nanogpt", [1, 2, 50_400], [1, 2])
    with pytest.raises(BadData, match="token 50,400 at position 2 is outside of the model's vocabulary"):
        open_split(folder, "train", vocab_limit=50_304).sequences(np.array([0]), 2)
    with pytest.raises(BadData, match="vocabulary of 257, more than the model's 256"):
        open_split(own, "train", verify=False, vocab_limit=256)


def test_a_corrupt_shard_is_named(own: Path) -> None:
    """One flipped bit is found by the checksum, at opening and by verify, and not where verification is off."""
    shard = own / "train_000002.bin"
    data = bytearray(shard.read_bytes())
    data[77] ^= 1
    shard.write_bytes(data)
    with pytest.raises(BadData, match=r"train_000002\.bin: the shard is corrupt: its checksum is not the manifest's"):
        open_split(own, "train")
    assert open_split(own, "train", verify=False).token_count > 0
    assert [v.shard.path.name for v in verify(own) if v.problem] == ["train_000002.bin"]


def test_a_missing_or_truncated_shard_is_named(own: Path) -> None:
    """Sizes are compared always: a shard that is gone or cut short is one paragraph, and verify names all of them."""
    (own / "train_000001.bin").unlink()
    with pytest.raises(BadData, match=r"train_000001\.bin: the shard is missing"):
        open_split(own, "train", verify=False)
    os.truncate(own / "val_000000.bin", 1001)
    with pytest.raises(
        BadData, match=r"val_000000\.bin: the shard is shorter than its manifest says.*found 1,001 bytes"
    ):
        open_split(own, "val", verify=False)
    assert [v.shard.path.name for v in verify(own) if v.problem] == ["train_000001.bin", "val_000000.bin"]


def test_a_shard_cut_short_under_a_running_job_is_named(own: Path) -> None:
    """What mmap would answer with a signal is an error with the file and the token."""
    split = open_split(own, "train", verify=False)
    os.truncate(own / "train_000000.bin", 2000)
    with pytest.raises(BadData, match=r"train_000000\.bin: the shard ends at token 1,000"):
        every_sequence(split, 300)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "x_train_000001.bin").write_bytes(b"\0" * 2000), "no header of llm.c"),
        (lambda f: (f / "x_train_000001.bin").write_bytes(b""), r"no header of llm.c.*0 bytes"),
        (lambda f: write_llmc(f / "x_train_000001.bin", range(9), version=9), "unknown version of llm.c's header"),
        (lambda f: write_llmc(f / "x_train_000001.bin", range(9), count=10), "shorter than its header says"),
        (lambda f: write_llmc(f / "x_train_000001.bin", range(9), count=8), "longer than its header says"),
        (lambda f: write_llmc(f / "x_train_000001.bin", [], count=-3), "the header says -3 tokens"),
        (lambda f: write_llmc(f / "y_train_000001.bin", range(9)), "several data sets: x, y"),
        (lambda f: write_llmc(f / "x_train_000002.bin", range(9), magic=20240801), "uint16 and of uint32"),
        (lambda f: (f / "train.bin").write_bytes(b"123"), "cut off in the middle of a token"),
        (lambda f: (f / "train.bin").write_bytes(b""), "the file is empty"),
        (lambda f: (f / "manifest.json").write_text("{"), "not a manifest"),
        (lambda f: (f / "manifest.json").write_text('{"format": "other/3"}'), "unknown format"),
        (lambda f: (f / "manifest.json").write_text('{"format": "auscult.tokens/1", "dtype": "uint16"}'), "a field is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, spoil: object, says: str) -> None:
    """Every way in which foreign shards can be wrong is one paragraph that names the file."""
    write_llmc(tmp_path / "x_train_000000.bin", range(50))
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(BadData, match=says) as caught:
        open_split(tmp_path, "train")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_shards_is_said(tmp_path: Path, corpus: Path) -> None:
    """No folder, a file, nothing in it, only the other split: each is told apart."""
    with pytest.raises(BadData, match="the folder does not exist"):
        open_split(tmp_path / "nowhere", "train")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadData, match="is a file, not a folder"):
        open_split(tmp_path / "file", "train")
    with pytest.raises(BadData, match=r"neither a manifest\.json, nor"):
        open_split(tmp_path, "train")
    write_llmc(tmp_path / "x_train_000000.bin", range(50))
    with pytest.raises(BadData, match="shards of train, but none of val"):
        open_split(tmp_path, "val")
    prepare([str(corpus)], tmp_path / "noval", PrepareSettings("bytes", val_share=0))
    with pytest.raises(BadData, match="the val split has no tokens"):
        open_split(tmp_path / "noval", "val")


def test_a_manifest_cannot_point_elsewhere(own: Path) -> None:
    """A shard named with a path outside of the folder is refused."""
    manifest = own / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"train_000000.bin"', '"../own/train_000000.bin"'))
    with pytest.raises(BadData, match="not a plain file name"):
        open_split(own, "train")


def test_files_are_closed_with_the_split(own: Path) -> None:
    """No handle outlives its split."""
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None  # noqa: PTH208 # iterdir holds a handle of its own
    split = open_split(own, "train", verify=False)
    every_sequence(split, 500)
    del split
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 # iterdir holds a handle of its own


def test_an_index_out_of_range_is_the_callers_fault(own: Path) -> None:
    """Neither a negative index nor one behind the end is a sequence."""
    split = open_split(own, "val", verify=False)
    for index in (-1, split.sequence_count(64)):
        with pytest.raises(ValueError, match="is not in range"):
            split.sequences(np.array([index]), 64)
