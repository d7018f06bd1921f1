"""A trainer's config on its way to canonical settings: what the readers of all such configs need.

A sheet holds the values of one config under dotted paths, each with its place; a reader takes them over one by one and adds
what follows from several. References of OmegaConf (``${max_seq_len}``) are replaced within the file, never through the
environment; one that cannot be replaced leaves its setting Unknown, with its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..run import Known, Notice, Problem, Quantity, Source, Unknown, known
from .files import InputFile
from .loose_settings import base_name
from .patterns import lazy
from .privacy import without_names
from .reading import FILE, Reading, Role
from .vocabulary import checked
from .yaml_text import read_yaml

__all__ = ["Sheet", "default", "read_values", "resolved", "top_level_keys"]

_SILENT = ("", "auto", "none", "null")
"""Words that say nothing: something else decides."""
_REFERENCE = lazy(r"\$\{([^${}]{1,200})\}")
_PATH = lazy(r"[\w-]{1,80}(?:\.[\w-]{1,80}){0,20}")
_MAX_HOPS = 10
_MAX_REFERENCES = 10_000
_MAX_VALUES = 200_000
_MAX_TEXT = 160
_TOP_KEY = lazy(r"^(?: {0,4}|\t)[\"']?([A-Za-z_][\w-]{0,60})[\"']?[ \t]{0,8}:(?=[ \t\r]|$)", re.MULTILINE)
_NAMES_OF_THINGS = frozenset({"recipe.dataset", "recipe.init_from", "recipe.run_name", "machine.gpu_name"})
Values = Mapping[str, Quantity[Any]]


def default(trainer: str, name: str, value: Any) -> Known[Any]:
    """Return a trainer's documented default, which says so in its source."""
    return Known(value, Source("default", formula=f"default of {trainer} ({name} = {value}), not set in the config"))


def top_level_keys(file: InputFile) -> frozenset[str]:
    """Return the keys at the head of lines, at most four blanks in: those of the top level and, often, of the next."""
    return frozenset(_TOP_KEY.findall(file.sample))


def read_values(file: InputFile) -> dict[str, Quantity[Any]]:
    """Return the values of a YAML config, references replaced, sources without names of people and machines.

    Raises
    ------
    BadConfig, NotText, InputTooLarge, UnreadableInput
    """
    return resolved(read_yaml(file.text(), file.name))


def resolved(values: Mapping[str, Known[Any]]) -> dict[str, Quantity[Any]]:
    """Return values with their ``${a.b}`` replaced by what stands there in the same file, with its place.

    Examples
    --------
    >>> from auscult.run import Source
    >>> place = Source("read", "a.yaml", 1)
    >>> resolved({"n": Known(5, place), "m": Known("${n}", place), "o": Known("${oc.env:X}", place)})["m"]
    Known(5, a.yaml:1)
    """
    out: dict[str, Quantity[Any]] = {}
    seen = 0
    for path, one in values.items():
        one = _without_names(one)
        if isinstance(one.value, str) and "${" in one.value:
            seen += 1
            if seen > _MAX_REFERENCES:
                out[path] = Unknown(f"{one.source.place}: too many references in one config")
                continue
            whole = _REFERENCE.fullmatch(one.value.strip())
            if whole and whole[1] not in values and _copied(whole[1], path, values, out):
                continue
            out[path] = _follow(one, values, 0)
        else:
            out[path] = one
    return out


def _without_names(one: Known[Any]) -> Known[Any]:
    text = one.source.text
    if text is None or ("@" not in text and "home" not in text and "Users" not in text):
        return one
    return Known(one.value, Source("read", one.source.file, one.source.line, without_names(text)[:_MAX_TEXT]))


def _copied(name: str, path: str, values: Mapping[str, Known[Any]], out: dict[str, Quantity[Any]]) -> bool:
    """Copy a whole mapping that is referred to; what it refers to in turn is followed."""
    inner = [key for key in values if key.startswith(name + ".")] if _PATH.fullmatch(name) else []
    if not inner or len(out) + len(inner) > _MAX_VALUES:
        return False
    for key in inner:
        out[path + key[len(name) :]] = _follow(values[key], values, 1)
    return True


