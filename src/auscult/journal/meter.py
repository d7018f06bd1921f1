"""What each step is told with: its loss, without making a device wait for it; its time; its speed."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from .journal import Journal, SilentJournal

__all__ = ["Meter", "NotFinite"]


class NotFinite(Exception):
    """The loss or the gradient of a step is infinite or not a number; the message is a sentence.

    Parameters
    ----------
    step : int
        Which.
    loss, grad_norm : float
        As they were found.
    before : str
        What the step before was like.
    """

    def __init__(self, step: int, loss: float, grad_norm: float, before: str) -> None:
        super().__init__(f"Step {step:,}: loss {loss}, gradient norm {grad_norm:.3g} ({before}).")
        self.step, self.loss, self.grad_norm = step, loss, grad_norm


class Meter:
    """Settles the numbers of steps in order and tells them.

    Parameters
    ----------
    journal : Journal
        Who is told.
    steps, log_every_steps, tokens_per_step : int
        Of the run.
    lag : int
        How many steps may be under way before the oldest is read: 0 where reading costs nothing (a CPU), 1 where it would
        make a GPU wait.
    flops_per_token, peak_flops_per_s : optional
        What an MFU is counted with; the peak is that of all devices together. Without one of them there is no MFU.
    memory_bytes : callable
        Returns the largest memory allocated so far on this rank's device, or None.

    Attributes
    ----------
    stopped : bool
        Whether a settled step said so.

    Examples
    --------
    >>> meter = Meter(SilentJournal(), steps=10, log_every_steps=5, tokens_per_step=64)
    >>> meter.add(0, 1e-3, lambda: (5.5, 0.8, 0.0))
    >>> meter.add(1, 1e-3, lambda: (float("nan"), 0.8, 0.0))
    Traceback (most recent call last):
        ...
    auscult.journal.meter.NotFinite: Step 1: loss nan, gradient norm 0.8 (step 0: loss 5.5000, gradient norm 0.8).
    """

    def __init__(
        self,
        journal: Journal | SilentJournal,
        *,
        steps: int,
        log_every_steps: int,
        tokens_per_step: int,
        lag: int = 0,
        flops_per_token: int | None = None,
        peak_flops_per_s: float | None = None,
        memory_bytes: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._journal, self._steps, self._every = journal, steps, log_every_steps
        self._tokens_per_step, self._lag = tokens_per_step, lag
        self._flops, self._peak, self._memory_bytes = flops_per_token, peak_flops_per_s, memory_bytes
        self._pending: deque[tuple[int, float, Callable[[], Sequence[float]]]] = deque()
        self._since_s, self._settled = time.perf_counter(), 0
        self._before = "the first of this process"
        self.stopped = False

    def add(self, step: int, learning_rate: float, numbers: Callable[[], Sequence[float]]) -> None:
        """Take a step whose numbers may still be under way.

        Parameters
        ----------
        step : int
            How many updates its weights have had.
        numbers : callable
            Returns loss [nats per token], gradient norm, and whether to stop (above 0); waits for them where it must.

        Raises
        ------
        NotFinite
            When a step that is settled now has a loss or a gradient that is not finite.
        """
        self._pending.append((step, learning_rate, numbers))
        self.settle(self._lag)

    def settle(self, lag: int = 0) -> None:
        """Read all but the last ``lag`` steps.

        Raises
        ------
        NotFinite
            As :meth:`add`.
        """
        while len(self._pending) > lag:
            step, rate, numbers = self._pending.popleft()
            loss, norm, stop = numbers()
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._pending.clear()  # what comes after is no better
                raise NotFinite(step, loss, norm, self._before)
            self._before = f"step {step:,}: loss {loss:.4f}, gradient norm {norm:.3g}"
            self._settled += 1
            self.stopped = self.stopped or stop > 0
            if step % self._every == 0 or step == self._steps - 1:
                self._tell(step, loss, norm, rate)
            self._journal.progress(step + 1)

    def _tell(self, step: int, loss: float, norm: float, rate: float) -> None:
        now_s = time.perf_counter()
        step_time_s = (now_s - self._since_s) / self._settled
        self._since_s, self._settled = now_s, 0
        flops_per_s = None if self._flops is None else self._flops * self._tokens_per_step / step_time_s
        self._journal.step(
            {
                "step": step,
                "tokens": step * self._tokens_per_step,
                "loss_nats_per_token": loss,
                "learning_rate": rate,
                "grad_norm": norm,
                "step_time_s": step_time_s,
                "tokens_per_s": self._tokens_per_step / step_time_s,
                "flops_per_s": flops_per_s,
                "mfu": None if flops_per_s is None or self._peak is None else flops_per_s / self._peak,
                "memory_allocated_bytes": self._memory_bytes(),
            }
        )

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Settle every step, and leave the time of what follows out of theirs."""
        self.settle()
        start_s = time.perf_counter()
        yield
        self._since_s += time.perf_counter() - start_s
