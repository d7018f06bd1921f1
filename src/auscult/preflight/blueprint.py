"""The blueprint of a recipe's model, and how the trainer trains it."""

from __future__ import annotations

import dataclasses

from ..architectures import Model, build
from ..facts.setup import Precision, Setup, Sharding
from ..recipe import ModelSettings, TrainingRecipe

__all__ = ["blueprint_of", "dtype_of", "setup_of"]

_NOT_OF_THE_SHAPE = ("family", "weights")


def blueprint_of(model: ModelSettings) -> Model:
    """Return the blueprint of a model.

    Examples
    --------
    >>> from auscult.facts.parameters import count_parameters
    >>> count_parameters(blueprint_of(ModelSettings(vocab_size=50257))).total
    124439808
    """
    values = {key: value for key, value in dataclasses.asdict(model).items() if key not in _NOT_OF_THE_SHAPE}
    return build({"model_type": "auscult", **values})


def dtype_of(recipe: TrainingRecipe, device: str, *, has_bfloat16: bool = True) -> str:
    """Return ``bfloat16`` or ``float32``: what ``auto`` means on a device."""
    asked = recipe.machine.dtype
    if asked != "auto":
        return asked
    return "bfloat16" if device == "cuda" and has_bfloat16 else "float32"


def setup_of(
    recipe: TrainingRecipe,
    micro_batch: int,
    *,
    world_size: int,
    device: str,
    compiled: bool,
    chunked: bool,
    has_bfloat16: bool = True,
) -> Setup:
    """Return how the trainer trains a recipe, for the estimates.

    Parameters
    ----------
    recipe : TrainingRecipe
        What is asked for.
    micro_batch : int
        Sequences of a pass and rank; divides those of a step and rank.
    world_size : int
        Ranks.
    device : str
        ``cuda`` or ``cpu``.
    compiled : bool
        Whether ``torch.compile`` is used in effect.
    chunked : bool
        Whether the loss never holds all logits.
    has_bfloat16 : bool
        Whether the card computes in bfloat16.
    """
    precision: Precision = "amp_bf16" if dtype_of(recipe, device, has_bfloat16=has_bfloat16) == "bfloat16" else "fp32"
    sharding: Sharding = "none" if world_size == 1 else recipe.machine.sharding
    return Setup(
        micro_batch=micro_batch,
        context=recipe.model.context,
        gradient_accumulation_steps=recipe.sequences_per_step // (world_size * micro_batch),
        precision=precision,
        compiled=compiled,
        # PyTorch's fused attention for CPUs has no dropout: the scores are then held.
        flash=device != "cpu" or recipe.model.dropout == 0 or recipe.machine.attention == "flex",
        dropout=recipe.model.dropout,
        checkpointing=recipe.machine.checkpointing,
        # What the estimates call "chunked" still keeps the logits of every chunk; ours is fused with the head and does not.
        loss="fused" if chunked else "eager",
        optimizer=recipe.optimizer.name,
        sharding=sharding,
        data_parallel=world_size,
    )
