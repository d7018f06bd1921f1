"""One question per file, by family. Importing this package registers them all."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from .base import REGISTRY, Check

__all__ = ["all_checks", "find_check"]


def _modules(package: str, path: list[str]) -> Iterator[str]:
    for module in pkgutil.iter_modules(path, f"{package}."):
        if module.ispkg:
            yield from _modules(module.name, list(importlib.import_module(module.name).__path__))
        elif not module.name.endswith(".base"):
            yield module.name


def all_checks() -> tuple[Check, ...]:
    """Return every check, by code."""
    for name in _modules(__name__, list(__path__)):
        importlib.import_module(name)
    return tuple(REGISTRY[code] for code in sorted(REGISTRY))


def find_check(code: str) -> Check | None:
    """Return the check with this code or name, or None."""
    wanted = code.strip()
    return next((c for c in all_checks() if wanted.upper() == c.code or wanted.lower() == c.name), None)
