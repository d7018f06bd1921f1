"""The learning rate that a schedule prescribes at a step."""

from __future__ import annotations

import math

__all__ = ["cosine_learning_rate"]


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
