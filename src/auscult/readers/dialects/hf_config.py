"""``config.json`` of a transformers model, of any family, and ``adapter_config.json`` of PEFT beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...run import Known
from ..files import InputFile
from ..hf_keys import public_name
from ..hf_models import architecture_of, is_model_config
from ..json_text import peek, read_mapping
from ..reading import FRAMEWORK, Dialect, Reading

__all__ = ["DIALECT", "config_reading"]

_ADAPTER = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "peft_type",
    "task_type",
    "use_dora",
    "use_rslora",
    "bias",
    "num_virtual_tokens",
)
_ADAPTER_KEYS = frozenset({"peft_type", "base_model_name_or_path", "lora_alpha", "target_modules"})


def config_reading(values: Mapping[str, Known[Any]], file: str) -> Reading:
    """Return what a model's configuration says, from its values under dotted paths."""
    settings, noted, problems = architecture_of(values)
    base = values.get("_name_or_path")
    if base is not None and (name := public_name(base.value)):
        noted["hf.base_model"] = Known(name, base.source)
    return Reading(
        "hf_config",
        file,
        "config",
        settings=settings,
        authority=FRAMEWORK,
        problems=problems,
        noted=noted,
    )


def _adapter_reading(values: Mapping[str, Known[Any]], file: str) -> Reading:
    noted: dict[str, Known[Any]] = {}
    for name in _ADAPTER:
        quantity = values.get(name)
        if quantity is not None and isinstance(quantity.value, int | float | str) and len(str(quantity.value)) < 60:
            noted[f"peft.{name}"] = quantity
    targets = values.get("target_modules")
    if targets is not None and isinstance(targets.value, list):
        names = [str(name)[:60] for name in targets.value[:40] if isinstance(name, str) and "/" not in name]
        noted["peft.target_modules"] = Known(names, targets.source)
    base = values.get("base_model_name_or_path")
    if base is not None and (shown := public_name(base.value)):
        noted["peft.base_model"] = Known(shown, base.source)
    return Reading("hf_config", file, "summary", authority=FRAMEWORK, noted=noted)


def _sniff(file: InputFile) -> float:
    if file.suffix != ".json" or file.size > 262_144:
        return 0.0
    text = file.sample
    if not ('"model_type"' in text or '"architectures"' in text or '"peft_type"' in text):
        return 0.0
    found = peek(file)
    if found is None:
        return 0.0
    if "peft_type" in found and len(_ADAPTER_KEYS & found.keys()) >= 2:
        return 0.95
    if not is_model_config(found):
        return 0.0
    return 0.95 if file.base == "config.json" else 0.85


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_mapping(file)
    if "peft_type" in values and "model_type" not in values:
        return (_adapter_reading(values, file.name),)
    return (config_reading(values, file.name),)


DIALECT = Dialect(
    name="hf_config",
    title="Hugging Face model config (config.json, adapter_config.json)",
    role="config",
    example='{"model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 22, "num_key_value_heads": 4, …}',
    reads="the shape of the model under its family's own names: layers, heads, key and value heads, widths, vocabulary, tied"
    " head, biases and dropout, with their lines; what is not set has the default of the family's configuration class, and"
    " says so. The language model's part of a composite model. Of an adapter its rank, its targets and its base model",
    cannot="the length of the training sequences (the config gives the longest that the model takes, noted as"
    " `hf.max_positions`), and everything about the training",
    source="huggingface/transformers configuration_*.py, versions 4.0 to 5.24; huggingface/peft",
    sniff=_sniff,
    read=_read,
    missing="config.json gives the model's shape only: add the log and the training arguments",
)
