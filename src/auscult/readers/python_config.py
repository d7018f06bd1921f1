"""A Python config as text: every top-level ``key = value``, every comment, and what was left out. Parsed, never run."""

from __future__ import annotations

import ast
import tokenize
import warnings
from collections.abc import Iterator
from typing import Any

from ..errors import BadConfig
from ..run import Assignment, Comment, ConfigText, Problem, Source, split_lines
from .literals import NotLiteral, evaluate
from .text import clean

__all__ = ["parse_config"]

_NAME_KEYS = ("wandb_run_name", "wandb_project", "out_dir")
_SHOWN_CHARS = 200


def parse_config(
    text: str, file: str, *, path: str | None = None, first_line: int = 1
) -> tuple[ConfigText, tuple[Problem, ...]]:
    """Parse a config of literals.

    Parameters
    ----------
    text : str
        The Python source.
    file : str
        The name shown to the user.
    path : str, optional
        Where the file lies, when it can be rewritten.
    first_line : int
        The number of the text's first line in ``file`` (a config may be quoted inside a log).

    Returns
    -------
    ConfigText, tuple of Problem
        What was read, and each statement that was not evaluated, with its line.

    Raises
    ------
    BadConfig
        When the text is not Python.
    """
    reader = _Reader(text, file, first_line - 1)
    for node in _parse(text, file, reader).body:
        reader.statement(node)
    comments = list(reader.comments())
    for item in reader.assignments.values():
        if item.key in _NAME_KEYS and isinstance(item.value, str):
            comments.append(Comment(clean(item.value), item.column + 1, item.source, item.key))
    config = ConfigText(
        file, path, text, tuple(reader.assignments.values()), tuple(comments), tuple(reader.lost.items())
    )
    return config, tuple(reader.problems)


def _parse(text: str, file: str, reader: _Reader) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's invalid escape sequence is not our user's warning
            return ast.parse(text)
    except SyntaxError as error:
        number = error.lineno or 1
        raise BadConfig(
            f"the config is not valid Python ({error.msg})",
            where=f"{file}:{number + reader.offset}",
            expected="lines such as `n_embd = 768`",
            found=f"`{reader.shown(number)[:80]}`",
            hint="mend that line; auscult parses configs and never runs them",
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise BadConfig("the config cannot be parsed", where=file, expected="lines such as `n_embd = 768`") from None


class _Reader:
    """Walks the statements in order; the last assignment of a key is in force, evaluated or not."""

    def __init__(self, text: str, file: str, offset: int) -> None:
        self.lines = split_lines(text)
        self.file, self.offset = file, offset
        self.assignments: dict[str, Assignment] = {}
        self.lost: dict[str, Problem] = {}
        self.problems: list[Problem] = []
        self.names: dict[str, Any] = {}
        self._shown: dict[int, str] = {}
        self._ascii: dict[int, bool] = {}

    def shown(self, line: int) -> str:
        """Return a line of the text as it may be shown."""
        if line not in self._shown:
            raw = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
            self._shown[line] = clean(raw.strip()[: 2 * _SHOWN_CHARS])[:_SHOWN_CHARS]
        return self._shown[line]

    def source(self, line: int) -> Source:
        """Return the place of a line."""
        return Source("read", self.file, line + self.offset, self.shown(line))

    def column(self, line: int, utf8_column: int) -> int:
        """Return in characters a column that ``ast`` counts in UTF-8 bytes."""
        raw = self.lines[line - 1] if line <= len(self.lines) else ""
        if line not in self._ascii:
            self._ascii[line] = raw.isascii()
        return utf8_column if self._ascii[line] else len(raw.encode()[:utf8_column].decode(errors="ignore"))

    def statement(self, node: ast.stmt) -> None:
        """Take one statement in."""
        match node:
            case ast.Assign(targets=targets, value=value):
                self._assign(node, targets, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(node, [target], value)
            case ast.AnnAssign() | ast.Expr(value=ast.Constant()) | ast.Pass():
                pass  # a bare annotation, a docstring
            case ast.Import() | ast.ImportFrom():
                self._skip(node, "an import")
            case ast.Expr(value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))):
                self._skip(node, f"a call of {name[:40]}(…)")
            case _:
                self._skip(node, f"a {type(node).__name__} statement")

    def _assign(self, node: ast.stmt, targets: list[ast.expr], value: ast.expr) -> None:
        try:
            evaluated = evaluate(value, self.names)
            pairs = [pair for target in targets for pair in _pairs(target, evaluated)]
        except NotLiteral as error:
            self._skip(node, str(error))
            return
        shared = len(pairs) != 1
        for key, item in pairs:
            self.names[key] = item
            self.lost.pop(key, None)
            self.assignments.pop(key, None)
            end = value.end_lineno or value.lineno
            self.assignments[key] = Assignment(
                key,
                item,
                self.source(value.lineno),
                self.column(value.lineno, value.col_offset),
                end + self.offset,
                self.column(end, value.end_col_offset or 0),
                shared,
            )

    def _skip(self, node: ast.stmt, why: str) -> None:
        """Leave a statement out; whatever names it binds are no longer known."""
        bound = list(dict.fromkeys(_bound_names(node)))
        kind = "not_evaluated"
        if isinstance(node, ast.Assign | ast.AnnAssign) and bound:
            why = f"{bound[0]} = {why}"
        problem = Problem(kind, why, self.source(node.lineno))
        self.problems.append(problem)
        for key in bound:
            self.names.pop(key, None)
            self.assignments.pop(key, None)
            self.lost[key] = problem

    def comments(self) -> Iterator[Comment]:
        """Yield the comments of the text."""
        lines = iter(self.lines)
        try:
            for token in tokenize.generate_tokens(lambda: next(lines, "")):
                if token.type == tokenize.COMMENT:
                    line, column = token.start
                    yield Comment(clean(token.string), column, self.source(line))
        except (tokenize.TokenError, SyntaxError):
            return  # ast has accepted the file; comments up to here are still good


def _pairs(target: ast.expr, value: Any) -> list[tuple[str, Any]]:
    """Return which name gets which value."""
    match target:
        case ast.Name(id=key):
            return [(key, value)]
        case ast.Tuple(elts=targets) | ast.List(elts=targets) if isinstance(value, tuple) and len(value) == len(
            targets
        ):
            return [pair for inner, item in zip(targets, value, strict=True) for pair in _pairs(inner, item)]
        case _:
            raise NotLiteral(f"an assignment to a {type(target).__name__}")


def _bound_names(node: ast.AST) -> Iterator[str]:
    """Yield every name that a statement may bind, also inside its blocks."""
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.alias(name=name, asname=asname):
                yield (asname or name).partition(".")[0]
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
