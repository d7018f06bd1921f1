"""How long a run still takes, from the steps and evaluations that it has just done."""

from __future__ import annotations

from collections import deque
from statistics import median

__all__ = ["Pace", "time_left"]

_RECENT = 64
"""Steps that the estimate looks back on: the median of fewer jumps about, that of more is late where a machine slows down."""
_LEAST = 3


class Pace:
    """Times of recent steps and evaluations.

    Parameters
    ----------
    steps : int
        Of the whole run.
    every_steps : int
        Evaluations come before each step that is a multiple of it, and after the last; 0 where there are none.

    Notes
    -----
    An interval between two steps in which an evaluation ran is a step and an evaluation (with a checkpoint, where one is due
    then). The median leaves out what else interrupts a run now and then. Each evaluation to come counts as the median of those seen.

    Examples
    --------
    >>> pace = Pace(steps=10, every_steps=5)
    >>> for step in range(6):
    ...     pace.step(step, now_s=2.0 * step)
    >>> pace.evaluation()
    >>> pace.step(6, now_s=20.0)
    >>> pace.seconds_left()  # four steps and the evaluation at the end
    16.0
    """

    def __init__(self, *, steps: int, every_steps: int = 0) -> None:
        self._steps, self._every = steps, every_steps
        self._step_s: deque[float] = deque(maxlen=_RECENT)
        self._evaluation_s: deque[float] = deque(maxlen=_RECENT)
        self._last: tuple[int, float] | None = None
        self._evaluated = False

    def evaluation(self) -> None:
        """Say that an evaluation ended."""
        self._evaluated = True

    def step(self, done: int, *, now_s: float) -> None:
        """Say that so many steps are done at a time [s]."""
        if self._last is not None and done > self._last[0]:
            count, seconds = done - self._last[0], now_s - self._last[1]
            if self._evaluated:
                if self._step_s:
                    self._evaluation_s.append(max(0.0, seconds - count * median(self._step_s)))
            else:
                self._step_s.append(seconds / count)
        self._last = (done, now_s)
        self._evaluated = False

    def seconds_left(self) -> float | None:
        """Return the seconds that are left after the last step; None before three steps have been timed."""
        if self._last is None or len(self._step_s) < _LEAST:
            return None
        done = self._last[0]
        seconds = max(0, self._steps - done) * median(self._step_s)
        if self._every and self._evaluation_s:
            count = -(-self._steps // self._every) - -(-done // self._every) + 1
            seconds += count * median(self._evaluation_s)
        return seconds


def time_left(seconds: float) -> str:
    """Return a duration in two units at most.

    Examples
    --------
    >>> time_left(42.4), time_left(12 * 60 + 5), time_left(3_725), time_left(200_000)
    ('42 s', '12 min', '1 h 02 min', '2 d 8 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3570:  # rounds to less than 60 min
        return f"{round(whole / 60)} min"
    minutes = round(whole / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"
