"""Sources cut into units of work: a few MiB of documents each, with the place where reading goes on after them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal, TypeAlias

from ..errors import UsageError
from .encoding import PIECE_BYTES, cut_at
from .errors import BadData
from .packed import open_packed
from .sources import Source

__all__ = ["UNIT_BYTES", "Cursor", "DocumentsBy", "Lines", "Part", "Strings", "Texts", "Unit", "units"]

DocumentsBy: TypeAlias = Literal["file", "blank-lines"]
UNIT_BYTES = 4 << 20
"""Of text, roughly: large enough that handing it to a worker costs nothing, small enough to hold dozens."""
MAX_DOCUMENT_BYTES = 256 << 20
"""A line of JSON or a document between blank lines beyond this is a mistake; memory stays bounded."""
_BOM = b"\xef\xbb\xbf"
_BLANK_LINES = re.compile(rb"\n[ \t\r]*(?:\n[ \t\r]*)*\n")
_LEADING_BLANK_LINES = re.compile(rb"(?:[ \t\r]*\n)+")
_PARQUET_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where reading goes on.

    Attributes
    ----------
    source : int
        Number of the source.
    position : int
        Bytes of text (unpacked), or rows, that were read of it.
    index : int
        The next document of it. Of a document in pieces, the document itself.
    line : int
        The line that is read next, from 1.
    """

    source: int = 0
    position: int = 0
    index: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of JSON; a document each."""

    data: bytes
    column: str


@dataclass(frozen=True, slots=True)
class Texts:
    """Documents of a text file in UTF-8, and the line that each begins in.

    Attributes
    ----------
    opens : bool
        False where the first one goes on a document of the unit before.
    """

    documents: tuple[bytes, ...]
    lines: tuple[int, ...]
    opens: bool = True


@dataclass(frozen=True, slots=True)
class Strings:
    """Documents that are decoded already; a row each."""

    documents: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Neighbouring documents of one source, ``index`` the first.

    Attributes
    ----------
    place : str
        The file, for messages.
    """

    source: int
    name: str
    place: str
    index: int
    line: int
    payload: Lines | Texts | Strings


@dataclass(frozen=True, slots=True)
class Unit:
    """Some MiB of documents; ``source_bytes`` of the sources were read for them."""

    parts: tuple[Part, ...]
    after: Cursor
    source_bytes: int


@dataclass(frozen=True, slots=True)
class _Read:
    """A part, with where its source goes on, and how much of the file it was (bytes as stored, and of text)."""

    payload: Lines | Texts | Strings
    position: int
    index: int
    line: int
    stored_bytes: int
    text_bytes: int


def units(
    sources: Sequence[Source],
    start: Cursor,
    *,
    column: str,
    documents_by: DocumentsBy,
    unit_bytes: int = UNIT_BYTES,
) -> Iterator[Unit]:
    """Yield every document from a place on, in order.

    Parameters
    ----------
    sources : sequence of Source
    start : Cursor
        Where to begin: the start, or ``after`` of a unit.
    column : str
        Of JSON lines and of tables: which one is the text.
    documents_by : {"file", "blank-lines"}
        What a document of a text file is.
    unit_bytes : int
        Of text, roughly. How documents fall into units changes nothing about the tokens.

    Raises
    ------
    BadData
        When a source cannot be read or is not what it seems; the file, and the place in it, are named.
    UsageError
        When a package that a source needs is not installed.
    """
    parts: list[Part] = []
    held = stored = 0
    cursor = start
    for number in range(start.source, len(sources)):
        source = sources[number]
        at = start if number == start.source else Cursor(number)
        cursor = at
        for read in _reads(source, at, column, documents_by, unit_bytes):
            parts.append(Part(number, source.name, source.location, cursor.index, cursor.line, read.payload))
            held += read.text_bytes
            stored += read.stored_bytes
            cursor = Cursor(number, read.position, read.index, read.line)
            if held >= unit_bytes:
                yield Unit(tuple(parts), cursor, stored)
                parts, held, stored = [], 0, 0
        cursor = Cursor(number + 1)
        if len(parts) >= 256:  # many files with little in them
            yield Unit(tuple(parts), cursor, stored)
            parts, held, stored = [], 0, 0
    if parts:
        yield Unit(tuple(parts), cursor, stored)


def _reads(source: Source, at: Cursor, column: str, documents_by: DocumentsBy, unit_bytes: int) -> Iterator[_Read]:
    if source.kind == "parquet":
        return _parquet(source, at, column, unit_bytes)
    if source.kind == "hub":
        return _hub(source, at, column, unit_bytes)
    if source.kind == "jsonl":
        return _jsonl(source, at, column, unit_bytes)
    return _file(source, at) if documents_by == "file" else _by_blank_lines(source, at, unit_bytes)


def _skip(source: Source, stream: IO[bytes], position: int) -> None:
    """Go to a position in the text: by a seek in a plain file, by reading in a packed one."""
    if not source.packed:
        stream.seek(position)
        return
    left = position
    while left:
        read = len(stream.read(min(left, 1 << 20)))
        if not read:
            raise BadData(
                "is shorter than it was before", where=source.location, hint="delete the output, and start again"
            )
        left -= read


