"""The share of documents that validate: as asked for, or so that about so many tokens do."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from .documents import Cursor, units
from .encoding import ResolvedTokenizer
from .prepare_settings import PrepareSettings
from .sameness import or_default
from .sources import Source
from .worker import Encoder

__all__ = ["val_share"]

_SAMPLED_SOURCES, _SAMPLE_BYTES = 4, 1 << 20


def val_share(settings: PrepareSettings, tokenizer: ResolvedTokenizer, sources: Sequence[Source]) -> float:
    """Return the share of documents that validate, from 0 to 1.

    Raises
    ------
    UsageError
        When more tokens are asked for than there are, or nobody knows how many there are.
    BadData
        When a sampled source cannot be used.
    """
    if settings.val_tokens is None:
        return or_default(settings.val_share)
    if settings.val_tokens == 0:
        return 0.0
    total = _estimated_tokens(settings, tokenizer, sources)
    if settings.limit_tokens is not None:
        total = settings.limit_tokens if total is None else min(total, settings.limit_tokens)
    if total is None:
        raise UsageError(
            "--val-tokens: nobody knows how much a stream holds. Next: give --val-share, or --limit-tokens as well."
        )
    if settings.val_tokens >= total:
        raise UsageError(
            f"--val-tokens: the inputs have about {total:,.0f} tokens, which leaves none to train on. Next: ask for fewer."
        )
    return float(f"{settings.val_tokens / total:.6g}")


def _estimated_tokens(
    settings: PrepareSettings, tokenizer: ResolvedTokenizer, sources: Sequence[Source]
) -> float | None:
    """Return about how many tokens there are: those for each byte stored, of the beginnings of some sources."""
    if any(source.size_bytes is None for source in sources):
        return None
    encode = Encoder.of(tokenizer, settings.seed, 0.0)
    tokens = stored = 0
    whole = [source for source in sources if source.size_bytes]
    for chosen in whole[:: max(1, len(whole) // _SAMPLED_SOURCES)][:_SAMPLED_SOURCES]:
        reading = units(
            [chosen],
            Cursor(),
            column=settings.text_column,
            documents_by=settings.documents_by,
            unit_bytes=_SAMPLE_BYTES,
        )
        of_this = 0
        for unit in reading:
            tokens += len(encode(unit).tokens)
            of_this += unit.source_bytes
            if of_this >= _SAMPLE_BYTES:  # as stored: a packed file is read ahead by up to 128 KiB
                break
        stored += of_this
    size = sum(source.size_bytes or 0 for source in sources)
    return tokens / stored * size if stored else 0.0
