"""The ``hyperparameters.yaml`` that litgpt saves beside every checkpoint: the arguments of ``setup``, all of them.

``global_batch_size`` counts sequences between optimiser steps over all devices; ``micro_batch_size`` those of one device at
once. ``lr_warmup_steps`` and ``max_steps`` count optimiser steps. Fine-tuning scripts take no notice of ``min_lr``: their
cosine ends at 0. (litgpt args.py, utils.py ``save_hyperparameters``, finetune/lora.py ``get_lr_scheduler``.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...run import Known, Problem, Quantity, Source, Unknown, known
from ..files import InputFile
from ..loose_settings import base_name
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..vocabulary import checked
from ..yaml_text import read_yaml

__all__ = ["DIALECT", "out_dir"]

_NAMES = {
    "train.micro_batch_size": "recipe.batch_size",
    "train.lr_warmup_steps": "recipe.warmup_steps",
    "train.max_steps": "recipe.max_steps",
    "train.max_norm": "recipe.grad_clip",
    "train.min_lr": "recipe.min_lr",
    "train.log_interval": "recipe.log_interval",
    "train.max_tokens": "logged.tokens_planned",
    "train.max_seq_length": "architecture.context",
    "train.tie_embeddings": "architecture.tied",
    "eval.interval": "recipe.eval_interval",
    "eval.max_iters": "recipe.eval_iters",
    "optimizer.init_args.lr": "recipe.learning_rate",
    "optimizer.init_args.weight_decay": "recipe.weight_decay",
}
_OPTIMIZER = ("optimizer.class_path", "optimizer")
_ADAMW = {"recipe.learning_rate": 1e-3, "recipe.weight_decay": 0.01, "recipe.beta1": 0.9, "recipe.beta2": 0.999}
_ADAMW_NAMES = {
    "recipe.learning_rate": "lr",
    "recipe.weight_decay": "weight_decay",
    "recipe.beta1": "beta1",
    "recipe.beta2": "beta2",
}
_DTYPES = {"bf16": "bfloat16", "16": "float16", "32": "float32", "64": "float64"}
_NOTED = (
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "train.epochs",
    "train.lr_warmup_fraction",
    "train.global_batch_size",
    "quantize",
)
_STEP_FOLDER = lazy(r"^(?:step-\d{1,12}|final)$")


def out_dir(file: InputFile) -> str | None:
    """Return litgpt's ``out_dir`` for a file saved beside a checkpoint: the folder above ``final`` or ``step-…``."""
    above, _, own = file.folder.rpartition("/")
    return above if _STEP_FOLDER.match(own) else None


def _settings(values: dict[str, Known[Any]]) -> tuple[dict[str, Quantity[Any]], list[Problem]]:
    found: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []

    def put(key: str, quantity: Known[Any]) -> None:
        found[key], problem = checked(key, quantity)
        if problem is not None:
            problems.append(problem)

    for name, key in _NAMES.items():
        given = values.get(name)
        if given is not None and given.value is not None:
            put(key, given)
    _devices(values, found)
    _batches(values, found)
    precision = values.get("precision")
    if precision is not None and precision.value is not None:
        word = str(precision.value).partition("-")[0]
        put("recipe.dtype", Known(_DTYPES.get(word, str(precision.value)[:40]), precision.source))
    for name in ("checkpoint_dir", "initial_checkpoint_dir"):
        if name in values and isinstance(values[name].value, str):
            put("recipe.init_from", Known(base_name(values[name].value)[:200], values[name].source))
    data = values.get("data.class_path", values.get("data"))
    if data is not None and isinstance(data.value, str):
        put("recipe.dataset", Known(data.value.rpartition(".")[2][:200], data.source))
    _optimiser(values, found, put)
    return found, problems


