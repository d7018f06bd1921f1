"""Notebooks: their outputs are lines of a log with the numbers of the file's lines, and nothing else in them is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auscult.errors import InputError
from auscult.readers import read
from auscult.readers.files import InputFile, open_path
from auscult.readers.notebook import notebook_lines
from auscult.readers.text import Line

RECORDS = [f"iter {i * 10}: loss {5 - i / 10:.4f}, time {90 + i:.2f}ms, mfu 30.00%\n" for i in range(8)]


def stream(*text: str, name: str = "stdout") -> dict[str, Any]:
    """Return an output of a cell that printed something."""
    return {"name": name, "output_type": "stream", "text": list(text)}


def code(*outputs: dict[str, Any], source: str = "") -> dict[str, Any]:
    """Return a code cell."""
    return {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": list(outputs), "source": [source]}


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook of format 4."""
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def file_of(data: bytes, name: str = "run.ipynb") -> InputFile:
    """Return bytes as a file."""
    return InputFile(name, lambda: io.BytesIO(data), len(data))


def pretty(document: dict[str, Any]) -> bytes:
    """Return a notebook as Jupyter writes it."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def minified(document: dict[str, Any]) -> bytes:
    """Return a notebook in one line."""
    return json.dumps(document, separators=(",", ":")).encode()


def lines(data: bytes, name: str = "run.ipynb") -> list[Line]:
    """Return the lines that are read of a notebook."""
    return list(file_of(data, name).lines())


def test_each_printed_line_has_its_line_in_the_file() -> None:
    """What a cell printed is read with the number of the line of the .ipynb that holds it."""
    data = pretty(notebook(code(stream(*RECORDS), source="print('iter 5: loss 1.0000, time 1.00ms')")))
    rows = data.decode().split("\n")
    found = lines(data)
    assert [line.text + "\n" for line in found] == RECORDS
    for line in found:
        assert line.text in rows[line.number - 1]
        assert line.ended


def test_sources_and_markdown_are_not_outputs() -> None:
    """The text of cells is not read, even where it looks like a record."""
    record = "iter 10: loss 1.0000, time 1.00ms, mfu 1.00%"
    cells = [{"cell_type": "markdown", "metadata": {}, "source": [record]}, code(source=record)]
    assert lines(pretty(notebook(*cells))) == []


def test_a_minified_notebook_counts_printed_lines() -> None:
    """In a notebook of one line, printed lines are counted from 1 through all outputs."""
    found = lines(minified(notebook(code(stream(*RECORDS[:3])), code(stream("".join(RECORDS[3:]))))))
    assert [(line.number, line.text + "\n") for line in found] == list(enumerate(RECORDS, 1))


def test_a_text_in_one_string_and_pieces_of_a_line() -> None:
    """A text may be one string, or a line may come in several strings: the lines are the same."""
    whole = stream()
    whole["text"] = "".join(RECORDS)
    parts = stream(*[part for record in RECORDS for part in (record[:7], record[7:])])
    for output in (whole, parts):
        assert [line.text + "\n" for line in lines(pretty(notebook(code(output))))] == RECORDS


def test_results_and_tracebacks_are_outputs_and_pictures_are_not() -> None:
    """Plain text of results and tracebacks are read without colours; HTML and pictures are left."""
    result = {
        "data": {"text/plain": ["{'loss': 2.5}"], "text/html": ["<b>iter 1: loss 9.0</b>"], "image/png": "iVBOR" * 9},
        "output_type": "execute_result",
    }
    error = {
        "ename": "KeyboardInterrupt",
        "evalue": "",
        "output_type": "error",
        "traceback": ["\x1b[31mKeyboardInterrupt\x1b[39m  Traceback (most recent call last)", "KeyboardInterrupt: "],
    }
    assert [line.text for line in lines(pretty(notebook(code(result, error))))] == [
        "{'loss': 2.5}",
        "KeyboardInterrupt  Traceback (most recent call last)",
        "KeyboardInterrupt: ",
    ]


def test_an_old_notebook_of_format_3() -> None:
    """Format 3 keeps cells in worksheets, and calls the code input."""
    document = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x"], "outputs": [stream(*RECORDS)]}]}]}
    assert [line.text + "\n" for line in lines(pretty(document))] == RECORDS


def test_an_output_that_ends_without_a_newline_ends_its_line() -> None:
    """Two outputs do not run into one line."""
    found = lines(pretty(notebook(code(stream("iter 1: loss 2.0000"), stream("warning", name="stderr")))))
    assert [line.text for line in found] == ["iter 1: loss 2.0000", "warning"]


def test_redraws_share_a_number() -> None:
    """A progress bar's redraws are pieces of one line, all but the last drawn over."""
    found = lines(pretty(notebook(code(stream("a 1\ra 2\ra 3\n", "done\n")))))
    assert [(line.text, line.redrawn) for line in found] == [
        ("a 1", True),
        ("a 2", True),
        ("a 3", False),
        ("done", False),
    ]
    assert len({line.number for line in found[:3]}) == 1


def test_a_notebook_cut_inside_a_string() -> None:
    """A file that ends inside a record gives what is there, marked as not ended."""
    data = pretty(notebook(code(stream(*RECORDS))))
    at = data.index(b"loss 4.5")
    found = lines(data[: at + 6])
    assert [line.text + "\n" for line in found[:-1]] == RECORDS[:5]
    assert (found[-1].text, found[-1].ended) == ("iter 50: loss 4", False)


def test_text_in_a_file_of_that_name_is_read_as_text() -> None:
    """A log that somebody named .ipynb is a log."""
    assert [line.text + "\n" for line in lines("".join(RECORDS).encode())] == RECORDS


