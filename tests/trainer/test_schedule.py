"""The learning rate is a function of the step alone: never above the peak, nowhere a jump, at the floor where it should be."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auscult.preflight import learning_rate_at
from auscult.recipe import OptimizerSettings, ScheduleSettings, TrainingRecipe
from recipe_files import recipes

KINDS: tuple[Any, ...] = ("cosine", "linear", "wsd", "constant")


def recipe(kind: Any = "cosine", *, peak: float = 1e-3, **more: Any) -> TrainingRecipe:
    schedule = ScheduleSettings(**{"kind": kind, "steps": 1000, "warmup_steps": 100, **more})
    return TrainingRecipe(optimizer=OptimizerSettings(learning_rate=peak), schedule=schedule)


@given(recipes(), st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_rates_lie_between_floor_and_peak(one: TrainingRecipe, steps: list[int]) -> None:
    """At any step, asked in any order: after the warm-up at least the floor, always above 0 in it, never above the peak."""
    peak, schedule = one.optimizer.learning_rate, one.schedule
    first = [learning_rate_at(one, step) for step in steps]
    assert [learning_rate_at(one, step) for step in reversed(steps)] == first[::-1]
    for step, rate in zip(steps, first, strict=True):
        assert rate <= peak * (1 + 1e-12)
        if step < schedule.warmup_steps:
            assert rate == pytest.approx(peak * (step + 1) / (schedule.warmup_steps + 1))
        else:
            assert rate >= schedule.min_learning_rate * (1 - 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", [None, 300])
@pytest.mark.parametrize("warmup", [0, 1, 100])
def test_there_is_no_jump(kind: Any, decay: int | None, warmup: int) -> None:
    """From the warm-up into the plateau, into the decay and onto the floor, a step changes the rate by little."""
    if kind == "constant" and decay is not None:
        pytest.skip("a constant rate does not decay")
    one = recipe(kind, warmup_steps=warmup, decay_steps=decay, min_learning_rate=1e-4 if kind != "constant" else 0.0)
    rates = [learning_rate_at(one, step) for step in range(1001)]
    climb, fall = 1 / (warmup + 1), 3.2 / (2 * 200)  # shares of the peak; a cosine is π/2 as steep as a line
    jumps = [abs(b - a) / 1e-3 for a, b in itertools.pairwise(rates)]
    assert max(jumps[:warmup], default=0) <= climb * 1.001
    assert max(jumps[warmup:]) <= fall
    assert rates[warmup] == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd"])
def test_the_floor_is_reached_when_it_should_be(kind: Any) -> None:
    """At the end of the run by default; at ``decay_steps`` where given, and it stays there; wsd decays over its last steps."""
    one = recipe(kind, min_learning_rate=1e-5)
    assert learning_rate_at(one, 1000) == pytest.approx(1e-5)
    assert learning_rate_at(one, 990) > 1e-5
    assert learning_rate_at(one, 5000) == pytest.approx(1e-5)
    other = recipe(kind, min_learning_rate=1e-5, decay_steps=400)
    if kind == "wsd":
        assert {learning_rate_at(other, step) for step in range(100, 601)} == {1e-3}
        assert learning_rate_at(other, 800) == pytest.approx((1e-3 + 1e-5) / 2)
    else:
        assert {learning_rate_at(other, step) for step in range(401, 1000)} == {1e-5}


def test_a_constant_rate_stays() -> None:
    """After the warm-up, for ever."""
    assert {learning_rate_at(recipe("constant"), step) for step in (100, 500, 999, 10**6)} == {1e-3}


@pytest.mark.parametrize(("kind", "torchs"), [("cosine", "cosine"), ("linear", "linear")])
def test_the_decay_is_torchs(kind: Any, torchs: str) -> None:
    """Without a warm-up, cosine and linear are torch's own schedulers, step by step."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-3)
    scheduler: Any = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000, eta_min=1e-4)
        if torchs == "cosine"
        else torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.1, total_iters=1000)
    )
    one = recipe(kind, warmup_steps=0, min_learning_rate=1e-4)
    for step in range(1000):
        assert learning_rate_at(one, step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        scheduler.step()
