"""``logs/debug.log`` of a W&B folder: the configuration as one line of Python, which a killed run's other files may lack."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...run import Known, Problem, Source
from ..files import InputFile
from ..literals import NotLiteral, evaluate
from ..patterns import lazy
from ..reading import TRACKER, Dialect, Reading
from ..text import Line
from ..wandb_folder import configured, flattened, place_of, placed, true_name

__all__ = ["DIALECT"]

_START = lazy(r"(?:^|\s)config: (\{.*)$")
_UPDATE = lazy(r"\bconfig_cb (None|\(.{1,300}?\)|[\w.'/-]{1,200}) (.{1,4000}?) (None|\{.*)$")
_FOLDER = lazy(r"[\\/](?:offline-|dry)?run-\d{8}_\d{6}-([\w.-]{1,128})[\\/]logs")
_OURS = lazy(r"\[wandb_(?:init|setup|run)\.py:|wandb\.init called with|wandb_init\.py")
_PAIR = lazy(
    r"'([A-Za-z_][\w./-]{0,200})': "
    r"(-?\d{1,40}(?:\.\d{0,40})?(?:[eE][-+]?\d{1,4})?|-?\.\d{1,40}|True|False|None|nan|-?inf|'[^'\\]{0,500}')(?=[,}])"
)
_MAX_CHARS = 400_000
_MAX_DEPTH = 8
_MAX_LINES = 100_000
_NAMES: Mapping[str, Any] = {"nan": float("nan"), "inf": float("inf")}
_AUTHORITY = TRACKER - 1
"""What was asked for at the start; ``config.yaml`` has what became of it."""


def _parsed(text: str) -> dict[str, Any] | None:
    """Return a dictionary written as Python, without executing anything; None when it is none."""
    if len(text) > _MAX_CHARS:
        return None
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _mapping(node, 0) if isinstance(node, ast.Dict) else None


def _mapping(node: ast.Dict, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            continue
        if isinstance(value, ast.Dict):
            if depth < _MAX_DEPTH:
                found[key.value] = _mapping(value, depth + 1)
            continue
        try:
            result = evaluate(value, _NAMES)
        except (NotLiteral, RecursionError):
            continue
        found[key.value] = list(result) if isinstance(result, tuple) else result
    return found


def _pairs(text: str) -> dict[str, Any]:
    """Return the plain pairs of a dictionary that is not Python as a whole: some object in it was printed as ``<…>``."""
    found: dict[str, Any] = {}
    for name, value in _PAIR.findall(text[:_MAX_CHARS]):
        try:
            plain = ast.literal_eval(value) if value.lstrip("-") not in _NAMES else float(value)
        except (SyntaxError, ValueError):
            continue  # `0123`, which Python takes for no number
        found.setdefault(name, plain)
    return found


class _Config:
    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[str, Known[Any]] = {}
        self.run_id: str | None = None
        self.problems: list[Problem] = []

    def take(self, line: Line) -> None:
        text = line.text
        if self.run_id is None and "run-" in text and (folder := _FOLDER.search(text)):
            self.run_id = folder[1]
        if found := _START.search(text):
            self._dictionary(found[1], line)
        elif "config_cb " in text and (found := _UPDATE.search(text)):
            if found[3] != "None":
                self._dictionary(found[3], line)
            else:
                self._single(found[1], found[2], line)

    def _dictionary(self, text: str, line: Line) -> None:
        values = _parsed(text)
        if values is None:
            values = _pairs(text)
            if not line.ended or not text.rstrip().endswith("}"):
                message = "the line of the configuration is cut or too long: read as far as it goes"
                self.problems.append(Problem("broken_record", message, Source("read", self.file, line.number)))
        self.values.update(flattened(values, self.file, line.number))

    def _single(self, key: str, text: str, line: Line) -> None:
        """Take ``config_cb ('a', 'b') 5 None``, one value."""
        names = re.findall(r"[\w.-]{1,200}", key)
        try:
            value = evaluate(ast.parse(text, mode="eval").body, _NAMES)
        except (NotLiteral, SyntaxError, ValueError, RecursionError, MemoryError):
            return
        if names and names != ["None"]:
            self.values.update(flattened({".".join(names): value}, self.file, line.number))


def _read(file: InputFile) -> Iterable[Reading]:
    config = _Config(file.name)
    for line in file.lines():
        if line.number > _MAX_LINES:
            break
        config.take(line)
    said = configured(config.values, file.name, _AUTHORITY)
    if not said and not config.problems:
        return ()
    fields = said.fields()
    fields["problems"] = (*said.problems, *config.problems)
    place = place_of(file)
    reading = Reading(DIALECT.name, file.name, "config", authority=_AUTHORITY, **fields)
    if "logs" in true_name(file).split("/")[-2:-1]:
        return (placed(reading, replace(place, run_id=place.run_id or config.run_id)),)
    return (replace(reading, run_id=config.run_id or place.run_id),)  # a copy beside the runs of one of theirs


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".log", ".txt") or not _OURS.search(file.sample[:20_000]):
        return 0.0
    return 0.95 if file.base == "debug.log" else 0.7


DIALECT = Dialect(
    name="wandb_debug_log",
    title="W&B logs/debug.log",
    role="config",
    example="2025-01-01 10:00:00,000 INFO    MainThread:1 [wandb_init.py:init():849] wandb.init called with sweep_config: {}\n"
    "config: {'batch_size': 12, 'block_size': 1024, 'learning_rate': 0.0006, '_wandb': {}}",
    reads="the configuration that `wandb.init` was given and what was added to it later (`config_cb` lines), parsed and never"
    " run; `config.yaml` and the binary count more where they are there",
    cannot="everything else about the run: it is W&B's own log",
    source="wandb/sdk/wandb_init.py and wandb_run.py, 0.12 to 0.23",
    sniff=_sniff,
    read=_read,
    missing="debug.log of W&B holds the configuration only: add the run's folder",
)
