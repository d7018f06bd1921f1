"""What a person asks the reference trainer for: the recipe, table by table, as `auscult train` reads it."""

from __future__ import annotations

from .settings import (
    BatchSettings,
    CheckpointSettings,
    DataSettings,
    EvaluationSettings,
    LogSettings,
    MachineSettings,
    ModelSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainingRecipe,
    hugging_face_config,
    model_settings,
    recipe_digest,
    recipe_from_values,
    recipe_values,
)

__all__ = [
    "BatchSettings",
    "CheckpointSettings",
    "DataSettings",
    "EvaluationSettings",
    "LogSettings",
    "MachineSettings",
    "ModelSettings",
    "OptimizerSettings",
    "ScheduleSettings",
    "TrainingRecipe",
    "hugging_face_config",
    "model_settings",
    "recipe_digest",
    "recipe_from_values",
    "recipe_values",
]
