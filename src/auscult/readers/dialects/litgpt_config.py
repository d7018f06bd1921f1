"""litgpt's configs as people write them: the arguments of ``litgpt pretrain`` and ``litgpt finetune``, all in one file.

``global_batch_size`` counts sequences of one optimiser step over all devices, ``micro_batch_size`` those of one device at
once; ``lr_warmup_steps`` counts optimiser steps. Pre-training ends after ``max_tokens``; each device's share is rounded down
to whole micro-batches. Fine-tuning takes no notice of ``min_lr``: its cosine ends at 0. What litgpt saves beside a
checkpoint (``hyperparameters.yaml``, ``model_config.yaml``) has readers of its own.
(litgpt ``args.py``, ``config.py``, ``pretrain.py`` and ``finetune/*.py`` at 2685705.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import BadConfig
from ...run import Known, Unknown, known
from ..config_sheet import Sheet, default, read_values, top_level_keys
from ..files import InputFile
from ..model_details import own_details
from ..patterns import lazy
from ..reading import Dialect, Reading

__all__ = ["DIALECT", "put_settings"]

_TRAINER = "litgpt"
_SAVED = frozenset({"hyperparameters.yaml", "hyperparameters.yml", "model_config.yaml", "model_config.yml"})
_MICRO = lazy(r"^ {1,8}micro_batch_size:", re.MULTILINE)
_GLOBAL = lazy(r"^ {1,8}global_batch_size:", re.MULTILINE)
_NAMES = {
    "architecture.tied": "train.tie_embeddings",
    "recipe.batch_size": "train.micro_batch_size",
    "recipe.warmup_steps": "train.lr_warmup_steps",
    "recipe.max_steps": "train.max_steps",
    "recipe.grad_clip": "train.max_norm",
    "recipe.log_interval": "train.log_interval",
    "recipe.eval_interval": "eval.interval",
    "recipe.eval_iters": "eval.max_iters",
    "logged.tokens_planned": "train.max_tokens",
}
_SHAPE = {
    "architecture.n_layer": "model_config.n_layer model_config.init_args.n_layer",
    "architecture.n_head": "model_config.n_head model_config.init_args.n_head",
    "architecture.n_kv_head": "model_config.n_query_groups model_config.init_args.n_query_groups",
    "architecture.d_model": "model_config.n_embd model_config.init_args.n_embd",
    "architecture.d_ff": "model_config.intermediate_size model_config.init_args.intermediate_size",
    "architecture.vocab_size": "model_config.padded_vocab_size model_config.init_args.padded_vocab_size",
    "architecture.bias": "model_config.bias model_config.init_args.bias",
}
_FAMILIES = {"LLaMAMLP": "llama", "GptNeoxMLP": "gpt_neox", "GemmaMLP": "gemma", "LLaMAMoE": "mixtral"}
_DTYPES = {"bf16": "bfloat16", "16": "float16", "32": "float32", "64": "float64"}
_NOTED = (
    "model_name",
    "train.epochs",
    "train.lr_warmup_fraction",
    "train.global_batch_size",
    "quantize",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "seed",
)
_PRETRAINING: tuple[tuple[str, str, Any], ...] = (
    ("recipe.batch_size", "train.micro_batch_size", 4),
    ("recipe.warmup_steps", "train.lr_warmup_steps", 2000),
    ("recipe.grad_clip", "train.max_norm", 1.0),
    ("recipe.min_lr", "train.min_lr", 4e-5),
    ("recipe.log_interval", "train.log_interval", 1),
    ("recipe.eval_interval", "eval.interval", 1000),
    ("recipe.eval_iters", "eval.max_iters", 100),
    ("architecture.tied", "train.tie_embeddings", False),
    ("logged.tokens_planned", "train.max_tokens", 3_000_000_000_000),
)
"""What ``litgpt pretrain`` has by default; fine-tuning has others for each method."""
_ADAMW: tuple[tuple[str, str, Any], ...] = (
    ("recipe.learning_rate", "lr", 1e-3),
    ("recipe.weight_decay", "weight_decay", 0.01),
    ("recipe.beta1", "beta1", 0.9),
    ("recipe.beta2", "beta2", 0.999),
)
# layers, heads, key and value heads, width, inner width, padded vocabulary, context; then the MLP
_MODELS: Mapping[str, tuple[int, int, int, int, int, int, int, str]] = {
    "pythia-14m": (6, 4, 4, 128, 512, 50304, 512, "GptNeoxMLP"),
    "pythia-31m": (6, 8, 8, 256, 1024, 50304, 1024, "GptNeoxMLP"),
    "pythia-70m": (6, 8, 8, 512, 2048, 50304, 2048, "GptNeoxMLP"),
    "pythia-160m": (12, 12, 12, 768, 3072, 50304, 2048, "GptNeoxMLP"),
    "pythia-410m": (24, 16, 16, 1024, 4096, 50304, 2048, "GptNeoxMLP"),
    "pythia-1b": (16, 8, 8, 2048, 8192, 50304, 2048, "GptNeoxMLP"),
    "pythia-1.4b": (24, 16, 16, 2048, 8192, 50304, 2048, "GptNeoxMLP"),
    "pythia-2.8b": (32, 32, 32, 2560, 10240, 50304, 2048, "GptNeoxMLP"),
    "pythia-6.9b": (32, 32, 32, 4096, 16384, 50432, 2048, "GptNeoxMLP"),
    "tiny-llama-1.1b": (22, 32, 4, 2048, 5632, 32000, 2048, "LLaMAMLP"),
    "micro-llama-300M": (12, 16, 4, 1024, 5632, 32000, 2048, "LLaMAMLP"),
    "Llama-2-7b-hf": (32, 32, 32, 4096, 11008, 32000, 4096, "LLaMAMLP"),
    "Llama-2-13b-hf": (40, 40, 40, 5120, 13824, 32000, 4096, "LLaMAMLP"),
    "Llama-3-8B": (32, 32, 8, 4096, 14336, 128256, 8192, "LLaMAMLP"),
    "Llama-3.1-8B": (32, 32, 8, 4096, 14336, 128256, 131072, "LLaMAMLP"),
    "Llama-3.2-1B": (16, 32, 8, 2048, 8192, 128256, 131072, "LLaMAMLP"),
    "Llama-3.2-3B": (28, 24, 8, 3072, 8192, 128256, 131072, "LLaMAMLP"),
    "phi-1_5": (24, 32, 32, 2048, 8192, 51200, 2048, "GptNeoxMLP"),
    "phi-2": (32, 32, 32, 2560, 10240, 51200, 2048, "GptNeoxMLP"),
    "SmolLM2-135M": (30, 9, 3, 576, 1536, 49152, 8192, "LLaMAMLP"),
    "SmolLM2-360M": (32, 15, 5, 960, 2560, 49152, 8192, "LLaMAMLP"),
    "SmolLM2-1.7B": (24, 32, 32, 2048, 8192, 49152, 8192, "LLaMAMLP"),
}
_PARTS = ("n_layer", "n_head", "n_kv_head", "d_model", "d_ff", "vocab_size")


def put_settings(sheet: Sheet, *, defaults: bool = True) -> None:
    """Put litgpt's arguments, under their dotted names, into canonical settings.

    Parameters
    ----------
    sheet : Sheet
        With the values of a config or of a command line.
    defaults : bool
        Whether what is not set has litgpt's default.
    """
    tuned = sheet.said("checkpoint_dir") is not None
    sheet.take_all(_NAMES)
    if defaults and not tuned:
        for key, name, value in _PRETRAINING:
            if name != "train.lr_warmup_steps" or sheet.said("train.lr_warmup_fraction") is None:
                sheet.default(key, name, value)
    if sheet.found.get("recipe.warmup_steps") is None and sheet.said("train.lr_warmup_fraction") is not None:
        sheet.put("recipe.warmup_steps", Unknown("lr_warmup_fraction counts in epochs, whose length is not said"))
    _put_model(sheet, tuned=tuned)
    _put_precision(sheet)
    _put_optimiser(sheet, defaults=defaults)
    sheet.take("recipe.init_from", "checkpoint_dir", "initial_checkpoint_dir")
    data = sheet.text("data.class_path", "data")
    if data is not None:
        sheet.put("recipe.dataset", Known(data.value.rpartition(".")[2], data.source))
    _put_devices(sheet, tuned=tuned, defaults=defaults)
    total = sheet.whole("train.global_batch_size")
    if total is None and defaults and not tuned:
        total = default(_TRAINER, "train.global_batch_size", 512)
    if total is not None:
        sheet.batch(total=total, names=("global_batch_size", "micro_batch_size"))
    if sheet.known("recipe.max_steps") is None and sheet.said("train.epochs") is not None:
        sheet.put("recipe.max_steps", Unknown("the run is planned in epochs, whose length is not said"))
    if not tuned and (defaults or sheet.said("train.max_tokens") is not None):
        _put_budget(sheet)
    sheet.note(*_NOTED)


def _put_model(sheet: Sheet, *, tuned: bool) -> None:
    sheet.take_all(_SHAPE)
    mlp = sheet.text("model_config.mlp_class_name", "model_config.init_args.mlp_class_name")
    if mlp is not None and mlp.value in _FAMILIES:
        sheet.put("architecture.family", known(_FAMILIES[mlp.value], "mlp_class_name", mlp))
    heads, width = sheet.known("architecture.n_head"), sheet.known("architecture.d_model")
    if heads is not None and "architecture.n_kv_head" not in sheet.found:
        sheet.put("architecture.n_kv_head", known(heads.value, "litgpt's default: as many as heads", heads))
    if width is not None and "architecture.d_ff" not in sheet.found:
        sheet.put("architecture.d_ff", known(4 * width.value, "litgpt's default (4 · n_embd)", width))
    name = sheet.text("model_name")
    shape = None
    if width is None and name is not None:
        plain = name.value.rpartition("/")[2]
        shape = _MODELS.get(plain, _MODELS.get(plain.removesuffix("-deduped")))
    if shape is not None and name is not None:
        for part, value in zip(_PARTS, shape, strict=False):
            sheet.put(f"architecture.{part}", known(value, "litgpt's model of that name", name))
        sheet.put("architecture.family", known(_FAMILIES[shape[7]], "litgpt's model of that name", name))
        sheet.put("architecture.bias", known(shape[7] == "GptNeoxMLP", "litgpt's model of that name", name))
    _put_details(sheet, name, width)
    limit = sheet.whole("train.max_seq_length")
    if tuned and limit is not None:
        why = f"{limit.source.place} limits sequences to {limit.value} tokens; in fine-tuning they are shorter"
        sheet.put("architecture.context", Unknown(why))
    elif limit is not None:
        sheet.put("architecture.context", limit)
    elif (block := sheet.whole("model_config.block_size", "model_config.init_args.block_size")) is not None:
        sheet.put("architecture.context", block)
    elif shape is not None and name is not None:
        sheet.put("architecture.context", known(shape[6], "litgpt's model of that name", name))


def _put_details(sheet: Sheet, name: Known[str] | None, width: Known[int] | None) -> None:
    """Put the whole config, by the name of one of litgpt's models or written out; training may tie the head to the table."""
    said = dict(sheet.below("model_config.init_args") or sheet.below("model_config"))
    if width is None:
        if name is None:
            return
        said = {"name": Known(name.value.rpartition("/")[2], name.source)}
    tied = sheet.found.get("architecture.tied")
    if tied is not None:
        said["tie_embeddings"] = tied
    own = known("litgpt", "litgpt's GPT", *(one for one in (name, width) if one is not None))
    sheet.put("architecture.details", own_details(said, own, "litgpt's config"))


