"""``auscult explain-oom``: which tensor an out-of-memory message asked for, and the cheapest way out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from ..architectures import Model
    from ..facts.setup import Precision, Setup

__all__ = ["add_explain_oom"]

_PRECISIONS: dict[str, Precision] = {
    "bfloat16": "amp_bf16",
    "float16": "amp_fp16",
    "float32": "fp32",
    "pure-bfloat16": "bf16",
}
_DESCRIPTION = """Which tensor did not fit, in which phase of a step, and what is the cheapest way out?

Give the message itself, a file that holds it, or - for stdin. With the model and the batch the tensor is named;
without them its size is only taken apart into usual numbers."""
_EXAMPLES = """examples:
  auscult explain-oom train.log --recipe runs/gpt2
  auscult explain-oom "Tried to allocate 6.14 GiB" --like gpt2 --batch 32
  python train.py 2>&1 | auscult explain-oom - --recipe config/train_gpt2.py"""


def add_explain_oom(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "explain-oom",
        help="explain an out-of-memory message: the tensor, the phase, the cheapest way out",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "text",
        nargs="?",
        default="-",
        metavar="TEXT",
        help="the message, a file that holds it, or - for stdin (default)",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--recipe", metavar="PATH", help="the run's config: its model, batch, context and precision")
    model.add_argument("--like", metavar="MODEL", help="a model of known shape, such as gpt2 or llama-3.2-1b")
    parser.add_argument(
        "--batch", metavar="N", type=_count, help="sequences of one pass on one card (needed with --like)"
    )
    parser.add_argument("--context", metavar="N", type=_count, help="length of a sequence in tokens")
    parser.add_argument("--dtype", choices=tuple(_PRECISIONS), help="default: the recipe's, else bfloat16 autocast")
    parser.add_argument("--compile", choices=("yes", "no"), help="default: the recipe's, else no")
    parser.add_argument("--gpu", metavar="NAME", help="the card, where the message does not say its capacity")
    parser.set_defaults(run=_explain_oom)


def _count(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not digits.isdecimal() or not 1 <= int(digits[:16]) < 10**9:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, found {text[:40]!r}")
    return int(digits)


def _explain_oom(arguments: argparse.Namespace) -> int:
    from ..oom import explain_oom, render

    model, setup, memory_bytes = _trained(arguments)
    text = _text(arguments.text)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    sys.stdout.write(render(explain_oom(text, model, setup, memory_bytes=memory_bytes)))
    return 0


def _text(argument: str) -> str:
    """Return the message: the argument itself, or the lines of a file or of stdin that hold one."""
    from ..readers.files import open_path, open_stdin
    from ..readers.oom_message import excerpt_messages, parse_oom_messages
    from ..readers.text import clean

    if argument == "-":
        if sys.stdin is not None and sys.stdin.isatty():
            raise UsageError(
                "There is no message: stdin is a terminal. Next: give the message, or a file that holds it, as TEXT."
            )
        file = open_stdin()
    elif parse_oom_messages(argument) or any(letter.isspace() for letter in argument.strip()):
        if not _is_file(argument):
            return clean(argument)
        file = open_path(Path(argument), argument)
    elif argument.strip():
        file = open_path(Path(argument), argument)
    else:
        return ""
    file.check()
    return excerpt_messages(line.text for line in file.lines())


def _is_file(argument: str) -> bool:
    try:
        return Path(argument).is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero in it
        return False


def _trained(arguments: argparse.Namespace) -> tuple[Model | None, Setup | None, int | None]:
    """Return the model, how it is trained, and the card's memory, as far as they are said."""
    from ..facts.setup import Setup

    memory_bytes = None
    if arguments.gpu is not None:
        from .plan import machine_of

        memory_bytes = machine_of(arguments.gpu)[0].memory_bytes
    if arguments.recipe is not None:
        model, values, recipe_memory = _of_recipe(arguments.recipe)
        memory_bytes = memory_bytes or recipe_memory
    elif arguments.like is not None:
        from ..architectures import build
        from ..planner.shapes import like

        model, values = build(like(arguments.like)), {}
        values["context"] = model.context
    else:
        if arguments.batch is not None or arguments.context is not None:
            raise UsageError("--batch and --context say nothing without a model. Next: add --recipe or --like.")
        return None, None, memory_bytes
    said = {
        "micro_batch": arguments.batch,
        "context": arguments.context,
        "precision": None if arguments.dtype is None else _PRECISIONS[arguments.dtype],
        "compiled": None if arguments.compile is None else arguments.compile == "yes",
    }
    values.update({key: value for key, value in said.items() if value is not None})
    if values.get("micro_batch") is None or values.get("context") is None:
        return model, None, memory_bytes
    return model, Setup(**values), memory_bytes


def _of_recipe(path: str) -> tuple[Model, dict[str, Any], int | None]:
    """Return what a run's files say: its model, the values of a setup, and the card's memory."""
    from ..examination import Examination
    from ..readers import read
    from ..run import Unknown, value_of

    exam = Examination(read(path))
    if isinstance(exam.model, Unknown):
        raise UsageError(
            f"--recipe: the model of {exam.run.name} is not known in every number ({exam.model.reason}). Next: add what is"
            " missing, or say --like."
        )
    recipe, model = exam.run.recipe, exam.model.value
    batch, context = value_of(recipe.batch_size), value_of(recipe.architecture.context) or model.context
    ranks = value_of(exam.run.machine.gpu_count) or value_of(recipe.world_size) or 1
    values: dict[str, Any] = {
        "micro_batch": batch,
        "context": context,
        "precision": _PRECISIONS.get(value_of(exam.dtype) or ""),
        "compiled": value_of(recipe.compile),
        "dropout": value_of(recipe.dropout),
    }
    if ranks > 1:
        values |= {"data_parallel": ranks, "sharding": "ddp"}
    step = value_of(exam.tokens_per_step)
    if step and batch and context and step % (batch * context * ranks) == 0:
        values["gradient_accumulation_steps"] = step // (batch * context * ranks)
    return model, {key: value for key, value in values.items() if value is not None}, value_of(exam.memory_limit_bytes)
