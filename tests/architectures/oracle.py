"""Transformers' own models, which others wrote: what a blueprint is compared with."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM
from transformers.utils import logging

__all__ = [
    "MASKED",
    "Matrix",
    "activations_of",
    "layer_norms_of",
    "matrices_of",
    "model_on_meta",
    "parts_of",
    "seen_by",
]

MASKED = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "eurobert", "modernbert"},
)
_ACTIVATIONS = {
    "GELUActivation": "gelu",
    "GELU": "gelu",
    "GELUTanh": "gelu_tanh",
    "BloomGelu": "gelu_tanh",
    "NewGELUActivation": "gelu_new",
    "FastGELUActivation": "gelu_fast",
    "SiLUActivation": "silu",
    "SiLU": "silu",
    "ReLU": "relu",
    "ReLUSquaredActivation": "relu2",
    "XIELUActivation": "xielu",
}
"""Blueprints' names of transformers' classes."""
_OF_LAYERS = frozenset({"act", "act_fn", "activation", "activation_fn", "intermediate_act_fn", "gelu_impl"})
logging.set_verbosity_error()


class Matrix(NamedTuple):
    """A matrix that multiplies: its module's name, its sizes, whether it has a bias."""

    name: str
    d_in: int
    d_out: int
    bias: bool


def _made(config: dict[str, Any]) -> tuple[str, Any]:
    settings = dict(config)
    kind = settings.pop("model_type")
    made = AutoConfig.for_model(kind, **settings)
    if kind == "nemotron" and made.num_key_value_heads is None:
        made.num_key_value_heads = made.num_attention_heads  # the class leaves the default to the loader
    return kind, made


def model_on_meta(config: dict[str, Any]) -> Any:
    """Return the model that transformers builds of a config, without memory for its weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, made = _made(config)
        family: Any = AutoModelForMaskedLM if kind in MASKED else AutoModelForCausalLM
        with torch.device("meta"), contextlib.suppress(NotImplementedError):
            return family.from_config(made)
    raise AssertionError(f"{kind} was not built")


def seen_by(config: dict[str, Any], tokens: int) -> Counter[tuple[int, int, bool]]:
    """Run a small model and count its layers by heads, most tokens that any token attends to, and whether later ones too."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, made = _made(config)
        family: Any = AutoModelForMaskedLM if kind in MASKED else AutoModelForCausalLM
        model = family.from_config(made, attn_implementation="eager").eval()
        text = torch.arange(5, 5 + tokens)[None]
        with torch.no_grad():
            out = model(text, output_attentions=True, **({} if kind in MASKED else {"use_cache": False}))
    seen: Counter[tuple[int, int, bool]] = Counter()
    for weights in out.attentions:
        attended = (weights[0] > 0).any(0)
        seen[weights.shape[1], int(attended.sum(-1).max()), bool(attended.triu(1).any())] += 1
    return seen


def _is_norm(module: torch.nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def matrices_of(model: Any) -> Counter[Matrix]:
    """Count a model's matrices by name and shape, a tied head among them."""
    found: Counter[Matrix] = Counter()
    for path, module in model.named_modules():
        name = path.rpartition(".")[2]
        if isinstance(module, torch.nn.Linear):
            found[Matrix(name, module.in_features, module.out_features, module.bias is not None)] += 1
        elif type(module).__name__ == "Conv1D":
            d_in, d_out = module.weight.shape
            found[Matrix(name, d_in, d_out, True)] += 1
    return found


def activations_of(model: Any) -> set[str]:
    """Return the activations of a model's layers, by blueprints' names; not that of a head."""
    layers = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    inside = [(path.rpartition(".")[2], part) for layer in layers for path, part in layer.named_modules()]
    return {_ACTIVATIONS[type(part).__name__] for name, part in inside if name in _OF_LAYERS}


def layer_norms_of(model: Any) -> bool:
    """Return whether a model norms with LayerNorm, not RMSNorm."""
    (kind,) = {"layernorm" in type(module).__name__.lower() for module in model.modules() if _is_norm(module)}
    return kind


def parts_of(model: Any) -> dict[str, int]:
    """Return every parameter of a model once, and those of its matrices, norms, tables, and what stands outside the layers."""
    named = dict(model.named_parameters())
    table = model.get_input_embeddings().weight
    tables = {id(m.weight): m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    matrices = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    }
    norms = {id(p): p.numel() for m in model.modules() if _is_norm(m) for p in m.parameters(recurse=False)}
    inside = {id(p) for m in model.modules() if isinstance(m, torch.nn.ModuleList) for p in m.parameters()}
    apart = inside | norms.keys() | tables.keys()
    return {
        "total": sum(value.numel() for value in named.values()),
        "embedding": table.numel(),
        "other tables": sum(tables.values()) - table.numel(),
        "norms": sum(norms.values()),
        "head": sum(value.numel() for value in named.values() if id(value) not in apart),
        "matmul": sum(matrices.values()),
    }
