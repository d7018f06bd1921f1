"""The wish to leave: Ctrl-C, SIGTERM, or Slurm's warning, taken note of and acted upon between two steps."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Self

__all__ = ["Signals"]

_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Signals:
    """Notes SIGINT, SIGTERM and SIGUSR1 while it is entered; a second Ctrl-C interrupts at once.

    Attributes
    ----------
    number : int
        Of the last signal heard; 0 before any.

    Examples
    --------
    >>> import os
    >>> with Signals() as signals:
    ...     os.kill(os.getpid(), signal.SIGUSR1)
    >>> signals.name
    'SIGUSR1'
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[signal.Signals, object] = {}

    @property
    def name(self) -> str:
        """Of the signal; SIGTERM where another rank heard it."""
        return signal.Signals(self.number or signal.SIGTERM).name

    def __enter__(self) -> Self:
        for one in _HEARD:
            self._before[one] = signal.signal(one, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)  # type: ignore[arg-type]  # what signal.signal returned before

    def _heard(self, number: int, _frame: object) -> None:
        if self.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
