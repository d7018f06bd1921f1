"""Weights from and to safetensors, Hugging Face's GPT-2 and our own; nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import BadConfig
from ..recipe import ModelSettings
from .model import Transformer

__all__ = ["load_weights", "save_weights"]

TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # Hugging Face's GPT-2 has them input by output
NEEDLESS = (".attn.bias", ".attn.masked_bias", "lm_head.weight")  # causal masks in old files; a tied head


@torch.no_grad()
def load_weights(model: Transformer, path: Path) -> None:
    """Copy the weights of a file into a model of the same shape.

    Raises
    ------
    BadConfig
        When it is not safetensors, or a tensor is missing, unknown or of another shape: the first is named.
    """
    try:
        found = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise BadConfig(f"not a file of safetensors ({error})", where=str(path)) from None
    own = dict(model.named_parameters())
    needless = {name for name, x in found.items() if name.endswith(NEEDLESS) or (".bias" in name and not x.any())}
    for name in sorted((own | found).keys() - (needless - own.keys())):
        tensor, place = found.get(name), own.get(name)
        if tensor is not None and model.settings.is_gpt2 and name.endswith(TRANSPOSED):
            tensor = tensor.T
        if tensor is None or place is None or tensor.shape != place.shape:
            raise BadConfig(
                f"the tensor {name} is not that of this model",
                where=str(path),
                expected="none" if place is None else f"{tuple(place.shape)} as [model] says",
                found="none" if tensor is None else f"{tuple(tensor.shape)}",
                hint="make [model] that of the weights (GPT-2's vocab_size is 50257)",
            )
        place.copy_(tensor)


def save_weights(state: dict[str, Tensor], settings: ModelSettings, path: Path) -> None:
    """Write safetensors, whole or not; of a GPT-2 those that transformers loads."""
    gpt2, tensors = settings.is_gpt2, {}
    for name, tensor in state.items():
        value = tensor.T if gpt2 and name.endswith(TRANSPOSED) else tensor
        tensors[f"transformer.{name}" if gpt2 and not name.startswith("lm_head") else name] = value.contiguous()
        if gpt2 and not settings.bias and (".c_" in name or "ln_" in name):  # it has biases: zeros compute the same
            tensors[f"transformer.{name.replace('.weight', '.bias')}"] = value.new_zeros(value.shape[-1])
    save_file(
        tensors, path.with_suffix(".partial"), metadata={"format": "pt"} | ({} if settings.bias else {"biases": "zero"})
    )
    path.with_suffix(".partial").replace(path)
