"""Whether a preparation that was begun or done is the one that is asked for now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .encoding import ResolvedTokenizer
from .ledger import LEDGER, VERSION
from .manifest import Manifest, read_manifest
from .prepare_settings import DEFAULT_VAL_SHARE, PrepareSettings
from .sources import Source

__all__ = ["asked_for", "or_default", "same_as_before", "share_of_begun", "shown"]

_MAX_NAMED = 3
_MISSING = object()


def shown(settings: PrepareSettings) -> dict[str, Any]:
    """Return the settings on which the result depends."""
    return {
        "text_column": settings.text_column,
        "documents_by": settings.documents_by,
        "shard_tokens": settings.shard_tokens,
        "limit_tokens": settings.limit_tokens,
    }


def asked_for(settings: PrepareSettings, tokenizer: ResolvedTokenizer, sources: Sequence[Source]) -> dict[str, Any]:
    """Return everything on which the result depends, as it is compared when a preparation is continued."""
    described = asdict(replace(tokenizer, text=None))
    return {
        "ledger": VERSION,
        "tokenizer": described,
        **shown(settings),
        "seed": settings.seed,
        "val_share": settings.val_share,
        "val_tokens": settings.val_tokens,
        "sources": [asdict(source) for source in sources],
    }


def share_of_begun(output: Path, begun: Any, asked: dict[str, Any]) -> float:
    """Return the share of an interrupted preparation, where it is the one that is asked for now.

    Raises
    ------
    UsageError
        When its settings or its inputs are others.
    """
    before = {key: begun.get(key) for key in asked}
    now = json.loads(json.dumps(asked))
    different = [key.replace("_", "-") for key in asked if before[key] != now[key]]
    if different == ["sources"]:
        raise UsageError(
            f"{output}: a preparation was interrupted there, and its inputs have changed since"
            f" ({_changed(before['sources'], now['sources'])}). Next: delete the folder, and start again."
        )
    if different:
        raise UsageError(
            f"{output}: a preparation with other settings was interrupted there (different: {', '.join(different)})."
            " Next: run the command that was interrupted, or delete the folder, or choose another --output."
        )
    return float(begun["share"])


def _changed(before: Any, now: Any) -> str:
    old, new = ({s["location"]: s for s in sources} for sources in (before, now))
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    shown = ", ".join(names[:_MAX_NAMED]) or "their order"
    return shown + (f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else "")


def same_as_before(output: Path, asked: dict[str, Any]) -> Manifest:
    """Return the manifest that is there, where it is of what is asked for now.

    Raises
    ------
    UsageError
        When it is of something else.
    BadData
        When it cannot be read.
    """
    manifest = read_manifest(output)
    tokenizer = manifest.tokenizer
    there = {
        "tokenizer": (tokenizer.kind, tokenizer.sha256, tokenizer.separator, tokenizer.vocab_size),
        "seed": manifest.split_drawn.get("seed"),
        "inputs": [(s.name, s.bytes) for s in manifest.sources],
        **{key.replace("_", "-"): manifest.settings.get(key) for key in manifest.settings},
    }
    wanted = asked["tokenizer"]
    now = {
        "tokenizer": (wanted["kind"], wanted["sha256"], wanted["separator"], wanted["vocab_size"]),
        "seed": asked["seed"],
        "inputs": [(s["name"], s["size_bytes"]) for s in asked["sources"]],
        **{key.replace("_", "-"): asked.get(key) for key in manifest.settings},
    }
    drawn = manifest.split_drawn
    if asked["val_tokens"] != drawn.get("val_tokens_wanted"):
        now["val-tokens"] = asked["val_tokens"]
    elif asked["val_tokens"] is None and or_default(asked["val_share"]) != drawn.get("val_share"):
        now["val-share"] = asked["val_share"]
    different = [key for key in now if now[key] != there.get(key, _MISSING)]
    if different:
        raise UsageError(
            f"{output}: holds other data already (different: {', '.join(different)}), and prepared data is never"
            " overwritten. Next: choose another --output, or delete the folder."
        )
    (output / LEDGER).unlink(missing_ok=True)  # a kill between the last two acts leaves it
    return manifest


def or_default(share: float | None) -> float:
    """Return the share that was asked for, or the usual one."""
    return DEFAULT_VAL_SHARE if share is None else share