def _file(source: Source, at: Cursor) -> Iterator[_Read]:
    """Yield a text file as one document, in pieces where it is long."""
    with open_packed(source.path, source.packed) as (stream, stored):
        _skip(source, stream, at.position)
        position, line, before = at.position, at.line, stored.tell() if at.position else 0
        held = stream.read(PIECE_BYTES + 1)
        while held or position == 0:
            piece = held[: cut_at(held[:PIECE_BYTES])] if len(held) > PIECE_BYTES else held
            held = held[len(piece) :]
            opens = position == 0
            position += len(piece)
            ended = not held
            begins = line
            line += piece.count(b"\n")
            text = piece.removeprefix(_BOM) if opens else piece
            now = stored.tell()
            yield _Read(Texts((text,), (begins,), opens), position, int(ended), line, now - before, len(piece))
            before = now
            if ended:
                return
            held += stream.read(PIECE_BYTES + 1 - len(held))


def _by_blank_lines(source: Source, at: Cursor, unit_bytes: int) -> Iterator[_Read]:
    """Yield the documents of a text file that blank lines keep apart."""
    with open_packed(source.path, source.packed) as (stream, stored):
        _skip(source, stream, at.position)
        position, index, line, before = at.position, at.index, at.line, stored.tell() if at.position else 0
        held = b""
        while True:
            block = stream.read(unit_bytes)
            held += block
            searched = max(len(held) - len(block) - unit_bytes, 0)  # blank lines may begin in the block before
            end = max((m.end() for m in _BLANK_LINES.finditer(held, searched)), default=0) if block else len(held)
            if end == 0:
                if not block:
                    return
                if len(held) > MAX_DOCUMENT_BYTES:
                    raise BadData(
                        f"no blank line within {MAX_DOCUMENT_BYTES >> 20} MiB",
                        where=f"{source.location}:{line}",
                        hint="use --documents-by file",
                    )
                continue
            taken, held = held[:end], held[end:]
            documents, lines, ends = _split_at_blank_lines(taken.removeprefix(_BOM) if position == 0 else taken, line)
            position += len(taken)
            line = ends
            now = stored.tell()
            yield _Read(Texts(documents, lines), position, index + len(documents), line, now - before, len(taken))
            before, index = now, index + len(documents)


def _split_at_blank_lines(data: bytes, line: int) -> tuple[tuple[bytes, ...], tuple[int, ...], int]:
    """Return the documents, the line that each begins in, and the line after all of them.

    Blank lines before a document are not its own: a run of them that two reads share counts as one.
    """
    documents, lines = [], []
    begin = 0
    for end, after in [*((m.start(), m.end()) for m in _BLANK_LINES.finditer(data)), (len(data), len(data))]:
        blank = _LEADING_BLANK_LINES.match(data, begin, end)
        first = blank.end() if blank else begin
        text = data[first:end].rstrip(b"\r\n")
        if text.strip():
            documents.append(text)
            lines.append(line + data.count(b"\n", begin, first))
        line += data.count(b"\n", begin, after)
        begin = after
    return tuple(documents), tuple(lines), line


def _jsonl(source: Source, at: Cursor, column: str, unit_bytes: int) -> Iterator[_Read]:
    """Yield whole lines; the line's number less one is the document's index."""
    with open_packed(source.path, source.packed) as (stream, stored):
        _skip(source, stream, at.position)
        position, line, before = at.position, at.line, stored.tell() if at.position else 0
        while block := stream.read(unit_bytes):
            if block[-1:] != b"\n":
                block += stream.readline(MAX_DOCUMENT_BYTES)
                if len(block) > MAX_DOCUMENT_BYTES:
                    at_line = line + block.count(b"\n")
                    raise BadData(
                        f"a line of more than {MAX_DOCUMENT_BYTES >> 20} MiB",
                        where=f"{source.location}:{at_line}",
                        hint="JSON lines have a document each; is it a JSON array?",
                    )
            size = len(block)
            count = block.count(b"\n") + (block[-1:] != b"\n")
            if position == 0:
                block = block.removeprefix(_BOM)
            position += size
            now = stored.tell()
            yield _Read(Lines(block, column), position, line - 1 + count, line + count, now - before, size)
            before, line = now, line + count


