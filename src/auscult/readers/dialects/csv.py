"""Metrics in a CSV of whatever program: a column that counts (steps, iterations, tokens, epochs) and a loss beside it."""

from __future__ import annotations

import csv as csv_module
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from ...errors import NotText
from ...run import Problem, Source
from ..files import InputFile
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..table import Layout, Table, Tables, layout_of, number_of, partner_id

__all__ = ["DIALECT", "Sheet", "rows_of", "sheet_of"]

_DELIMITERS = ",;\t|"
_MAX_HEADER = 65_536
_MAX_COLUMNS = 5_000
_HEAD_ROWS = 4_000
_SMALL_BYTES = 4 * 2**20
"""Below this a table is read row by row, without numpy."""
_BLOCK_ROWS = 16_384
_TAIL_ROWS = 400
_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".dat", ".log", ""})
_SURE_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_COMMA_DECIMAL = lazy(r"^\s*[-+]?\d{1,15},\d+(?:[eE][-+]?\d+)?\s*$")
_POINT_DECIMAL = lazy(r"\d\.\d")


@dataclass(frozen=True)
class Sheet:
    """How a delimited text is laid out: its delimiter, its columns, where they are named, and how it writes numbers."""

    delimiter: str
    names: tuple[str, ...]
    header_line: int
    decimal_comma: bool
    sample: tuple[dict[str, str], ...]


def sheet_of(file: InputFile) -> Sheet | None:
    """Return how a delimited text is laid out, or None when it is none. Looks at the sample only."""
    if file.is_binary:
        return None
    lines = file.sample.lstrip("\ufeff").split("\n")
    index = next((i for i, line in enumerate(lines[:50]) if line.strip() and not line.startswith("#")), None)
    if index is None or len(lines[index]) > _MAX_HEADER:
        return None
    header = lines[index]
    if header.lower().startswith("sep=") and len(header.strip()) == 5 and index + 1 < len(lines):  # Excel's hint
        index += 1
        header = lines[index]
    delimiter = max(_DELIMITERS, key=lambda d: (_outside_quotes(header, d), d == ","))
    if not _outside_quotes(header, delimiter):
        return None
    first = _split([header], delimiter)
    names = _unique_names(first[0]) if first else ()
    if not names or len(names) > _MAX_COLUMNS or any(number_of(n) is not None for n in names):
        return None
    head = _split(lines[index + 1 : index + 1 + _HEAD_ROWS], delimiter)
    tail = _split(lines[max(index + 1 + _HEAD_ROWS, len(lines) - _TAIL_ROWS) :], delimiter)
    rows = [row for row in (*head, *tail) if len(row) == len(names)]
    if not rows or len(rows) < 0.5 * len([row for row in head if row]):
        return None
    cells = [cell for row in rows[:500] for cell in row]
    comma = delimiter != "," and any(map(_COMMA_DECIMAL.match, cells)) and not any(map(_POINT_DECIMAL.search, cells))
    return Sheet(delimiter, names, index + 1, comma, tuple(dict(zip(names, row, strict=True)) for row in rows))


