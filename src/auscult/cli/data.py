"""``auscult data``: from text to shards of tokens, whether they are whole, and a corpus to try with."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data.prepare import Prepared, Seen

__all__ = ["add_data"]

_PREPARE = """Turn text into shards of tokens, with a manifest of where they come from.

An INPUT is a text file, JSON lines (.jsonl), a Parquet file, a folder of these (.gz and .zst are unpacked), or
hf:DATASET[/CONFIG] to stream from the Hugging Face Hub. Documents go into the validation split at random. Run the
same command again after any interruption: it continues."""
_EXAMPLES = """examples:
  auscult data prepare fineweb/000_00000.parquet --output data/fineweb --tokenizer gpt2 --val-tokens 10.5M
  auscult data corpus --output corpus && auscult data prepare corpus --output data/python --tokenizer bytes --val-share 0.1
  auscult data prepare hf:HuggingFaceFW/fineweb/sample-10BT --output data/fineweb --tokenizer gpt2 --limit-tokens 3B"""


def add_data(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("data", help="prepare text for training, verify shards, write a corpus to try with")
    kinds = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_prepare(kinds)
    verify = kinds.add_parser("verify", help="compare shards with the sizes and checksums of their manifest")
    verify.add_argument("folder", metavar="DIR", type=Path, help="of shards, in any format that is read")
    verify.set_defaults(run=_verify)
    corpus = kinds.add_parser("corpus", help="write the sources of this machine's Python library as text files")
    corpus.add_argument("--output", metavar="DIR", type=Path, required=True, help="a new folder")
    corpus.add_argument("--bytes", metavar="N", default="8M", help="how much text (default: 8M)")
    corpus.set_defaults(run=_corpus)


def _add_prepare(kinds: Any) -> None:
    parser = kinds.add_parser(
        "prepare",
        help="turn text into shards of tokens",
        description=_PREPARE,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="text, JSON lines, Parquet, folders, hf:DATASET")
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help="a new folder")
    parser.add_argument(
        "--tokenizer",
        metavar="NAME",
        required=True,
        help="bytes; gpt2 or another of tiktoken's; a tokenizer.json; OWNER/NAME on the Hugging Face Hub",
    )
    parser.add_argument(
        "--separator",
        metavar="TOKEN",
        default="auto",
        help="what stands before every document: auto, none, a token, or its number",
    )
    val = parser.add_mutually_exclusive_group()
    val.add_argument("--val-tokens", metavar="N", help="about how many tokens validate, such as 10.5M")
    val.add_argument("--val-share", metavar="P", type=float, help="or the share of documents (default: 0.005)")
    parser.add_argument(
        "--val-noise",
        metavar="NATS",
        type=float,
        default=0.005,
        help="warn where the split's own sampling error is larger (default: 0.005)",
    )
    parser.add_argument(
        "--text-column", metavar="NAME", default="text", help="of JSON lines and tables (default: text)"
    )
    parser.add_argument(
        "--documents-by",
        choices=("file", "blank-lines"),
        default="file",
        help="what a document of a text file is (default: file)",
    )
    parser.add_argument("--shard-tokens", metavar="N", default="100M", help="tokens of a shard (default: 100M)")
    parser.add_argument("--limit-tokens", metavar="N", help="stop after the document that reaches so many")
    parser.add_argument("--seed", metavar="N", type=int, default=1337, help="of the split (default: 1337)")
    parser.add_argument("--workers", metavar="N", help="processes (default: one a core)")
    parser.set_defaults(run=_prepare)


def _prepare(arguments: argparse.Namespace) -> int:
    from ..data.prepare import PrepareSettings, prepare
    from ..planner.request import parse_amount

    def amount(name: str, *, least: int = 1) -> int | None:
        said = getattr(arguments, name)
        return None if said is None else parse_amount(said, f"--{name.replace('_', '-')}", least=least)

    settings = PrepareSettings(
        tokenizer=arguments.tokenizer,
        separator=arguments.separator,
        val_share=arguments.val_share,
        val_tokens=amount("val_tokens", least=0),
        val_noise=arguments.val_noise,
        text_column=arguments.text_column,
        documents_by=arguments.documents_by,
        shard_tokens=amount("shard_tokens") or 0,
        limit_tokens=amount("limit_tokens"),
        seed=arguments.seed,
        workers=amount("workers"),
    )
    with _watching() as watch:
        prepared = prepare(arguments.inputs, arguments.output, settings, watch=watch)
    _tell(prepared, arguments.output)
    return 0


def _tell(prepared: Prepared, output: Path) -> None:
    for warning in prepared.warnings:
        print(f"auscult: {warning}", file=sys.stderr)
    manifest = prepared.manifest
    how = "already there" if prepared.already_there else "continued" if prepared.resumed else "prepared"
    print(f"{output}: {how}, {manifest.tokenizer.name}, {manifest.tokenizer.vocab_size:,} tokens in the vocabulary")
    for name, split in manifest.splits.items():
        shards = "1 shard" if len(split.shards) == 1 else f"{len(split.shards):,} shards"
        print(f"  {name:5s} {split.tokens:>16,} tokens  {split.documents:>12,} documents  {shards}")
    if manifest.empty_documents:
        print(f"  {manifest.empty_documents:,} documents without text are left out")


def _verify(arguments: argparse.Namespace) -> int:
    from ..data.verify import verify

    shards = wrong = tokens = 0
    for looked_at in verify(arguments.folder):
        shards += 1
        tokens += looked_at.shard.tokens
        if looked_at.problem is not None:
            wrong += 1
            print(f"auscult: {looked_at.problem}", file=sys.stderr)
    if wrong:
        print(f"{arguments.folder}: {wrong} of {shards} shards are not as they should be")
        return 1
    print(f"{arguments.folder}: {shards} shards, {tokens:,} tokens, as they should be")
    return 0


def _corpus(arguments: argparse.Namespace) -> int:
    from ..data.corpus import write_corpus
    from ..planner.request import parse_amount

    written = write_corpus(arguments.output, size_bytes=parse_amount(arguments.bytes, "--bytes"))
    print(f"{arguments.output}: {written.files:,} files, {written.bytes:,} bytes of Python sources")
    return 0


@contextlib.contextmanager
def _watching() -> Iterator[Callable[[Seen], None] | None]:
    """Show on stderr how far it is and when it will be done; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("preparing"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[tokens]:,} tokens"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("preparing", total=None, tokens=0)
        yield lambda seen: bar.update(task, completed=seen.source_bytes, total=seen.total_bytes, tokens=seen.tokens)
