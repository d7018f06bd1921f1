"""A run's folder as W&B lays it out, and what the configuration in it means, whichever file holds it.

``run-<date>_<time>-<id>/`` holds ``run-<id>.wandb``, ``files/`` (``config.yaml``, ``output.log``, ``wandb-summary.json``,
``wandb-metadata.json``) and ``logs/``. The same configuration stands in the binary, in ``config.yaml`` and in
``logs/debug.log``; its keys are the trainer's own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..run import Known, Problem, Quantity, Source, Unknown
from .dialects.hf_config import config_reading
from .dialects.hf_training_args import arguments_reading
from .files import InputFile
from .hf_models import is_model_config
from .loose_settings import base_name, settings_of
from .nanogpt_keys import FOUND_VOCAB, SANE, VOCABULARY, checked_key
from .patterns import lazy
from .privacy import without_names
from .reading import Reading

__all__ = [
    "Place",
    "Said",
    "cards",
    "configured",
    "flattened",
    "is_nanogpt",
    "place_of",
    "placed",
    "shown",
    "true_name",
]

_RUN_FOLDER = lazy(r"(?:offline-|dry)?run-\d{8}_\d{6}-([\w.-]{1,128})")
_RUN_FILE = lazy(r"run-([\w.-]{1,128})\.wandb(?:\.gz|\.zst)?")
_INSIDE = frozenset({"files", "logs"})
_MAX_LOOKED_AT = 1_000
_MAX_TEXT = 160
_MAX_STRING = 1_000
_MAX_VALUES = 20_000
_MAX_DEPTH = 8
_MAX_NOTED = 60
_PRIVATE = frozenset(
    {"user", "username", "email", "mail", "host", "hostname", "entity", "token", "key", "apikey", "secret", "password"}
    | {"passwd", "credential", "credentials", "login", "account", "ip", "address"}
)
"""Words of a key's name beside which no text is ever taken; numbers (``num_key_value_heads``) are."""

_SHAPE = frozenset({"n_layer", "n_head", "n_embd", "block_size"})
_OWN = frozenset(
    {"lr_decay_iters", "decay_lr", "eval_iters", "always_save_checkpoint", "eval_only", "out_dir", "wandb_log"}
    | {"init_from", "warmup_iters", "gradient_accumulation_steps"}
)
_MANY_OWN = 4
_STOCK = frozenset({"always_save_checkpoint", "wandb_log", "eval_only", "out_dir", "wandb_project", "backend"})
_WORDS = frozenset({"device"})
_WORD = lazy(r"[\w.:-]{1,40}")
_NAME = lazy(r"[\w./ -]{1,100}")
_HF_OWN = "per_device_train_batch_size"
_GENERATION = frozenset({"num_beams", "min_length", "early_stopping", "do_sample"})
"""Arguments of text generation that older model configs hold; their ``max_length`` is no length of training sequences."""
_PAIRS = frozenset({"betas", "adam_betas", "adamw_betas"})
_CARD = lazy(r"[\w ()/.+-]{2,80}")


# ---- the layout


@dataclass(frozen=True, slots=True)
class Place:
    """The run that a file belongs to: its folder relative to what the user named (``.`` for that itself), and its id."""

    root: str
    run_id: str | None


def place_of(file: InputFile) -> Place:
    """Return the run that a file of a W&B folder belongs to."""
    parts = list(PurePosixPath(true_name(file)).parts[:-1])
    if parts and parts[-1] in _INSIDE:
        parts.pop()
    return Place("/".join(parts) or ".", _run_id(file, parts))


def true_name(file: InputFile) -> str:
    """Return a file's name, or that of the file that it links to: ``wandb/debug.log`` is that of the latest run."""
    path = file.path
    try:
        if path is None or not path.is_symlink():
            return file.name
        base = path.parents[file.name.count("/")].resolve()
        return path.resolve().relative_to(base).as_posix()
    except (OSError, ValueError, IndexError, RuntimeError):
        return file.name


def placed(reading: Reading, place: Place) -> Reading:
    """Return a reading as one of that run."""
    return replace(reading, root=place.root, run_id=place.run_id)


def _run_id(file: InputFile, parts: list[str]) -> str | None:
    if own := _RUN_FILE.fullmatch(file.base):
        return own[1]
    if parts and (named := _RUN_FOLDER.fullmatch(parts[-1])):
        return named[1]
    if file.path is None:
        return None
    try:
        folder = Path(os.path.abspath(file.path)).parent  # noqa: PTH100 - a link stays the name that it has
        if folder.name in _INSIDE:
            folder = folder.parent
        if named := _RUN_FOLDER.fullmatch(folder.name):
            return named[1]
        return _lone_id(folder)
    except (OSError, ValueError):
        return None


