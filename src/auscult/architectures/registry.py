"""Every family whose blueprint is known, found by listing ``families/``; and the way from a config to its blueprint."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import BadConfig
from .blueprint import Model
from .settings import MAX_LAYERS, Settings

__all__ = ["Builder", "build", "family", "family_names"]

Builder = Callable[[Settings], Model]
_BUILDERS: dict[str, Builder] = {}
_PARTS = ("text_config", "llm_config", "language_config")


def family(*names: str) -> Callable[[Builder], Builder]:
    """Register a function that draws the blueprint of the families of some names.

    Parameters
    ----------
    *names : str
        ``model_type`` of transformers, or a trainer's name for its own model.
    """

    def register(builder: Builder) -> Builder:
        for name in names:
            if name in _BUILDERS:
                raise ValueError(f"two builders for {name}")
            _BUILDERS[name] = builder
        return builder

    return register


@functools.cache
def _load() -> Mapping[str, Builder]:
    from . import families as folder

    for module in sorted(item.name for item in pkgutil.iter_modules(folder.__path__)):
        importlib.import_module(f"{folder.__name__}.{module}")
    return _BUILDERS


def family_names() -> tuple[str, ...]:
    """Return the names of all families, sorted."""
    return tuple(sorted(_load()))


def build(config: Mapping[str, Any]) -> Model:
    """Draw the blueprint of the model that a config describes.

    Parameters
    ----------
    config : mapping
        A parsed ``config.json`` of transformers, or the same keys; ``model_type`` names the family. Of a config with a
        language model inside (``text_config``), that one is taken.

    Raises
    ------
    BadConfig
        When the family is not known, or a value is missing or impossible.

    Examples
    --------
    >>> build({"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768}).head
    Linear(name='lm_head', d_in=768, d_out=50257, bias=False)
    """
    for part in _PARTS:
        inner, outer = config.get(part), config.get("model_type")
        nameless = isinstance(outer, str) and f"{outer}_text" in _load()
        if isinstance(inner, Mapping) and (isinstance(inner.get("model_type"), str) or nameless):
            tied = config.get("tie_word_embeddings")
            named = {"model_type": f"{outer}_text"} if nameless else {}
            config = {**named, **({} if tied is None else {"tie_word_embeddings": tied}), **inner}
            break
    name = config.get("model_type")
    if not isinstance(name, str):
        raise BadConfig("the config does not name the model's family", expected="model_type", hint="add model_type")
    builder = _load().get(name) or _load().get(name + "_text")
    if builder is None:
        raise BadConfig(f"the shape of {name[:80]!r} models is not known to auscult")
    settings = Settings(config, name)
    for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"):
        settings.whole_or_none(key, most=MAX_LAYERS)
    return builder(settings)
