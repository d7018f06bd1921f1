"""What one file says about one run, and what a dialect is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..run import (
    Architecture,
    Comment,
    ConfigText,
    Data,
    Known,
    Logged,
    Machine,
    Notice,
    Problem,
    Quantity,
    Recipe,
    Seam,
    Series,
)
from .files import InputFile

__all__ = ["ECHO", "FILE", "FRAMEWORK", "SETTING_KEYS", "TRACKER", "Dialect", "Reading", "Role", "Settings"]

Settings: TypeAlias = Mapping[str, Quantity[Any]]
Role: TypeAlias = Literal["log", "metrics", "config", "summary", "weights"]

ECHO, FRAMEWORK, TRACKER, FILE, SCRIPT = 50, 40, 30, 20, 10
"""Whose word counts more when two files disagree about a setting: what the trainer printed as it ran, what it saved
(trainer_state.json, checkpoints), what a tracker stored at its start, a config file, a script's own defaults."""

SETTING_KEYS = frozenset(
    f"{group}.{f.name}"
    for group, kind in (
        ("architecture", Architecture),
        ("recipe", Recipe),
        ("machine", Machine),
        ("data", Data),
        ("logged", Logged),
    )
    for f in dataclasses.fields(kind)
    if f.name != "architecture"
)
"""Every canonical key of a setting: ``architecture.n_layer``, ``recipe.batch_size``, ``logged.parameters`` …"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file says about one run; a file may hold several.

    Attributes
    ----------
    dialect, file : str
        Who read it, and where.
    role : str
        ``log`` and ``metrics`` hold series over steps, ``config`` what was asked for, ``summary`` final figures,
        ``weights`` shapes of tensors.
    label : str
        The run's name within the file, where it holds several.
    series : tuple of Series
    settings : mapping
        Canonical key (see ``SETTING_KEYS``) to Known or Unknown. An Unknown says that the file sets it in a way that
        cannot be read, and hides defaults.
    raw : mapping
        The same under the trainer's own names, for a ``vocabulary`` that several kinds of file share: nanoGPT's keys
        stand in its configs, its logs and W&B folders, and mean nothing before they are put together.
    vocabulary : str
        Whose names ``raw`` uses: the name of a dialect with ``interpret``.
    authority : int
        Whose word counts when files disagree: ``ECHO`` > ``FRAMEWORK`` > ``TRACKER`` > ``FILE`` > ``SCRIPT``.
    run_id : str or None
        An identity that the trainer or tracker gave the run; equal ones are one run.
    parts : tuple of Reading
        What the file says with another authority, such as the config that a log echoes.
    root : str or None
        The folder that belongs to the run as a whole, where the layout says so (W&B); relative to what was named.
    """

    dialect: str
    file: str
    role: Role
    label: str = ""
    series: tuple[Series, ...] = ()
    settings: Settings = field(default_factory=dict)
    raw: Settings = field(default_factory=dict)
    vocabulary: str = ""
    authority: int = FILE
    notices: tuple[Notice, ...] = ()
    problems: tuple[Problem, ...] = ()
    comments: tuple[Comment, ...] = ()
    seams: tuple[Seam, ...] = ()
    noted: Mapping[str, Known[Any]] = field(default_factory=dict)
    config: ConfigText | None = None
    run_id: str | None = None
    parts: tuple[Reading, ...] = ()
    root: str | None = None

    def __post_init__(self) -> None:
        wrong = [key for key in self.settings if key not in SETTING_KEYS]
        if wrong:
            raise ValueError(f"{self.dialect}: no such setting: {', '.join(wrong)}")

    def get(self, name: str) -> Series | None:
        """Return the series of that name, or None."""
        return next((series for series in self.series if series.name == name), None)


Sniff: TypeAlias = Callable[[InputFile], float]
Read: TypeAlias = Callable[[InputFile], Iterable[Reading]]
Interpret: TypeAlias = Callable[[Settings], Settings]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One trainer's or tracker's way of writing; a file in ``readers/dialects`` defines one as ``DIALECT``.

    Attributes
    ----------
    name : str
        As in ``--dialect`` and the JSON contract.
    title : str
        As people call it.
    role : str
        See :class:`Reading`.
    example : str
        Lines as they stand in the file.
    reads, cannot : str
        What is read from it, and what cannot be known from it; sentences for docs/dialects.md.
    source : str
        Where the grammar comes from.
    sniff : callable
        How much a file looks like it, 0 to 1: 1 an unmistakable line, 0.6 likely, below 0.5 not enough by itself.
    read : callable
        The file to readings.
    interpret : callable, optional
        Puts the merged ``raw`` settings of its vocabulary into canonical keys.
    missing : str
        Why what no file says is unknown: what to add.
    last_resort : bool
        Whether it is asked only when no other dialect is sure.
    tracker : bool
        Whether it is a tracker's or a plain table: a trainer's own words come before its.
    keys : mapping
        Canonical settings to the trainer's own names of them, where a config of it can be corrected: table and key.
    uint16_splits : bool
        Whether its runs read ``data/<dataset>/<split>.bin`` of uint16, as nanoGPT's ``prepare.py`` writes them.
    """

    name: str
    title: str
    role: Role
    example: str
    reads: str
    cannot: str
    source: str
    sniff: Sniff
    read: Read
    interpret: Interpret | None = None
    missing: str = "the run's files do not say"
    last_resort: bool = False
    tracker: bool = False
    uint16_splits: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
