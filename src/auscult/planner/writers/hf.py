"""Hugging Face: arguments that ``run_clm.py`` takes as its only argument, and the ``config.json`` that they name.

``examples/pytorch/language-modeling/run_clm.py`` of transformers 4.57 reads a JSON file with ``HfArgumentParser``, draws the
model from ``config_name`` and cuts the data into blocks of ``block_size`` tokens. JSON has no comments: reasons are left out.
"""

from __future__ import annotations

import json
from typing import Any

from ..planned import PlannedRun
from .base import Document, Refuser, Writer, evaluation_interval, without_none

__all__ = ["WRITER"]

_OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "lion": "lion_32bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
_FSDP = {"fsdp": "full_shard auto_wrap", "zero2": "shard_grad_op auto_wrap"}
_DROPOUT = {
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    "gpt_neox": ("hidden_dropout", "attention_dropout"),
}
"""GPT-2's default is 0.1 in all three, so that 0 must be written, too."""
_FILES = (".txt", ".json", ".csv")
_NEOX_TOKENIZER = "EleutherAI/gpt-neox-20b"
_TOKENIZERS = {
    50_257: "openai-community/gpt2",
    50_304: "openai-community/gpt2",
    49_152: "HuggingFaceTB/SmolLM2-135M",
    128_256: "meta-llama/Llama-3.2-1B",
    151_936: "Qwen/Qwen3-0.6B",
}
"""Whose tokens a vocabulary of this size most likely holds, where nobody says."""


def _refuse(planned: PlannedRun) -> None:
    config, setup, refuse = planned.config, planned.setup, Refuser("hf")
    family = str(config.get("model_type"))
    refuse.pretraining(planned)
    refuse.unless(
        planned.dataset is not None,
        "a run without data",
        "name the data set on the hub, or a .txt, .json or .csv file, with --dataset",
    )
    refuse.unless(
        family != "gpt2" or config.get("bias") is not False, "GPT-2 without biases", "write --dialect nanogpt"
    )
    refuse.unless(setup.dropout == 0 or family in _DROPOUT, f"dropout in a {family} model", "plan without dropout")
    refuse.unless(
        setup.checkpointing != "selective", "selective checkpointing", "plan with full, or write --dialect torchtitan"
    )
    refuse.unless(
        setup.precision != "bf16" or (setup.fp32_states and setup.sharding in _FSDP),
        "weights in bf16",
        "plan with bf16 over fp32 weights, or write --dialect torchtitan or litgpt",
    )
    refuse.unless(setup.optimizer in _OPTIMIZERS, f"the optimiser {setup.optimizer}", "plan with adamw")
    refuse.unless(
        setup.loss in ("eager", "fused") or (setup.loss == "compiled" and setup.compiled),
        f"a {setup.loss} loss",
        "plan with a fused one",
    )
    refuse.unless(
        setup.data_parallel == setup.gpu_count, "tensor, pipeline or context parallelism", "write --dialect torchtitan"
    )
    refuse.unless(setup.sharding != "zero1", "ZeRO-1 without a config of DeepSpeed", "plan with FSDP or DDP")


def _model(planned: PlannedRun) -> dict[str, Any]:
    config, setup = dict(planned.config), planned.setup
    config.pop("bias", None)
    for key in _DROPOUT.get(str(config["model_type"]), ()):
        config[key] = float(setup.dropout)
    return config


def _arguments(planned: PlannedRun) -> dict[str, Any]:
    setup, dataset = planned.setup, planned.dataset or ""
    interval = evaluation_interval(planned)
    rate, floor = float(planned.learning_rate), float(planned.min_lr)
    if planned.schedule == "wsd":
        schedule = "warmup_stable_decay"
        kwargs: dict[str, Any] = {"num_decay_steps": planned.cooldown_steps, "min_lr_ratio": floor / rate}
    else:
        schedule, kwargs = "cosine_with_min_lr", {"min_lr": floor}
    usual = _TOKENIZERS.get(planned.config.get("vocab_size", 0))
    if planned.config["model_type"] == "gpt_neox":
        usual = _NEOX_TOKENIZER  # GPT-2's is padded to the same 50,304 rows
    tokenizer = planned.tokenizer or usual
    return without_none(
        {
            "config_name": "config.json",
            "tokenizer_name": tokenizer,
            "train_file" if dataset.endswith(_FILES) else "dataset_name": dataset,
            "block_size": setup.context,
            "output_dir": "out",
            "do_train": True,
            "do_eval": True,
            "per_device_train_batch_size": setup.micro_batch,
            "per_device_eval_batch_size": setup.micro_batch,
            "gradient_accumulation_steps": setup.gradient_accumulation_steps,
            "max_steps": planned.steps,
            "learning_rate": rate,
            "lr_scheduler_type": schedule,
            "lr_scheduler_kwargs": kwargs,
            "warmup_steps": planned.warmup_steps,
            "weight_decay": float(planned.weight_decay),
            "adam_beta1": float(planned.beta1),
            "adam_beta2": float(planned.beta2),
            "max_grad_norm": float(planned.grad_clip),
            "optim": _OPTIMIZERS[setup.optimizer],
            "bf16": setup.precision in ("amp_bf16", "bf16"),
            "fp16": setup.precision == "amp_fp16",
            "torch_compile": setup.compiled,
            "gradient_checkpointing": setup.checkpointing == "full",
            "use_liger_kernel": True if setup.loss == "fused" else None,
            "fsdp": _FSDP.get(setup.sharding),
            "eval_strategy": "steps",
            "eval_steps": interval,
            "save_steps": interval,
            "save_total_limit": 2,
            "logging_steps": 10,
        }
    )


def _write(planned: PlannedRun) -> tuple[Document, ...]:
    _refuse(planned)
    return (
        Document("run_clm.json", json.dumps(_arguments(planned), indent=2) + "\n"),
        Document("config.json", json.dumps(_model(planned), indent=2) + "\n"),
    )


WRITER = Writer("hf", _write)
