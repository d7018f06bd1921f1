"""What a run writes while it trains: ``log.jsonl``, event files of TensorBoard, W&B or trackio, lines and a bar on the console."""

from __future__ import annotations

from .journal import Journal, SilentJournal
from .meter import Meter, NotFinite
from .signals import Signals

__all__ = ["Journal", "Meter", "NotFinite", "Signals", "SilentJournal"]