@pytest.mark.parametrize("as_file", [pretty, minified])
def test_a_log_dialect_reads_it(tmp_path: Path, as_file: Any) -> None:
    """The dialect of nanoGPT reads a notebook's outputs, says so, and names lines of the file."""
    path = tmp_path / "train.ipynb"
    path.write_bytes(as_file(notebook(code(stream("number of parameters: 40.56M\n", *RECORDS)))))
    run = read(path)
    loss = run.get("train_loss")
    assert loss is not None
    assert list(loss.values) == pytest.approx([5 - i / 10 for i in range(8)])
    assert {notice.kind for notice in run.notices} == {"log_inside_notebook"}


def test_escapes_and_broken_surrogates() -> None:
    """Escapes become characters, halves of a character become the replacement, and bad escapes do no harm."""
    text = rb'{ "cells": [ {"outputs": [ {"text": ["caf\u00e9 \ud83d\ude00 \ud83d x\n", "a\qb \u12 c\n"]} ] } ] }'
    found = [line.text for line in lines(text)]
    assert found[0] == "caf\u00e9 \U0001f600 \ufffd x"
    assert found[1].startswith("a")
    for line in found:
        line.encode()


def test_the_sample_is_of_outputs_behind_a_picture() -> None:
    """What dialects look at are outputs, also where megabytes of pictures stand before them."""
    picture = {"data": {"image/png": "A" * 3_000_000}, "output_type": "display_data"}
    data = pretty(notebook(code(picture), code(stream(*RECORDS), source="batch_size = 12")))
    assert file_of(data).sample == "".join(RECORDS).rstrip("\n")


@pytest.mark.parametrize("block", ["A" * 1000, f"bar {1:500}%\r", f"line {2:500}\n"])
def test_an_endless_string_needs_no_endless_memory(block: str) -> None:
    """A minified output of tens of megabytes passes through in bounded memory."""

    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self._left = 60
            self._start = b'{"cells":[{"outputs":[{"text":"'

        def read(self, size: int = -1) -> bytes:
            if self._start:
                start, self._start = self._start, b""
                return start
            self._left -= 1
            return json.dumps(block)[1:-1].encode() * (262_144 // len(block)) if self._left > 0 else b""

    tracemalloc.start()
    try:
        source = cast("BinaryIO", Endless())
        count = sum(1 for _ in notebook_lines(source, "x", b'{"cells":[{"outputs":[{"text":"'))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count >= 1
    assert peak < 40 * 2**20


def test_nesting_without_end_is_refused() -> None:
    """Brackets upon brackets are an error of input."""
    with pytest.raises(InputError, match="nested too deep"):
        lines(b"{" + b'"a":[' * 10_000)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.booleans())
@example(b'{"outputs":"text"', True)
def test_any_bytes_give_lines_or_an_input_error(data: bytes, start: bool) -> None:
    """Arbitrary bytes in a file of that name give lines that can be printed, or an error of ours."""
    try:
        for line in lines(b"{" + data if start else data):
            line.text.encode()
    except InputError:
        pass


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 900), st.binary(max_size=4), st.integers(0, 5))
def test_a_mangled_notebook_gives_lines_or_an_input_error(at: int, put: bytes, cut: int) -> None:
    """A notebook with bytes put in or taken out gives lines, or an error of ours."""
    data = pretty(notebook(code(stream(*RECORDS)), code({"traceback": ["x"], "output_type": "error"})))
    with contextlib.suppress(InputError):
        lines(data[:at] + put + data[at + cut :])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from('ab1 "\\\n{}[],:\u00e9\U0001f600'), max_size=30), max_size=8), st.booleans())
def test_outputs_come_back_as_they_were(texts: list[str], small: bool) -> None:
    """Whatever was printed comes back line by line, whichever way the notebook was written."""
    data = (minified if small else pretty)(notebook(code(stream(*texts))))
    text = "".join(texts)
    wanted = text.removesuffix("\n").split("\n") if text else []
    assert [line.text for line in lines(data)] == wanted


def test_the_corpus_notebook() -> None:
    """The notebook of the corpus gives every record of the run it shows."""
    corpus = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"))
    folder = corpus / "notebook-nanogpt-bundestag-resumed"
    if not folder.is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {corpus}")
    facts = json.loads((folder / "facts.json").read_text())["series"]
    run = read(folder)
    for name, wanted in facts.items():
        series = run.get(name)
        assert series is not None
        assert series.count == wanted["points"]
        assert [series.steps[0], series.values[0]] == wanted["first"]
        assert [series.steps[-1], series.values[-1]] == wanted["last"]
    assert "log_inside_notebook" in {notice.kind for notice in run.notices}
    file = open_path(folder / "bundestag_char.ipynb", "x.ipynb")
    first = next(line for line in file.lines() if line.text.startswith("iter 155250:"))
    assert "iter 155250:" in (folder / "bundestag_char.ipynb").read_text().split("\n")[first.number - 1]


@pytest.mark.parametrize("bad", [r"\q", r"\u12", r"\\\q", r"\u12\\n", "\\", r"\uD800x"])
def test_escapes_that_mean_nothing_do_no_harm(bad: str) -> None:
    """A damaged notebook with escapes that JSON does not know keeps the text around them."""
    text = '{"cells": [{"outputs": [{"text": ["before ' + bad + ' after\\n", "next\\n"]}]}]}'
    found = [line.text for line in notebook_lines(io.BytesIO(text.encode()), "x.ipynb", text.encode())]
    assert found[0].startswith("before ")
