"""Launch scripts read as text: which commands they would start, with their variables put in, and where each word stands.

Nothing is executed. Assignments, arrays, quotes, line continuations, here-documents and simple arithmetic are understood;
what a substitution, an argument or the environment would give is left open and marked, so that it is never taken for a
value. Of a variable that branches of an ``if`` or ``case`` set differently, none is taken.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from .patterns import lazy

__all__ = ["Command", "Script", "Word", "open_reason", "read_script"]

MAX_CHARS = 512 * 1024
_MAX_WORDS = 20_000
_MAX_EXPANDED = 200_000
_MAX_COMMANDS = 2_000
_MAX_DEPTH = 4
_OPEN, _CLOSE = "\ue000", "\ue001"
"""Around the name of what is left open; private characters, which are taken out of the text first."""
_BRANCHES, _OUTPUT = "\ue002", "\ue003"
_MAX_PIECES = 4_000
_NAME = lazy(r"[A-Za-z_]\w{0,80}")
_ASSIGNED = lazy(r"([A-Za-z_]\w{0,80})(\+?=)")
_LEFT_OPEN = lazy(f"{_OPEN}([^{_OPEN}{_CLOSE}]{{0,100}}){_CLOSE}")
_BEGINS = frozenset({"if", "for", "while", "until", "case", "select"})
_ENDS = frozenset({"fi", "done", "esac"})
_SKIPPED = frozenset({"then", "else", "do", "elif", "time", "{", "}", "!", "in", *_BEGINS, *_ENDS})
_DECLARES = frozenset({"export", "local", "declare", "readonly", "typeset", "set", "-x", "-r", "-g", "-a", "-i"})


class Word(NamedTuple):
    """A word of a command with the line that its text stands on."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it would be started, and the line it begins on."""

    words: tuple[Word, ...]
    line: int


@dataclass
class Script:
    """What a script holds.

    Attributes
    ----------
    commands : list of Command
        In their order, variables put in.
    documents : list of tuple
        The here-documents with the line of their first line.
    variables : dict
        What each variable holds at the end, split into words.
    """

    commands: list[Command] = field(default_factory=list)
    documents: list[tuple[str, int]] = field(default_factory=list)
    variables: dict[str, list[Word]] = field(default_factory=dict)


def open_reason(text: str) -> str | None:
    """Return why a word is not complete, or None when it is.

    Examples
    --------
    >>> script = read_script("run --nodes $SLURM_NNODES --x 1")
    >>> [open_reason(word.text) for word in script.commands[0].words][2]
    '$SLURM_NNODES is not set in the script'
    """
    found = _LEFT_OPEN.search(text)
    if found is None:
        return None
    name = found[1]
    if name.endswith(_BRANCHES):
        return f"${name[:-1]} is set differently by the script's branches"
    if name == _OUTPUT:
        return "it is the output of a command, which is never run"
    if name.startswith("$"):
        return f"it is the script's own argument {name}"
    return f"${name} is not set in the script"


class _Piece(NamedTuple):
    text: str
    line: int
    split: bool
    """Whether blanks in it separate words: true of a variable outside quotes."""


@dataclass
class _Value:
    pieces: list[_Piece]
    branch: bool
    ambiguous: bool = False


def read_script(text: str, *, first_line: int = 1, given: dict[str, str] | None = None) -> Script:
    r"""Return the commands of a script.

    Parameters
    ----------
    text : str
        The script; what follows half a million characters is not looked at.
    first_line : int
        The number of its first line.
    given : dict, optional
        Variables that are known from elsewhere, such as from ``#SBATCH`` lines.

    Examples
    --------
    >>> script = read_script("N=12\nARGS='--layers $N'\npython train.py \\\n  --layers $N --seq ${LEN:-2048}")
    >>> [(word.text, word.line) for word in script.commands[0].words][2:]
    [('--layers', 4), ('12', 1), ('--seq', 4), ('2048', 4)]
    """
    clean = re.sub("[\ue000-\ue003]", "", text[:MAX_CHARS])
    clean = clean.replace("\r\n", "\n").replace("\r", "\n")
    script = Script()
    reader = _Reader(script)
    for name, value in (given or {}).items():
        reader.variables[name] = _Value([_Piece(value, first_line, split=True)], branch=False)
    reader.read(clean, [first_line], 0)
    for name, kept in reader.variables.items():
        script.variables[name] = reader.fields([p._replace(split=True) for p in kept.pieces])
    return script


