"""Transformers' own models on the meta device: what a blueprint's counts are compared with."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM
from transformers.utils import logging

__all__ = ["MASKED", "model_on_meta", "parts_of"]

MASKED = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert"})
logging.set_verbosity_error()


def model_on_meta(config: dict[str, Any]) -> Any:
    """Return the model that transformers builds of a config, without memory for its weights."""
    settings = dict(config)
    kind = settings.pop("model_type")
    if kind == "gpt2":
        settings.pop("bias", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = AutoConfig.for_model(kind, **settings)
        if kind == "nemotron" and made.num_key_value_heads is None:
            made.num_key_value_heads = made.num_attention_heads  # the class leaves the default to the loader
        family: Any = AutoModelForMaskedLM if kind in MASKED else AutoModelForCausalLM
        with torch.device("meta"), contextlib.suppress(NotImplementedError):
            return family.from_config(made)
    raise AssertionError(f"{kind} was not built")


def parts_of(model: Any) -> dict[str, int]:
    """Return every parameter of a model once, and those of its matrices, its norms and its token table."""
    named = dict(model.named_parameters())
    table = model.get_input_embeddings().weight
    matrices = {
        id(module.weight): module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    }
    return {
        "total": sum(value.numel() for value in named.values()),
        "embedding": table.numel(),
        "norms": sum(
            module_value.numel()
            for module in model.modules()
            if "norm" in type(module).__name__.lower()
            for module_value in module.parameters(recurse=False)
        ),
        "matmul": sum(matrices.values()),
    }
