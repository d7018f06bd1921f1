"""THR003: Inductor's "Not enough SMs"."""

from __future__ import annotations

from pathlib import Path

import pytest

import auscult
from auscult.checks import find_check
from auscult.checks.base import Outcome, examine
from auscult.checks.throughput.sm_warning_is_harmless import SM_GATE
from auscult.examination import Examination
from auscult.readers import given_by_options
from made_up import MadeUpRun, healthy_log

SHORT = healthy_log(4_000)
LINE = "W0718 09:12:44.000 torch/_inductor/utils.py:1436] [0/0] Not enough SMs to use max_autotune_gemm mode"


def ask(path: Path, **given: object) -> Outcome:
    item = find_check("THR003")
    assert item is not None
    return examine(item, Examination(auscult.read(path, given=given_by_options(**given))))


def warned(made_up: MadeUpRun) -> Path:
    folder = made_up.write({}, SHORT)
    log = folder / "train.log"
    log.write_text(f"{LINE}\n{log.read_text()}")
    return folder


def test_found(made_up: MadeUpRun) -> None:
    """An RTX 4070 has 46 SMs and the gate is 68: information, at the warning's line, and nothing to do."""
    outcome = ask(warned(made_up), gpu="RTX 4070")
    assert outcome.word == "found"
    found = outcome.finding
    assert found is not None
    assert (found.code, found.severity) == ("THR003", "info")
    assert found.numbers == {"gate": SM_GATE, "sm_count": 46}
    assert [e.place for e in found.evidence] == ["train.log:1"]
    assert str(found.action) == "nothing"
    assert "a constant of the card" in str(found.meaning)
    assert found.edits == ()


def test_found_without_a_card(made_up: MadeUpRun) -> None:
    """The warning is explained without knowing the card."""
    found = ask(warned(made_up)).finding
    assert found is not None
    assert found.numbers == {"gate": SM_GATE, "sm_count": None}


@pytest.mark.parametrize("card", ["RTX 3080", "RTX 4080"])
def test_a_card_with_enough_is_not_said_to_have_fewer(made_up: MadeUpRun, card: str) -> None:
    """Before torch 2.4 the gate was 80: cards with 68 or 76 SMs print the line, and "fewer than 68: it has 76" is untrue."""
    found = ask(warned(made_up), gpu=card).finding
    assert found is not None
    count = found.numbers["sm_count"]
    assert count >= SM_GATE
    assert f"fewer than {SM_GATE}" not in str(found.message)


def test_not_applicable(made_up: MadeUpRun) -> None:
    """A log that does not print it."""
    outcome = ask(made_up.write({}, SHORT), gpu="RTX 4070")
    assert outcome.word == "not_applicable"
