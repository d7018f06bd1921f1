"""Whether two files hold the same curve, told by their values; and which of thousands of files are worth comparing."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import combinations, islice, pairwise

from ..run import Series
from .reading import Reading

__all__ = ["LOSSES", "Curves", "Verdict", "loss_of", "pairs_to_compare", "span"]

LOSSES = ("train_loss", "val_loss", "train_loss_eval", "val_bpb")
_AGREE = 0.95
_MIN_SHARED = 0.5
_STRONG = 3
"""So many different values that agree are no chance: one or two may be the loss of a common initialisation."""
_FLOAT32 = 3e-7
"""Relative rounding of a value that went through 32 bits on its way into one of two files."""
_EXACT = 1e-9
_MAX_DECIMALS = 9
_WHOLE_FLOAT = 7
"""With so many decimals a value was written whole, not rounded to a fixed number of places."""
_COARSE = 1
_COARSE_VALUES = 10
"""Curves printed with one decimal look alike: only many different values that agree without exception say anything."""
_LOOKED_AT = 50
_SAMPLE = 4096
_MAX_KEPT = 500_000
"""Points that are kept prepared for further comparisons: about 100 MB."""
_MEASURED = ("time", "norm", "per_s", "mfu", "flops", "elapsed", "speed", "throughput", "runtime")
"""Parts of the names of metrics that no two runs share by design, as they do a learning rate."""
_GLANCE = 24
_REPRINTED = 1e-3
_TELLING = 3
"""A time of so many digits is no two runs'."""

_ALL_PAIRS = 48
_PROBES = 12
_CROWD = 128
_WITH_SHIFTS = 500
_MAX_ROW_PAIRS = 20_000
_MAX_STRIDE = 64
_MAX_STARTS = 200
_IN_ORDER = 5
_SHIFTED = 10
_HUGE = 1e12

