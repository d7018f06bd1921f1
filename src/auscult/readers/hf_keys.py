"""What the Hugging Face trainer calls things: the columns of its history, its arguments, and what follows from them.

Shared by its files (``trainer_state.json``, training arguments, event files, LLaMA-Factory's log). What a row means is in
``transformers/trainer.py``: ``loss`` is the mean over the steps since the row before, over all processes; ``grad_norm`` the
norm of the last step before clipping; ``train_loss`` of the last row the mean over the whole run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..run import Known, Quantity, Source, Unknown, known
from .json_text import count, number_in
from .meaning import GRAD_NORM, LEARNING_RATE, TOKENS_PER_S, TOKENS_SEEN, TRAIN_LOSS, TRAIN_LOSS_EVAL, VAL_LOSS, Metric
from .patterns import lazy
from .vocabulary import checked

__all__ = [
    "ARGUMENTS",
    "NOT_MEASURED",
    "SUMMARY",
    "VOCABULARY",
    "arguments_noted",
    "arguments_raw",
    "column",
    "interpret",
    "no_limit",
    "public_name",
    "sequences_per_step",
    "state_key",
]

VOCABULARY = "hf_trainer"
STATE, LOG = "(state ", "(log "
_NO_LIMIT = 2**40
"""Epochs above it are the trainer's way of saying that only ``max_steps`` ends the run (it writes ``sys.maxsize``)."""
_WINDOW = "mean over the steps since the row before, dropout on"
_ONE_STEP = "the batch of one step, dropout on"
_FILTER = "NaN and infinite losses count as the mean of the others unless logging_nan_inf_filter is off"

SUMMARY = frozenset({"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"})
"""Columns of the row that is written when training ends; ``train_loss`` in it is the mean over the whole run."""
NOT_MEASURED = frozenset({"step", "epoch"})
_DATASETS_VAL = frozenset({"validation", "valid", "val", "dev", "eval", "test", "heldout"})
_SPEED = {"runtime": "s", "samples_per_second": "samples_per_s", "steps_per_second": "steps_per_s"}
_OTHER_LOSS = lazy(r"^(?:rewards?(?:/|$)|reward_std|kl$|logps/|objective/|policy/|clip_ratio)")
"""Columns of preference and policy training (TRL), whose ``loss`` is no cross-entropy."""


def column(name: str, names: Iterable[str] = (), *, every_step: bool = False) -> Metric | None:
    """Return what a column of the history means, or None when it counts steps.

    Parameters
    ----------
    name : str
        ``loss``, ``eval_loss``, ``grad_norm``, ``eval_wikitext_loss``, ``rewards/margins`` …
    names : iterable of str
        All columns of the history: what else is logged tells which loss it is.
    every_step : bool
        Whether there is a row for every step, so that a loss is that of one step.

    Examples
    --------
    >>> column("loss").window
    'mean over the steps since the row before, dropout on'
    >>> column("eval_loss").name, column("entropy").name, column("epoch")
    ('val_loss', 'entropy', None)
    """
    known_names = tuple(names)
    if name in NOT_MEASURED:
        return None
    if name == "loss":
        metric = TRAIN_LOSS.but(window=_ONE_STEP if every_step else _WINDOW, scope="global", convention=_FILTER)
        if any(_OTHER_LOSS.match(other) for other in known_names):
            return metric.but(unit="1", convention="the loss of preference or policy training, no cross-entropy")
        return metric
    if name == "learning_rate":
        return LEARNING_RATE.but(mode="train", scope="global")
    if name == "grad_norm":
        return GRAD_NORM.but(window="the last step since the row before, before clipping", scope="global")
    if name in ("num_input_tokens_seen", "num_tokens"):
        return TOKENS_SEEN.but(scope="global")
    if name == "tokens_per_second":
        return TOKENS_PER_S.but(window="the steps since the row before", scope="global")
    if name == "train_tokens_per_second":
        return TOKENS_PER_S.but(window="the run so far", scope="global")
    if name.startswith("eval_"):
        return _evaluated(name, known_names)
    if name.startswith(("test_", "predict_")):
        return Metric(name, "-", "eval", _unit(name), "an evaluation", "global")
    if name == "train_loss" or name in SUMMARY:
        return None
    return Metric(name, "train", "train", _unit(name), "not said", "unknown")


def _unit(name: str) -> str:
    for ending, unit in _SPEED.items():
        if name.endswith(ending):
            return unit
    return "fraction" if name.endswith("accuracy") else "1"