def _parquet(source: Source, at: Cursor, column: str, unit_bytes: int) -> Iterator[_Read]:
    """Yield rows of a table, a few MiB at a time, whatever the size of its row groups."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{source.location}: pyarrow is not installed. Next: pip install 'auscult[data]'.") from None
    position = at.position
    try:
        with pyarrow.parquet.ParquetFile(
            source.location, buffer_size=1 << 20, page_checksum_verification=True
        ) as table:
            _check_column(source, table.schema_arrow, column, pyarrow)
            metadata = table.metadata
            rows = max(metadata.num_rows, 1)
            text_bytes = _column_bytes(metadata, column)
            batch_rows = max(1, min(_PARQUET_ROWS, unit_bytes * rows // max(text_bytes, 1)))
            groups, first = _groups_from(metadata, at.position)
            skipped = at.position - first
            for batch in table.iter_batches(batch_rows, row_groups=groups, columns=[column], use_threads=False):
                if skipped >= batch.num_rows:
                    skipped -= batch.num_rows
                    continue
                values = batch.column(0).slice(skipped)
                skipped = 0
                documents = _strings(values, source, position)
                before, position = position, position + len(documents)
                stored = (source.size_bytes or 0) * position // rows - (source.size_bytes or 0) * before // rows
                held = sum(len(text) for text in documents if text)
                yield _Read(Strings(documents), position, position, position + 1, stored, held)
    except (pyarrow.ArrowException, OSError) as error:
        place = f"{source.location}: row {position + 1:,}" if position else source.location
        raise BadData(
            f"the Parquet file is corrupt or cut off ({str(error).splitlines()[0][:160]})",
            where=place,
            hint="fetch it again",
        ) from None


def _check_column(source: Source, schema: Any, column: str, pyarrow: Any) -> None:
    if column not in schema.names:
        names = ", ".join(schema.names[:12])
        raise BadData(
            f"has no column {column!r}", where=source.location, found=names, hint="name one with --text-column"
        )
    kind = schema.field(column).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    tests = ("is_string", "is_large_string", "is_binary", "is_large_binary", "is_string_view", "is_binary_view")
    if not any(getattr(pyarrow.types, test, lambda _kind: False)(kind) for test in tests):
        raise BadData(
            f"column {column!r} is no text but {kind}", where=source.location, hint="name one with --text-column"
        )


def _column_bytes(metadata: Any, column: str) -> int:
    total = 0
    for group in range(metadata.num_row_groups):
        described = metadata.row_group(group)
        for number in range(described.num_columns):
            if described.column(number).path_in_schema == column:
                total += described.column(number).total_uncompressed_size
    return total


def _groups_from(metadata: Any, row: int) -> tuple[list[int], int]:
    """Return the row groups from the one with this row on, and that one's first row."""
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if row < first + rows:
            return list(range(group, metadata.num_row_groups)), first
        first += rows
    return [], first


def _strings(values: Any, source: Source, row: int) -> tuple[str | None, ...]:
    try:
        return tuple(v.decode() if isinstance(v, bytes) else v for v in values.to_pylist())
    except UnicodeDecodeError as error:
        raise BadData(
            f"a document is not UTF-8 ({error.reason})", where=f"{source.location}: after row {row:,}"
        ) from None


def _hub(source: Source, at: Cursor, column: str, unit_bytes: int) -> Iterator[_Read]:
    """Yield rows of a data set of the Hub, streamed."""
    rows = _stream(source, column, at.position)
    documents: list[str | None] = []
    held, position = 0, at.position
    try:
        for row in rows:
            text = row[column]
            if text is not None and not isinstance(text, str):
                raise BadData(
                    f"column {column!r} is no text but {type(text).__name__}",
                    where=f"{source.name}: row {position + 1:,}",
                )
            documents.append(text)
            held += len(text or "")
            position += 1
            if held >= unit_bytes or len(documents) >= _PARQUET_ROWS:
                yield _Read(Strings(tuple(documents)), position, position, position + 1, 0, held)
                documents, held = [], 0
    except (BadData, GeneratorExit):
        raise
    except Exception as error:  # of requests, fsspec, pyarrow: whatever a stream can do
        raise BadData(
            f"the stream broke off ({type(error).__name__}: {error})"[:300],
            where=f"{source.name}: row {position + 1:,}",
            hint="run the same command again, and it continues",
        ) from None
    if documents:
        yield _Read(Strings(tuple(documents)), position, position, position + 1, 0, held)


def _stream(source: Source, column: str, skip: int) -> Any:
    """Return the rows of ``OWNER/NAME``, ``OWNER/NAME/CONFIG`` or ``NAME``: its split ``train``."""
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise UsageError(
            f"{source.name}: the package datasets is not installed. Next: pip install datasets, or fetch the data set's"
            " Parquet files and name them."
        ) from None
    parts = source.location.split("/")
    name, config = "/".join(parts[:2]), "/".join(parts[2:]) or None
    try:
        stream = datasets.load_dataset(name, config, split="train", streaming=True)
        names = stream.column_names
    except Exception as error:  # of the network, the Hub or the data set's own files
        raise BadData(
            f"the data set cannot be streamed ({type(error).__name__}: {error})"[:300],
            where=source.name,
            hint="check the name and the network, or fetch its Parquet files and name them",
        ) from None
    if names is not None and column not in names:
        raise BadData(
            f"has no column {column!r}",
            where=source.name,
            found=", ".join(names[:12]),
            hint="name one with --text-column",
        )
    return stream.skip(skip) if skip else stream
