"""DeepSpeed's configuration: the ``ds_config.json`` that a trainer is given, or that a launch script writes.

``train_batch_size`` counts sequences of one optimiser step over all data-parallel ranks, ``train_micro_batch_size_per_gpu``
those of one rank at once, ``gradient_accumulation_steps`` the micro-batches of each rank; any two give the third with the
number of ranks. ``auto`` means that the trainer fills it in, and says nothing. A config completes the run it lies beside:
another trainer's own settings stand elsewhere. (microsoft/DeepSpeed ``runtime/config.py``, ``runtime/lr_schedules.py``.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import BadConfig
from ...run import Known, Quantity, Unknown, known
from ..config_sheet import Sheet
from ..files import InputFile
from ..json_text import key_lines, mapping_in, peek, read_mapping
from ..reading import FILE, Dialect, Reading

__all__ = ["DIALECT", "reading_of_text"]

_TRAINER = "DeepSpeed"
_SURE = frozenset(
    {"zero_optimization", "train_micro_batch_size_per_gpu", "zero_allow_untested_optimizer", "steps_per_print"}
)
_USUAL = frozenset(
    {
        *("train_batch_size", "gradient_accumulation_steps", "gradient_clipping", "fp16", "bf16", "bfloat16", "amp"),
        *(
            "optimizer",
            "scheduler",
            "wall_clock_breakdown",
            "activation_checkpointing",
            "prescale_gradients",
            "data_types",
        ),
        *("zero_force_ds_cpu_optimizer", "flops_profiler", "communication_data_type", "comms_logger", "tensorboard"),
    }
)
_NOT = frozenset(
    {"model_type", "log_history", "num_layers", "num-layers", "compute_environment", "per_device_train_batch_size"}
)
_NAMES = {
    "recipe.batch_size": "train_micro_batch_size_per_gpu",
    "recipe.optimizer": "optimizer.type",
    "recipe.learning_rate": "optimizer.params.lr",
    "recipe.weight_decay": "optimizer.params.weight_decay",
    "recipe.warmup_steps": "scheduler.params.warmup_num_steps",
}
_NOTED = (
    "zero_optimization.stage",
    "zero_optimization.offload_optimizer.device",
    "zero_optimization.offload_param.device",
    "train_batch_size",
    "gradient_accumulation_steps",
    "scheduler.type",
    "fp16.loss_scale",
    "fp16.initial_scale_power",
    "activation_checkpointing.partition_activations",
    "optimizer.params.eps",
    "steps_per_print",
)


def _put_batch(sheet: Sheet) -> None:
    total, micro = sheet.whole("train_batch_size"), sheet.known("recipe.batch_size")
    each = sheet.whole("gradient_accumulation_steps")
    if total is not None:
        sheet.batch(total=total, names=("train_batch_size", "train_micro_batch_size_per_gpu"))
        if each is not None and micro is not None and total.value % (each.value * micro.value) == 0:
            ranks = total.value // (each.value * micro.value)
            formula = "train_batch_size / (micro-batch · accumulation of each rank)"
            if sheet.said("model_parallel_size", "pipe_parallel_size", "tensor_parallel") is None:
                sheet.noted["deepspeed.data_parallel_ranks"] = known(ranks, formula, total, micro, each)
        elif each is not None and micro is None:
            ranks = Unknown("the micro-batch of a rank is not said")
            sheet.put("recipe.gradient_accumulation_steps", ranks)
    elif each is not None:
        sheet.batch(each=each)


def _put_schedule(sheet: Sheet) -> None:
    kind = sheet.text("scheduler.type")
    if kind is None:
        return
    peak, floor = sheet.number("scheduler.params.warmup_max_lr"), sheet.number("scheduler.params.warmup_min_lr")
    if peak is not None and "recipe.learning_rate" not in sheet.found:
        sheet.put("recipe.learning_rate", peak)
    total = sheet.whole("scheduler.params.total_num_steps")
    if kind.value == "WarmupLR":
        sheet.put("recipe.schedule", known("constant", "WarmupLR stays at its peak", kind))
    elif kind.value == "WarmupDecayLR":
        sheet.put("recipe.schedule", known("linear", "WarmupDecayLR falls in a line", kind))
        sheet.put("recipe.decay_steps", total)
        sheet.put("recipe.min_lr", floor)
    elif kind.value == "WarmupCosineLR":
        sheet.put("recipe.schedule", known("cosine", "WarmupCosineLR", kind))
        sheet.put("recipe.decay_steps", total)
        sheet.floor(sheet.number("scheduler.params.cos_min_ratio"), "cos_min_ratio")
    else:
        sheet.put("recipe.schedule", kind)


def _put_rest(sheet: Sheet) -> None:
    for name, dtype in (("fp16", "float16"), ("bf16", "bfloat16"), ("bfloat16", "bfloat16")):
        on = sheet.flag(f"{name}.enabled")
        if on is not None and on.value:
            sheet.put("recipe.dtype", Known(dtype, on.source))
    clip = sheet.number("gradient_clipping")
    if clip is not None:
        sheet.put("recipe.grad_clip", clip)
    if (betas := sheet.pair("optimizer.params.betas")) is not None:
        sheet.put("recipe.beta1", betas[0])
        sheet.put("recipe.beta2", betas[1])


def _reading(values: Mapping[str, Known[Any]], file: str) -> Reading:
    plain: dict[str, Quantity[Any]] = {path: one for path, one in values.items() if not isinstance(one.value, dict)}
    sheet = Sheet(plain, _TRAINER, "deepspeed")
    sheet.take_all(_NAMES)
    _put_batch(sheet)
    _put_schedule(sheet)
    _put_rest(sheet)
    sheet.note(*_NOTED)
    return sheet.reading(DIALECT.name, file, role="summary", authority=FILE)


def reading_of_text(text: str, file: str, first_line: int) -> Reading | None:
    """Return what a config says that a launch script writes into a file, or None when it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not _is_config(found.keys()):
        return None
    lines = {path: line + first_line - 1 for path, line in key_lines(text).items()}
    return _reading(mapping_in(found, file, lines), file)


