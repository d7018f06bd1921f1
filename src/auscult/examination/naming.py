"""What a setting is called in the run's own config."""

from __future__ import annotations

from collections.abc import Mapping

from ..readers.registry import all_dialects
from ..run import Run

__all__ = ["key_of", "trainer_of"]

_NANOGPT: Mapping[str, str] = {
    "d_model": "n_embd",
    "context": "block_size",
    "warmup_steps": "warmup_iters",
    "decay_steps": "lr_decay_iters",
    "max_steps": "max_iters",
}
"""nanoGPT's names where they are not the field's: those of every dialect that has none of its own."""
_TRAINERS: Mapping[str, str] = {"nanogpt": "nanoGPT", "auscult_": "auscult train"}
"""What the dialects of a trainer begin with."""


def key_of(run: Run, setting: str) -> str | None:
    """Return the key of a setting in the run's config, with its table; None where its trainer has no such setting.

    Parameters
    ----------
    run : Run
        Its config names its keys; where there is none, the dialect of its log does.
    setting : str
        In canonical terms, a field of the recipe or the architecture.
    """
    written = run.config.dialect if run.config is not None else run.dialect
    own = next((dialect.keys for dialect in all_dialects() if dialect.name == written), None)
    if not own:
        return _NANOGPT.get(setting, setting)
    return own.get(f"architecture.{setting}", own.get(f"recipe.{setting}"))


def trainer_of(run: Run) -> str | None:
    """Return the trainer whose habits are known here: nanoGPT or auscult's own; None of any other."""
    return next((name for prefix, name in _TRAINERS.items() if run.dialect.startswith(prefix)), None)
