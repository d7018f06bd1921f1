"""``run-<id>.wandb``, the binary that W&B writes as a run goes, and the ``output.log`` beside it.

What W&B has not uploaded, or what was killed before it was closed, is in the binary: the configuration, the rows of
``wandb.log`` and the run's console, which is read by the dialect of whoever printed it. E-mail, user, host and paths stand
in the same file and are never decoded (``readers/formats/wandb_binary.py``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from ...errors import InputError
from ...run import Known, Notice, Problem, Source
from ..files import InputFile, open_kept
from ..log import LogParser, read_log
from ..reading import ECHO, TRACKER, Dialect, Reading
from ..text import Line
from ..wandb_folder import Place, cards, configured, flattened, place_of, placed
from ..wandb_history import read_history

if TYPE_CHECKING:
    from ..formats.wandb_binary import WandbFile

__all__ = ["DIALECT"]

_LIKELY = 0.2
"""What is known to be a run's console is read by the dialect it looks most like, from this score on."""
_FOR_ALL_OTHERS = "generic"
_CONSOLE = "output.log"
_SUFFIX = ".wandb"


class ConsoleLog(LogParser):
    """A console that no trainer's dialect knows: only what any program prints when something happens."""

    dialect = "wandb"
    authority = ECHO

    def line(self, line: Line) -> bool:
        """Take no line: none is a record."""
        return False


def _read(file: InputFile) -> Iterable[Reading]:
    place = place_of(file)
    if not _is_binary(file):
        return _in_run(_console(file, file), place)
    from ..formats.wandb_binary import read_wandb  # only a run that has W&B's binary waits for it

    with tempfile.TemporaryFile() as kept:
        size = 0

        def keep(piece: bytes) -> None:
            nonlocal size
            kept.write(piece)
            size += len(piece)

        with file.binary() as stream:
            found = read_wandb(stream, name=file.name, on_console=keep)
        place = Place(place.root, found.run_id or place.run_id)
        console = _console_within(kept, size, file) if size else ()
    return (placed(_binary_reading(found, file.name), place), *_in_run(console, place))


# ---- the binary


def _binary_reading(found: WandbFile, file: str) -> Reading:
    said = configured(flattened(found.config, file), file, TRACKER)
    history = read_history(found.history, found.history_steps, file)
    place = Source("read", file)
    machine = cards([found.gpu_name], found.gpu_count, place)
    if history.vocabulary in ("", said.vocabulary) or not said.raw:
        raw, vocabulary, parts = {**said.raw, **history.raw}, said.vocabulary or history.vocabulary, said.parts
    else:  # the rows are of one trainer, the names of the configuration another's
        more = Reading("wandb", file, "config", raw=said.raw, vocabulary=said.vocabulary, authority=TRACKER)
        raw, vocabulary, parts = history.raw, history.vocabulary, (*said.parts, more)
    notices, problems = _damage(found, place)
    return Reading(
        "wandb",
        file,
        "metrics",
        series=history.series,
        settings={**said.settings, **machine.settings, **history.settings},
        raw=raw,
        vocabulary=vocabulary if raw else "",
        authority=TRACKER,
        notices=(*history.notices, *notices),
        problems=(*said.problems, *problems),
        seams=history.seams,
        noted={**said.noted, **machine.noted, **history.noted, **_figures(found, place)},
        parts=parts,
    )


def _figures(found: WandbFile, place: Source) -> dict[str, Known[object]]:
    figures = {
        "wandb.runtime_s": found.runtime_s,
        "wandb.exit_code": found.exit_code,
        "wandb.cpu_count": found.cpu_count,
        "wandb.rows": found.rows or None,
    }
    return {
        name: Known(value, replace(place, text=f"{name} = {value}"))
        for name, value in figures.items()
        if value is not None
    }