Sample = dict[int, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What two curves say of each other.

    Attributes
    ----------
    same : bool or None
        Whether they are one curve; None where they share too little to tell.
    evidence : int
        How many different values agree.
    forked : bool
        They agree up to a step and differ after it.
    by_step : bool
        Equal values stand at equal steps, so that one can complete the other.
    """

    same: bool | None
    evidence: int = 0
    forked: bool = False
    by_step: bool = True


_UNDECIDED = Verdict(None)


def loss_of(reading: Reading) -> Series | None:
    """Return the series by which a run is known best: its first loss."""
    return next((s for name in LOSSES if (s := reading.get(name)) is not None and len(s)), None)


def span(series: Series) -> tuple[int, int]:
    """Return the first and the last step that a series reaches."""
    return min(series.steps), max(series.steps)


class Curves:
    """Compares curves; what it prepares of a series it keeps for the next comparison."""

    def __init__(self) -> None:
        self._samples: dict[tuple[int, int], Sample] = {}
        self._decimals: dict[int, int] = {}
        self._known: dict[int, Series] = {}
        self._size = 0

    def same_history(self, one: Reading, two: Reading) -> Verdict:
        """Return whether two files hold one history, by the losses that both have.

        A curve of one loss that agrees counts more than another's that differs, which one of the files may have smoothed.
        """
        verdicts = [
            self.compare(a, b)
            for name in LOSSES
            if (a := one.get(name)) is not None and (b := two.get(name)) is not None and len(a) and len(b)
        ]
        sure = [v for v in verdicts if v.same and v.evidence >= _STRONG]
        if sure:
            return max(sure, key=lambda v: v.evidence)
        against = next((v for v in verdicts if v.same is False), None)
        if against is not None:
            return against
        weak = [v for v in verdicts if v.same]
        return max(weak, key=lambda v: v.evidence) if weak else _UNDECIDED

    def is_strong(self, verdict: Verdict) -> bool:
        """Return whether as many values agree as cannot by chance."""
        return verdict.same is True and verdict.evidence >= _STRONG

    def corroborated(self, one: Reading, two: Reading) -> bool:
        """Return whether what was measured besides the losses, such as times, agrees too."""
        agree = 0
        for a in one.series:
            b = two.get(a.name)
            if a.name in LOSSES or b is None or a.axis != b.axis or not any(part in a.name for part in _MEASURED):
                continue
            left, right = self._sample(a, 1), self._sample(b, 1)
            for step in left.keys() & right.keys():
                x, y = left[step][-1], right[step][-1]
                if math.isfinite(x) != math.isfinite(y) or abs(x - y) > _REPRINTED * abs(x):
                    return False
                agree += len(repr(x).partition("e")[0].replace(".", "").strip("-0")) >= _TELLING
        return agree > 0

    def compare(self, a: Series, b: Series) -> Verdict:
        """Return what two series say of each other: by steps, by steps that are off by one, or by the order of values."""
        if a.axis == b.axis:
            verdict = self._by_steps(a, b, 0)
            if verdict.same or a.axis != "step":
                return verdict
            for shift in (1, -1):
                shifted = self._by_steps(a, b, shift)
                if shifted.same and shifted.evidence >= _SHIFTED:
                    return replace(shifted, by_step=False)
            return verdict
        if "row" in (a.axis, b.axis):
            return self._in_order(a, b)
        return _UNDECIDED

    # ---- by steps

    def _by_steps(self, a: Series, b: Series, shift: int) -> Verdict:
        few = min(len(a), len(b))
        sieve = 1
        while few / sieve > _SAMPLE:
            sieve *= 2
        left, right = self._sample(a, sieve), self._sample(b, sieve)
        if shift:
            right = {step + shift: values for step, values in right.items() if not (step + shift) & (sieve - 1)}
            if sieve > 1:
                return _UNDECIDED
        small, large = (left, right) if len(left) <= len(right) else (right, left)
        common = [step for step in small if step in large]
        if not common or len(common) < max(1, _MIN_SHARED * len(small)):
            return _UNDECIDED
        if len(common) < _STRONG <= len(small):
            return _UNDECIDED
        one, two = self._places(a), self._places(b)
        if len(common) > 4 * _GLANCE:
            glance = [(small[step], large[step]) for step in common[:: len(common) // _GLANCE]]
            glance = [(x, y) for x, y in glance if math.isfinite(x[0]) or math.isfinite(y[0])]
            if sum(_any_close(x, y, one, two) for x, y in glance) < 0.25 * len(glance):
                return Verdict(False)  # neither a copy nor a fork, which agrees for half of its steps
        return self._judge([(step, small[step], large[step]) for step in common], one, two)

    def _judge(self, points: Sequence[tuple[int, tuple[float, ...], tuple[float, ...]]], one: int, two: int) -> Verdict:
        """Return the verdict on the values at common steps; a value that returns, as after a collapse, counts once."""
        distinct: dict[float, bool] = {}
        agreeing: dict[int, bool] = {}
        for step, left, right in points:
            finite = [x for x in left if math.isfinite(x)], [x for x in right if math.isfinite(x)]
            if not finite[0] and not finite[1]:
                continue
            fits = _any_close(finite[0], finite[1], one, two)
            value = finite[0][0] if finite[0] else finite[1][0]
            distinct[value] = distinct.get(value, True) and fits
            agreeing[step] = fits
        good = sum(distinct.values())
        if not distinct:
            return _UNDECIDED
        share = good / len(distinct)
        if min(one, two) <= _COARSE and share >= _AGREE:
            return Verdict(True, good) if good == len(distinct) >= _COARSE_VALUES else _UNDECIDED
        if share >= _AGREE:
            return Verdict(True, good)
        return Verdict(False, 0, _is_fork(agreeing))

    # ---- by order

    def _in_order(self, a: Series, b: Series) -> Verdict:
        """Compare curves whose steps count different things: value by value, the shorter's among the longer's."""
        places = min(self._places(a), self._places(b), 6)
        if places <= _COARSE:
            return _UNDECIDED
        short, long = sorted(
            ([round(v, places) for v in s.values if math.isfinite(v)] for s in (a, b)), key=lambda values: len(values)
        )
        if len(set(short)) < _IN_ORDER:
            return _UNDECIDED
        unit = 1.01 * 10.0**-places  # a value that was rounded twice may be off by one in the last place
        starts = [i for i, v in enumerate(long) if abs(v - short[0]) <= unit][:_MAX_STARTS]
        for start in starts:
            for stride in range(1, _MAX_STRIDE + 1):
                if start + stride >= len(long):
                    break
                if abs(long[start + stride] - short[1]) > unit:
                    continue
                there = long[start::stride][: len(short)]
                if len(there) < max(_IN_ORDER, 0.8 * len(short)):
                    continue
                equal = [x for x, y in zip(short, there, strict=False) if abs(x - y) <= unit]
                if len(equal) >= _AGREE * len(there) and len(set(equal)) >= _IN_ORDER:
                    return Verdict(True, len(set(equal)), by_step=False)
        return Verdict(False)

    # ---- what is prepared of a series

    def _sample(self, series: Series, sieve: int) -> Sample:
        key = id(series), sieve
        found = self._samples.get(key)
        if found is not None:
            return found
        if self._size > _MAX_KEPT:
            self._samples.clear()
            self._size = 0
        points: Sample = {}
        for step, value in zip(series.steps, series.values, strict=True):
            if sieve == 1 or not _mixed(step) & (sieve - 1):
                before = points.get(step)
                points[step] = (value,) if before is None else (*before[-7:], value)
        self._known[id(series)] = series
        self._samples[key] = points
        self._size += len(points)
        return points

    def _places(self, series: Series) -> int:
        found = self._decimals.get(id(series))
        if found is None:
            self._known[id(series)] = series  # kept, so that no other takes its identity
            found = self._decimals[id(series)] = decimals(series.values)
        return found


def _mixed(step: int) -> int:
    """Return a number that looks random and depends on the step alone, so that two files are sampled at the same steps."""
    mixed = step * 0x9E3779B1 & 0xFFFFFFFF
    return mixed ^ mixed >> 16


def _any_close(left: Sequence[float], right: Sequence[float], one: int, two: int) -> bool:
    if len(left) == len(right) == 1:
        return _close(left[0], right[0], one, two)
    return any(_close(x, y, one, two) for x in left for y in right)


def _close(x: float, y: float, one: int, two: int) -> bool:
    if x == y:
        return True
    if one != two:
        allowed = 0.51 * 10.0 ** -min(one, two) + _FLOAT32 * abs(x)
    else:
        allowed = (_FLOAT32 if one >= _WHOLE_FLOAT else _EXACT) * abs(x)
    return abs(x - y) <= allowed


def _is_fork(agreeing: dict[int, bool]) -> bool:
    """Return whether values agree up to a step and not after it."""
    order = [agreeing[step] for step in sorted(agreeing)]
    until = order.index(False) if False in order else len(order)
    return until >= max(_STRONG, 0.5 * len(order)) and sum(order[until:]) <= 0.1 * len(order[until:])


def decimals(values: Sequence[float]) -> int:
    """Return with how many decimals values were written, as far as the first of them show.

    Examples
    --------
    >>> decimals([10.87, 9.5, 3.1416]), decimals([0.1 + 0.2]), decimals([4.0])
    (4, 9, 1)
    """
    most, seen = 0, 0
    for value in values:
        if not math.isfinite(value):
            continue
        text = repr(value)
        if "e" in text:
            return _MAX_DECIMALS
        most = max(most, len(text.partition(".")[2]))
        seen += 1
        if seen >= _LOOKED_AT or most >= _MAX_DECIMALS:
            break
    return min(most, _MAX_DECIMALS)


# ---- which pairs to compare


def pairs_to_compare(histories: Sequence[Reading]) -> list[tuple[int, int]]:
    """Return the pairs of files that may hold one history; of many files those that share values at the same steps."""
    count = len(histories)
    if count <= _ALL_PAIRS:
        return list(combinations(range(count), 2))
    found = set(_sharing_values(histories, shifts=(-1, 0, 1) if count <= _WITH_SHIFTS else (0,)))
    found.update(_with_rows(histories))
    return sorted(found)


def _probes(series: Series) -> list[int]:
    """Return indexes of a few points that stand for a series; series of equal steps are probed at mostly equal ones."""
    where = (i for i, value in enumerate(series.values) if math.isfinite(value))
    return nsmallest(_PROBES, where, key=lambda i: (_mixed(series.steps[i] + 1), i))


def _sharing_values(histories: Sequence[Reading], shifts: Sequence[int]) -> Iterator[tuple[int, int]]:
    curves = [(i, s, min(decimals(s.values), 6)) for i, r in enumerate(histories) for s in _losses(r)]
    wanted: dict[tuple[str, str], set[int]] = defaultdict(set)
    probes = {id(s): _probes(s) for _i, s, _d in curves}
    for _i, series, _places in curves:
        wanted[series.name, series.axis].update(series.steps[k] + shift for k in probes[id(series)] for shift in shifts)
    levels = sorted({places for _i, _s, places in curves})
    index: dict[tuple[str, str, int, int, int], list[int]] = defaultdict(list)
    for i, series, places in curves:
        steps = wanted[series.name, series.axis]
        for step, value in zip(series.steps, series.values, strict=True):
            if step in steps and math.isfinite(value) and abs(value) < _HUGE:
                for level in levels:
                    if level <= places:
                        index[series.name, series.axis, step, level, round(value * 10**level)].append(i)
    for i, series, places in curves:
        hits: Counter[int] = Counter()
        for k in probes[id(series)]:
            value = series.values[k]
            if not math.isfinite(value) or abs(value) >= _HUGE:
                continue
            near: set[int] = set()
            for shift in shifts:
                for level in levels:
                    if level <= places:
                        at = round(value * 10**level)
                        for unit in (at,) if level <= _COARSE else (at - 1, at, at + 1):
                            key = (series.name, series.axis, series.steps[k] + shift, level, unit)
                            near.update(_crowd(index.get(key, ()), i))
            hits.update(near)
        needed = 2 if len(probes[id(series)]) >= 6 else 1
        if places <= _COARSE:  # nothing less than all would do
            needed = max(1, round(0.8 * len(probes[id(series)])))
        yield from ((i, j) if i < j else (j, i) for j, n in hits.items() if j != i and n >= needed)


def _crowd(members: Sequence[int], of: int) -> Iterable[int]:
    """Return those that share a value; of a crowd, which mostly shares its start, only the neighbours."""
    if len(members) <= _CROWD:
        return members
    at = bisect_left(members, of)
    return members[max(0, at - 2) : at + 3]


def _losses(reading: Reading) -> Iterator[Series]:
    return (s for name in LOSSES if (s := reading.get(name)) is not None and len(s))


def _with_rows(histories: Sequence[Reading]) -> Iterator[tuple[int, int]]:
    """Yield pairs of which one counts rows, so that its steps tell nothing: of very many those with values in one order."""
    rows = [i for i, r in enumerate(histories) if any(s.axis == "row" for s in _losses(r))]
    if len(rows) * len(histories) <= _MAX_ROW_PAIRS:
        yield from ((min(i, j), max(i, j)) for i in rows for j in range(len(histories)) if i != j)
        return
    curves = [(i, s, min(decimals(s.values), 6)) for i, r in enumerate(histories) for s in _losses(r)]
    levels = sorted({places for _i, _s, places in curves if places > _COARSE})
    index: dict[tuple[str, int, int, int], list[int]] = defaultdict(list)
    for i, series, places in curves:
        if series.axis == "row":
            for level in levels:
                for key in _neighbours(series, level, _PROBES) if level <= places else ():
                    index[key].append(i)
    for i, series, places in curves:
        for level in levels:
            if level <= places:
                hits = Counter(
                    j for key in _neighbours(series, level, len(series)) for j in index.get(key, ())[:_CROWD]
                )
                yield from ((min(i, j), max(i, j)) for j, n in hits.items() if j != i and n >= 2)


def _neighbours(series: Series, level: int, most: int) -> Iterator[tuple[str, int, int, int]]:
    """Yield keys of the first values and those that follow them."""
    for x, y in islice(pairwise(series.values), most):
        if math.isfinite(x) and math.isfinite(y) and abs(x) < _HUGE > abs(y):
            yield series.name, level, round(x * 10**level), round(y * 10**level)


def gap_of(series: Series) -> float | None:
    """Return the usual distance between the records of a series, or None for fewer than two."""
    from statistics import median

    gaps = [q - p for p, q in pairwise(series.steps[:20_000]) if q > p]
    return median(gaps) if gaps else None
