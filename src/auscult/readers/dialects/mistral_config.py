"""CRFM's mistral: quinine YAML that inherits its data, model and training from other files.

``effective_bsz`` counts sequences of one optimiser step over all devices; the accumulation is whatever makes that up. The
files under ``inherit:`` are read where they lie beside the config, below its folder; the arguments of training in them are
the Hugging Face trainer's. What ``inherit`` names and is not there is said to be missing.
(stanford-crfm/mistral ``conf/train_schema.py``, ``train.py``, ``src/args`` at bf9eff0.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from ...errors import BadConfig, InputError
from ...run import Known, Notice, Quantity, known
from ..config_sheet import Sheet, read_values, resolved, top_level_keys
from ..files import InputFile, open_path
from ..hf_keys import ARGUMENTS, VOCABULARY, arguments_noted
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..yaml_text import read_yaml

__all__ = ["DIALECT"]

_TRAINER = "mistral"
_MAX_FILES = 20
_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 4
_MARKS = frozenset({"inherit", "effective_bsz", "artifacts", "checkpoint_frequency", "run_id", "training_arguments"})
_INHERITS = lazy(
    r"^inherit:[ \t]{0,8}\n(?:[ \t]{0,8}(?:#.{0,200})?\n){0,8}[ \t]{0,8}- \S{1,200}\.ya?ml\s", re.MULTILINE
)
_BATCH = lazy(r"^effective_bsz:", re.MULTILINE)
_A = "training_arguments."
# layers, heads, width of the models that transformers builds by name
_SHAPES = {
    "gpt2": (12, 12, 768),
    "gpt2-small": (12, 12, 768),
    "mistral-small": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "mistral-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
_CONTEXT = 1024
_NOTED = ("effective_bsz", "dataset.id", "dataset.name", "model.id", "group", "seed")


def _inherited(
    file: InputFile, values: dict[str, Quantity[Any]], depth: int, seen: set[str]
) -> tuple[dict[str, Quantity[Any]], list[str]]:
    """Return a config's values over those it inherits, and which files were not there."""
    merged: dict[str, Quantity[Any]] = {}
    missing: list[str] = []
    listed = values.get("inherit")
    names = listed.value if isinstance(listed, Known) and isinstance(listed.value, list) else []
    for name in names[:_MAX_FILES]:
        inner = _beside(file, str(name)) if depth < _MAX_DEPTH and str(name) not in seen else None
        if inner is None:
            missing.append(str(name)[:80])
            continue
        seen.add(str(name))
        try:
            own = resolved(read_yaml(inner.text(_MAX_BYTES), inner.name))
        except InputError:
            missing.append(str(name)[:80])
            continue
        below, lost = _inherited(inner, own, depth + 1, seen)
        merged.update(below)
        missing += lost
    return {**merged, **values}, missing


def _beside(file: InputFile, name: str) -> InputFile | None:
    """Return a file that a config names, when it lies below the config's own folder; nothing else is opened."""
    path = PurePosixPath(name)
    if file.path is None or path.is_absolute() or ".." in path.parts or path.suffix not in (".yaml", ".yml"):
        return None
    home = file.path.parent
    target = home / name
    try:
        inside = target.is_file() and target.resolve().is_relative_to(home.resolve())
        if not inside:
            return None
        return open_path(target, f"{file.folder}/{name}" if file.folder else name)
    except (OSError, ValueError, RuntimeError, InputError):
        return None


