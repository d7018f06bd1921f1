"""Dialects that a planned run can be written in, found by listing this folder, and what they share."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ..planned import PlannedRun

__all__ = [
    "Document",
    "Refuser",
    "Writer",
    "comment_lines",
    "dialects",
    "documents",
    "evaluation_interval",
    "head",
    "number",
    "quoted",
    "without_none",
    "write",
]

COMMENT_WIDTH = 110
EVALUATIONS = 40
"""How often a run is evaluated: enough points to see a curve, few enough to cost little."""
_SHARED = frozenset({"base"})


@dataclass(frozen=True, slots=True)
class Document:
    """One file of a config: its usual name and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Writer:
    """A dialect: its name, and the function that writes a run in it or refuses."""

    name: str
    write: Callable[[PlannedRun], tuple[Document, ...]]


class Refuser:
    """Refuses what a dialect cannot express, by name.

    Parameters
    ----------
    dialect : str
        For the message.
    """

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect

    def unless(self, expressible: bool, what: str, instead: str) -> None:
        """Raise UsageError unless something can be expressed.

        Parameters
        ----------
        expressible : bool
            Whether it can.
        what : str
            What cannot, as the subject of a sentence.
        instead : str
            What to do.
        """
        if not expressible:
            raise UsageError(f"--dialect {self.dialect}: {what} cannot be written in its config. Next: {instead}.")

    def pretraining(self, planned: PlannedRun) -> None:
        """Refuse what no pre-training config of any dialect says."""
        setup = planned.setup
        self.unless(setup.lora_rank == 0, "LoRA", "plan the training of all parameters")
        self.unless(setup.flash, "attention that stores its scores", "plan with flash attention")
        self.unless(
            planned.decay_steps == planned.steps or self.dialect in ("auscult", "nanogpt"),
            f"a decay of {planned.decay_steps:,} steps in a run of {planned.steps:,}",
            "let the decay end with the run, or write --dialect auscult or nanogpt",
        )


def dialects() -> tuple[str, ...]:
    """Return the names of the dialects.

    Examples
    --------
    >>> dialects()
    ('auscult', 'hf', 'litgpt', 'nanogpt', 'torchtitan')
    """
    return tuple(_writers())


def documents(planned: PlannedRun, dialect: str) -> tuple[Document, ...]:
    """Write a run as the files that a trainer reads.

    Parameters
    ----------
    planned : PlannedRun
        The run.
    dialect : str
        One of :func:`dialects`.

    Returns
    -------
    tuple of Document
        One, but for ``hf``: the arguments of ``run_clm.py``, which name the ``config.json`` that comes second.

    Raises
    ------
    UsageError
        When there is no such dialect, or it cannot express the run: the message says what, and which can.
    """
    writer = _writers().get(dialect)
    if writer is None:
        raise UsageError(f"--dialect: expected one of {', '.join(_writers())}, found {dialect[:80]!r}.")
    for text in (planned.dataset, planned.tokenizer):
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise UsageError(f"--dataset: {ascii(text)[:80]} is not text that a file can hold.") from None
    return writer.write(planned)


def write(planned: PlannedRun, dialect: str) -> str:
    """Write a run as the file that a trainer is started with, the first of :func:`documents`.

    Raises
    ------
    UsageError
        As :func:`documents`.
    """
    return documents(planned, dialect)[0].text


@functools.cache
def _writers() -> Mapping[str, Writer]:
    package = __package__ or ""
    folder = importlib.import_module(package).__path__
    names = sorted(item.name for item in pkgutil.iter_modules(folder) if item.name not in _SHARED)
    writers = (importlib.import_module(f"{package}.{name}").WRITER for name in names)
    return {writer.name: writer for writer in writers}


def evaluation_interval(planned: PlannedRun) -> int:
    """Return the steps between evaluations."""
    return max(1, planned.steps // EVALUATIONS)


def comment_lines(texts: tuple[str, ...]) -> list[str]:
    r"""Return sentences as lines of comment; nothing in them can end the comment.

    Examples
    --------
    >>> comment_lines(("8 fit\nimport os",))
    ['# 8 fit import os']
    """
    lines: list[str] = []
    for text in texts:
        plain = "".join(letter if letter.isprintable() else " " for letter in text)
        lines += [f"# {line}" for line in textwrap.wrap(plain, COMMENT_WIDTH)]
    return lines


def quoted(text: str) -> str:
    r"""Return a string in double quotes as TOML and YAML both read it.

    Examples
    --------
    >>> print(quoted('a "b"\n\\é'))
    "a \"b\"\u000A\\é"
    """
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04X}" if ord(letter) <= 0xFFFF else f"\\U{ord(letter):08X}"


def number(value: float) -> str:
    """Return a number as Python, TOML and YAML 1.1 all read it as one: ``1e-05`` is a string to PyYAML, ``1.0e-05`` is not.

    Examples
    --------
    >>> number(1e-5), number(6e-4), number(0.1)
    ('1.0e-05', '0.0006', '0.1')
    """
    text = repr(float(value))
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def head(planned: PlannedRun, launch: str) -> list[str]:
    """Return the comment on top: how to start it, on what, what a step is, and why."""
    setup = planned.setup
    ranks = f" x {setup.data_parallel} ranks" if setup.data_parallel > 1 else ""
    machine = f"{planned.gpu_count} x {planned.gpu}" if planned.gpu else f"{planned.gpu_count} GPU(s)"
    arithmetic = (
        f"{setup.micro_batch} sequences x {setup.gradient_accumulation_steps} accumulated{ranks} x {setup.context:,} tokens"
        f" = {planned.tokens_per_step:,} tokens per step; {planned.steps:,} steps = {planned.tokens:,} tokens"
    )
    first = ("Written by auscult plan for " + machine + ".", "Start with: " + launch, arithmetic + ".")
    return comment_lines((*first, *planned.why))


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that say something."""
    return {key: value for key, value in values.items() if value is not None}
