"""From what was observed to figures: medians, spreads, rates, time to a loss, and whether the curves are one curve."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .case import Case

__all__ = ["REFERENCE", "ROUNDING", "Figures", "apart", "figures", "step_times_s", "time_to_loss_s"]

REFERENCE = "plain-eager"
"""The subject whose losses the others are compared with."""
ROUNDING = "plain-rounding"
"""The reference again, its weights changed by a millionth: how far apart equal trainers may drift."""
WINDOW = 10
"""Steps whose mean loss has to reach the target."""
TENTH = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one subject over its processes.

    Attributes
    ----------
    step_time_s : float
        Median over the processes of each one's median after the warm steps.
    lowest_s, highest_s : float
        The smallest and the largest of these medians.
    slow_step_s : float
        What nine steps of ten are faster than, over all processes.
    tokens_per_s : float
        Of the median step.
    flops_per_s : dict
        By convention.
    peak_bytes, above_bytes : int
        Peak memory (median of the processes): resident, and above what was resident before the model was built; on a GPU
        the reserved and the allocated maximum.
    start_s : float
        From the start of the process to the first step's end, less a median step: imports, set-up and compilation.
    to_loss_s : float or None
        From the start of the process until the target loss is reached; None where it is not.
    apart_nats : float
        The largest difference of any step's loss from the reference's.
    """

    step_time_s: float
    lowest_s: float
    highest_s: float
    slow_step_s: float
    tokens_per_s: float
    flops_per_s: Mapping[str, float]
    peak_bytes: int
    above_bytes: int
    start_s: float
    to_loss_s: float | None
    apart_nats: float


def step_times_s(run: Mapping[str, Any], warm_steps: int) -> list[float]:
    """Return how long each step after the warm ones took [s].

    Examples
    --------
    >>> step_times_s({"step_ended_s": [9.0, 10.0, 10.5, 11.5]}, 2)
    [0.5, 1.0]
    """
    ended = run["step_ended_s"]
    return [after - before for before, after in zip(ended[warm_steps - 1 :], ended[warm_steps:], strict=False)]


def time_to_loss_s(run: Mapping[str, Any], target: float) -> float | None:
    """Return when the mean loss of ten steps first lay at or below a target [s after the process started]."""
    losses, ended = run["loss_nats_per_token"], run["step_ended_s"]
    for step in range(WINDOW, len(losses) + 1):
        if statistics.fmean(losses[step - WINDOW : step]) <= target:
            return float(ended[step - 1])
    return None


def apart(run: Mapping[str, Any], reference: Mapping[str, Any]) -> float:
    """Return the largest difference between the losses of two runs at equal steps [nats].

    Raises
    ------
    ValueError
        When the runs have not the same number of losses.
    """
    pairs = zip(run["loss_nats_per_token"], reference["loss_nats_per_token"], strict=True)
    return float(max(abs(one - other) for one, other in pairs))


def figures(case: Case, runs: Sequence[Mapping[str, Any]], reference: Mapping[str, Any]) -> Figures:
    """Return the figures of a subject's processes."""
    times = [step_times_s(run, case.warm_steps) for run in runs]
    medians = [statistics.median(some) for some in times]
    pooled = sorted(time for some in times for time in some)
    step = statistics.median(medians)
    rate = case.tokens_per_step / step
    reached = [time_to_loss_s(run, case.target_loss) for run in runs]
    whole = [moment for moment in reached if moment is not None]
    gpu = "peak_reserved_bytes" in runs[0]
    peaks = [run["peak_reserved_bytes" if gpu else "peak_resident_bytes"] for run in runs]
    aboves = [
        run["peak_allocated_bytes"] if gpu else run["peak_resident_bytes"] - run["resident_before_model_bytes"]
        for run in runs
    ]
    return Figures(
        step_time_s=step,
        lowest_s=min(medians),
        highest_s=max(medians),
        slow_step_s=pooled[max(0, len(pooled) - 1 - len(pooled) // TENTH)],
        tokens_per_s=rate,
        flops_per_s={name: flops * rate for name, flops in case.flops_per_token().items()},
        peak_bytes=int(statistics.median(peaks)),
        above_bytes=int(statistics.median(aboves)),
        start_s=statistics.median(run["step_ended_s"][0] for run in runs) - step,
        to_loss_s=statistics.median(whole) if len(whole) == len(runs) else None,
        apart_nats=max(apart(run, reference) for run in runs),
    )