def _put_settings(sheet: Sheet) -> None:
    name = sheet.text("model.id")
    if sheet.said("model.config_path", "model.config", "model.config_file") is not None:
        name = None  # a config.json of its own gives the shape
    if name is not None and name.value in _SHAPES:
        formula = f"the model {name.value}"
        layers, heads, width = _SHAPES[name.value]
        for key, value in (
            ("n_layer", layers),
            ("n_head", heads),
            ("n_kv_head", heads),
            ("d_model", width),
            ("d_ff", 4 * width),
        ):
            sheet.put(f"architecture.{key}", known(value, formula, name))
        for key, plain in (("tied", True), ("bias", True)):
            sheet.put(f"architecture.{key}", known(plain, formula, name))
        sheet.put("architecture.vocab_size", known(50257, formula, name))
        sheet.put("architecture.family", known("gpt2", formula, name))
    sheet.take("architecture.context", "model.seq_len")
    if "architecture.context" not in sheet.found and name is not None and name.value in _SHAPES:
        sheet.put("architecture.context", known(_CONTEXT, "mistral's default for GPT-2", name))
    sheet.take("recipe.dataset", "dataset.id")
    sheet.take("recipe.run_name", "run_id", f"{_A}run_name")
    world = sheet.whole("world_size")
    if world is not None:
        sheet.put("recipe.world_size", world)
    if (micro := sheet.whole(f"{_A}per_device_train_batch_size")) is not None:
        sheet.put("recipe.batch_size", micro)
    total = sheet.whole("effective_bsz")
    if total is not None:
        sheet.batch(total=total, names=("effective_bsz", "per_device_train_batch_size"))


def _arguments(sheet: Sheet) -> dict[str, Quantity[Any]]:
    """Return the arguments of the Hugging Face trainer."""
    raw: dict[str, Quantity[Any]] = {}
    for name, one in sheet.below("training_arguments").items():
        says = isinstance(one, Known) and one.value is not None and one.value != ""
        if name in ARGUMENTS and says and name not in ("output_dir", "gradient_accumulation_steps", "local_rank"):
            raw[name] = one
    return raw


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml"):
        return 0.0
    text = file.sample
    if "inherit" not in text and "training_arguments" not in text and "effective_bsz" not in text:
        return 0.0
    marks = len(top_level_keys(file) & _MARKS)
    if _BATCH.search(text) and marks >= 3:
        return 0.95
    if _INHERITS.search(text) and marks >= 2:
        return 0.8
    return 0.4 if re.search(r"^training_arguments:", text, re.MULTILINE) and marks else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    values, missing = _inherited(file, read_values(file), 0, set())
    sheet = Sheet(values, _TRAINER, _TRAINER)
    if not any(path.partition(".")[0] in _MARKS for path in values):
        raise BadConfig(
            "no setting of mistral is in it", where=file.name, expected="`inherit:` and `effective_bsz: 512`"
        )
    _put_settings(sheet)
    raw = _arguments(sheet)
    sheet.note(*_NOTED)
    listed = values.get("inherit")
    if missing and isinstance(listed, Known):
        detail = f"it inherits from {', '.join(missing[:6])}, which is not here"
        sheet.notices.append(Notice("config_inherits", listed.source, len(missing), 0, detail))
    noted = {**sheet.noted, **arguments_noted({k: q for k, q in raw.items() if isinstance(q, Known)})}
    reading = replace(sheet.reading(DIALECT.name, file.name), noted=noted)
    if not raw:
        return (reading,)
    return (replace(reading, raw=raw, vocabulary=VOCABULARY),)


DIALECT = Dialect(
    name="mistral_config",
    title="mistral config (CRFM, quinine)",
    role="config",
    example="inherit:\n    - datasets/openwebtext.yaml\n    - models/gpt2-medium.yaml\n    - trainers/gpt2-medium.yaml\neffective_bsz: 512",
    reads="the sequences of a step over all devices, and with the files that it inherits, where they lie below its folder, the"
    " data, the model (GPT-2's shapes by name), the micro-batch and with it the accumulation over all devices, the tokens"
    " per step and the training arguments of the Hugging Face trainer",
    cannot="what stands in inherited files that are not there (they are named); the number of devices",
    source="stanford-crfm/mistral conf/, train.py and src/args at bf9eff0",
    sniff=_sniff,
    read=_read,
    missing="the mistral config does not say: it stands in the files that it inherits",
)