def _outside_quotes(line: str, delimiter: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(delimiter)


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv_module.reader(lines, delimiter=delimiter, skipinitialspace=True)
    while True:
        try:
            rows.append(next(reader))
        except StopIteration:
            return rows
        except csv_module.Error:
            continue


def _unique_names(cells: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    for cell in cells:
        name = cell.strip().lstrip("\ufeff") or f"column {len(names) + 1}"
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return tuple(names)


class _Numbered:
    """Lines for ``csv.reader``, which remembers the number of the last one."""

    def __init__(self, file: InputFile, header_line: int) -> None:
        self._lines = file.lines()
        self._header = header_line
        self.number = 0
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            if line.number <= self._header:
                continue
            self.number, self.ended = line.number, line.ended
            if line.text and line.text[0] != "#":
                yield line.text


def rows_of(file: InputFile, sheet: Sheet) -> Iterator[tuple[int, list[str], bool]]:
    """Yield each row with its line number, and whether its line was ended. Memory is bounded by one line."""
    lines = _Numbered(file, sheet.header_line)
    reader = csv_module.reader(iter(lines), delimiter=sheet.delimiter, skipinitialspace=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv_module.Error:
            yield lines.number, [], True
            continue
        if row:
            yield lines.number, row, lines.ended


class CsvTable(Table):
    """Rows of a CSV."""

    dialect = "csv"


def read_sheet(file: InputFile, sheet: Sheet, layout: Layout, make: type[Table]) -> list[Reading]:
    """Read the rows of a sheet into one reading for each run; rows that are cut or garbled are counted."""
    tables = Tables(make, file.name, layout)
    stem = _stem(file)
    names = sheet.names
    width, broken, first_broken = len(names), 0, 0
    by_block = file.size > _SMALL_BYTES and make.by_block and layout.value is None
    block: list[tuple[int, list[str]]] = []
    for number, cells, ended in rows_of(file, sheet):
        if len(cells) != width or (not ended and _may_be_cut(cells)):
            if not cells or any(cell.strip() for cell in cells):
                broken, first_broken = broken + 1, first_broken or number
        elif list(cells) == list(names):
            continue  # a header that was written again at a restart
        elif by_block:
            block.append((number, cells))
            if len(block) >= _BLOCK_ROWS:
                tables.take_block(names, block, decimal_comma=sheet.decimal_comma)
                block.clear()
        else:
            row = dict(zip(names, cells, strict=True))
            tables.take(row, number, decimal_comma=sheet.decimal_comma, stem=stem)
    if block:
        tables.take_block(names, block, decimal_comma=sheet.decimal_comma)
    readings = tables.finish()
    if not readings:
        return []
    if broken:
        problem = Problem(
            "broken_record", f"rows cut or garbled: {broken}", Source("read", file.name, first_broken), broken
        )
        readings[0] = replace(readings[0], problems=(*readings[0].problems, problem))
    if len(readings) == 1:
        readings[0] = replace(readings[0], run_id=partner_id(file, readings[0].series))
    return readings


def _may_be_cut(cells: Sequence[str]) -> bool:
    """Return whether the last cell of an unended last line may have lost digits; most files simply end without a newline."""
    last = cells[-1].strip()
    return bool(re.search(r"[.eE+-]$", last)) if last else False


def _stem(file: InputFile) -> str:
    stem = PurePosixPath(file.base).stem
    return stem.partition("-tag-")[2] or stem  # TensorBoard names its downloads run-…-tag-<tag>


def layout_for(file: InputFile, sheet: Sheet) -> Layout | None:
    """Return what the columns of a sheet are, or None when it is no table of metrics."""
    return layout_of(sheet.names, sheet.sample, decimal_comma=sheet.decimal_comma, stem=_stem(file))


def _sniff(file: InputFile) -> float:
    if file.suffix not in _SUFFIXES or file.is_binary:
        return 0.0
    sheet = sheet_of(file)
    if sheet is None:
        return 0.0
    layout = layout_for(file, sheet)
    if layout is None or not _has_values(layout, sheet):
        return 0.0
    if file.suffix in _SURE_SUFFIXES:
        return 0.6 if layout.axis in ("step", "tokens") else 0.55
    return 0.5 if layout.axis == "step" and len(sheet.names) >= 2 and len(sheet.sample) >= 2 else 0.3


def _has_values(layout: Layout, sheet: Sheet) -> bool:
    columns = [layout.value] if layout.value is not None else list(layout.metrics)
    return any(
        number_of(row.get(name or ""), decimal_comma=sheet.decimal_comma) is not None
        for name in columns
        for row in sheet.sample[:200]
    )


def _read(file: InputFile) -> Iterable[Reading]:
    file.check()
    sheet = sheet_of(file)
    layout = layout_for(file, sheet) if sheet is not None else None
    if sheet is None or layout is None:
        raise NotText(
            "no table of metrics is recognised in it",
            where=file.name,
            expected="a header with a column that counts (step, iter, epoch, tokens) and one of a loss",
            found=_shown(file),
            hint="name the columns in a first line such as `step,train_loss,val_loss`",
        )
    return read_sheet(file, sheet, layout, CsvTable)


def _shown(file: InputFile) -> str | None:
    first: Any = next((line for line in file.sample.split("\n") if line.strip()), None)
    return f"`{first.strip()[:80]}`" if first else None


DIALECT = Dialect(
    name="csv",
    title="CSV of metrics",
    role="metrics",
    example="step,train_loss,val_loss,lr\n100,7.2498,,3.0e-4\n100,,7.2082,3.0e-4",
    reads="every column of numbers over the column that counts steps (or tokens, or epochs), with commas, semicolons, tabs or"
    " bars between them, thousands separators and decimal commas; training loss, validation loss, learning rate, gradient"
    " norm, MFU, throughput and tokens under whatever usual name; rows of several runs apart, where a column names the run;"
    " a training loss that stands beside the validation loss in rows of its own is an evaluation's",
    cannot="what one value averages over, and whether dropout was on where training and validation loss share every row;"
    " the recipe; a gradient norm of 0 throughout counts as not measured",
    source="the csv files of some dozen training scripts, which follow no standard",
    sniff=_sniff,
    read=_read,
    tracker=True,
)