def _follow(one: Known[Any], values: Mapping[str, Known[Any]], hops: int) -> Quantity[Any]:
    text = one.value
    if not isinstance(text, str) or "${" not in text:
        return one
    place = one.source.place
    if hops > _MAX_HOPS:
        return Unknown(f"{place} refers to itself")
    whole = _REFERENCE.fullmatch(text.strip())
    if whole is not None and whole[1] in values:
        return _follow(values[whole[1]], values, hops + 1)
    pieces: list[str] = []
    end = 0
    for found, _ in zip(_REFERENCE.finditer(text), range(20), strict=False):
        name = found[1]
        target = _follow(values[name], values, hops + 1) if name in values else None
        if target is None:
            return Unknown(f"{place} refers to ${{{name[:60]}}}, which this file does not set")
        if isinstance(target, Unknown):
            return target
        if isinstance(target.value, list) or len(str(target.value)) > 1000:
            return Unknown(f"{place} refers to ${{{name[:60]}}}, which is no single value")
        pieces += [text[end : found.start()], "" if target.value is None else str(target.value)]
        end = found.end()
    if not pieces:
        return Unknown(f"{place} holds a reference that cannot be read")
    joined = "".join([*pieces, text[end:]])
    if "${" in joined:
        return Unknown(f"{place} holds a reference that cannot be read")
    return Known(joined, one.source)


