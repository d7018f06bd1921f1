"""What a preparation can be told."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from .documents import UNIT_BYTES, DocumentsBy

__all__ = ["DEFAULT_VAL_SHARE", "PrepareSettings"]

DEFAULT_VAL_SHARE = 0.005
COMMIT_EVERY_S = 2.0
"""At most so much work is done again after a crash."""


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What ``auscult data prepare`` can be told.

    Attributes
    ----------
    tokenizer, separator : str
        See :func:`~auscult.data.encoding.resolve_tokenizer`.
    val_share : float, optional
        Share of documents that validate; ``DEFAULT_VAL_SHARE`` where nothing is said.
    val_tokens : int, optional
        Instead of a share: about how many tokens validate. The share that gives them is estimated from a sample.
    val_noise : float
        Standard error that the validation split may have by itself [nats/token], above which there is a warning.
    text_column : str
        Of JSON lines and tables.
    documents_by : {"file", "blank-lines"}
        What a document of a text file is.
    shard_tokens : int
        Tokens of a shard.
    limit_tokens : int, optional
        Stop after the document that reaches so many, both splits counted.
    seed : int
        Of the split.
    workers : int, optional
        Processes; where nothing is said one for each core, as far as there is work for it.
    commit_every_s : float
        How often what was done becomes durable [s].
    unit_bytes : int
        About how much text a worker gets at a time; the result does not depend on it.
    """

    tokenizer: str
    separator: str = "auto"
    val_share: float | None = None
    val_tokens: int | None = None
    val_noise: float = 0.005
    text_column: str = "text"
    documents_by: DocumentsBy = "file"
    shard_tokens: int = 100_000_000
    limit_tokens: int | None = None
    seed: int = 1337
    workers: int | None = None
    commit_every_s: float = COMMIT_EVERY_S
    unit_bytes: int = UNIT_BYTES

    def __post_init__(self) -> None:
        if self.val_share is not None and self.val_tokens is not None:
            raise UsageError("--val-share and --val-tokens both say how much validates. Next: give one of them.")
        if self.val_share is not None and not 0 <= self.val_share < 1:
            raise UsageError(f"--val-share: expected from 0 to less than 1, found {self.val_share}.")
        if not self.val_noise > 0:
            raise UsageError(f"--val-noise: expected more than 0 nats, found {self.val_noise}.")
        if self.shard_tokens < 1 or (self.workers is not None and self.workers < 1):
            raise UsageError("--shard-tokens and --workers: expected 1 or more.")
        if self.val_tokens is not None and self.limit_tokens is not None and self.val_tokens >= self.limit_tokens:
            raise UsageError("--val-tokens leaves nothing of --limit-tokens to train on. Next: ask for fewer.")
