"""Names of settings across trainers, and the bounds within which a value can be meant."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from ..run import Known, Problem, Quantity, Unknown
from .privacy import without_names

__all__ = ["COMMON", "canonical", "checked"]

_KIND: dict[str, tuple[type, float, float]] = {
    "architecture.family": (str, 0, 0),
    "architecture.n_layer": (int, 1, 10_000),
    "architecture.n_head": (int, 1, 10_000),
    "architecture.n_kv_head": (int, 1, 10_000),
    "architecture.d_model": (int, 1, 1_000_000),
    "architecture.d_ff": (int, 1, 10_000_000),
    "architecture.vocab_size": (int, 2, 100_000_000),
    "architecture.context": (int, 1, 100_000_000),
    "architecture.tied": (bool, 0, 1),
    "architecture.bias": (bool, 0, 1),
    "recipe.batch_size": (int, 1, 1_000_000),
    "recipe.gradient_accumulation_steps": (int, 1, 1_000_000),
    "recipe.world_size": (int, 1, 1_000_000),
    "recipe.optimizer": (str, 0, 0),
    "recipe.learning_rate": (float, 0, 100),
    "recipe.min_lr": (float, 0, 100),
    "recipe.warmup_steps": (int, 0, 100_000_000),
    "recipe.decay_steps": (int, 1, 1_000_000_000),
    "recipe.schedule": (str, 0, 0),
    "recipe.max_steps": (int, 1, 1_000_000_000),
    "recipe.weight_decay": (float, 0, 1000),
    "recipe.beta1": (float, 0, 0.999999999),
    "recipe.beta2": (float, 0, 0.999999999999),
    "recipe.grad_clip": (float, 0, 1e9),
    "recipe.dropout": (float, 0, 0.999999),
    "recipe.dtype": (str, 0, 0),
    "recipe.compile": (bool, 0, 1),
    "recipe.eval_interval": (int, 1, 1_000_000_000),
    "recipe.eval_iters": (int, 1, 1_000_000_000),
    "recipe.log_interval": (int, 1, 1_000_000_000),
    "recipe.dataset": (str, 0, 0),
    "recipe.init_from": (str, 0, 0),
    "recipe.run_name": (str, 0, 0),
    "machine.gpu_name": (str, 0, 0),
    "machine.gpu_count": (int, 1, 1_000_000),
    "data.train_tokens": (int, 1, 10**18),
    "data.val_tokens": (int, 1, 10**18),
    "logged.tokens_per_step": (int, 1, 10**15),
    "logged.tokens_planned": (int, 1, 10**18),
    "logged.tokens_seen": (int, 0, 10**18),
    "logged.epochs": (float, 0, 1e9),
    "logged.flops_per_token": (float, 1, 1e18),
    "logged.peak_flops_per_s": (float, 1e9, 1e18),
    "logged.mfu_peak_flops_per_s": (float, 1e9, 1e18),
    "logged.parameters_convention": (str, 0, 0),
}
_MAY_BE_OFF = frozenset({"recipe.eval_interval", "recipe.eval_iters", "recipe.log_interval"})
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
_MAX_STRING = 1000

COMMON: Mapping[str, str] = {
    name: key
    for key, names in {
        "architecture.family": "model_type",
        "architecture.n_layer": "n_layer n_layers num_layers num_hidden_layers nlayers num_decoder_layers",
        "architecture.n_head": "n_head n_heads num_heads num_attention_heads nheads attention_heads",
        "architecture.n_kv_head": "n_kv_head n_kv_heads num_kv_heads num_key_value_heads n_query_groups num_query_groups",
        "architecture.d_model": "n_embd n_embed d_model hidden_size hidden_dim model_dim embed_dim embedding_dim dim_model",
        "architecture.d_ff": "d_ff n_inner intermediate_size ffn_hidden_size mlp_hidden_size ffn_dim",
        "architecture.vocab_size": "vocab_size padded_vocab_size vocabulary_size n_vocab",
        "architecture.context": "block_size context_length max_seq_len max_seq_length seq_len seq_length sequence_length n_positions n_ctx"
        " max_position_embeddings max_sequence_length",
        "architecture.tied": "tie_word_embeddings weight_tying tie_embeddings tie_weights",
        "architecture.bias": "bias include_bias use_bias add_bias_linear",
        "recipe.batch_size": "batch_size micro_batch_size device_batch_size per_device_train_batch_size"
        " train_micro_batch_size_per_gpu local_batch_size",
        "recipe.learning_rate": "learning_rate lr max_lr peak_lr",
        "recipe.min_lr": "min_lr minimum_lr lr_min eta_min",
        "recipe.warmup_steps": "warmup_steps warmup_iters lr_warmup_steps lr_warmup_iters num_warmup_steps",
        "recipe.decay_steps": "lr_decay_iters lr_decay_steps decay_steps",
        "recipe.max_steps": "max_steps max_iters train_iters num_steps total_steps num_iterations train_steps",
        "recipe.weight_decay": "weight_decay wd",
        "recipe.beta1": "beta1 adam_beta1 betas_0",
        "recipe.beta2": "beta2 adam_beta2 betas_1",
        "recipe.grad_clip": "grad_clip max_grad_norm gradient_clipping clip_grad grad_clip_norm gradient_clip_val max_norm clip_grad_norm",
        "recipe.dropout": "dropout dropout_rate resid_pdrop resid_dropout hidden_dropout",
        "recipe.optimizer": "optimizer optim optimizer_name",
        "recipe.schedule": "lr_scheduler_type lr_scheduler lr_decay_style lr_schedule scheduler",
        "recipe.dtype": "dtype precision torch_dtype mixed_precision",
        "recipe.compile": "compile torch_compile",
        "recipe.eval_interval": "eval_interval eval_steps eval_every",
        "recipe.eval_iters": "eval_iters eval_batches",
        "recipe.log_interval": "log_interval logging_steps log_every",
        "recipe.dataset": "dataset dataset_name data_name",
        "recipe.run_name": "run_name wandb_run_name wandb_run exp_name experiment_name",
        "recipe.init_from": "init_from",
        "recipe.world_size": "world_size num_gpus n_gpus ngpus",
    }.items()
    for name in names.split()
}
"""Names that mean the same wherever they stand at the top level of a config (``-`` written ``_``)."""


def checked(key: str, quantity: Known[Any]) -> tuple[Quantity[Any], Problem | None]:
    """Return a value in the kind of its canonical key, or Unknown with a problem when nothing can have that value.

    Whole floats count as integers, and numbers written as strings as numbers.

    Examples
    --------
    >>> from auscult.run import Source
    >>> checked("recipe.batch_size", Known("16", Source("read", "a.yaml", 3)))[0]
    Known(16, a.yaml:3)
    """
    if key not in _KIND:
        return quantity, None
    kind, low, high = _KIND[key]
    value, source = quantity.value, quantity.source
    if kind in (int, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value.replace("_", "").replace(",", "")) if value.strip() else value
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false", "yes", "no"):
        value = value.lower() in ("true", "yes")
    if kind is bool and not isinstance(value, bool) and value in (0, 1):
        value = bool(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if right and (kind in (str, bool) or low <= value <= high):
        return Known(value[:_MAX_STRING] if isinstance(value, str) else value, source), None
    bounds = (
        f" from {low:,.0f} to {high:,.0f}" if kind is int else f" from {low:g} to {high:g}" if kind is float else ""
    )
    shown = reprlib.repr(without_names(quantity.value) if isinstance(quantity.value, str) else quantity.value)
    name = key.partition(".")[2]
    problem = Problem("impossible_value", f"{name} = {shown}: expected {_WORDS[kind]}{bounds}", source)
    return Unknown(f"{source.place} says {name} = {shown}, which no run can have"), problem


def canonical(
    values: Mapping[str, Known[Any]], names: Mapping[str, str] = COMMON, *, ignore: Iterable[Any] = (None, "auto", "")
) -> tuple[dict[str, Quantity[Any]], tuple[Problem, ...]]:
    """Return settings under canonical keys, and what was wrong with values.

    Parameters
    ----------
    values : mapping
        The trainer's own names (``-`` and ``_`` count as the same) to values with their places.
    names : mapping
        Trainer's name to canonical key. Where two names mean one key, the first in ``values`` wins.
    ignore : iterable
        Values that say nothing.
    """
    settings: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []
    skipped = tuple(ignore)
    for name, quantity in values.items():
        key = names.get(name) or names.get(name.replace("-", "_"))
        if (
            key is None
            or key in settings
            or (key in _MAY_BE_OFF and quantity.value == -1)  # nanochat and others: never
            or any(quantity.value is x or quantity.value == x for x in skipped if type(x) is type(quantity.value))
        ):
            continue
        settings[key], problem = checked(key, quantity)
        if problem is not None:
            problems.append(problem)
    return settings, tuple(problems)
