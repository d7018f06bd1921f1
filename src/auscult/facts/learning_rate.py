"""The peak learning rate, the warmup and the batch that published runs and laws give for a model and its tokens."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "BETA1",
    "BETA2",
    "FLOOR_SHARE",
    "GRAD_CLIP",
    "RUNS",
    "WEIGHT_DECAY",
    "Basis",
    "LearningRate",
    "Published",
    "floor_learning_rate",
    "suggest_learning_rate",
    "suggest_tokens_per_step",
    "warmup_steps",
]


@dataclass(frozen=True, slots=True)
class Published:
    """A published run's size [parameters], peak learning rate and batch [tokens]."""

    parameters: float
    learning_rate: float
    tokens_per_step: float


GPT3 = (
    Published(125e6, 6.0e-4, 0.5e6),
    Published(350e6, 3.0e-4, 0.5e6),
    Published(760e6, 2.5e-4, 0.5e6),
    Published(1.3e9, 2.0e-4, 1e6),
    Published(2.7e9, 1.6e-4, 1e6),
    Published(6.7e9, 1.2e-4, 2e6),
    Published(13e9, 1.0e-4, 2e6),
    Published(175e9, 0.6e-4, 3.2e6),
)
"""Brown et al. 2020, arXiv:2005.14165, table 2.1. Its rates are cautious: modded-nanogpt tuned AdamW for 124M to 1.5e-3 to
1.8e-3. A rate four times too low costs about 0.02 nats, one four times too high 0.07, one eight times too high diverges
(grid of Li et al. 2025, arXiv:2503.04715); so the cautious value is the one suggested."""
BETA1, BETA2 = 0.9, 0.95
"""Of AdamW: Brown et al. 2020, appendix B; so do Pythia, Llama and nanoGPT."""
WEIGHT_DECAY = 0.1
"""Brown et al. 2020, appendix B; so do Llama (Touvron et al. 2023, section 2.3) and nanoGPT."""
GRAD_CLIP = 1.0
"""Of the global norm: Brown et al. 2020, appendix B; so do Llama and nanoGPT."""
FLOOR_SHARE = 0.1
"""Of the peak: the rate that a cosine ends at (Brown et al. 2020, appendix B; Hoffmann et al. 2022, appendix B). A decay to
zero is better by 0.8 % of the loss at 610M parameters (Bergsma et al. 2025, arXiv:2502.15938)."""
HIGHEST_RATE = 4.0e-3
"""No law is followed beyond it: the highest rate that was best for any model in the grid of arXiv:2503.04715 is 3.9e-3, of
rates up to 2.2e-2 for 0.2B to 1.1B parameters (computed from the authors' table). Smaller models may bear more."""
WARMUP_TOKENS = 375e6
"""Of GPT-3's linear warmup (Brown et al. 2020, appendix B)."""
WARMUP_SHARE = 0.05
"""Of the steps at most: a longer warmup takes from the schedule (Porian et al. 2024, arXiv:2406.19146, found it costly)."""


