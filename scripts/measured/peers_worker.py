"""Ask other estimators for the memory of rows given as JSON on stdin; runs in their own environment, without auscult.

Each is called as its documentation says, with everything that it has a parameter for. An estimator that cannot express a row
gives null and its own words.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

GIB = 2**30
Row = dict[str, Any]


def llm_analysis(row: Row) -> float:
    """llm-analysis: weights, gradients, optimiser and activations of ``LLMAnalysis.training``."""
    from llm_analysis.analysis import ActivationRecomputation, DSZeRO, LLMAnalysis
    from llm_analysis.config import DtypeConfig, GPUConfig, ModelConfig, ParallelismConfig

    if row["lora_rank"]:
        raise NotImplementedError("it has no LoRA")
    model = ModelConfig(
        name="row",
        num_layers=row["n_layer"],
        n_head=row["n_head"],
        hidden_dim=row["d_model"],
        vocab_size=row["vocab_size"],
        max_seq_len=row["context"],
        num_key_value_heads=row["n_kv_head"],
        ffn_embed_dim=row["d_ff"],
        expansion_ratio=row["d_ff"] / row["d_model"],
    )
    gpu = GPUConfig("card", row["card_bytes"] / GIB, 2000, 600, 8e-6, 312)
    parallel = ParallelismConfig(tp_size=row["tensor_parallel"], dp_size=row["data_parallel"])
    efficiencies = {
        "flops_efficiency": 0.5,
        "hbm_memory_efficiency": 0.9,
    }  # of no consequence for memory; it needs them
    analysis = LLMAnalysis(model, gpu, DtypeConfig("w16a16e16", 16, 16, 16), parallel, **efficiencies)
    found = analysis.training(
        batch_size_per_gpu=row["micro_batch"],
        gradient_accumulation_steps=row["gradient_accumulation_steps"],
        seq_len=row["context"],
        activation_recomputation=ActivationRecomputation({"none": 0, "selective": 1, "full": 2}[row["checkpointing"]]),
        ds_zero=DSZeRO({"zero1": 1, "zero2": 2, "fsdp": 3}.get(row["sharding"], 0)),
        mlp_gated_linear_units=row["gated"],
    )
    return float(found["(weight+op_state+grad+act)_memory_per_gpu"])


def gpu_estimator(row: Row) -> float:
    """gpu-estimator: ``GPUEstimator().estimate(...).total_memory_gb``, divided by the cards where the states are sharded."""
    from gpu_estimator import GPUEstimator

    if row["lora_rank"]:
        raise NotImplementedError("it has no LoRA")
    found = GPUEstimator().estimate(
        row["parameters"],
        batch_size=row["micro_batch"],
        sequence_length=row["context"],
        precision="fp32" if row["precision"] == "fp32" else "bf16",
        optimizer="adamw" if row["optimizer"].startswith("adamw") else row["optimizer"],
        gpu_memory_gb=1e9,
        gradient_checkpointing=row["checkpointing"] != "none",
    )
    shards = row["data_parallel"] if row["sharding"] == "fsdp" else 1
    return float(found.total_memory_gb) * GIB / shards


def qmemcalc(row: Row) -> float:
    """qmemcalc: ``estimate_memory`` on a config.json with the row's shape."""
    from qmemcalc import estimate_memory

    config = {
        "model_type": "llama",
        "num_hidden_layers": row["n_layer"],
        "num_attention_heads": row["n_head"],
        "num_key_value_heads": row["n_kv_head"],
        "hidden_size": row["d_model"],
        "intermediate_size": row["d_ff"],
        "vocab_size": row["vocab_size"],
        "num_parameters": row["parameters"],
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
        found = estimate_memory(
            folder,
            row["micro_batch"],
            row["context"],
            lora_r=row["lora_rank"],
            precision="fp32" if row["precision"] == "fp32" else "bf16",
            quantization={4: "4bit", 8: "8bit"}.get(row["frozen_bits"], "none"),
            num_trainable_params=row["trainable"],
            gradient_checkpointing=row["checkpointing"] != "none",
        )
    return float(found["total_MB"]) * 1e6


def accelerate_estimate(row: Row) -> float:
    """Accelerate estimate-memory: its "Training using Adam", the largest of its steps."""
    from accelerate.commands.estimate import estimate_training_usage

    if row["lora_rank"]:
        raise NotImplementedError("it has no LoRA")
    fp32_bytes = 4 * row["parameters"]
    found = estimate_training_usage(
        fp32_bytes, {"fp32": "float32", "bf16": "bfloat16"}.get(row["precision"], "bfloat16")
    )
    return float(max(value for value in found.values() if value > 0))


PEERS: dict[str, tuple[str, Callable[[Row], float]]] = {
    "llm-analysis": ("llm-analysis", llm_analysis),
    "gpu-estimator": ("gpu-estimator", gpu_estimator),
    "qmemcalc": ("qmemcalc", qmemcalc),
    "accelerate estimate-memory": ("accelerate", accelerate_estimate),
}


def ask(function: Callable[[Row], float], row: Row) -> dict[str, Any]:
    """Return an estimator's answer [bytes], or why there is none."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return {"bytes": function(row)}
    except Exception as error:
        return {"bytes": None, "why": f"{type(error).__name__}: {error}"[:200]}


def main() -> None:
    """Answer every row for every estimator."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    rows: list[Row] = json.load(sys.stdin)
    answers = {
        name: {"version": version(package), "answers": {row["number"]: ask(function, row) for row in rows}}
        for name, (package, function) in PEERS.items()
    }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