@dataclass
class _Branch:
    """A branch of an ``if``, a loop or a ``case`` that is open."""

    state: str
    sure: bool = False
    """Whether every condition so far could be told."""
    taken: bool = False


_TAKE, _SKIP, _UNSURE = "take", "skip", "unsure"
_STATES: dict[bool | None, str] = {True: _TAKE, False: _SKIP, None: _UNSURE}
_MAX_BRANCHES = 1_000
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-gt": operator.gt,
    "-ge": operator.ge,
    "-lt": operator.lt,
    "-le": operator.le,
}


class _Reader:
    """Reads a script statement by statement, keeping what variables hold."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.variables: dict[str, _Value] = {}
        self.words = 0
        self.expanded = 0
        self.branches: list[_Branch] = []

    def read(self, text: str, lines: Sequence[int], depth: int) -> None:
        """Read a text; ``lines`` holds the line of each of its characters, or that of the first one alone."""
        scan = _Scanner(self, text, lines)
        for words, first, end in scan.statements():
            self.statement(words, first, end, depth)
            if self.words > _MAX_WORDS or len(self.script.commands) > _MAX_COMMANDS:
                return

    def statement(self, words: list[list[_Piece]], line: int, end: str, depth: int) -> None:
        """Take one statement: keywords, assignments, or a command."""
        at = 0
        while at < len(words) and (plain := _plain(words[at])) in _SKIPPED:
            at += 1
            if plain in ("if", "elif"):
                self.branch(plain, None if end in ("&", "|") else self.condition(words[at:]))
                return
            if plain == "else":
                self.branch(plain, None)
            elif plain in _BEGINS:
                self.branches.append(_Branch(_UNSURE))
            elif plain in _ENDS and self.branches:
                self.branches.pop()
        if any(branch.state == _SKIP for branch in self.branches):
            return
        start = at
        while at < len(words) and (_plain(words[at]) in _DECLARES or self.assign(words[at])):
            at += 1
        rest = words[at:]
        if not rest or (at > start and _plain(words[start]) in _DECLARES):
            return
        found = [word for pieces in rest for word in self.fields(pieces)]
        self.words += len(found)
        if not found:
            return
        self.script.commands.append(Command(tuple(found), line))
        if depth < _MAX_DEPTH:
            self.inner(rest, depth)

    def branch(self, word: str, holds: bool | None) -> None:
        """Enter a branch of an ``if``: one whose condition can be told is taken or left out."""
        if word == "if" or not self.branches:
            if len(self.branches) < _MAX_BRANCHES:
                self.branches.append(_Branch(_STATES[holds], sure=holds is not None, taken=holds is True))
            return
        top = self.branches[-1]
        if top.taken:
            top.state = _SKIP
        elif word == "else":
            top.state = _TAKE if top.sure else _UNSURE
        else:
            top.state = _STATES[holds] if top.sure or holds is False else _UNSURE
            top.taken = top.sure and holds is True
            top.sure = top.sure and holds is not None

    def condition(self, words: list[list[_Piece]]) -> bool | None:
        """Return whether a simple comparison holds; None where it depends on what is not in the script."""
        found = [word.text for pieces in words[:8] for word in self.fields(pieces)]
        if found in (["true"], ["false"]):
            return found == ["true"]
        if len(found) != 5 or found[0] not in ("[", "[[") or found[-1] not in ("]", "]]") or len(words) > 7:
            return None
        left, test, right = found[1:4]
        if any(_LEFT_OPEN.search(text) for text in (left, right)) or (
            test in ("=", "==", "!=") and set(right) & set("*?[")
        ):
            return None
        if test in ("=", "==", "!="):
            return (left == right) is (test != "!=")
        compare = _COMPARISONS.get(test)
        numbers = [int(text) for text in (left, right) if re.fullmatch(r"-?\d{1,18}", text)]
        return compare(numbers[0], numbers[1]) if compare is not None and len(numbers) == 2 else None

    def inner(self, words: list[list[_Piece]], depth: int) -> None:
        """Read what a shell or ``eval`` is given as text."""
        shell = False
        for index, pieces in enumerate(words[:-1]):
            plain = _plain(pieces)
            if index == 0 and plain == "eval":
                text, lines = _with_lines([p for word in words[1:] for p in (*word, _BLANK)])
                self.read(text, lines, depth + 1)
                return
            if shell and plain == "-c":
                text, lines = _with_lines(words[index + 1])
                self.read(text, lines, depth + 1)
                return
            shell = shell or plain.rpartition("/")[2] in ("bash", "sh", "zsh")

    def assign(self, pieces: list[_Piece]) -> bool:
        """Take an assignment; return whether the word is one."""
        first = pieces[0].text if pieces else ""
        found = _ASSIGNED.match(first)
        if found is None or pieces[0].split:
            return False
        value = [pieces[0]._replace(text=first[found.end() :]), *pieces[1:]]
        before = self.variables.get(found[1])
        if found[2] == "+=" and before is not None:
            space = [_Piece(" ", value[0].line, split=True)] if value[0].split else []
            if len(before.pieces) + len(value) > _MAX_PIECES or sum(len(p.text) for p in value) > _MAX_EXPANDED:
                return True
            value = [*before.pieces, *space, *value]
        elif len(value) > _MAX_PIECES:
            value = [_Piece(f"{_OPEN}{found[1]}{_CLOSE}", value[0].line, split=False)]
        branch = any(branch.state == _UNSURE for branch in self.branches)
        now = _Value(value, branch)
        if branch and before is not None and found[2] == "=" and not _joined(value).startswith(_joined(before.pieces)):
            now.ambiguous = True
        if before is not None and before.ambiguous and branch:
            now.ambiguous = True
        self.variables[found[1]] = now
        return True

    def look_up(self, name: str, line: int) -> list[_Piece]:
        """Return what a variable holds; what it is left open with where it holds nothing that is sure."""
        held = self.variables.get(name)
        if held is None:
            return [_Piece(f"{_OPEN}{name}{_CLOSE}", line, split=False)]
        if held.ambiguous:
            return [_Piece(f"{_OPEN}{name}{_BRANCHES}{_CLOSE}", line, split=False)]
        self.expanded += sum(1 + len(p.text) for p in held.pieces)
        if self.expanded > 20 * _MAX_EXPANDED:
            return [_Piece(f"{_OPEN}{name}{_CLOSE}", line, split=False)]
        return held.pieces

    def fields(self, pieces: list[_Piece]) -> list[Word]:
        """Return the words that a word comes out as: variables outside quotes are split at blanks."""
        out: list[Word] = []
        text, line, begun = "", 0, False
        for piece in pieces:
            if not piece.split:
                line = line if text else piece.line
                text += piece.text
                begun = True
                continue
            here = piece.line
            for part in re.split(r"([ \t\n]+)", piece.text):
                if part and not part.strip(" \t\n"):
                    here += part.count("\n")
                    if begun and text:
                        out.append(Word(text[:_MAX_EXPANDED], line))
                    text, begun = "", False
                elif part:
                    line = line if text else here
                    text += part
                    begun = True
        if begun:
            out.append(Word(text[:_MAX_EXPANDED], line))
        return out


_BLANK = _Piece(" ", 0, split=False)


def _with_lines(pieces: list[_Piece]) -> tuple[str, list[int]]:
    """Return the text of a word, and the line of each of its characters."""
    text: list[str] = []
    lines: list[int] = []
    for piece in pieces:
        line = piece.line or (lines[-1] if lines else 1)
        for char in piece.text:
            text.append(char)
            lines.append(line)
            line += char == "\n"
        if len(lines) > _MAX_EXPANDED:
            break
    return "".join(text), lines or [1]


def _joined(pieces: list[_Piece]) -> str:
    return " ".join("".join(p.text for p in pieces).split())


def _plain(pieces: list[_Piece]) -> str:
    return pieces[0].text if len(pieces) == 1 and not pieces[0].split else ""


class _Scanner:
    """Splits a text into statements of words of pieces, variables put in as it goes."""

    def __init__(self, reader: _Reader, text: str, lines: Sequence[int]) -> None:
        self.reader, self.text = reader, text
        self.at = 0
        self.number = lines[0] if lines else 1
        self.lines = lines if len(lines) > 1 else None
        self.documents: list[tuple[str, bool, bool]] = []

    @property
    def line(self) -> int:
        """The line of the present character."""
        if self.lines is not None:
            return self.lines[min(self.at, len(self.lines) - 1)]
        return self.number

    def step(self) -> str:
        """Take one character; nothing at the end."""
        char = self.peek()
        self.at += 1
        if char == "\n":
            self.number += 1
        return char

    def peek(self, ahead: int = 0) -> str:
        """Return a character ahead, or nothing at the end."""
        at = self.at + ahead
        return self.text[at] if at < len(self.text) else ""

    def statements(self) -> Iterator[tuple[list[list[_Piece]], int, str]]:
        """Yield each statement's words with its line and what ends it; quotes may have no end."""
        words: list[list[_Piece]] = []
        first = self.line
        while self.at < len(self.text):
            char = self.peek()
            if char == "\\" and self.peek(1) == "\n":
                self.step(), self.step()
            elif char in " \t":
                self.step()
            elif char == "#":
                self._comment()
            elif char in "<>" or (char == "&" and self.peek(1) == ">"):
                if words and self._is_descriptor(words[-1]):
                    words.pop()
                self._redirection()
            elif char == "\n" or char in ";&|()":
                if char == "(" and words and self._array(words[-1]):
                    continue
                if words:
                    yield words, first, char
                words = []
                self.step()
                if char == "\n":
                    self._here_documents()
                first = self.line
            else:
                if not words:
                    first = self.line
                words.append(self._word())
        if words:
            yield words, first, ""

    def _comment(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _word(self, *, stop: str = " \t\n;&|()<>") -> list[_Piece]:
        """Read one word."""
        pieces: list[_Piece] = []
        plain, line = "", self.line

        def flush() -> None:
            nonlocal plain
            if plain:
                pieces.append(_Piece(plain, line, split=False))
            plain = ""

        while self.at < len(self.text):
            char = self.peek()
            if char == "\\":
                if self.peek(1) == "\n":
                    self.step(), self.step()
                    if self.peek() in stop:
                        break
                    continue
                self.step()
                plain += self.step() if self.at < len(self.text) else ""
            elif char == "'":
                self.step()
                end = self.text.find("'", self.at)
                end = len(self.text) if end < 0 else end
                plain += self.text[self.at : end]
                self.number += self.text.count("\n", self.at, end)
                self.at = min(end + 1, len(self.text))
                if not plain:
                    pieces.append(_Piece("", line, split=False))
            elif char == '"':
                flush()
                pieces += self._quoted()
                line = self.line
            elif char == "$" or char == "`":
                flush()
                pieces += self._substitution(quoted=False)
                line = self.line
            elif char == "&" and plain.endswith(">"):
                plain += self.step()
            elif char in stop:
                break
            else:
                if not plain:
                    line = self.line
                plain += self.step()
        flush()
        return pieces or [_Piece("", line, split=False)]

    def _quoted(self) -> list[_Piece]:
        """Read what stands in double quotes; each of its lines is a piece with its own number."""
        self.step()
        pieces: list[_Piece] = []
        plain, line = "", self.line

        def flush() -> None:
            nonlocal plain
            pieces.append(_Piece(plain, line, split=False))
            plain = ""

        while self.at < len(self.text) and (char := self.peek()) != '"':
            if char == "\\" and self.peek(1) == "\n":
                flush()
                self.step(), self.step()
                line = self.line
            elif char == "\\" and self.peek(1) and self.peek(1) in '"\\$`':
                self.step()
                plain += self.step()
            elif char == "\n":
                plain += self.step()
                flush()
                line = self.line
            elif char in "$`":
                flush()
                pieces += self._substitution(quoted=True)
                line = self.line
            else:
                plain += self.step()
        flush()
        if self.at < len(self.text):
            self.step()
        return pieces

    def _substitution(self, *, quoted: bool) -> list[_Piece]:
        """Read ``$NAME``, ``${NAME…}``, ``$(…)``, ``$((…))`` or a command in backquotes."""
        line = self.line
        if self.step() == "`":
            end = self.text.find("`", self.at)
            end = len(self.text) if end < 0 else end
            self.number += self.text.count("\n", self.at, end)
            self.at = min(end + 1, len(self.text))
            return [_Piece(f"{_OPEN}{_OUTPUT}{_CLOSE}", line, split=False)]
        if self.peek() == "(":
            return [self._parenthesis(line)]
        if self.peek() == "{":
            return self._braces(line, quoted=quoted)
        found = _NAME.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return [p._replace(split=not quoted) for p in self._value(found[0], line)]
        if self.peek() and self.peek() in "0123456789@*#?$!-":
            return [_Piece(f"{_OPEN}${self.step()}{_CLOSE}", line, split=False)]
        return [_Piece("$", line, split=False)]

    def _value(self, name: str, line: int) -> list[_Piece]:
        return self.reader.look_up(name, line)

    def _parenthesis(self, line: int) -> _Piece:
        depth, start = 0, self.at
        while self.at < len(self.text):
            char = self.step()
            depth += (char == "(") - (char == ")")
            if depth == 0:
                break
        inner = self.text[start : self.at]
        if inner.startswith("((") and inner.endswith("))"):
            value = self._arithmetic(inner[2:-2], line)
            if value is not None:
                return _Piece(value, line, split=False)
        return _Piece(f"{_OPEN}{_OUTPUT}{_CLOSE}", line, split=False)

    def _arithmetic(self, text: str, line: int) -> str | None:
        """Return the value of an expression over whole numbers, or None."""
        if len(text) > 200:
            return None

        def put_in(found: re.Match[str]) -> str:
            value = _joined(self.reader.look_up(found[1], line))
            return value if re.fullmatch(r"-?\d{1,18}", value) else "x"

        plain = re.sub(r"\$?\{?\b([A-Za-z_]\w{0,80})\}?", put_in, text)
        if not re.fullmatch(r"[\d\s+*/%()-]{1,200}", plain) or "**" in plain:
            return None
        try:
            value = _whole(ast.parse(plain.strip().replace("//", "/"), mode="eval").body, 0)
        except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
            return None
        return str(value) if abs(value) < 10**18 else None

    def _braces(self, line: int, *, quoted: bool) -> list[_Piece]:
        """Read ``${NAME}``, ``${NAME[@]}`` or ``${NAME:-default}``; whatever else they do is left open."""
        self.step()
        found = _NAME.match(self.text, self.at)
        name = found[0] if found is not None else ""
        start = self.at
        depth = 1
        while self.at < len(self.text) and depth:
            char = self.step()
            depth += (char == "{") - (char == "}")
            if char == "\n" and not quoted:
                break
        inner = self.text[start : self.at - 1] if depth == 0 else self.text[start : self.at]
        rest = inner[len(name) :]
        if name and rest in ("", "[@]", "[*]"):
            whole = quoted and rest != ""  # "${NAME[@]}" keeps the elements as they are
            return [p._replace(split=p.split if whole else not quoted) for p in self._value(name, line)]
        default = re.match(r":?[-=]", rest)
        if default is not None:
            held = self.reader.variables.get(name) if name else None
            if held is not None and not held.ambiguous:
                return [p._replace(split=not quoted) for p in held.pieces]
            if held is None and (name or re.fullmatch(r"\d:?[-=].{0,500}", inner, re.DOTALL)):
                return self._default(rest[default.end() :], line, quoted=quoted)
        positional = re.fullmatch(r"\d:?[-=](.{0,500})", inner, re.DOTALL)
        if positional is not None:
            return self._default(positional[1], line, quoted=quoted)
        return [_Piece(f"{_OPEN}{name or inner[:40]}{_CLOSE}", line, split=False)]

    def _default(self, text: str, line: int, *, quoted: bool) -> list[_Piece]:
        """Return what a default comes out as: words, and variables in them."""
        text = text.strip("\"'")

        def put_in(found: re.Match[str]) -> str:
            return "".join(p.text for p in self.reader.look_up(found[1] or found[2], line))

        plain = re.sub(r"\$(?:\{(\w{1,80})\}|([A-Za-z_]\w{0,80}))", put_in, text[:500])
        if "$(" in plain or "`" in plain:
            plain = f"{_OPEN}{_OUTPUT}{_CLOSE}"
        return [_Piece(plain, line, split=not quoted)]

    def _array(self, word: list[_Piece]) -> bool:
        """Read ``(…)`` after ``NAME=`` into the word; return whether it is an array."""
        if not word or not _ASSIGNED.fullmatch(word[0].text) or len(word) > 1 or self.text[self.at - 1] != "=":
            return False
        self.step()
        while self.at < len(self.text) and self.peek() != ")":
            char = self.peek()
            if char == "\\" and self.peek(1) == "\n":
                self.step(), self.step()
            elif char in " \t\n":
                self.step()
            elif char == "#":
                self._comment()
            elif char in ";&|(<>":
                self.step()
            else:
                pieces = self._word(stop=" \t\n;&|()<>")
                word.append(_Piece(" ", pieces[0].line, split=True))
                word += pieces
        if self.at < len(self.text):
            self.step()
        return True

    def _is_descriptor(self, word: list[_Piece]) -> bool:
        """Return whether a word is the number of a stream, as in ``2>``."""
        return bool(re.fullmatch(r"\d{1,3}", _plain(word))) and self.text[self.at - 1].isdigit()

    def _redirection(self) -> None:
        """Pass over a redirection; remember a here-document."""
        if self.peek() == "&":
            self.step()
        start = self.at
        while self.peek() and self.peek() in "<>":
            self.step()
        mark = self.text[start : self.at]
        if mark == "<<" and self.peek() != "<":
            indented = self.peek() == "-"
            if indented:
                self.step()
            while self.peek() and self.peek() in " \t":
                self.step()
            begin = self.at
            self._word()
            delimiter = self.text[begin : self.at]
            plain = delimiter.strip("\"'\\")
            if 0 < len(plain) < 100:
                self.documents.append((plain, delimiter == plain, indented))
            return
        if self.peek() == "&":
            self.step()
        while self.peek() and self.peek() in " \t":
            self.step()
        if self.peek() and self.peek() not in "\n;&|()<>":
            self._word()

    def _here_documents(self) -> None:
        """Read the here-documents that were announced on the line before."""
        for delimiter, expands, indented in self.documents:
            first, start = self.line, self.at
            rows: list[str] = []
            while self.at < len(self.text):
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                row = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                self.number += 1
                if (row.lstrip("\t") if indented else row) == delimiter:
                    break
                rows.append(row)
            text = "\n".join(rows)
            if expands and "$" in text:
                text = re.sub(r"\$(?:\{(\w{1,80})\}|([A-Za-z_]\w{0,80}))", partial(self._shown, line=first), text)
            if start < len(self.text) and len(self.reader.script.documents) < 100:
                self.reader.script.documents.append((text, first))
        self.documents = []

    def _shown(self, found: re.Match[str], line: int) -> str:
        return _joined(self.reader.look_up(found[1] or found[2], line))[:1000]


def _whole(node: ast.expr, depth: int) -> int:
    """Return the value of an expression of whole numbers, as a shell computes it."""
    if depth > 20:
        raise ValueError
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_whole(inner, depth + 1)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _whole(left, depth + 1), _whole(right, depth + 1)
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.Div():
                    return int(a / b) if abs(a) < 2**50 else a // b
                case ast.Mod():
                    return a % b
    raise ValueError
