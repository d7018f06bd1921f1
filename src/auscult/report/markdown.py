"""The report as Markdown, to paste into an issue."""

from __future__ import annotations

from ..diagnosis import Diagnosis
from .outline import Block, Bullets, Code, Paragraph, Table, screen, sections
from .printable import printable

__all__ = ["escape", "markdown_block", "render_markdown"]

_SPECIAL = str.maketrans({c: "\\" + c for c in "\\`*_[]<>|#~"})


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)


def _code(text: str) -> str:
    """Return an inline code span; backticks inside cannot end it."""
    fence = "``" if "`" in text else "`"
    return f"{fence} {text} {fence}" if fence == "``" else f"`{text}`"


def render_markdown(diagnosis: Diagnosis, invocation: str, *, quiet: bool = False, verbose: bool = False) -> str:
    """Return the report: the first screen as text and tables, the rest folded below it."""
    first = screen(diagnosis, invocation)
    lines = [
        f"## auscult: {escape(printable(diagnosis.run.name))}",
        "",
        escape(first.header),
        "",
        f"**{escape(first.summary)}**",
        "",
    ]
    if first.curve is not None:
        lines += [escape(f"{first.curve.label}: " + "; ".join(first.curve.notes)), ""]
    if first.rows:
        lines += ["| worth | code | finding | place |", "|---|---|---|---|"]
        lines += [
            f"| {escape(r.worth)} | {r.code} | {escape(r.headline)} | {_code(r.place) if r.place else ''} |"
            for r in first.rows
        ]
        lines.append("")
    lines += [escape(first.fine), "", "**Prescription**", ""]
    lines += [f"- {escape(line)}" for line in first.prescription]
    lines += ["", f"Next: {_code(first.next_command)}", ""]
    if not quiet:
        for section in sections(diagnosis, verbose=verbose):
            lines += [f"<details><summary>{escape(section.title)}</summary>", ""]
            for block in section.blocks:
                lines += [*markdown_block(block), ""]
            lines += ["</details>", ""]
    return "\n".join(lines)


def markdown_block(block: Block) -> list[str]:
    """Return one block as lines of Markdown."""
    match block:
        case Paragraph(text=text):
            return [f"**{escape(text)}**"]
        case Bullets(items=items):
            return [f"- {escape(item)}" for item in items]
        case Code(text=text):
            return ["```", text.replace("```", "'''"), "```"]
        case Table(columns=columns, rows=rows, right=right):
            rule = "|".join("---:" if i in right else "---" for i in range(len(columns)))
            return [
                "| " + " | ".join(map(escape, columns)) + " |",
                f"|{rule}|",
                *("| " + " | ".join(map(escape, row)) + " |" for row in rows),
            ]