def _damage(found: WandbFile, place: Source) -> tuple[list[Notice], list[Problem]]:
    """Return what is wrong with the file, in words."""
    unread, skipped = found.unread_bytes, found.skipped_bytes
    detail = ""
    if found.damage == "empty":
        detail = "the W&B file is empty: the process ended before W&B wrote anything into it"
    elif found.damage == "header_only":
        detail = "the W&B file holds its header of 7 bytes and nothing else: the process ended before W&B wrote into it"
    elif found.damage == "not_a_wandb_file":
        detail = "the file does not begin as W&B's do, and was not read"
    elif found.damage == "bad_crc":
        detail = f"the W&B file is damaged: {unread + skipped:,} of its {found.size_bytes:,} bytes contradict their checksums"
    elif not found.closed:
        detail = "the W&B file was never closed: the process was killed, or still runs"
        if unread:
            detail += f"; its last {unread:,} bytes are the beginning of a record"
    elif found.damage is not None:
        detail = f"the W&B file is cut: its last {unread:,} bytes are the beginning of a record"
    if not detail:
        return [], []
    problems = []
    lost = unread + skipped if found.damage not in (None, "empty", "header_only") else 0
    if lost:
        problems.append(
            Problem("unread_bytes", f"{lost:,} of {found.size_bytes:,} bytes could not be read", place, lost)
        )
    return [Notice("truncated_binary", place, 1, 0, detail)], problems


# ---- the console


def _console_within(kept: BinaryIO, size: int, file: InputFile) -> tuple[Reading, ...]:
    """Return what the console inside a binary says; lines are counted in the console's text."""
    return _console(open_kept(kept, _CONSOLE, size), open_kept(kept, file.name, size))


def _console(looked_at: InputFile, read: InputFile) -> tuple[Reading, ...]:
    """Return the readings of a console's text, by the dialect of whoever printed it."""
    try:
        score, best = _printed_by(looked_at)
        if best is not None and score >= _LIKELY:
            found = tuple(best.read(read))
            if any(r.series or r.notices or r.settings or r.raw for r in found):
                return found
        return read_log(read, ConsoleLog)
    except InputError as error:
        if read is looked_at:
            raise
        problem = Problem("console_unreadable", f"the console could not be read: {error}", Source("read", read.name))
        return (Reading("wandb", read.name, "log", problems=(problem,)),)


def _printed_by(file: InputFile) -> tuple[float, Dialect | None]:
    """Return the dialect that a console looks most like, and how much; the one for all others is asked last."""
    from ..registry import CLEAR, all_dialects  # the registry imports this module

    best: tuple[float, Dialect | None] = (0.0, None)
    logs = [d for d in all_dialects() if d.role == "log" and d.name != DIALECT.name]
    for dialect in sorted(logs, key=lambda d: d.name == _FOR_ALL_OTHERS):
        if dialect.name == _FOR_ALL_OTHERS and best[0] >= CLEAR:
            break
        score = dialect.sniff(file)
        if score > best[0]:
            best = (score, dialect)
    return best


def _in_run(readings: tuple[Reading, ...], place: Place) -> tuple[Reading, ...]:
    """Return the console's readings: the fullest is the run that W&B speaks of, others stay apart."""
    if not readings:
        return ()
    fullest = max(readings, key=lambda r: sum(series.count for series in r.series))
    return tuple(placed(replace(r, label=""), place) if r is fullest else r for r in readings)


# ---- recognising them


def _is_binary(file: InputFile) -> bool:
    return file.suffix == _SUFFIX or file.head.startswith(b":W&B")


def _sniff(file: InputFile) -> float:
    if _is_binary(file):
        return 1.0
    if file.base != _CONSOLE or not file.sample.strip() or file.path is None:
        return 0.0
    try:
        beside = any((file.path.parent / name).is_file() for name in ("wandb-metadata.json", "wandb-summary.json"))
    except (OSError, ValueError):
        return 0.0
    return 0.5 if beside else 0.0


DIALECT = Dialect(
    name="wandb",
    title="W&B's local file (run-*.wandb) and console",
    role="metrics",
    example=":W&B…{train/loss: 3.0383, val/loss: 3.3771, iter: 30000, lr: 6e-05, mfu: 107.7}…",
    reads="the rows of `wandb.log` over the trainer's own counter (`iter`, `train/global_step`, `trainer/global_step`, `step`"
    " …; W&B's `_step` counts calls and is used only where there is nothing better), the configuration, the console and how"
    " the run ended, also of a run that was killed before the file was closed. nanoGPT logs at evaluations only, so that its"
    " `train/loss` is one of them, with dropout off; the Hugging Face trainer's `train/loss` is the mean since the row before."
    " The console is read by the dialect of whoever printed it",
    cannot="how many of the machine's cards the run used, unless there is but one; in which mode a loss was measured where the"
    " trainer is not known; histograms, tables and media, which are left where they are; who ran it, which is never read",
    source="wandb/proto/wandb_internal.proto of wandb 0.31.0; files of 2023 to 2026",
    sniff=_sniff,
    read=_read,
    missing="W&B's files do not say it",
    tracker=True,
)
