"""Metrics in a Parquet file (``auscult[parquet]``): a column that counts and a loss, read a row group at a time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from ...errors import InputTooLarge, NotText, UnreadableInput
from ..files import MAX_DOCUMENT_BYTES, InputFile
from ..reading import Dialect, Reading
from ..table import MAX_COLUMNS, Layout, Table, Tables, layout_of, partner_id

__all__ = ["DIALECT"]

_MAGIC = b"PAR1"
_BATCH_ROWS = 16_384
_SAMPLE_ROWS = 4_000
_INSTALL = "pip install 'auscult[parquet]'"


class ParquetTable(Table):
    """Rows of a Parquet file."""

    dialect = "parquet"


def _pyarrow(file: InputFile) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UnreadableInput("Parquet files need the extra `parquet`", where=file.name, hint=_INSTALL) from None
    return pyarrow.parquet


@contextmanager
def _opened(file: InputFile) -> Iterator[Any]:
    """Open the file; whatever Arrow finds wrong with it is an input error.

    Raises
    ------
    UnreadableInput, InputTooLarge
    """
    parquet = _pyarrow(file)
    stream: Any = None
    try:
        if file.path is not None and file.head[:4] == _MAGIC and not file.name.endswith((".gz", ".zst")):
            stream = file.path.open("rb")
        else:
            with file.binary() as whole:
                data = whole.read(MAX_DOCUMENT_BYTES + 1)
            if len(data) > MAX_DOCUMENT_BYTES:
                raise InputTooLarge("too large to be read from a pipe", where=file.name, hint="give it as a plain file")
            stream = io.BytesIO(data)
        opened = parquet.ParquetFile(stream, pre_buffer=False, thrift_string_size_limit=1 << 26)
        yield opened
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        NotImplementedError,
        MemoryError,
        RuntimeError,
        OverflowError,
    ) as error:
        # Arrow's own errors derive from these
        raise UnreadableInput(
            f"the Parquet file is damaged, or of a kind that cannot be read ({type(error).__name__})",
            where=file.name,
            hint="write it again, or give the metrics as CSV",
        ) from None
    finally:
        if stream is not None:
            stream.close()


def _columns(opened: Any) -> list[str]:
    """Return the columns of numbers and of short texts; lists, structures and the rest hold no metrics."""
    import pyarrow

    types = pyarrow.types
    names = []
    for column in opened.schema_arrow:
        kind = column.type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if (
            types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_boolean(kind)
            or types.is_string(kind)
            or types.is_large_string(kind)
            or types.is_decimal(kind)
        ):
            names.append(column.name)
    return [n for n in names if names.count(n) == 1] if len(names) < MAX_COLUMNS else []


def _rows(opened: Any, columns: list[str], size: int) -> Iterator[list[Mapping[str, Any]]]:
    for batch in opened.iter_batches(batch_size=size, columns=columns):
        have = [name for name in columns if name in batch.schema.names]
        values = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in have]
        yield [{n: _plain(v) for n, v in zip(have, row, strict=True)} for row in zip(*values, strict=True)]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else float(value)


def _layout(opened: Any, file: InputFile) -> tuple[Layout | None, list[str]]:
    columns = _columns(opened)
    counted = layout_of(columns, [dict.fromkeys(columns, 1)], stem=PurePosixPath(file.base).stem)
    if counted is None:  # by their names alone: no value of a data set is looked at
        return None, columns
    sample = next(_rows(opened, columns, _SAMPLE_ROWS), [])
    return layout_of(columns, sample, stem=PurePosixPath(file.base).stem), columns


def _read(file: InputFile) -> Iterable[Reading]:
    if file.head[:4] != _MAGIC:
        raise NotText("not a Parquet file", where=file.name, expected="PAR1 at its start", hint="say another --dialect")
    with _opened(file) as opened:
        layout, columns = _layout(opened, file)
        if layout is None:
            raise NotText(
                "no table of metrics is recognised in it",
                where=file.name,
                expected="a column that counts (step, iter, epoch, tokens) and one of a loss",
                found=", ".join(columns[:6])[:120] or "no column of numbers",
                hint="name the columns step and train_loss",
            )
        needed = [
            n
            for n in columns
            if n in layout.metrics
            or n in (layout.step, layout.epoch, layout.split, layout.run, layout.tag, layout.value)
        ]
        tables = Tables(ParquetTable, file.name, layout)
        number = 0
        for rows in _rows(opened, needed, _BATCH_ROWS):
            for row in rows:
                number += 1
                tables.take(row, number, stem=PurePosixPath(file.base).stem)
    readings = tables.finish()
    if len(readings) == 1:
        readings[0] = replace(readings[0], run_id=partner_id(file, readings[0].series))
    return readings


def _sniff(file: InputFile) -> float:
    if file.head[:4] != _MAGIC:
        return 0.0
    try:
        with _opened(file) as opened:
            return 0.6 if _layout(opened, file)[0] is not None else 0.0
    except (UnreadableInput, InputTooLarge):
        return 0.3  # read when it is named, so that the message says what is missing


DIALECT = Dialect(
    name="parquet",
    title="Parquet table of metrics",
    role="metrics",
    example="columns: step: int64, train_loss: double, val_loss: double, lr: double",
    reads="the same columns as a CSV, a row group at a time; what stands for a line is the number of the row",
    cannot="what one value averages over; columns of lists and structures; needs pyarrow (`auscult[parquet]`)",
    source="Apache Parquet, by way of pyarrow",
    sniff=_sniff,
    read=_read,
    tracker=True,
)
