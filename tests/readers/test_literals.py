"""Literals and arithmetic equal Python's own; everything else is refused, and refused fast."""

from __future__ import annotations

import ast
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.readers.literals import NotLiteral, evaluate


def value(expression: str, names: dict[str, Any] | None = None) -> Any:
    return evaluate(ast.parse(expression, mode="eval").body, names or {})


NUMBERS = st.one_of(
    st.integers(0, 99).map(str),
    st.floats(0, 1e6, allow_nan=False).map(repr),
    st.sampled_from(["1e-3", "6e-4", "0.1", "True", "False", "1_024", "0x10"]),
)


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(inner, st.sampled_from(["**2", "**0", "**1", "**-1", "**0.5"])).map(lambda t: f"({t[0]}{t[1]})"),
        st.tuples(st.sampled_from(["-", "+", "not "]), inner).map(lambda t: f"({t[0]}{t[1]})"),
    )


@settings(database=None, derandomize=True, deadline=None, max_examples=400)
@given(expression=st.recursive(NUMBERS, combine, max_leaves=7))
def test_arithmetic_equals_pythons(expression: str) -> None:
    """Any small expression of numbers gives Python's own value and type; what Python cannot divide is refused."""
    try:
        expected = eval(expression, {"__builtins__": {}})
    except (ZeroDivisionError, OverflowError, TypeError):  # a TypeError: Python cannot order or floor complex numbers
        with pytest.raises(NotLiteral):
            value(expression)
        return
    if isinstance(expected, complex) or "j" in repr(expected):
        with pytest.raises(NotLiteral, match="complex"):
            value(expression)
        return
    try:
        found = value(expression)
    except NotLiteral as error:
        refusal = str(error)
    else:
        assert type(found) is type(expected)
        assert found == expected or (math.isnan(found) and math.isnan(expected))
        return
    assert "complex" in refusal, f"{expression} = {expected!r} was refused: {refusal}"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("5 * 8", 40),
        ("'fineweb' + '-edu'", "fineweb-edu"),
        ("None", None),
        ("(1, 2.5, 'x')", (1, 2.5, "x")),
        ("[1, [2, 3]]", (1, (2, 3))),
        ("batch_size * 2", 32),
        ("-n_layer", -12),
        ("1e-3", 1e-3),
    ],
)
def test_what_configs_hold(expression: str, expected: object) -> None:
    """Strings, None, sequences and names assigned before are evaluated, lists as tuples."""
    assert value(expression, {"batch_size": 16, "n_layer": 12}) == expected


REFUSED = [
    "open('x', 'w')",
    "__import__('os').system('true')",
    "os.environ",
    "[1, 2][0]",
    "{'a': 1}['a']",
    "undefined",
    "lambda: 1",
    "[x for x in (1, 2)]",
    "f'{1}'",
    "1 if True else 2",
    "{1, 2}",
    "{1: 2}",
    "b'bytes'",
    "1j",
    "...",
    "1 < 2",
    "True and False",
    "(x := 5)",
    "(*(1, 2), 3)",
    "1 << 4",
    "5 & 4",
    "~5",
    "'a' * 3",
    "'%d' % 5",
    "(1,) * 3",
    "(1, 2) + (3,)",
    "-'a'",
    "'a' + 1",
    "1 / 0",
    "1 % 0",
    "(-8) ** 0.5",
    "await x",
]


@pytest.mark.parametrize("expression", REFUSED)
def test_everything_else_is_refused(expression: str) -> None:
    """Calls, attributes, subscripts, names, comprehensions and operators beyond arithmetic raise NotLiteral."""
    with pytest.raises(NotLiteral):
        value(expression)


def test_the_refusal_names_what_it_found() -> None:
    """The message names the call or the undefined name, for the report to repeat."""
    with pytest.raises(NotLiteral, match=r"a call of system\(…\)"):
        value("__import__('os').system('true')")
    with pytest.raises(NotLiteral, match="the undefined name 'n_embd'"):
        value("n_embd * 4")


@pytest.mark.parametrize(
    "expression",
    [
        "9**9**9",
        "9**9**9**9",
        "2**(2**40)",
        "2**-(10**60)",
        "10.0**400",
        "(-3)**999999999",
        "'a'*10**9",
        "10**9*'a'",
        "(1,)*10**9",
        "1<<10**9",
        "9" * 5000,
        "'" + "a" * 5000 + "'",
        "(10**70)**2 * (10**70)",
        "+".join(["'" + "a" * 4000 + "'"] * 50),
        "-" * 200 + "1",
        "(" * 80 + "1" + "+1)" * 80,
    ],
    ids=lambda expression: expression[:16],
)
def test_absurd_sizes_are_refused_fast(expression: str) -> None:
    """Powers, strings and nesting of absurd size are refused in well under a second, before they are computed."""
    start = time.perf_counter()
    with pytest.raises((NotLiteral, SyntaxError)):
        value(expression)
    assert time.perf_counter() - start < 0.5


def test_shapes_that_people_use_are_not_absurd() -> None:
    """Large but sensible integers are kept exactly."""
    assert value("2**40") == 2**40
    assert value("300 * 10**9") == 300_000_000_000
    assert value("10**12 // 524288") == 10**12 // 524288
