"""``auscult plan``: what can be trained on a machine, how, and how long it takes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .files import write_atomically

if TYPE_CHECKING:
    from ..hardware import Gpu
    from ..planner import Planning, Request, Target
    from ..planner.writers import Document

__all__ = ["add_plan", "machine_of"]

EXIT_IMPOSSIBLE = 1
_DIALECTS = {".py": "nanogpt", ".toml": "torchtitan", ".yaml": "litgpt", ".yml": "litgpt", ".json": "hf"}
_PRECISIONS = {"bfloat16": "amp_bf16", "float16": "amp_fp16", "float32": "fp32", "pure-bfloat16": "bf16"}
_DESCRIPTION = """What can I train on this machine, how, how long will it take, and what will it cost?

Say what you want to train and on what; what you leave out is chosen, and the answer says what was assumed."""
_EXAMPLES = """examples:
  What does GPT-2 small need on my card?            auscult plan --like gpt2 --gpu "RTX 4070"
  How should I run this config on eight H100s?      auscult plan --recipe config.json --gpu "H100 SXM x8"
  What is the best model in two days on a 4090?     auscult plan --hours "2 days" --gpu 4090 --dataset fineweb
  Which model reaches a loss of 3.2 on FineWeb?     auscult plan --loss 3.2 --dataset fineweb --gpu "A100 80GB"

exit status: 0 it can be done as asked; 1 it cannot, and the nearest plans are shown; 2 the question is wrong"""


def add_plan(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "plan",
        help="before a run: what fits, how to train it, how long it takes",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("What do you want to train? (one of these, or only --hours)")
    target = what.add_mutually_exclusive_group()
    target.add_argument("--recipe", metavar="PATH", help="the run that this config describes, as it stands")
    target.add_argument("--like", metavar="MODEL", help="a model of known shape, such as gpt2 or llama-3.2-1b")
    target.add_argument("--params", metavar="N", help="a model of this many parameters, such as 124M")
    target.add_argument(
        "--loss", metavar="NATS", help="the smallest model expected to reach this loss (needs --dataset)"
    )
    what.add_argument("--family", default="gpt2", metavar="NAME", help="whose architecture to draw (default: gpt2)")

    where = parser.add_argument_group("On which machine?")
    where.add_argument("--gpu", metavar="NAME[xN]", help='such as "RTX 4070" or "H100 SXM x8"; auto asks the driver')
    where.add_argument("--price", metavar="P", type=_price, help="what one card costs an hour, in your currency")

    much = parser.add_argument_group("With how much data and time?")
    much.add_argument("--tokens", metavar="N", help="of the whole run, such as 10B (default: 20 for each parameter)")
    much.add_argument("--tokens-per-step", metavar="N", help="kept exactly, such as 524288")
    much.add_argument("--context", metavar="N", help="length of a sequence in tokens")
    much.add_argument("--hours", metavar="T", help='the time there is, such as 12, 90min or "2 days"')
    much.add_argument("--dataset", metavar="NAME", help="the corpus, such as fineweb: needed to tell a loss")

    fixed = parser.add_argument_group("What is already decided?")
    fixed.add_argument("--dtype", choices=tuple(_PRECISIONS), help="default: bfloat16 autocast where the card has it")
    fixed.add_argument(
        "--compile", choices=("yes", "no"), help="whether torch.compile is used (default: what is faster)"
    )
    fixed.add_argument(
        "--checkpointing", choices=("none", "selective", "full"), help="of activations (default: what is faster)"
    )
    fixed.add_argument(
        "--optimizer",
        choices=("adamw", "adamw_8bit", "muon", "lion", "adafactor", "sgd"),
        default="adamw",
        help="default: adamw",
    )
    fixed.add_argument("--dropout", metavar="P", type=_dropout, help="default: 0, or the recipe's")

    answer = parser.add_argument_group("How should the answer look?")
    answer.add_argument(
        "--format",
        choices=("terminal", "json", "markdown", "config"),
        default="terminal",
        help="config: the best plan as a config of --dialect (default: terminal)",
    )
    answer.add_argument("--output", metavar="FILE", help="write the answer there instead of stdout, atomically")
    answer.add_argument(
        "--dialect", metavar="NAME", help="whose config to write: auscult, nanogpt, hf, litgpt or torchtitan"
    )
    answer.add_argument("--write", metavar="FILE", help="write the best plan's config there; never overwrites")
    answer.add_argument("--quiet", action="store_true", help="the first screen only")
    parser.set_defaults(run=_plan)


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < 1e6:
        raise argparse.ArgumentTypeError(f"expected a price for an hour, such as 1.9, found {text!r}")
    return price


def _dropout(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, found {text!r}")
    return share


def _plan(arguments: argparse.Namespace) -> int:
    from ..planner import plan

    request, target = _request(arguments)
    planning = plan(request, target)
    _emit(planning, arguments)
    if arguments.write is not None:
        _write(planning, arguments)
    return EXIT_IMPOSSIBLE if planning.binding is not None else 0


def _request(arguments: argparse.Namespace) -> tuple[Request, Target | None]:
    from ..planner import Request, parse_amount, parse_hours

    def amount(name: str) -> int | None:
        text = getattr(arguments, name)
        return None if text is None else parse_amount(text, "--" + name.replace("_", "-"))

    run_gpu: str | None = None
    values: dict[str, Any] = {}
    target: Target | None = None
    if arguments.recipe is not None:
        from ..planner import asked_by_recipe

        run_gpu, values, target = asked_by_recipe(_examined(arguments))
    gpu, count = machine_of(arguments.gpu if arguments.gpu is not None else run_gpu)
    said: dict[str, Any] = {
        "like": arguments.like,
        "params": amount("params"),
        "loss": None if arguments.loss is None else _loss(arguments.loss),
        "tokens": amount("tokens"),
        "tokens_per_step": amount("tokens_per_step"),
        "context": amount("context"),
        "hours": None if arguments.hours is None else parse_hours(arguments.hours, "--hours"),
        "dataset": arguments.dataset,
        "precision": None if arguments.dtype is None else _PRECISIONS[arguments.dtype],
        "compiled": None if arguments.compile is None else arguments.compile == "yes",
        "checkpointing": arguments.checkpointing,
        "dropout": arguments.dropout,
        "price_per_gpu_hour": arguments.price,
    }
    values.update({key: value for key, value in said.items() if value is not None})
    request = Request(gpu=gpu, gpu_count=count, family=arguments.family, optimizer=arguments.optimizer, **values)
    return request, target


def _loss(text: str) -> float:
    try:
        loss = float(text)
    except ValueError:
        loss = -1.0
    if not 0 < loss < 20:
        raise UsageError(f"--loss: expected nats per token, such as 3.2, found {text!r}.")
    return loss


def machine_of(text: str | None) -> tuple[Gpu, int]:
    """Return the card that ``--gpu`` names, and how many.

    Raises
    ------
    UsageError
        When none is named, or none is known by that name.
    """
    from ..hardware import find_gpu, suggest
    from ..readers import given_by_options
    from ..run import value_of

    if text is None:
        raise UsageError(
            'Which machine? Next: say --gpu "RTX 4070", --gpu "H100 SXM x8", or --gpu auto to ask the driver.'
        )
    given = given_by_options(gpu=text)
    name, count = value_of(given.gpu) or text, value_of(given.gpus)
    own = _own_cards()
    if _is_auto(name):
        gpu, found = _detected(own)
        return gpu, count or found
    card = find_gpu(name, own)
    if card is None:
        near = suggest(name, extra=own)
        hint = (
            f"did you mean {', '.join(near)}" if near else "docs/hardware.md lists the cards; add yours to auscult.toml"
        )
        raise UsageError(f"--gpu: {name!r} is not in the table of cards, and none is assumed. Next: {hint}.")
    return card, count or 1


def _is_auto(name: str | None) -> bool:
    return name is not None and name.strip().lower() == "auto"


def _own_cards() -> tuple[Gpu, ...]:
    """Return the cards that an ``auscult.toml`` in the working directory describes."""
    from ..readers.given import SETTINGS_FILE

    if not Path(SETTINGS_FILE).is_file():
        return ()
    from ..hardware.user_table import gpus_of_settings

    return gpus_of_settings(SETTINGS_FILE)


def _detected(own: Sequence[Gpu]) -> tuple[Gpu, int]:
    """Return this machine's cards, as its driver tells them."""
    from ..hardware.detect import detect

    return detect(own)


