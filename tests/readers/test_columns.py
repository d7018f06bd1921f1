"""Bounded columns: what is exact, what is kept, and that portions do not matter."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.readers.columns import Point, Thinned

VALUES = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf, -math.inf]))
POINTS = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), VALUES, st.integers(0, 2**40)), max_size=60)
LIMITS = st.integers(1, 12)


def state(column: Thinned) -> str:
    """Everything a column says, as text: NaN differs from itself, its text does not."""
    kept = list(column.steps), list(column.values), list(column.lines), len(column)
    ends = column.first, column.last, column.minimum, column.maximum
    return repr((kept, ends, column.stride, column.count, column.not_finite))


def extend(column: Thinned, points: list[tuple[int, float, int]]) -> None:
    steps, values, lines = zip(*points, strict=True) if points else ((), (), ())
    column.extend(np.array(steps, np.int64), np.array(values, np.float64), np.array(lines, np.int64))


def added(points: list[tuple[int, float, int]], limit: int) -> Thinned:
    column = Thinned(limit)
    for point in points:
        column.add(*point)
    return column


@given(st.lists(POINTS, max_size=6), LIMITS)
def test_extending_equals_adding(portions: list[list[tuple[int, float, int]]], limit: int) -> None:
    """However points are portioned, extending by arrays leaves exactly what adding them one by one leaves."""
    column = Thinned(limit)
    for portion in portions:
        extend(column, portion)
    assert state(column) == state(added([point for portion in portions for point in portion], limit))


@given(POINTS, POINTS, LIMITS)
def test_adding_and_extending_mix(
    first: list[tuple[int, float, int]], second: list[tuple[int, float, int]], limit: int
) -> None:
    """One column can be added to and extended in turn."""
    column = added(first, limit)
    extend(column, second)
    for point in first:
        column.add(*point)
    assert state(column) == state(added([*first, *second, *first], limit))


@given(POINTS, LIMITS)
def test_figures_are_exact_and_points_evenly_kept(points: list[tuple[int, float, int]], limit: int) -> None:
    """Count, ends and extremes are those of all points; what is kept is every ``stride``-th, the smallest that fits."""
    column = added(points, limit)
    finite = [point for point in points if math.isfinite(point[1])]
    assert column.count == len(points)
    assert column.not_finite == len(points) - len(finite)
    assert repr(column.first) == repr(Point(*points[0]) if points else None)
    assert repr(column.last) == repr(Point(*points[-1]) if points else None)
    assert column.minimum == (Point(*min(finite, key=lambda point: point[1])) if finite else None)
    assert column.maximum == (Point(*max(finite, key=lambda point: point[1])) if finite else None)
    kept = points[:: column.stride]
    assert repr(list(zip(column.steps, column.values, column.lines, strict=True))) == repr(kept)
    assert len(column) <= limit
    assert column.stride == 1 or len(points[:: column.stride // 2]) > limit


def test_a_long_run_stays_bounded() -> None:
    """A million points, extended in uneven portions, stay within the limit; the minimum keeps its step and line."""
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 0.1, 1_000_000)
    values[123_457] = 0.25
    steps = np.arange(len(values), dtype=np.int64) * 10
    column = Thinned(limit=1000)
    cuts = [0, 1, 7, 999, 1000, 1001, 123_457, 500_000, 999_999, 1_000_000]
    for low, high in pairwise(cuts):
        column.extend(steps[low:high], values[low:high], steps[low:high] // 10 + 1)
    assert column.minimum == Point(1_234_570, 0.25, 123_458)
    assert (column.count, column.stride, len(column)) == (1_000_000, 1024, 977)
    assert list(column.steps) == list(range(0, 10_000_000, 10_240))


def test_arguments_that_make_no_sense_are_refused() -> None:
    """A limit below one and columns of different lengths raise ValueError, and nothing is taken."""
    with pytest.raises(ValueError, match="limit must be at least 1"):
        Thinned(0)
    column = Thinned()
    with pytest.raises(ValueError, match="2 steps, 1 values, 2 lines"):
        column.extend(np.arange(2), np.zeros(1), np.arange(2))
    assert column.count == 0
