"""Asking the driver, with programs that print what drivers print."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from auscult.errors import UsageError
from auscult.hardware import Gpu, find_gpu
from auscult.hardware.detect import detect, devices


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is all of PATH, besides the shell's own tools."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def printing(text: str, status: int = 0) -> str:
    return f"/bin/cat <<'END'\n{text}\nEND\nexit {status}"


H100 = "NVIDIA H100 80GB HBM3, 81559, 1980, 9.0"
ROCM = (
    '{"card0": {"VRAM Total Memory (B)": "%d", "VRAM Total Used Memory (B)": "1", "Card series": "%s", '
    '"Card model": "0x74a1", "Card vendor": "Advanced Micro Devices, Inc. [AMD/ATI]"}}'
)


@pytest.mark.parametrize(
    ("output", "row", "mebibytes", "count"),
    [
        ("NVIDIA GeForce RTX 4070, 12282, 3105, 8.9", "RTX 4070", 12282, 1),
        ("\n".join([H100] * 8), "H100-SXM5-80GB", 81559, 8),
        ("Tesla T4, 15360, 1590, 7.5", "T4", 15360, 1),
        ("NVIDIA A100-SXM4-40GB, 40960, [N/A], 8.0", "A100-SXM4-40GB", 40960, 1),
        ("NVIDIA A100-SXM4-80GB, 81920, 1410, 8.0, Disabled", "A100-SXM4-80GB", 81920, 1),
        ("NVIDIA A10, 22731, 1695, 8.6, [N/A]", "A10", 22731, 1),
        ("NVIDIA GeForce RTX 3080, 10240, 2100, 8.6, [N/A]", "RTX 3080", 10240, 1),
        ("NVIDIA GeForce RTX 3080, 12288, 2100, 8.6, [N/A]", "RTX 3080 12GB", 12288, 1),
        ("NVIDIA GeForce RTX 4060 Ti, 16380, 3105, 8.9, [N/A]", "RTX 4060 Ti 16GB", 16380, 1),
        ("NVIDIA GH200 480GB, 97871, 1980, 9.0, Disabled", "GH200-96GB", 97871, 1),
    ],
)
def test_cards_of_nvidia(folder: Path, output: str, row: str, mebibytes: int, count: int) -> None:
    """What nvidia-smi lists is the card, how many there are, and the memory that the driver shows."""
    program(folder, "nvidia-smi", printing(output))
    gpu, found = detect()
    assert (gpu.name, gpu.memory_bytes, found) == (row, mebibytes * 2**20, count)


def test_what_the_driver_says_of_a_card(folder: Path) -> None:
    """Clock and compute capability are kept for the rule."""
    program(folder, "nvidia-smi", printing(H100))
    (device,) = devices()
    assert (device.max_clock_mhz, device.compute_capability) == (1980, (9, 0))


def test_a_driver_that_does_not_know_the_capability_is_asked_without(folder: Path) -> None:
    """An old nvidia-smi refuses compute_cap with a message and a status; the shorter question finds the card."""
    body = 'case "$1" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; esac\n'
    program(folder, "nvidia-smi", body + printing("Tesla V100-SXM2-16GB, 16384, 1530"))
    gpu, count = detect()
    assert (gpu.name, count) == ("V100-SXM2-16GB", 1)


def test_cards_of_amd(folder: Path) -> None:
    """Where there is no nvidia-smi, rocm-smi's JSON names the card, warnings before it notwithstanding."""
    program(
        folder,
        "rocm-smi",
        printing(
            "WARNING: AMD GPU device(s) is/are in a low-power state\n"
            + ROCM % (206141652992, "AMD Instinct MI300X OAM")
        ),
    )
    gpu, count = detect()
    assert (gpu.name, gpu.memory_bytes, count) == ("MI300X", 206141652992, 1)


