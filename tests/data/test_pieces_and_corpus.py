"""Cutting long documents, and the corpus made from Python's library."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.data import encoding
from auscult.data.corpus import write_corpus
from auscult.errors import UsageError


@given(text=st.text(st.sampled_from("ab1. \n\r\té€𝄞"), max_size=300), size=st.integers(8, 60))
def test_pieces_are_the_text_cut_between_characters(text: str, size: int) -> None:
    """Joined they are the text; each is valid UTF-8 and within the bound."""
    data = text.encode()
    before, encoding.PIECE_BYTES = encoding.PIECE_BYTES, size
    try:
        found = encoding.pieces(data)
    finally:
        encoding.PIECE_BYTES = before
    assert b"".join(found) == data
    assert all(len(piece) <= size for piece in found)
    assert "".join(piece.decode() for piece in found) == text


def test_a_cut_is_between_a_letter_and_the_end_of_its_line() -> None:
    """Not behind a full stop, not within blank lines, and before both characters of a Windows line end."""
    for text, cut in (
        (b"one\ntwo.\nthree", 3),
        (b"one\r\ntwo.\r\nthree", 3),
        (b"one\n\n\n  two.\n", 3),
        (b"one.\ntwo.\nthree", 9),
        ("no line \u00e9nds".encode(), len("no line \u00e9nds".encode())),
        (b"ends within \xe2\x82", len(b"ends within ")),
    ):
        assert encoding.cut_at(text) == cut, text


def test_the_corpus_is_the_library_in_order(tmp_path: Path) -> None:
    """Text of .py files in the order of their paths up to the size; other encodings, tests and empty files are left out."""
    library = tmp_path / "library"
    for name, data in {
        "b.py": b"b = 1\n",
        "a/z.py": b"z = 1\n",
        "a/latin.py": b"# \xe4\n",
        "a/empty.py": b"\n",
        "a/notes.rst": b"notes\n",
        "test/c.py": b"c = 1\n",
        "site-packages/d.py": b"d = 1\n",
        "e.py": b"e = 1\n",
    }.items():
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_bytes(data)
    written = write_corpus(tmp_path / "out", size_bytes=17, library=library)
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt"))
    assert names == ["a/z.py.txt", "b.py.txt"]
    assert (written.files, written.bytes) == (2, 12)
    assert (tmp_path / "out" / "b.py.txt").read_bytes() == b"b = 1\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_corpus_is_not_written_over_anything(tmp_path: Path) -> None:
    """A folder with something in it, or a library with nothing, is refused."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        write_corpus(tmp_path / "mine")
    (tmp_path / "library").mkdir()
    with pytest.raises(UsageError, match="has no Python sources"):
        write_corpus(tmp_path / "out", library=tmp_path / "library")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library", "mine"]
