"""The ``recipe.toml`` of auscult's own trainer: tables and keys as in ``auscult/recipe/settings.py``, defaults filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ...errors import BadConfig
from ...recipe import TrainingRecipe, recipe_values
from ...run import Comment, ConfigText, Known, Problem, Source
from ..auscult_keys import PLACES, TRAINER, put_settings
from ..config_sheet import Sheet
from ..files import InputFile
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import clean
from ..toml_places import assignments_in
from ..toml_text import read_toml

__all__ = ["DIALECT", "read_recipe"]

_VALUES = recipe_values(TrainingRecipe())
_SETTINGS = frozenset(
    f"{table}.{key}" for table, values in _VALUES.items() if isinstance(values, dict) for key in values
) | {key for key, value in _VALUES.items() if not isinstance(value, dict)}
_HEADER = lazy(r"^\s{0,20}\[\s{0,8}([\w.-]{1,60})\s{0,8}\]")
_KEY = lazy(r"^\s{0,20}([\w-]{1,40}(?:\.[\w-]{1,40}){0,3})\s{0,40}=")
_COMMENT = lazy(r"^(?:[^\"'#]|\"[^\"]*\"|'[^']*')*(#.*)$")
_MAX_COMMENTS = 1_000
_MAX_LINE = 2_000
_ENOUGH = 3
_COMMON = ("data.", "log.")
"""Tables that any program's settings may have."""


def _names(text: str) -> Iterator[str]:
    """Yield the dotted names that a TOML text sets, as far as they stand at the head of lines."""
    table = ""
    for line in text.split("\n"):
        if header := _HEADER.match(line):
            table = header[1] + "."
        elif key := _KEY.match(line):
            yield table + key[1]


def _sniff(file: InputFile) -> float:
    if file.suffix != ".toml" or file.base.lower() in ("pyproject.toml", "cargo.toml", "auscult.toml"):
        return 0.0
    names = set(_names(file.sample))
    ours = names & _SETTINGS
    inner = [name for name in ours if "." in name]
    if len(ours) >= _ENOUGH and inner and len(ours) > 0.6 * len(names):
        return 0.95
    whole = len(ours) == len(names) and any(not name.startswith(_COMMON) for name in inner)
    return 0.6 if whole or (inner and file.base == "recipe.toml") else 0.0


def _comments(text: str, file: str, values: Mapping[str, Known[object]]) -> tuple[Comment, ...]:
    """Return the comments, and the run's name, which may claim something."""
    found: list[Comment] = []
    for number, line in enumerate(text.split("\n"), 1):
        if "#" in line and len(found) < _MAX_COMMENTS and (note := _COMMENT.match(line[:_MAX_LINE])):
            shown = clean(line.strip()[:200])
            found.append(Comment(clean(note[1]), note.start(1), Source("read", file, number, shown)))
    name = values.get("name")
    if name is not None and isinstance(name.value, str):
        found.append(Comment(clean(name.value[:200]), 0, name.source, "name"))
    return tuple(found)


def read_recipe(text: str, file: str, path: str | None) -> Reading:
    """Read the text of a recipe.

    Raises
    ------
    BadConfig
        When it is not TOML, or no setting of a recipe is in it.
    """
    values = read_toml(text, file)
    if not values.keys() & _SETTINGS:
        raise BadConfig(
            "no setting of a recipe is in it", where=file, expected="tables such as [model] with `n_layer = 12`"
        )
    sheet = Sheet(values, TRAINER, "auscult")
    put_settings(sheet, defaults=True)
    for name, one in values.items():
        if name not in _SETTINGS and len(sheet.problems) < _MAX_COMMENTS:
            said = f"{clean(name[:80])} is no setting of a recipe"
            sheet.problems.append(Problem("unknown_setting", said, one.source))
    comments = _comments(text, file, values)
    places = assignments_in(text, {name: one for name, one in values.items() if name in _SETTINGS})
    config = ConfigText(file, path, text, places, comments, dialect=DIALECT.name)
    return replace(sheet.reading(DIALECT.name, file), comments=comments, config=config)


def _read(file: InputFile) -> Iterable[Reading]:
    return (read_recipe(file.text(), file.name, str(file.path) if file.path else None),)


DIALECT = Dialect(
    name="auscult_recipe",
    title="auscult recipe",
    role="config",
    example='[model]\nn_layer = 12\n\n[batch]\ntokens_per_step = 491_520\n\n[schedule]\nkind = "wsd"\nsteps = 5_000',
    reads="every setting with its line: the shape, with which the blueprint of either family is drawn, tokens per step,"
    " micro-batch and accumulation, the optimiser, the schedule, precision, evaluations; comments and the name, which may claim"
    " something. What is not set has the trainer's default, and says so",
    cannot="the micro-batch where the trainer chooses it, the device, the number of processes (torchrun sets it): the"
    " log.jsonl of the run has them",
    source="auscult/recipe/settings.py",
    sniff=_sniff,
    read=_read,
    missing="the recipe does not say",
    keys=PLACES,
)
