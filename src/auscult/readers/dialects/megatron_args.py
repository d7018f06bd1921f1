r"""The scripts that start Megatron-LM and Megatron-DeepSpeed: ``--num-layers 24 --hidden-size 1024 …``.

A launch script is read as text: its variables, arrays and here-documents are put together, and nothing is run. What the
command does not set has Megatron's default. Training is often given in samples; with ``--rampup-batch-size`` the batch grows
by steps, and the optimiser steps follow from Megatron's own loop. A DeepSpeed config that the script writes is read with it.
(Megatron-LM ``megatron/training/arguments.py`` at d98e8a6, Megatron-DeepSpeed ``arguments.py`` at f4157be.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import NotText
from ...run import Known, Problem, Quantity, Unknown, known
from ..files import InputFile
from ..launch import Launch, launch_of, slurm_variables
from ..megatron_keys import family_of, interpret, whole
from ..patterns import lazy
from ..reading import FILE, Dialect, Reading
from ..shell import Command, Word, read_script
from ..vocabulary import checked
from .deepspeed_config import reading_of_text

__all__ = ["DIALECT", "arguments_reading", "is_megatron"]

_SHELL = frozenset({".sh", ".bash", ".slurm", ".sbatch", ".sb", ".job", ".lsf", ".pbs", ".cmd", ".txt", ""})
_MARKS = (
    "--num-layers",
    "--hidden-size",
    "--num-attention-heads",
    "--seq-length",
    "--micro-batch-size",
    "--global-batch-size",
    "--lr-decay-style",
    "--max-position-embeddings",
    "--tensor-model-parallel-size",
    "--train-iters",
    "--train-samples",
)
_TRAINS = lazy(r"--(?:train-iters|train-samples|train-tokens|global-batch-size|lr)[=\s]")
_SHAPE = ("num_layers", "hidden_size", "num_attention_heads")
_ENOUGH = 4
_MAX_COMMANDS = 20
# which settings an argument that cannot be read leaves open
_OPEN: Mapping[str, tuple[str, ...]] = {
    "num_layers": ("architecture.n_layer",),
    "hidden_size": ("architecture.d_model", "architecture.d_ff"),
    "ffn_hidden_size": ("architecture.d_ff",),
    "num_attention_heads": ("architecture.n_head", "architecture.n_kv_head"),
    "num_query_groups": ("architecture.n_kv_head",),
    "seq_length": ("architecture.context", "logged.tokens_per_step"),
    "micro_batch_size": ("recipe.batch_size", "recipe.gradient_accumulation_steps"),
    "global_batch_size": ("recipe.gradient_accumulation_steps", "logged.tokens_per_step"),
    "lr": ("recipe.learning_rate",),
    "min_lr": ("recipe.min_lr",),
    "train_iters": ("recipe.max_steps", "recipe.decay_steps"),
    "train_samples": ("recipe.max_steps", "recipe.decay_steps"),
    "lr_decay_iters": ("recipe.decay_steps",),
    "lr_decay_samples": ("recipe.decay_steps",),
    "lr_warmup_iters": ("recipe.warmup_steps",),
    "lr_warmup_samples": ("recipe.warmup_steps",),
    "lr_warmup_fraction": ("recipe.warmup_steps",),
    "weight_decay": ("recipe.weight_decay",),
    "clip_grad": ("recipe.grad_clip",),
    "adam_beta1": ("recipe.beta1",),
    "adam_beta2": ("recipe.beta2",),
    "lr_decay_style": ("recipe.schedule",),
    "hidden_dropout": ("recipe.dropout",),
    "eval_interval": ("recipe.eval_interval",),
    "eval_iters": ("recipe.eval_iters",),
    "log_interval": ("recipe.log_interval",),
    "pad_vocab_size_to": ("architecture.vocab_size",),
}
_NOTED = (
    "tensor_model_parallel_size",
    "pipeline_model_parallel_size",
    "context_parallel_size",
    "expert_model_parallel_size",
    "num_experts",
    "rampup_batch_size",
    "step_batch_size_schedule",
    "train_samples",
    "train_tokens",
    "lr_decay_samples",
    "lr_warmup_samples",
    "exit_interval",
    "init_method_std",
    "attention_dropout",
    "position_embedding_type",
    "swiglu",
    "squared_relu",
    "normalization",
    "zero_stage",
    "loss_scale",
    "tokenizer_type",
    "vocab_size",
    "make_vocab_size_divisible_by",
    "embed_layernorm",
    "seed",
)


def is_megatron(flags: Mapping[str, Any]) -> bool:
    """Return whether a command's arguments, with ``_`` for ``-``, are those of a Megatron training."""
    shape = sum(1 for name in _SHAPE if name in flags)
    training = any(name in flags for name in ("train_iters", "train_samples", "train_tokens", "lr", "micro_batch_size"))
    return shape >= 2 and training


