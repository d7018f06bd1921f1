"""The learning rate that a schedule prescribes at a step: pure functions of the step."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

__all__ = ["Kind", "cosine_learning_rate", "scheduled_learning_rate"]

Kind: TypeAlias = Literal["cosine", "linear", "wsd", "constant"]


def cosine_learning_rate(
    step: int, *, learning_rate: float, min_lr: float, warmup_steps: int, decay_steps: int
) -> float:
    """Return nanoGPT's learning rate at a step: linear warm-up, cosine decay, floor.

    Parameters
    ----------
    step : int
        Optimiser step, from 0.
    learning_rate, min_lr : float
        Peak and floor.
    warmup_steps, decay_steps : int
        Steps of warm-up, and the step at which the floor is reached.

    Notes
    -----
    Warm-up uses ``(step + 1) / (warmup + 1)`` (nanoGPT since 2024; before, ``step / warmup``).

    References
    ----------
    karpathy/nanoGPT ``train.py`` ``get_lr`` (3adf61e); Loshchilov & Hutter 2017, "SGDR", eq. 5, arXiv:1608.03983.

    Examples
    --------
    >>> lr = cosine_learning_rate(14_500, learning_rate=1e-3, min_lr=1e-4, warmup_steps=500, decay_steps=20_000)
    >>> f"{lr:.3e}"
    '2.654e-04'
    """
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    if step > decay_steps or decay_steps <= warmup_steps:
        return min_lr
    progress = (step - warmup_steps) / (decay_steps - warmup_steps)
    return min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (learning_rate - min_lr)


def scheduled_learning_rate(
    step: int,
    *,
    kind: Kind,
    learning_rate: float,
    min_lr: float,
    warmup_steps: int,
    decay_steps: int,
    steps: int,
) -> float:
    """Return the learning rate of the reference trainer at a step: linear warm-up, then one of four shapes.

    Parameters
    ----------
    step : int
        Optimiser step, from 0.
    kind : str
        ``cosine``, ``linear``, ``wsd`` (warm-up, stable, linear decay) or ``constant``.
    learning_rate, min_lr : float
        Peak and floor.
    warmup_steps : int
        Steps of the linear warm-up, ``(step + 1) / (warmup_steps + 1)`` of the peak.
    decay_steps : int
        ``cosine`` and ``linear``: the step at which the floor is reached. ``wsd``: how many of the last steps decay.
    steps : int
        Of the whole run; only ``wsd`` asks.

    References
    ----------
    Cosine: :func:`cosine_learning_rate`. Linear to zero: Bergsma et al. 2025, arXiv:2502.15938. Warm-up, stable, decay: Hu et
    al. 2024 (MiniCPM), arXiv:2404.06395, section 4; its decay is linear here, as Hägele et al. 2024, arXiv:2405.18392, advise.

    Examples
    --------
    >>> wsd = dict(kind="wsd", learning_rate=1e-3, min_lr=0.0, warmup_steps=9, decay_steps=20, steps=100)
    >>> [scheduled_learning_rate(step, **wsd) for step in (0, 9, 80, 90, 100)]
    [0.0001, 0.001, 0.001, 0.0005, 0.0]
    """
    if kind == "cosine":
        return cosine_learning_rate(
            step, learning_rate=learning_rate, min_lr=min_lr, warmup_steps=warmup_steps, decay_steps=decay_steps
        )
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    if kind == "constant":
        return learning_rate
    start, end = (steps - decay_steps, steps) if kind == "wsd" else (warmup_steps, decay_steps)
    if step <= start:
        return learning_rate
    left = max(0.0, (end - step) / (end - start)) if end > start else 0.0
    return min_lr + left * (learning_rate - min_lr)
