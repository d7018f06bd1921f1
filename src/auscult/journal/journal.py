"""The journal of a run: each event goes to ``log.jsonl``, to TensorBoard and the trackers, and to the person who watches."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from ..recipe import LogSettings
from .appended import AppendedFile
from .event_file import EventFile
from .pace import Pace
from .record import json_line
from .screen import Screen
from .trackers import Kind, Tracker
from .wording import evaluation_line, step_line

__all__ = ["Journal", "SilentJournal"]

LOG_FILE = "log.jsonl"
EVENTS_FOLDER = "tensorboard"


class Journal:
    r"""Writes what a run does; rank 0 has one, other ranks a :class:`SilentJournal`.

    Parameters
    ----------
    folder : Path
        Of the run; it is there.
    log : LogSettings
        What is written beside ``log.jsonl``.
    steps, first_step : int
        Of the whole run; the step that this process starts from, above 0 where it resumes.
    console : Console, optional
        Where lines and bar go; by default the process's own (see :class:`Screen`).
    recipe : mapping
        Nested values, as :func:`auscult.recipe.recipe_values` returns them.

    Notes
    -----
    ``log.jsonl`` only grows: a resumed run appends, and repeats the steps between its checkpoint and the end of the process
    before. Where the disk is full, lines are lost and counted, one sentence says so, and the run goes on.

    Examples
    --------
    >>> import io, tempfile
    >>> folder, screen = Path(tempfile.mkdtemp()), io.StringIO()
    >>> with Journal(folder, LogSettings(tensorboard=False), steps=20, console=Console(file=screen), recipe={}) as journal:
    ...     journal.start({"parameters_total": 10})
    ...     journal.step({"step": 1, "loss_nats_per_token": 5.5})
    >>> screen.getvalue()
    'step  1/20  loss 5.5000\n'
    >>> [json.loads(line)["event"] for line in (folder / "log.jsonl").read_text().splitlines()]
    ['start', 'step']
    """

    def __init__(
        self,
        folder: Path,
        log: LogSettings,
        *,
        steps: int,
        first_step: int = 0,
        console: Console | None = None,
        recipe: Mapping[str, Any],
    ) -> None:
        self._folder, self._log, self._recipe = folder, log, recipe
        self._steps, self._step = steps, first_step
        self._resumed = first_step > 0
        self._screen = Screen(steps=steps, first_step=first_step, console=console)
        every = recipe.get("evaluation", {}).get("every_steps", 0)
        self._pace = Pace(steps=steps, every_steps=every)
        self._file = AppendedFile(folder / LOG_FILE, lines=True)
        self._told_lost = 0
        self._failing = False
        self._events: EventFile | None = None
        self._events_failed = False
        self._trackers: list[Tracker] = []
        self._peak_flops_per_s: float | None = None
        self._convention: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, facts: Mapping[str, Any]) -> None:
        """Write the first line of this process, ``start`` or ``resume``, and open what else is asked for.

        Parameters
        ----------
        facts : mapping
            What is known before the first step; ``peak_flops_per_s`` and ``mfu_convention`` name what an MFU is a share of.
        """
        self._peak_flops_per_s, self._convention = facts.get("peak_flops_per_s"), facts.get("mfu_convention")
        self._write("resume" if self._resumed else "start", {"step": self._step, **facts, "recipe": self._recipe})
        if self._log.tensorboard:
            self._open_events()
        name = str(self._recipe.get("name", self._folder.name))
        kinds: tuple[tuple[Kind, str | None], ...] = (("wandb", self._log.wandb), ("trackio", self._log.trackio))
        for kind, project in kinds:
            if project:
                tracker = Tracker(
                    kind,
                    project,
                    folder=self._folder,
                    name=name,
                    recipe=self._recipe,
                    resumed=self._resumed,
                    note=self.note,
                )
                self._trackers.append(tracker)
        self._screen.open()

    def step(self, values: Mapping[str, float | int | None]) -> None:
        """Write a logged step: ``step``, ``tokens``, ``loss_nats_per_token``, ``learning_rate`` … None is not measured."""
        self._step = int(values.get("step") or 0)
        self._write("step", values)
        self._scalars({f"train/{key}": value for key, value in values.items() if key != "step"})
        line = step_line(
            values,
            steps=self._steps,
            peak_flops_per_s=self._peak_flops_per_s,
            convention=self._convention,
            width=self._screen.width,
        )
        self._screen.line(line)

    def evaluation(self, values: Mapping[str, Any]) -> None:
        """Write an evaluation: ``step``, ``split``, ``mode`` (``eval`` or ``train``), ``loss_nats_per_token``, ``tokens``."""
        self._step = int(values.get("step") or 0)
        self._pace.evaluation()
        self._write("evaluation", values)
        mode = values.get("mode", "eval")
        tag = f"evaluation/{values.get('split', 'val')}_loss_nats_per_token" + (
            "" if mode == "eval" else f"_{mode}_mode"
        )
        self._scalars({tag: values.get("loss_nats_per_token")})
        self._screen.line(evaluation_line(values, steps=self._steps, width=self._screen.width))

    def checkpoint(self, values: Mapping[str, Any]) -> None:
        """Write that a checkpoint is whole: ``step``, ``path`` and what else is known of it. The console is told nothing."""
        self._write("checkpoint", values)

    def note(self, sentence: str) -> None:
        """Write a sentence, and show it."""
        self._write("note", {"step": self._step, "text": sentence})
        self._screen.line(sentence)

    def progress(self, step: int) -> None:
        """Move the bar to so many steps done; writes nothing."""
        self._pace.step(step, now_s=time.monotonic())
        self._screen.move(step, self._pace.seconds_left())

    def end(self, values: Mapping[str, Any]) -> None:
        """Write that the run is complete: ``step``, and what is to be said of the whole."""
        self._write("end", values)

    def stop(self, reason: str, values: Mapping[str, Any] | None = None) -> None:
        """Write why the run leaves before its last step (a signal, a loss that is no number), and show it."""
        self._write("stop", {"step": self._step, "reason": reason, **(values or {})})
        self._screen.line(reason)

    def close(self) -> None:
        """Take the bar away, end what was opened, and say how many lines were lost, if any."""
        for tracker in self._trackers:
            tracker.close()
        self._trackers = []
        self._screen.close()
        if self._events is not None:
            self._events.close()
            self._events = None
        self._file.close()
        if self._file.lost > self._told_lost:
            self._screen.line(f"{self._file.path}: {_lines(self._file.lost)} in all could not be written.")
            self._told_lost = self._file.lost

    def _write(self, event: str, values: Mapping[str, Any]) -> None:
        now_s = time.time()
        if self._failing:  # room again? then the log says first what it lacks
            text = f"{_lines(self._file.lost)} before this one could not be written: {self._file.failure}"
            if not self._file.append(json_line("note", {"step": self._step, "text": text}, time_unix_s=now_s)):
                return
            self._failing = False
        if not self._file.append(json_line(event, values, time_unix_s=now_s)):
            self._failing = True
            self._screen.line(
                f"{self._file.path}: a line of the log cannot be written ({self._file.failure}). The run goes on, and"
                " counts the lines that it loses. Next: free space there, or look at its permissions."
            )

    def _open_events(self) -> None:
        try:
            (self._folder / EVENTS_FOLDER).mkdir(exist_ok=True)
        except OSError as error:
            self._no_events(error.strerror or str(error))
            return
        now_s = time.time()
        self._events = EventFile(self._folder / EVENTS_FOLDER, time_unix_s=now_s, first_step=self._step)
        text = json.dumps(self._recipe, indent=2, default=str).replace("\n", "\n    ")
        self._events.text("recipe", f"    {text}", step=self._step, time_unix_s=now_s)

    def _scalars(self, values: Mapping[str, Any]) -> None:
        known = {tag: float(value) for tag, value in values.items() if value is not None}
        if self._events is not None:
            self._events.scalars(known, step=self._step, time_unix_s=time.time())
            if self._events.failure is not None and not self._events_failed:
                self._no_events(self._events.failure)
        finite = {tag: value for tag, value in known.items() if math.isfinite(value)}
        for tracker in self._trackers:
            tracker.scalars(finite, step=self._step)

    def _no_events(self, reason: str) -> None:
        self._events_failed = True
        self.note(
            f"{self._folder / EVENTS_FOLDER}: event files cannot be written ({reason}); log.jsonl has the same values"
        )


class SilentJournal:
    """The journal of every rank but 0: the same methods, and nothing is written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def start(self, facts: Mapping[str, Any]) -> None:
        """Do nothing."""

    def step(self, values: Mapping[str, float | int | None]) -> None:
        """Do nothing."""

    def evaluation(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def checkpoint(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def note(self, sentence: str) -> None:
        """Do nothing."""

    def progress(self, step: int) -> None:
        """Do nothing."""

    def end(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def stop(self, reason: str, values: Mapping[str, Any] | None = None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"
