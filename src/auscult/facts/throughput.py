"""Step times told apart: steady steps, and those with an evaluation or a compilation inside."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = [
    "IMPOSSIBLE_MFU",
    "StepTimes",
    "attainable_mfu",
    "processes_from_mfu",
    "separate_step_times",
    "undisturbed_mfu",
]


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Step times by kind.

    Attributes
    ----------
    steady_s : float
        Median of the steps without an evaluation [s].
    with_evaluation_s : float or None
        Median of the steps with one [s].
    steady_points, evaluation_points : int
        How many of each.
    slowest_steady_s : float
        The slowest of the steady ones [s].
    """

    steady_s: float
    with_evaluation_s: float | None
    steady_points: int
    evaluation_points: int
    slowest_steady_s: float


def separate_step_times(steps: Sequence[int], times_s: Sequence[float], evaluated: Container[int]) -> StepTimes | None:
    """Separate steady steps from those with an evaluation inside [s].

    Parameters
    ----------
    steps, times_s : sequences
        Step and time of each logged iteration.
    evaluated : container of int
        Steps at which an evaluation ran; nanoGPT counts its time into that step.

    Returns
    -------
    StepTimes or None
        None when no steady step is left. The first logged step and every step 0 (compilation) never count.

    References
    ----------
    karpathy/nanoGPT ``train.py`` (3adf61e): ``t0`` is taken before ``estimate_loss()``.

    Examples
    --------
    >>> separate_step_times([0, 200, 400, 500], [32.0, 3.9, 3.9, 19.2], {0, 500}).steady_s
    3.9
    """
    timed = [(step, time) for step, time in zip(steps, times_s, strict=True) if time > 0]
    rows = [(step, time) for step, time in timed[1:] if step > 0]  # a restart in the same file compiles again
    steady = [time for step, time in rows if step not in evaluated]
    loaded = [time for step, time in rows if step in evaluated]
    if not steady:
        return None
    return StepTimes(median(steady), median(loaded) if loaded else None, len(steady), len(loaded), max(steady))


def undisturbed_mfu(steps: Sequence[int], mfus: Sequence[float], evaluated: Container[int]) -> tuple[float, int] | None:
    """Return the printed MFU before any evaluation entered nanoGPT's running average, and the index of one such point.

    Parameters
    ----------
    steps, mfus : sequences
        As printed, sentinels left out.
    evaluated : container of int
        Steps whose time holds an evaluation.

    Returns
    -------
    (float, int) or None
        Median of the points before the first disturbed one; of all points when every one is disturbed; None when empty.

    References
    ----------
    karpathy/nanoGPT ``train.py`` (3adf61e): ``running_mfu = 0.9*running_mfu + 0.1*mfu``, at logged iterations only.

    Examples
    --------
    >>> undisturbed_mfu([200, 400, 500, 600], [0.129, 0.129, 0.119, 0.12], {0, 500})
    (0.129, 0)
    """
    if not mfus:
        return None
    clean = next((i for i, step in enumerate(steps) if step in evaluated and i > 0), len(steps))
    values = list(mfus[:clean])
    middle = median(values)
    return middle, min(range(clean), key=lambda i: abs(values[i] - middle))


def processes_from_mfu(
    *, mfu_logged: float, step_time_s: float, flops_per_token: int, tokens_per_step: int, peak_flops_per_s: float
) -> float:
    """Return how many processes share a step, from the MFU each printed for its own share.

    Notes
    -----
    nanoGPT computes the MFU of one process: its FLOPs are ``flops_per_token · tokens_per_step / processes``. The
    result is a whole number up to the rounding of the printed MFU; anything else means another trainer or shape.

    References
    ----------
    karpathy/nanoGPT ``estimate_mfu`` (3adf61e).

    Examples
    --------
    >>> round(processes_from_mfu(mfu_logged=0.1288, step_time_s=3.911, flops_per_token=299_983_104,
    ...                          tokens_per_step=524_288, peak_flops_per_s=312e12), 3)
    1.001
    """
    return flops_per_token * tokens_per_step / (step_time_s * peak_flops_per_s * mfu_logged)


IMPOSSIBLE_MFU = 1.1
"""Cards boost a little above their nominal clock; a tenth above the peak is another card."""

_ATTAINABLE = (
    (("a100", "a800"), (0.37, 0.59)),
    (("h100", "h200", "h800", "gh200"), (0.33, 0.46)),
    (("rtx 30", "rtx 40", "rtx 50"), (0.55, 0.80)),
)
_ATTAINABLE_ELSEWHERE = (0.25, 0.60)


def attainable_mfu(card: str) -> tuple[float, float]:
    """Return the range of MFU that public training runs of this kind reach on a card (fractions of its own peak).

    Parameters
    ----------
    card : str
        Its name in the table.

    Notes
    -----
    A prior, not a prediction: compiled PyTorch, flash attention, one card to one node. Elsewhere than on the cards
    named, a wide range is returned.

    References
    ----------
    Public measurements collected in measured_runs.csv (MosaicML, litgpt, nanoGPT, nanochat): A100 37-59 %, H100 33-46 %,
    GeForce 55-80 % (planners.md §2).

    Examples
    --------
    >>> attainable_mfu("RTX 4070")
    (0.55, 0.8)
    """
    name = card.lower()
    return next((span for keys, span in _ATTAINABLE if any(key in name for key in keys)), _ATTAINABLE_ELSEWHERE)
