"""A check's page, from its own documentation: for ``auscult explain`` and for ``docs/checks/``."""

from __future__ import annotations

import re

from ..checks.base import Check

__all__ = ["check_index", "check_page"]


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
