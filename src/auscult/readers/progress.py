"""Progress bars as tqdm draws them: what one draw says, and which of many draws of a step counts.

``desc:  24%|██▍   | 23/94 [00:07<00:24, 2.93it/s, loss=1.5]`` — redrawn with carriage returns, or printed line after line
where the terminal was none; ``1234it [10:00, 2.05it/s]`` where the total is not known; and the log lines that
``tqdm-loggable`` writes in place of a bar (``Progress on:train 118it/1.00kit rate:… postfix:loss=8.2``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .log import FLOAT
from .meaning import Metric
from .patterns import lazy
from .text import Line

__all__ = ["Bar", "LastDraw", "bars_in", "values_in"]

_CLOCK = r"\d{1,6}(?::\d{2}){1,2}"
_COUNT = r"\d[\d.,]{0,16}"
_BAR = lazy(
    rf"(?<!\d)\d{{1,3}}%\|[^|\n]{{0,400}}\|\s{{0,16}}({_COUNT})([kMGT]?)/({_COUNT})([kMGT]?)"
    rf" \[({_CLOCK})<(?:{_CLOCK}|\?),\s{{0,16}}([^,\]\[]{{1,30}})([^\]\[]{{0,800}})\]"
)
_OPEN = lazy(
    rf"(?<![\d.,])({_COUNT})([kMGT]?)(?:it|batch|step)s? \[({_CLOCK}),\s{{0,16}}([^,\]\[]{{1,30}})([^\]\[]{{0,800}})\]"
)
_LOGGED = lazy(
    rf"Progress on: ?(.{{0,80}}?) ?({_COUNT})([kMGT]?)(?:it)?/({_COUNT}|\?|-)([kMGT]?)(?:it)? rate:(\S{{1,30}})"
    rf"(?:.{{0,80}}?elapsed:({_CLOCK}|[\d.]{{1,16}}))?(?:.{{0,20}}?postfix:(.{{0,800}}))?"
)
_VALUE = lazy(
    rf"(?<![\w.])'?([A-Za-z][\w./ -]{{0,40}}?)'?\s?[=:]\s{{0,12}}'?({FLOAT})(%|[A-Za-z/]{{0,12}})(?=['\s,;|\]}})]|$)"
)
_RATE = lazy(r"(\d[\d.]{0,15})([kMGT]?)(?:([A-Za-z]{1,16})/s|s/([A-Za-z]{1,16}))")
_SCALE = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MAX_DESCRIPTION = 200
_MAX_COUNT = 10**10


class Bar(NamedTuple):
    """One draw of a bar.

    Attributes
    ----------
    description : str
        What stands before it.
    done, total : int
        The counter; 0 for a total that is not known.
    exact : bool
        Whether the counter was printed in full (not ``1.50k``).
    elapsed_s : float
    seconds_each : float or None
        Time of one iteration, tqdm's running average.
    unit : str
        What is counted, ``it`` unless the program says otherwise.
    values : mapping
        Names as printed, in lower case, to value and unit: from the postfix, and from the description.
    """

    description: str
    done: int
    total: int
    exact: bool
    elapsed_s: float
    seconds_each: float | None
    unit: str
    values: Mapping[str, tuple[float, str]]

    @property
    def is_fresh(self) -> bool:
        """Whether the bar has only just been put up."""
        return self.elapsed_s == 0 and self.seconds_each is None


def bars_in(text: str) -> Iterator[Bar]:
    """Yield the whole bars in a text, from left to right.

    Examples
    --------
    >>> bar = next(bars_in("train:  50%|##5  | 5/10 [00:10<00:10,  2.00s/it, loss=3.25]"))
    >>> bar.description, bar.done, bar.total, bar.seconds_each, bar.values
    ('train', 5, 10, 2.0, {'loss': (3.25, '')})
    """
    if "it" not in text and "/s" not in text and "s/" not in text:
        return
    end = 0
    if "%|" in text:
        for found in _BAR.finditer(text):
            yield _bar(text[end : found.start()], found[1], found[2], found[3], found[4], found[5], found[6], found[7])
            end = found.end()
    elif "Progress on:" in text and (said := _LOGGED.search(text)):
        yield _bar(said[1], said[2], said[3], said[4], said[5], said[7] or "00:01", said[6], said[8] or "")
    elif " [" in text:
        for match in _OPEN.finditer(text):
            yield _bar(text[end : match.start()], match[1], match[2], "0", "", match[3], match[4], match[5])
            end = match.end()


def _bar(before: str, done: str, size: str, total: str, of_size: str, elapsed: str, rate: str, postfix: str) -> Bar:
    description = before[-_MAX_DESCRIPTION:].strip().removesuffix(":").strip()
    seconds, unit = _seconds(rate)
    return Bar(
        description,
        _count(done, size),
        _count(total, of_size),
        not size,
        _clock(elapsed),
        seconds,
        unit,
        {**values_in(description), **values_in(postfix)},
    )


def values_in(text: str) -> dict[str, tuple[float, str]]:
    """Return what a postfix or description says: names in lower case to value and unit.

    Examples
    --------
    >>> values_in(", loss=10.97, lr=1.00e-07, mfu=68.3%, Val Acc: 3.5")
    {'loss': (10.97, ''), 'lr': (1e-07, ''), 'mfu': (68.3, '%'), 'val acc': (3.5, '')}
    """
    found: dict[str, tuple[float, str]] = {}
    for match in _VALUE.finditer(text):
        found.setdefault(match[1].strip().lower(), (float(match[2].replace(",", "")), match[3]))
    return found


def _count(text: str, size: str) -> int:
    try:
        count = round(float(text.replace(",", "").rstrip(".")) * _SCALE[size])
    except (ValueError, OverflowError):
        return 0
    return count if count < _MAX_COUNT else 0


def _clock(text: str) -> float:
    if ":" not in text:
        return float(text) if text.replace(".", "", 1).isdigit() else 0.0
    seconds = 0
    for part in text.split(":"):
        seconds = seconds * 60 + int(part)
    return float(seconds)


def _seconds(rate: str) -> tuple[float | None, str]:
    found = _RATE.search(rate)
    if found is None:
        return None, "it"
    try:
        plain = float(found[1]) * _SCALE[found[2]]
    except ValueError:
        return None, "it"
    if found[4]:
        return plain, found[4]
    return (1 / plain if plain > 0 else None), found[3]


@dataclass
class _Draw:
    step: int
    values: dict[Metric, float]
    line: Line
    part: int


class LastDraw:
    """Lets the last draw of each step through, and no draw of a step that another process has passed.

    Where the axis is coarser than the bar (a bar that counts batches, on an axis of epochs), the last draw of each part.

    Several processes that draw into one file go back and forth by a few steps; a bar that starts again far behind is a
    new attempt.

    Parameters
    ----------
    emit : callable
        Takes ``step``, its values, and the line of the draw.

    Attributes
    ----------
    redrawn, behind : int
        Draws that were replaced by a later one of the same step, and draws of steps that were past.
    """

    FAR = 5

    def __init__(self, emit: Callable[[int, list[tuple[Metric, float]], Line], None]) -> None:
        self._emit = emit
        self._held: _Draw | None = None
        self._high = -1
        self.redrawn = self.behind = 0

    @property
    def step(self) -> int:
        """The furthest step so far, -1 before the first."""
        return self._high

    def fresh(self, step: int) -> None:
        """Say that a bar was put up at a step: far behind, it is another attempt."""
        if self._high - step >= self.FAR:
            self.flush()
            self._high = step - 1

    def take(self, step: int, values: Mapping[Metric, float], line: Line, part: int = 0) -> None:
        """Take a draw; ``part`` says which part of the step it shows."""
        if not values:
            return
        held = self._held
        if held is not None and (step, part) == (held.step, held.part):
            self.redrawn += 1
            self._held = _Draw(step, {**held.values, **values}, line, part)
        elif step > self._high or (held is not None and step == held.step and part > held.part):
            self.flush()
            self._held, self._high = _Draw(step, dict(values), line, part), step
        else:
            self.behind += 1

    def flush(self) -> None:
        """Let the held draw through."""
        if self._held is not None:
            draw, self._held = self._held, None
            self._emit(draw.step, list(draw.values.items()), draw.line._replace(redrawn=False))
