"""The board power of cards."""

from __future__ import annotations

import csv
from importlib import resources

from auscult.hardware import find_gpu, load_table
from auscult.hardware.power import board_power_w


def test_every_row_names_a_card_of_the_table() -> None:
    """No row of power.csv is lost to a misspelt name, and every figure is a plausible board power with a source."""
    rows = list(csv.DictReader(resources.files("auscult.hardware").joinpath("power.csv").read_text().splitlines()))
    names = {gpu.name for gpu in load_table()}
    assert {row["name"] for row in rows} <= names
    assert all(30 <= float(row["tdp_w"]) <= 1500 and row["source"] for row in rows)
    assert len({row["name"] for row in rows}) == len(rows)


def test_a_card_without_a_figure_has_none() -> None:
    """What is not known is None, not a neighbour's figure."""
    tpu = find_gpu("TPU v4")
    assert tpu is not None
    assert board_power_w(tpu) is None
