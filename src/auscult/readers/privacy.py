"""What reports never pass on: e-mail addresses, logins, home folders."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

from ..run import Comment, ConfigText
from .patterns import lazy
from .reading import Reading

__all__ = ["nameless", "without_names"]

_SECRETS = lazy(
    r"(?P<mail>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5})|(?P<login>\b[\w.-]{1,40}@[A-Za-z][\w.-]{1,62}(?=:|\s|$))"
    r"|(?P<home>(?:/home|/Users|[A-Za-z]:\\\\?Users)[/\\]{1,2}[^/\\\s'\":,]{1,64})"
)
_AS_THEY_ARE = frozenset({"file", "path", "kind", "key"})


def without_names(text: str) -> str:
    """Return a line without e-mail addresses, logins and home folders: reports are passed on.

    Examples
    --------
    >>> without_names("saving to /home/somebody/out by me@example.org")
    'saving to ~/out by …'
    """
    if "@" not in text and "/home" not in text and "Users" not in text:
        return text
    return _SECRETS.sub(lambda found: "~" if found["home"] else "…", text)


def nameless(reading: Reading) -> Reading:
    """Return a reading without names in its values, in the texts they were read from, in notices and comments.

    The text of a config stays as it is: it is what edits are made to.
    """
    return replace(
        reading,
        label=without_names(reading.label),
        parts=tuple(map(nameless, reading.parts)),
        **{
            name: _cleaned(getattr(reading, name))
            for name in ("settings", "raw", "noted", "notices", "problems", "comments", "seams", "config")
        },
    )


def _cleaned(said: Any) -> Any:
    """Return what was said without names, the very same where it had none."""
    if isinstance(said, str):
        return without_names(said)
    if isinstance(said, list | tuple):
        items = [_cleaned(item) for item in said]
        return said if all(new is old for new, old in zip(items, said, strict=True)) else type(said)(items)
    if isinstance(said, dict):
        return {key: _cleaned(value) for key, value in said.items()}
    if not dataclasses.is_dataclass(said) or isinstance(said, type):
        return said
    as_is = _AS_THEY_ARE | {"text"} if isinstance(said, Comment | ConfigText) else _AS_THEY_ARE
    new = {f.name: _cleaned(getattr(said, f.name)) for f in dataclasses.fields(said) if f.name not in as_is}
    if isinstance(said, Comment):
        new["text"] = _masked(said.text)
    changed = {name: value for name, value in new.items() if value is not getattr(said, name)}
    return replace(said, **changed) if changed else said


def _masked(text: str) -> str:
    """Return a comment without names, as long as it was: edits of a config count its columns."""
    return text if without_names(text) == text else _SECRETS.sub(lambda found: "…" * len(found[0]), text)
