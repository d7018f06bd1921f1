"""The table of cards against the one that was collected from published figures."""

from __future__ import annotations

import csv
import os
from importlib import resources
from pathlib import Path

import pytest

CORPUS = Path(os.environ.get("AUSCULT_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus")
COLLECTED = CORPUS.parent / "facts" / "gpus.csv"
SPLIT = {"V100-SXM2-16/32GB": ("V100-SXM2-16GB", "V100-SXM2-32GB")}
"""One collected row for two memories is two rows here, so that neither gets the other's."""


def rows(text: str) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in csv.DictReader(text.splitlines())}


def test_every_collected_card_is_in_the_table_with_its_figures() -> None:
    """No collected card is lost and no figure of it is changed; what is here beyond them has a source of its own."""
    if not COLLECTED.is_file():
        pytest.skip(f"the collected table is not here: {COLLECTED}")
    collected = rows(COLLECTED.read_text(encoding="utf-8"))
    ours = rows(resources.files("auscult.hardware").joinpath("gpus.csv").read_text(encoding="utf-8"))
    for name, row in collected.items():
        for own in SPLIT.get(name, (name,)):
            differs = {key for key in row if ours[own][key] != row[key]}
            assert differs <= ({"name", "mem_gib"} if name in SPLIT else set()), own
    beyond = ours.keys() - collected.keys() - {own for names in SPLIT.values() for own in names}
    assert beyond == {"A10G", "H100-SXM5-96GB-HBM2e", "P100-PCIE"}
    assert all(len(ours[name]["source"]) > 40 for name in beyond)
