"""Run the commands in ``docs/plan.md`` and write what they print below them; ``--check`` only says whether it still is what they print.

A block of shell starts with ``$ auscult …``; everything after the command up to the end of the block is its output.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path

from auscult.cli import main as run_auscult

PAGE = Path(__file__).resolve().parent.parent / "docs" / "plan.md"
_BLOCK = re.compile(r"```console\n\$ auscult ([^\n]+)\n(.*?)```", re.S)


def output_of(command: str) -> str:
    """Return what a command prints where the terminal is 100 columns wide."""
    os.environ["COLUMNS"] = "100"
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        run_auscult(shlex.split(command))
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip().splitlines()) + "\n"


def refreshed(text: str) -> str:
    """Return a page with the output of its commands as it is now."""
    return _BLOCK.sub(lambda block: f"```console\n$ auscult {block[1]}\n{output_of(block[1])}```", text)


def main() -> int:
    """Refresh the page, or compare it."""
    text = PAGE.read_text(encoding="utf-8")
    now = refreshed(text)
    if "--check" in sys.argv[1:]:
        if now != text:
            print("docs/plan.md is out of date; run make docs", file=sys.stderr)
        return int(now != text)
    PAGE.write_text(now, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
