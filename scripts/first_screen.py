"""Draw ``docs/images/first-screen.svg`` from the real first screen of the example."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

import auscult
from auscult.report.terminal import render_terminal

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Render the example's first screen at 100 columns and save it."""
    console = Console(file=io.StringIO(), record=True, width=100, force_terminal=True, highlight=False, markup=False)
    diagnosis = auscult.diagnose(auscult.read(ROOT / "examples" / "fineweb-40m"))
    render_terminal(diagnosis, console, "examples/fineweb-40m", quiet=True)
    svg = console.export_svg(title="auscult diagnose examples/fineweb-40m", theme=MONOKAI, unique_id="auscult")
    (ROOT / "docs" / "images" / "first-screen.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
