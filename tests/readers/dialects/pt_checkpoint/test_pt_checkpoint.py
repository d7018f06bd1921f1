"""PyTorch checkpoints, recognised without being unpickled."""

from __future__ import annotations

import contextlib
import io
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers.dialects.pt_checkpoint import DIALECT
from auscult.readers.files import InputFile
from auscult.readers.reading import Reading

BOMB = b"\x80\x04cposix\nsystem\n(S'false'\ntR."
"""A pickle that would run a command if anybody opened it."""


def checkpoint(*sizes: int, name: str = "ckpt") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{name}/data.pkl", BOMB)
        archive.writestr(f"{name}/byteorder", b"little")
        for index, size in enumerate(sizes):
            archive.writestr(f"{name}/data/{index}", bytes(size))
        archive.writestr(f"{name}/version", b"3\n")
    return out.getvalue()


def file_of(data: bytes, name: str = "ckpt.pt") -> InputFile:
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def read(data: bytes, name: str = "ckpt.pt") -> Reading:
    (reading,) = DIALECT.read(file_of(data, name))
    return reading


def test_storages_are_measured_and_nothing_is_unpickled() -> None:
    """The directory gives the number and the bytes of the storages; the pickle in it is left alone."""
    reading = read(checkpoint(400, 64))
    assert reading.role == "weights"
    assert reading.noted["checkpoint.storages"].value == 2
    assert reading.noted["checkpoint.storage_bytes"].value == 464
    assert not reading.settings


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pytorch_model.bin", "model weights"),
        ("optimizer.pt", "optimizer state"),
        ("global_step10/mp_rank_00_model_states.pt", "model weights"),
        ("zero_pp_rank_0_mp_rank_00_optim_states.pt", "optimizer state"),
        ("scheduler.pt", "schedule state"),
        ("rng_state_0.pth", "random state"),
        ("adapter_model.bin", "adapter"),
        ("ckpt.pt", "checkpoint"),
    ],
)
def test_kind_by_name(name: str, kind: str) -> None:
    """What a checkpoint is of is told by its name, which is all there is outside the pickle."""
    assert read(checkpoint(8), name).noted["checkpoint.kind"].value == kind


def test_checkpoint_of_old_versions() -> None:
    """Before version 1.6 the file was a pickle, which is named and left alone."""
    data = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + BOMB
    assert DIALECT.sniff(file_of(data)) >= 0.5
    assert "before 1.6" in read(data).noted["checkpoint.format"].value


def test_cut_checkpoint_is_reported() -> None:
    """Without its directory, which stands at the end, the checkpoint was not written whole."""
    reading = read(checkpoint(400)[:300])
    assert [p.kind for p in reading.problems] == ["checkpoint_damaged"]


def test_agrees_with_torch() -> None:
    """What torch saves is recognised, and its bytes are those of its tensors."""
    torch = pytest.importorskip("torch")
    out = io.BytesIO()
    torch.save({"model": {"w": torch.zeros(10, 3)}, "step": 5}, out)
    data = out.getvalue()
    assert DIALECT.sniff(file_of(data)) >= 0.9
    assert read(data).noted["checkpoint.storage_bytes"].value == 120


def other_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.zip", other_zip()), ("x.bin", b"\0" * 99), ("training_args.bin", checkpoint(4)), ("x.pt", b"")],
)
def test_sniff_leaves_others_alone(name: str, data: bytes) -> None:
    """Other archives, other binary files and the pickled training arguments are not claimed."""
    assert DIALECT.sniff(file_of(data, name)) == 0


def test_directory_of_an_absurd_size_is_not_listed() -> None:
    """A directory that claims gigabytes is taken for damage, not allocated."""
    data = bytearray(checkpoint(8))
    at = data.rfind(b"PK\x05\x06")
    data[at + 12 : at + 16] = (2**31).to_bytes(4, "little")
    assert read(bytes(data)).problems


@settings(deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: Any) -> None:
    """Whatever happens to the bytes, there are readings or an error of ours."""
    whole = bytearray(checkpoint(8, 16))
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    file = file_of(bytes(whole))
    with contextlib.suppress(InputError):
        DIALECT.sniff(file)
        tuple(DIALECT.read(file))
