"""Facts that depend on how a trainer logs: what counts as its first step, its MFU, its processes, its plan, a rise."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest

import auscult
from auscult.examination import Examination
from auscult.examination.curve import block_means
from auscult.run import Known, Notice, Run, Series, Source, Unknown
from made_up import MadeUpRun

HERE = Source("read", "x.log", 1, "here")


def series(name: str, points: dict[int, float], **meaning: Any) -> Series:
    """Return a series of a made-up file."""
    told = {"split": "-", "mode": "unknown", "unit": "1", "window": "the step", "file": "x.log", **meaning}
    return Series(name, steps=list(points), values=list(points.values()), lines=[1] * len(points), **told)


def with_series(run: Run, *added: Series) -> Run:
    """Return the run with these series in place of those of their names."""
    names = {s.name for s in added}
    return dataclasses.replace(run, series=(*(s for s in run.series if s.name not in names), *added))


@pytest.fixture
def run(made_up: MadeUpRun) -> Run:
    """Return a healthy run with config and log."""
    return auscult.read(made_up.write())


def test_the_first_step_is_one_that_was_trained(run: Run) -> None:
    """An evaluation at step 0 before a first step 1 is not the first step; a skipped step without a loss is one."""
    loss, val = series("train_loss", {1: 9.0, 2: 8.0}), series("val_loss", {0: 9.1, 2: 8.1}, mode="eval")
    bare = dataclasses.replace(run, series=(loss, val))
    assert Examination(bare).first_step == Known(1, loss.source(0))
    scale = series("loss_scale", {0: 65536.0, 1: 32768.0})
    assert Examination(dataclasses.replace(run, series=(loss, val, scale))).first_step == Known(0, scale.source(0))
    only = Examination(dataclasses.replace(run, series=(val,))).first_step
    assert isinstance(only, Known)
    assert only.value == 0


@pytest.mark.parametrize(("interval", "wanted"), [(1_000, 0.20), (500, 0.30)])
def test_the_mfu_as_printed(run: Run, interval: int, wanted: float) -> None:
    """NanoGPT's average forgets half of an evaluation in seven logged values: rarer ones leave the median of what is printed.

    Logged every 100 steps, 0.30 before the first evaluation and 0.20 ever after; every tenth or every fifth value is an
    evaluation's. The undisturbed value is 0.30 in both.
    """
    points = {step: 0.30 if step < interval else 0.20 for step in range(100, 5_001, 100)}
    changed = with_series(
        run,
        dataclasses.replace(series("mfu", points), scope="rank"),
        series("val_loss", dict.fromkeys(range(interval, 5_001, interval), 3.0), mode="eval"),
        series("step_time_s", dict.fromkeys(points, 0.1)),
    )
    recipe = dataclasses.replace(changed.recipe, eval_interval=Known(interval, HERE))
    exam = Examination(dataclasses.replace(changed, recipe=recipe))
    printed, undisturbed, last = exam.mfu_logged_printed, exam.mfu_logged, exam.mfu_logged_last
    assert isinstance(printed, Known)
    assert isinstance(undisturbed, Known)
    assert isinstance(last, Known)
    assert (printed.value, undisturbed.value, last.value) == (wanted, 0.30, 0.20)


@pytest.mark.parametrize("scope", ["rank", "global"])
def test_another_trainers_peak_is_not_an_a100s(run: Run, scope: str) -> None:
    """Picotron and older nanochat divide by an H100's peak whatever the card: their MFU is a share of that, and proves no count."""
    mfu = run.get("mfu")
    assert mfu is not None
    peak = Known(989e12, Source("default", formula="picotron divides by an H100's peak"))
    other = with_series(run, dataclasses.replace(mfu, scope=scope))
    other = dataclasses.replace(other, logged=dataclasses.replace(run.logged, mfu_peak_flops_per_s=peak))
    exam = Examination(other)
    assert exam.mfu_logged_peak == peak
    assert isinstance(exam.processes_in_log, Unknown)


def test_all_cards_of_a_machine_where_a_fork_fits_them_roughly(run: Run) -> None:
    """2.2 processes by nanoGPT's arithmetic are the two cards of the machine, not those of a machine of four."""
    exam = Examination(run)
    ratio = exam._processes_if_divided_by(312e12)
    assert isinstance(ratio, Known)
    mfu = run.get("mfu")
    assert mfu is not None
    fork = with_series(run, dataclasses.replace(mfu, values=[v * ratio.value / 2.2 for v in mfu.values]))
    for cards, wanted in ((2, 2), (4, None), (None, None)):
        noted = {} if cards is None else {"wandb.gpu_count": Known(cards, HERE)}
        processes = Examination(dataclasses.replace(fork, noted=noted)).processes
        assert (processes.value if isinstance(processes, Known) else None) == wanted


def test_a_plan_is_counted_as_the_log_counts(run: Run) -> None:
    """LitGPT logs iterations: 100 steps of 8 micro-batches over 2 ranks are 400 of them; without the ranks nobody knows."""
    recipe = dataclasses.replace(
        run.recipe,
        max_steps=Known(100, HERE),
        gradient_accumulation_steps=Known(8, HERE),
        world_size=Known(2, HERE),
    )
    plain = dataclasses.replace(run, recipe=recipe)
    assert Examination(plain).steps_planned == Known(100, HERE)
    logged = dataclasses.replace(plain, notices=(Notice("steps_are_iterations", HERE),))
    planned = Examination(logged).steps_planned
    assert isinstance(planned, Known)
    assert planned.value == 400
    alone = dataclasses.replace(logged, recipe=dataclasses.replace(recipe, world_size=Unknown("not said")))
    assert isinstance(Examination(alone).steps_planned, Unknown)


def test_block_means_by_hand() -> None:
    """Six points in three blocks are the means of two each, at the later step of each pair."""
    blocks = block_means(series("train_loss", {1: 1.0, 2: 3.0, 3: 5.0, 4: 7.0, 5: 2.0, 6: 4.0}), 3)
    assert (list(blocks.steps), list(blocks.values), blocks.count) == ([2, 4, 6], [2.0, 6.0, 3.0], 3)


def moving_average(rise_per_step: float) -> Series:
    """Return 4,000 iterations of a loss printed as a debiased moving average, as nanochat prints it."""
    draw, smooth, points = random.Random(7), 0.0, {}
    for step in range(1, 4_001):
        fresh = 2.5 + 2.0 * math.exp(-step / 400) + max(0, step - 2_000) * rise_per_step + draw.gauss(0, 0.05)
        smooth = 0.9 * smooth + 0.1 * fresh
        points[step] = smooth / (1 - 0.9**step)
    return series("train_loss", points, split="train", mode="train", unit="nats_per_token")


@pytest.mark.parametrize(("rise_per_step", "is_rise"), [(0.0, False), (5e-5, True)])
def test_a_moving_average_that_wanders_does_not_rise(run: Run, rise_per_step: float, is_rise: bool) -> None:
    """The wandering of an average of noise is no rise however long the run; 0.1 nats over half of it are."""
    exam = Examination(dataclasses.replace(run, series=(moving_average(rise_per_step),)))
    rise = exam.rise
    assert isinstance(rise, Known)
    assert rise.value.is_significant is is_rise