def _put_precision(sheet: Sheet) -> None:
    precision = sheet.get("precision")
    if precision is not None:
        word = str(precision.value).partition("-")[0]
        sheet.put("recipe.dtype", Known(_DTYPES.get(word, str(precision.value)[:40]), precision.source))


def _put_optimiser(sheet: Sheet, *, defaults: bool) -> None:
    given = sheet.text("optimizer.class_path", "optimizer")
    sheet.take("recipe.learning_rate", "optimizer.init_args.lr", "optimizer.lr")
    sheet.take("recipe.weight_decay", "optimizer.init_args.weight_decay", "optimizer.weight_decay")
    if (betas := sheet.pair("optimizer.init_args.betas", "optimizer.betas")) is not None:
        sheet.put("recipe.beta1", betas[0])
        sheet.put("recipe.beta2", betas[1])
    name = given.value.rpartition(".")[2] if given is not None else "AdamW"
    if given is not None:
        sheet.put("recipe.optimizer", Known(name, given.source))
    elif defaults:
        sheet.default("recipe.optimizer", "optimizer", "AdamW")
    if name == "AdamW" and (defaults or given is not None):
        for key, short, value in _ADAMW:
            if key not in sheet.found:
                sheet.found[key] = default("torch.optim.AdamW", short, value)


