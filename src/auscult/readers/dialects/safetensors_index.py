"""``model.safetensors.index.json`` and ``pytorch_model.bin.index.json``: which shard holds which tensor."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import NotText
from ...run import Known, Quantity, Source
from ..files import InputFile
from ..json_text import count
from ..reading import FRAMEWORK, Dialect, Reading
from ..vocabulary import checked

__all__ = ["DIALECT"]

_MAX_BYTES = 64 * 2**20


def _sniff(file: InputFile) -> float:
    if file.suffix != ".json" or '"weight_map"' not in file.sample:
        return 0.0
    return 1.0 if file.base.endswith(".index.json") else 0.8


def _read(file: InputFile) -> Iterable[Reading]:
    from ..tensor_names import is_adapter, layers_of, tied_by_name  # only a run that has weights waits for it

    found = file.json(_MAX_BYTES)
    weights = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(weights, dict):
        raise NotText("no weight map is in it", where=file.name, expected='{"metadata": …, "weight_map": {…}}')
    here = Source("read", file.name)
    names = list(weights)
    noted = {
        "checkpoint.tensors": Known(len(names), here),
        "checkpoint.shards": Known(len({value for value in weights.values() if isinstance(value, str)}), here),
        "checkpoint.kind": Known("adapter" if is_adapter(names) else "model weights", here),
    }
    metadata = found.get("metadata")
    for name in ("total_size", "total_parameters"):
        size = count(metadata.get(name)) if isinstance(metadata, dict) else None
        if size:
            noted[f"checkpoint.{name}"] = Known(size, Source("read", file.name, None, f'"{name}": {size}'))
    settings: dict[str, Quantity[object]] = {}
    if not is_adapter(names):
        layers, tied = layers_of(names), tied_by_name(names)
        if layers is not None:
            text = "the largest index of a layer, and 1"
            settings["architecture.n_layer"] = checked(
                "architecture.n_layer", Known(layers, Source("read", file.name, None, text))
            )[0]
        if tied is not None:
            text = "there is no head of its own" if tied else "there is a head of its own"
            settings["architecture.tied"] = Known(tied, Source("read", file.name, None, text))
    total = noted.get("checkpoint.total_parameters")
    if total is not None and settings:
        settings["logged.parameters"] = Known((total.value, total.value), total.source)
        settings["logged.parameters_convention"] = Known("total", total.source)
    return (Reading("safetensors_index", file.name, "weights", settings=settings, authority=FRAMEWORK, noted=noted),)


DIALECT = Dialect(
    name="safetensors_index",
    title="Index of sharded weights (model.safetensors.index.json, pytorch_model.bin.index.json)",
    role="weights",
    example='{"metadata": {"total_size": 2200119296}, "weight_map": {"model.layers.0.mlp.up_proj.weight": "model-00001-of-00002.safetensors"}}',
    reads="the names of all tensors: layers, and whether the head is tied; the bytes of all weights, and their count where newer"
    " versions write it",
    cannot="shapes, which stand in the shards; the count of parameters, unless it is written",
    source="huggingface/transformers modeling_utils.py; huggingface/huggingface_hub serialization",
    sniff=_sniff,
    read=_read,
)
