"""Predicted against measured speed: the public rows that say enough, by publisher."""

from __future__ import annotations

from statistics import median

import pytest
from scripts.measured.rows import facts
from scripts.measured.speed import CALIBRATED_ON, GRID, Result, calibration, held_out, results, table, worst

from auscult.facts import roofline

pytestmark = pytest.mark.skipif(facts() is None, reason="no measured_runs.csv: set AUSCULT_FACTS to its folder")


@pytest.fixture(scope="module")
def found() -> list[Result]:
    """Return every usable row with its prediction."""
    return results()


def test_speeds_lie_in_the_interval(found: list[Result]) -> None:
    """Of all usable rows, nine in ten lie in the printed interval, and half are met within 6 %."""
    assert len(found) >= 220
    assert sum(result.inside for result in found) >= 0.9 * len(found)
    assert median(abs(result.error) for result in found) <= 0.06


def test_publishers_on_whom_no_efficiency_was_chosen(found: list[Result]) -> None:
    """The efficiencies were chosen on llm-foundry's rows: of all others, half are met within 15 %, nine in ten in the interval."""
    others = [result for result in found if result.row.group != CALIBRATED_ON]
    assert len(others) >= 18
    assert len({result.row.group for result in others}) >= 4
    assert sum(result.inside for result in others) >= 0.9 * len(others)
    assert median(abs(result.error) for result in others) <= 0.15


def test_the_printed_interval_is_no_narrower_than_the_others_say(found: list[Result]) -> None:
    """Whichever publisher is left out, the printed interval covers its rows at least as well as one from the others does."""
    rows = held_out(found)
    assert sum(row.rows for row in rows) == len(found)
    assert all(row.coverage_printed >= row.coverage for row in rows)


def test_the_constants_are_those_of_the_calibration() -> None:
    """Every calibrated constant is as good as its neighbours to 0.2 percentage points, and trying them changes none."""
    ours = {name: getattr(roofline, name) for name in GRID}
    points = list(calibration())
    assert {name: getattr(roofline, name) for name in GRID} == ours
    for name, constant in ours.items():
        errors = {value: error for other, value, error in points if other == name}
        assert len(errors) >= 3
        assert errors[constant] <= min(errors.values()) + 0.002, name


def test_tables_name_every_publisher(found: list[Result]) -> None:
    """The summary has a line for each publisher and card and one for all; the worst rows are listed worst first."""
    groups = {(result.row.group, result.row.gpu_name) for result in found}
    assert len(table(found).splitlines()) == 3 + len(groups)
    rows = worst(found, 3).splitlines()[2:]
    assert len(rows) == 3
    assert str(max(found, key=lambda r: abs(r.error)).row.number) in rows[0]