def _evaluated(name: str, names: tuple[str, ...]) -> Metric:
    """Return the meaning of a column of an evaluation; with several sets of data their names stand within the column's."""
    other = any(_OTHER_LOSS.match(each.removeprefix("eval_")) for each in names)
    changes = (
        {"unit": "1", "convention": "the loss of preference or policy training, no cross-entropy"} if other else {}
    )
    window = "the evaluation set, mean over its batches"
    if name == "eval_loss":
        return VAL_LOSS.but(window=window, scope="global", **changes)
    if name.endswith("_loss") and name.count("_") >= 2:
        sets = [each for each in names if each.startswith("eval_") and each.endswith("_loss") and each != "eval_loss"]
        data = name.removeprefix("eval_").removesuffix("_loss")
        if data == "train" and "eval_loss" not in names:
            return TRAIN_LOSS_EVAL.but(window=window, scope="global", **changes)
        alone = "eval_loss" not in names and (data in _DATASETS_VAL or sets == [name])
        if alone and (data in _DATASETS_VAL or not any(s[5:-5] in _DATASETS_VAL for s in sets)):
            if data == "test" and any(s[5:-5] in _DATASETS_VAL - {"test"} for s in sets):
                return VAL_LOSS.but(name=name, window=window, scope="global", **changes)
            return VAL_LOSS.but(window=f"the evaluation set {data}", scope="global", **changes)
        return VAL_LOSS.but(name=name, window=f"the evaluation set {data}", scope="global", **changes)
    return Metric(name, "val", "eval", _unit(name), "an evaluation", "global")


# ---- what the arguments and the state mean together


def state_key(step: int, *, log: bool = False) -> str:
    """Return the name under which a state, or a line of LLaMA-Factory's log, is kept until the latest of a run is known."""
    return f"{LOG if log else STATE}{step:019d})"


def sequences_per_step(
    final: Mapping[str, Any], max_steps: int | None, epoch: float | None
) -> tuple[float, float] | None:
    """Return bounds of how many sequences one step takes over all processes, from the speeds in the last row.

    The trainer divides ``epochs · examples`` (or ``max_steps · batch``) by the run time, rounds to three decimals, and does
    the same with ``max_steps``; an epoch's last, partial batch leaves the quotient uncertain by one step in an epoch.

    Examples
    --------
    >>> low, high = sequences_per_step({"train_runtime": 100.0, "train_samples_per_second": 32.0}, 100, 1.0)
    >>> low < 32 < high
    True
    """
    runtime = number_in(final.get("train_runtime"))
    speed = number_in(final.get("train_samples_per_second"))
    if not runtime or not speed or not max_steps or not math.isfinite(runtime * speed) or runtime <= 0 or speed <= 0:
        return None
    steps_per_epoch = max_steps / max(epoch or 0.0, 1.0)
    if steps_per_epoch <= 2:
        return None
    low = max(speed - 5e-4, 0.0) * (runtime - 5e-5) / max_steps
    high = (speed + 5e-4) * (runtime + 5e-5) / max_steps
    return low * steps_per_epoch / (steps_per_epoch + 1), high * steps_per_epoch / (steps_per_epoch - 1)


_SIMPLE: Mapping[str, str] = {
    "learning_rate": "recipe.learning_rate",
    "weight_decay": "recipe.weight_decay",
    "adam_beta1": "recipe.beta1",
    "adam_beta2": "recipe.beta2",
    "max_grad_norm": "recipe.grad_clip",
    "torch_compile": "recipe.compile",
}
_NOTED = (
    *(
        "num_train_epochs",
        "logging_steps",
        "eval_steps",
        "save_steps",
        "warmup_ratio",
        "seed",
        "gradient_checkpointing",
    ),
    *(
        "label_smoothing_factor",
        "neftune_noise_alpha",
        "group_by_length",
        "logging_nan_inf_filter",
        "packing",
        "max_length",
    ),
    *(
        "max_seq_length",
        "cutoff_len",
        "block_size",
        "stage",
        "finetuning_type",
        "lora_rank",
        "lora_alpha",
        "quantization_bit",
    ),
    *("auto_find_batch_size", "average_tokens_across_devices", "include_num_input_tokens_seen", "save_only_model"),
    *("gradient_accumulation_steps", "per_device_train_batch_size", "beta", "loss_type", "completion_only_loss"),
    *(
        "assistant_only_loss",
        "use_liger_kernel",
        "pure_bf16",
        "dataloader_drop_last",
        "eval_strategy",
        "logging_strategy",
    ),
)
"""Arguments that are kept under ``hf.…``: numbers, switches and fixed words, nothing that names a person or a path."""
ARGUMENTS = (
    frozenset(_SIMPLE)
    | frozenset(_NOTED)
    | frozenset(
        {
            *(
                "per_gpu_train_batch_size",
                "max_steps",
                "lr_scheduler_type",
                "lr_scheduler_kwargs",
                "warmup_steps",
                "optim",
            ),
            *(
                "adafactor",
                "bf16",
                "fp16",
                "evaluation_strategy",
                "local_rank",
                "world_size",
                "n_gpu",
                "_n_gpu",
                "use_cpu",
            ),
            *("no_cuda", "run_name", "dataset"),
        }
    )
)
"""Every argument that is looked at."""
_WORD = lazy(r"^[\w.-]{1,60}$")
_DECAY_TO_ZERO = {"linear": "linear", "cosine": "cosine", "polynomial": "polynomial"}