def _examined(arguments: argparse.Namespace) -> Any:
    from ..examination import Examination
    from ..readers import given_by_options, read
    from ..run import value_of

    given = None if arguments.gpu is None else given_by_options(gpu=arguments.gpu)
    if given is not None and _is_auto(value_of(given.gpu)):
        given = None
    return Examination(read(arguments.recipe, given=given) if given is not None else read(arguments.recipe))


def _config(planning: Planning, arguments: argparse.Namespace) -> tuple[Document, ...]:
    from ..planner import config_of

    dialect = arguments.dialect
    if dialect is None and arguments.write is not None:
        dialect = _DIALECTS.get(Path(arguments.write).suffix)
    if dialect is None:
        raise UsageError(
            "Whose config is to be written? Next: say --dialect auscult, nanogpt, hf, litgpt or torchtitan."
        )
    return config_of(planning, dialect)


def _write(planning: Planning, arguments: argparse.Namespace) -> None:
    """Write the best plan's config, and beside it the other files that it names."""
    first = Path(arguments.write)
    files = _config(planning, arguments)
    paths = [first, *(first.parent / document.name for document in files[1:])]
    for path in paths:
        if path.exists():
            raise UsageError(
                f"{path}: the file exists, and --write never overwrites. Next: choose another name or folder."
            )
    for path, document in zip(paths, files, strict=True):
        write_atomically(path, document.text)
        print(f"wrote {path}", file=sys.stderr)


def _emit(planning: Planning, arguments: argparse.Namespace) -> None:
    from ..report.terminal import make_console, stdout_console

    if arguments.format == "json":
        from ..report.planning_json import plan_dumps

        text = plan_dumps(planning) + "\n"
    elif arguments.format == "markdown":
        from ..report.planning_text import plan_as_markdown

        text = plan_as_markdown(planning, quiet=arguments.quiet)
    elif arguments.format == "config":
        text, *others = (document.text for document in _config(planning, arguments))
        if others:
            print("this config names another file: --write FILE writes both", file=sys.stderr)
    else:
        import io

        from ..report.planning_text import render_plan

        buffer = io.StringIO()
        render_plan(planning, make_console(buffer) if arguments.output else stdout_console(), quiet=arguments.quiet)
        text = buffer.getvalue()
        if not arguments.output:
            return
    if arguments.output:
        write_atomically(Path(arguments.output), text)
        return
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    sys.stdout.write(text)