def test_one_die_of_a_card_with_two(folder: Path) -> None:
    """rocm-smi lists the two dies of an MI250X apart: each has half of the row's peak."""
    program(folder, "rocm-smi", printing(ROCM % (64 * 2**30, "AMD Instinct MI250X")))
    gpu, _count = detect()
    row = find_gpu("MI250X")
    assert row is not None
    assert gpu.bf16_flops_per_s == (row.bf16_flops_per_s or 0) / 2
    assert gpu.memory_bytes == 64 * 2**30


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            printing("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", 9),
            "couldn't communicate",
        ),
        (printing("No devices were found"), "lists no card"),
        (printing(""), "lists no card"),
        ("exit 3", "status 3"),
        (printing("[Not Supported], , , "), "not in the table"),
    ],
)
def test_a_driver_that_fails(folder: Path, body: str, said: str) -> None:
    """A broken driver is quoted, and the message says what to type; no card is assumed."""
    program(folder, "nvidia-smi", body)
    with pytest.raises(UsageError, match="Next:") as raised:
        detect()
    assert said in str(raised.value)


def test_a_card_in_slices(folder: Path) -> None:
    """In MIG mode the driver still prints the whole card, which no program gets: the slice has to be described."""
    program(folder, "nvidia-smi", printing("NVIDIA A100-SXM4-40GB, 40960, 1410, 8.0, Enabled"))
    with pytest.raises(UsageError, match=r"MIG.*\[\[gpu\]\]"):
        detect()


def test_another_chip_under_the_same_name(folder: Path) -> None:
    """The RTX 3060 of 8 GB prints the name of the one of 12 GB and has two thirds of its bandwidth: it gets no figures."""
    program(folder, "nvidia-smi", printing("NVIDIA GeForce RTX 3060, 8192, 2100, 8.6, [N/A]"))
    with pytest.raises(UsageError, match=r"8\.0 GiB.*not in the table"):
        detect()


def test_no_driver_at_all(folder: Path) -> None:
    """Without either tool the message names both, and what to type."""
    with pytest.raises(UsageError, match="nvidia-smi is not installed, and rocm-smi is not installed") as raised:
        detect()
    assert "--gpu" in str(raised.value)


@pytest.mark.parametrize("body", ["exec /bin/sleep 30", "/bin/sleep 30", "while :; do :; done"])
def test_a_driver_that_hangs(folder: Path, body: str) -> None:
    """A tool that never answers is ended, with what it started, after the time allowed."""
    program(folder, "nvidia-smi", body)
    begun = time.monotonic()
    with pytest.raises(UsageError, match="did not answer"):
        detect(timeout_s=0.3)
    assert time.monotonic() - begun < 5


def test_a_driver_that_prints_without_end(folder: Path) -> None:
    """A tool that prints for ever is ended at a bound."""
    program(folder, "nvidia-smi", "while :; do echo 'NVIDIA L4, 23034, 2040, 8.9'; done")
    with pytest.raises(UsageError, match="prints without end"):
        detect(timeout_s=20)


def test_cards_of_two_kinds(folder: Path) -> None:
    """A machine with two kinds of cards names them and asks which."""
    program(folder, "nvidia-smi", printing(H100 + "\nNVIDIA T400 4GB, 4096, 1425, 7.5"))
    with pytest.raises(UsageError, match="NVIDIA H100 80GB HBM3, NVIDIA T400 4GB"):
        detect()


def test_a_card_outside_the_table(folder: Path) -> None:
    """A card that is not known is named with what the driver says of it, unless the user has described it."""
    program(folder, "nvidia-smi", printing("NVIDIA GeForce RTX 4070 Laptop GPU, 8188, 3105, 8.9"))
    with pytest.raises(UsageError, match=r"8\.0 GiB, compute capability 8\.9.*RTX 4070.*\[\[gpu\]\]"):
        detect()
    mine = Gpu("NVIDIA GeForce RTX 4070 Laptop GPU", "nvidia", 36, None, None, 40e12, None, None, None, "given")
    gpu, count = detect((mine,))
    assert (gpu.bf16_flops_per_s, gpu.memory_bytes, count) == (40e12, 8188 * 2**20, 1)