def _is_config(keys: Iterable[str]) -> bool:
    names = frozenset(keys)
    if names & _NOT:
        return False
    sure, usual = len(names & _SURE), len(names & _USUAL)
    return (sure >= 1 and sure + usual >= 2) or (usual >= 3 and "train_batch_size" in names)


def _sniff(file: InputFile) -> float:
    if file.suffix != ".json" or file.size > 262_144:
        return 0.0
    text = file.sample
    if (
        '"zero_optimization"' not in text
        and '"train_batch_size"' not in text
        and "train_micro_batch_size_per_gpu" not in text
    ):
        return 0.0
    found = peek(file)
    return 0.9 if found is not None and _is_config(found.keys()) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_mapping(file)
    if not _is_config(path for path in values if "." not in path):
        raise BadConfig(
            "no setting of DeepSpeed is in it", where=file.name, expected='`"zero_optimization": {"stage": 1}`'
        )
    return (_reading(values, file.name),)


DIALECT = Dialect(
    name="deepspeed_config",
    title="DeepSpeed config (ds_config.json)",
    role="config",
    example='{"train_batch_size": 256, "train_micro_batch_size_per_gpu": 8, "zero_optimization": {"stage": 2}, "bf16": {"enabled": true}}',
    reads="the micro-batch, the accumulation over all ranks where `train_batch_size` is set, optimiser, learning rate and"
    " schedule, clipping, precision, and of ZeRO the stage and what is offloaded; it completes the run beside it",
    cannot="what `auto` came out as (the trainer's own arguments say it), the number of ranks unless the three batch sizes are"
    " all set, the model and its context",
    source="microsoft/DeepSpeed runtime/config.py and runtime/lr_schedules.py",
    sniff=_sniff,
    read=_read,
    missing="ds_config.json does not say",
)
