"""Bytes to lines: encodings, progress bars, escapes, and the bounds that protect memory and time."""

from __future__ import annotations

import gzip
import os
import random
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.errors import InputError, InputTooLarge, NotText, UnreadableInput
from auscult.readers import read
from auscult.readers.files import open_path
from auscult.readers.registry import find_dialect
from auscult.readers.text import MAX_LINE_CHARS, clean

LINE = "iter 10: loss 7.1234, time 90.00ms, mfu 30.00%"


def lines_of(tmp_path: Path, data: bytes) -> list[tuple[int, str, bool]]:
    path = tmp_path / "train.log"
    path.write_bytes(data)
    return [(line.number, line.text, line.ended) for line in open_path(path, "train.log").lines()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "ascii"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_give_the_same_lines(tmp_path: Path, encoding: str, newline: str) -> None:
    """UTF-8 with or without a mark, and UTF-16 as PowerShell's tee writes it, give the same numbered lines."""
    text = newline.join(["number of parameters: 40.56M", LINE, LINE]) + newline
    assert lines_of(tmp_path, text.encode(encoding)) == [
        (1, "number of parameters: 40.56M", True),
        (2, LINE, True),
        (3, LINE, True),
    ]


@pytest.mark.parametrize(("encoding", "mark"), [("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")])
def test_utf16_of_either_byte_order(tmp_path: Path, encoding: str, mark: bytes) -> None:
    """The byte-order mark decides, and a file cut within a character still gives its whole lines."""
    data = mark + f"{LINE}\n{LINE}\nhalf".encode(encoding)
    assert [text for _number, text, ended in lines_of(tmp_path, data[:-1]) if ended] == [LINE, LINE]


def test_text_of_other_languages_is_kept(tmp_path: Path) -> None:
    """Letters beyond ASCII survive."""
    text = "Über 20–30 % schneller ≈ 世界"
    assert lines_of(tmp_path, text.encode()) == [(1, text, False)]


def test_latin1_bytes_are_replaced_not_fatal(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 become replacement characters, and the lines around them are whole."""
    found = lines_of(tmp_path, b"caf\xe9 \xfc\n" + LINE.encode() + b"\n")
    assert found == [(1, "caf\ufffd \ufffd", True), (2, LINE, True)]


def test_progress_bars_keep_line_numbers(tmp_path: Path) -> None:
    r"""Texts separated by \r share the line number that an editor shows, and the next \n line is one further."""
    data = b"tokenizing  10%\rtokenizing  50%\rtokenizing 100%\n" + LINE.encode() + b"\n"
    assert lines_of(tmp_path, data) == [
        (1, "tokenizing  10%", True),
        (1, "tokenizing  50%", True),
        (1, "tokenizing 100%", True),
        (2, LINE, True),
    ]


def test_blank_lines_count(tmp_path: Path) -> None:
    r"""Blank lines are yielded and counted, whether they end in \n or in \r\n."""
    for newline in (b"\n", b"\r\n"):
        found = lines_of(tmp_path, b"a" + newline + newline + b"b" + newline)
        assert found == [(1, "a", True), (2, "", True), (3, "b", True)], newline


def test_a_cut_last_line_is_marked(tmp_path: Path) -> None:
    """Only a last line without newline is marked as not ended, also when a progress bar stands on it."""
    assert [ended for *_, ended in lines_of(tmp_path, b"a\nb\nc")] == [True, True, False]
    assert lines_of(tmp_path, b"bar 1%\rbar 2") == [(1, "bar 1%", True), (1, "bar 2", False)]


def test_escapes_and_controls_are_stripped(tmp_path: Path) -> None:
    """Colours, cursor movements, titles, hyperlinks and other controls leave only the text."""
    data = b"\x1b[1;32miter 10:\x1b[0m \x1b]0;title\x07loss \x1b[2K7.1234\x08\x1b[A\x1b(B, time\t90.00ms\x7f\n"
    (_number, text, _ended) = lines_of(tmp_path, data)[0]
    assert "\x1b" not in text
    assert text.startswith("iter 10: loss 7.1234")
    assert text.endswith(", time\t90.00ms")


@settings(database=None, derandomize=True, deadline=None, max_examples=300)
@given(
    text=st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\x1b[]0;m\x07\x9b\x9d\\P^_")), max_size=60)
)
def test_cleaned_text_cannot_drive_a_terminal(text: str) -> None:
    """Whatever comes in, no escape and no control but tab and newline comes out, and cleaning twice is once."""
    cleaned = clean(text)
    assert not [ch for ch in cleaned if (ord(ch) < 32 and ch not in "\t\n") or 127 <= ord(ch) < 160]
    assert clean(cleaned) == cleaned


def test_a_few_nul_bytes_are_stripped(tmp_path: Path) -> None:
    """A log with some NUL bytes, as a crashed machine leaves behind, is read without them."""
    data = (LINE + "\n").encode() * 50 + bytes(20) + (LINE + "\n").encode()
    found = lines_of(tmp_path, data)
    assert [text for _number, text, _ended in found] == [LINE] * 51


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 40,
        random.Random(0).randbytes(100_000),
        bytes(1000),
        b"PK\x03\x04" + bytes(500),
    ],
    ids=["every byte", "random", "zeros", "zip"],
)
def test_binary_is_refused(tmp_path: Path, data: bytes) -> None:
    """A binary file is refused with its name, what was expected, and how much of it is not text."""
    with pytest.raises(NotText, match=r"train\.log: the file is binary\. Expected text .*%.*Next: "):
        lines_of(tmp_path, data)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_a_compressed_log_is_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """What is compressed is told by its first bytes, not by its name, and gives the lines of the text."""
    assert lines_of(tmp_path, pack((LINE + "\n").encode() * 2)) == [(1, LINE, True), (2, LINE, True)]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_a_decompression_bomb_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """A file that expands more than 200 times beyond 64 MiB is refused before it fills the memory."""
    with pytest.raises(InputTooLarge, match=r"train\.log: it expands more than 200 times.*bomb.*Next: "):
        lines_of(tmp_path, pack((LINE + "\n").encode() * 2 + b"x" * 100_000_000))


def test_compressed_data_that_were_cut_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    """What a killed run left of its gzip file gives the lines that are whole in it."""
    lines = [f"{i} {random.Random(i).random()}" for i in range(2_000)]
    packed = gzip.compress("\n".join(lines).encode())
    found = [text for _number, text, ended in lines_of(tmp_path, packed[: len(packed) // 2]) if ended]
    assert 500 < len(found) < 1_500
    assert found == lines[: len(found)]


def test_damaged_compressed_data_are_an_error_of_ours(tmp_path: Path) -> None:
    """A gzip file with a flipped byte says so in one paragraph."""
    flipped = bytearray(gzip.compress(random.Random(1).randbytes(20_000).hex().encode()))
    flipped[2_000] ^= 0xFF
    with pytest.raises(UnreadableInput, match=r"train\.log: the compressed data are damaged"):
        lines_of(tmp_path, bytes(flipped))


def test_empty_is_refused(tmp_path: Path) -> None:
    """An empty file is refused, with a word about redirection."""
    with pytest.raises(NotText, match=r"train\.log: the file is empty\. Next: .*tee train\.log"):
        lines_of(tmp_path, b"")


def test_a_config_of_ten_megabytes_is_refused(tmp_path: Path) -> None:
    """A config has a bound of its own: 4 MiB."""
    path = tmp_path / "train_big.py"
    path.write_text("n_layer = 12\n" + "# padding\n" * 2**20)
    with pytest.raises(InputTooLarge, match="4 MiB"):
        read(path)


def test_an_endless_line_is_bounded(tmp_path: Path) -> None:
    """A line of 5 MB without newline is cut at the bound in bounded memory, and the lines after one are read."""
    path = tmp_path / "train.log"
    path.write_bytes((LINE + "\n").encode() + b"x" * 5_000_000 + b"\n" + LINE.encode() + b"\n")
    tracemalloc.start()
    found = [(line.number, len(line.text), line.ended) for line in open_path(path, "train.log").lines()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [(1, len(LINE), True), (2, MAX_LINE_CHARS, True), (3, len(LINE), True)]
    assert peak < 16 * MAX_LINE_CHARS
    path.write_bytes(b"x" * 5_000_000)
    assert [(line.number, len(line.text)) for line in open_path(path, "train.log").lines()] == [(1, MAX_LINE_CHARS)]


@pytest.mark.parametrize("length", [MAX_LINE_CHARS - 1, MAX_LINE_CHARS, MAX_LINE_CHARS + 1, 2 * MAX_LINE_CHARS])
def test_line_numbers_survive_the_bound(tmp_path: Path, length: int) -> None:
    """A line at the bound, one short of it or beyond counts as one line."""
    found = lines_of(tmp_path, b"x" * length + b"\n" + b"next\n")
    assert [(number, ended) for number, _text, ended in found] == [(1, True), (2, True)]
    assert found[1][1] == "next"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder in place of a file is not a regular file."""
    with pytest.raises(UnreadableInput, match=r"x: not a regular file\. Expected a file, found a folder"):
        open_path(tmp_path, "x")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A missing file is named, and the hint says to check the path."""
    for function in (lambda p: open_path(p, "gone.log"), read):
        with pytest.raises(UnreadableInput, match=r"gone\.log: no such file or folder\. Next: check the path"):
            function(tmp_path / "gone.log")


def test_a_name_too_long_is_an_error_of_ours() -> None:
    """A path longer than the file system allows gives a paragraph, not a traceback."""
    with pytest.raises(InputError):
        read("a" * 5000 + ".log")


def test_a_device_is_refused() -> None:
    """/dev/zero is never read to its end."""
    with pytest.raises(UnreadableInput, match="not a regular file"):
        read("/dev/zero")


def test_a_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    """A named pipe is refused like any other file that is not regular, before anything waits for a writer."""
    pipe = tmp_path / "train.log"
    os.mkfifo(pipe)
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            read(pipe)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(3)
    hung = thread.is_alive()
    if hung:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))  # let the reader go
        thread.join(3)
    assert not hung
    assert [type(error) for error in errors] == [UnreadableInput]


def test_a_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    """A named pipe beside a log does not stop the folder from being read."""
    os.mkfifo(tmp_path / "other.log")
    (tmp_path / "train.log").write_text(LINE + "\n")
    assert read(tmp_path).sources == ("train.log",)


def test_a_config_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    """A config in Latin-1 is refused with the byte and its offset: rewriting a guess would damage it."""
    path = tmp_path / "train_x.py"
    path.write_bytes(b"n_layer = 12  # caf\xe9\n")
    with pytest.raises(NotText, match=r"train_x\.py.*byte 0xe9 at offset 19"):
        read(path)


def test_a_utf16_config_is_read(tmp_path: Path) -> None:
    """A config that Notepad saved as UTF-16 is a config."""
    path = tmp_path / "train_x.py"
    path.write_bytes("n_layer = 7\nn_head = 7\n".encode("utf-16"))
    assert repr(read(path).recipe.architecture.n_layer) == "Known(7, train_x.py:1)"


@settings(database=None, derandomize=True, deadline=None, max_examples=150)
@given(data=st.binary(min_size=1, max_size=300), mark=st.sampled_from([b"", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"]))
def test_any_bytes_give_lines_or_our_error(tmp_path_factory: pytest.TempPathFactory, data: bytes, mark: bytes) -> None:
    """Whatever the bytes, reading them as a log gives series or an error of ours."""
    path = tmp_path_factory.getbasetemp() / "any.log"
    path.write_bytes(mark + data)
    try:
        (log, *_) = find_dialect("nanogpt").read(open_path(path, "any.log"))
    except InputError as error:
        message = str(error)
    else:
        assert all(len(series) for series in log.series)
        return
    assert "any.log" in message
