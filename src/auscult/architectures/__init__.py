"""What models are made of: a blueprint for every family, drawn from a config."""

from .blueprint import Attention, Block, Experts, Linear, Mlp, Model, Norm, Ssm, Stack, Table, Vector
from .registry import build, family, family_names

__all__ = [
    "Attention",
    "Block",
    "Experts",
    "Linear",
    "Mlp",
    "Model",
    "Norm",
    "Ssm",
    "Stack",
    "Table",
    "Vector",
    "build",
    "family",
    "family_names",
]
