"""Saved states: which checkpoint is whole, and what a changed recipe does to the run that it belongs to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crc32c import crc32c

from ..errors import UnreadableInput

__all__ = ["CHECKPOINT_FILE", "fingerprint", "good_checkpoint", "name_checkpoint", "named_checkpoints", "reason_of"]

CHECKPOINT_FILE = "checkpoint.json"
_CHUNK_BYTES = 1 << 24


def fingerprint(path: Path) -> list[int]:
    """Return the size [bytes] and the CRC-32C of a file."""
    size = checksum = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            size, checksum = size + len(chunk), crc32c(chunk, checksum)
    return [size, checksum]


def name_checkpoint(partial: Path, facts: Mapping[str, Any], keep: int) -> None:
    """Give a checkpoint whose files are written its name, and remove those before it but for the last ``keep``, itself one.

    Parameters
    ----------
    partial : Path
        ``step-00000100.partial``; it loses its suffix once its facts, and the size and CRC-32C of each file, are on disk.
    facts : mapping
        What ``checkpoint.json`` says besides its files.

    Raises
    ------
    OSError
        When something of that cannot be written.
    """
    files = {path.name: fingerprint(path) for path in sorted(partial.iterdir())}
    with (partial / CHECKPOINT_FILE).open("w", encoding="utf-8") as stream:
        json.dump({**facts, "files": files}, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    final = partial.with_suffix("")
    replaced = final.with_suffix(".replaced.partial")
    if final.exists():  # a step saved again, after a resume from before it: two renames, lest a kill find neither
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    partial.rename(final)
    shutil.rmtree(replaced, ignore_errors=True)
    up_to_here = [path for path in named_checkpoints(partial.parent) if _step_of(path) <= _step_of(final)]
    for old in up_to_here[:-keep]:  # a damaged one after this step must not push out the good ones before it
        shutil.rmtree(old, ignore_errors=True)


def named_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder that were written to their end, oldest first."""
    return sorted((path for path in folder.glob("step-*") if path.name[5:].isdecimal()), key=_step_of)


def _step_of(path: Path) -> int:
    return int(path.name[5:])


def reason_of(error: BaseException) -> str:
    """Return in a line why something was not written; of torch's collected failures, the first rank's.

    Examples
    --------
    >>> reason_of(OSError(28, "No space left on device"))
    '[Errno 28] No space left on device'
    """
    failures = getattr(error, "failures", None)
    if isinstance(failures, Mapping) and failures:
        first = next(iter(failures.values()))
        error = first[0] if isinstance(first, tuple) else error
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def good_checkpoint(folder: Path, note: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint whose every file is as it was written, and its facts; tell of those that are not.

    Parameters
    ----------
    folder : Path
        ``RUN/checkpoints``.
    note : callable
        Told one sentence for each that is damaged.

    Raises
    ------
    UnreadableInput
        When there are checkpoints and none is whole: to start again silently would lose the run.
    """
    found = named_checkpoints(folder)
    for path in reversed(found):
        try:
            facts = json.loads((path / CHECKPOINT_FILE).read_text(encoding="utf-8"))
            wrong = [name for name, kept in facts["files"].items() if fingerprint(path / name) != kept]
            if not facts["files"] or facts["step"] != _step_of(path):
                wrong = [CHECKPOINT_FILE]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            wrong = [f"{CHECKPOINT_FILE} or a file that it names ({error})"]
        if not wrong:
            return path, facts
        note(f"{path}: {wrong[0]} is not as it was written; the checkpoint before it is taken")
    if found:
        raise UnreadableInput(
            f"none of its {len(found)} checkpoints is whole",
            where=str(folder),
            hint="restore one from a copy, or train from step 0 into another folder (--output)",
        )
    return None
