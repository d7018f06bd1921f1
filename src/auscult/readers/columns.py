"""Columns of a metric that stay bounded however long the run: every point counted, evenly spaced ones kept."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["LIMIT", "Point", "Thinned"]

LIMIT = 2**18
"""Points kept of one metric (6 MiB): more than any plot shows, and most runs log fewer and keep all."""


class Point(NamedTuple):
    """One value of a metric, its step, and the line it was read from."""

    step: int
    value: float
    line: int


@dataclass(frozen=True, slots=True)
class _Extremes:
    minimum: Point
    maximum: Point


class Thinned:
    """One metric's points in the order of the log, thinned to at most ``limit`` of them.

    Points are kept where their index among all of them is a multiple of ``stride``, which doubles whenever more than
    ``limit`` would be kept. What is kept depends on the points alone, not on the portions they arrived in. Count,
    first, last, minimum and maximum are exact over all points.

    Parameters
    ----------
    limit : int
        Most points to keep, at least 1.

    Attributes
    ----------
    steps, values, lines : array
        The kept points.
    stride : int
        Every how many points one is kept; 1 while nothing was left out.
    count : int
        All points that arrived.
    not_finite : int
        Those whose value is NaN or infinite.
    first, last : Point or None
        The first and the last point, finite or not.

    Examples
    --------
    >>> losses = Thinned(limit=4)
    >>> for step in range(10):
    ...     losses.add(step, 5.0 - step / 10, line=step + 1)
    >>> list(losses.steps), losses.stride, losses.count
    ([0, 4, 8], 4, 10)
    >>> losses.minimum
    Point(step=9, value=4.1, line=10)
    """

    __slots__ = ("_extremes", "count", "first", "last", "limit", "lines", "not_finite", "steps", "stride", "values")

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self.limit = limit
        self.steps: array[int] = array("q")
        self.values: array[float] = array("d")
        self.lines: array[int] = array("q")
        self.stride = 1
        self.count = 0
        self.not_finite = 0
        self.first: Point | None = None
        self.last: Point | None = None
        self._extremes: _Extremes | None = None

    def __len__(self) -> int:
        """Return how many points are kept."""
        return len(self.steps)

    @property
    def minimum(self) -> Point | None:
        """The earliest point of the smallest finite value."""
        return self._extremes.minimum if self._extremes else None

    @property
    def maximum(self) -> Point | None:
        """The earliest point of the largest finite value."""
        return self._extremes.maximum if self._extremes else None

    def add(self, step: int, value: float, line: int) -> None:
        """Take one point."""
        point = Point(step, value, line)
        if math.isfinite(value):
            self._widen(point, point)
        else:
            self.not_finite += 1
        self._bound(point, point)
        if self.count % self.stride == 0:
            self.steps.append(step)
            self.values.append(value)
            self.lines.append(line)
        self.count += 1
        self._thin()

    def extend(
        self, steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64], lines: npt.NDArray[np.int64]
    ) -> None:
        """Take many points at once, as :meth:`add` takes each of them.

        Parameters
        ----------
        steps, values, lines : ndarray
            Of one length, in the order of the log.
        """
        import numpy as np

        total = len(steps)
        if not len(values) == len(lines) == total:
            raise ValueError(f"{total} steps, {len(values)} values, {len(lines)} lines")
        if not total:
            return

        def point(index: int) -> Point:
            return Point(int(steps[index]), float(values[index]), int(lines[index]))

        finite = np.isfinite(values)
        if finite.all():
            self._widen(point(int(values.argmin())), point(int(values.argmax())))
        else:
            where = np.flatnonzero(finite)
            self.not_finite += total - len(where)
            if len(where):
                some = values[where]
                self._widen(point(int(where[some.argmin()])), point(int(where[some.argmax()])))
        self._bound(point(0), point(total - 1))
        kept = slice(-self.count % self.stride, None, self.stride)
        self.steps.frombytes(steps[kept].astype(np.int64, copy=False).tobytes())
        self.values.frombytes(values[kept].astype(np.float64, copy=False).tobytes())
        self.lines.frombytes(lines[kept].astype(np.int64, copy=False).tobytes())
        self.count += total
        self._thin()

    def _bound(self, first: Point, last: Point) -> None:
        if self.first is None:
            self.first = first
        self.last = last

    def _widen(self, low: Point, high: Point) -> None:
        before = self._extremes
        if before is None:
            self._extremes = _Extremes(low, high)
        elif low.value < before.minimum.value or high.value > before.maximum.value:
            self._extremes = _Extremes(
                low if low.value < before.minimum.value else before.minimum,
                high if high.value > before.maximum.value else before.maximum,
            )

    def _thin(self) -> None:
        while len(self.steps) > self.limit:
            self.steps, self.values, self.lines = self.steps[::2], self.values[::2], self.lines[::2]
            self.stride *= 2
