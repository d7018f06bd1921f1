"""Memory of a training step on one GPU: by part, by phase, with an interval."""

from __future__ import annotations

from .activations import Slopes, activation_slopes
from .gpt2 import TrainingMemory, estimate_training_memory, precision_of, training_memory
from .logits import LogitSlopes, logit_slopes
from .peak import CONTEXT_BYTES, MARGIN_FRACTION, NCCL_BYTES, USABLE_FRACTION, MemoryEstimate, Seen, estimate_memory
from .states import Counts, States, model_states, parameter_groups

__all__ = [
    "CONTEXT_BYTES",
    "MARGIN_FRACTION",
    "NCCL_BYTES",
    "USABLE_FRACTION",
    "Counts",
    "LogitSlopes",
    "MemoryEstimate",
    "Seen",
    "Slopes",
    "States",
    "TrainingMemory",
    "activation_slopes",
    "estimate_memory",
    "estimate_training_memory",
    "logit_slopes",
    "model_states",
    "parameter_groups",
    "precision_of",
    "training_memory",
]