def arguments_reading(launch: Launch, file: str, machine: Mapping[str, Known[Any]]) -> Reading:
    """Return what a command says that starts a Megatron training."""
    flags = launch.normalised()
    args = {name: one for name, one in flags.items() if isinstance(one, Known)}
    if isinstance(launch.ranks, Known) and "world_size" not in args:
        args["world_size"] = launch.ranks
    padded = args.get("pad_vocab_size_to")
    if padded is not None:
        args.setdefault("padded_vocab_size", padded)
    settings, problems = interpret(args, defaults=True)
    for name, one in flags.items():
        if isinstance(one, Unknown):
            for key in _OPEN.get(name, ()):
                if name not in ("lr_decay_samples", "lr_decay_iters") or not isinstance(settings.get(key), Known):
                    settings[key] = one
    _ramp(args, settings)
    _tokens(args, settings)
    settings["architecture.family"] = family_of(args, settings)
    _machine(launch, settings, machine, problems)
    noted = {f"megatron.{name}": args[name] for name in _NOTED if name in args}
    return Reading(
        DIALECT.name,
        file,
        "config",
        settings=settings,
        problems=tuple(problems),
        noted=noted,
        authority=FILE,
    )


def _machine(
    launch: Launch, settings: dict[str, Quantity[Any]], machine: Mapping[str, Known[Any]], problems: list[Problem]
) -> None:
    for name, one in machine.items():
        key = f"machine.{name}"
        if not isinstance(settings.get(key), Known):
            settings[key], problem = checked(key, one)
            if problem is not None:
                problems.append(problem)
    if "recipe.world_size" not in settings and isinstance(launch.ranks, Unknown):
        settings["recipe.world_size"] = launch.ranks


def _ramp(args: Mapping[str, Known[Any]], settings: dict[str, Quantity[Any]]) -> None:
    """Put steps for samples where the batch grows: Megatron counts them by its own loop."""
    ramp, batch = args.get("rampup_batch_size"), args.get("global_batch_size")
    size = whole(batch)
    if ramp is None or batch is None or size is None:
        return
    parts = [int(p.replace("_", "")) for p in str(ramp.value).split() if p.replace("_", "").isdigit() and len(p) < 19]
    if len(parts) != 3:
        return
    for key, name in (
        ("recipe.max_steps", "train_samples"),
        ("recipe.decay_steps", "lr_decay_samples"),
        ("recipe.warmup_steps", "lr_warmup_samples"),
    ):
        one = args.get(name)
        samples = whole(one)
        steps = _steps(samples, parts, size) if samples is not None else None
        if one is not None and steps is not None:
            formula = f"{name} over the batches that grow by rampup_batch_size"
            settings[key], _problem = checked(key, known(steps, formula, one, ramp, batch))
    planned = settings.get("recipe.max_steps")
    if not {"lr_decay_samples", "lr_decay_iters"} & args.keys() and isinstance(planned, Known):
        formula = "Megatron's default: decays over all training steps"
        settings["recipe.decay_steps"] = known(planned.value, formula, planned)


