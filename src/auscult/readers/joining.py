"""The series of a run from its files: each metric once, copies left out, the parts of a resumed run one after another."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from ..run import Seam, Series
from .curves import LOSSES, Curves, Verdict, loss_of, span
from .reading import Reading
from .registry import is_tracker

__all__ = ["Joined", "join"]

_SOME = 0.2


@dataclass(frozen=True, slots=True)
class Joined:
    """The series of a run.

    Attributes
    ----------
    series : tuple of Series
    seams : tuple of Seam
        Where it was taken up again, within a file and from one file to the next.
    copies : tuple of str
        Files that hold the same history, the one that was used first.
    parts : tuple of str
        Files that hold one part each, in order.
    """

    series: tuple[Series, ...] = ()
    seams: tuple[Seam, ...] = ()
    copies: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    reading: Reading
    series: Series
    first: int
    last: int
    kind: Literal["part", "head", "tail"] = "part"
    """A part of the run, or what a copy holds before or after one that was cut."""


def join(histories: Sequence[Reading], other_ranks: Sequence[Reading] = ()) -> Joined:
    """Return the series that the histories of one run hold.

    Parameters
    ----------
    histories : sequence of Reading
        Copies and parts of the run's history, and the same history as several programs recorded it.
    other_ranks : sequence of Reading
        What other processes of the run wrote; of it only metrics that are nowhere else are taken.
    """
    joiner = _Joiner(histories)
    names = dict.fromkeys(s.name for r in histories for s in r.series if len(s))
    pieces = {name: joiner.pieces(name) for name in names}
    series = [_one(pieces[name]) for name in names]
    if other_ranks:
        series = [replace(s, scope="rank") if s.scope == "unknown" else s for s in series]
        for reading in other_ranks:
            for extra in reading.series:
                if len(extra) and extra.name not in {s.name for s in series}:
                    series.append(extra)
    main = max(
        (pieces[name] for name in names if pieces[name][0].series.axis == "step"),
        key=lambda some: (
            some[0].series.name in ("train_loss", "val_loss", "train_loss_eval", "val_bpb"),
            sum(p.series.count for p in some),
        ),
        default=[],
    )
    parts = tuple(dict.fromkeys(p.series.file for p in main if p.kind == "part"))
    return Joined(tuple(series), joiner.seams(main), joiner.copies(), parts if len(parts) > 1 else ())


class _Joiner:
    def __init__(self, histories: Sequence[Reading]) -> None:
        self.histories = histories
        self.curves = Curves()
        self._follow: dict[tuple[int, int], bool] = {}
        self._copied: dict[str, None] = {}

    def pieces(self, name: str) -> list[_Piece]:
        """Return the pieces of which a metric is made up, in order: usually one, from the file that holds most of it."""
        found = [_Piece(r, s, *span(s)) for r in self.histories if (s := r.get(name)) is not None and len(s)]
        most = max(p.series.count for p in found)
        found.sort(key=lambda p: _fullness(p.reading, p.series, most), reverse=True)
        kept = found[:1]
        for piece in found[1:]:
            if piece.series.axis == kept[0].series.axis:
                self._place(piece, kept)
            elif self.curves.compare(piece.series, kept[0].series).same and loss_of(piece.reading) is piece.series:
                self._note_copy(kept[0], piece)
        order = {id(r): i for i, r in enumerate(self.histories)}
        return sorted(kept, key=lambda p: (p.first, order[id(p.reading)]))

    def _place(self, piece: _Piece, kept: list[_Piece]) -> None:
        """Add a piece where it holds what those that are kept do not."""
        first, last = min(k.first for k in kept), max(k.last for k in kept)
        sequel = all(self._is_sequel(piece.reading, k.reading) for k in kept)
        if first <= piece.first and piece.last <= last and not sequel and piece.series.name not in LOSSES:
            return
        verdicts = ((k, self._agree(piece, k)) for k in kept)
        agreeing, verdict = next(((k, v) for k, v in verdicts if v.same), (None, None))
        if agreeing is None or verdict is None:
            if sequel:
                kept.append(piece)
            return
        self._note_copy(agreeing, piece)
        if not verdict.by_step:
            return
        if piece.last > last and piece.first <= last:  # the fuller copy was cut off: what comes after is here
            tail = piece.series.where(lambda step, _value: step > last)
            kept.append(_Piece(piece.reading, tail, *span(tail), "tail"))
        if piece.first < first:
            head = piece.series.where(lambda step, _value: step < first)
            kept.append(_Piece(piece.reading, head, *span(head), "head"))

    def _agree(self, piece: _Piece, other: _Piece) -> Verdict:
        if piece.reading.root is not None and piece.reading.root == other.reading.root:
            return Verdict(None)
        verdict = self.curves.compare(piece.series, other.series)
        if self.curves.is_strong(verdict) or self.curves.same_history(piece.reading, other.reading).same:
            return verdict
        return Verdict(None)

    def _note_copy(self, kept: _Piece, piece: _Piece) -> None:
        if loss_of(piece.reading) is piece.series and kept.series.file != piece.series.file:
            self._copied.update(dict.fromkeys((kept.series.file, piece.series.file)))

    def copies(self) -> tuple[str, ...]:
        """Return the files that hold one history, the fullest first."""
        return tuple(self._copied)

    def _is_sequel(self, one: Reading, two: Reading) -> bool:
        """Return whether one of two files of a run takes up what the other began, rather than record it as well."""
        key = (id(one), id(two)) if id(one) < id(two) else (id(two), id(one))
        found = self._follow.get(key)
        if found is None:
            found = self._follow[key] = self._takes_up(one, two)
        return found

    def _takes_up(self, one: Reading, two: Reading) -> bool:
        if (one.root is not None and one.root == two.root) or one.file == two.file:
            return False
        a = loss_of(one) or max((s for s in one.series if len(s)), key=len, default=None)
        b = two.get(a.name) if a is not None else None
        if a is None or b is None or not len(b) or a.axis != b.axis:
            return False
        (first, last), (start, end) = sorted((span(a), span(b)))
        if first < start and last < end:
            return not self.curves.compare(a, b).same
        # a tracker's identity that was used twice: the second begins anew, and both were recorded as one run
        return (
            one.run_id is not None
            and one.run_id == two.run_id
            and one.dialect == two.dialect
            and self.curves.compare(a, b).same is False
        )

    def seams(self, main: Sequence[_Piece]) -> tuple[Seam, ...]:
        """Return where the run was taken up again."""
        between = [
            Seam(before.last, piece.first, piece.series.source(0))
            for before, piece in pairwise(main)
            if piece.kind == "part" and before.kind != "head"
        ]
        within: list[Seam] = []
        for piece in main:
            beside = [piece.reading] + [
                r
                for r in self.histories
                if r is not piece.reading and not any(self._is_sequel(r, p.reading) for p in main)
            ]
            within += max(beside, key=lambda r: len(r.seams)).seams
        return tuple(dict.fromkeys([*within, *between]))


def _fullness(reading: Reading, series: Series, most: int) -> tuple[bool, int, bool, int]:
    """Return by what the copies of one metric are ordered; the first file wins a tie.

    Steps are worth more than rows or epochs, unless they are those of a last row only.
    """
    by_step = series.axis == "step" and series.count >= _SOME * most
    return by_step, series.count, not is_tracker(reading.dialect), reading.authority


def _one(pieces: Sequence[_Piece]) -> Series:
    """Return one series from its pieces."""
    if len(pieces) == 1:
        return pieces[0].series
    fullest = max(pieces, key=lambda p: p.series.count).series
    series = [p.series for p in pieces]
    return replace(
        fullest,
        file=series[0].file,
        steps=array("q", [x for s in series for x in s.steps]),
        values=array("d", [x for s in series for x in s.values]),
        lines=array("q", [x for s in series for x in s.lines]),
        files=tuple(s.file for s in series),
        origins=array("q", [i for i, s in enumerate(series) for _ in s.steps]),
        count=sum(s.count for s in series),
        stride=max(s.stride for s in series),
    )
