"""Launch scripts as text: quotes, variables, branches, here-documents, and scripts made to exhaust a reader."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.shell import open_reason, read_script


def words(text: str) -> list[list[str]]:
    return [[word.text for word in command.words] for command in read_script(text).commands]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b  c", [["a", "b", "c"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("a; b && c || d | e &", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("a # b\nc", [["a"], ["c"]]),
        ("a \\\n  b", [["a", "b"]]),
        ("X='1 2'\na $X \"$X\" '$X'", [["a", "1", "2", "1 2", "$X"]]),
        ("X=(1 '2 3')\nX+=(4)\na \"${X[@]}\"", [["a", "1", "2 3", "4"]]),
        ("X=(1 '2 3')\na ${X[@]}", [["a", "1", "2", "3"]]),
        ("a &> x\nb 2> y 3", [["a"], ["b", "3"]]),
        ("X=1\nX+=2\na $X", [["a", "12"]]),
        ("a ${X:-5} ${1:-b c}", [["a", "5", "b", "c"]]),
        ("N=3\na $((2*N+1)) $((N/2))", [["a", "7", "1"]]),
        ("export A=1 B=2\na $A$B", [["a", "12"]]),
        ("A=1 B=2 run x", [["run", "x"]]),
        ("a > out.txt 2>&1 < in", [["a"]]),
        ("bash -c 'b c'", [["bash", "-c", "b c"], ["b", "c"]]),
        ('X=1\neval "a $X"', [["eval", "a 1"], ["a", "1"]]),
    ],
)
def test_words(text: str, expected: list[list[str]]) -> None:
    """Words come out as a shell would make them."""
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X=1\nif [ $X = 1 ]; then Y=2; else Y=3; fi\na $Y", "2"),
        ("X=1\nif [[ $X -gt 3 ]]; then Y=2; elif [ $X -eq 1 ]; then Y=3; else Y=4; fi\na $Y", "3"),
        ("if [ $1 = x ]; then Y=2; fi\na $Y", "2"),
        ('Y=2\nif [ $1 = x ]; then Y="$Y 3"; fi\na "$Y"', "2 3"),
        ("if false; then Y=1; fi\nif true; then Y=2; fi\na $Y", "2"),
    ],
)
def test_branches(text: str, expected: str) -> None:
    """Branches whose condition can be told are taken or left out; additions in others are kept."""
    assert words(text)[-1] == ["a", expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a $HOST_COUNT", "$HOST_COUNT is not set in the script"),
        ("a $2", "it is the script's own argument $2"),
        ("a $(nproc)", "it is the output of a command, which is never run"),
        ("a `nproc`", "it is the output of a command, which is never run"),
        ("if [ $1 = x ]; then Y=2; else Y=3; fi\na $Y", "$Y is set differently by the script's branches"),
        ("case $1 in\nx) Y=2;;\ny) Y=3;;\nesac\na $Y", "$Y is set differently by the script's branches"),
    ],
)
def test_what_is_left_open(text: str, reason: str) -> None:
    """What the script does not decide is marked, with the reason."""
    assert open_reason(words(text)[-1][-1]) == reason


def test_lines() -> None:
    """Every word keeps the line on which its text stands, through variables and quoted strings of several lines."""
    script = read_script('N=3\nARGS=" \\\n  --n $N \\\n  --m 4"\nrun $ARGS\nbash -c "go $ARGS"')
    assert [(w.text, w.line) for w in script.commands[0].words] == [
        ("run", 5),
        ("--n", 3),
        ("3", 1),
        ("--m", 4),
        ("4", 4),
    ]
    assert [(w.text, w.line) for w in script.commands[-1].words][1:] == [("--n", 3), ("3", 1), ("--m", 4), ("4", 4)]


def test_here_documents() -> None:
    """Here-documents are kept with their first line, variables put in unless the mark is quoted."""
    script = read_script("X=1\ncat <<E > f\na $X\nE\ncat <<'E'\nb $X\nE\ncat <<-E\n\tc\n\tE\nd")
    assert script.documents == [("a 1", 3), ("b $X", 6), ("\tc", 9)]
    assert script.commands[-1].words[0].text == "d"


@pytest.mark.parametrize(
    "text",
    [
        "$(" * 50_000,
        '"' * 50_001,
        "A+=' x'\n" * 30_000,
        "A=$A$A\n" * 3_000 + "echo $A",
        "$A" * 100_000,
        "${" * 50_000,
        "<<E\n" * 30_000,
        "$((" * 30_000,
        "A=(x\n" * 20_000,
        "bash -c " * 20_000,
        "if [ a = b ]\n" * 20_000,
    ],
)
def test_exhausting_scripts(text: str) -> None:
    """A script made to exhaust a reader is done within seconds."""
    begun = time.monotonic()
    read_script(text)
    assert time.monotonic() - begun < 15


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aX1 =\\\n\t'\"$(){}[]`;&|<>#+-@*:!?~E", max_size=120))
def test_any_text(text: str) -> None:
    """Any text is read."""
    read_script(text)
