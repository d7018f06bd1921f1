"""Distributions, noise and slopes against SciPy, and properties that their formulas promise."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.facts.curve import (
    Noise,
    evaluation_noise,
    evaluations_needed,
    log_token_slope,
    smoothed_minimum,
    split_sampling_error,
)
from auscult.facts.statistics import difference_of_means, t_quantile


def scipy_stats() -> Any:
    """Return scipy.stats, or skip."""
    return pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("dof", [1, 1.5, 2, 3, 4.7, 8, 12, 30, 99.5, 1_000, 100_000])
def test_t_quantile_equals_scipy(dof: float) -> None:
    """The quantile agrees with SciPy to 1e-6 over probabilities from 1e-5 to 1 - 1e-5."""
    stats = scipy_stats()
    for p in (1e-5, 0.001, 0.01, 0.025, 0.1, 0.3, 0.49, 0.51, 0.6, 0.8, 0.9, 0.95, 0.975, 0.995, 0.9995, 1 - 1e-5):
        assert t_quantile(p, dof) == pytest.approx(float(stats.t.ppf(p, dof)), rel=1e-6), (p, dof)


def test_t_quantile_is_zero_at_the_median() -> None:
    """The median of a symmetric distribution is exactly zero."""
    assert t_quantile(0.5, 7) == 0.0


SAMPLES = [
    ([3.1, 3.0, 3.3], [2.9, 3.2]),
    ([1.0, 2.0, 4.0, 8.0], [0.5, 0.25, 0.125]),
    ([3.52, 3.53, 3.51, 3.55, 3.50, 3.54], [3.60, 3.61, 3.605, 3.59]),
]


@pytest.mark.parametrize(("first", "second"), SAMPLES)
def test_difference_of_means_equals_welch(first: list[float], second: list[float]) -> None:
    """The difference and its standard error are those behind SciPy's Welch test."""
    ours = difference_of_means(first, second)
    welch = scipy_stats().ttest_ind(first, second, equal_var=False)
    assert ours.points == len(first) + len(second)
    assert ours.value / ours.standard_error == pytest.approx(float(welch.statistic), rel=1e-12)
    assert ours.value == pytest.approx(math.fsum(first) / len(first) - math.fsum(second) / len(second))


