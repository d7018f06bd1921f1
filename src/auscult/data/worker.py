"""What a worker does: a unit of documents becomes tokens, and a row of facts for each document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .documents import Lines, Part, Strings, Texts, Unit
from .draw import drawn_for_validation
from .encoding import Encode, ResolvedTokenizer, make_encode
from .errors import BadData

__all__ = ["FACTS", "Encoded", "Encoder"]

FACTS = np.dtype(
    [("source", np.int64), ("tokens", np.int64), ("bytes", np.int64), ("opens", np.bool_), ("val", np.bool_)]
)
"""Of a document, or of a piece of one: ``opens`` where it begins; no tokens where it is empty."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The tokens of a unit, in order, and its documents.

    Attributes
    ----------
    tokens : ndarray of uint16 or uint32, shape (n,)
        Of all documents.
    facts : ndarray of FACTS, shape (documents,)
    """

    tokens: NDArray[Any]
    facts: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Encoder:
    """Turns units into tokens.

    Attributes
    ----------
    tokenizer : ResolvedTokenizer
    encode : callable
        Of that tokenizer.
    seed : int
    val_share : float
    """

    tokenizer: ResolvedTokenizer
    encode: Encode
    seed: int
    val_share: float

    @classmethod
    def of(cls, tokenizer: ResolvedTokenizer, seed: int, val_share: float) -> Encoder:
        """Build the tokenizer."""
        return cls(tokenizer, make_encode(tokenizer), seed, val_share)

    def __call__(self, unit: Unit) -> Encoded:
        """Return the tokens of a unit.

        Raises
        ------
        BadData
            When a line is not JSON, has no text, or a document is not UTF-8.
        """
        dtype = np.dtype(self.tokenizer.dtype).newbyteorder("<")
        separator = [] if self.tokenizer.separator is None else [np.array([self.tokenizer.separator], dtype)]
        pieces: list[NDArray[Any]] = [np.zeros(0, dtype)]
        tables = []
        for part in unit.parts:
            rows = []
            for number, (text, size) in enumerate(_texts(part)):
                opens = number > 0 or not isinstance(part.payload, Texts) or part.payload.opens
                if not text:
                    rows.append((part.source, 0, 0, False, False))
                    continue
                found = self.encode(text)
                begun = separator if opens else []
                pieces += [*begun, found]
                rows.append((part.source, len(found) + len(begun), size, opens, False))
            table = np.array(rows, FACTS)
            table["val"] = drawn_for_validation(self.seed, part.name, part.index, len(table), self.val_share)
            tables.append(table)
        return Encoded(np.concatenate(pieces, dtype=dtype, casting="unsafe"), np.concatenate(tables))


def _texts(part: Part) -> Iterator[tuple[str | None, int]]:
    """Yield the documents of a part and their sizes in UTF-8 [bytes]; what has no text counts, too."""
    payload = part.payload
    if isinstance(payload, Strings):
        for text in payload.documents:
            yield _sized(text)
    elif isinstance(payload, Lines):
        yield from _json_texts(part, payload)
    else:
        for data, line in zip(payload.documents, payload.lines, strict=True):
            try:
                yield data.decode("utf-8"), len(data)
            except UnicodeDecodeError as error:
                raise _not_utf8(part, data, error, line) from None


def _json_texts(part: Part, payload: Lines) -> Iterator[tuple[str | None, int]]:
    row = msgspec.defstruct("Row", [("text", str | None)], rename={"text": payload.column})
    decoder = msgspec.json.Decoder(row)
    lines = payload.data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines):
        if not line.strip():
            yield None, 0
            continue
        try:
            text = decoder.decode(line).text  # type: ignore[attr-defined] # the struct is made above, of the column's name
        except UnicodeDecodeError as error:  # msgspec counts from the beginning of the string
            raise _not_utf8(part, line, _first_wrong_byte(line) or error, part.line + number) from None
        except msgspec.DecodeError as error:
            text = _json_text_slowly(part, payload.column, line, part.line + number, error)
        yield _sized(text)


def _json_text_slowly(part: Part, column: str, line: bytes, number: int, error: Exception) -> str | None:
    """Say what is wrong with a line, or return its text where only half a surrogate pair is, which JSON allows."""
    where = f"{part.place}:{number}"
    try:
        found = json.loads(line)
    except ValueError:
        begins = line[:40].decode("utf-8", "replace")
        raise BadData(
            f"the line is not JSON ({error})",
            where=where,
            expected='a JSON object a line, such as {"text": "…"}',
            found=begins + ("…" if len(line) > 40 else ""),
        ) from None
    except RecursionError:
        raise BadData("the line is nested too deeply", where=where) from None
    if not isinstance(found, dict):
        raise BadData(
            f"the line is JSON, but a {type(found).__name__} and no object",
            where=where,
            expected=f'{{"{column}": "…"}}',
            hint="is the file one JSON array? Write an object a line" if isinstance(found, list) else None,
        )
    if column not in found:
        names = ", ".join(list(found)[:12]) or "no keys"
        raise BadData(f"the line has no key {column!r}", where=where, found=names, hint="name one with --text-column")
    text = found[column]
    if text is not None and not isinstance(text, str):
        raise BadData(
            f"{column!r} is no text but {type(text).__name__}", where=where, hint="name another with --text-column"
        )
    return text


def _sized(text: str | None) -> tuple[str | None, int]:
    if not text:
        return None, 0
    try:
        return text, len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:  # half a surrogate pair: no character; Unicode has U+FFFD for that
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text, len(text.encode())


def _first_wrong_byte(data: bytes) -> UnicodeDecodeError | None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error
    return None


def _not_utf8(part: Part, data: bytes, error: UnicodeDecodeError, line: int) -> BadData:
    at = error.start
    line += data.count(b"\n", 0, at)
    return BadData(
        f"not UTF-8: byte 0x{data[at]:02x} ({error.reason})" if at < len(data) else f"not UTF-8 ({error.reason})",
        where=f"{part.place}:{line}",
        hint="convert it, for instance with `iconv -f latin1 -t utf-8`",
    )
