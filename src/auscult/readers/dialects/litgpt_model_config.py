"""The ``model_config.yaml`` that litgpt saves beside every checkpoint: the shape of the model (litgpt config.py)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...run import Known, Problem, Quantity, known
from ..files import InputFile
from ..model_details import own_details
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..vocabulary import checked
from ..yaml_text import read_yaml
from .litgpt_run_config import out_dir

__all__ = ["DIALECT"]

_NAMES = {
    "n_layer": "architecture.n_layer",
    "n_head": "architecture.n_head",
    "n_query_groups": "architecture.n_kv_head",
    "n_embd": "architecture.d_model",
    "intermediate_size": "architecture.d_ff",
    "padded_vocab_size": "architecture.vocab_size",
    "bias": "architecture.bias",
}
_FAMILIES = {"LLaMAMLP": "llama", "GptNeoxMLP": "gpt_neox", "GemmaMLP": "gemma", "LLaMAMoE": "mixtral"}
_FINE_TUNED = lazy(r"^checkpoint_dir:\s*\S", re.M)
_MAX_BESIDE = 65_536


def _sniff(file: InputFile) -> float:
    if file.base not in ("model_config.yaml", "model_config.yml", "lit_config.json") or file.is_binary:
        return 0.0
    return 0.97 if re.search(r'^[ \t]*"?padded_vocab_size"?:', file.sample, re.M) and "n_embd" in file.sample else 0.0


def _is_fine_tuned(file: InputFile) -> bool:
    """Return whether the hyperparameters beside it say that a checkpoint was tuned: its samples have lengths of their own."""
    if file.path is None:
        return False
    try:
        with (file.path.parent / "hyperparameters.yaml").open("rb") as beside:
            return _FINE_TUNED.search(beside.read(_MAX_BESIDE).decode("utf-8", errors="replace")) is not None
    except (OSError, ValueError):
        return False


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_yaml(file.text(), file.name)
    settings: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []
    names = dict(_NAMES)
    if not _is_fine_tuned(file):
        names["block_size"] = "architecture.context"
    for name, key in names.items():
        given = values.get(name)
        if given is not None and given.value is not None:
            settings[key], problem = checked(key, given)
            if problem is not None:
                problems.append(problem)
    mlp = values.get("mlp_class_name")
    if mlp is not None and mlp.value in _FAMILIES:
        settings["architecture.family"] = Known(_FAMILIES[mlp.value], mlp.source)
    width = values.get("n_embd")
    if width is not None:
        settings["architecture.details"] = own_details(
            values, known("litgpt", "litgpt's GPT", width), "litgpt's config"
        )
    noted = {
        f"litgpt.{n}": values[n]
        for n in ("name", "block_size", "n_expert", "head_size")
        if n in values and values[n].value
    }
    return (
        Reading(
            DIALECT.name,
            file.name,
            "config",
            settings=settings,
            problems=tuple(problems),
            noted=noted,
            authority=FRAMEWORK,
            root=out_dir(file),
        ),
    )


DIALECT = Dialect(
    name="litgpt_model_config",
    title="litgpt's model_config.yaml",
    role="config",
    example="block_size: 2048\nn_layer: 22\nn_embd: 2048\nn_head: 32\nn_query_groups: 4\npadded_vocab_size: 32000",
    reads="the shape: layers, width, heads and key-value heads, inner width, the padded vocabulary, context",
    cannot="whether embeddings are tied; in fine-tuning the length of the samples (`block_size` is what the model allows)",
    source="Lightning-AI/litgpt config.py at 2685705",
    sniff=_sniff,
    read=_read,
    missing="model_config.yaml does not say",
)
