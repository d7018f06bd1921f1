"""The report in a terminal: the first screen in at most 25 lines at 100 columns, the rest below."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text

from ..diagnosis import Diagnosis
from .outline import Block, Bullets, Code, Curve, Paragraph, Screen, Section, Table, screen, sections
from .sparkline import braille_curve

__all__ = ["FIRST_SCREEN_LINES", "make_console", "render_sections", "render_terminal", "stdout_console", "wrap"]

FIRST_SCREEN_LINES = 25
PIPED_WIDTH = 100
MAX_WIDTH = 120
ROOMY_WIDTH = 76
"""Below it, places and notes give way to what is said."""
_EVIDENCE = re.compile(r"\S+:\d+  ")
_CURVE_ROWS = 3
_COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def make_console(stream: TextIO, *, width: int | None = None) -> Console:
    """Return a console: colour only on a terminal and without NO_COLOR; 100 columns when piped, unless COLUMNS says."""
    if width is None:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdigit() and int(columns) > 0 else None
    if width is None and not stream.isatty():
        width = PIPED_WIDTH
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    if console.width > MAX_WIDTH:
        console.width = MAX_WIDTH
    return console


def render_terminal(
    diagnosis: Diagnosis, console: Console, invocation: str, *, quiet: bool = False, verbose: bool = False
) -> None:
    """Print the report.

    Parameters
    ----------
    diagnosis : Diagnosis
        What is told.
    console : Console
        Where.
    invocation : str
        Paths and options as the user gave them.
    quiet : bool
        Only the first screen.
    verbose : bool
        Every check with its reason, too.
    """
    first = screen(diagnosis, invocation)
    for line in _first_screen(first, console):
        console.print(line, soft_wrap=True)
    if quiet:
        return
    render_sections(sections(diagnosis, verbose=verbose), console)


def render_sections(sections: Iterable[Section], console: Console) -> None:
    """Print sections under their headings."""
    for section in sections:
        console.print()
        console.print(Rule(section.title, align="left", style="dim"))
        for block in section.blocks:
            _block(console, block)


def wrap(text: Text, width: int) -> list[Text]:
    """Wrap a text, without the trailing blanks that alignment would add."""
    scratch = Console(file=io.StringIO(), width=max(width, 20))
    lines = list(text.wrap(scratch, max(width, 20)))
    for line in lines:
        line.rstrip()
    return lines


def _first_screen(first: Screen, console: Console) -> list[Text]:
    width = console.width
    head = [Text(" ") + line for line in wrap(Text(first.header, style="bold"), width - 2)]
    summary = [Text(" ") + line for line in wrap(Text(first.summary, style="bold"), width - 2)]
    curve = _curve(first.curve, width) if first.curve else []
    tail = [Text(" ") + line for line in wrap(Text(first.fine, style="green"), width - 2)]
    label = " Prescription  "
    advice: list[Text] = []
    for text in first.prescription:
        for line in wrap(Text(text), width - len(label) - 1):
            advice.append(Text.assemble((label if not advice else " " * len(label), "bold"), line))
    command = Text.assemble((" next: ", "bold"), (first.next_command, "bold cyan"))
    blank = Text("")
    bare = len(head) + 1 + len(summary) + 1 + len(curve) + len(tail) + len(advice) + 1
    wanted = 1 + max(len(first.rows), 1)
    spare = FIRST_SCREEN_LINES - bare - wanted  # blank lines give way before findings do
    airy = [blank] if spare >= 1 else []
    airier = [blank] if spare >= 2 else []
    airiest = [blank] if spare >= 3 and curve else []
    rows = _rows(first, width, FIRST_SCREEN_LINES - bare)
    return [*head, blank, *summary, blank, *curve, *airiest, *rows, *airy, *tail, *advice, *airier, command]


def _rows(first: Screen, width: int, room: int) -> list[Text]:
    if not first.rows:
        return [Text(" nothing found", style="green")]
    shown = first.rows if len(first.rows) + 1 <= room else first.rows[: max(room - 2, 2)]
    worth_width = max(10, *(len(row.worth) for row in shown))
    place_width = min(max((len(row.place) for row in shown), default=0), 30) if width >= ROOMY_WIDTH else 0
    body = max(width - worth_width - 11 - (place_width + 2 if place_width else 0), 12)
    lines = [Text(f" {'worth':<{worth_width}}  finding", style="dim")]
    for row in shown:
        headline = row.headline if len(row.headline) <= body else row.headline[: body - 1] + "…"
        fits = len(row.place) <= place_width
        place = row.place if fits else "" if not place_width else "…" + row.place[len(row.place) - place_width + 1 :]
        said = f"{headline:<{body}}  " if place_width else headline
        code = (f"{row.code}  ", _COLOURS[row.severity])
        lines.append(Text.assemble(f" {row.worth:<{worth_width}}  ", code, said, (place, "dim")))
    if len(shown) < len(first.rows):
        lines.append(Text(f" and {len(first.rows) - len(shown)} more below", style="dim"))
    return lines


def _curve(curve: Curve, width: int) -> list[Text]:
    if len(curve.steps) < 3:
        return [Text(f"   {curve.label}  {curve.notes[0]}")]
    top, bottom = max(curve.values), min(curve.values)
    gutter = max(len(curve.label) + 8, 16)
    notes = list(curve.notes)
    beside = max(map(len, notes)) + 2 if width >= ROOMY_WIDTH else 0
    columns = max(min(48, width - gutter - beside - 4), 8)
    drawn = braille_curve(curve.steps, curve.values, width=columns, height=_CURVE_ROWS)
    labels = [f"{curve.label} {top:6.2f}", "log steps", f"{bottom:6.2f}"]
    lines = []
    for index, row in enumerate(drawn):
        note = f"  {notes.pop(0)}" if beside and notes else ""
        lines.append(Text.assemble((f"{labels[index]:>{gutter}} ┃", "dim"), (row, "cyan"), note))
    return lines + [Text(" ") + line for note in notes for line in wrap(Text(note), width - 2)]


def _block(console: Console, block: Block) -> None:
    match block:
        case Paragraph(text=text):
            console.print()
            for line in wrap(
                Text(text, style="bold" if text[:3].isupper() and text[3:6].isdigit() else ""), console.width - 1
            ):
                console.print(line)
        case Bullets(items=items):
            for item in items:
                for line in wrap(Text(item, style="dim" if _EVIDENCE.match(item) else ""), console.width - 6):
                    console.print(Text("    ") + line, soft_wrap=True)
        case Code(text=text):
            console.print(Text(text), soft_wrap=True)
        case Table(columns=columns, rows=rows, right=right):
            table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 1), header_style="dim", expand=False)
            for index, name in enumerate(columns):
                table.add_column(
                    name,
                    justify="right" if index in right else "left",
                    overflow="fold",
                    no_wrap=index == 0 and len(rows) < 40 and len(columns) < 5,
                )
            for row in rows:
                table.add_row(*(Text(cell) for cell in row))
            console.print(table)


def stdout_console() -> Console:
    """Return a console on stdout that never fails on a character its encoding lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return make_console(sys.stdout)
