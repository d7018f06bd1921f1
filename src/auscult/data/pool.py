"""Workers: units go in, their tokens come out in the same order, and only so many are on their way at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self, TypeVar

from ..errors import AuscultError, UsageError
from .documents import Unit
from .encoding import ResolvedTokenizer
from .errors import BadData
from .worker import Encoded, Encoder

__all__ = ["Pool", "default_workers"]

T = TypeVar("T")
R = TypeVar("R")
IN_FLIGHT_PER_WORKER = 3
"""Units handed out and not yet written, for each worker: what bounds the memory."""


def default_workers() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """Processes that tokenize; with one worker, this process itself.

    Parameters
    ----------
    workers : int
    tokenizer, seed, val_share
        Of the :class:`Encoder` that each builds.

    Notes
    -----
    Processes are spawned, never forked: threads of tokenizers, PyTorch or the caller do not survive a fork. They end when
    this process does, however it ends.
    """

    def __init__(self, workers: int, tokenizer: ResolvedTokenizer, seed: int, val_share: float) -> None:
        self._workers = workers
        self._executor: ProcessPoolExecutor | None = None
        if workers == 1:
            self._encode: Callable[[Unit], Encoded] = Encoder.of(tokenizer, seed, val_share)
            return
        self._encode = _encode_in_worker
        self._executor = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(tokenizer, seed, val_share),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def encoded(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Encoded]]:
        """Yield every unit with its tokens, in order.

        Raises
        ------
        AuscultError
            What reading or tokenizing raised, after all units before it were yielded.
        """
        return self.mapped(self._encode, units)

    def mapped(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Yield every item with what a function makes of it, in order."""
        if self._executor is None:
            for item in items:
                yield item, function(item)
            return
        waiting: deque[tuple[T, Future[Any]]] = deque()
        remaining = iter(items)
        failed: AuscultError | None = None
        try:
            while True:
                while failed is None and len(waiting) < IN_FLIGHT_PER_WORKER * self._workers:
                    try:
                        item = next(remaining)
                    except StopIteration:
                        break
                    except AuscultError as error:  # first write what was read before it
                        failed = error
                        break
                    waiting.append((item, self._executor.submit(_guarded, function, item)))
                if not waiting:
                    break
                item, future = waiting.popleft()
                yield item, _result(future)
        except BrokenProcessPool:
            raise UsageError(
                "A worker was ended from outside, most likely for want of memory. Next: run the same command again with"
                " fewer --workers, and it continues."
            ) from None
        if failed is not None:
            raise failed


def _result(future: Future[Any]) -> Any:
    kind, value = future.result()
    if kind == "bad":
        raise BadData(**value)
    if kind == "usage":
        raise UsageError(value)
    return value


def _guarded(function: Callable[[Any], Any], item: Any) -> tuple[str, Any]:
    """Return the result, or our own error as plain values, which survive the way between processes."""
    try:
        return "done", function(item)
    except BadData as error:
        names = ("what", "where", "expected", "found", "hint")
        return "bad", {name: getattr(error, name) for name in names}
    except UsageError as error:
        return "usage", str(error)


_encoder: Encoder | None = None
"""Of this process, where it is a worker."""


def _start_worker(tokenizer: ResolvedTokenizer, seed: int, val_share: float) -> None:
    global _encoder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _encoder = Encoder.of(tokenizer, seed, val_share)


def _end_with_parent() -> None:
    """End this process when its parent is gone: after `kill -9` nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _encode_in_worker(unit: Unit) -> Encoded:
    assert _encoder is not None
    return _encoder(unit)
