"""The meter: numbers are read late where reading waits, in order, with the time that was theirs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.journal import Meter, NotFinite, SilentJournal
from auscult.journal import meter as module


class Told(SilentJournal):
    """A journal that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.bar: list[int] = []

    def step(self, values: Any) -> None:
        """Keep."""
        self.steps.append(dict(values))

    def progress(self, step: int) -> None:
        """Keep."""
        self.bar.append(step)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def perf_counter(self) -> float:
        """Read it."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The meter's clock."""
    one = Clock()
    monkeypatch.setattr(module, "time", one)
    return one


def _constant(*values: float) -> tuple[float, ...]:
    return values


def meter(journal: Told, **more: Any) -> Meter:
    return Meter(journal, **{"steps": 100, "log_every_steps": 10, "tokens_per_step": 1000, **more})


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_the_last_few_steps_are_not_read(lag: int) -> None:
    """With a lag, a step's numbers are asked for only when as many more are under way; settling reads all."""
    read: list[int] = []
    one = meter(Told(), lag=lag)

    def numbers(step: int) -> tuple[float, float, float]:
        read.append(step)
        return 5.0, 1.0, 0.0

    for step in range(6):
        one.add(step, 1e-3, partial(numbers, step))
        assert read == list(range(max(0, step + 1 - lag)))
    one.settle()
    assert read == list(range(6))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 3), st.integers(0, 40))
def test_every_nth_step_and_the_last_are_told(steps: int, every: int, lag: int, first: int) -> None:
    """Told are the multiples and the last step, in order; the bar moves with each; tokens are those before the step."""
    journal = Told()
    one = meter(journal, steps=first + steps, log_every_steps=every, lag=lag)
    for step in range(first, first + steps):
        one.add(step, 0.5, partial(_constant, float(step), 2.0, 0.0))
    one.settle()
    expected = [s for s in range(first, first + steps) if s % every == 0 or s == first + steps - 1]
    assert [v["step"] for v in journal.steps] == expected
    assert [v["loss_nats_per_token"] for v in journal.steps] == expected
    assert [v["tokens"] for v in journal.steps] == [1000 * s for s in expected]
    assert journal.bar == list(range(first + 1, first + steps + 1))


@pytest.mark.parametrize(
    ("loss", "norm"), [(float("nan"), 1.0), (float("inf"), 1.0), (5.0, float("nan")), (5.0, float("inf"))]
)
def test_what_is_not_finite_is_raised_with_its_step(loss: float, norm: float) -> None:
    """Loss or gradient, NaN or infinite: the step, both numbers and the step before; nothing after it is read or told."""
    journal = Told()
    one = meter(journal, log_every_steps=1, lag=2)
    one.add(7, 1e-3, lambda: (5.25, 0.5, 0.0))
    one.add(8, 1e-3, lambda: (loss, norm, 0.0))
    one.add(9, 1e-3, lambda: pytest.fail("it was read"))
    with pytest.raises(NotFinite) as error:
        one.settle()
    assert (error.value.step, str(error.value.loss), str(error.value.grad_norm)) == (8, str(loss), str(norm))
    assert str(error.value) == (
        f"Step 8: loss {loss}, gradient norm {norm:.3g} (step 7: loss 5.2500, gradient norm 0.5)."
    )
    one.settle()
    assert [v["step"] for v in journal.steps] == [7]


def test_a_step_that_wants_to_stop_stops() -> None:
    """Any positive share of ranks that heard a signal; it is known when the step is settled, and stays."""
    one = meter(Told(), lag=1)
    one.add(0, 1e-3, lambda: (5.0, 1.0, 0.25))
    assert not one.stopped
    one.add(1, 1e-3, lambda: (5.0, 1.0, 0.0))
    assert one.stopped
    one.settle()
    assert one.stopped


def test_times_and_speeds_are_means_over_the_steps_since(clock: Clock) -> None:
    """Ten steps in 5 s: 0.5 s each; tokens, FLOPs and MFU follow; memory is asked for when a step is told."""
    journal = Told()
    one = meter(journal, flops_per_token=6_000, peak_flops_per_s=24e6, memory_bytes=lambda: 123)
    for step in range(11):
        clock.now_s += 2.0 if step == 0 else 0.5
        one.add(step, 1e-3, lambda: (5.0, 1.0, 0.0))
    assert [v["step_time_s"] for v in journal.steps] == [2.0, 0.5]
    last = journal.steps[-1]
    assert last["tokens_per_s"] == 2000
    assert last["flops_per_s"] == 12e6
    assert last["mfu"] == 0.5
    assert last["memory_allocated_bytes"] == 123


def test_without_a_peak_there_is_no_mfu() -> None:
    """What is not known is None, never a guess."""
    for known in ({}, {"flops_per_token": 6000}, {"peak_flops_per_s": 1e12}):
        journal = Told()
        meter(journal, **known).add(0, 1e-3, lambda: (5.0, 1.0, 0.0))
        assert journal.steps[0]["mfu"] is None
        assert (journal.steps[0]["flops_per_s"] is None) == ("flops_per_token" not in known)


def test_what_comes_between_steps_is_not_theirs(clock: Clock) -> None:
    """An evaluation of a minute leaves the step's time as it was, and the steps before it are settled first."""
    journal = Told()
    one = meter(journal, lag=1)
    for step in range(11):
        clock.now_s += 0.5
        one.add(step, 1e-3, lambda: (5.0, 1.0, 0.0))
        if step == 4:
            with one.paused():
                assert journal.bar[-1] == 5
                clock.now_s += 60.0
    one.settle()
    assert [v["step_time_s"] for v in journal.steps] == [pytest.approx(1.0), pytest.approx(0.45)]
