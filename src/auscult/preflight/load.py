"""A recipe file to a :class:`~auscult.recipe.TrainingRecipe`: TOML, or a nanoGPT config, which is parsed and never run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..architectures.settings import shown
from ..errors import BadConfig
from ..readers.auscult_keys import PLACES
from ..readers.files import open_path
from ..readers.toml_text import read_toml
from ..readers.vocabulary import COMMON
from ..recipe import TrainingRecipe, model_settings
from ..run import Source
from .limits import kinds, tables
from .nanogpt import NAMES, read_nanogpt
from .rules import check_rules

__all__ = ["load_recipe"]

_PATHS = ("data.path", "model.weights")
_HEADER = re.compile(r"^\s{0,40}\[{1,2}\s{0,8}([^\[\]\n]{1,200}?)\s{0,8}\]")
_KEY = re.compile(r"^\s{0,40}([\w\"'.\- ]{1,200}?)\s{0,40}=")


def load_recipe(path: Path) -> TrainingRecipe:
    """Read a recipe.

    Parameters
    ----------
    path : Path
        TOML with the tables and keys of :mod:`auscult.recipe.settings`; or a config of nanoGPT, ``.py``.

    Returns
    -------
    TrainingRecipe
        Every value in its kind and range, nothing contradicting anything else. ``data.path`` and ``model.weights`` are
        resolved from the folder of the recipe.

    Raises
    ------
    BadConfig
        At ``file:line``: an unknown table or key, with the nearest that there is; a value of another kind or out of range;
        settings that contradict each other.
    InputError
        When the file cannot be read.
    """
    file = open_path(path, str(path))
    if not file.head:
        raise BadConfig("the recipe is empty", where=str(path), expected='at the least [data] with `path = "FOLDER"`')
    text = file.text()
    python = path.suffix == ".py"
    values, places = read_nanogpt(text, path) if python else _read_toml(text, path)
    values.setdefault("name", path.stem)
    recipe = _recipe(values)
    check_rules(recipe, places, str(path), names=NAMES if python else {})
    return recipe


def _recipe(values: Mapping[str, Any]) -> TrainingRecipe:
    """Return the recipe of values under ``table.key``, defaults filled in."""
    parts: dict[str, Any] = {key: value for key, value in values.items() if "." not in key}
    for name, kind in tables().items():
        given = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{name}.")}
        parts[name] = model_settings(**given) if name == "model" else kind(**given)
    return TrainingRecipe(**parts)


# ---- TOML


def _read_toml(text: str, path: Path) -> tuple[dict[str, Any], dict[str, Source]]:
    import tomllib  # only a recipe waits for it

    file = str(path)
    lines = {name: one.source for name, one in read_toml(text, file).items()}
    values: dict[str, Any] = {}
    places: dict[str, Source] = {}
    for name, value in tomllib.loads(text).items():
        if isinstance(value, dict) and name in tables():
            for key, inner in value.items():
                _take((name, key), inner, lines, text, file, values, places)
        else:
            _take(("", name), value, lines, text, file, values, places)
    for key in _PATHS:
        if key in values:
            values[key] = str(path.parent / Path(values[key]).expanduser())
    return values, places


def _take(
    name: tuple[str, str],
    value: Any,
    lines: Mapping[str, Source],
    text: str,
    file: str,
    values: dict[str, Any],
    places: dict[str, Source],
) -> None:
    """Take a value of a table, or of none, into the values and their places."""
    table, key = name
    path = f"{table}.{key}" if table else key
    source = lines.get(path) or _place(path, lines, text, file)
    kind = kinds().get(path)
    if kind is None or "." in key:  # a quoted "model.n_layer" is a name of its own
        raise _unknown(table, key, isinstance(value, dict), source.place)
    try:
        values[path] = kind.checked(value)
    except ValueError:
        raise BadConfig(
            f"{path} cannot be that", where=source.place, expected=kind.words, found=_found(value)
        ) from None
    places[path] = source


def _place(path: str, lines: Mapping[str, Source], text: str, file: str) -> Source:
    """Return the place of what ``tomllib`` unfolds, a table or a list: its header, its key, or its first value."""
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _plain(header[1])
            here = table
        elif key := _KEY.match(line):
            here = _plain(f"{table}.{key[1]}" if table else key[1])
        else:
            continue
        if here == path or here.startswith(f"{path}."):
            return Source("read", file, number)
    first = next((source for name, source in lines.items() if name.startswith(f"{path}.")), None)
    return first or Source("read", file)


def _plain(path: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in path.split("."))


def _found(value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return str(value).lower() if isinstance(value, bool) else shown(value)


def _unknown(table: str, key: str, is_table: bool, place: str) -> BadConfig:
    """Return the error of a name that no recipe has, with the nearest that there is."""
    if is_table and not table:
        near = difflib.get_close_matches(key, tables(), 1)
        hint = f"write [{near[0]}]" if near else None
        expected = ", ".join(f"[{name}]" for name in tables())
        return BadConfig(f"there is no table [{key[:60]}] in a recipe", where=place, expected=expected, hint=hint)
    if not table and key in tables():
        return BadConfig(f"{key} is a table of a recipe", where=place, expected=f"[{key}], and its settings below it")
    here = [name.rpartition(".")[2] for name in kinds() if name.rpartition(".")[0] == table]
    what = f"there is no setting {key[:60]!r} {f'in [{table}]' if table else 'above the tables'} of a recipe"
    return BadConfig(what, where=place, hint=_nearest(key, table, here) or f"choose one of {', '.join(here)}")


def _nearest(key: str, table: str, here: list[str]) -> str | None:
    plain = key.replace("-", "_").lower()
    elsewhere = [name for name in kinds() if name.endswith(f".{plain}")]
    meant = PLACES.get(COMMON.get(plain, ""))
    if near := difflib.get_close_matches(plain, here, 1, cutoff=0.75):
        return f"write {near[0]}"
    if elsewhere or meant:
        home, _, name = (elsewhere[0] if elsewhere else str(meant)).rpartition(".")
        return f"write {name}" if home == table else f"write {name} under [{home}]"
    if near := difflib.get_close_matches(plain, here, 1):
        return f"write {near[0]}"
    return None
