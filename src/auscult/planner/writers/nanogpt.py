"""nanoGPT: a Python file of assignments that ``train.py`` executes over its defaults (karpathy/nanoGPT 3adf61e)."""

from __future__ import annotations

from typing import Any

from ..planned import PlannedRun
from .base import Document, Refuser, Writer, comment_lines, evaluation_interval, head

__all__ = ["WRITER"]

VOCABULARY = 50_304
"""What ``train.py`` takes where the data set has no ``meta.pkl``: GPT-2's 50,257, padded."""
UNPADDED = 50_257
EVAL_ITERS = 200
_DTYPES = {"amp_bf16": "bfloat16", "amp_fp16": "float16", "fp32": "float32"}
_GELU = (None, "gelu", "gelu_new", "gelu_pytorch_tanh")


def _refuse(planned: PlannedRun) -> None:
    config, setup, refuse = planned.config, planned.setup, Refuser("nanogpt")
    family = str(config.get("model_type"))
    refuse.pretraining(planned)
    refuse.unless(family == "gpt2", f"a {family} model", "write --dialect hf, litgpt or torchtitan")
    inner = config.get("n_inner")
    refuse.unless(
        inner is None or inner == 4 * config["n_embd"], "an MLP that is not 4 x n_embd wide", "write --dialect hf"
    )
    refuse.unless(config.get("tie_word_embeddings") is not False, "a head of its own", "write --dialect hf")
    refuse.unless(config.get("activation_function") in _GELU, "another activation than GELU", "write --dialect hf")
    positions = config.get("n_positions", 1024)
    refuse.unless(
        positions == setup.context,
        f"a table of {positions:,} positions with sequences of {setup.context:,}",
        "plan with a context that is as long as the table",
    )
    vocabulary = config.get("vocab_size", UNPADDED)
    refuse.unless(
        vocabulary in (VOCABULARY, UNPADDED) or planned.dataset is not None,
        f"a vocabulary of {vocabulary:,}",
        "name the data set whose meta.pkl says it with --dataset",
    )
    refuse.unless(setup.checkpointing == "none", "activation checkpointing", "write --dialect hf or torchtitan")
    refuse.unless(setup.precision in _DTYPES, "weights in bf16", "plan with --dtype bf16 over fp32 weights")
    refuse.unless(setup.optimizer == "adamw", f"the optimiser {setup.optimizer}", "write --dialect hf")
    refuse.unless(
        setup.loss == "eager" or (setup.loss == "compiled" and setup.compiled),
        f"a {setup.loss} loss",
        "write --dialect hf",
    )
    refuse.unless(planned.schedule == "cosine", "a schedule other than cosine", "write --dialect hf or torchtitan")
    refuse.unless(
        setup.data_parallel == setup.gpu_count and setup.sharding in ("none", "ddp"),
        "sharding of the model",
        "write --dialect torchtitan, or hf for FSDP",
    )


def _write(planned: PlannedRun) -> tuple[Document, ...]:
    _refuse(planned)
    config, setup = planned.config, planned.setup
    vocabulary = config.get("vocab_size", UNPADDED)
    count = planned.gpu_count
    launch = f"torchrun --standalone --nproc_per_node={count} train.py FILE" if count > 1 else "python train.py FILE"
    notes: tuple[str, ...] = ()
    if vocabulary == UNPADDED:
        notes = (f"Vocabulary: nanoGPT pads GPT-2's {UNPADDED:,} tokens to {VOCABULARY:,} rows.",)
    elif vocabulary != VOCABULARY:
        notes = (f"Vocabulary: the data set's meta.pkl must say vocab_size = {vocabulary}; no config can.",)
    accumulation = f"{setup.gradient_accumulation_steps} on each of {setup.data_parallel} ranks; train.py divides it"
    groups: list[list[tuple[str, Any, str]]] = [
        [
            ("batch_size", setup.micro_batch, "sequences at once on a GPU"),
            ("gradient_accumulation_steps", planned.accumulation_over_ranks, accumulation if count > 1 else ""),
            ("block_size", setup.context, ""),
        ],
        [
            ("n_layer", config["n_layer"], ""),
            ("n_head", config["n_head"], ""),
            ("n_embd", config["n_embd"], ""),
            ("bias", bool(config.get("bias", True)), ""),
            ("dropout", float(setup.dropout), ""),
        ],
        [
            ("learning_rate", float(planned.learning_rate), ""),
            ("min_lr", float(planned.min_lr), ""),
            ("warmup_iters", planned.warmup_steps, ""),
            ("max_iters", planned.steps, ""),
            ("lr_decay_iters", planned.decay_steps, ""),
            ("decay_lr", True, ""),
            ("weight_decay", float(planned.weight_decay), ""),
            ("beta1", float(planned.beta1), ""),
            ("beta2", float(planned.beta2), ""),
            ("grad_clip", float(planned.grad_clip), ""),
        ],
        [("dtype", _DTYPES[setup.precision], ""), ("compile", setup.compiled, "")],
        [
            ("eval_interval", evaluation_interval(planned), ""),
            ("eval_iters", EVAL_ITERS, "batches of each split"),
            ("log_interval", 10, ""),
            ("always_save_checkpoint", False, ""),
        ],
    ]
    if planned.dataset is not None:
        groups.insert(0, [("dataset", planned.dataset, "a folder in data/")])
    lines = [*head(planned, launch), *comment_lines(notes)]
    for group in groups:
        lines.append("")
        lines += [f"{key} = {value!r}" + (f"  # {note}" if note else "") for key, value, note in group]
    return (Document("train_planned.py", "\n".join(lines) + "\n"),)


WRITER = Writer("nanogpt", _write)
