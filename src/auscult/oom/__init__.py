"""An out-of-memory message explained: which tensor was asked for, in which phase, and the cheapest way out."""

from __future__ import annotations

from .explanation import OomExplanation, explain_oom
from .remedies import Remedy
from .text import render

__all__ = ["OomExplanation", "Remedy", "explain_oom", "render"]