def arguments_raw(values: Mapping[str, Known[Any]]) -> dict[str, Quantity[Any]]:
    """Return the known arguments that say something; names that may be folders of somebody's machine are left out."""
    raw: dict[str, Quantity[Any]] = {}
    for name in ARGUMENTS & values.keys():
        quantity = values[name]
        if quantity.value is None or quantity.value in ("", "auto", "None"):
            continue
        if name in ("run_name", "dataset") and public_name(quantity.value) is None:
            continue
        raw[name] = quantity
    run_name, output = values.get("run_name"), values.get("output_dir")
    if run_name is not None and output is not None and run_name.value == output.value:
        raw.pop("run_name", None)  # the trainer's default for it is the folder
    return raw


def arguments_noted(values: Mapping[str, Known[Any]]) -> dict[str, Known[Any]]:
    """Return what the arguments say that has no canonical key."""
    noted: dict[str, Known[Any]] = {}
    for name in _NOTED:
        quantity = values.get(name)
        if quantity is None or quantity.value is None:
            continue
        value = quantity.value
        if isinstance(value, bool | int | float) or (isinstance(value, str) and _WORD.match(value)):
            noted[f"hf.{name}"] = quantity
    for name in ("deepspeed", "fsdp"):
        quantity = values.get(name)
        if quantity is not None and quantity.value not in (None, "", [], {}, False):
            noted[f"hf.{name}"] = Known(
                True, Source("read", quantity.source.file, quantity.source.line, f"{name} is set")
            )
    return noted


def public_name(text: Any) -> str | None:
    r"""Return a name that may be shown: of a model or data set on the hub, or a plain word; None when it is a path of somebody's machine.

    Examples
    --------
    >>> public_name("gpt2-small"), public_name("meta-llama/Llama-3.2-1B"), public_name("/home/me/out"), public_name("C:\\x")
    ('gpt2-small', 'meta-llama/Llama-3.2-1B', None, None)
    """
    if not isinstance(text, str) or not re.fullmatch(r"[\w][\w.-]{0,95}(?:/[\w][\w.-]{0,95})?", text):
        return None
    return text


def _enum(value: Any) -> str | None:
    """Return the value of an option that may be written as ``SchedulerType.LINEAR``."""
    if not isinstance(value, str) or not _WORD.match(value):
        return None
    return value.rpartition(".")[2].lower() if value.rpartition(".")[0][:1].isupper() else value.lower()


def interpret(raw: Mapping[str, Quantity[Any]]) -> dict[str, Quantity[Any]]:
    """Return canonical settings from the arguments and from the latest state of a run."""
    values = {key: quantity for key, quantity in raw.items() if isinstance(quantity, Known)}
    state = _latest(values, STATE) or _latest(values, LOG)
    settings: dict[str, Quantity[Any]] = {}

    def put(key: str, quantity: Quantity[Any] | None) -> None:
        if quantity is not None:
            settings[key] = checked(key, quantity)[0] if isinstance(quantity, Known) else quantity

    for name, key in _SIMPLE.items():
        if name in values and isinstance(values[name].value, int | float | bool):
            put(key, values[name])
    max_steps = _planned(values, state)
    put("recipe.max_steps", max_steps)
    put("logged.epochs", state.get("epoch"))
    put("logged.tokens_seen", state.get("tokens_seen"))
    _put_schedule(put, values, max_steps)
    _put_optimizer(put, values)
    _put_intervals(put, values, state)
    _put_batch(put, values, state)
    _put_context(put, values)
    put("recipe.run_name", values.get("run_name"))
    put("recipe.dataset", values.get("dataset"))
    return settings


