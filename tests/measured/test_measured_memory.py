"""Estimated against measured memory: the public rows that say enough, and Liger's measurements of the loss."""

from __future__ import annotations

import statistics

import pytest
from scripts.measured.memory import cross_entropy, cross_validated, not_used, results, summary, table
from scripts.measured.rows import facts

pytestmark = pytest.mark.skipif(facts() is None, reason="no measured_runs.csv: set AUSCULT_FACTS to its folder")


def test_peaks_lie_in_the_interval() -> None:
    """Of the peaks whose setup is known, half are met within 6 %, and no more than one in ten lies outside the interval."""
    peaks = [result for result in results() if result.test == "equal"]
    assert len(peaks) >= 11
    assert statistics.median(abs(result.error) for result in peaks) <= 0.06
    assert sum(not result.holds for result in peaks) <= 0.1 * len(peaks)


@pytest.mark.parametrize("test", ["fits", "out of memory", "at least ours"])
def test_one_sided_rows(test: str) -> None:
    """What ran fits its card at the lower end, what ran out exceeds it at the upper end, and lower bounds are below."""
    found = [result for result in results() if result.test == test]
    assert found
    assert [result.row.number for result in found if not result.holds] == []


def test_upper_bounds() -> None:
    """Of the rows whose longest sequence is known only by its bound, all on one card stay within 3 % of ours or below.

    Two rows of FSDP over several cards exceed it by more, for a reason that is not known; docs/accuracy.md shows them.
    """
    found = [result for result in results() if result.test == "at most ours"]
    alone = [result for result in found if result.setup.gpu_count == 1]
    assert len(alone) >= 15
    assert all(result.measured <= 1.03 * result.interval[1] for result in alone)
    assert sum(not result.holds for result in found) <= 3


def test_rows_without_use_say_why() -> None:
    """Every row with a peak is either used or listed with a reason."""
    used = {result.row.number for result in results()}
    left = not_used()
    assert all(why for _row, why in left)
    assert used.isdisjoint(row.number for row, _why in left)


def test_the_loss_on_an_a100() -> None:
    """Logits and cross-entropy, eager and fused, are within 1 % of every measurement by Liger whose kernel is drawn."""
    found = cross_entropy()
    assert len(found) == 20
    assert max(abs(loss.error) for loss in found) <= 0.01


def test_tables_name_every_source() -> None:
    """The tables have a line for every source of a peak, and for every peak."""
    found = results()
    for group in {result.row.group for result in found if result.test == "equal"}:
        assert group in summary(found)
        assert group in cross_validated(found)
    assert len(table(found).splitlines()) == 2 + sum(result.row.peak_memory_bytes is not None for result in found)
