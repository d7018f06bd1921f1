"""What a person sees of a run: plain lines, and below them a bar with the time that is left, on a terminal only."""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from .pace import time_left

__all__ = ["Screen"]

_REFRESHES_PER_S = 2.0


class Screen:
    """Lines, and a bar where somebody looks.

    Parameters
    ----------
    steps, first_step : int
        Where the bar ends and starts.
    console : Console, optional
        For both. By default lines go to stdout and the bar to stderr, where that is a terminal; on one terminal, both go to
        stderr. Into a pipe there is no bar: ``| tee train.log`` writes to the same terminal, and would tear it.
    """

    def __init__(self, *, steps: int, first_step: int = 0, console: Console | None = None) -> None:
        bar = console or _console(stderr=True)
        # On one terminal, one console prints both: only it knows how to put a line above its bar.
        self._lines = bar if console or (bar.is_terminal and sys.stdout.isatty()) else _console(stderr=False)
        self._bar: Progress | None = None
        if bar.is_terminal and not bar.is_dumb_terminal and (console or not _is_pipe(sys.stdout)):
            self._bar = Progress(
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:>3.0f} %"),
                _TimeLeft(),
                console=bar,
                refresh_per_second=_REFRESHES_PER_S,
                transient=True,  # the lines tell the story; a log of the terminal needs no dead bar
                expand=True,
            )
            self._task = self._bar.add_task("", total=steps, completed=first_step, ends_s=None)

    @property
    def width(self) -> int | None:
        """Columns of the terminal that lines are for; None where they go to a file or a pipe."""
        return self._lines.width if self._lines.is_terminal else None

    def open(self) -> None:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()
            self._bar.console.show_cursor(True)  # rich hides it, and a killed process would leave it so

    def line(self, text: str) -> None:
        """Print a line above the bar. No failure to print ends a run: what is said is in log.jsonl too."""
        if self._lines.is_terminal:
            with suppress(OSError):
                self._lines.print(text)
            return
        stream = self._lines.file
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
            stream.flush()
        except BrokenPipeError:  # ``auscult train … | head``: the interpreter must find nothing to flush at its end
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (OSError, ValueError):
            pass  # a full disk behind stdout, or a stream that somebody closed

    def move(self, done: int, seconds_left: float | None) -> None:
        """Move the bar; the time that is left runs down by itself until the next move."""
        if self._bar is not None:
            ends_s = None if seconds_left is None else time.monotonic() + seconds_left
            self._bar.update(self._task, completed=done, ends_s=ends_s)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


class _TimeLeft(ProgressColumn):
    """The time that is left, or a dash before it can be told."""

    def render(self, task: Task) -> Text:
        ends_s = task.fields["ends_s"]
        said = "-" if ends_s is None else time_left(max(0.0, ends_s - time.monotonic()))
        return Text(f"ETA {said}")


def _console(*, stderr: bool) -> Console:
    # FORCE_COLOR, which CI sets, makes rich take a file for a terminal.
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, force_terminal=is_terminal, highlight=False, markup=False, emoji=False)


def _is_pipe(stream: TextIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # no file behind it, as under a notebook or a test
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
