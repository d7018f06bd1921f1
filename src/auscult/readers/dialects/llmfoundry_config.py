"""llm-foundry's YAML (MosaicML), for pre-training and fine-tuning: OmegaConf with references, durations with a unit.

``global_train_batch_size`` counts sequences of one optimiser step over all devices. Durations are ``4800ba`` (batches, that
is optimiser steps), ``1ep``, ``300000000tok``, ``10000sp`` (samples) or ``0.1dur`` (a share of the run). The same settings
stand under ``parameters:`` in a file for MosaicML's platform, whose ``compute.gpus`` says how many devices there were.
(llm-foundry ``utils/config_utils.py``, ``models/mpt/configuration_mpt.py``, Composer ``optim/scheduler.py`` at 8c8dd48.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import BadConfig
from ...run import Known, Quantity, Unknown, known
from ..config_sheet import Sheet, default, resolved, top_level_keys
from ..files import InputFile
from ..hf_keys import public_name
from ..model_details import own_details
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..yaml_text import read_yaml

__all__ = ["DIALECT", "Duration", "duration"]

_TRAINER = "llm-foundry"
_DURATION = lazy(
    r"\s{0,4}(\d[\d_]{0,20}(?:\.\d{0,20})?(?:e[+-]?\d{1,3})?)\s{0,4}(ba|ep|tok|sp|dur|ms|iter|sec)\s{0,4}", re.I
)
_UNITS = {
    "ba": "batches",
    "ep": "epochs",
    "tok": "tokens",
    "sp": "samples",
    "dur": "a share of the run",
    "sec": "seconds",
}
_MARKS = frozenset(
    {"train_loader", "algorithms", "fsdp_config", "callbacks", "max_seq_len", "compile_config", "loggers"}
)
_PLAIN = {
    "recipe.optimizer": "optimizer.name",
    "recipe.learning_rate": "optimizer.lr",
    "recipe.weight_decay": "optimizer.weight_decay",
    "recipe.grad_clip": "algorithms.gradient_clipping.clipping_threshold",
    "architecture.context": "max_seq_len train_loader.dataset.max_seq_len",
    "recipe.run_name": "run_name name",
}
_MPT = {
    "architecture.n_layer": "model.n_layers",
    "architecture.n_head": "model.n_heads",
    "architecture.d_model": "model.d_model",
    "architecture.vocab_size": "model.vocab_size",
    "architecture.tied": "model.tie_word_embeddings",
    "recipe.dropout": "model.resid_pdrop",
}
_MPT_DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("architecture.n_layer", "n_layers", 24),
    ("architecture.n_head", "n_heads", 16),
    ("architecture.d_model", "d_model", 2048),
    ("architecture.vocab_size", "vocab_size", 50368),
    ("architecture.tied", "tie_word_embeddings", True),
    ("recipe.dropout", "resid_pdrop", 0.0),
)
_FOUNDRY_DEFAULTS: Mapping[str, Any] = {
    "d_model": 2048,
    "expansion_ratio": 4,
    "learned_pos_emb": True,
    "max_seq_len": 2048,
    "n_heads": 16,
    "n_layers": 24,
    "no_bias": False,
    "norm_type": "low_precision_layernorm",
    "tie_word_embeddings": True,
    "vocab_size": 50368,
}
_FOUNDRY_NESTED: Mapping[str, Mapping[str, Any]] = {
    "attn_config": {"attn_type": "multihead_attention", "alibi": False, "rope": False, "qk_ln": False, "qk_gn": False},
    "ffn_config": {"ffn_type": "mptmlp"},
}
"""llm-foundry's own defaults (``MPTConfig``, ``attn_config_defaults``, ``ffn_config_defaults`` at 0085285)."""
# layers, heads, width of the models that transformers builds by name
_GPT2 = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
_DTYPES = {"amp_bf16": "bfloat16", "amp_fp16": "float16", "amp_fp8": "float8", "fp32": "float32", "bf16": "bfloat16"}
_SCHEDULES = {
    "cosine_with_warmup": "cosine",
    "linear_decay_with_warmup": "linear",
    "constant_with_warmup": "constant",
    "inv_sqrt_with_warmup": "inverse_sqrt",
}
_NOTED = (
    "max_duration",
    "device_train_microbatch_size",
    "global_train_batch_size",
    "model.name",
    "model.attn_config.alibi",
    "model.attn_config.rope",
    "model.attn_config.attn_type",
    "model.ffn_config.ffn_type",
    "model.norm_type",
    "model.pretrained",
    "tokenizer.name",
    "train_loader.name",
    "train_loader.dataset.packing_ratio",
    "seed",
    "fsdp_config.sharding_strategy",
    "fsdp_config.activation_checkpointing",
)


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of training in Composer's units; ``unit`` is ``ba``, ``ep``, ``tok``, ``sp``, ``dur`` …"""

    value: float
    unit: str


