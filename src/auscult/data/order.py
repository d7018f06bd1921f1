"""The order of training: which sequences a step sees, as a pure function of (seed, step, rank)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .mixing import derive_keys, mix

__all__ = ["evaluation_indices", "permuted", "step_indices"]

ROUNDS = 8
"""Of the Feistel network; Luby & Rackoff prove four enough for pseudo-randomness with ideal round functions."""
MAX_SEQUENCES = 2**62
"""Positions are held in 64 bits."""


def permuted(positions: NDArray[np.int64], size: int, *keys: int | str) -> NDArray[np.int64]:
    """Return where a pseudo-random permutation of ``range(size)`` sends each position.

    Parameters
    ----------
    positions : ndarray of int64, shape (n,)
        Each in ``range(size)``.
    size : int
        How many things are permuted.
    keys : int or str
        Each combination is another permutation.

    Returns
    -------
    ndarray of int64, shape (n,)

    Notes
    -----
    Nothing is stored: memory and time depend on ``n``, not on ``size``. A position is written as a pair (left, right) on a
    grid of ``a × b ≥ size`` points, each half is shifted in turn by a hash of the other (a Feistel network, hence a
    bijection of the grid), and a result outside ``range(size)`` is sent through again until it is inside (cycle walking,
    hence a bijection of ``range(size)``). The grid exceeds ``size`` by less than one row, so that few walk.

    References
    ----------
    Black & Rogaway 2002, "Ciphers with arbitrary finite domains", CT-RSA: cycle walking and the generalised Feistel
    network. Luby & Rackoff 1988, "How to construct pseudorandom permutations from pseudorandom functions".

    Examples
    --------
    >>> sorted(permuted(np.arange(10), 10, 1337, 0).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    if not 1 <= size <= MAX_SEQUENCES:
        raise ValueError(f"size must be from 1 to {MAX_SEQUENCES:,}, found {size}")
    if len(positions) and (int(positions.min()) < 0 or int(positions.max()) >= size):
        raise ValueError(f"positions must be in range({size})")
    round_keys = derive_keys(ROUNDS, "order", *keys)
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)
    placed = _through(positions.astype(np.uint64), rows, columns, round_keys)
    while len(outside := np.flatnonzero(placed >= np.uint64(size))):
        placed[outside] = _through(placed[outside], rows, columns, round_keys)
    return placed.astype(np.int64)


def _through(values: NDArray[np.uint64], rows: int, columns: int, keys: tuple[int, ...]) -> NDArray[np.uint64]:
    """Send points of the grid once through the network."""
    a, b = np.uint64(rows), np.uint64(columns)
    left, right = values // b, values % b
    for i, key in enumerate(keys):
        if i % 2 == 0:
            left = (left + mix(right, key) % a) % a
        else:
            right = (right + mix(left, key) % b) % b
    return left * b + right


def step_indices(
    *, seed: int, step: int, sequences_per_step: int, sequence_count: int, rank: int = 0, world_size: int = 1
) -> NDArray[np.int64]:
    """Return the sequences that a rank sees in a step.

    Parameters
    ----------
    seed : int
        Of the order.
    step : int
        Of the optimiser, from 0.
    sequences_per_step : int
        Of all ranks together.
    sequence_count : int
        Sequences in the split (:meth:`TokenSplit.sequence_count`).
    rank, world_size : int
        Of the job. Ranks take neighbouring parts: those of all ranks, one after the other, are what one rank would get.

    Returns
    -------
    ndarray of int64, shape (n,)
        ``n`` is ``sequences_per_step / world_size``, where that is whole.

    Notes
    -----
    A pure function: to resume, only the step is needed. Within an epoch every sequence is seen once; each epoch has its
    own permutation. A step may reach from one epoch into the next.

    Raises
    ------
    ValueError
        When a count is below 1, the step is negative, or the rank is not in ``range(world_size)``.

    Examples
    --------
    >>> first = step_indices(seed=1337, step=0, sequences_per_step=4, sequence_count=8)
    >>> second = step_indices(seed=1337, step=1, sequences_per_step=4, sequence_count=8)
    >>> sorted([*first.tolist(), *second.tolist()])
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    if sequences_per_step < 1 or sequence_count < 1 or world_size < 1:
        raise ValueError(f"counts must be 1 or more, found {sequences_per_step=}, {sequence_count=}, {world_size=}")
    if step < 0 or not 0 <= rank < world_size:
        raise ValueError(f"expected step >= 0 and rank in range({world_size}), found {step=}, {rank=}")
    begin = step * sequences_per_step + sequences_per_step * rank // world_size
    end = step * sequences_per_step + sequences_per_step * (rank + 1) // world_size
    parts = []
    while begin < end:
        epoch, offset = divmod(begin, sequence_count)
        taken = min(end - begin, sequence_count - offset)
        positions = np.arange(offset, offset + taken, dtype=np.int64)
        parts.append(permuted(positions, sequence_count, seed, epoch))
        begin += taken
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def evaluation_indices(sequence_count: int, wanted: int) -> NDArray[np.int64]:
    """Return the sequences of every evaluation: always the same, spread at random over the split, in rising order.

    Parameters
    ----------
    sequence_count : int
        Sequences in the split.
    wanted : int
        How many; all of them where there are no more.

    Returns
    -------
    ndarray of int64, shape (min(wanted, sequence_count),)

    Notes
    -----
    Fixed batches make the difference between two evaluations of a run, or of two runs, a paired one. A larger set
    contains the smaller one.

    Examples
    --------
    >>> evaluation_indices(3, 10).tolist()
    [0, 1, 2]
    >>> set(evaluation_indices(1000, 10).tolist()) <= set(evaluation_indices(1000, 20).tolist())
    True
    """
    if sequence_count < 0 or wanted < 0:
        raise ValueError(f"counts must be 0 or more, found {sequence_count=}, {wanted=}")
    count = min(sequence_count, wanted)
    if count == sequence_count:
        return np.arange(count, dtype=np.int64)
    return np.sort(permuted(np.arange(count, dtype=np.int64), sequence_count, "evaluation"))
