"""Which split a document belongs to: a pure function of (seed, source, index of the document in it)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mixing import derive_keys, mix

__all__ = ["METHOD", "drawn_for_validation"]

METHOD = "documents at random: hash of (seed, source name, document index) below val_share"
"""What a manifest says."""


def drawn_for_validation(seed: int, source: str, first: int, count: int, share: float) -> NDArray[np.bool_]:
    """Return which of neighbouring documents are in the validation split.

    Parameters
    ----------
    seed : int
    source : str
        Name of the source.
    first, count : int
        The documents ``first`` to ``first + count - 1`` of the source.
    share : float
        Of documents, from 0 to 1.

    Returns
    -------
    ndarray of bool, shape (count,)

    Notes
    -----
    No document's split depends on another document: adding sources, the order of sources, the number of workers and a
    resumption change nothing. A larger share keeps what a smaller one drew.

    Examples
    --------
    >>> bool(drawn_for_validation(1, "a.txt", 7, 1, 0.5)[0] == drawn_for_validation(1, "a.txt", 0, 10, 0.5)[7])
    True
    """
    (key,) = derive_keys(1, "split", seed, source)
    hashed = mix(np.arange(first, first + count, dtype=np.uint64), key)
    return (hashed >> np.uint64(11)) * 2.0**-53 < share