def _put_devices(sheet: Sheet, *, tuned: bool, defaults: bool) -> None:
    devices, nodes = sheet.whole("devices"), sheet.whole("num_nodes")
    if devices is not None:
        world = (
            known(devices.value * nodes.value, "devices · num_nodes", devices, nodes) if nodes is not None else devices
        )
    elif "devices" in sheet.values or (defaults and not tuned):
        sheet.put("recipe.world_size", Unknown("devices is auto: as many as there were"))
        return
    elif defaults:
        world = default(_TRAINER, "devices", 1)
    else:
        return
    sheet.put("recipe.world_size", world)
    sheet.put("machine.gpu_count", world)


def _put_budget(sheet: Sheet) -> None:
    """Take the steps of pre-training from the budget of tokens: its cosine ends with them, whatever ``max_steps`` says."""
    sheet.put("recipe.schedule", default(_TRAINER, "learning rate", "cosine"))
    sheet.take("recipe.min_lr", "train.min_lr")  # which only pre-training takes notice of
    tokens, step = sheet.known("logged.tokens_planned"), sheet.known("logged.tokens_per_step")
    if tokens is None or step is None or tokens.value < step.value:
        return
    formula = "max_tokens / (global_batch_size · context), rounded down"
    steps = known(tokens.value // step.value, formula, tokens, step)
    sheet.put("recipe.decay_steps", steps)
    if "recipe.max_steps" not in sheet.found:
        sheet.put("recipe.max_steps", steps)


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml") or file.base in _SAVED:
        return 0.0
    text = file.sample
    if not (_MICRO.search(text) and _GLOBAL.search(text)):
        return 0.0
    keys = top_level_keys(file)
    if "train" not in keys or "trainer" in keys:
        return 0.0
    marks = {"model_name", "model_config", "checkpoint_dir", "out_dir", "logger_name", "eval", "data", "precision"}
    return 0.9 if len(keys & marks) >= 3 else 0.55


def _read(file: InputFile) -> Iterable[Reading]:
    sheet = Sheet(read_values(file), _TRAINER, _TRAINER)
    if not any(path.startswith("train.") for path in sheet.values):
        raise BadConfig(
            "no argument of litgpt is in it", where=file.name, expected="`train:` with `micro_batch_size: 4`"
        )
    put_settings(sheet)
    return (sheet.reading(DIALECT.name, file.name),)


DIALECT = Dialect(
    name="litgpt_config",
    title="litgpt config (config_hub)",
    role="config",
    example="model_name: tiny-llama-1.1b\ntrain:\n  global_batch_size: 512\n  micro_batch_size: 4\n  max_tokens: 3000000000000",
    reads="the shape, written out or by the name of one of litgpt's models; micro-batch, accumulation over all devices, tokens"
    " per step, the budget of tokens and the steps in it, warm-up, optimiser (PyTorch's defaults where"
    " only its name is given), precision, clipping, evaluation; in fine-tuning the base model and LoRA's rank",
    cannot="how many devices `auto` means; the length of fine-tuning samples; epochs in steps",
    source="Lightning-AI/litgpt args.py, config.py, pretrain.py, finetune/*.py and config_hub at 2685705",
    sniff=_sniff,
    read=_read,
    missing="the litgpt config does not say",
)
