"""The settings of a recipe as tables of Markdown, for ``docs/train.md``: names, defaults, ranges and what their docstrings say."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from auscult.preflight.limits import kinds, tables
from auscult.recipe import TrainingRecipe, model_settings
from auscult.recipe.settings import FAMILIES

__all__ = ["settings_section", "with_settings"]

BEGIN, END = "<!-- settings: made by make docs -->", "<!-- end of settings -->"
_ATTRIBUTE = re.compile(r"^ {4}(\w[\w, ]*) : [^\n]+\n((?: {8}[^\n]*\n?)+)", re.M)


def with_settings(text: str) -> str:
    """Return a page with the tables as they are now between its two marks.

    Raises
    ------
    ValueError
        When a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"docs/train.md has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{settings_section()}\n{END}{after}"


def settings_section() -> str:
    """Return all tables."""
    parts = [_table("", TrainingRecipe)]
    for name, kind in tables().items():
        parts.append(_table(name, kind))
        if name == "model":
            parts.append(_families())
    return "\n".join(parts)


def _table(table: str, kind: Any) -> str:
    summary, meanings = _docstring(kind.__doc__ or "")
    title = f"`[{table}]`" if table else "Above the tables"
    said = summary.partition(": ")[2] if table else ""
    lines = [f"### {title}", ""]
    if said:
        lines += [f"{said[:1].upper()}{said[1:]}", ""]
    lines += ["| setting | default | values | meaning |", "|---|---|---|---|"]
    defaults = dict(_defaults(table, kind))
    for names in _rows(defaults, meanings):
        values = dict.fromkeys(_words(f"{table}.{name}" if table else name) for name in names)
        lines.append(
            f"| {', '.join(f'`{name}`' for name in names)} | {', '.join(defaults[name] for name in names)} |"
            f" {'; '.join(values)} | {meanings.get(names, '')} |"
        )
    return "\n".join([*lines, ""])


def _rows(defaults: Mapping[str, str], meanings: Mapping[tuple[str, ...], str]) -> Iterator[tuple[str, ...]]:
    """Yield the settings in their order, those that a docstring describes together in one row."""
    told: set[str] = set()
    for name in defaults:
        if name not in told:
            names = next((group for group in meanings if name in group), (name,))
            told |= set(names)
            yield names


def _defaults(table: str, kind: Any) -> Iterator[tuple[str, str]]:
    """Yield each setting with its default in words; those of a model that follow from others say so."""
    follows: set[str] = set()
    if table == "model":
        plain, other = model_settings(), model_settings(n_head=2, d_model=64)
        follows = {name for name in ("n_kv_head", "d_ff") if getattr(plain, name) != getattr(other, name)}
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING:  # a table
            continue
        if table == "model" and field.name in FAMILIES["gpt2"]:
            yield field.name, "by family"
        elif field.name in follows:
            yield field.name, "follows"
        elif not table and field.name == "name":
            yield field.name, "the file's stem"
        else:
            yield field.name, _value(field.default)


def _families() -> str:
    names = list(FAMILIES)
    rows = [f"| `{key}` | {' | '.join(_value(FAMILIES[name][key]) for name in names)} |" for key in FAMILIES["gpt2"]]
    head = f"| by family | {' | '.join(f'`{name}`' for name in names)} |"
    return "\n".join([head, "|---" * (len(names) + 1) + "|", *rows, ""])


def _value(value: Any) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return (
        f"`{value:_}`" if isinstance(value, int) and value >= 100_000 else f"`{value:g}`" if value < 1 else f"`{value}`"
    )


def _words(path: str) -> str:
    kind = kinds()[path]
    if kind.choices:
        return ", ".join(f"`{choice}`" for choice in kind.choices)
    return f'{kind.words}, or as in `"0.5M"`' if kind.rounded else kind.words


def _docstring(text: str) -> tuple[str, dict[tuple[str, ...], str]]:
    """Return the summary and what is said of which settings: each alone where there is a clause for each."""
    summary, _, rest = text.partition("\n\n")
    meanings: dict[tuple[str, ...], str] = {}
    for found, said in _ATTRIBUTE.findall(rest + "\n"):
        names, clauses = tuple(name.strip() for name in found.split(",")), _plain(said).rstrip(".").split("; ")
        if len(names) > 1 and len(names) == len(clauses):
            meanings |= {
                (name,): f"{clause[:1].upper()}{clause[1:]}." for name, clause in zip(names, clauses, strict=True)
            }
        else:
            meanings[names] = _plain(said)
    return _plain(summary), meanings


def _plain(text: str) -> str:
    text = " ".join(text.split())
    return (
        re.sub(r":data:`(\w+)`", r"`\1`", text)
        .replace("``", "`")
        .replace("|", "\\|")
        .replace("the six settings of `FAMILIES`", "the six settings below")
    )
