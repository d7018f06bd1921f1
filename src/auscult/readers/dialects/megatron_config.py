"""Megatron-LM's ``model_config.yaml``: the arguments of a job as ``--key: value`` under ``MODEL_ARGS``.

The files describe Megatron's functional and release tests; people start real runs from them. Values such as
``${DATA_PATH}`` come from the environment and say nothing. What is not set has the default of
``megatron/training/arguments.py``. Of several variants (``MODEL_ARGS_2`` …) the plain one is read: they differ in how the
model is divided.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...errors import BadConfig
from ...run import Known, Notice, Source
from ..files import InputFile
from ..megatron_keys import interpret
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..yaml_text import read_yaml

__all__ = ["DIALECT"]

_HEAD = lazy(r"^MODEL_ARGS:\s*(?:&\w+\s*)?(?:#.*)?$", re.M)
_FLAG = lazy(r"^\s{2,8}--[a-z][a-z0-9_-]{1,60}:", re.M)
_PREFIX = "MODEL_ARGS.--"
_NOTED = (
    "tensor_model_parallel_size",
    "pipeline_model_parallel_size",
    "context_parallel_size",
    "expert_model_parallel_size",
    "num_experts",
    "step_batch_size_schedule",
    "rampup_batch_size",
    "train_samples",
    "exit_interval",
    "init_method_std",
    "attention_dropout",
    "position_embedding_type",
    "squared_relu",
    "swiglu",
    "decoupled_lr",
)


def _arguments(values: dict[str, Known[Any]]) -> dict[str, Known[Any]]:
    """Return the arguments by their names in the program, without those that only the environment knows."""
    said: dict[str, Known[Any]] = {}
    for path, quantity in values.items():
        if path.startswith(_PREFIX) and "." not in (name := path.removeprefix(_PREFIX)):
            if isinstance(quantity.value, str) and "$" in quantity.value:
                continue
            said[name.replace("-", "_")] = quantity
    return said


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_yaml(file.text(), file.name)
    arguments = _arguments(values)
    if not arguments:
        raise BadConfig(
            "no argument of Megatron-LM is in it",
            where=file.name,
            expected="MODEL_ARGS with keys such as `--num-layers: 24`",
        )
    settings, problems = interpret(arguments, defaults=True)
    noted = {f"megatron.{name}": arguments[name] for name in _NOTED if name in arguments}
    notices: tuple[Notice, ...] = ()
    if (variants := sum(1 for path in values if re.match(r"MODEL_ARGS_\d{1,4}\.--num-layers$", path))) > 0:
        first = Source("read", file.name, 1)
        notices = (Notice("config_has_variants", first, variants, 0, "the variant MODEL_ARGS was read"),)
    return (
        Reading(
            DIALECT.name,
            file.name,
            "config",
            settings=settings,
            problems=tuple(problems),
            notices=notices,
            noted=noted,
        ),
    )


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml"):
        return 0.0
    text = file.sample
    if _HEAD.search(text) and len(_FLAG.findall(text)) >= 3:
        return 0.95
    return 0.0


DIALECT = Dialect(
    name="megatron_config",
    title="Megatron-LM model_config.yaml",
    role="config",
    example="MODEL_ARGS:\n  --num-layers: 12\n  --global-batch-size: 32",
    reads="the arguments under MODEL_ARGS with their lines: shape, batch, schedule, optimiser, regularisation, precision,"
    " how the model is divided; samples are turned into steps with the global batch or its schedule; what is not set has"
    " Megatron's default, and says so",
    cannot="the number of ranks, the vocabulary (the tokenizer has it), values taken from the environment",
    source="NVIDIA/Megatron-LM tests/functional_tests and megatron/training/arguments.py at d98e8a6",
    sniff=_sniff,
    read=_read,
)
