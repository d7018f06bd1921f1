"""``auscult train``: train a recipe, or go on with its run."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

__all__ = ["add_train"]

EXIT_NOT_FINITE = 1
_DESCRIPTION = """Train what a recipe says, from step 0 or from where its run stands.

Before step 0 it says what would be trained, and refuses what cannot fit or contradicts itself. Ctrl-C saves and leaves;
the same command goes on, also after a kill."""
_EXAMPLES = """examples:
  Train a recipe, or go on with its run        auscult train recipe.toml
  See what would be trained                    auscult train recipe.toml --preflight
  Train a nanoGPT config (parsed, never run)   auscult train config/train_gpt2.py
  On two GPUs                                  torchrun --nproc-per-node 2 -m auscult train recipe.toml

exit status: 0 trained to its last step; 1 the loss is no longer finite; 2 the recipe, the data or the machine is wrong;
128 + N stopped by signal N and saved (130 is Ctrl-C)"""


def add_train(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "train",
        help="train a recipe, or go on with its run",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe in TOML, or a nanoGPT config (.py)")
    parser.add_argument("--output", metavar="DIR", help="the run's folder (default: runs/NAME)")
    parser.add_argument("--preflight", action="store_true", help="say what there is to say before step 0, and stop")
    parser.add_argument("--force", action="store_true", help="train although the preflight refuses")
    parser.add_argument(
        "--accept-changes", action="store_true", help="go on although the recipe is no longer the checkpoint's"
    )
    parser.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    from ..training import train

    outcome = train(
        Path(arguments.recipe),
        output=arguments.output,
        force=arguments.force,
        accept_changes=arguments.accept_changes,
        preflight_only=arguments.preflight,
        tell=_tell,
    )
    if outcome is None or outcome.status == "done":
        if outcome is not None and not _is_other_rank():
            print(outcome.message, flush=True)
        return 0
    if not _is_other_rank() and not (sys.stdout.isatty() and sys.stderr.isatty()):  # there the journal has just said it
        print(f"auscult: {outcome.message}", file=sys.stderr)
    return EXIT_NOT_FINITE if outcome.status == "not_finite" else 128 + outcome.signal_number


def _tell(line: str) -> None:
    """Print a line, broken between words where a person watches."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        line = textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    print(line, flush=True)


def _is_other_rank() -> bool:
    import os

    return os.environ.get("RANK", "0") != "0"
