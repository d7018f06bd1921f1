"""Evaluate the literals and simple arithmetic of a Python config, and nothing else. The file is never executed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["NotLiteral", "evaluate"]

MAX_BITS = 256
"""Integers beyond this are refused: ``9**9**9`` would otherwise hang the reader."""
MAX_STRING = 4096
MAX_DEPTH = 64
MAX_LEAVES = 1000

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


class NotLiteral(ValueError):
    """The expression is not a literal or simple arithmetic; the message says what it is."""


def evaluate(node: ast.expr, names: Mapping[str, Any], depth: int = 0) -> Any:
    """Return the value of an expression made of literals, earlier names and arithmetic.

    Parameters
    ----------
    node : ast.expr
        The parsed expression.
    names : mapping
        Values of names assigned before.

    Raises
    ------
    NotLiteral
        For calls, attributes, subscripts, undefined names, and numbers beyond any sensible size.

    Examples
    --------
    >>> evaluate(ast.parse("5 * 8", mode="eval").body, {})
    40
    >>> evaluate(ast.parse("open('x', 'w')", mode="eval").body, {})
    Traceback (most recent call last):
    ...
    auscult.readers.literals.NotLiteral: a call of open(…)
    """
    if depth > MAX_DEPTH:
        raise NotLiteral("an expression nested too deeply")
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return _bounded(value)
        case ast.Name(id=name):
            if name not in names:
                raise NotLiteral(f"the undefined name {name!r}")
            return names[name]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not evaluate(operand, names, depth + 1)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_number(evaluate(operand, names, depth + 1)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _arithmetic(op, evaluate(left, names, depth + 1), evaluate(right, names, depth + 1))
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return _small(tuple(evaluate(element, names, depth + 1) for element in elements[:MAX_LEAVES]))
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            raise NotLiteral(f"a call of {name}(…)")
        case _:
            raise NotLiteral(f"a {type(node).__name__} expression")


def _small(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse nested tuples that hold too much: ten names, each a tuple of ten of the one before, would fill the memory."""
    waiting, leaves = list(value), 0
    while waiting:
        item = waiting.pop()
        leaves += 1
        if leaves > MAX_LEAVES:
            raise NotLiteral("a tuple of absurd size")
        if isinstance(item, tuple):
            waiting.extend(item)
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, int | float):
        return value
    raise NotLiteral(f"arithmetic on a {type(value).__name__}")


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise NotLiteral("a number of absurd size")
    if isinstance(value, str) and len(value) > MAX_STRING:
        raise NotLiteral("a string of absurd length")
    return value


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Add) and isinstance(left, str) and isinstance(right, str):
        return _bounded(left + right)
    left, right = _number(left), _number(right)
    too_big = (
        isinstance(op, ast.Pow) and abs(right) > 1 and math.log2(abs(left) + 1) * min(abs(right), 2.0**40) > MAX_BITS
    )
    if too_big:
        raise NotLiteral("a power of absurd size")
    try:
        result = _BINARY[type(op)](left, right)
    except ZeroDivisionError:
        raise NotLiteral("a division by zero") from None
    except (OverflowError, ValueError):
        raise NotLiteral("a number of absurd size") from None
    if not isinstance(result, int | float):
        raise NotLiteral("a complex number")
    return _bounded(result)