def noisy_curve(points: int, sd: float, seed: int) -> tuple[list[int], list[float]]:
    rng = random.Random(seed)
    steps = [500 * (i + 1) for i in range(points)]
    return steps, [3.0 + 40.0 / step**0.45 + rng.gauss(0, sd) for step in steps]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_slope_equals_linregress(seed: int) -> None:
    """Without noise given, slope, standard error and interval are those of ordinary least squares on ln(step)."""
    stats = scipy_stats()
    steps, losses = noisy_curve(12, 0.01, seed)
    ours = log_token_slope(steps, losses, Noise(0.0, 0))
    theirs = stats.linregress([math.log(step) for step in steps], losses)
    half = float(stats.t.ppf(0.975, len(steps) - 2) * theirs.stderr)
    assert ours.value == pytest.approx(float(theirs.slope), rel=1e-9)
    assert ours.standard_error == pytest.approx(float(theirs.stderr), rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((ours.value - half, ours.value + half), rel=1e-6)
    assert (ours.first_step, ours.last_step, ours.points) == (steps[0], steps[-1], len(steps))


def test_given_noise_widens_the_slope_but_never_narrows_it() -> None:
    """The larger of the noise given and the window's own residual sets the standard error."""
    steps, losses = noisy_curve(12, 0.01, 4)
    own = log_token_slope(steps, losses, Noise(0.0, 0))
    assert log_token_slope(steps, losses, Noise(1e-6, 20)).standard_error == own.standard_error
    wider = log_token_slope(steps, losses, Noise(0.5, 20))
    assert wider.value == own.value
    x = [math.log(step) for step in steps]
    sxx = sum((xi - sum(x) / len(x)) ** 2 for xi in x)
    assert wider.standard_error == pytest.approx(0.5 / math.sqrt(sxx))


@pytest.mark.parametrize("sd", [0.003, 0.01, 0.05])
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_noise_is_recovered_from_a_log_curve(sd: float, seed: int) -> None:
    """Gaussian noise on a loss that falls with ln(step) is estimated within 25 % from 200 evaluations."""
    rng = random.Random(seed)
    x = [math.log(500 * (i + 1)) for i in range(200)]
    noise = evaluation_noise(x, [6.0 - 0.25 * xi + rng.gauss(0, sd) for xi in x])
    assert noise.points == 198
    assert noise.sd == pytest.approx(sd, rel=0.25)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_noise_is_recovered_after_the_first_bend_of_a_power_law(seed: int) -> None:
    """On E + A/step^0.45 the estimate holds within 25 % once the curve no longer bends within three evaluations."""
    steps, losses = noisy_curve(210, 0.01, seed)
    noise = evaluation_noise([math.log(step) for step in steps[10:]], losses[10:])
    assert noise.sd == pytest.approx(0.01, rel=0.25)


@settings(database=None, derandomize=True, deadline=None, max_examples=100)
@given(
    rows=st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(2.0, 11.0)), min_size=3, max_size=40),
    intercept=st.floats(-10, 10),
    slope=st.floats(-5, 5),
)
def test_noise_ignores_a_straight_line(rows: list[tuple[float, float]], intercept: float, slope: float) -> None:
    """Adding any straight line in ln(tokens) leaves the noise unchanged: a trend is not noise."""
    x = [sum(gap for gap, _y in rows[: i + 1]) for i in range(len(rows))]
    y = [value for _gap, value in rows]
    tilted = [yi + intercept + slope * xi for xi, yi in zip(x, y, strict=True)]
    before, after = evaluation_noise(x, y), evaluation_noise(x, tilted)
    assert after.points == before.points == len(rows) - 2
    assert after.sd == pytest.approx(before.sd, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("points", [0, 1, 2])
def test_noise_of_too_few_points_is_not_a_number(points: int) -> None:
    """Fewer than three evaluations hold no information about noise, and zero is not claimed."""
    noise = evaluation_noise([float(i) for i in range(points)], [3.0] * points)
    assert math.isnan(noise.sd)
    assert noise.points == 0


WINDOW = st.lists(st.integers(1, 20), min_size=1, max_size=8).map(
    lambda gaps: [500 * sum(gaps[: i + 1]) for i in range(len(gaps))]
)


@settings(database=None, derandomize=True, deadline=None, max_examples=60)
@given(
    window=WINDOW,
    interval=st.sampled_from([100, 250, 500, 1000]),
    sds=st.tuples(st.floats(1e-4, 0.05), st.floats(1e-4, 0.05)),
    slope=st.floats(0.02, 0.5),
)
def test_more_noise_never_needs_fewer_evaluations(
    window: list[int], interval: int, sds: tuple[float, float], slope: float
) -> None:
    """The number of further evaluations does not fall as the noise grows, None counting as more than any number."""
    quiet, loud = sorted(sds)
    counts = [evaluations_needed(window[-1], interval, Noise(sd, 20), slope, window) for sd in (quiet, loud)]
    few, many = (math.inf if count is None else count for count in counts)
    assert few <= many


@settings(database=None, derandomize=True, deadline=None, max_examples=60)
@given(window=WINDOW, sd=st.floats(1e-3, 0.03), slope=st.floats(0.05, 0.5))
def test_the_number_of_evaluations_is_the_smallest(window: list[int], sd: float, slope: float) -> None:
    """With the answer the slope stands at three standard errors, and with one evaluation less it does not."""

    def sigmas(more: int) -> float:
        x = [math.log(step) for step in window + [window[-1] + 500 * (i + 1) for i in range(more)]]
        mean = sum(x) / len(x)
        return slope * math.sqrt(sum((xi - mean) ** 2 for xi in x)) / sd

    more = evaluations_needed(window[-1], 500, Noise(sd, 20), slope, window)
    if more is None:
        assert sigmas(1000) < 3
    else:
        assert sigmas(more) >= 3 - 1e-9
        assert more == 0 or sigmas(more - 1) < 3 + 1e-9


@pytest.mark.parametrize(
    ("sd", "slope", "interval"), [(math.nan, 0.1, 500), (0.01, 0.0, 500), (0.01, -1.0, 500), (0.01, 0.1, 0)]
)
def test_evaluations_needed_refuses_senseless_input(sd: float, slope: float, interval: int) -> None:
    """Unknown noise, a slope that is not positive or an interval of zero give None."""
    assert evaluations_needed(1000, interval, Noise(sd, 20), slope, [500, 1000]) is None


def test_one_lucky_evaluation_is_not_the_minimum() -> None:
    """A single outlier does not set the smoothed minimum, while a sustained minimum does."""
    assert smoothed_minimum([5.0, 4.0, 0.1, 4.0, 3.9, 3.8, 3.7, 3.8, 3.9]) == (5, 3.8)
    assert smoothed_minimum([3.0]) == (0, 3.0)


def test_a_split_four_times_larger_has_half_the_error() -> None:
    """The sampling error of a split falls with the square root of its size, and a 5,300-token split is hopeless."""
    small, large = split_sampling_error(1_000_000), split_sampling_error(4_000_000)
    assert small[0] == pytest.approx(2 * large[0])
    assert small[1] == pytest.approx(2 * large[1])
    assert split_sampling_error(5_300)[0] > 0.2