@dataclass(frozen=True, slots=True)
class Basis:
    """One value with whose it is and where it was published."""

    name: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class LearningRate:
    """A peak learning rate for AdamW: the value suggested, and the range of what practice and laws give."""

    low: float
    value: float
    high: float
    basis: tuple[Basis, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    """A published run by name, with where it was published."""

    name: str
    run: Published
    source: str


_PYTHIA = "Biderman et al. 2023, arXiv:2304.01373, table 1"
RUNS = (
    *(
        _Run(f"Pythia-{name}", Published(size, rate, 2_097_152), _PYTHIA)
        for name, size, rate in (
            ("70M", 70.4e6, 1.0e-3),
            ("160M", 162e6, 6.0e-4),
            ("410M", 405e6, 3.0e-4),
            ("1B", 1.01e9, 3.0e-4),
            ("1.4B", 1.41e9, 2.0e-4),
            ("2.8B", 2.78e9, 1.6e-4),
            ("6.9B", 6.86e9, 1.2e-4),
            ("12B", 11.8e9, 1.2e-4),
        )
    ),
    _Run("nanoGPT's GPT-2", Published(124e6, 6.0e-4, 491_520), "karpathy/nanoGPT config/train_gpt2.py, 3adf61e"),
    _Run(
        "modded-nanogpt's tuned AdamW",
        Published(124e6, 1.8e-3, 524_288),
        "KellerJordan/modded-nanogpt records/track_1_short/2024-06-06_AdamW",
    ),
    _Run("TinyLlama", Published(1.1e9, 4.0e-4, 2e6), "Zhang et al. 2024, arXiv:2401.02385, section 2"),
    _Run("Llama 7B", Published(6.7e9, 3.0e-4, 4e6), "Touvron et al. 2023, arXiv:2302.13971, table 2"),
)
"""Runs with AdamW and a decaying schedule; those of about a model's size widen the range that is shown for it."""
ABOUT_THE_SIZE = 1.5
"""Runs of up to this factor more or fewer parameters count as of about a model's size."""


def suggest_learning_rate(
    parameters: float, tokens: float, tokens_per_step: float, *, non_embedding: float | None = None
) -> LearningRate:
    """Suggest a peak learning rate for AdamW with a decaying schedule.

    Parameters
    ----------
    parameters : float
        Without the position table [parameters].
    tokens : float
        Of the whole run [tokens].
    tokens_per_step : float
        Of one optimiser step [tokens].
    non_embedding : float, optional
        Without every table, as the laws count [parameters]; ``parameters`` where it is not given, which lowers theirs.

    Returns
    -------
    LearningRate
        ``value`` follows GPT-3's table, scaled down with the square root of a batch that is smaller than its own.

    Raises
    ------
    ValueError
        When an amount is not positive.

    Notes
    -----
    Practice and the laws differ by up to a factor of ten, as their schedules, batches and ends of decay do. Not for Muon,
    whose rates are of another kind.

    References
    ----------
    Brown et al. 2020, arXiv:2005.14165, table 2.1; DeepSeek-AI 2024, arXiv:2401.02954, equation 1: ``0.3118 · C^-0.125``;
    Li et al. 2025, "Step Law", arXiv:2503.04715: ``1.79 · N^-0.713 · D^0.307``; Malladi et al. 2022, arXiv:2205.10287, for
    the square root.

    Examples
    --------
    >>> rate = suggest_learning_rate(124e6, 10e9, 524_288)
    >>> f"{rate.value:.1e}", rate.low <= rate.value <= rate.high
    ('6.0e-04', True)
    """
    counted = parameters if non_embedding is None else non_embedding
    if min(parameters, tokens, tokens_per_step, counted) <= 0:
        raise ValueError("parameters, tokens and tokens per step must be above 0")
    batch = math.exp(_interpolated(parameters, lambda row: math.log(row.tokens_per_step)))
    practice = math.exp(_interpolated(parameters, lambda row: math.log(row.learning_rate)))
    practice *= min(1.0, math.sqrt(tokens_per_step / batch))
    compute = 6 * counted * tokens
    near = [one for one in RUNS if abs(math.log(one.run.parameters / parameters)) <= math.log(ABOUT_THE_SIZE)]
    basis = (
        Basis("GPT-3's table", practice, "Brown et al. 2020, arXiv:2005.14165"),
        Basis("DeepSeek LLM's law", min(0.3118 * compute**-0.125, HIGHEST_RATE), "arXiv:2401.02954"),
        Basis(
            "Step Law", min(1.79 * counted**-0.713 * tokens**0.307, HIGHEST_RATE), "Li et al. 2025, arXiv:2503.04715"
        ),
        *(Basis(one.name, one.run.learning_rate, one.source) for one in near),
    )
    values = [item.value for item in basis]
    return LearningRate(min(values), practice, max(values), basis)


def suggest_tokens_per_step(parameters: float, tokens: float) -> float:
    """Suggest how many tokens an optimiser step takes [tokens].

    Notes
    -----
    The geometric mean of GPT-3's batch for the size and of Step Law's for the tokens: the former lies near the critical
    batch, beyond which time is all that is gained, the latter at the least loss for the tokens.

    References
    ----------
    Brown et al. 2020, arXiv:2005.14165, table 2.1; Li et al. 2025, arXiv:2503.04715: ``0.58 · D^0.571``.

    Examples
    --------
    >>> 250_000 < suggest_tokens_per_step(124e6, 10e9) < 500_000
    True
    """
    practice = math.exp(_interpolated(parameters, lambda row: math.log(row.tokens_per_step)))
    return math.sqrt(practice * 0.58 * tokens**0.571)


def warmup_steps(steps: int, tokens_per_step: int) -> int:
    """Return how many steps the learning rate rises: 375M tokens, and at most a twentieth of the run [steps].

    References
    ----------
    Brown et al. 2020, arXiv:2005.14165, appendix B; Porian et al. 2024, arXiv:2406.19146.

    Examples
    --------
    >>> warmup_steps(20_000, 524_288), warmup_steps(1_000, 524_288)
    (715, 50)
    """
    return max(1, min(round(WARMUP_TOKENS / tokens_per_step), int(WARMUP_SHARE * steps)))


def floor_learning_rate(learning_rate: float) -> float:
    """Return what the rate falls to: a tenth of its peak, rounded as people write it.

    References
    ----------
    Brown et al. 2020, arXiv:2005.14165, appendix B; Hoffmann et al. 2022, arXiv:2203.15556, appendix B.

    Examples
    --------
    >>> floor_learning_rate(6e-4)
    6e-05
    """
    return float(f"{FLOOR_SHARE * learning_rate:.12g}")


def _interpolated(parameters: float, value: Callable[[Published], float]) -> float:
    """Return a value of GPT-3's table, linear in the logarithm of the size; constant beyond its ends."""
    x = math.log(parameters)
    rows = [(math.log(row.parameters), value(row)) for row in GPT3]
    if x <= rows[0][0]:
        return rows[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(rows):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return rows[-1][1]