def _devices(values: dict[str, Known[Any]], found: dict[str, Quantity[Any]]) -> None:
    devices, nodes = values.get("devices"), values.get("num_nodes")
    if devices is None:
        return
    if not isinstance(devices.value, int) or isinstance(devices.value, bool) or devices.value < 1:
        shown = str(devices.value)[:40]
        found["recipe.world_size"] = Unknown(f"{devices.source.place} says devices = {shown}: as many as there were")
        return
    if nodes is not None and isinstance(nodes.value, int) and nodes.value > 1:
        found["recipe.world_size"] = known(devices.value * nodes.value, "devices × num_nodes", devices, nodes)
    else:
        found["recipe.world_size"] = devices
    found["machine.gpu_count"] = found["recipe.world_size"]


def _batches(values: dict[str, Known[Any]], found: dict[str, Quantity[Any]]) -> None:
    """Count the micro-batches of one optimiser step over all devices, as litgpt divides them."""
    whole, micro = values.get("train.global_batch_size"), values.get("train.micro_batch_size")
    world = found.get("recipe.world_size")
    key = "recipe.gradient_accumulation_steps"
    if whole is None or micro is None or not _count(whole.value) or not _count(micro.value):
        return
    if isinstance(world, Known):
        each = whole.value // world.value // micro.value
        if each >= 1:
            formula = "(global_batch_size // devices // micro_batch_size) × devices"
            found[key] = known(each * world.value, formula, whole, micro, world)
    elif whole.value % micro.value == 0:
        found[key] = known(whole.value // micro.value, "global_batch_size / micro_batch_size", whole, micro)
    else:
        found[key] = Unknown(
            "global_batch_size is no multiple of micro_batch_size, and the number of devices is not said"
        )


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9


def _optimiser(values: dict[str, Known[Any]], found: dict[str, Quantity[Any]], put: Any) -> None:
    given = next((values[n] for n in _OPTIMIZER if n in values and isinstance(values[n].value, str)), None)
    if given is None:
        return
    name = given.value.rpartition(".")[2][:100]
    put("recipe.optimizer", Known(name, given.source))
    betas = values.get("optimizer.init_args.betas")
    if betas is not None and isinstance(betas.value, list) and len(betas.value) == 2:
        for key, value in zip(("recipe.beta1", "recipe.beta2"), betas.value, strict=True):
            put(key, Known(value, betas.source))
    if name == "AdamW":
        for key, value in _ADAMW.items():
            short = _ADAMW_NAMES[key]
            found.setdefault(
                key,
                Known(
                    value,
                    Source(
                        "default", formula=f"default of torch.optim.AdamW ({short} = {value}), not set in the config"
                    ),
                ),
            )


def _sniff(file: InputFile) -> float:
    if file.base not in ("hyperparameters.yaml", "hyperparameters.yml") or file.is_binary:
        return 0.0
    text = file.sample
    return 0.97 if re.search(r"^\s{1,8}(?:micro_batch_size|global_batch_size):", text, re.M) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_yaml(file.text(), file.name)
    settings, problems = _settings(values)
    noted = {f"litgpt.{n}": values[n] for n in _NOTED if n in values and values[n].value is not None}
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
    name="litgpt_run_config",
    title="litgpt's hyperparameters.yaml",
    role="config",
    example="devices: 1\ntrain:\n  global_batch_size: 16\n  micro_batch_size: 1\n  lr_warmup_steps: 100\noptimizer: AdamW",
    reads="batch and micro-batch, accumulation over all devices, warm-up, steps or tokens planned, precision, clipping, evaluation,"
    " optimiser (PyTorch's defaults where only its name is given), what was fine-tuned",
    cannot="how many devices `auto` meant, the length of fine-tuning samples, whether `min_lr` was used (fine-tuning takes no"
    " notice of it)",
    source="Lightning-AI/litgpt args.py, utils.py and finetune/lora.py at 2685705",
    sniff=_sniff,
    read=_read,
    missing="hyperparameters.yaml does not say",
)
