"""``auscult plan`` finds its machine: the driver's answer, the user's own cards, and what neither has."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from auscult.cli import main

ASK = ("plan", "--like", "gpt2", "--tokens-per-step", "524288", "--tokens", "10B", "--format", "json")
MINE = '[[gpu]]\nname = "My 9999"\nmemory_gib = 24\nbandwidth_gb_per_s = 1000\nbf16_tflops = 150\nfp32_tflops = 40\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory in which no driver's tool is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def driver(folder: Path, lines: str) -> None:
    program = folder / "bin" / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{lines}\nEND\n")
    program.chmod(0o755)


def asked(capsys: pytest.CaptureFixture[str], gpu: str) -> tuple[str, int]:
    assert main([*ASK, "--gpu", gpu]) == 0
    request = json.loads(capsys.readouterr().out)["request"]
    return request["gpu"]["name"], request["gpu"]["count"]


@pytest.mark.skipif(os.name != "posix", reason="the fake driver is a shell script")
def test_auto_is_the_driver_s_card(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--gpu auto plans for every card that the driver lists, and for as many as are asked for with x."""
    driver(folder, "\n".join(["NVIDIA H100 80GB HBM3, 81559, 1980, 9.0, Disabled"] * 8))
    assert asked(capsys, "auto") == ("H100-SXM5-80GB", 8)
    assert asked(capsys, "AUTO x2") == ("H100-SXM5-80GB", 2)


def test_auto_without_a_driver(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a driver nothing is assumed: exit status 2, and what to type."""
    assert main([*ASK, "--gpu", "auto"]) == 2
    assert 'such as --gpu "RTX 4070"' in capsys.readouterr().err


def test_a_card_of_the_user(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A card in the working directory's auscult.toml is planned for, and suggested where its name is misspelt."""
    (folder / "auscult.toml").write_text(MINE)
    assert asked(capsys, "my 9999 x4") == ("My 9999", 4)
    assert main([*ASK, "--gpu", "my 9998"]) == 2
    assert "My 9999" in capsys.readouterr().err


def test_a_wrong_line_among_the_user_s_cards(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in auscult.toml is told with its line, not passed over."""
    (folder / "auscult.toml").write_text(MINE.replace("memory_gib = 24", "memory_gib = -24"))
    assert main([*ASK, "--gpu", "4070"]) == 2
    assert "auscult.toml:3" in capsys.readouterr().err
