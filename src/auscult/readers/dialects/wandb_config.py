"""``files/config.yaml`` of a W&B folder: ``key: {desc: …, value: …}``, or with ``value`` alone in newer versions.

The values are the trainer's. ``_wandb`` is W&B's own, with the machine, the e-mail address and paths in newer versions:
only the cards' names are taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...run import Known, Source
from ..files import InputFile
from ..patterns import lazy
from ..reading import TRACKER, Dialect, Reading
from ..wandb_folder import cards, configured, place_of, placed
from ..yaml_text import read_yaml

__all__ = ["DIALECT"]

_SURE = lazy(r"^wandb_version: |^_wandb:\s*\n\s+(?:desc:[^\n]{0,200}\n\s+)?value:", re.M)
_ENTRY = lazy(r"^[^\s#:][^\n:]{0,200}:\s*\n(?:\s+desc:[^\n]{0,500}\n)?\s+value:", re.M)
_VALUE = lazy(r"\.value(?:\.|$)")
_CARD = lazy(r"_wandb\.value\.e\.[^.]{1,100}\.gpu(?:_nvidia\.\d{1,4}\.name|_amd\.\d{1,4}\.name)?")
_COUNT = lazy(r"_wandb\.value\.e\.[^.]{1,100}\.gpu_count")


def _values(found: dict[str, Known[Any]]) -> dict[str, Known[Any]]:
    """Return the values under their own names."""
    values: dict[str, Known[Any]] = {}
    for path, quantity in found.items():
        parts = _VALUE.split(path, 1)
        if len(parts) == 2 and parts[0] != "_wandb":
            values[f"{parts[0]}.{parts[1]}" if parts[1] else parts[0]] = quantity
    return values


def _read(file: InputFile) -> Iterable[Reading]:
    found = read_yaml(file.text(), file.name)
    said = configured(_values(found), file.name, TRACKER)
    named = [(path, quantity) for path, quantity in found.items() if _CARD.fullmatch(path)]
    count = next((quantity for path, quantity in found.items() if _COUNT.fullmatch(path)), None)
    line = named[0][1].source.line if named else None
    machine = cards(
        (quantity.value for _path, quantity in named),
        count.value if count is not None else None,
        Source("read", file.name, line),
    )
    fields = said.fields()
    fields["settings"] = {**said.settings, **machine.settings}
    fields["noted"] = {**said.noted, **machine.noted}
    if not any(fields.values()):
        return ()
    return (placed(Reading(DIALECT.name, file.name, "config", authority=TRACKER, **fields), place_of(file)),)


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml") or file.is_binary:
        return 0.0
    text = file.sample
    if _SURE.search(text):
        return 0.95
    entries = len(_ENTRY.findall(text))
    if entries < 3:
        return 0.0
    return 0.9 if file.base == "config.yaml" else 0.6


DIALECT = Dialect(
    name="wandb_config",
    title="W&B config.yaml",
    role="config",
    example="wandb_version: 1\n\nbatch_size:\n  desc: null\n  value: 12\nlearning_rate:\n  desc: null\n  value: 0.0006",
    reads="the configuration that the run was started with, or was given later: nanoGPT's keys with nanoGPT's meaning, the"
    " Hugging Face trainer's arguments and its model's shape with theirs, other names where they are common among trainers;"
    " the name of the machine's cards",
    cannot="what the script did not log; how many of the machine's cards were used; the accumulation over all processes where"
    " the trainer counts it for each and the number of processes is not logged",
    source="files of wandb 0.12 to 0.23; wandb/sdk/wandb_config.py",
    sniff=_sniff,
    read=_read,
    missing="config.yaml of W&B does not say it: the script did not log it",
    tracker=True,
)