def duration(value: Any) -> Duration | None:
    """Return a span of training, or None when it is none; a plain number counts epochs.

    Examples
    --------
    >>> duration("4800ba"), duration(2), duration("soon")
    (Duration(value=4800.0, unit='ba'), Duration(value=2.0, unit='ep'), None)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Duration(float(value), "ep") if 0 <= value < 1e18 else None
    found = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) < 60 else None
    if found is None:
        return None
    plain = float(found[1].replace("_", ""))
    return Duration(plain, found[2].lower()) if math.isfinite(plain) else None


def _steps(sheet: Sheet, one: Known[Any], what: str) -> Quantity[int]:
    """Return a duration in optimiser steps, where it follows."""
    span = duration(one.value)
    if span is None:
        return Unknown(f"{one.source.place} says {str(one.value)[:40]}, which is no duration")
    if span.unit == "ba" and span.value.is_integer():
        return Known(int(span.value), one.source)
    step, batch = sheet.known("logged.tokens_per_step"), sheet.whole("global_train_batch_size")
    if span.unit == "tok" and step is not None:
        formula = f"{what} / tokens per step, rounded up"
        return known(math.ceil(span.value / step.value), formula, one, step)
    if span.unit == "sp" and batch is not None:
        return known(math.ceil(span.value / batch.value), f"{what} / global_train_batch_size, rounded up", one, batch)
    whole = sheet.known("recipe.max_steps")
    if span.unit == "dur" and whole is not None:
        return known(round(span.value * whole.value), f"{what}: a share of all steps", one, whole)
    if span.value == 0:
        return Known(0, one.source)
    why = (
        "whose length in steps is not said"
        if span.unit in ("ep", "tok", "sp", "dur")
        else "which is no number of steps"
    )
    return Unknown(f"{one.source.place} counts {_UNITS.get(span.unit, span.unit)} ({str(one.value)[:30]}), {why}")


def _put_model(sheet: Sheet) -> None:
    name = sheet.text("model.name")
    kind = name.value if name is not None else ""
    if kind == "mpt_causal_lm" or sheet.said("model.d_model") is not None:
        sheet.take_all(_MPT)
        for key, short, value in _MPT_DEFAULTS:
            sheet.default(key, short, value)
        if name is not None:
            sheet.put("architecture.family", known("mpt", "the model's name", name))
        _put_mpt(sheet)
        sheet.put("architecture.details", _details(sheet))
        return
    base = sheet.text("model.pretrained_model_name_or_path", "model.config_overrides.model_type")
    plain = public_name(base.value) if base is not None else None
    if base is None or plain is None:
        return
    own = sheet.flag("model.pretrained")
    if own is None or own.value:
        sheet.put("recipe.init_from", Known(plain, base.source))
    short = plain.rpartition("/")[2]
    if short in _GPT2:
        formula = f"the model {short} of transformers"
        for field, value in zip(("n_layer", "n_head", "d_model"), _GPT2[short], strict=True):
            sheet.put(f"architecture.{field}", known(value, formula, base))
        sheet.put("architecture.family", known("gpt2", formula, base))
        sheet.put("architecture.n_kv_head", known(_GPT2[short][1], formula, base))
        sheet.put("architecture.d_ff", known(4 * _GPT2[short][2], formula, base))
        sheet.put("architecture.vocab_size", known(50257, formula, base))
        for key in ("tied", "bias"):
            sheet.put(f"architecture.{key}", known(True, formula, base))
    for key, names in (
        ("n_layer", "n_layer num_hidden_layers"),
        ("d_model", "n_embd hidden_size"),
        ("n_head", "n_head"),
    ):
        sheet.take(f"architecture.{key}", *(f"model.config_overrides.{n}" for n in names.split()))


def _put_mpt(sheet: Sheet) -> None:
    width, heads = sheet.known("architecture.d_model"), sheet.known("architecture.n_head")
    inner = sheet.whole("model.ffn_config.ffn_hidden_size")
    ratio = sheet.number("model.expansion_ratio")
    if inner is not None:
        sheet.put("architecture.d_ff", inner)
    elif width is not None and ratio is not None:
        sheet.put("architecture.d_ff", known(int(ratio.value * width.value), "expansion_ratio · d_model", ratio, width))
    elif width is not None:
        sheet.put("architecture.d_ff", known(4 * width.value, "MPT's default (4 · d_model)", width))
    kind, groups = sheet.text("model.attn_config.attn_type"), sheet.whole("model.attn_config.kv_n_heads")
    if kind is not None and kind.value == "multiquery_attention":
        sheet.put("architecture.n_kv_head", known(1, "multi-query attention", kind))
    elif groups is not None:
        sheet.put("architecture.n_kv_head", groups)
    elif heads is not None:
        sheet.put("architecture.n_kv_head", known(heads.value, "MPT's default: as many as heads", heads))
    none = sheet.flag("model.no_bias")
    if none is not None:
        sheet.put("architecture.bias", Known(not none.value, none.source))
    else:
        sheet.put("architecture.bias", Known(True, default(_TRAINER, "no_bias", False).source))


def _details(sheet: Sheet) -> Quantity[Any]:
    """Return the whole config of the MPT, with llm-foundry's defaults where transformers has others."""
    if (one := sheet.said("model.block_overrides")) is not None or sheet.below("model.block_overrides"):
        place = one.source.place if isinstance(one, Known) else "the config"
        return Unknown(f"{place}: block_overrides make layers that differ")
    said: dict[str, Quantity[Any]] = {}
    nested: dict[str, dict[str, Any]] = {part: dict(values) for part, values in _FOUNDRY_NESTED.items()}
    for name, quantity in sheet.below("model").items():
        part, dot, key = name.partition(".")
        if dot and part in nested:
            if isinstance(quantity, Unknown):
                return quantity
            if quantity.value is not None:
                nested[part][key] = quantity.value
        elif not dot and part not in nested:
            said[name] = quantity
    for name, value in _FOUNDRY_DEFAULTS.items():
        said.setdefault(name, default(_TRAINER, name, value))
    width = sheet.known("architecture.d_model")
    shape = width if width is not None else default(_TRAINER, "d_model", 2048)
    said |= {part: Known(values, shape.source) for part, values in nested.items()}
    said.pop("name", None)
    return own_details(said, known("mpt", "llm-foundry's MPT", shape), "llm-foundry's MPT")


