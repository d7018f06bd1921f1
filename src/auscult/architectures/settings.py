"""The values of a model's config, looked up under every name a family gives them, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import BadConfig

__all__ = ["MAX_LAYERS", "MAX_SIZE", "Settings", "shown"]

MAX_SIZE = 2**31
"""No width, vocabulary or count of experts of a model is larger."""
MAX_LAYERS = 100_000
T = TypeVar("T")
_SHOWN = 80


def shown(value: Any) -> str:
    """Return a value as an error message shows it: short, whatever it is.

    Examples
    --------
    >>> shown("x" * 100_000) == "'" + "x" * 79, shown(10**5000)
    (True, 'a value too long to print')
    """
    try:
        return repr(value)[:_SHOWN]
    except (ValueError, RecursionError):  # Python prints no whole number of more than 4300 digits
        return "a value too long to print"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


class Settings:
    """A config's values with checks; a value that is absent has the family's default, or is refused by name.

    Parameters
    ----------
    values : mapping
        A parsed config: keys as transformers or the trainer writes them.
    family : str
        For messages.
    """

    def __init__(self, values: Mapping[str, Any], family: str) -> None:
        self._values, self.family = values, family

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def mentions(self, name: str) -> bool:
        """Return whether a key stands in the config at all, be it null."""
        return name in self._values

    def is_null(self, name: str) -> bool:
        """Whether a key is there with null for its value, which some families tell from a key that is absent."""
        return name in self._values and self._values[name] is None

    def raw(self, name: str, default: Any = None) -> Any:
        """Return a value as it stands in the config; None counts as absent."""
        value = self._values.get(name)
        return default if value is None else value

    def whole(self, *names: str, default: int | None = None, least: int = 1, most: int = MAX_SIZE) -> int:
        """Return a whole number under the first of some names that is set.

        Raises
        ------
        BadConfig
            When it is absent and has no default, or is not a whole number between ``least`` and ``most``.
        """
        found = self.whole_or_none(*names, least=least, most=most)
        if found is not None:
            return found
        if default is None:
            raise BadConfig(f"the config of a {self.family} model does not give {names[0]}", hint=f"add {names[0]}")
        return default

    def whole_or_none(self, *names: str, least: int = 1, most: int = MAX_SIZE) -> int | None:
        """Return a whole number, or None where none of the names is set."""
        for name in names:
            value = self._values.get(name)
            if value is None:
                continue
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise BadConfig(f"{name} is not a size", expected=f"a whole number from {least} on", found=shown(value))
            return value
        return None

    def flag(self, *names: str, default: bool) -> bool:
        """Return a truth value under the first of some names that is set.

        Raises
        ------
        BadConfig
            When it is not true or false.
        """
        for name in names:
            value = self._values.get(name)
            if value is None:
                continue
            if not isinstance(value, bool):
                raise BadConfig(f"{name} is not a truth value", expected="true or false", found=shown(value))
            return value
        return default

    def number(self, *names: str, default: float) -> float:
        """Return a finite number under the first of some names that is set."""
        for name in names:
            value = self._values.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
                raise BadConfig(f"{name} is not a number", expected="a number", found=shown(value))
            return float(value)
        return default

    def text(self, *names: str, default: str) -> str:
        """Return a string under the first of some names that is set."""
        return next((value for name in names if isinstance(value := self._values.get(name), str)), default)

    def list(self, name: str) -> list[Any] | None:
        """Return a list, or None where it is absent or is none."""
        value = self._values.get(name)
        return list(value) if isinstance(value, list | tuple) else None

    def below(self, name: str) -> Settings:
        """Return the settings nested under a key (empty where there are none)."""
        value = self._values.get(name)
        return Settings(value if isinstance(value, Mapping) else {}, self.family)

    def over(self, values: Mapping[str, Any]) -> Settings:
        """Return these settings with others beneath them, which hold where these have none."""
        return Settings(
            {**values, **{key: value for key, value in self._values.items() if value is not None}}, self.family
        )

    def divided(self, whole: int, parts: int, what: str) -> int:
        """Return ``whole / parts``.

        Raises
        ------
        BadConfig
            When it leaves a remainder.
        """
        if whole % parts:
            raise BadConfig(
                f"{what}: {whole} cannot be divided by {parts}", hint="choose a width that the heads divide"
            )
        return whole // parts
