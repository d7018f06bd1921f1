"""How many tokens each split holds, from the sizes of nanoGPT's ``train.bin`` and ``val.bin`` where the config says they lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..run import Known, Source

__all__ = ["BYTES_PER_TOKEN", "split_tokens"]

BYTES_PER_TOKEN = 2
"""nanoGPT's ``prepare.py`` scripts write uint16, and ``get_batch`` reads ``dtype=np.uint16``."""


def split_tokens(dataset: str, split: str, roots: Iterable[Path]) -> Known[int] | None:
    """Return the tokens of ``data/<dataset>/<split>.bin`` under the first root that has it, or None.

    nanoGPT opens ``os.path.join('data', dataset)`` relative to where training was started; a config usually
    lies in ``config/`` one folder below that.
    """
    relative = PurePosixPath("data") / dataset / f"{split}.bin"
    if ".." in relative.parts or relative.is_absolute() or "\0" in dataset:
        return None
    for root in roots:
        path = root / relative
        try:
            size = path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
        if size >= BYTES_PER_TOKEN:
            return Known(size // BYTES_PER_TOKEN, Source("read", str(relative), None, f"{size:,} bytes of uint16"))
    return None
