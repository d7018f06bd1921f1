"""levanter's YAML: ``model``, ``trainer``, ``optimizer`` and ``data`` of a job for TPUs or GPUs.

``train_batch_size`` counts sequences of one optimiser step over all devices; ``per_device_parallelism`` those of one device
at once (-1: its whole share). Warm-up and decay are steps, or a share of all steps below 1. Files may stand in one another
by ``!include``; what they hold is not followed.
(levanter ``trainer.py``, ``optim/config.py``, ``models/*.py`` at 9263f81.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import BadConfig
from ...run import Known, Quantity, Unknown, known
from ..config_sheet import Sheet, default, read_values, top_level_keys
from ..files import InputFile
from ..hf_keys import public_name
from ..patterns import lazy
from ..reading import Dialect, Reading

__all__ = ["DIALECT"]

_TRAINER = "levanter"
_NAMES = {
    "architecture.n_layer": "model.num_layers",
    "architecture.n_head": "model.num_heads",
    "architecture.d_model": "model.hidden_dim",
    "architecture.d_ff": "model.intermediate_dim",
    "architecture.n_kv_head": "model.num_kv_heads",
    "architecture.context": "train_seq_len model.seq_len model.max_seq_len",
    "architecture.tied": "model.tie_word_embeddings",
    "architecture.bias": "model.use_bias",
    "recipe.dropout": "model.resid_pdrop",
    "recipe.max_steps": "trainer.num_train_steps",
    "recipe.learning_rate": "optimizer.learning_rate",
    "recipe.weight_decay": "optimizer.weight_decay",
    "recipe.beta1": "optimizer.beta1",
    "recipe.beta2": "optimizer.beta2",
    "recipe.grad_clip": "optimizer.max_grad_norm",
    "recipe.optimizer": "optimizer.type",
    "recipe.eval_interval": "trainer.steps_per_eval",
    "recipe.eval_iters": "trainer.max_eval_batches",
}
_DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("recipe.max_steps", "trainer.num_train_steps", 400_000),
    ("recipe.learning_rate", "optimizer.learning_rate", 6e-4),
    ("recipe.weight_decay", "optimizer.weight_decay", 0.1),
    ("recipe.optimizer", "optimizer.type", "adam"),
    ("recipe.grad_clip", "optimizer.max_grad_norm", 1.0),
    ("recipe.eval_interval", "trainer.steps_per_eval", 1000),
)
_ADAM: tuple[tuple[str, str, Any], ...] = (("recipe.beta1", "beta1", 0.9), ("recipe.beta2", "beta2", 0.95))
_SURE = tuple(
    lazy(pattern, re.MULTILINE)
    for pattern in (
        r"^ {1,8}train_batch_size:",
        r"^ {1,8}num_train_steps:",
        r"^ {1,8}mp: ?[\"']?(?:p|f|c|bf)\w{0,8}",
        r"^ {1,8}model_axis_size:",
        r"^ {1,8}per_device_parallelism:",
        r"^ {1,8}min_lr_ratio:",
    )
)
_HIDDEN = lazy(r"^ {1,8}hidden_dim:", re.MULTILINE)
_FAMILY = lazy(r"[a-z][a-z0-9_-]{1,30}")
# what a model's class sets by default
_MODELS: Mapping[str, Mapping[str, Any]] = {
    "gpt2": {"n_layer": 12, "n_head": 12, "d_model": 768, "context": 1024, "tied": True, "bias": True},
    "llama": {
        "n_layer": 32,
        "n_head": 32,
        "n_kv_head": 32,
        "d_model": 4096,
        "d_ff": 11008,
        "context": 2048,
        "tied": False,
        "bias": False,
    },
}
_NOTED = (
    "model.type",
    "model.gradient_checkpointing",
    "trainer.mp",
    "trainer.model_axis_size",
    "trainer.per_device_parallelism",
    "trainer.train_batch_size",
    "data.tokenizer",
    "data.shuffle",
    "initialize_from_hf",
    "z_loss_weight",
    "optimizer.decay",
    "optimizer.cycles",
    "optimizer.rewarmup",
)
_VOCABULARIES = {"gpt2": 50257}


def _put_model(sheet: Sheet) -> None:
    kind = sheet.text("model.type")
    name = kind.value if kind is not None else ""
    if kind is not None and _FAMILY.fullmatch(name):
        sheet.put("architecture.family", known(name, "the model's type", kind))
        for field, value in _MODELS.get(name, {}).items():
            sheet.default(f"architecture.{field}", f"{name}'s {field}", value)
    heads, width = sheet.known("architecture.n_head"), sheet.known("architecture.d_model")
    if name == "gpt2" and width is not None:
        scale = sheet.whole("model.mlp_scale")
        times = scale.value if scale is not None else 4
        inputs = (width,) if scale is None else (width, scale)
        sheet.put("architecture.d_ff", known(times * width.value, "mlp_scale · hidden_dim", *inputs))
        if heads is not None:
            sheet.put("architecture.n_kv_head", known(heads.value, "GPT-2 has as many as heads", heads))
    tokenizer = sheet.text("data.tokenizer")
    if tokenizer is not None and tokenizer.value in _VOCABULARIES:
        size = _VOCABULARIES[tokenizer.value]
        sheet.put("architecture.vocab_size", known(size, "the tokenizer's vocabulary", tokenizer))
    start = sheet.text("initialize_from_hf", "trainer.initialize_from")
    if start is not None:
        sheet.put("recipe.init_from", start)


def _put_batch(sheet: Sheet) -> None:
    total = sheet.whole("trainer.train_batch_size")
    if total is None and sheet.said("trainer.train_batch_size") is None and not sheet.below("trainer.train_batch_size"):
        total = default(_TRAINER, "trainer.train_batch_size", 512)
    changing = sheet.said("trainer.train_batch_size.0.value") is not None or (
        isinstance(one := sheet.said("trainer.train_batch_size"), Known) and isinstance(one.value, list)
    )
    if changing:
        why = Unknown("the batch follows a schedule (train_batch_size is a list)")
        sheet.put("recipe.gradient_accumulation_steps", why)
        sheet.put("logged.tokens_per_step", why)
        return
    micro = sheet.whole("trainer.per_device_parallelism")
    if micro is not None:
        sheet.put("recipe.batch_size", micro)
    else:
        sheet.put("recipe.batch_size", Unknown("per_device_parallelism is -1: each device takes its share at once"))
    if total is not None:
        sheet.batch(total=total, names=("train_batch_size", "per_device_parallelism"))


def _put_schedule(sheet: Sheet) -> None:
    steps = sheet.known("recipe.max_steps")
    style = sheet.text("optimizer.lr_schedule", "optimizer.lr_schedule.type")

    def in_steps(one: Known[float], what: str) -> Quantity[int]:
        if one.value >= 1 or one.value == 0:
            return known(int(one.value), what, one)
        if steps is None:
            return Unknown(f"{one.source.place} is a share of the steps, and those are not known")
        return known(int(one.value * steps.value), f"{what} · num_train_steps", one, steps)

    warmup = sheet.number("optimizer.warmup", "optimizer.warmup_ratio")
    if warmup is not None:
        sheet.put("recipe.warmup_steps", in_steps(warmup, "warmup"))
    elif steps is not None:
        formula = "levanter's default (warmup = 0.01 of the steps), not set in the config"
        sheet.put("recipe.warmup_steps", known(int(0.01 * steps.value), formula, steps))
    decay = sheet.number("optimizer.decay")
    cycles = any(path.startswith(("optimizer.cycle", "optimizer.haps")) for path in sheet.values)
    if cycles:
        sheet.put("recipe.schedule", Unknown("the learning rate goes through cycles"))
        return
    if decay is not None and 0 < decay.value < 1:
        sheet.put("recipe.schedule", known("wsd", "constant, then a decay over the last share of the steps", decay))
    elif style is not None:
        sheet.put("recipe.schedule", style)
    else:
        sheet.default("recipe.schedule", "optimizer.lr_schedule", "cosine")
    kind = sheet.known("recipe.schedule")
    if kind is None or kind.value == "constant":
        return
    if steps is not None:
        sheet.put("recipe.decay_steps", known(steps.value, "levanter's decay ends with the run", steps))
    floor, share = sheet.number("optimizer.min_lr"), sheet.number("optimizer.min_lr_ratio")
    if floor is not None:
        sheet.put("recipe.min_lr", floor)
    elif share is not None:
        sheet.floor(share, "min_lr_ratio")
    elif (peak := sheet.known("recipe.learning_rate")) is not None:
        plain = float(f"{0.1 * peak.value:.12g}")
        sheet.put("recipe.min_lr", known(plain, "levanter's default (min_lr_ratio = 0.1)", peak))


def _put_rest(sheet: Sheet) -> None:
    policy = sheet.text("trainer.mp")
    if policy is not None:
        compute = re.search(r"(?:^|,)(?:c|compute)=([a-z0-9]{2,12})", policy.value)
        word = compute[1] if compute else policy.value
        names = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
        sheet.put("recipe.dtype", Known(names.get(word, word), policy.source))
    else:
        sheet.default("recipe.dtype", "trainer.mp", "float32")
    optimizer = sheet.known("recipe.optimizer")
    if optimizer is not None and str(optimizer.value).lower() in ("adam", "adamw"):
        for key, name, value in _ADAM:
            sheet.default(key, name, value)
    data = sheet.text("data.id", "data.dataset_name")
    if data is not None and (shown := public_name(data.value)):
        sheet.put("recipe.dataset", Known(shown, data.source))
    sheet.take("recipe.run_name", "trainer.tracker.name", "trainer.wandb.name", "trainer.id")


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml") or "trainer" not in file.sample:
        return 0.0
    keys = top_level_keys(file)
    if "trainer" not in keys or not keys & {"optimizer", "model", "data"}:
        return 0.0
    sure = sum(1 for mark in _SURE if mark.search(file.sample))
    return 0.9 if sure >= 2 or ("optimizer" in keys and sure == 1 and _HIDDEN.search(file.sample)) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    sheet = Sheet(read_values(file), _TRAINER, _TRAINER)
    if not any(path.startswith("trainer.") for path in sheet.values):
        raise BadConfig(
            "no setting of levanter is in it", where=file.name, expected="`trainer:` with `train_batch_size: 512`"
        )
    sheet.take_all(_NAMES)
    for key, name, value in _DEFAULTS:
        sheet.default(key, name, value)
    _put_model(sheet)
    _put_batch(sheet)
    _put_schedule(sheet)
    _put_rest(sheet)
    sheet.note(*_NOTED)
    return (sheet.reading(DIALECT.name, file.name),)


DIALECT = Dialect(
    name="levanter_config",
    title="levanter config",
    role="config",
    example="model:\n  type: gpt2\n  hidden_dim: 768\ntrainer:\n  mp: p=f32,c=bfloat16\n  train_batch_size: 512\noptimizer:\n  learning_rate: 6E-4",
    reads="the shape (of gpt2 and llama with the class's defaults, which say so), context, the sequences and tokens of a step"
    " over all devices, the micro-batch and accumulation where `per_device_parallelism` is set, planned steps, warm-up, decay"
    " and floor of the learning rate, optimiser, the precision that is computed in, evaluation",
    cannot="the number of devices; the data and other parts behind `!include`; the vocabulary unless the tokenizer is GPT-2's",
    source="stanford-crfm/levanter trainer.py, optim/config.py and models/ at 9263f81",
    sniff=_sniff,
    read=_read,
    missing="the levanter config does not say",
)
