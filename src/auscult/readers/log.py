"""The text that trainers print, whatever the trainer: records, restarts, ranks, redraws, and what went wrong.

A dialect derives from :class:`LogParser` and says what a line means; what happens to a log on its way to a file — several
processes writing into it, bars redrawn, a terminal's wrapping, several runs one after another, a run taken up again — is
the same for all of them and is told apart here. Nothing is averaged or dropped in silence.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

from ..run import Known, Notice, Problem, Quantity, Seam, Series, Source, Unknown
from .bulk import Layout, feed_blocks, is_large
from .columns import LIMIT, Thinned
from .files import InputFile
from .meaning import Metric
from .patterns import lazy
from .privacy import without_names
from .reading import ECHO, Reading
from .text import Line
from .vocabulary import checked

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

__all__ = ["FLOAT", "LogParser", "card_in", "number", "read_log", "series_of"]

FLOAT = r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|NaN|Infinity)"
"""A number as trainers print it, thousands separators and nan included; for use inside a group."""
_MAX_TEXT = 160
_MAX_NOTICES = 10_000
_FEW = 5
"""Distinct steps that a run must have shown before a return to its first step means that another one began."""
_BACK_AND_FORTH = 0.02
"""Above this share of backward jumps among the points, several processes take turns; a run is not resumed that often."""
_GAP = 20
"""A gap of so many usual distances between records, and a twentieth of the run, is a jump."""
_MAX_RUNS = 2_000
"""Runs told apart in one file; what follows is taken for more of the last one."""
_MAX_STEP = 2**62
_REPEATED = 0.3
"""Above this share of records that repeat the step before them, the file repeats itself or holds several processes."""

_RANK = lazy(
    r"^\s*(?:\[default(?P<torchrun>\d{1,5})\](?::|\s)|\[(?P<bracket>\d{1,5})\](?::|\s)"
    r"|\[rank\s?[:=]?\s?(?P<tag>\d{1,5})\](?:\s?[:|]|\s)|rank\s?[:=]?\s?(?P<word>\d{1,5})\]?\s?[:|]"
    r"|(?P<bare>\d{1,4}): (?=\S))",
    re.IGNORECASE,
)
_REMARKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "out_of_memory",
        lazy(
            r"CUDA out of memory|^out of memory\s*$|OutOfMemoryError|HIP out of memory|CUDNN_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED"
        ),
    ),
    ("traceback", lazy(r"Traceback \(most recent call last\)")),
    ("interrupted", lazy(r"^\s*KeyboardInterrupt")),
    (
        "killed",
        lazy(r"^(?:Killed|.*SIGKILL.*|.*SIGTERM.*|.*[Ss]ignal 15.*|.*Terminated|slurmstepd: error: .*CANCELLED.*)\s*$"),
    ),
    (
        "checkpoint",
        lazy(r"[Ss]aving (?:model )?checkpoint|successfully saved checkpoint|[Cc]heckpoint saved|[Ss]aved checkpoint"),
    ),
    (
        "resumed",
        lazy(
            r"Resuming training from |[Rr]esuming from (?:the )?checkpoint|successfully loaded checkpoint|[Ll]oading (?:the )?checkpoint (?:from|at step)"
        ),
    ),
    (
        "output_shortened",
        lazy(r"^Streaming output truncated to the last \d|^Output exceeds the \S{0,30} ?size limit"),
    ),
    ("sm_gate", lazy(r"[Nn]ot enough (?:SMs|cuda cores) to use max_autotune")),
)
_QUICK = lazy(
    r"emory|MEM|ALLOC|RESOURCE|Trace|Keyb|[Kk]ill|KILL|TERM|ignal 15|Termin|CANCEL|heckpoint|Resum|resum|ot enough|ncated to|ceeds the"
)
_DEATHS = frozenset({"out_of_memory", "traceback", "interrupted", "killed"})
_CODE = lazy(r"^(?:import \w|from [\w.]+ import |def \w+\(|class \w+[(:]|@\w+|    return\b|if __name__ ==)")
_STATEMENT = lazy(
    r"^\s*(?:#|print0?\(|raise\b|except\b|try:|if\b.*:|elif\b|else:|assert\b|log(?:ger|ging)?\.|warnings\.|return\b|with\b.*:|for\b.*:"
    r"|while\b.*:|def\b|class\b|[A-Za-z_][\w.]* = |[rf]{0,2}[\"'])"
)
"""A line of a program: what it says happened has not."""
_PROMPT = lazy(r"^(?:\([\w.-]{1,40}\) ?)?\[?[\w.-]{1,40}@[\w.-]{1,60}(?::| )[^\s$#%]{0,200}\]?[$#%] ?")
_KEYS = lazy(
    r"\^\[(?:\[(?:\d{1,2}(?:;\d)?)?[A-HZ~]|O[A-HPQRS])|(?:^|(?<=\s))\^[A-Z\\]|(?<![A-Za-z)\]}_])\^[A-Z\\](?![A-Za-z])|\^C(?=\s*$)"
)
"""Keys that a terminal echoed as text: ``^[[A`` for an arrow, ``^C``."""
_STOPPED = lazy(r"(?:^|\s)\^C")
_MANY_CODE_LINES = 20


_CARD = lazy(r"^\|\s{1,6}\d{1,3}\s{2}(\S[\w ./-]{2,40}?)(?:\.\.\.)?\s{2,20}(?:On|Off|N/A)\s{1,4}\|")


def card_in(text: str) -> str | None:
    """Return the card's name in a row of ``nvidia-smi``'s table, which scripts print before they train, or None.

    Examples
    --------
    >>> card_in("|   0  NVIDIA A100-SXM4-80GB          On  | 00000000:07:00.0 Off |                    0 |")
    'NVIDIA A100-SXM4-80GB'
    """
    found = _CARD.match(text) if text[:1] == "|" else None
    return found[1] if found else None


def number(text: str) -> float:
    """Return the value of a number as trainers print it.

    Examples
    --------
    >>> number("1,234.5"), number("nan")
    (1234.5, nan)
    """
    return float(text.replace(",", ""))


def series_of(metric: Metric, file: str, points: Thinned) -> Series:
    """Return a series from collected points; the last and the smallest are in it even where points were thinned out."""
    steps, values, lines = _kept(points)
    return Series(
        metric.name,
        metric.split,
        metric.mode,
        metric.unit,
        metric.window,
        file,
        steps,
        values,
        lines,
        scope=metric.scope,
        convention=metric.convention,
        axis=metric.axis,
        count=points.count,
        stride=points.stride,
    )


def _kept(points: Thinned) -> tuple[array[int], array[float], array[int]]:
    """Return the kept points, with the first, the last and the smallest among them in the order of the file."""
    if points.stride == 1:
        return points.steps, points.values, points.lines
    rows = set(zip(points.lines, points.steps, points.values, strict=True))
    extra = [p for p in (points.minimum, points.last) if p is not None and (p.line, p.step, p.value) not in rows]
    if not extra:
        return points.steps, points.values, points.lines
    steps, values, lines = array("q", points.steps), array("d", points.values), array("q", points.lines)
    for point in extra:
        at = bisect_right(lines, point.line)
        steps.insert(at, point.step)
        values.insert(at, point.value)
        lines.insert(at, point.line)
    return steps, values, lines


@dataclass
class _Record:
    step: int
    values: tuple[tuple[Metric, float], ...]
    line: int
    rank: str | None

    def is_like(self, other: _Record) -> bool:
        """Return whether the other holds the same metrics of the same step of the same process."""
        return (
            self.step == other.step
            and self.rank == other.rank
            and len(self.values) == len(other.values)
            and all(a == b for (a, _), (b, _) in zip(self.values, other.values, strict=True))
        )


@dataclass
class _Jump:
    before: int
    after: int
    source: Source


@dataclass
class _RunLog:
    """What has been read of one run."""

    label: str = ""
    points: dict[Metric, Thinned] = field(default_factory=dict)
    settings: dict[str, Quantity[Any]] = field(default_factory=dict)
    raw: dict[str, Quantity[Any]] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    noted: dict[str, Known[Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    broken: int = 0
    first_broken: Source | None = None
    first: int | None = None
    last: int = 0
    high: int = 0
    distinct: int = 0
    records: int = 0
    jumps: list[_Jump] = field(default_factory=list)
    jump_count: int = 0
    gaps: array[int] = field(default_factory=lambda: array("q"))
    widest: tuple[int, int, int, Source] | None = None
    latest: _Record | None = None
    repeats: int = 0
    equal_repeats: int = 0
    first_repeat: Source | None = None
    last_repeat: int = 0

    def note(self, notice: Notice) -> None:
        before = self.notices.get(notice.kind)
        if before is not None:
            notice = Notice(
                notice.kind,
                before.source,
                before.count + notice.count,
                notice.last_line,
                before.detail or notice.detail,
            )
        self.notices[notice.kind] = notice

    @property
    def is_empty(self) -> bool:
        return not (self.records or self.settings or self.raw or self.notices or self.broken)


class LogParser(ABC):
    """Reads one log, line by line, into one reading for each run in it.

    A dialect implements :meth:`line` and calls :meth:`record`, :meth:`set`, :meth:`start_run` and :meth:`broken`.
    """

    dialect: ClassVar[str]
    vocabulary: ClassVar[str] = ""
    authority: ClassVar[int] = ECHO
    repeats_steps: bool = False
    """Whether the trainer itself prints several records at one step, such as one for each micro-batch."""
    one_run: ClassVar[bool] = False
    """Whether a return to the first step is the same run from its start, as the log itself says where another begins."""
    limit: int = LIMIT
    """Points kept of each metric; fewer where one file holds very many runs."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._done: list[_RunLog] = []
        self._run = _RunLog()
        self._pending = _RunLog()
        self._held: _Record | None = None
        self._main_rank: str | None = None
        self._code_lines = 0
        self._cut = False

    # ---- what a dialect implements

    @abstractmethod
    def line(self, line: Line) -> bool:
        """Take what a line says; return whether it said anything, so that the general remarks are not sought in it."""

    def finish_run(self, run: Reading) -> Reading:
        """Return the reading of a run, with what follows from all of its lines together."""
        return run

    # ---- what a dialect calls

    def source(self, line: Line) -> Source:
        """Return the place of a line."""
        return Source("read", self.file, line.number, without_names(line.text[: 8 * _MAX_TEXT].strip())[:_MAX_TEXT])

    def record(self, step: int, values: Iterable[tuple[Metric, float]], line: Line) -> None:
        """Take a record: the values of metrics at a step."""
        if not -_MAX_STEP < step < _MAX_STEP:
            self.broken(line)
            return
        held = _Record(step, tuple(values), line.number, self._rank)
        if self._held is not None:
            before, self._held = self._held, None
            if held.is_like(before):
                self._pending.note(Notice("redrawn", Source("read", self.file, before.line), 1, line.number))
            else:
                self._take(before, line)
        if line.redrawn:
            self._held = held
        else:
            self._take(held, line)

    def set(self, key: str, value: Any, line: Line, *, now: bool = False) -> None:
        """Take a setting under its canonical key (or, for a parser with a vocabulary, under the trainer's name).

        What comes after the last record belongs to the next run, if there is one; with ``now``, to the present one.
        """
        to = self._run if now else self._pending
        to.settings[key] = value if isinstance(value, Known | Unknown) else Known(value, self.source(line))

    def set_checked(self, key: str, value: Any, line: Line) -> None:
        """Take a printed setting in the kind of its canonical key; a value that nothing can have is a problem instead."""
        quantity, problem = checked(key, Known(value, self.source(line)))
        if problem is not None:
            self.problem(problem)
        else:
            self.set(key, quantity, line)

    def set_raw(self, key: str, value: Quantity[Any]) -> None:
        """Take a setting under the trainer's own name."""
        self._pending.raw[key] = value

    def note(self, key: str, value: Any, line: Line, *, now: bool = False) -> None:
        """Take a fact that has no canonical key, under ``dialect.name``; with ``now`` it is the present run's."""
        to = self._run if now else self._pending
        to.noted[key] = Known(value, self.source(line))

    def problem(self, problem: Problem) -> None:
        """Take something that could not be read as it should."""
        self._run.problems.append(problem)

    def start_run(self, line: Line, label: str = "") -> None:
        """Say that a new run begins here (its banner); without records so far it is the same one."""
        self._release()
        if (self._run.records or self._run.notices.keys() & _DEATHS) and len(self._done) < _MAX_RUNS:
            self._close()
        self._run.label = label or self._run.label

    def taken_up(self, step: int, line: Line) -> None:
        """Say that the present run goes on here with a step, as its trainer says: a seam, and no other process."""
        self._release()
        if self._run.records:
            self._run.jumps.append(_Jump(self._run.last, step, self.source(line)))
            self._run.last = step - 1

    def notice(self, kind: str, line: Line, detail: str = "", count: int = 1) -> None:
        """Take something else that the line shows."""
        to = self._run if kind in _DEATHS else self._pending
        to.note(Notice(kind, self.source(line), count, line.number, detail))

    def broken(self, line: Line) -> None:
        """Say that the line begins as a record and is none: cut, or split by something else."""
        self._run.broken += 1
        if self._run.first_broken is None:
            self._run.first_broken = self.source(line)
        if self._cut:
            self._run.note(Notice("truncated", self.source(line), 1, line.number, "the file ends inside a record"))

    @property
    def in_run(self) -> bool:
        """Whether the present run has shown a record."""
        return self._run.records > 0 or self._held is not None

    # ---- the machinery

    def feed(self, line: Line) -> None:
        """Take one line: strip the rank it came from, let the dialect read it, look for general remarks."""
        self._cut = not line.ended
        line = self._without_terminal(line)
        text = line.text
        if text[:1] in "[rR0123456789 " and (found := _RANK.match(text)):
            kind = found.lastgroup or ""
            self._rank = found[kind]
            stripped = line._replace(text=text[found.end() :])
            if not self.line(stripped) and not (kind in ("bracket", "bare") and self._without_rank(line)):
                self.remark(stripped)
            return
        if not self._without_rank(line):
            self.remark(line)

    def _without_terminal(self, line: Line) -> Line:
        """Take away a shell's prompt before the text and keys that were pressed while it was printed."""
        text = line.text
        if "^" in text and (shorter := _KEYS.sub("", text)) != text:
            if _STOPPED.search(text):
                self.notice("interrupted", line)
            else:
                self.notice("stray_keystrokes", line)
            text = shorter
        if "@" in text[:45] and (prompt := _PROMPT.match(text)):
            text = text[prompt.end() :]
        return line if text is line.text else line._replace(text=text)

    def _without_rank(self, line: Line) -> bool:
        self._rank = None
        return self.line(line)

    _rank: str | None = None

    def remark(self, line: Line) -> None:
        """Look for what any program prints when something happens."""
        text = line.text
        if _CODE.match(text):
            self._code_lines += 1
            if self._code_lines == _MANY_CODE_LINES:
                self.notice("source_code_in_log", line)
            return
        if not _QUICK.search(text) or (_STATEMENT.match(text) and not text.startswith("KeyboardInterrupt")):
            return  # a terminal may leave "KeyboardInterruptens = …": its last line over the traceback's
        for kind, pattern in _REMARKS:
            if pattern.search(text):
                self.notice(kind, line)
                return

    def _take(self, record: _Record, line: Line) -> None:
        rank, step = record.rank, record.step
        if rank is not None:
            if self._main_rank is None:
                self._main_rank = rank
            if rank != self._main_rank:
                self._run.note(
                    Notice("ranks_interleaved", self.source(line), 1, line.number, f"kept: rank {self._main_rank}")
                )
                return
        run = self._run
        if run.first is not None and step < run.last:
            over = run.distinct >= _FEW or run.notices.keys() & _DEATHS
            if step <= run.first and over and not self.one_run and len(self._done) < _MAX_RUNS:
                self._close(inherit=True)
            else:
                run.jump_count += 1
                if len(run.jumps) < _MAX_NOTICES:
                    run.jumps.append(_Jump(run.last, step, self.source(line)))
        run = self._run
        self._absorb()
        if run.first is None:
            run.first = run.high = step
            run.distinct = 1
        elif step > run.high:
            gap = step - run.high
            run.distinct += 1
            if len(run.gaps) < _MAX_NOTICES:
                run.gaps.append(gap)
            if run.widest is None or gap > run.widest[0]:
                run.widest = (gap, run.high, step, self.source(line))
            run.high = step
        if run.latest is not None and record.is_like(run.latest):
            run.repeats += 1
            run.equal_repeats += [v for _, v in record.values] == [v for _, v in run.latest.values]
            run.first_repeat = run.first_repeat or self.source(line)
            run.last_repeat = record.line
        run.latest = record
        run.last = step
        run.records += 1
        for metric, value in record.values:
            points = run.points.get(metric)
            if points is None:
                points = run.points[metric] = Thinned(self.limit)
            points.add(step, value, record.line)

    def before_many(self) -> None:
        """Prepare for records in bulk: a dialect that is in the middle of something ends it here, too."""
        self._rank = None

    def take_many(self, steps: Ints, lines: Ints, columns: Sequence[tuple[Metric, Ints, Floats, Ints]]) -> bool:
        """Take records in bulk, as :meth:`record` takes each; return False, having done nothing, where that differs.

        Parameters
        ----------
        steps, lines : ndarray
            Step and line of every record, in the order of the file.
        columns : sequence of (metric, steps, values, lines)
            The points of each metric.
        """
        run = self._run
        first = int(steps[0])
        forward = steps[1:] - steps[:-1]
        if (run.first is not None and first < run.last) or self._held is not None or (forward < 0).any():
            return False
        if any((points[1:] <= points[:-1]).any() for _metric, points, _values, _lines in columns):
            return False
        self.before_many()
        self._absorb()
        last = int(steps[-1])
        if run.first is None:
            run.first = run.high = first
            run.distinct = 1
        gaps = forward[forward > 0]
        if first > run.high:
            self._widen(first - run.high, run.high, first, int(lines[0]))
            run.gaps.append(first - run.high)
            run.distinct += 1
        if len(gaps):
            at = int(forward.argmax())
            self._widen(int(forward[at]), int(steps[at]), int(steps[at + 1]), int(lines[at + 1]))
            run.gaps.extend(gaps[: max(0, _MAX_NOTICES - len(run.gaps))].tolist())
            run.distinct += len(gaps)
        run.high, run.last, run.latest = max(run.high, last), last, None
        run.records += len(steps)
        for metric, at_steps, values, at_lines in columns:
            points = run.points.get(metric)
            if points is None:
                points = run.points[metric] = Thinned(self.limit)
            points.extend(at_steps, values, at_lines)
        return True

    def _widen(self, gap: int, before: int, after: int, line: int) -> None:
        run = self._run
        if run.widest is None or gap > run.widest[0]:
            run.widest = (gap, before, after, Source("read", self.file, line, f"step {after}"))

    def _absorb(self) -> None:
        """Give what was said since the last record to the present run."""
        waiting = self._pending
        if waiting.is_empty and not waiting.noted:
            return
        self._run.settings.update(waiting.settings)
        self._run.raw.update(waiting.raw)
        self._run.noted.update(waiting.noted)
        for notice in waiting.notices.values():
            self._run.note(notice)
        self._pending = _RunLog()

    def _release(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._take(held, Line(held.line, ""))

    def _close(self, *, inherit: bool = False) -> None:
        """End the present run; the next one keeps what it says of the machine, or all its settings with ``inherit``."""
        before = self._run
        before.latest = None
        self._done.append(before)
        self._main_rank = None
        self._run = _RunLog()
        self._run.settings = {
            key: value for key, value in before.settings.items() if inherit or key.startswith("machine.")
        }
        if inherit:
            self._run.raw = dict(before.raw)

    def finish(self) -> tuple[Reading, ...]:
        """Return a reading for each run of the log, in its order."""
        self._release()
        self._absorb()
        runs = [run for run in (*self._done, self._run) if run.records or run.notices.keys() & _DEATHS or run.broken]
        if not runs:
            runs = [self._run]
        many = len(runs) > 1
        readings = []
        for index, run in enumerate(runs, 1):
            label = run.label or (str(index) if many else "")
            if many:
                run.note(
                    Notice("several_runs_in_file", self._first_source(run), len(runs), 0, f"run {index} of {len(runs)}")
                )
            readings.append(self.finish_run(self._reading(run, label)))
        return tuple(readings)

    def _first_source(self, run: _RunLog) -> Source:
        first = min((points.lines[0] for points in run.points.values() if len(points)), default=None)
        if first is not None:
            return Source("read", self.file, first)
        return next((n.source for n in run.notices.values()), Source("read", self.file, 1))

    def _reading(self, run: _RunLog, label: str) -> Reading:
        seams = self._judge_jumps(run)
        problems = list(run.problems)
        if run.first_broken is not None:
            problems.append(
                Problem("broken_record", f"metric lines cut or garbled: {run.broken}", run.first_broken, run.broken)
            )
        return Reading(
            dialect=self.dialect,
            file=self.file,
            role="log",
            label=label,
            series=tuple(series_of(metric, self.file, points) for metric, points in run.points.items()),
            settings=run.settings,
            raw=run.raw,
            vocabulary=self.vocabulary,
            authority=self.authority,
            notices=tuple(run.notices.values()),
            problems=tuple(problems),
            seams=seams,
            noted=run.noted,
        )

    def _judge_jumps(self, run: _RunLog) -> tuple[Seam, ...]:
        """Tell a run that was taken up again from processes that take turns, and note gaps."""
        if len(run.gaps) >= 10 and run.widest is not None:
            usual = median(run.gaps)
            gap, before, after, source = run.widest
            if gap > _GAP * usual and gap > (run.high - (run.first or 0)) / 20:
                run.note(Notice("steps_jump", source, 1, source.line or 0, f"from step {before:,} to {after:,}"))
        if run.repeats > max(5, _REPEATED * run.records) and run.first_repeat is not None and not self.repeats_steps:
            times = run.records / max(run.records - run.repeats, 1)
            same = run.equal_repeats > 0.9 * run.repeats
            kind = "records_repeated" if same else "ranks_interleaved"
            how = f"each step is printed about {times:.1f} times" + ("" if same else "; no rank is named")
            run.note(Notice(kind, run.first_repeat, run.repeats, run.last_repeat, how))
        if not run.jumps:
            return ()
        strides = median(run.gaps) if run.gaps else 1
        back = median(jump.before - jump.after for jump in run.jumps)
        if run.jump_count > max(3, _BACK_AND_FORTH * run.records) and back <= 5 * strides:
            first = run.jumps[0]
            run.note(
                Notice(
                    "ranks_interleaved",
                    first.source,
                    run.jump_count,
                    run.jumps[-1].source.line or 0,
                    "no rank is named",
                )
            )
            return ()
        return tuple(Seam(jump.before, jump.after, jump.source) for jump in run.jumps)


def read_log(file: InputFile, make: Callable[[str], LogParser], layouts: Sequence[Layout] = ()) -> tuple[Reading, ...]:
    """Read a log with the parser of its dialect.

    Parameters
    ----------
    file : InputFile
        The log.
    make : callable
        Returns a parser for the name of a file.
    layouts : sequence of Layout
        Records of fixed layout, which are read in bulk where the log is large.

    Raises
    ------
    UnreadableInput, NotText, InputTooLarge
    """
    parser = make(file.name)
    wrap = wrap_width(file.sample)
    if layouts and wrap is None and is_large(file) and file.suffix != ".ipynb":
        feed_blocks(file, parser, layouts)
    else:
        for line in file.lines() if wrap is None else _unwrapped(file.lines(), wrap):
            parser.feed(line)
    readings = parser.finish()
    extra: list[Notice] = []
    if wrap is not None:
        extra.append(Notice("lines_wrapped", Source("read", file.name, 1), 1, 0, f"at {wrap} columns"))
    if file.suffix in (".md", ".markdown", ".rst"):
        extra.append(Notice("log_inside_markdown", Source("read", file.name, 1)))
    if file.suffix == ".ipynb":
        extra.append(Notice("log_inside_notebook", Source("read", file.name, 1)))
    if not extra:
        return readings
    return tuple(replace(r, notices=(*r.notices, *extra)) for r in readings)


def wrap_width(sample: str) -> int | None:
    """Return the width at which a terminal cut the lines of a capture, or None.

    A wrapped text has no line longer than the width and many of just that width, each followed by a rest that begins
    otherwise than the lines that begin anew.
    """
    lines = [line for line in sample.split("\n") if line]
    if len(lines) < 8:
        return None
    width = max(map(len, lines))
    if not 40 <= width <= 250:
        return None
    full = [index for index, line in enumerate(lines[:-1]) if len(line) == width]
    near = sum(1 for line in lines if width - 4 <= len(line) < width)
    if len(full) < max(4, 0.15 * len(lines)) or near > len(full):
        return None
    chains = sum(1 for index in full if len(lines[index + 1]) < width)
    if chains < 0.3 * len(full):
        return None  # a table or a rule, whose lines are all as wide
    begins = Counter(_shape(lines[i + 1]) for i in range(len(lines) - 1) if len(lines[i]) < width)
    continued = sum(1 for i in full if begins[_shape(lines[i + 1])] < 2 and not _same_head(lines[i], lines[i + 1]))
    return width if continued >= 0.8 * len(full) else None


def _same_head(one: str, two: str) -> bool:
    """Return whether two lines begin alike but for their numbers, as two records do."""
    a, b = _shape(one), _shape(two)
    return a == b and any(ch.isalpha() for ch in a)


def _shape(line: str) -> str:
    return re.sub(r"\d+", "0", line[:40].lstrip())[:10]


def _unwrapped(lines: Iterator[Line], width: int) -> Iterator[Line]:
    """Join lines of exactly the width with what follows them; the whole keeps the first one's number."""
    held: Line | None = None
    for line in lines:
        if held is not None and _same_head(held.text, line.text):
            yield held
            held = None
        whole = line if held is None else Line(held.number, held.text + line.text, line.ended, line.redrawn)
        if len(line.text) == width and len(whole.text) < 8 * width:
            held = whole
            continue
        held = None
        yield whole
    if held is not None:
        yield held
