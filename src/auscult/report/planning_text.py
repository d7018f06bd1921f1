"""The answer to ``auscult plan`` in a terminal, and as Markdown."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ..planner.plan import Planning
from .markdown import escape, markdown_block
from .planning_outline import plan_screen, plan_sections
from .terminal import render_sections, wrap

__all__ = ["plan_as_markdown", "render_plan"]


def render_plan(planning: Planning, console: Console, *, quiet: bool = False) -> None:
    """Print the answer: the best plan on the first screen, the rest below it unless ``quiet``."""
    first = plan_screen(planning)
    console.print(Text(" " + first.header, style="bold"))
    if first.binding:
        for line in wrap(Text(first.binding, style="bold red"), console.width - 2):
            console.print(Text(" ") + line)
    console.print()
    label_width = max((len(label) for label, _text in first.rows), default=0) + 2
    for label, text in first.rows:
        for index, line in enumerate(wrap(Text(text), console.width - label_width - 2)):
            head = f" {label:<{label_width}}" if index == 0 else " " * (label_width + 1)
            console.print(Text.assemble((head, "bold"), line), soft_wrap=True)
    if not first.rows:
        console.print(Text(" No plan comes near it.", style="bold red"))
    if not quiet:
        render_sections(plan_sections(planning), console)


def plan_as_markdown(planning: Planning, *, quiet: bool = False) -> str:
    """Return the answer as Markdown."""
    first = plan_screen(planning)
    lines = [f"## auscult {escape(first.header)}", ""]
    if first.binding:
        lines += [f"**{escape(first.binding)}**", ""]
    lines += [f"- **{label}**: {escape(text)}" for label, text in first.rows]
    for section in () if quiet else plan_sections(planning):
        lines += ["", f"### {escape(section.title)}", ""]
        for block in section.blocks:
            lines += [*markdown_block(block), ""]
    return "\n".join(lines) + "\n"
