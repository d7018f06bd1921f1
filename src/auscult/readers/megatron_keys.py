"""What Megatron-LM and its descendants print: records of ``key: value |``, and arguments under their own names.

Megatron-LM, Megatron-DeepSpeed and GPT-NeoX share the form of their records; Megatron's arguments stand in its logs and in
the configs of its tests. Defaults are those of ``megatron/training/arguments.py`` and say so in their source.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..run import Known, Problem, Quantity, Source, Unknown, known, value_of
from .patterns import lazy
from .vocabulary import checked

__all__ = [
    "ITERATION",
    "VALIDATION",
    "family_of",
    "fields",
    "interpret",
    "number_of",
    "pairs",
    "schedule_of",
    "steps_for_samples",
    "value",
    "whole",
]

ITERATION = lazy(r"\biteration\s{1,12}(\d{1,12})/\s{0,12}(\d{1,12})\s{0,4}\|")
"""The head of a record: the iteration, and how many are planned."""
VALIDATION = lazy(
    r"\b(validation|valid|test)\s(?:loss|results)\sat\s(?:iteration\s(\d{1,12})|the end of training)([^|]{0,200})\|(.*)"
)
"""The head of an evaluation: its kind, its iteration (absent: at the end), on what, and its fields."""
_FIELD = lazy(
    r"\s{0,8}(?:\[[^\]]{0,40}\]\s{0,4})?([A-Za-z][\w ()/.%-]{0,60}?)\s?:\s{0,24}"
    r"([-+]?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|nan|inf))\s?(\S{0,24}).{0,60}"
)
_MAX_FIELDS = 60
_Put: TypeAlias = Callable[[str, Known[Any]], None]
_QUIET = (None, "None", "none", "null", "")

_SAME_NAME: Mapping[str, str] = {
    "seq_length": "architecture.context",
    "hidden_size": "architecture.d_model",
    "num_layers": "architecture.n_layer",
    "num_attention_heads": "architecture.n_head",
    "ffn_hidden_size": "architecture.d_ff",
    "padded_vocab_size": "architecture.vocab_size",
    "add_bias_linear": "architecture.bias",
    "micro_batch_size": "recipe.batch_size",
    "world_size": "recipe.world_size",
    "optimizer": "recipe.optimizer",
    "lr": "recipe.learning_rate",
    "min_lr": "recipe.min_lr",
    "lr_decay_style": "recipe.schedule",
    "weight_decay": "recipe.weight_decay",
    "adam_beta1": "recipe.beta1",
    "adam_beta2": "recipe.beta2",
    "clip_grad": "recipe.grad_clip",
    "hidden_dropout": "recipe.dropout",
    "eval_interval": "recipe.eval_interval",
    "eval_iters": "recipe.eval_iters",
    "log_interval": "recipe.log_interval",
    "train_iters": "recipe.max_steps",
}
_DEFAULTS: Mapping[str, Any] = {
    "optimizer": "adam",
    "lr_decay_style": "linear",
    "weight_decay": 0.01,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "clip_grad": 1.0,
    "hidden_dropout": 0.1,
    "min_lr": 0.0,
    "log_interval": 100,
    "eval_iters": 100,
    "eval_interval": 1000,
    "add_bias_linear": True,
}
_UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def fields(text: str, *, whole_line: bool = True) -> dict[str, tuple[float, str]]:
    """Return the fields of a record: name to value and unit. What was cut before its ``|`` is left out.

    Parameters
    ----------
    text : str
        What stands between ``|``, as in ``lm loss: 1.2E+01 | loss scale: 1.0 |``.
    whole_line : bool
        Whether the line was written to its end; the last field of a cut line may be half a number.

    Examples
    --------
    >>> fields(" learning rate: 1.5E-04 | approx flops per GPU: 13.3TFLOPS | lm loss: 7.2")
    {'learning rate': (0.00015, ''), 'approx flops per GPU': (13.3, 'TFLOPS'), 'lm loss': (7.2, '')}
    """
    *closed, last = text.split("|")[:_MAX_FIELDS]
    found: dict[str, tuple[float, str]] = {}
    for piece in [*closed, last] if whole_line else closed:
        if match := _FIELD.fullmatch(piece):
            found.setdefault(match[1].strip(), (float(match[2]), match[3]))
    return found


def number_of(found: Mapping[str, tuple[float, str]], name: str) -> int:
    """Return a counter among the fields of a record, 0 where it is missing or no count."""
    plain = found.get(name, (0.0, ""))[0]
    return int(plain) if 0 < plain < 10**9 else 0


def value(text: str) -> Any:
    """Return an argument's value from how Python prints it; what is no number, flag or None stays text.

    Examples
    --------
    >>> value("1e-05"), value("True"), value("None"), value("gelu")
    (1e-05, True, None, 'gelu')
    """
    text = text.strip()
    if text in ("None", "null"):
        return None
    if text in ("True", "true"):
        return True
    if text in ("False", "false"):
        return False
    if len(text) <= 40 and re.fullmatch(r"[-+]?[\d.]{1,30}(?:[eE][-+]?\d{1,4})?", text):
        try:
            return int(text) if text.lstrip("+-").isdigit() else float(text)
        except ValueError:
            return text
    return text


def pairs(text: str) -> list[float]:
    """Return the numbers of a printed list, or none when it is something else.

    Examples
    --------
    >>> pairs("[0.9, 0.95]")
    [0.9, 0.95]
    """
    try:
        found = ast.literal_eval(text) if len(text) < 80 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return [float(item) for item in found if isinstance(item, int | float)] if isinstance(found, list) else []


def whole(quantity: Quantity[Any] | None) -> int | None:
    """Return a positive whole number, or None for anything else."""
    plain = value_of(quantity) if quantity is not None else None
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    return plain if isinstance(plain, int) and not isinstance(plain, bool) and 0 < plain < 10**16 else None


def schedule_of(text: str, context: int | None) -> list[tuple[int, int]]:
    """Return the steps of ``--step-batch-size-schedule``: from how many samples on, which global batch.

    Thresholds are tokens when the sequence length is known to Megatron, and it always is in pre-training.

    Examples
    --------
    >>> schedule_of("0:384 4M:768", 4096)
    [(0, 384), (976, 768)]
    """
    steps = []
    for part in text.split()[:100]:
        match = re.fullmatch(r"(\d{1,18})([KMBT]?):(\d{1,12})", part)
        if match is None:
            return []
        tokens = int(match[1]) * _UNITS.get(match[2], 1)
        if int(match[3]) < 1:
            return []
        steps.append((tokens // context if context else tokens, int(match[3])))
    return steps if steps and steps[0][0] == 0 and steps == sorted(steps) else []


def steps_for_samples(samples: int, schedule: list[tuple[int, int]]) -> int:
    """Return how many optimiser steps it takes to see so many samples when the batch follows a schedule.

    Examples
    --------
    >>> steps_for_samples(1000, [(0, 10), (500, 50)])
    60
    """
    steps = 0
    for index, (start, batch) in enumerate(schedule):
        end = schedule[index + 1][0] if index + 1 < len(schedule) else samples
        steps += max(min(end, samples) - start, 0) // batch
    return steps


def interpret(args: Mapping[str, Known[Any]], *, defaults: bool) -> tuple[dict[str, Quantity[Any]], list[Problem]]:
    """Return Megatron's arguments under canonical keys.

    Parameters
    ----------
    args : mapping
        Arguments by their names in the program (``micro_batch_size``) with their places.
    defaults : bool
        Whether arguments that are not there have Megatron's defaults: true of a config, which lists only what it sets;
        a log's dump lists all that there are.
    """
    said = {
        n: q for n, q in args.items() if not any(q.value is x or (isinstance(x, str) and q.value == x) for x in _QUIET)
    }
    if defaults:
        for name, plain in _DEFAULTS.items():
            said.setdefault(name, _default(name, plain))
    found: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []

    def put(key: str, quantity: Known[Any]) -> None:
        found[key], problem = checked(key, quantity)
        if problem is not None:
            problems.append(problem)

    for name in ("eval_iters", "eval_interval"):
        if name in said and said[name].value == 0:
            del said[name]  # 0 stands for no evaluation
    for name, key in _SAME_NAME.items():
        if name in said:
            put(key, said[name])
    for key, other in (("architecture.context", "encoder_seq_length"), ("architecture.n_layer", "encoder_num_layers")):
        if key not in found and other in said:
            put(key, said[other])
    _architecture(said, found, put, defaults=defaults)
    _batch(said, found)
    _schedule(said, found, defaults=defaults)
    if (dtype := _dtype(said, defaults=defaults)) is not None:
        put("recipe.dtype", dtype)
    if "recipe.world_size" in found:
        found["machine.gpu_count"] = found["recipe.world_size"]
    return found, problems


def _default(name: str, plain: Any, of: str = "") -> Known[Any]:
    return Known(
        plain, Source("default", formula=of or f"Megatron's default ({name} = {plain}), not set in the config")
    )


def _flag(said: Mapping[str, Known[Any]], name: str) -> bool:
    return name in said and said[name].value is True


def _architecture(
    said: Mapping[str, Known[Any]], found: dict[str, Quantity[Any]], put: _Put, *, defaults: bool
) -> None:
    if _flag(said, "disable_bias_linear"):
        put("architecture.bias", Known(False, said["disable_bias_linear"].source))
    untied = said.get("untie_embeddings_and_output_weights")
    if untied is not None and isinstance(untied.value, bool):
        put("architecture.tied", Known(not untied.value, untied.source))
    elif "hidden_size" in said:  # a version without the flag, or a config that leaves it out
        put(
            "architecture.tied",
            _default("", True, "Megatron ties the output head to the embedding unless told otherwise"),
        )
    heads = said.get("num_attention_heads")
    if heads is not None:
        groups = said.get("num_query_groups")
        grouped = _flag(said, "group_query_attention") and groups is not None
        put("architecture.n_kv_head", groups if grouped and groups is not None else heads)
    width = said.get("hidden_size")
    if defaults and "architecture.d_ff" not in found and width is not None and (plain := whole(width)) is not None:
        swiglu = _flag(said, "swiglu")
        inner = int((4 * plain * 2 / 3) / 64) * 64 if swiglu else 4 * plain
        formula = (
            "Megatron's default with --swiglu (8/3 of hidden_size)"
            if swiglu
            else "Megatron's default (4 · hidden_size)"
        )
        put("architecture.d_ff", known(inner, formula, width))


def _batch(said: dict[str, Known[Any]], found: dict[str, Quantity[Any]]) -> None:
    """Put the accumulation over all ranks; a batch that grows in the course of the run gives no single number."""
    context = value_of(found.get("architecture.context", Unknown("")))
    changes = said.get("step_batch_size_schedule", said.get("rampup_batch_size"))
    if changes is not None:
        planned = whole(said.get("train_samples"))
        phases = schedule_of(str(changes.value), context) if "step_batch_size_schedule" in said else []
        reached = {size for start, size in phases if planned is None or start < planned}
        if len(reached) != 1:
            why = f"the global batch grows during the run ({changes.source.place}: {str(changes.value)[:60]})"
            found["recipe.gradient_accumulation_steps"] = found["logged.tokens_per_step"] = Unknown(why)
            return
        inputs = (changes, said["train_samples"]) if planned is not None else (changes,)
        said = {**said, "global_batch_size": known(reached.pop(), "the only batch that the schedule reaches", *inputs)}
    micro, batch = said.get("micro_batch_size"), said.get("global_batch_size")
    small, large = whole(micro), whole(batch)
    length = found.get("architecture.context")
    if batch is not None and large is not None and isinstance(length, Known):
        found["logged.tokens_per_step"] = known(large * length.value, "global_batch_size · seq_length", batch, length)
    if micro is None or batch is None or small is None or large is None:
        return
    if large % small:
        found["recipe.gradient_accumulation_steps"] = Unknown(
            f"global_batch_size {large} is no multiple of micro_batch_size {small}"
        )
        return
    found["recipe.gradient_accumulation_steps"] = known(
        large // small, "global_batch_size / micro_batch_size, over all ranks", batch, micro
    )


def _schedule(said: Mapping[str, Known[Any]], found: dict[str, Quantity[Any]], *, defaults: bool) -> None:
    """Put warm-up, decay and planned steps, which Megatron takes in iterations, samples or as a fraction."""

    def in_steps(key: str, name: str, rounding: str) -> None:
        samples, plain = said.get(name), whole(said.get(name))
        if samples is None or plain is None:
            return
        steps = _steps(said, found, samples, plain, rounding)
        if steps is not None:
            found[key] = steps

    if "recipe.max_steps" not in found:
        in_steps("recipe.max_steps", "train_samples", "train_samples")
    decay, planned = said.get("lr_decay_iters"), found.get("recipe.max_steps")
    if decay is not None and (iterations := whole(decay)) is not None:
        found["recipe.decay_steps"] = Known(iterations, decay.source)
    elif "lr_decay_samples" in said:
        in_steps("recipe.decay_steps", "lr_decay_samples", "lr_decay_samples")
    elif isinstance(planned, Known) and (defaults or "lr" in said):
        found["recipe.decay_steps"] = known(
            planned.value, "Megatron's default: decays over all training steps", planned
        )
    fraction, steps = said.get("lr_warmup_fraction"), said.get("lr_warmup_iters")
    over = found.get("recipe.decay_steps")
    if fraction is not None and isinstance(fraction.value, int | float) and isinstance(over, Known):
        if 0 <= fraction.value <= 1:
            found["recipe.warmup_steps"] = known(
                round(fraction.value * over.value), "lr_warmup_fraction · decay steps", fraction, over
            )
    elif steps is not None and (iterations := whole(steps)) is not None:
        found["recipe.warmup_steps"] = Known(iterations, steps.source)
    elif whole(said.get("lr_warmup_samples")) is not None:
        in_steps("recipe.warmup_steps", "lr_warmup_samples", "lr_warmup_samples")
    elif steps is not None and steps.value == 0:
        found["recipe.warmup_steps"] = Known(0, steps.source)
    elif defaults:
        found["recipe.warmup_steps"] = _default("lr_warmup_iters", 0)


def _steps(
    said: Mapping[str, Known[Any]], found: Mapping[str, Quantity[Any]], samples: Known[Any], plain: int, name: str
) -> Quantity[int] | None:
    batch, changing = said.get("global_batch_size"), said.get("step_batch_size_schedule")
    context = value_of(found.get("architecture.context", Unknown("")))
    if changing is not None:
        schedule = schedule_of(str(changing.value), context)
        if not schedule:
            return Unknown(f"{changing.source.place} sets a batch schedule that cannot be read")
        return known(
            max(steps_for_samples(plain, schedule), 1), f"{name} over the batch-size schedule", samples, changing
        )
    if "rampup_batch_size" in said:
        return Unknown(f"{samples.source.place} counts samples, and the batch grows (rampup_batch_size)")
    size = whole(batch)
    if batch is None or size is None:
        return Unknown(f"{samples.source.place} counts samples, and the global batch size is not said")
    return known(max(plain // size, 1), f"{name} / global_batch_size", samples, batch)


def _dtype(said: Mapping[str, Known[Any]], *, defaults: bool) -> Known[Any] | None:
    for flag, name in (("bf16", "bfloat16"), ("fp16", "float16")):
        if _flag(said, flag):
            return Known(name, said[flag].source)
    if (printed := said.get("params_dtype")) is not None:
        return Known(str(printed.value).removeprefix("torch."), printed.source)
    return _default("", "float32", "Megatron's default without --bf16 and --fp16") if defaults else None


def family_of(args: Mapping[str, Known[Any]], settings: Mapping[str, Quantity[Any]]) -> Quantity[str]:
    """Return the family by positions, norm and activation: only the plain GPT is a GPT-2."""
    position = args.get("position_embedding_type")
    kind = str(position.value) if position is not None else "learned_absolute"
    rotary = kind in ("rope", "yarn", "mrope") or any(
        name in args and args[name].value is True
        for name in ("use_rotary_position_embeddings", "use_rotary_position_embedding")
    )
    gated = "swiglu" in args and args["swiglu"].value is True
    norm = args.get("normalization")
    rms = norm is not None and "rms" in str(norm.value).lower()
    inputs = [
        args[n]
        for n in ("position_embedding_type", "swiglu", "normalization", "num_layers", "hidden_size")
        if n in args
    ]
    formula = "Megatron's positions, norm and activation"
    if "num_experts" in args:
        return known("megatron_moe", "num_experts", args["num_experts"])
    if rotary and gated and rms:
        return known("llama", formula, *inputs)
    if kind == "alibi" and not gated:
        return known("bloom", formula, *inputs)
    width, inner, bias = (settings.get(f"architecture.{k}") for k in ("d_model", "d_ff", "bias"))
    plain = isinstance(width, Known) and isinstance(inner, Known) and inner.value == 4 * width.value
    biased = not isinstance(bias, Known) or bool(bias.value)
    if kind == "learned_absolute" and not (rotary or gated or rms) and plain and biased and "squared_relu" not in args:
        return known("gpt2", formula, *inputs)
    return known("megatron_gpt", formula, *inputs)
