"""Hashing of integers, a whole array at once: the one source of chance in this room."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["derive_keys", "mix"]

_ADD = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


def derive_keys(count: int, purpose: str, *values: Any) -> tuple[int, ...]:
    """Return 64-bit keys that depend on the purpose and on every value.

    Parameters
    ----------
    count : int
        How many, at most 8.
    purpose : str
        Keeps what is drawn for one purpose independent of what is drawn for another.
    values : int or str
        Told apart by their ``repr``.

    Examples
    --------
    >>> derive_keys(1, "order", 1, 2) != derive_keys(1, "order", 12)
    True
    """
    digest = hashlib.blake2b(repr((purpose, *values)).encode(), digest_size=8 * count).digest()
    return tuple(int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(count))


def mix(values: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """Return a hash of every value, which a key selects.

    Parameters
    ----------
    values : ndarray of uint64
        Of any shape.
    key : int
        Below 2**64.

    References
    ----------
    Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators": the output function of SplitMix64 (with
    Stafford's constants), here applied twice, with the key before and in between.

    Examples
    --------
    >>> mix(np.zeros(1, np.uint64), 0).dtype
    dtype('uint64')
    """
    word = np.uint64(key)
    return _finalise(_finalise(values + word) ^ word)


def _finalise(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + _ADD
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)
