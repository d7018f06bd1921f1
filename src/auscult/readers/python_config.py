"""A Python config as text: every top-level ``key = value``, every comment, and what was left out. Parsed, never run."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from typing import Any

from ..errors import BadConfig
from ..run import Assignment, Comment, ConfigText, Problem, Source
from .literals import NotLiteral, evaluate
from .text import clean

__all__ = ["parse_config"]

_NAME_KEYS = ("wandb_run_name", "wandb_project", "out_dir")


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
    offset = first_line - 1
    lines = text.splitlines()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's invalid escape sequence is not our user's warning
            tree = ast.parse(text)
    except SyntaxError as error:
        line = (error.lineno or 1) + offset
        found = clean(lines[line - offset - 1]).strip()[:80] if 0 < line - offset <= len(lines) else ""
        raise BadConfig(
            f"the config is not valid Python ({error.msg})",
            where=f"{file}:{line}",
            expected="lines such as `n_embd = 768`",
            found=f"`{found}`",
            hint="mend that line; auscult parses configs and never runs them",
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise BadConfig("the config cannot be parsed", where=file, expected="lines such as `n_embd = 768`") from None

    assignments: list[Assignment] = []
    problems: list[Problem] = []
    names: dict[str, Any] = {}

    def source(node: ast.stmt) -> Source:
        index = node.lineno - 1
        return Source("read", file, node.lineno + offset, clean(lines[index]).strip() if index < len(lines) else None)

    def skip(node: ast.stmt, why: str) -> None:
        problems.append(Problem("not_evaluated", why, source(node)))

    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=key)], value=value)
                | ast.AnnAssign(target=ast.Name(id=key), value=ast.expr() as value)
            ):
                try:
                    names[key] = evaluate(value, names)
                except NotLiteral as error:
                    names.pop(key, None)
                    assignments = [item for item in assignments if item.key != key]
                    skip(node, f"{key} = {error}")
                    continue
                assignments.append(
                    Assignment(
                        key,
                        names[key],
                        Source("read", file, value.lineno + offset, clean(lines[value.lineno - 1]).strip()),
                        _chars(lines, value.lineno, value.col_offset),
                        (value.end_lineno or value.lineno) + offset,
                        _chars(lines, value.end_lineno or value.lineno, value.end_col_offset or 0),
                    )
                )
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case ast.Import() | ast.ImportFrom():
                skip(node, "an import")
            case ast.Expr(value=ast.Call(func=func)):
                skip(node, f"a call of {ast.unparse(func)[:40]}(…)")
            case _:
                skip(node, f"a {type(node).__name__} statement")

    comments = list(_comments(text, file, offset))
    for item in assignments:
        if item.key in _NAME_KEYS and isinstance(item.value, str):
            comments.append(Comment(clean(item.value), item.column + 1, item.source, item.key))
    return ConfigText(file, path, text, tuple(assignments), tuple(comments)), tuple(problems)


def _chars(lines: list[str], line: int, utf8_column: int) -> int:
    """Return the column in characters of a column that ``ast`` counts in UTF-8 bytes."""
    return len(lines[line - 1].encode()[:utf8_column].decode(errors="ignore"))


def _comments(text: str, file: str, offset: int) -> list[Comment]:
    found: list[Comment] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                line, column = token.start
                found.append(
                    Comment(clean(token.string), column, Source("read", file, line + offset, clean(token.line).strip()))
                )
    except (tokenize.TokenError, SyntaxError):
        pass  # ast has accepted the file; comments up to here are still good
    return found
