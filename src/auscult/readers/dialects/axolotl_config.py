"""axolotl's YAML: a fine-tuning run of the Hugging Face trainer under axolotl's own names.

``micro_batch_size`` is the trainer's ``per_device_train_batch_size``; ``gradient_accumulation_steps`` counts for each process.
The values are handed on under the trainer's names, so that they join its ``trainer_state.json``.
(axolotl ``utils/schemas/*.py``, ``core/builders/base.py`` at 067b021.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...errors import BadConfig
from ...run import Known, Quantity, Source, Unknown, known
from ..config_sheet import Sheet, default, read_values, top_level_keys
from ..files import InputFile
from ..hf_keys import VOCABULARY, arguments_noted, public_name
from ..patterns import lazy
from ..reading import FILE, Dialect, Reading

__all__ = ["DIALECT"]

_TRAINER = "axolotl"
_RENAMED = {
    "per_device_train_batch_size": "micro_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
    "adam_beta1": "adam_beta1",
    "adam_beta2": "adam_beta2",
    "max_grad_norm": "max_grad_norm",
    "torch_compile": "torch_compile",
    "max_steps": "max_steps",
    "num_train_epochs": "num_epochs",
    "warmup_steps": "warmup_steps",
    "warmup_ratio": "warmup_ratio",
    "lr_scheduler_type": "lr_scheduler",
    "optim": "optimizer",
    "logging_steps": "logging_steps",
    "eval_steps": "eval_steps",
    "seed": "seed",
    "auto_find_batch_size": "auto_find_batch_size",
    "gradient_checkpointing": "gradient_checkpointing",
    "max_seq_length": "sequence_len",
    "packing": "sample_packing",
    "lora_rank": "lora_r",
    "lora_alpha": "lora_alpha",
    "neftune_noise_alpha": "neftune_noise_alpha",
    "deepspeed": "deepspeed",
    "fsdp": "fsdp",
}
_DEFAULTS: dict[str, tuple[str, Any]] = {
    "per_device_train_batch_size": ("micro_batch_size", 1),
    "gradient_accumulation_steps": ("gradient_accumulation_steps", 1),
    "weight_decay": ("weight_decay", 0.0),
    "optim": ("optimizer", "adamw_torch_fused"),
    "lr_scheduler_type": ("lr_scheduler", "cosine"),
    "max_grad_norm": ("max_grad_norm", 1.0),
    "adam_beta1": ("adam_beta1", 0.9),
    "adam_beta2": ("adam_beta2", 0.999),
}
_OF_THE_TRAINER = ("max_grad_norm", "adam_beta1", "adam_beta2")
_MARKS = frozenset(
    {
        *("adapter", "sequence_len", "sample_packing", "val_set_size", "num_epochs", "gradient_accumulation_steps"),
        *(
            "lr_scheduler",
            "dataset_prepared_path",
            "micro_batch_size",
            "flash_attention",
            "evals_per_epoch",
            "load_in_4bit",
        ),
        *("special_tokens", "chat_template", "train_on_inputs", "lora_r", "wandb_entity", "attn_implementation"),
    }
)
_NOTED = (
    "adapter",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "load_in_4bit",
    "load_in_8bit",
    "val_set_size",
    "rl",
    "chat_template",
    "evals_per_epoch",
    "sample_packing",
    "num_epochs",
    "train_on_inputs",
    "tensor_parallel_size",
    "context_parallel_size",
    "sequence_parallel_degree",
)
_FAMILY = lazy(r"^([A-Za-z0-9]{1,30}?)(?:ForCausalLM|LMHeadModel|ForConditionalGeneration)$")
_FAMILIES = {
    "llama": "llama",
    "mistral": "mistral",
    "mixtral": "mixtral",
    "gemma": "gemma",
    "qwen2": "qwen2",
    "gpt2": "gpt2",
}


def _arguments(sheet: Sheet) -> dict[str, Quantity[Any]]:
    """Return what the config says, under the names of the trainer's arguments."""
    raw: dict[str, Quantity[Any]] = {}
    for name, own in _RENAMED.items():
        one = sheet.said(own)
        if one is not None:
            raw[name] = _number(one) if isinstance(one, Known) else one
    if not isinstance(raw.get("max_steps"), Unknown) and sheet.whole("max_steps") is None:
        raw.pop("max_steps", None)
    for name, (own, value) in _DEFAULTS.items():
        if name not in raw and not (own == "micro_batch_size" and sheet.said("batch_size") is not None):
            whose = "the Hugging Face trainer" if name in _OF_THE_TRAINER else "axolotl"
            raw[name] = default(whose, own, value)
    for name, also in (("bf16", "bfloat16"), ("fp16", "float16")):
        flag = sheet.get(name, also)
        if flag is not None and (flag.value is True or flag.value == "full"):
            raw[name] = Known(True, flag.source)
    if sheet.said("eval_steps") is not None:
        raw["eval_strategy"] = Known(
            "steps", Source("default", formula="axolotl evaluates by steps where eval_steps is set")
        )
    return raw


