"""Everything auscult raises on purpose.

::

    AuscultError
    ├── InputError            the file or folder cannot be used                (exit status 2)
    │   ├── UnreadableInput   missing, not permitted, not a regular file
    │   ├── NotText           binary, empty, or not decodable as text
    │   ├── InputTooLarge     beyond the bound on bytes
    │   ├── BadConfig         a config that cannot be parsed, or holds impossible values
    │   ├── BadSettings       an ``auscult.toml`` that cannot be used
    │   ├── BadData           shards of tokens, or text for them, that cannot be used (``auscult.data``)
    │   └── AmbiguousInput    several runs where one was expected, or no run at all
    ├── LostRank              another process of a distributed run went away     (exit status 2)
    └── UsageError            the command line or a call is wrong              (exit status 2)

Every message is one paragraph: what, where (``file:line``), expected, found, what to do next.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousInput",
    "AuscultError",
    "BadConfig",
    "BadSettings",
    "InputError",
    "InputTooLarge",
    "LostRank",
    "NotText",
    "UnreadableInput",
    "UsageError",
]


class AuscultError(Exception):
    """Base class of every error that auscult raises on purpose; its message is one line, safe to print."""

    def __init__(self, message: str) -> None:
        super().__init__("".join(ch if ch.isprintable() else " " if ch.isspace() else "?" for ch in message))


class InputError(AuscultError):
    """An input that cannot be used, told in one paragraph.

    Parameters
    ----------
    what : str
        What went wrong, as a clause without a full stop.
    where : str, optional
        The place, ``file`` or ``file:line``.
    expected, found : str, optional
        What was expected there and what was found instead.
    hint : str, optional
        What to do next, as a sentence without its full stop.

    Examples
    --------
    >>> print(NotText("the file is empty", where="train.log", hint="check the redirection"))
    train.log: the file is empty. Next: check the redirection.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.found, self.hint = what, where, expected, found, hint
        parts = [f"{where}: {what}." if where else f"{what}."]
        if expected:
            parts.append(f"Expected {expected}{f', found {found}' if found else ''}.")
        elif found:
            parts.append(f"Found {found}.")
        if hint:
            parts.append(f"Next: {hint}.")
        super().__init__(" ".join(parts))


class UnreadableInput(InputError):
    """The path is missing, not permitted, or not something that can be read."""


class NotText(InputError):
    """The file is binary, empty, or cannot be decoded as text."""


class InputTooLarge(InputError):
    """The file exceeds the bound that protects memory and time."""


class BadConfig(InputError):
    """A config that cannot be parsed or whose values no model can have."""


class BadSettings(InputError):
    """An ``auscult.toml`` that cannot be parsed or has unknown keys."""


class AmbiguousInput(InputError):
    """Several runs where one was expected, or nothing that looks like a run."""


class LostRank(AuscultError):
    """Another process of a distributed run ended, so that this one cannot go on."""


class UsageError(AuscultError):
    """The command line, or the arguments of a call, make no sense."""
