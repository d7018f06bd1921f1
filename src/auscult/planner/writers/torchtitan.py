"""torchtitan: the TOML of a job, in the layout of October 2025 (pytorch/torchtitan 37e536d, ``config/job_config.py``).

A model is one of torchtitan's flavors; no shape can be written. Later versions read Python instead of TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..planned import PlannedRun
from .base import Document, Refuser, Writer, evaluation_interval, head, number, quoted

__all__ = ["WRITER"]

_Shape = tuple[int, int, int, int, int, int, bool]
_FLAVORS: Mapping[tuple[str, _Shape], tuple[str, str]] = {
    ("llama", (32, 32, 8, 4096, 14336, 128256, False)): ("llama3", "8B"),
    ("llama", (80, 64, 8, 8192, 28672, 128256, False)): ("llama3", "70B"),
    ("llama", (126, 128, 8, 16384, 53248, 128256, False)): ("llama3", "405B"),
    ("qwen3", (28, 16, 8, 1024, 3072, 151936, True)): ("qwen3", "0.6B"),
    ("qwen3", (28, 16, 8, 2048, 6144, 151936, True)): ("qwen3", "1.7B"),
    ("qwen3", (36, 32, 8, 2560, 9728, 151936, True)): ("qwen3", "4B"),
    ("qwen3", (36, 32, 8, 4096, 12288, 151936, False)): ("qwen3", "8B"),
    ("qwen3", (40, 40, 8, 5120, 17408, 151936, False)): ("qwen3", "14B"),
    ("qwen3", (64, 64, 8, 5120, 25600, 151936, False)): ("qwen3", "32B"),
}
"""``models/llama3/__init__.py`` and ``experiments/qwen3/__init__.py``: layers, heads, key and value heads, width, inner width,
vocabulary, tied head."""
_KEYS = (
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_size",
    "intermediate_size",
    "vocab_size",
)
_PRECISIONS = {"amp_bf16": ("float32", "bfloat16"), "fp32": ("float32", "float32"), "bf16": ("bfloat16", "bfloat16")}
"""Dtype of the weights, and in which they compute."""
_SHARDED = ("zero2", "fsdp")


def _flavor(config: Mapping[str, Any]) -> tuple[str, str] | None:
    shape = (*(config.get(key) for key in _KEYS), bool(config.get("tie_word_embeddings", False)))
    return _FLAVORS.get((str(config.get("model_type")), shape))  # type: ignore[arg-type]  # absent keys find nothing


def _refuse(planned: PlannedRun) -> tuple[str, str]:
    config, setup, refuse = planned.config, planned.setup, Refuser("torchtitan")
    refuse.pretraining(planned)
    flavor = _flavor(config)
    known = ", ".join(f"{name} {size}" for name, size in _FLAVORS.values())
    family = str(config.get("model_type"))
    other = "nanogpt or hf" if family == "gpt2" else "litgpt or hf"
    if flavor is None:
        refuse.unless(False, f"this {family} shape", f"choose one of its flavors ({known}), or write --dialect {other}")
        raise AssertionError  # the line above has raised
    precise = setup.precision in _PRECISIONS
    refuse.unless(precise, "fp16 with a scaler", "write --dialect hf, or nanogpt for a gpt2 model")
    refuse.unless(setup.dropout == 0, "dropout", "write --dialect hf, or nanogpt for a gpt2 model")
    refuse.unless(setup.optimizer == "adamw", f"the optimiser {setup.optimizer}", "write --dialect hf")
    refuse.unless(
        setup.loss == "eager" or (setup.loss == "compiled" and setup.compiled),
        f"a {setup.loss} loss",
        "write --dialect hf",
    )
    refuse.unless(setup.sharding != "zero1", "ZeRO-1", "plan with FSDP or DDP")
    refuse.unless(
        setup.pipeline_parallel == 1, "the microbatches of a pipeline", "plan with FSDP or tensor parallelism"
    )
    refuse.unless(planned.grad_clip > 0, "training without clipping", "write --dialect hf")
    return flavor


def _tables(planned: PlannedRun, flavor: tuple[str, str]) -> dict[str, dict[str, Any]]:
    setup = planned.setup
    weights, compute = _PRECISIONS[setup.precision]
    if setup.fp32_states:
        weights = "float32"
    sharded = setup.sharding in _SHARDED
    schedule: dict[str, Any] = {"warmup_steps": planned.warmup_steps, "decay_type": "cosine"}
    if planned.schedule == "wsd":
        schedule.update(decay_type="linear", decay_ratio=planned.cooldown_steps / planned.steps)
    schedule["min_lr_factor"] = planned.min_lr / planned.learning_rate
    model = {"name": flavor[0], "flavor": flavor[1]}
    checkpointing: dict[str, Any] = {"mode": setup.checkpointing}
    if setup.checkpointing == "selective":
        checkpointing["selective_ac_option"] = "2"
    parallelism: dict[str, Any] = {
        "data_parallel_replicate_degree": 1 if sharded else setup.data_parallel,
        "data_parallel_shard_degree": setup.data_parallel if sharded else 1,
        "tensor_parallel_degree": setup.tensor_parallel,
        "pipeline_parallel_degree": setup.pipeline_parallel,
        "context_parallel_degree": setup.context_parallel,
    }
    if sharded:
        parallelism["fsdp_reshard_after_forward"] = "never" if setup.sharding == "zero2" else "always"
    training: dict[str, Any] = {
        "local_batch_size": setup.micro_batch,
        "global_batch_size": planned.sequences_per_step,
        "seq_len": setup.context,
        "steps": planned.steps,
        "max_norm": float(planned.grad_clip),
        "dtype": weights,
        "mixed_precision_param": compute,
    }
    if planned.dataset is not None:
        training["dataset"] = planned.dataset
    if planned.tokenizer is not None:
        model["hf_assets_path"] = planned.tokenizer
    return {
        "job": {"dump_folder": "./outputs", "description": "planned by auscult"},
        "model": model,
        "training": training,
        "optimizer": {
            "name": "AdamW",
            "lr": float(planned.learning_rate),
            "weight_decay": float(planned.weight_decay),
            "beta1": float(planned.beta1),
            "beta2": float(planned.beta2),
        },
        "lr_scheduler": schedule,
        "parallelism": parallelism,
        "activation_checkpoint": checkpointing,
        "compile": {"enable": setup.compiled, "components": ["model", "loss"]},
        "metrics": {"log_freq": 10},
        "validation": {"enable": True, "freq": evaluation_interval(planned), "seq_len": setup.context, "steps": 50},
    }


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    return number(value) if isinstance(value, float) else str(value)


def _write(planned: PlannedRun) -> tuple[Document, ...]:
    flavor = _refuse(planned)
    launch = f"NGPU={planned.gpu_count} CONFIG_FILE=FILE ./run_train.sh (torchtitan of October 2025, 37e536d)"
    lines = head(planned, launch)
    for name, values in _tables(planned, flavor).items():
        lines += ["", f"[{name}]"]
        if name == "training":
            lines.append("# global_batch_size counts the sequences of one optimiser step on all data-parallel ranks")
        lines += [f"{key} = {_value(value)}" for key, value in values.items()]
    return (Document("planned.toml", "\n".join(lines) + "\n"),)


WRITER = Writer("torchtitan", _write)
