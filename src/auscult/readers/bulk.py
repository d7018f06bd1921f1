"""Large logs a block at a time: records of a known layout in bulk, every other line as ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from .files import InputFile
from .formats.metric_lines import Parsed, Records, Template, iter_blocks, parse_block
from .meaning import Metric
from .text import encoding_of, pieces

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .log import LogParser

__all__ = ["LARGE_BYTES", "Layout", "feed_blocks", "is_large"]

LARGE_BYTES = 4 * 2**20
"""From this size on the blocks pay for importing numpy."""
_MOSTLY_RECORDS = 0.5


@dataclass(frozen=True)
class Layout:
    """A record of fixed layout: its template, and for each field the metric with the factor to its unit."""

    template: Template
    metrics: tuple[tuple[str, Metric, float], ...]


def is_large(file: InputFile) -> bool:
    """Return whether a text is worth reading in blocks."""
    return file.size >= LARGE_BYTES and not file.is_binary and encoding_of(file.head, file.name) == "utf-8"


def feed_blocks(file: InputFile, parser: LogParser, layouts: Sequence[Layout]) -> None:
    """Feed a whole log to its parser: what reading it line by line would give, many times faster.

    Raises
    ------
    UnreadableInput, InputTooLarge
    """
    templates = [layout.template for layout in layouts]
    before = 0  # lines of the blocks so far
    with file.binary() as stream:
        for block in iter_blocks(cast("object", stream)):  # type: ignore[arg-type]  # BinaryIO has readinto, untyped
            data = bytes(block)
            whole = len(data) if data.endswith(b"\n") else data.rfind(b"\n") + 1
            if whole:
                parsed = parse_block(data[:whole], templates)
                _feed(parser, parsed, layouts, data, before)
                before += parsed.lines
            if whole < len(data):
                _feed_line(parser, data[whole:], before + 1, ended=False)
                before += 1


def _feed_line(parser: LogParser, data: bytes, number: int, *, ended: bool) -> None:
    for line in pieces(number, data.decode("utf-8", errors="replace"), ended=ended):
        parser.feed(line)


def _feed(parser: LogParser, parsed: Parsed, layouts: Sequence[Layout], data: bytes, before: int) -> None:
    """Feed one block in the order of its lines: stretches of records, and the lines between them."""
    import numpy as np

    starts = [0] * len(layouts)
    for index, start, end in parsed.rest:
        cuts = [int(np.searchsorted(records.line_index, index)) for records in parsed.records]
        _feed_records(parser, parsed.records, layouts, starts, cuts, before)
        starts = cuts
        _feed_line(parser, data[start:end], before + index + 1, ended=True)
    _feed_records(parser, parsed.records, layouts, starts, [len(r.line_index) for r in parsed.records], before)


def _feed_records(
    parser: LogParser,
    records: Sequence[Records],
    layouts: Sequence[Layout],
    starts: Sequence[int],
    ends: Sequence[int],
    before: int,
) -> None:
    """Feed a stretch of records in bulk when their steps only go forward, else one by one."""
    import numpy as np

    taken = [(r, layout, slice(a, b)) for r, layout, a, b in zip(records, layouts, starts, ends, strict=True) if b > a]
    if not taken:
        return
    lines = np.concatenate([r.line_index[part] for r, _layout, part in taken])
    steps = np.concatenate([_whole(r, "step", part) for r, _layout, part in taken])
    order = np.argsort(lines, kind="stable") if len(taken) > 1 else None
    ordered = steps if order is None else steps[order]
    numbers = (lines if order is None else lines[order]) + (before + 1)
    columns = [
        (
            metric,
            _whole(r, "step", part),
            np.multiply(r.columns[name][part], factor, dtype=np.float64),
            r.line_index[part] + (before + 1),
        )
        for r, layout, part in taken
        for name, metric, factor in layout.metrics
    ]
    if not parser.take_many(ordered, numbers, columns):
        _one_by_one(parser, taken, before)


def _whole(records: Records, name: str, part: slice) -> npt.NDArray[np.int64]:
    return cast("npt.NDArray[np.int64]", records.columns[name][part])


def _one_by_one(parser: LogParser, taken: Sequence[tuple[Records, Layout, slice]], before: int) -> None:
    from .text import Line

    rows: list[tuple[int, int, list[tuple[Metric, float]]]] = []
    for records, layout, part in taken:
        lines, steps = records.line_index[part].tolist(), records.columns["step"][part].tolist()
        values = [(records.columns[name][part] * factor).tolist() for name, _metric, factor in layout.metrics]
        metrics = [metric for _name, metric, _factor in layout.metrics]
        rows += [
            (line, step, list(zip(metrics, row, strict=True)))
            for line, step, row in zip(lines, steps, zip(*values, strict=True), strict=True)
        ]
    parser.before_many()
    for line, step, pairs in sorted(rows, key=lambda row: row[0]):
        parser.record(step, pairs, Line(before + line + 1, ""))