@dataclass
class Sheet:
    """The values of one config, and the settings found in them so far.

    Attributes
    ----------
    values : mapping
        What the config says, under the trainer's names.
    trainer : str
        The name under which defaults are given, and the prefix of facts without a canonical key is ``prefix``.
    """

    values: Values
    trainer: str
    prefix: str
    found: dict[str, Quantity[Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    noted: dict[str, Known[Any]] = field(default_factory=dict)

    # ---- what the config says

    def said(self, *names: str) -> Quantity[Any] | None:
        """Return the first of these values that is there and says something."""
        for name in names:
            one = self.values.get(name)
            if isinstance(one, Unknown) or (one is not None and not _is_silent(one.value)):
                return one
        return None

    def get(self, *names: str) -> Known[Any] | None:
        """Return the first of these values that is known."""
        one = self.said(*names)
        return one if isinstance(one, Known) else None

    def whole(self, *names: str, low: int = 1) -> Known[int] | None:
        """Return the first of these values that is a whole number from ``low``, written in whatever way."""
        for name in names:
            one = self.get(name)
            if one is not None and (plain := _whole(one.value)) is not None and plain >= low:
                return Known(plain, one.source)
        return None

    def number(self, *names: str) -> Known[float] | None:
        """Return the first of these values that is a finite number."""
        for name in names:
            one = self.get(name)
            if one is not None and (plain := _number(one.value)) is not None:
                return Known(plain, one.source)
        return None

    def flag(self, *names: str) -> Known[bool] | None:
        """Return the first of these values that is true or false."""
        for name in names:
            one = self.get(name)
            if one is not None and isinstance(one.value, bool):
                return Known(one.value, one.source)
        return None

    def text(self, *names: str) -> Known[str] | None:
        """Return the first of these values that is a text."""
        for name in names:
            one = self.get(name)
            if one is not None and isinstance(one.value, str):
                return Known(one.value, one.source)
        return None

    def pair(self, *names: str) -> tuple[Known[Any], Known[Any]] | None:
        """Return the two numbers of the first of these values that is a list of two."""
        for name in names:
            one = self.get(name)
            if one is not None and isinstance(one.value, list) and len(one.value) == 2:
                return Known(one.value[0], one.source), Known(one.value[1], one.source)
        return None

    # ---- what it means

    def put(self, key: str, quantity: Quantity[Any] | None) -> None:
        """Take a setting; a value that nothing can have becomes Unknown, with a problem."""
        if quantity is None:
            return
        if isinstance(quantity, Unknown):
            self.found[key] = quantity
            return
        if key in _NAMES_OF_THINGS and isinstance(quantity.value, str):
            quantity = Known(base_name(quantity.value.rstrip("/\\"))[:200], quantity.source)
        self.found[key], problem = checked(key, quantity)
        if problem is not None:
            self.problems.append(problem)

    def take(self, key: str, *names: str) -> None:
        """Take the first of these values that says something as a setting."""
        self.put(key, self.said(*names))

    def take_all(self, table: Mapping[str, str]) -> None:
        """Take values by a table of canonical key to names, which are separated by blanks."""
        for key, names in table.items():
            self.take(key, *names.split())

    def default(self, key: str, name: str, value: Any) -> None:
        """Take the trainer's documented default where the config sets nothing."""
        if key not in self.found:
            self.found[key] = default(self.trainer, name, value)

    def note(self, *names: str) -> None:
        """Keep facts without a canonical key under the trainer's names."""
        for name in names:
            one = self.get(name)
            if one is not None and isinstance(one.value, bool | int | float | str | list):
                value = base_name(one.value)[:200] if isinstance(one.value, str) else one.value
                self.noted[f"{self.prefix}.{name}"] = Known(value, one.source)

    def known(self, key: str) -> Known[Any] | None:
        """Return a setting found so far, when it is known."""
        one = self.found.get(key)
        return one if isinstance(one, Known) else None

    def batch(
        self,
        *,
        total: Known[int] | None = None,
        each: Known[int] | None = None,
        ranks: Quantity[int] | None = None,
        names: tuple[str, str] = ("global batch", "micro-batch"),
    ) -> None:
        """Take the accumulation over all ranks and the tokens per step, when they follow.

        Parameters
        ----------
        total : Known, optional
            Sequences of one optimiser step over all ranks.
        each : Known, optional
            Micro-batches that each data-parallel rank accumulates.
        ranks : Known or Unknown, optional
            How many data-parallel ranks there are.
        names : tuple of str
            What the trainer calls the total and the micro-batch.
        """
        key, micro, context = "recipe.gradient_accumulation_steps", self.known("recipe.batch_size"), None
        context = self.known("architecture.context")
        if total is not None and context is not None:
            self.put(
                "logged.tokens_per_step", known(total.value * context.value, f"{names[0]} · context", total, context)
            )
        if total is not None and micro is not None:
            if total.value % micro.value == 0:
                formula = f"{names[0]} / {names[1]}, over all ranks"
                self.put(key, known(total.value // micro.value, formula, total, micro))
            else:
                self.put(key, Unknown(f"{names[0]} {total.value} is no multiple of the {names[1]} {micro.value}"))
        elif total is None and each is not None:
            if not isinstance(ranks, Known):
                why = ranks.reason if isinstance(ranks, Unknown) else "the number of ranks is not said"
                self.put(key, Unknown(f"{each.source.place} says {each.value} for each rank, and {why}"))
                return
            all_of_them = known(
                each.value * ranks.value, "accumulation of each rank · data-parallel ranks", each, ranks
            )
            self.put(key, all_of_them)
            if micro is not None and context is not None:
                formula = "micro-batch · accumulation · context"
                tokens = micro.value * all_of_them.value * context.value
                self.put("logged.tokens_per_step", known(tokens, formula, micro, all_of_them, context))

    def floor(self, share: Known[float] | None, name: str) -> None:
        """Take the floor of the learning rate, given as a share of its peak."""
        peak = self.known("recipe.learning_rate")
        if share is not None and peak is not None:
            plain = float(f"{share.value * peak.value:.12g}")  # 0.1 · 6e-4 is 6e-5 to everybody but a computer
            self.put("recipe.min_lr", known(plain, f"{name} · learning rate", share, peak))

    def reading(
        self, dialect: str, file: str, *, role: Role = "config", authority: int = FILE, label: str = ""
    ) -> Reading:
        """Return all of it as a reading."""
        return Reading(
            dialect,
            file,
            role,
            label=label,
            settings=self.found,
            problems=tuple(self.problems),
            notices=tuple(self.notices),
            noted=self.noted,
            authority=authority,
        )

    def below(self, prefix: str) -> Values:
        """Return the values under a path, with their names below it."""
        start = prefix + "."
        return {key[len(start) :]: one for key, one in self.values.items() if key.startswith(start)}


def _is_silent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _SILENT)


def _whole(value: Any) -> int | None:
    plain = _number(value)
    return int(plain) if plain is not None and plain.is_integer() and abs(plain) < 1e18 else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        value = value.strip().replace("_", "")
        if len(value) > 40 or not value.isascii():
            return None
    try:
        plain = float(value)
    except (ValueError, OverflowError):
        return None
    return plain if plain == plain and abs(plain) != float("inf") else None