def _lone_id(folder: Path) -> str | None:
    """Return the id in the name of the one binary of a folder, as of a copy named ``latest-run``."""
    found: set[str] = set()
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= _MAX_LOOKED_AT:
                break
            if own := _RUN_FILE.fullmatch(entry.name):
                found.add(own[1])
    return found.pop() if len(found) == 1 else None


# ---- values


def shown(name: str, value: Any) -> str:
    """Return ``name = value`` as a source shows it, without names of people and machines."""
    return without_names(f"{name} = {value}"[: 4 * _MAX_TEXT])[:_MAX_TEXT]


def flattened(values: Mapping[str, Any], file: str, line: int | None = None) -> dict[str, Known[Any]]:
    """Return nested values under dotted names, each with its place and its own words only."""
    return {
        name: Known(value, Source("read", file, line, shown(name, value)))
        for name, value in _leaves(values, "", 0, [_MAX_VALUES])
    }


def _leaves(values: Mapping[str, Any], prefix: str, depth: int, left: list[int]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        left[0] -= 1
        if left[0] < 0:
            return
        name = f"{prefix}{key}"[:_MAX_STRING]
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            yield from _leaves(value, f"{name}.", depth + 1, left)
        elif not isinstance(value, dict):
            yield name, value


def _public(values: Mapping[str, Known[Any]]) -> dict[str, Known[Any]]:
    """Return values whose names promise nothing private; of texts no folders of a machine, no logins, no addresses."""
    found: dict[str, Known[Any]] = {}
    for name, quantity in values.items():
        if name.partition(".")[0] == "_wandb":
            continue
        value = quantity.value
        if isinstance(value, str):
            if _PRIVATE & set(re.split(r"[\W_]+", name.lower())):
                continue
            value = without_names(base_name(value[:_MAX_STRING]))
        source = replace(quantity.source, text=shown(name, value))
        found[name[:_MAX_STRING]] = Known(value, source)
    return found


# ---- the configuration


@dataclass(frozen=True, slots=True)
class Said:
    """What a configuration says, in the shape of a :class:`Reading`'s fields."""

    settings: Mapping[str, Quantity[Any]] = field(default_factory=dict)
    raw: Mapping[str, Quantity[Any]] = field(default_factory=dict)
    vocabulary: str = ""
    problems: tuple[Problem, ...] = ()
    noted: Mapping[str, Known[Any]] = field(default_factory=dict)
    parts: tuple[Reading, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.settings or self.raw or self.noted or self.parts or self.problems)

    def fields(self) -> dict[str, Any]:
        """Return them by name, for the making of a reading."""
        return {name: getattr(self, name) for name in self.__slots__}


def is_nanogpt(names: Iterable[str]) -> bool:
    """Return whether these are the names of the values that nanoGPT's ``train.py`` logs.

    Examples
    --------
    >>> is_nanogpt(["n_layer", "n_head", "n_embd", "block_size", "learning_rate", "max_iters", "dropout"])
    False
    """
    have = frozenset(names)
    return have >= _SHAPE and len(have & _OWN) >= _MANY_OWN


def configured(values: Mapping[str, Known[Any]], file: str, authority: int) -> Said:
    """Return what a configuration means, by the trainer whose names its keys are.

    Parameters
    ----------
    values : mapping
        Dotted names to values with their places.
    file : str
        Where they stand.
    authority : int
        Of what they say.
    """
    known_values = _public(values)
    if is_nanogpt(known_values):
        return nanogpt_said(known_values)
    arguments = _arguments(known_values)
    if arguments is not None:
        return _hf(arguments, file, authority)
    return _loose(known_values)


def nanogpt_said(values: Mapping[str, Known[Any]]) -> Said:
    """Return nanoGPT's keys as they are; what a fork added is noted when it is a number or a switch."""
    raw: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []
    noted: dict[str, Known[Any]] = {}
    for name, quantity in values.items():
        if quantity.value is None:
            continue
        if name in SANE:
            raw[name], problem = checked_key(name, quantity.value, quantity.source)
            problems += [problem] if problem is not None else []
        elif name in _WORDS:
            if isinstance(quantity.value, str) and _WORD.fullmatch(quantity.value):
                noted[f"nanogpt.{name}"] = quantity
        elif name in ("vocab_size", "meta_vocab_size"):
            if type(quantity.value) is int and 2 <= quantity.value <= 10**8:
                raw.setdefault(FOUND_VOCAB, quantity)
        elif name not in _STOCK and len(noted) < _MAX_NOTED and _is_plain(quantity.value):
            noted[f"nanogpt.{name}"] = quantity
    return Said(raw=raw, vocabulary=VOCABULARY, problems=tuple(problems), noted=noted)


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float) and (isinstance(value, bool) or abs(value) < 1e300)


