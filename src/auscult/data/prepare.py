"""From text to shards of tokens: read, tokenized by several processes, written in order, resumed after anything."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..errors import UsageError
from .checksum import file_sha256
from .documents import UNIT_BYTES, Cursor, DocumentsBy, units
from .draw import METHOD
from .encoding import ResolvedTokenizer, resolve_tokenizer
from .errors import BadData
from .formats import SPLITS
from .ledger import LEDGER, VERSION, Ledger, Progress
from .manifest import MANIFEST, Manifest, SourceEntry, SplitEntry, TokenizerEntry, read_manifest
from .noise import noise_warning
from .pool import Pool, default_workers
from .shard_writer import ShardWriter, sync_folder
from .sources import Source, find_sources
from .worker import Encoded, Encoder

__all__ = ["DEFAULT_VAL_SHARE", "PrepareSettings", "Prepared", "Seen", "prepare"]

DEFAULT_VAL_SHARE = 0.005
COMMIT_EVERY_S = 2.0
"""At most so much work is done again after a crash."""
TOKENIZER_FILE = "tokenizer.json"
_SAMPLED_SOURCES, _SAMPLE_BYTES = 4, 1 << 20
_MAX_NAMED = 3
_BYTES_WORTH_A_WORKER = 16 << 20
"""Starting a process takes about as long as tokenizing so much."""


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
    asked = _asked(settings, tokenizer, found.sources)
    if (output / MANIFEST).exists():
        manifest = _same_as_before(output, asked)
        warnings += _of_split(manifest, settings)
        return Prepared(manifest, resumed=False, already_there=True, warnings=warnings)
    _make_folder(output)
    with _full_disk_told(output), Ledger(output / LEDGER) as ledger:
        begun = ledger.load()
        if begun is not None and begun[1].cursor == Cursor() and not begun[1].ended:
            begun = None  # nothing was written: whatever is asked for now may begin
        if begun is None:
            share = _share(settings, tokenizer, found.sources)
            progress = Progress()
            if tokenizer.text is not None:
                _write_durably(output / TOKENIZER_FILE, tokenizer.text)
            ledger.begin({**asked, "share": share})
        else:
            share, progress = _continued(output, begun[0], asked), begun[1]
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
        settings=_shown(settings),
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


def _shown(settings: PrepareSettings) -> dict[str, Any]:
    """Return the settings on which the result depends."""
    return {
        "text_column": settings.text_column,
        "documents_by": settings.documents_by,
        "shard_tokens": settings.shard_tokens,
        "limit_tokens": settings.limit_tokens,
    }


def _asked(settings: PrepareSettings, tokenizer: ResolvedTokenizer, sources: Sequence[Source]) -> dict[str, Any]:
    """Return everything on which the result depends, as it is compared when a preparation is continued."""
    described = asdict(replace(tokenizer, text=None))
    return {
        "ledger": VERSION,
        "tokenizer": described,
        **_shown(settings),
        "seed": settings.seed,
        "val_share": settings.val_share,
        "val_tokens": settings.val_tokens,
        "sources": [asdict(source) for source in sources],
    }


def _continued(output: Path, begun: Any, asked: dict[str, Any]) -> float:
    """Return the share of an interrupted preparation, where it is the one that is asked for now."""
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


def _same_as_before(output: Path, asked: dict[str, Any]) -> Manifest:
    """Return the manifest that is there, where it is of what is asked for now."""
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
    elif asked["val_tokens"] is None and _or_default(asked["val_share"]) != drawn.get("val_share"):
        now["val-share"] = asked["val_share"]
    different = [key for key in now if now[key] != there.get(key, _MISSING)]
    if different:
        raise UsageError(
            f"{output}: holds other data already (different: {', '.join(different)}), and prepared data is never"
            " overwritten. Next: choose another --output, or delete the folder."
        )
    (output / LEDGER).unlink(missing_ok=True)  # a kill between the last two acts leaves it
    return manifest


_MISSING = object()


def _or_default(share: float | None) -> float:
    return DEFAULT_VAL_SHARE if share is None else share


def _share(settings: PrepareSettings, tokenizer: ResolvedTokenizer, sources: Sequence[Source]) -> float:
    """Return the share of documents that validate."""
    if settings.val_tokens is None:
        return _or_default(settings.val_share)
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
