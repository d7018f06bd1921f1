"""Pages from the things themselves: a check's for ``auscult explain`` and ``docs/checks/``, a dialect's for ``docs/dialects.md``."""

from __future__ import annotations

import re

from ..checks.base import Check
from ..readers.reading import Dialect

__all__ = ["check_index", "check_page", "dialect_page", "dialect_section"]


def check_page(check: Check) -> str:
    """Return the page of a check as Markdown."""
    body = re.sub(r"^(.+)\n-{3,}$", r"## \1", check.documentation.strip(), flags=re.M)
    body = body.replace("``", "`")
    needs = ", ".join(f"`{name}`" for name in check.requires) or "only the run itself"
    return (
        f"# {check.code} {check.name}\n\n**{check.title}.** Severity: {check.severity}. Family: {check.family}.\n\n"
        f"{body}\n\n## Needs\n\n{needs}; where one is unknown the answer is *cannot tell*, with the reason.\n"
    )


def check_index(checks: tuple[Check, ...]) -> str:
    """Return the table of all checks as Markdown."""
    rows = "\n".join(f"| [{c.code}]({c.code}.md) | `{c.name}` | {c.title} | {c.severity} |" for c in checks)
    return f"# Checks\n\nGenerated from the checks themselves by `make docs`.\n\n| code | defect | in words | severity |\n|---|---|---|---|\n{rows}\n"


_ROLES = {
    "log": "Logs: what trainers print",
    "metrics": "Metrics: what trainers and trackers store",
    "config": "Configs: what was asked for",
    "summary": "Summaries: final figures and metadata",
    "weights": "Weights: shapes, never contents",
}


def dialect_section(dialect: Dialect) -> str:
    """Return a dialect's part of the page as Markdown."""
    return (
        f"### {dialect.title} (`{dialect.name}`)\n\n```text\n{dialect.example.rstrip()}\n```\n\n"
        f"**Read:** {_sentence(dialect.reads)}\n\n**Cannot be known from it:** {_sentence(dialect.cannot)}\n\n"
        f"**Grammar:** {_sentence(dialect.source)}\n"
    )


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."


def dialect_page(dialects: tuple[Dialect, ...]) -> str:
    """Return ``docs/dialects.md``."""
    parts = [
        "# Dialects\n",
        "Generated from the readers themselves by `make docs`. A file is recognised by what it holds, not by its name;"
        " `--dialect NAME` overrides. Nothing that is read is executed or unpickled. `.gz` and `.zst` are read as what is in"
        " them, `-` is stdin, and URLs need the extra `remote`.\n",
    ]
    for role, title in _ROLES.items():
        mine = sorted((d for d in dialects if d.role == role), key=lambda d: d.title.lower())
        if mine:
            parts.append(f"## {title}\n")
            parts += [dialect_section(dialect) for dialect in mine]
    return "\n".join(parts)