def _arguments(values: Mapping[str, Known[Any]]) -> dict[str, Known[Any]] | None:
    """Return Hugging Face's training arguments with what stands beside them, or None; they may be nested."""
    prefix = next((n[: -len(_HF_OWN)] for n in values if n == _HF_OWN or n.endswith("." + _HF_OWN)), None)
    if prefix is None:
        return None
    found = {name.removeprefix(prefix): quantity for name, quantity in values.items() if name.startswith(prefix)}
    whole: dict[str, dict[str, Any]] = {}
    places: dict[str, Source] = {}
    for name, quantity in found.items():
        head, dot, rest = name.partition(".")
        if dot:
            whole.setdefault(head, {})[rest] = quantity.value
            places.setdefault(head, quantity.source)
    return {**found, **{n: Known(v, replace(places[n], text=f"{n} = {{…}}")) for n, v in whole.items()}}


def _hf(values: dict[str, Known[Any]], file: str, authority: int) -> Said:
    """Return what training arguments say, and the model's configuration that the trainer logs with them."""
    own = dict(values)
    if "packing" not in own and len(_GENERATION & own.keys()) >= 2:
        own.pop("max_length", None)
    said = arguments_reading(own, file, authority=authority)
    parts: tuple[Reading, ...] = ()
    if is_model_config({name: quantity.value for name, quantity in own.items()}):
        parts = (replace(config_reading(own, file), authority=authority),)
    return Said(raw=said.raw, vocabulary=said.vocabulary, noted=said.noted, parts=parts)


def _loose(values: Mapping[str, Known[Any]]) -> Said:
    """Return what names mean that are common among trainers; other numbers and switches are noted."""
    spread = dict(values)
    for name, quantity in values.items():
        value = quantity.value
        if name.rpartition(".")[2] in _PAIRS and isinstance(value, list | tuple) and len(value) == 2:
            for index, each in enumerate(value, 1):
                spread.setdefault(f"beta{index}", Known(each, quantity.source))
    settings, problems, noted = settings_of(spread, "wandb")
    world = settings.get("recipe.world_size")
    device = values.get("device")
    on_card = device is None or not str(device.value).startswith(("cpu", "mps"))
    if isinstance(world, Known) and on_card and "machine.gpu_count" not in settings:
        settings["machine.gpu_count"] = world
    taken = {quantity.source for quantity in settings.values() if isinstance(quantity, Known)}
    for name, quantity in values.items():
        if len(noted) >= _MAX_NOTED:
            break
        if quantity.source not in taken and _is_plain(quantity.value) and _NAME.fullmatch(name):
            noted.setdefault(f"wandb.config.{name}", quantity)
    return Said(settings=settings, problems=problems, noted=noted)


# ---- the machine


def cards(names: Iterable[Any], count: Any, source: Source, *, several_nodes: bool = False) -> Said:
    """Return what W&B says of a machine's cards: it lists those that there are, and the run may have used fewer.

    Parameters
    ----------
    names : iterable
        The cards' names, as many as are listed.
    count : object
        How many there are, where that is said.
    source : Source
        The place.
    several_nodes : bool
        Whether the job ran on more machines than this one.
    """
    kinds = dict.fromkeys(name for text in names for name in _names_in(text))
    settings: dict[str, Quantity[Any]] = {}
    noted: dict[str, Known[Any]] = {}
    if len(kinds) == 1:
        name = next(iter(kinds))
        settings["machine.gpu_name"] = Known(name, replace(source, text=shown("gpu", name)))
    elif kinds:
        settings["machine.gpu_name"] = Unknown(f"the machine has several kinds of card: {', '.join(kinds)}"[:400])
    if type(count) is int and 0 < count <= 4096:
        quantity = Known(count, replace(source, text=shown("gpu_count", count)))
        noted["wandb.gpu_count"] = quantity
        if count == 1 and not several_nodes:
            settings["machine.gpu_count"] = quantity
    return Said(settings=settings, noted=noted)


def _names_in(text: Any) -> list[str]:
    """Return the names in what W&B writes: one, or (some versions, for several cards) ``[name, name]``."""
    if not isinstance(text, str):
        return []
    names = text[:_MAX_STRING].strip()
    pieces = names[1:].removesuffix("]").split(",") if names.startswith("[") else [names]
    return [name for piece in pieces[:64] if _CARD.fullmatch(name := piece.strip())]


def json_line(text: str, key: str) -> int | None:
    """Return the line on which a JSON document first names a key."""
    at = text.find(json.dumps(key))
    return text.count("\n", 0, at) + 1 if at >= 0 else None
