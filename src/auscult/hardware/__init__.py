"""Cards, their figures with a source each, and their lookup. A card that is not in the table has no peak: never a default."""

from __future__ import annotations

from .gpu import Gpu, load_table
from .names import find_gpu, namesakes, suggest

__all__ = ["Gpu", "find_gpu", "load_table", "namesakes", "suggest"]
