"""Token data: prepared from text, read in several formats, and handed out by a pure function of (seed, step, rank)."""

from .errors import BadData
from .order import evaluation_indices, step_indices
from .split import TokenSplit, open_split

__all__ = ["BadData", "TokenSplit", "evaluation_indices", "open_split", "step_indices"]
