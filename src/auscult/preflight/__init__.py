"""Before step 0: a recipe is read, its micro-batch chosen, and what it asks for diagnosed. No torch."""

from __future__ import annotations

from .load import load_recipe
from .micro_batch import MicroBatch, choose_micro_batch
from .saved import good_checkpoint, named_checkpoints
from .seams import Seams, learning_rate_at, seams
from .verdict import Preflight, preflight

__all__ = [
    "MicroBatch",
    "Preflight",
    "Seams",
    "choose_micro_batch",
    "good_checkpoint",
    "learning_rate_at",
    "load_recipe",
    "named_checkpoints",
    "preflight",
    "seams",
]