def _number(one: Known[Any]) -> Known[Any]:
    """Return a number that is written as a text as a number: axolotl takes ``learning_rate: "2e-5"``."""
    if not isinstance(one.value, str) or len(one.value) > 40:
        return one
    try:
        return Known(float(one.value), one.source)
    except ValueError:
        return one


def _put_settings(sheet: Sheet) -> None:
    """Put what the trainer's arguments have no name for."""
    base = sheet.text("base_model")
    if base is not None and (name := public_name(base.value)):
        sheet.put("recipe.init_from", Known(name, base.source))
    kind = sheet.text("model_type")
    if kind is not None and (found := _FAMILY.match(kind.value)) and found[1].lower() in _FAMILIES:
        sheet.put("architecture.family", known(_FAMILIES[found[1].lower()], "model_type", kind))
    data = sheet.text("datasets.0.path", "pretraining_dataset.0.path", "pretraining_dataset")
    if data is not None and (name := public_name(data.value)):
        more = sheet.said("datasets.1.path") is not None
        if more:
            sheet.put("recipe.dataset", Unknown(f"{data.source.place} and the next lines name several sets of data"))
        else:
            sheet.put("recipe.dataset", Known(name, data.source))
    if (label := sheet.text("wandb_name", "wandb_run_id")) is not None:
        sheet.put("recipe.run_name", label)
    share = sheet.number("cosine_min_lr_ratio")
    peak = sheet.number("learning_rate")
    if share is not None and peak is not None:
        plain = float(f"{share.value * peak.value:.12g}")
        sheet.put("recipe.min_lr", known(plain, "cosine_min_lr_ratio · learning rate", share, peak))
    sheet.note(*_NOTED)


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml") or "base_model" not in file.sample:
        return 0.0
    keys = top_level_keys(file)
    if "base_model" not in keys:
        return 0.0
    marks = len(keys & _MARKS)
    trains = bool(keys & {"datasets", "pretraining_dataset", "micro_batch_size", "learning_rate"})
    return 0.9 if marks >= 4 and trains else 0.6 if marks >= 3 and trains else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    sheet = Sheet(read_values(file), _TRAINER, _TRAINER)
    if sheet.said("base_model") is None and sheet.said("learning_rate") is None:
        raise BadConfig(
            "no setting of axolotl is in it", where=file.name, expected="`base_model:` and `micro_batch_size:`"
        )
    raw = _arguments(sheet)
    _put_settings(sheet)
    noted = {**sheet.noted, **arguments_noted({k: q for k, q in raw.items() if isinstance(q, Known)})}
    reading = sheet.reading(DIALECT.name, file.name)
    return (replace(reading, raw=raw, vocabulary=VOCABULARY, noted=noted, authority=FILE),)


DIALECT = Dialect(
    name="axolotl_config",
    title="axolotl config",
    role="config",
    example="base_model: NousResearch/Llama-3.2-1B\nsequence_len: 2048\nsample_packing: true\nmicro_batch_size: 2\nnum_epochs: 1",
    reads="micro-batch, learning rate, schedule and warm-up, optimiser, precision, clipping, evaluation, the base model, the"
    " data, LoRA's rank, the context where samples are packed; together with the `trainer_state.json` beside it the"
    " accumulation over all processes. What is not set has axolotl's default, and says so",
    cannot="the number of processes; the shape of the base model (add its config.json); the length of samples that are not"
    " packed; how many steps an epoch has; what `bf16: auto` came out as",
    source="axolotl-ai-cloud/axolotl utils/schemas and core/builders at 067b021",
    sniff=_sniff,
    read=_read,
    missing="the axolotl config does not say",
)