def _latest(values: Mapping[str, Known[Any]], prefix: str) -> dict[str, Known[Any]]:
    keys = [key for key in values if key.startswith(prefix)]
    return dict(values[max(keys)].value) if keys else {}


def _whole(quantity: Known[Any] | None, low: int = 1) -> Known[int] | None:
    if quantity is None:
        return None
    value = count(quantity.value)
    return Known(value, quantity.source) if value is not None and value >= low else None


def _first(*options: Known[Any] | None) -> Known[Any] | None:
    return next((option for option in options if option is not None), None)


def _planned(values: Mapping[str, Known[Any]], state: Mapping[str, Known[Any]]) -> Known[int] | None:
    return _first(_whole(state.get("max_steps")), _whole(values.get("max_steps")))


def _put_schedule(put: Any, values: Mapping[str, Known[Any]], max_steps: Known[int] | None) -> None:
    kind = values.get("lr_scheduler_type")
    name = _enum(kind.value) if kind is not None else None
    if kind is not None and name is not None:
        put("recipe.schedule", Known(name, kind.source))
    steps, ratio = values.get("warmup_steps"), values.get("warmup_ratio")
    share = number_in(ratio.value) if ratio is not None else None
    if steps is not None and isinstance(steps.value, float) and 0 < steps.value < 1:  # transformers 5: a share
        ratio, share, steps = steps, steps.value, None
    fixed = _whole(steps)
    if name in ("constant", "reduce_lr_on_plateau") and kind is not None:
        put("recipe.warmup_steps", known(0, f"a {name} schedule has no warm-up", Known(name, kind.source)))
    elif fixed is not None:
        put("recipe.warmup_steps", fixed)
    elif share and ratio is not None:
        put(
            "recipe.warmup_steps",
            known(math.ceil(share * max_steps.value), "warmup_ratio · max_steps", ratio, max_steps)
            if max_steps is not None and 0 < share <= 1
            else Unknown(f"{ratio.source.place} gives it as a share of the steps, and those are not known"),
        )
    elif steps is not None:
        put("recipe.warmup_steps", _whole(steps, 0))
    if kind is not None and name in _DECAY_TO_ZERO and max_steps is not None:
        put("recipe.decay_steps", known(max_steps.value, f"a {name} schedule ends with the run", max_steps, kind))
    if kind is not None and name in ("linear", "cosine"):
        put("recipe.min_lr", known(0.0, f"a {name} schedule ends at 0", kind))
    extra = values.get("lr_scheduler_kwargs")
    if extra is not None and isinstance(extra.value, dict) and name == "cosine_with_min_lr":
        floor, rate, peak = extra.value.get("min_lr"), extra.value.get("min_lr_rate"), values.get("learning_rate")
        if number_in(floor) is not None:
            put("recipe.min_lr", Known(number_in(floor), extra.source))
        elif number_in(rate) is not None and peak is not None and number_in(peak.value) is not None:
            put(
                "recipe.min_lr",
                known((number_in(rate) or 0) * (number_in(peak.value) or 0), "min_lr_rate · peak", extra, peak),
            )


def _put_optimizer(put: Any, values: Mapping[str, Known[Any]]) -> None:
    optim, adafactor = values.get("optim"), values.get("adafactor")
    if adafactor is not None and adafactor.value is True:
        put("recipe.optimizer", Known("adafactor", adafactor.source))
    elif optim is not None and (name := _enum(optim.value)):
        put("recipe.optimizer", Known(name, optim.source))
    for flag, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        if flag in values and values[flag].value is True:
            put("recipe.dtype", Known(dtype, values[flag].source))
            break


def _put_intervals(put: Any, values: Mapping[str, Known[Any]], state: Mapping[str, Known[Any]]) -> None:
    def strategy(*names: str) -> str | None:
        found = next((values[n] for n in names if n in values and isinstance(values[n].value, str)), None)
        return _enum(found.value) if found is not None else None

    logging = _whole(values.get("logging_steps"))
    if strategy("logging_strategy") in ("steps", None):
        put("recipe.log_interval", _first(state.get("log_interval"), logging))
    if strategy("eval_strategy", "evaluation_strategy") == "steps":
        put("recipe.eval_interval", _first(state.get("eval_interval"), _whole(values.get("eval_steps")), logging))
    else:
        put("recipe.eval_interval", state.get("eval_interval"))


