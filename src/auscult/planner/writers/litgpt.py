"""litgpt: the YAML of ``litgpt pretrain`` (Lightning-AI/litgpt 2685705: ``args.py``, ``config.py``, ``pretrain.py``).

``pretrain.py`` always compiles, never checkpoints activations, shards with FSDP as soon as there are two GPUs, and ends a
cosine with ``max_tokens``; its precision is one of three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..planned import PlannedRun
from .base import Document, Refuser, Writer, evaluation_interval, head, number, quoted

__all__ = ["WRITER"]

_PRECISIONS = {"amp_bf16": "bf16-mixed", "bf16": "bf16-true", "fp32": "32-true"}
_OPTIMIZERS = {"adamw": "torch.optim.AdamW", "adamw_8bit": "bitsandbytes.optim.AdamW8bit"}
_FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gpt_neox")
_MODULES = ("TinyLlama", "TinyStories", "OpenWebText", "MicroLlama")
"""Data modules that need no arguments."""
EVAL_ITERS = 100


def _refuse(planned: PlannedRun) -> None:
    config, setup, refuse = planned.config, planned.setup, Refuser("litgpt")
    family = str(config.get("model_type"))
    refuse.pretraining(planned)
    refuse.unless(
        family in _FAMILIES, f"a {family} model", f"choose one of {', '.join(_FAMILIES)}, or write --dialect hf"
    )
    window = config.get("sliding_window")
    refuse.unless(
        family != "mistral" or window is None or window >= setup.context,
        "a sliding window shorter than the sequence",
        "write --dialect hf",
    )
    refuse.unless(config.get("rope_scaling") is None, "stretched rotary positions", "write --dialect hf")
    refuse.unless(setup.compiled, "a run without torch.compile", "plan with --compile yes, or write --dialect hf")
    refuse.unless(setup.checkpointing == "none", "activation checkpointing", "write --dialect hf or torchtitan")
    refuse.unless(
        setup.precision in _PRECISIONS, "fp16 with a scaler", "write --dialect hf, or nanogpt for a gpt2 model"
    )
    refuse.unless(not setup.fp32_states, "bf16 compute over fp32 states", "plan with --dtype bf16 over fp32 weights")
    refuse.unless(setup.dropout == 0, "dropout", "write --dialect hf, or nanogpt for a gpt2 model")
    refuse.unless(setup.loss in ("eager", "compiled"), f"a {setup.loss} loss", "write --dialect hf")
    refuse.unless(setup.optimizer in _OPTIMIZERS, f"the optimiser {setup.optimizer}", "write --dialect hf")
    refuse.unless(planned.schedule == "cosine", "a schedule other than cosine", "write --dialect hf or torchtitan")
    refuse.unless(planned.grad_clip > 0, "training without clipping", "write --dialect hf")
    refuse.unless(
        setup.data_parallel == setup.gpu_count and setup.sharding == ("none" if setup.gpu_count == 1 else "fsdp"),
        f"{setup.sharding} on {setup.gpu_count} GPUs",
        "plan with FSDP, or write --dialect torchtitan",
    )


def _model(config: Mapping[str, Any], context: int) -> dict[str, Any]:
    """Return ``litgpt.Config``'s fields."""
    family = config["model_type"]
    neox = family == "gpt_neox"
    heads, width = config["num_attention_heads"], config["hidden_size"]
    fields: dict[str, Any] = {
        "name": f"planned-{family}",
        "block_size": context,
        "n_layer": config["num_hidden_layers"],
        "n_head": heads,
        "n_query_groups": config.get("num_key_value_heads") or heads,
        "n_embd": width,
        "head_size": config.get("head_dim") or width // heads,
        "intermediate_size": config["intermediate_size"],
        "vocab_size": config["vocab_size"],
        "padded_vocab_size": config["vocab_size"],
        "bias": neox,
        "parallel_residual": bool(config.get("use_parallel_residual", True)) if neox else False,
        "rotary_percentage": float(config.get("rotary_pct", 0.25)) if neox else 1.0,
        "norm_class_name": "LayerNorm" if neox else "RMSNorm",
        "mlp_class_name": "GptNeoxMLP" if neox else "LLaMAMLP",
        "rope_base": int(config.get("rope_theta", 10_000)),
    }
    if family == "qwen2" or config.get("attention_bias"):
        fields["attn_bias"] = True
    if family == "qwen3":
        fields["norm_qk"] = True
    return fields


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value)
    return str(value) if isinstance(value, int) else quoted(value)


def _block(values: Mapping[str, Any]) -> list[str]:
    return [f"  {key}: {_scalar(value)}" for key, value in values.items()]


def _data(dataset: str | None) -> list[str]:
    if dataset is None:
        return []
    if dataset in _MODULES:
        return [f"data: {dataset}"]
    return ["data:", "  class_path: litgpt.data.LitData", "  init_args:", f"    data_path: {quoted(dataset)}"]


def _write(planned: PlannedRun) -> tuple[Document, ...]:
    _refuse(planned)
    config, setup = planned.config, planned.setup
    rate, decay = number(planned.learning_rate), number(planned.weight_decay)
    train = {
        "global_batch_size": planned.sequences_per_step,
        "micro_batch_size": setup.micro_batch,
        "max_tokens": planned.tokens,
        "max_seq_length": setup.context,
        "lr_warmup_steps": planned.warmup_steps,
        "max_norm": float(planned.grad_clip),
        "min_lr": float(planned.min_lr),
        "tie_embeddings": bool(config.get("tie_word_embeddings", False)),
        "log_interval": 10,
    }
    lines = [
        *head(planned, "litgpt pretrain --config FILE"),
        "",
        "model_name: " + quoted(f"planned-{config['model_type']}"),
        "model_config:",
        *_block(_model(config, setup.context)),
        "out_dir: out/planned",
        f"precision: {_PRECISIONS[setup.precision]}",
        *_data(planned.dataset),
        "train:",
        "  # global_batch_size counts the sequences of one optimiser step on all GPUs; litgpt ends at max_tokens",
        *_block(train),
        "eval:",
        *_block({"interval": evaluation_interval(planned), "max_iters": EVAL_ITERS}),
        "optimizer:",
        f"  class_path: {_OPTIMIZERS[setup.optimizer]}",
        "  init_args:",
        f"    lr: {rate}",
        f"    weight_decay: {decay}",
        f"    betas: [{number(planned.beta1)}, {number(planned.beta2)}]",
        f"devices: {planned.gpu_count}",
        "num_nodes: 1",
    ]
    if planned.tokenizer is not None:
        lines.append(f"tokenizer_dir: {quoted(planned.tokenizer)}")
    return (Document("planned.yaml", "\n".join(lines) + "\n"),)


WRITER = Writer("litgpt", _write)
