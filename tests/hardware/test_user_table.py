"""Cards in an auscult.toml."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.errors import BadSettings, UnreadableInput
from auscult.hardware import find_gpu
from auscult.hardware.user_table import gpus_of_settings
from auscult.readers import read

GOOD = """train_tokens = "1B"

[[gpu]]
name = "RTX PRO 6000 Blackwell"
vendor = "nvidia"
memory_gib = 96
bandwidth_gb_per_s = 1792
bf16_tflops = 503.8
fp16_tflops = 503.8
sm_count = 188
board_power_w = 600
source = "data sheet"

[[gpu]]
name = "NVIDIA GeForce RTX 4070 Laptop GPU"
memory_gib = 8
bandwidth_gb_per_s = 256
sm_count = 36
boost_clock_mhz = 2175
compute_capability = "8.9"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "auscult.toml"
    path.write_text(text)
    return path


def test_cards_are_read_in_base_units(tmp_path: Path) -> None:
    """A described card has what its table says, and is found by its name before the shipped table is asked."""
    first, second = gpus_of_settings(written(tmp_path, GOOD))
    assert (first.memory_bytes, first.bandwidth_bytes_per_s, first.bf16_flops_per_s) == (96 * 2**30, 1792e9, 503.8e12)
    assert (first.sm_count, first.board_power_w, first.source) == (188, 600, "data sheet")
    assert first.fp32_flops_per_s is None
    assert (first.vendor, second.vendor) == ("nvidia", "nvidia")
    assert second.bf16_flops_per_s == 36 * 2175e6 * 512
    assert "auscult.toml:15" in second.source
    for name in ("nvidia geforce rtx 4070 laptop gpu", "RTX 4070 Laptop", "4070 laptop 8GB"):
        assert find_gpu(name, (first, second)) is second
    assert find_gpu("RTX 4070", (first, second)) is find_gpu("RTX 4070")


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        ("memory_gb = 96", ":3", "did you mean memory_gib"),
        ("memory_gib = -1", ":3", "above 0"),
        ("memory_gib = true", ":3", "above 0"),
        ("memory_gib = nan", ":3", "above 0"),
        ("memory_gib = inf", ":3", "above 0"),
        ('memory_gib = "96"', ":3", "above 0"),
        ("bf16_tflops = 5.0e14", ":3", "above 0"),
        ("sm_count = 1.5", ":3", "whole number"),
        ("source = 5", ":3", "text"),
        ("sm_count = 5", ":2", "without a peak"),
        ('sm_count = 5\nboost_clock_mhz = 1000\ncompute_capability = "6.1"', ":5", "tensor cores"),
        ('sm_count = 5\nboost_clock_mhz = 1000\ncompute_capability = "8.9"\ngeforce = "yes"', ":6", "true or false"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, place: str, said: str) -> None:
    """An unknown key, or a value that no card has, is told with file and line, and what was expected."""
    with pytest.raises(BadSettings) as raised:
        gpus_of_settings(written(tmp_path, f'[[gpu]]\nname = "mine"\n{line}\n'))
    assert f"auscult.toml{place}" in str(raised.value)
    assert said in str(raised.value)


def test_files_that_hold_no_usable_tables(tmp_path: Path) -> None:
    """No tables are no cards; what is not TOML, nameless, twice the same, or absent is told."""
    assert gpus_of_settings(written(tmp_path, 'gpu = "RTX 4070"\n')) == ()
    assert gpus_of_settings(written(tmp_path, "")) == ()
    for text in ("[[gpu]]\nbf16_tflops = 1\n", "gpu = 5\n", "[[gpu\n", GOOD + GOOD.split("\n\n", 1)[1]):
        with pytest.raises(BadSettings):
            gpus_of_settings(written(tmp_path, text))
    with pytest.raises(UnreadableInput):
        gpus_of_settings(tmp_path / "absent.toml")


@given(st.binary(max_size=60))
def test_any_bytes_are_cards_or_a_message(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """Whatever stands in the file, the answer is cards or BadSettings."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(b"[[gpu]]\nname = 'x'\n" + raw)
    try:
        cards = gpus_of_settings(path)
    except BadSettings:
        return
    assert all(card.source for card in cards)


def test_a_run_with_described_cards_is_read(tmp_path: Path, example: Path) -> None:
    """The tables do not disturb the other settings beside a run."""
    settings = written(tmp_path, GOOD)
    run = read(example / "train.log" if (example / "train.log").exists() else example, settings)
    assert run is not None
