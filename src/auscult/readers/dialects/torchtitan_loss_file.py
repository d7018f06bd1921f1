"""torchtitan's loss files: one ``step loss`` a line, without a header.

Its numerics tests keep reference losses this way (``tests/assets/losses/*.txt``), taken from the step lines of a run with
all digits. Nothing in such a file says what the numbers are, so a file is recognised by its name or folder only.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from ...errors import NotText
from ...run import Problem, Source
from ..columns import Thinned
from ..files import InputFile
from ..log import FLOAT, series_of
from ..meaning import TRAIN_LOSS
from ..patterns import lazy
from ..reading import Dialect, Reading

__all__ = ["DIALECT"]

_ROW = lazy(rf"^\s{{0,8}}(\d{{1,12}})[ \t]{{1,8}}({FLOAT})\s*$")
_LOSS = TRAIN_LOSS.but(window="the step, mean over all data-parallel ranks", scope="global")
_MIN_ROWS = 3
_SUFFIXES = ("", ".txt", ".log", ".loss", ".losses", ".dat")


def _rows(text: str) -> list[tuple[int, float]] | None:
    """Return the rows of a sample, or None when some of it is something else or the steps do not grow."""
    lines = [line for line in text.split("\n") if line.strip()]
    rows = []
    for line in lines[:2000]:
        found = _ROW.match(line)
        if found is None:
            return None
        rows.append((int(found[1]), float(found[2].replace(",", ""))))
    grows = all(a[0] < b[0] for a, b in pairwise(rows))
    return rows if grows else None


def _sniff(file: InputFile) -> float:
    if file.suffix not in _SUFFIXES or file.is_binary:
        return 0.0
    head = file.head[:60_000].decode("utf-8", errors="replace")
    rows = _rows(head.rpartition("\n")[0] or head)
    if rows is None or len(rows) < _MIN_ROWS or not any("." in line for line in head.split("\n")[:20]):
        return 0.0
    return 0.8 if "loss" in file.name.lower() else 0.3


def _read(file: InputFile) -> Iterable[Reading]:
    points = Thinned()
    broken = 0
    first: Source | None = None
    for line in file.lines():
        if not line.text.strip():
            continue
        found = _ROW.match(line.text)
        if found is None or (not line.ended and _is_shorter(found[2], points)):
            broken += 1
            first = first or Source("read", file.name, line.number, line.text.strip()[:160])
            continue
        points.add(int(found[1]), float(found[2].replace(",", "")), line.number)
    if not points.count:
        raise NotText(
            "no line of it is a step and a loss", where=file.name, expected="lines such as `12 7.123456001281738`"
        )
    problems: tuple[Problem, ...] = ()
    if first is not None:
        problems = (Problem("broken_record", f"lines that are no step and loss: {broken}", first, broken),)
    yield Reading(DIALECT.name, file.name, "metrics", series=(series_of(_LOSS, file.name, points),), problems=problems)


def _is_shorter(text: str, points: Thinned) -> bool:
    """Return whether a number at the very end of a file may have been cut: it has fewer digits than the one before."""
    if points.last is None or "." not in text:
        return points.last is not None
    return len(text.partition(".")[2]) < min(len(repr(points.last.value).partition(".")[2]), 4)


DIALECT = Dialect(
    name="torchtitan_loss_file",
    title="torchtitan loss file",
    role="metrics",
    example="1 8.123456001281738\n2 7.901234149932861",
    reads="the train loss by step, with all its digits",
    cannot="anything else: the file holds two columns without names. It is taken for losses when its name or folder says"
    " so, or when it is named with --dialect",
    source="pytorch/torchtitan tests/assets/losses at b5bcd76",
    sniff=_sniff,
    read=_read,
    missing="a loss file holds nothing but steps and losses: add the run's log or config",
)