def _steps(samples: int, ramp: list[int], size: int) -> int | None:
    """Return how many optimiser steps it takes to see so many samples (Megatron's ``update_train_iters``).

    Examples
    --------
    >>> _steps(100, [10, 10, 60], 30)  # 3 of 10, 2 of 20, 1 of 30
    6
    """
    start, increment, length = ramp
    if start < 1 or increment < 1 or length < 1 or size <= start or (size - start) % increment:
        return None
    levels = (size - start) // increment
    if levels > 100_000:
        return None
    each = length / levels
    seen = steps = 0
    for level in range(levels):
        batch = start + level * increment
        end = min(samples, (level + 1) * each)
        if seen < end:
            more = -(-int(end - seen) // batch) or 1
            seen += more * batch
            steps += more
        if seen >= samples:
            return steps
    return steps + (samples - seen) // size if samples > seen else steps


def _tokens(args: Mapping[str, Known[Any]], settings: dict[str, Quantity[Any]]) -> None:
    context = settings.get("architecture.context")
    samples, tokens = args.get("train_samples"), args.get("train_tokens")
    if tokens is not None and whole(tokens) is not None:
        settings["logged.tokens_planned"], _problem = checked("logged.tokens_planned", tokens)
    elif samples is not None and (count := whole(samples)) is not None and isinstance(context, Known):
        planned = known(count * context.value, "train_samples · seq_length", samples, context)
        settings["logged.tokens_planned"], _problem = checked("logged.tokens_planned", planned)


def _launches(script_text: str, file: str) -> tuple[list[Launch], list[tuple[str, int]], dict[str, Known[Any]]]:
    """Return the trainings that a script starts, the texts it writes, and what Slurm is asked for."""
    variables, machine = slurm_variables(script_text, file)
    script = read_script(script_text, given=variables)
    found: list[Launch] = []
    seen: set[tuple[tuple[str, str], ...]] = set()
    echoes: list[Launch] = []
    for command in script.commands:
        launch = launch_of(command, file)
        if launch is None or not is_megatron(launch.normalised()):
            continue
        if command.words[0].text in ("echo", "printf", "cat", "sed"):
            echoes.append(launch)
            continue
        same = tuple(sorted((name, str(getattr(q, "value", q))) for name, q in launch.flags.items()))
        if same not in seen and len(found) < _MAX_COMMANDS:
            seen.add(same)
            found.append(launch)
    if not found:
        found = echoes[:1] or _from_variables(script.variables, script.commands, file)
    return found, script.documents, machine


def _from_variables(variables: Mapping[str, list[Word]], commands: list[Command], file: str) -> list[Launch]:
    """Return the training that variables describe, where the command that uses them is not in sight."""
    script = Word("pretrain_gpt.py", 1)
    options = [Command((script, *words), words[0].line) for words in variables.values() if words]
    options += [Command((script, *command.words), command.line) for command in commands]
    best: Launch | None = None
    for option in options:
        launch = launch_of(option, file)
        if (
            launch is not None
            and is_megatron(launch.normalised())
            and (best is None or len(launch.flags) > len(best.flags))
        ):
            best = launch
    if best is not None:
        return [best]
    joined = [word for words in variables.values() if any(w.text.startswith("--") for w in words) for word in words]
    launch = launch_of(Command((script, *joined[:5000]), 1), file)
    return [launch] if launch is not None and is_megatron(launch.normalised()) else []


def _sniff(file: InputFile) -> float:
    if file.suffix not in _SHELL or file.is_binary:
        return 0.0
    text = file.sample
    if file.suffix == "" and not text.startswith("#!"):
        return 0.0
    marks = sum(1 for mark in _MARKS if mark + " " in text or mark + "=" in text or mark + "\t" in text)
    if marks < _ENOUGH or not _TRAINS.search(text) or re.search(r"iteration\s{1,12}\d{1,12}/\s{0,12}\d", text):
        return 0.0
    return 0.9 if file.suffix not in (".txt", ".cmd") else 0.7


def _read(file: InputFile) -> Iterable[Reading]:
    text = file.text()
    launches, documents, machine = _launches(text, file.name)
    if not launches:
        raise NotText(
            "no command that starts a Megatron training is in it",
            where=file.name,
            expected="`pretrain_gpt.py --num-layers 24 --hidden-size 1024 …`",
            hint="give the script that training was started with",
        )
    configs = [one for text, line in documents if (one := reading_of_text(text, file.name, line)) is not None]
    readings = []
    for index, launch in enumerate(launches, 1):
        reading = arguments_reading(launch, file.name, machine)
        parts = tuple(
            replace(one, settings={k: q for k, q in one.settings.items() if k not in reading.settings})
            for one in configs[-1:]
        )
        readings.append(replace(reading, parts=parts, label=str(index) if len(launches) > 1 else ""))
    return tuple(readings)


DIALECT = Dialect(
    name="megatron_args",
    title="Megatron launch script",
    role="config",
    example='GPT_ARGS="--num-layers 24 --hidden-size 1024 --micro-batch-size 4 --global-batch-size 256"\ntorchrun --nproc_per_node 8 pretrain_gpt.py $GPT_ARGS',
    reads="the arguments of the command with the line on which each value stands, through variables, arrays, `bash -c` and"
    " `eval`: shape, batch, schedule, optimiser, regularisation, precision; samples are turned into steps, even where the"
    " batch grows; what is not set has Megatron's default, and says so. The number of processes from the launcher, nodes and"
    " cards from `#SBATCH` lines, and a DeepSpeed config that the script writes. A variable that branches set differently is"
    " left open",
    cannot="what comes from the environment, from the script's own arguments or from a command's output; the vocabulary unless"
    " it is padded to a given size",
    source="NVIDIA/Megatron-LM megatron/training/arguments.py at d98e8a6; microsoft/Megatron-DeepSpeed at f4157be;"
    " bigscience-workshop/bigscience train/*.slurm",
    sniff=_sniff,
    read=_read,
    missing="the launch script does not say",
)
