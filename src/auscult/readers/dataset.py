"""How many tokens each split holds, from the sizes of nanoGPT's ``train.bin`` and ``val.bin`` where the config says they lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..run import Data, Known, Run, Source, Unknown
from .registry import find_dialect

__all__ = ["BYTES_PER_TOKEN", "split_sizes", "split_tokens"]

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


def split_sizes(run: Run, roots: Iterable[Path]) -> Run:
    """Return the run with the sizes of its splits, where its data set lies under one of the roots as nanoGPT keeps it."""
    dataset = run.recipe.dataset
    if isinstance(dataset, Unknown) or not find_dialect(run.dialect).uint16_splits:
        return run
    folders = list(roots)
    sizes = {"train": run.data.train_tokens, "val": run.data.val_tokens}
    for split, quantity in sizes.items():
        if isinstance(quantity, Unknown):
            counted = split_tokens(dataset.value, split, folders)
            sizes[split] = quantity if counted is None else counted
    return replace(run, data=Data(sizes["train"], sizes["val"]))