def _put_batch(put: Any, values: Mapping[str, Known[Any]], state: Mapping[str, Known[Any]]) -> None:
    """Settle the micro-batch, the accumulation over all ranks, and how many ranks there were."""
    per_device = _first(
        _whole(values.get("per_gpu_train_batch_size")), _whole(values.get("per_device_train_batch_size"))
    )
    per_rank_accumulation = _whole(values.get("gradient_accumulation_steps"))
    ranks, devices = _ranks(values)
    batch: Quantity[int] | None = _whole(state.get("train_batch_size"))
    search = values.get("auto_find_batch_size")
    if batch is None and per_device is not None:
        if search is not None and search.value is True:
            batch = Unknown(f"auto_find_batch_size is set at {search.source.place}: the trainer may have halved it")
        elif devices is not None and devices.value > 1:
            batch = known(per_device.value * devices.value, "per_device_train_batch_size · n_gpu", per_device, devices)
        else:
            batch = per_device
    put("recipe.batch_size", batch)
    measured = _total_accumulation(state, batch)
    total: Quantity[int] | None = measured
    if measured is None and per_rank_accumulation is not None:
        total = (
            known(
                per_rank_accumulation.value * ranks.value,
                "accumulation of each process · processes",
                per_rank_accumulation,
                ranks,
            )
            if ranks is not None
            else Unknown(
                f"{per_rank_accumulation.source.place} gives {per_rank_accumulation.value} for each process; how many there"
                " were, the training arguments do not say"
            )
        )
    put("recipe.gradient_accumulation_steps", total)
    cards: Known[int] | None = None
    if (
        measured is not None
        and isinstance(batch, Known)
        and per_rank_accumulation is not None
        and per_device is not None
    ):
        number, rest = divmod(measured.value * batch.value, per_rank_accumulation.value * per_device.value)
        if number and not rest:
            formula = "sequences per step / (micro-batch of a card · accumulation of each process)"
            cards = known(number, formula, measured, batch, per_rank_accumulation, per_device)
        number, rest = divmod(measured.value, per_rank_accumulation.value)
        if ranks is None and number and not rest:
            ranks = known(number, "accumulation over all ranks / accumulation of each", measured, per_rank_accumulation)
    elif ranks is not None and devices is not None:
        cards = known(ranks.value * devices.value, "processes · cards of each", ranks, devices)
    put("recipe.world_size", ranks)
    if not any(name in values and values[name].value is True for name in ("use_cpu", "no_cuda")):
        put("machine.gpu_count", cards)


def _ranks(values: Mapping[str, Known[Any]]) -> tuple[Known[int] | None, Known[int] | None]:
    """Return the number of processes and of cards of each, where the arguments say them."""
    devices = _first(_whole(values.get("_n_gpu")), _whole(values.get("n_gpu")))
    world = _whole(values.get("world_size"))
    rank = values.get("local_rank")
    if world is None and rank is not None and rank.value == -1:  # not distributed; later versions write 0 for it
        world = known(1, "local_rank -1: one process", rank)
    return world, devices


def _total_accumulation(state: Mapping[str, Known[Any]], batch: Quantity[int] | None) -> Known[int] | None:
    """Return the one whole number of micro-batches that the speeds in the last row allow."""
    bounds = state.get("sequences_per_step")
    if bounds is None or not isinstance(batch, Known):
        return None
    low, high = bounds.value
    lowest, highest = math.ceil(low / batch.value), math.floor(high / batch.value)
    if lowest != highest or lowest < 1:
        return None
    return known(lowest, "train_samples_per_second · train_runtime / (max_steps · micro-batch)", bounds, batch)


def _put_context(put: Any, values: Mapping[str, Known[Any]]) -> None:
    length = next(
        (q for n in ("max_seq_length", "max_length", "cutoff_len") if (q := _whole(values.get(n))) is not None), None
    )
    if length is None:
        put("architecture.context", _whole(values.get("block_size")))  # run_clm.py joins texts and cuts blocks
        return
    packing, stage = values.get("packing"), values.get("stage")
    packed = (
        packing.value
        if packing is not None and packing.value is not None
        else stage is not None and stage.value == "pt"
    )
    if packed is True:
        put("architecture.context", length)
    else:
        put(
            "architecture.context",
            Unknown(
                f"{length.source.place} limits sequences to {length.value} tokens; without packing they are shorter"
            ),
        )


def no_limit(epochs: float | None) -> bool:
    """Return whether a number of epochs stands for none: the run ends by its steps.

    Examples
    --------
    >>> no_limit(9223372036854775807), no_limit(3)
    (True, False)
    """
    return epochs is not None and epochs > _NO_LIMIT
