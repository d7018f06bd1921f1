"""The command that started a run: its launcher, its program, and what it was told, with places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..run import Known, Quantity, Source, Unknown, known
from .megatron_keys import value as plain_value
from .patterns import lazy
from .privacy import without_names
from .shell import Command, Word, open_reason

__all__ = ["Launch", "launch_of", "slurm_variables"]

_FLAG = lazy(r"(--?)([A-Za-z][\w.-]{0,100})(?:=(.*))?", re.DOTALL)
_NUMBER = lazy(r"-(?:\d[\d._]*|\.\d+)(?:e[+-]?\d+)?", re.I)
_SETTING = lazy(r"([A-Za-z_][\w.]{0,100})=(.*)", re.DOTALL)
_LAUNCHERS = frozenset({"torch.distributed.launch", "torch.distributed.run", "deepspeed", "accelerate.commands.launch"})
_PROGRAMS = frozenset({"litgpt", "llamafactory-cli", "axolotl", "tune", "train_gpt2cu", "train_gpt2fp32cu"})
_TORCHRUN = frozenset({"torchrun", "torch.distributed.launch", "torch.distributed.run"})
_MAX_FLAGS = 2_000
_MAX_SHOWN = 160
_SBATCH = lazy(r"^#SBATCH\s{1,8}--?([\w-]{1,40})(?:=|\s{1,8})([^\s#]{1,80})", re.MULTILINE)
_CARD = lazy(
    r"(?:nvidia[-_])?((?:a|v|h|b|gh|gb|p|t|l|rtx|mi)[-_]?\d{1,4}[a-z]{0,2})(?:[-_]?(\d{2,3})g(?:b)?)?(?:[-_][a-z]{2,5})?",
    re.I,
)


@dataclass
class Launch:
    """A command that starts a training.

    Attributes
    ----------
    program : str
        The script's own name or the module: ``train.py``, ``torchtitan.train``.
    flags : dict
        What the program was told, by name without dashes as it was written, each with its place; a flag without a value
        is True. What a variable or a command's output leaves open is Unknown.
    words : list of Word
        What was given without a flag.
    ranks : Known, Unknown or None
        How many processes the launcher starts; None where it does not say.
    line : int
        The line on which the command begins.
    """

    program: str
    flags: dict[str, Quantity[Any]] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    ranks: Quantity[int] | None = None
    line: int = 1
    launcher: str = ""

    def normalised(self) -> dict[str, Quantity[Any]]:
        """Return the flags with ``_`` for ``-``."""
        return {name.replace("-", "_"): quantity for name, quantity in self.flags.items()}


def launch_of(command: Command, file: str) -> Launch | None:
    """Return what a command starts, or None when it is no program with flags."""
    words = [word for word in command.words if word.text not in ("\\", "-")]
    at = _program(words)
    if at is None:
        return None
    before, program = words[:at], words[at].text
    found = Launch(program.rpartition("/")[2] or program, line=words[at].line)
    found.launcher = _launcher(before)
    found.flags, found.words = _flags(words[at + 1 :], file)
    found.ranks = _ranks(found.launcher, before, file)
    return found


def _program(words: list[Word]) -> int | None:
    """Return where the program stands: the script or module behind all launchers."""
    for index, word in enumerate(words[:400]):
        text = word.text
        name = text.rpartition("/")[2]
        previous = words[index - 1].text if index else ""
        if previous == "-m" and text in _LAUNCHERS:
            continue
        if previous == "-m" and (index > 1 or words[0].text == "-m") and re.fullmatch(r"[\w.]{2,100}", text):
            return index
        if name.endswith(".py") and not text.startswith("-"):
            return index
        if name in _PROGRAMS and not previous.startswith("-"):
            return index
    return None


def _launcher(words: list[Word]) -> str:
    for word in words:
        name = word.text.rpartition("/")[2]
        if name in ("torchrun", "accelerate", "deepspeed", "mpirun", "mpiexec") or name in _LAUNCHERS:
            return name
    return ""


def _flags(words: list[Word], file: str, most: int = 200) -> tuple[dict[str, Quantity[Any]], list[Word]]:
    flags: dict[str, Quantity[Any]] = {}
    plain: list[Word] = []
    index = 0
    while index < len(words) and len(flags) < _MAX_FLAGS:
        word = words[index]
        index += 1
        found = _FLAG.fullmatch(word.text) if not _NUMBER.fullmatch(word.text) else None
        if found is None:
            setting = _SETTING.fullmatch(word.text)
            if setting is not None and open_reason(setting[1]) is None:
                flags[setting[1]] = _quantity(setting[1], [Word(setting[2], word.line)], word, file)
            else:
                plain.append(word)
            continue
        values = [Word(found[3], word.line)] if found[3] is not None else []
        while found[3] is None and len(values) < most and index < len(words) and not _is_flag(words[index]):
            if values and _SETTING.fullmatch(words[index].text):
                break
            values.append(words[index])
            index += 1
        flags[found[2]] = _quantity(word.text.partition("=")[0], values, word, file)
    return flags, plain


def _is_flag(word: Word) -> bool:
    return bool(_FLAG.fullmatch(word.text)) and not _NUMBER.fullmatch(word.text)


def _quantity(name: str, values: list[Word], flag: Word, file: str) -> Quantity[Any]:
    text = " ".join(value.text for value in values[:200])
    line = values[0].line if values else flag.line
    why = open_reason(text)
    if why is not None:
        return Unknown(f"{file}:{flag.line} gives {name} in a way that cannot be read: {why}")
    shown = without_names(f"{name} {text}".strip())[:_MAX_SHOWN]
    source = Source("read", file, line, shown)
    if not values:
        return Known(True, source)
    if re.fullmatch(r"\d{1,3}(?:_\d{3})+", text):
        return Known(int(text.replace("_", "")), source)
    return Known(plain_value(text[:1000]), source)


def _ranks(launcher: str, before: list[Word], file: str) -> Quantity[int] | None:
    """Return how many processes the launcher starts in all."""
    if not launcher:
        return None
    given, _plain = _flags(before, file, most=1)
    flags = {name.replace("-", "_"): quantity for name, quantity in given.items()}

    def whole(*names: str) -> Quantity[int] | None:
        one = next((flags[n] for n in names if n in flags), None)
        if isinstance(one, Known):
            return (
                one
                if isinstance(one.value, int) and not isinstance(one.value, bool) and one.value > 0
                else Unknown(f"{one.source.place} says {one.source.text}, which is no number")
            )
        return one

    if launcher in _TORCHRUN:
        return _product(whole("nproc_per_node"), whole("nnodes"), "processes of a node · nodes")
    if launcher in ("accelerate", "accelerate.commands.launch"):
        return whole("num_processes", "n")
    if launcher == "deepspeed":
        return _product(whole("num_gpus"), whole("num_nodes"), "GPUs of a node · nodes")
    return whole("np", "n")


def _product(each: Quantity[int] | None, nodes: Quantity[int] | None, formula: str) -> Quantity[int] | None:
    if each is None or isinstance(each, Unknown):
        return each
    if nodes is None:
        return each
    if isinstance(nodes, Unknown):
        return nodes
    return known(each.value * nodes.value, formula, each, nodes)


def slurm_variables(text: str, file: str) -> tuple[dict[str, str], dict[str, Known[Any]]]:
    r"""Return what Slurm will set for a job by its ``#SBATCH`` lines, and what they say about the machine.

    Examples
    --------
    >>> slurm_variables("#SBATCH --nodes=4\n#SBATCH --gres=gpu:a100:8", "job.sh")[0]["SLURM_NNODES"]
    '4'
    """
    options: dict[str, tuple[str, int]] = {}
    for found, _ in zip(_SBATCH.finditer(text[:65_536]), range(200), strict=False):
        options.setdefault(found[1], (found[2], text.count("\n", 0, found.start()) + 1))
    variables: dict[str, str] = {}
    nodes = options.get("nodes", options.get("N"))
    if nodes is not None and nodes[0].isascii() and nodes[0].isdigit():
        for name in ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"):
            variables[name] = nodes[0]
    per_node = _gpus(options)
    if per_node is not None:
        variables["SLURM_GPUS_ON_NODE"] = variables["SLURM_GPUS_PER_NODE"] = str(per_node.value)
    tasks = options.get("ntasks-per-node")
    if tasks is not None and tasks[0].isascii() and tasks[0].isdigit():
        variables["SLURM_NTASKS_PER_NODE"] = tasks[0]
        if nodes is not None and nodes[0].isdigit() and len(nodes[0]) < 7 and len(tasks[0]) < 7:
            variables["SLURM_NTASKS"] = str(int(nodes[0]) * int(tasks[0]))
    machine = dict(_machine(options, file))
    return variables, machine


def _gpus(options: Mapping[str, tuple[str, int]]) -> Known[int] | None:
    for name in ("gres", "gpus-per-node"):
        found = (
            re.fullmatch(r"(?:gpu:)?(?:[\w-]{1,40}:)?(\d{1,3})(?:\(.*)?", options[name][0]) if name in options else None
        )
        if found is not None and int(found[1]) > 0:
            return Known(int(found[1]), Source("read", None, options[name][1], f"--{name}={options[name][0]}"))
    return None


def _machine(options: Mapping[str, tuple[str, int]], file: str) -> Iterable[tuple[str, Known[Any]]]:
    for name in ("gres", "gpus-per-node", "constraint", "C"):
        if name not in options:
            continue
        text, line = options[name]
        parts = text.split(":")
        kind = next((p for p in parts if _CARD.fullmatch(p) is not None), None)
        card = _CARD.fullmatch(kind) if kind is not None else None
        if card is not None:
            shown = card[1].upper().replace("_", " ") + (f" {card[2]}GB" if card[2] else "")
            yield "gpu_name", Known(shown, Source("read", file, line, f"#SBATCH --{name}={text}"))
            break
    per_node = _gpus(options)
    nodes = options.get("nodes", options.get("N", ("1", 0)))
    if (
        per_node is not None
        and nodes[0].isascii()
        and nodes[0].isdigit()
        and int(nodes[0][:6]) > 0
        and len(nodes[0]) < 7
    ):
        each = Known(per_node.value, Source("read", file, per_node.source.line, per_node.source.text))
        count = Known(int(nodes[0]), Source("read", file, nodes[1] or None, f"--nodes={nodes[0]}"))
        yield "gpu_count", known(each.value * count.value, "GPUs of a node · nodes", each, count)
