"""From text to shards of tokens: read, tokenized by several processes, written in order, resumed after anything."""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..version import __version__
from .checksum import file_sha256
from .documents import Cursor, units
from .draw import METHOD
from .encoding import ResolvedTokenizer, resolve_tokenizer
from .errors import BadData
from .formats import SPLITS
from .ledger import LEDGER, Ledger, Progress
from .manifest import MANIFEST, Manifest, SourceEntry, SplitEntry, TokenizerEntry
from .noise import noise_warning
from .pool import Pool, default_workers
from .prepare_settings import DEFAULT_VAL_SHARE, PrepareSettings
from .sameness import asked_for, same_as_before, share_of_begun, shown
from .shard_writer import ShardWriter, sync_folder
from .share import val_share
from .sources import Source, find_sources
from .worker import Encoded

__all__ = ["DEFAULT_VAL_SHARE", "PrepareSettings", "Prepared", "Seen", "prepare"]

TOKENIZER_FILE = "tokenizer.json"
_MAX_NAMED = 3
_BYTES_WORTH_A_WORKER = 16 << 20
"""Starting a process takes about as long as tokenizing so much."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a preparation is, for a progress bar."""

    source_bytes: int
    total_bytes: int | None
    tokens: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was prepared.

    Attributes
    ----------
    manifest : Manifest
    resumed : bool
        Whether an interrupted preparation was continued.
    already_there : bool
        Whether the same had been prepared there before, and nothing was to do.
    warnings : tuple of str
        Sentences.
    """

    manifest: Manifest
    resumed: bool
    already_there: bool
    warnings: tuple[str, ...]


def prepare(
    inputs: Sequence[str],
    output: Path,
    settings: PrepareSettings,
    *,
    watch: Callable[[Seen], None] | None = None,
) -> Prepared:
    """Turn text into shards of tokens with a manifest.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders, and ``hf:DATASET[/CONFIG]``.
    output : Path
        A folder: new, empty, or with the same preparation, begun or done.
    settings : PrepareSettings
    watch : callable, optional
        Told how far it is.

    Raises
    ------
    BadData
        When a source cannot be used.
    UsageError
        When the folder holds something else, or the disk is full.

    Notes
    -----
    The result depends on the inputs and the settings alone; neither on the workers nor on how often it was interrupted.
    """
    found = find_sources(inputs, output=output)
    tokenizer = resolve_tokenizer(settings.tokenizer, settings.separator)
    if settings.documents_by == "file" and len(found.sources) == 1 and found.sources[0].kind == "text":
        _refuse_one_document(found.sources[0], settings)
    warnings = _of_ignored(found.ignored)
    asked = asked_for(settings, tokenizer, found.sources)
    if (output / MANIFEST).exists():
        manifest = same_as_before(output, asked)
        warnings += _of_split(manifest, settings)
        return Prepared(manifest, resumed=False, already_there=True, warnings=warnings)
    _make_folder(output)
    with _full_disk_told(output), Ledger(output / LEDGER) as ledger:
        begun = ledger.load()
        if begun is not None and begun[1].cursor == Cursor() and not begun[1].ended:
            begun = None  # nothing was written: whatever is asked for now may begin
        if begun is None:
            share = val_share(settings, tokenizer, found.sources)
            progress = Progress()
            if tokenizer.text is not None:
                _write_durably(output / TOKENIZER_FILE, tokenizer.text)
            ledger.begin({**asked, "share": share})
        else:
            share, progress = share_of_begun(output, begun[0], asked), begun[1]
        workers = settings.workers or _workers(found.sources, tokenizer)
        with Pool(workers, tokenizer, settings.seed, share) as pool:
            _write(found.sources, output, settings, tokenizer, ledger, progress, pool, watch)
            manifest = _manifest(found.sources, settings, tokenizer, share, progress, pool)
        _write_durably(output / MANIFEST, manifest.dumps())
        ledger.remove()
    return Prepared(manifest, begun is not None, already_there=False, warnings=warnings + _of_split(manifest, settings))


def _workers(sources: Sequence[Source], tokenizer: ResolvedTokenizer) -> int:
    """Return how many processes are worth starting."""
    if tokenizer.kind == "bytes":
        return 1  # to send them to a worker and back costs more than there is to do
    if all(source.size_bytes is not None for source in sources):
        size = sum(source.size_bytes or 0 for source in sources)
        return max(1, min(default_workers(), size // _BYTES_WORTH_A_WORKER))
    return default_workers()


def _write(
    sources: Sequence[Source],
    output: Path,
    settings: PrepareSettings,
    tokenizer: ResolvedTokenizer,
    ledger: Ledger,
    progress: Progress,
    pool: Pool,
    watch: Callable[[Seen], None] | None,
) -> None:
    """Write the documents that are not written yet."""
    writers = {
        name: ShardWriter(
            output,
            name,
            tokenizer.dtype,
            settings.shard_tokens,
            finished=split.shards,
            tokens=split.tokens,
            crc32c=split.crc32c,
        )
        for name, split in progress.splits.items()
    }
    sizes = [source.size_bytes for source in sources]
    total_bytes = None if any(size is None for size in sizes) else sum(size or 0 for size in sizes)
    durable = copy.deepcopy(progress)
    last = time.monotonic()
    try:
        if not progress.ended:
            reading = units(
                sources,
                progress.cursor,
                column=settings.text_column,
                documents_by=settings.documents_by,
                unit_bytes=settings.unit_bytes,
            )
            for unit, encoded in pool.encoded(reading):
                ended = _add(encoded, writers, progress, settings.limit_tokens)
                progress.cursor = unit.after
                progress.source_bytes += unit.source_bytes
                if watch is not None:
                    watch(Seen(progress.source_bytes, total_bytes, sum(w.total for w in writers.values())))
                if ended:
                    break
                if time.monotonic() - last >= settings.commit_every_s:
                    _commit(output, writers, ledger, durable, progress)
                    durable, last = copy.deepcopy(progress), time.monotonic()
            progress.ended = True
            for writer in writers.values():
                writer.end()
            if not any(writer.total for writer in writers.values()):
                raise BadData(
                    "there is no text in it, only empty documents", where=", ".join(s.location for s in sources)[:200]
                )
            _commit(output, writers, ledger, durable, progress)
    finally:
        for writer in writers.values():
            writer.close()


def _add(encoded: Encoded, writers: dict[str, ShardWriter], progress: Progress, limit: int | None) -> bool:
    """Write the tokens of a unit, and count them; return whether the limit is reached."""
    facts, tokens = encoded.facts, encoded.tokens
    ended = False
    if limit is not None:
        so_far = sum(writer.total for writer in writers.values())
        ends = np.flatnonzero(so_far + np.cumsum(facts["tokens"]) >= limit)
        if len(ends):
            ended = True
            facts = facts[: int(ends[0]) + 1]
            tokens = tokens[: int(facts["tokens"].sum())]
    in_val = np.repeat(facts["val"], facts["tokens"])
    for name, inside, documents in (("train", ~in_val, ~facts["val"]), ("val", in_val, facts["val"])):
        writers[name].append(tokens[inside])
        progress.splits[name].documents += int((facts["opens"] & documents).sum())
    opened = facts["source"][facts["opens"]]
    for number, count in zip(*np.unique(opened, return_counts=True), strict=True):
        progress.source_documents[int(number)] = progress.source_documents.get(int(number), 0) + int(count)
    progress.text_bytes += int(facts["bytes"].sum())
    progress.empty_documents += int((facts["bytes"] == 0).sum())
    return ended


def _commit(
    output: Path, writers: dict[str, ShardWriter], ledger: Ledger, durable: Progress, progress: Progress
) -> None:
    """Make what was written durable: first the tokens, then the line that says so, then the names."""
    for name, writer in writers.items():
        writer.sync()
        split = progress.splits[name]
        split.shards, split.tokens, split.crc32c = tuple(writer.finished), writer.tokens, writer.crc32c
    sync_folder(output)
    ledger.commit(durable, progress)
    for writer in writers.values():
        writer.publish()
    sync_folder(output)


def _manifest(
    sources: Sequence[Source],
    settings: PrepareSettings,
    tokenizer: ResolvedTokenizer,
    share: float,
    progress: Progress,
    pool: Pool,
) -> Manifest:
    files = [source for source in sources if source.size_bytes is not None]
    hashed = {source.location: digest for source, digest in pool.mapped(_hash_unchanged, files)}
    entries = tuple(
        SourceEntry(s.name, progress.source_documents.get(number, 0), s.size_bytes, hashed.get(s.location))
        for number, s in enumerate(sources)
    )
    splits = {
        name: SplitEntry(sum(shard.tokens for shard in split.shards), split.documents, split.shards)
        for name, split in progress.splits.items()
    }
    return Manifest(
        dtype=tokenizer.dtype,
        tokenizer=TokenizerEntry(
            tokenizer.name,
            tokenizer.kind,
            tokenizer.vocab_size,
            tokenizer.sha256,
            TOKENIZER_FILE if tokenizer.text is not None else None,
            tokenizer.separator,
        ),
        splits=splits,
        split_drawn={
            "method": METHOD,
            "seed": settings.seed,
            "val_share": share,
            "val_tokens_wanted": settings.val_tokens,
        },
        text_bytes=progress.text_bytes,
        empty_documents=progress.empty_documents,
        settings=shown(settings),
        sources=entries,
        auscult=__version__,
    )


def _hash_unchanged(source: Source) -> str:
    """Return the SHA-256 of a source.

    Raises
    ------
    BadData
        When it has changed since it was found.
    """
    digest = file_sha256(source.path)
    try:
        status = source.path.stat()
        unchanged = (status.st_size, status.st_mtime_ns) == (source.size_bytes, source.modified_ns)
    except OSError:
        unchanged = False
    if not unchanged:
        raise BadData(
            "the file changed while it was prepared", where=source.location, hint="delete the output, and start again"
        )
    return digest


def _refuse_one_document(source: Source, settings: PrepareSettings) -> None:
    if settings.val_share == 0 or settings.val_tokens == 0:
        return
    raise UsageError(
        f"{source.location}: one text file is one document, and documents cannot be split between training and"
        " validation. Next: add --documents-by blank-lines, or --val-share 0 for no validation split."
    )


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        there = sorted(path.name for path in output.iterdir())
    except OSError as error:
        raise UsageError(f"{output}: cannot be made ({error.strerror}). Next: choose another --output.") from None
    if there and LEDGER not in there:
        raise UsageError(
            f"{output}: is not empty (it has {', '.join(there[:_MAX_NAMED])}). Next: choose a new folder as --output."
        )


def _write_durably(path: Path, text: str) -> None:
    """Write a file so that it is either whole or not there, whatever happens."""
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _full_disk_told(output: Path) -> Iterator[None]:
    """Say in a sentence that the disk is full, or cannot be written to; sources have their own errors."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else "cannot be written"
        raise UsageError(
            f"{output}: {what} ({error.strerror}). Everything up to there is kept, and nothing looks complete that is not."
            f" Next: {'make room' if full else 'see to the disk'}, and run the same command again: it continues."
        ) from None


def _of_ignored(ignored: Sequence[str]) -> tuple[str, ...]:
    if not ignored:
        return ()
    names = ", ".join(ignored[:_MAX_NAMED]) + (", …" if len(ignored) > _MAX_NAMED else "")
    return (
        f"{len(ignored):,} files are left out, as their endings are not those of text: {names}. Next: name those that are text one by one.",
    )


def _of_split(manifest: Manifest, settings: PrepareSettings) -> tuple[str, ...]:
    if manifest.split_drawn["val_share"] == 0:
        return ()
    splits = manifest.splits
    empty = [name for name in SPLITS if not splits[name].tokens]
    if empty:
        documents = sum(split.documents for split in splits.values())
        return (
            f"the {empty[0]} split is empty: of {documents:,} documents, none was drawn. Next: prepare again with a"
            f" {'larger' if empty[0] == 'val' else 'smaller'} --val-share, or into more documents (--documents-by blank-lines).",
        )
    total = sum(split.tokens for split in splits.values())
    warning = noise_warning(splits["val"].tokens, settings.val_noise, total_tokens=total)
    return () if warning is None else (warning,)
