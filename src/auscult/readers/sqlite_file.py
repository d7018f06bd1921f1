"""A stranger's SQLite file: read only, unchanged, nothing in it executed, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from ..errors import InputError, NotText, UnreadableInput
from .files import InputFile

__all__ = ["MAGIC", "Database", "is_sqlite", "opened", "tables_of"]

MAGIC = b"SQLite format 3\0"
_MAX_VALUE_BYTES = 4 * 2**20
_MAX_ROWS = 50_000_000
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})
_READ_ONLY_PRAGMAS = frozenset({"table_info"})


def is_sqlite(file: InputFile) -> bool:
    """Return whether a file begins as an SQLite database does."""
    return file.head[:16] == MAGIC


def tables_of(file: InputFile) -> dict[str, tuple[str, ...]]:
    """Return the ordinary tables of a database with their columns; empty where it is none, or cannot be opened."""
    if not is_sqlite(file):
        return {}
    try:
        with opened(file) as database:
            return database.tables
    except InputError:
        return {}


@dataclass(frozen=True)
class Database:
    """An open database.

    Attributes
    ----------
    tables : dict
        Each ordinary table with its columns; views and virtual tables are no part of it.
    has_journal : bool
        Whether a write-ahead log lies beside it, whose rows are not read.
    """

    connection: sqlite3.Connection
    tables: dict[str, tuple[str, ...]]
    has_journal: bool

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Yield the rows of a table in the order in which they were written."""
        known = self.tables[table]
        assert all(column in known for column in columns), columns
        names = ", ".join(_quoted(column) for column in columns)
        sql = f"SELECT {names} FROM {_quoted(table)}"
        try:
            cursor = self.connection.execute(f"{sql} ORDER BY rowid")
        except sqlite3.OperationalError:  # a table WITHOUT ROWID
            cursor = self.connection.execute(sql)
        for count, row in enumerate(cursor):
            if count >= _MAX_ROWS:
                return
            yield row


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def opened(file: InputFile) -> Iterator[Database]:
    """Open a database read-only and immutable: no lock, no journal, no write, no trigger, view or extension.

    Raises
    ------
    NotText
        When the file is no SQLite database.
    UnreadableInput
        When it is damaged, or not a file of this machine.
    """
    if not is_sqlite(file):
        raise NotText(
            "not an SQLite database",
            where=file.name,
            expected="`SQLite format 3` at its start",
            hint="give the file that the tracker wrote",
        )
    if file.path is None:
        raise UnreadableInput(
            "an SQLite database must be a file of this machine", where=file.name, hint="download it first"
        )
    journal = file.path.with_name(file.path.name + "-wal")
    try:
        connection = sqlite3.connect(f"file:{quote(str(file.path.resolve()))}?mode=ro&immutable=1", uri=True)
    except (sqlite3.Error, OSError, ValueError) as error:
        raise _damaged(file, error) from None
    try:
        yield Database(connection, _prepare(connection), journal.is_file() and journal.stat().st_size > 0)
    except (sqlite3.Error, OverflowError, UnicodeDecodeError, MemoryError) as error:
        raise _damaged(file, error) from None
    finally:
        connection.close()


def _damaged(file: InputFile, error: Exception) -> UnreadableInput:
    return UnreadableInput(
        f"the database is damaged or cannot be opened ({type(error).__name__})",
        where=file.name,
        hint="copy it again while nothing writes into it",
    )


def _prepare(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {pragma}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.text_factory = lambda data: data.decode("utf-8", errors="replace")
    connection.set_authorizer(_authorize)
    tables: dict[str, tuple[str, ...]] = {}
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' LIMIT 10000").fetchall()
    for name, sql in found:
        if not isinstance(name, str) or not isinstance(sql, str) or sql.lstrip().upper().startswith("CREATE VIRTUAL"):
            continue
        columns = connection.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
        tables[name] = tuple(str(column[1]) for column in columns)
    return tables


def _authorize(action: int, first: str | None, _second: str | None, _database: str | None, _inner: str | None) -> int:
    if action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first in _READ_ONLY_PRAGMAS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