def _put_context(sheet: Sheet) -> None:
    """Leave the context open in fine-tuning, where samples are shorter than the limit unless they are packed."""
    loader, limit = sheet.text("train_loader.name"), sheet.known("architecture.context")
    packed = sheet.get("train_loader.dataset.packing_ratio")
    if loader is not None and loader.value == "finetuning" and limit is not None and packed is None:
        why = f"{limit.source.place} limits samples to {limit.value} tokens; without packing_ratio they are shorter"
        sheet.put("architecture.context", Unknown(why))


def _put_batch(sheet: Sheet) -> None:
    total, micro = sheet.whole("global_train_batch_size"), sheet.whole("device_train_microbatch_size")
    ranks = sheet.whole("n_gpus", "compute.gpus")
    if micro is None and (one := sheet.values.get("device_train_microbatch_size")) is not None:
        if isinstance(one, Known) and one.value == "auto":
            auto = Unknown(f"{one.source.place} says auto: as large as fits the device's memory")
            sheet.put("recipe.batch_size", auto)
            sheet.put("recipe.gradient_accumulation_steps", auto)
    elif micro is not None and total is not None and ranks is not None and micro.value > total.value // ranks.value > 0:
        formula = "Composer cuts the micro-batch down to the device's share of the batch"
        sheet.put("recipe.batch_size", known(total.value // ranks.value, formula, micro, total, ranks))
    elif micro is not None:
        sheet.put("recipe.batch_size", micro)
    if ranks is not None:
        sheet.put("recipe.world_size", ranks)
        sheet.put("machine.gpu_count", ranks)
    if total is not None:
        sheet.batch(total=total, names=("global_train_batch_size", "device_train_microbatch_size"))


def _put_schedule(sheet: Sheet) -> None:
    planned = sheet.get("max_duration")
    if planned is not None:
        sheet.put("recipe.max_steps", _steps(sheet, planned, "max_duration"))
        span = duration(planned.value)
        if span is not None and span.unit == "tok":
            sheet.put("logged.tokens_planned", Known(int(span.value), planned.source))
    name = sheet.text("scheduler.name")
    if name is not None:
        sheet.put("recipe.schedule", Known(_SCHEDULES.get(name.value, name.value), name.source))
    if (warmup := sheet.get("scheduler.t_warmup")) is not None:
        sheet.put("recipe.warmup_steps", _steps(sheet, warmup, "t_warmup"))
    kind = _SCHEDULES.get(name.value) if name is not None else None
    if kind in ("cosine", "linear"):
        end = sheet.get("scheduler.t_max")
        steps = sheet.known("recipe.max_steps")
        if end is not None and end.value != "1dur":
            sheet.put("recipe.decay_steps", _steps(sheet, end, "t_max"))
        elif steps is not None:
            sheet.put("recipe.decay_steps", known(steps.value, "Composer's schedule ends with the run", steps))
        share = sheet.number("scheduler.alpha_f")
        sheet.floor(share, "alpha_f")
        if share is None:
            sheet.default("recipe.min_lr", "alpha_f", 0.0)
    interval = sheet.get("eval_interval")
    if interval is not None and interval.value not in (0, "0"):
        found = _steps(sheet, interval, "eval_interval")
        if isinstance(found, Known) and found.value > 0:
            sheet.put("recipe.eval_interval", found)
    console = sheet.get("console_log_interval")
    if (
        console is not None
        and isinstance(found := _steps(sheet, console, "console_log_interval"), Known)
        and found.value > 0
    ):
        sheet.put("recipe.log_interval", found)


def _put_rest(sheet: Sheet) -> None:
    precision = sheet.text("precision")
    if precision is not None:
        sheet.put("recipe.dtype", Known(_DTYPES.get(precision.value, precision.value), precision.source))
    else:
        sheet.default("recipe.dtype", "precision", "bfloat16")
    if (betas := sheet.pair("optimizer.betas")) is not None:
        sheet.put("recipe.beta1", betas[0])
        sheet.put("recipe.beta2", betas[1])
    data = sheet.text("train_loader.dataset.hf_name", "train_loader.dataset.local", "train_loader.dataset.remote")
    sheet.put("recipe.dataset", data)
    if sheet.said("eval_subset_num_batches") is not None:
        sheet.put("recipe.eval_iters", sheet.whole("eval_subset_num_batches"))
    if sheet.said("compile_config") is not None or sheet.below("compile_config"):
        first = next(
            (q for q in sheet.below("compile_config").values() if isinstance(q, Known)), sheet.get("compile_config")
        )
        if first is not None:
            sheet.put("recipe.compile", Known(True, first.source))


def _flattened(values: Mapping[str, Known[Any]]) -> dict[str, Known[Any]]:
    """Return a platform file's settings, which stand under ``parameters``, as a config's own."""
    inner = {path.removeprefix("parameters."): one for path, one in values.items() if path.startswith("parameters.")}
    if "max_duration" not in inner:
        return dict(values)
    kept = {path: one for path, one in values.items() if path.startswith("compute.") or path == "name"}
    return {**inner, **{path: one for path, one in kept.items() if path not in inner}}


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml") or "max_duration" not in file.sample:
        return 0.0
    keys = top_level_keys(file)
    if "max_duration" not in keys or not keys & {"global_train_batch_size", "device_train_batch_size"}:
        return 0.0
    marks = len(keys & _MARKS)
    return 0.95 if "train_loader" in keys and marks >= 2 else 0.7 if marks >= 3 else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    sheet = Sheet(resolved(_flattened(read_yaml(file.text(), file.name))), _TRAINER, "llmfoundry")
    if sheet.values.get("max_duration") is None and sheet.values.get("global_train_batch_size") is None:
        raise BadConfig(
            "no setting of llm-foundry is in it", where=file.name, expected="`max_duration: 4800ba` and `train_loader:`"
        )
    sheet.take_all(_PLAIN)
    _put_context(sheet)
    _put_model(sheet)
    _put_batch(sheet)
    _put_schedule(sheet)
    _put_rest(sheet)
    sheet.note(*_NOTED)
    return (sheet.reading(DIALECT.name, file.name),)


DIALECT = Dialect(
    name="llmfoundry_config",
    title="llm-foundry config (MosaicML)",
    role="config",
    example="max_seq_len: ${variables.max_seq_len}\nmax_duration: 4800ba\nglobal_train_batch_size: 256\n"
    "device_train_microbatch_size: 16\ntrain_loader:\n  name: text",
    reads="an MPT model's shape (what is not set has MPT's default, and says so) or GPT-2's by its name; micro-batch,"
    " accumulation over all devices, tokens per step, the planned steps from batches, samples or tokens, warm-up, decay and"
    " floor of the learning rate, optimiser, clipping, precision, evaluation; the number of devices where the file is one for"
    " MosaicML's platform. References such as `${max_seq_len}` are followed within the file",
    cannot="epochs in steps; what `auto` came out as; the number of devices in a plain config; references to the environment",
    source="mosaicml/llm-foundry utils/config_utils.py and models/mpt/configuration_mpt.py at 8c8dd48; mosaicml/composer"
    " core/time.py",
    sniff=_sniff,
    read=_read,
    missing="the llm-foundry config does not say",
)
