"""auscult's own trainer: the TOML that ``auscult train`` reads (``auscult/recipe/settings.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..planned import PlannedRun
from .base import Document, Refuser, Writer, comment_lines, evaluation_interval, head, number, quoted

__all__ = ["WRITER"]

_ELSEWHERE = "write --dialect hf, litgpt or torchtitan"
_GELU = {None: "gelu_tanh", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
"""GPT-2's activations; transformers' own default is the tanh approximation."""
_PLAIN_LLAMAS = ("llama", "mistral")
"""Families that differ from Llama, if at all, in values that are looked at here."""
_OWN_KEYS = (
    *(
        "family",
        "n_layer",
        "n_head",
        "n_kv_head",
        "d_model",
        "d_ff",
        "vocab_size",
        "context",
        "position",
        "norm",
        "activation",
    ),
    *("qk_norm", "bias", "tied", "rope_theta"),
)
_DTYPES = {"amp_bf16": "bfloat16", "fp32": "float32"}
_SHARDING = {"none": "ddp", "ddp": "ddp", "fsdp": "fsdp"}
_CROSS_ENTROPY = {"eager": "full", "compiled": "full", "chunked": "chunked"}
_NO_DATA = "data"
Table = Mapping[str, Any]


def _refuse(planned: PlannedRun, refuse: Refuser) -> None:
    setup = planned.setup
    refuse.pretraining(planned)
    refuse.unless(
        planned.schedule != "wsd" or planned.decay_steps == planned.steps,
        f"a cooldown that ends at step {planned.decay_steps:,} of {planned.steps:,}",
        "let the cooldown end with the run",
    )
    refuse.unless(
        planned.warmup_steps < planned.steps,
        f"a warm-up of {planned.warmup_steps:,} steps in a run of {planned.steps:,}",
        "plan a shorter one",
    )
    refuse.unless(
        setup.precision in _DTYPES, f"{setup.precision} precision", "plan with --dtype bf16 or fp32 over fp32 weights"
    )
    refuse.unless(setup.optimizer in ("adamw", "muon"), f"the optimiser {setup.optimizer}", "plan with adamw or muon")
    refuse.unless(setup.checkpointing != "selective", "selective checkpointing", "plan with full or none")
    refuse.unless(setup.loss in _CROSS_ENTROPY, f"a {setup.loss} loss", "plan with a chunked one")
    refuse.unless(setup.sharding in _SHARDING, setup.sharding.replace("zero", "ZeRO-"), "plan with FSDP or DDP")
    refuse.unless(
        setup.data_parallel == setup.gpu_count, "tensor, pipeline or context parallelism", "write --dialect torchtitan"
    )


def _model(planned: PlannedRun, refuse: Refuser) -> dict[str, Any]:
    """Return ``[model]``; a model that no settings of it describe exactly is refused."""
    config = planned.config
    family = str(config.get("model_type"))
    if family == "gpt2":
        return _gpt2(planned, refuse)
    if family in _PLAIN_LLAMAS:
        return _llama(planned, refuse)
    refuse.unless(family == "auscult", f"a {family} model", _ELSEWHERE)
    own = {key: config[key] for key in _OWN_KEYS if key in config}
    if own.get("position") == "learned":
        _table_of(planned, refuse, own.get("context", planned.setup.context))
    return {"family": "modern", **own, "context": planned.setup.context}


def _table_of(planned: PlannedRun, refuse: Refuser, rows: int) -> None:
    refuse.unless(
        rows == planned.setup.context,
        f"a table of {rows:,} positions with sequences of {planned.setup.context:,}",
        "plan with a context that is as long as the table",
    )


def _gpt2(planned: PlannedRun, refuse: Refuser) -> dict[str, Any]:
    config = planned.config
    _table_of(planned, refuse, config.get("n_positions", 1024))
    activation = config.get("activation_function")
    refuse.unless(activation in _GELU, f"the activation {activation}", "write --dialect hf")
    return {
        "family": "gpt2",
        "n_layer": config["n_layer"],
        "n_head": config["n_head"],
        "d_model": config["n_embd"],
        "d_ff": config.get("n_inner") or 4 * config["n_embd"],
        "vocab_size": config.get("vocab_size", 50_257),
        "context": planned.setup.context,
        "activation": _GELU[activation],
        "bias": bool(config.get("bias", True)),
        "tied": bool(config.get("tie_word_embeddings", True)),
    }


def _llama(planned: PlannedRun, refuse: Refuser) -> dict[str, Any]:
    config, family = planned.config, str(planned.config["model_type"])
    width, heads = config["hidden_size"], config["num_attention_heads"]
    window, rope = config.get("sliding_window"), config.get("rope_parameters") or {}
    stretched = config.get("rope_scaling") is not None or rope.get("rope_type", "default") != "default"
    for expressible, what in (
        (
            config.get("head_dim") in (None, width // heads) and width % heads == 0,
            "heads that are not d_model / n_head wide",
        ),
        (width // heads % 2 == 0, "rotary positions in heads of an odd width"),
        (config.get("hidden_act", "silu") in ("silu", "swish"), f"the gate {config.get('hidden_act')}"),
        (not config.get("attention_bias") and not config.get("mlp_bias"), f"biases in a {family} model"),
        (not stretched, "stretched rotary positions"),
        (window is None or window >= planned.setup.context, "a sliding window shorter than the sequence"),
    ):
        refuse.unless(expressible, what, _ELSEWHERE)
    return {
        "family": "modern",
        "n_layer": config["num_hidden_layers"],
        "n_head": heads,
        "n_kv_head": config.get("num_key_value_heads") or heads,
        "d_model": width,
        "d_ff": config["intermediate_size"],
        "vocab_size": config["vocab_size"],
        "context": planned.setup.context,
        "position": "rope",
        "norm": "rmsnorm",
        "activation": "swiglu",
        "qk_norm": False,
        "bias": False,
        "tied": bool(config.get("tie_word_embeddings", False)),
        "rope_theta": float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
    }


def _tables(planned: PlannedRun, model: Table) -> dict[str, Table]:
    setup = planned.setup
    interval = evaluation_interval(planned)
    schedule: dict[str, Any] = {"kind": planned.schedule, "steps": planned.steps, "warmup_steps": planned.warmup_steps}
    schedule["decay_steps"] = planned.cooldown_steps if planned.schedule == "wsd" else planned.decay_steps
    machine: dict[str, Any] = {"gpu": planned.gpu} if planned.gpu.strip() else {}
    return {
        "model": {**model, "dropout": float(setup.dropout)},
        "data": {"path": _NO_DATA if planned.dataset is None else planned.dataset},
        "batch": {"tokens_per_step": planned.tokens_per_step, "micro_batch": setup.micro_batch},
        "optimizer": {
            "name": setup.optimizer,
            "learning_rate": float(planned.learning_rate),
            "beta1": float(planned.beta1),
            "beta2": float(planned.beta2),
            "weight_decay": float(planned.weight_decay),
            "grad_clip": float(planned.grad_clip),
        },
        "schedule": {**schedule, "min_learning_rate": float(planned.min_lr)},
        "machine": machine
        | {
            "dtype": _DTYPES[setup.precision],
            "compile": setup.compiled,
            "checkpointing": setup.checkpointing,
            "cross_entropy": _CROSS_ENTROPY[setup.loss],
            "sharding": _SHARDING[setup.sharding],
        },
        "evaluation": {"every_steps": interval},
        "checkpoint": {"every_steps": interval},
    }


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return number(value) if isinstance(value, float) else str(value)


def _write(planned: PlannedRun) -> tuple[Document, ...]:
    refuse = Refuser("auscult")
    _refuse(planned, refuse)
    tables = _tables(planned, _model(planned, refuse))
    count = planned.gpu_count
    launch = (
        f"torchrun --standalone --nproc_per_node={count} -m auscult train FILE" if count > 1 else "auscult train FILE"
    )
    lines = head(planned, launch)
    if planned.dataset is None:
        lines += comment_lines(("Data: path is to name a folder that auscult data prepare has written.",))
    for name, values in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return (Document("recipe.toml", "\n".join(lines) + "\n"),)


WRITER = Writer("auscult", _write)
