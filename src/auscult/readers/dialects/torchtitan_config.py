"""torchtitan's job configs: TOML of every layout since 2024, and the JSON that a job saves of its config.

The places of settings moved: ``[training] batch_size`` became ``local_batch_size``, the warm-up went from ``[training]`` to
``[lr_scheduler]``, parallelism from ``[training]`` and ``[experimental]`` to ``[parallelism]``. A model is named by its
``name`` and ``flavor``; the shapes are those of torchtitan's own tables.
(torchtitan ``config_manager.py`` to ``config/job_config.py``, April 2024 to October 2025, ``components/lr_scheduler.py``.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import BadConfig
from ...run import Known, Quantity, Source, Unknown, known
from ..config_sheet import Sheet, default
from ..files import InputFile
from ..json_text import peek, read_mapping
from ..model_details import own_details, plain_details
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..toml_text import read_toml

__all__ = ["DIALECT", "named_model", "put_settings"]

_TRAINER = "torchtitan"
_TABLES = frozenset(
    {
        *("job", "profiling", "metrics", "model", "optimizer", "training", "checkpoint", "activation_checkpoint"),
        *("lr_scheduler", "parallelism", "experimental", "float8", "compile", "validation", "quantize", "comm"),
    }
)
_HEADER = lazy(r"^\[([\w.]{1,60})\]", re.MULTILINE)
_IMAGES = lazy(r"^name\s{0,8}=\s{0,8}[\"']flux", re.MULTILINE)
"""torchtitan trains image models, too."""
_NOT_CONFIGS = frozenset({"pyproject.toml", "cargo.toml", "poetry.toml", "auscult.toml", "netlify.toml", "ruff.toml"})
_NAMES = {
    "architecture.context": "training.seq_len training.max_context_length",
    "recipe.batch_size": "training.local_batch_size training.batch_size",
    "recipe.optimizer": "optimizer.name",
    "recipe.learning_rate": "optimizer.lr",
    "recipe.weight_decay": "optimizer.weight_decay",
    "recipe.beta1": "optimizer.beta1",
    "recipe.beta2": "optimizer.beta2",
    "recipe.warmup_steps": "lr_scheduler.warmup_steps training.warmup_steps",
    "recipe.max_steps": "training.steps",
    "recipe.grad_clip": "training.max_norm",
    "recipe.log_interval": "metrics.log_freq",
    "recipe.compile": "compile.enable training.compile",
    "recipe.dataset": "training.dataset dataloader.dataset",
}
_DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("architecture.context", "training.seq_len", 2048),
    ("recipe.batch_size", "training.local_batch_size", 8),
    ("recipe.optimizer", "optimizer.name", "AdamW"),
    ("recipe.learning_rate", "optimizer.lr", 8e-4),
    ("recipe.weight_decay", "optimizer.weight_decay", 0.1),
    ("recipe.beta1", "optimizer.beta1", 0.9),
    ("recipe.beta2", "optimizer.beta2", 0.95),
    ("recipe.warmup_steps", "lr_scheduler.warmup_steps", 200),
    ("recipe.max_steps", "training.steps", 10_000),
    ("recipe.grad_clip", "training.max_norm", 1.0),
    ("recipe.log_interval", "metrics.log_freq", 10),
    ("recipe.compile", "compile.enable", False),
)
_NOTED = (
    "model.name",
    "model.flavor",
    "training.global_batch_size",
    "activation_checkpoint.mode",
    "parallelism.tensor_parallel_degree",
    "parallelism.pipeline_parallel_degree",
    "parallelism.context_parallel_degree",
    "parallelism.expert_parallel_degree",
    "training.tensor_parallel_degree",
    "training.seed",
    "training.dtype",
    "lr_scheduler.decay_ratio",
    "float8.enable_float8_linear",
)
_ONE_EACH = "each rank accumulates 1 without a global_batch_size (torchtitan's default)"
_FAMILIES = {
    "llama": "llama",
    "llama2": "llama",
    "llama3": "llama",
    "llama3_ft": "llama",
    "llama4": "llama4_text",
    "qwen3": "qwen3",
    "deepseek_v3": "deepseek_v3",
}
# layers, heads, key and value heads, width, inner width, vocabulary
_Shape = tuple[int, int, int, int, int, int]
_SHAPES: Mapping[tuple[str, str], _Shape] = {
    ("llama2", "7B"): (32, 32, 32, 4096, 11008, 32000),
    ("llama2", "13B"): (40, 40, 40, 5120, 13824, 32000),
    ("llama2", "70B"): (80, 64, 8, 8192, 28672, 32000),
    ("llama3", "8B"): (32, 32, 8, 4096, 14336, 128256),
    ("llama3", "70B"): (80, 64, 8, 8192, 28672, 128256),
    ("llama3", "405B"): (126, 128, 8, 16384, 53248, 128256),
    ("qwen3", "0.6B"): (28, 16, 8, 1024, 3072, 151936),
    ("qwen3", "1.7B"): (28, 16, 8, 2048, 6144, 151936),
    ("qwen3", "4B"): (36, 32, 8, 2560, 9728, 151936),
    ("qwen3", "8B"): (36, 32, 8, 4096, 12288, 151936),
    ("qwen3", "14B"): (40, 40, 8, 5120, 17408, 151936),
    ("qwen3", "32B"): (64, 64, 8, 5120, 25600, 151936),
}
_FIELDS = ("n_layer", "n_head", "n_kv_head", "d_model", "d_ff", "vocab_size")
_QWEN3_HEAD = 128
"""Width of a head in every Qwen 3 of torchtitan (``models/qwen3/__init__.py``)."""
_TIED = frozenset({("qwen3", "0.6B"), ("qwen3", "1.7B"), ("qwen3", "4B")})


def put_settings(sheet: Sheet, *, defaults: bool = True) -> None:
    """Put torchtitan's settings, under ``table.key``, into canonical ones.

    Parameters
    ----------
    sheet : Sheet
        With the values of a config or of a command line.
    defaults : bool
        Whether what is not set has torchtitan's default: not so on a command line that overrides a config.
    """
    sheet.take_all(_NAMES)
    _put_model(sheet)
    _put_tokens(sheet)
    if defaults:
        for key, name, value in _DEFAULTS:
            sheet.default(key, name, value)
    _put_dtype(sheet, defaults=defaults)
    _put_schedule(sheet, defaults=defaults)
    _put_batch(sheet, defaults=defaults)
    if (on := sheet.flag("validation.enable", "validation.enabled")) is not None and on.value:
        sheet.take("recipe.eval_interval", "validation.freq")
        if (steps := sheet.whole("validation.steps")) is not None:
            sheet.put("recipe.eval_iters", steps)
    sheet.note(*_NOTED)


def named_model(name: Known[str], flavor: Known[str] | None) -> dict[str, Quantity[Any]]:
    """Return the settings of the model that torchtitan's tables hold under a name and a flavor, as far as they are known."""
    plain = name.value.rpartition(".")[2].rpartition("/")[2].lower()
    if plain not in _FAMILIES:
        return {}
    family = _FAMILIES[plain]
    found: dict[str, Quantity[Any]] = {"architecture.family": known(family, "the model's name", name)}
    if family in ("llama", "qwen3"):
        found["architecture.bias"] = known(False, f"torchtitan's {plain} has no biases", name)
    if flavor is None:
        return found
    key = ("llama2" if plain == "llama" else plain, flavor.value)
    shape, formula = _SHAPES.get(key), f"torchtitan's {plain} {flavor.value}"
    if shape is None:
        own = known("torchtitan", formula, name)
        said = {"name": Known(plain, name.source), "flavor": flavor}
        return {**found, "architecture.details": own_details(said, own, formula)}
    for part, value in zip(_FIELDS, shape, strict=True):
        found[f"architecture.{part}"] = known(value, formula, name, flavor)
    found["architecture.tied"] = known(key in _TIED, formula, name, flavor)
    fixed = {"head_dim": _QWEN3_HEAD} if family == "qwen3" else {}
    found["architecture.details"] = plain_details(found, family, formula, **fixed)
    return found


def _put_model(sheet: Sheet) -> None:
    name = sheet.text("model.name")
    if name is not None:
        for key, quantity in named_model(name, sheet.text("model.flavor")).items():
            sheet.put(key, quantity)


def _put_tokens(sheet: Sheet) -> None:
    """Take the micro-batch that the layout of 2026 gives in tokens."""
    tokens, context = sheet.whole("training.num_tokens_per_microbatch_per_dp_rank"), sheet.known("architecture.context")
    if tokens is not None and context is not None and tokens.value % context.value == 0:
        formula = "num_tokens_per_microbatch_per_dp_rank / context"
        sheet.put("recipe.batch_size", known(tokens.value // context.value, formula, tokens, context))
    step = sheet.whole("training.num_tokens_per_train_step")
    if step is not None:
        sheet.put("logged.tokens_per_step", step)


def _put_dtype(sheet: Sheet, *, defaults: bool) -> None:
    whole, mixed = sheet.text("training.dtype"), sheet.text("training.mixed_precision_param")
    if whole is not None and whole.value == "bfloat16":
        sheet.put("recipe.dtype", whole)
    elif mixed is not None:
        sheet.put("recipe.dtype", mixed)
    elif defaults:
        sheet.default("recipe.dtype", "training.mixed_precision_param", "bfloat16")


def _put_schedule(sheet: Sheet, *, defaults: bool) -> None:
    kind = sheet.text("lr_scheduler.decay_type", "lr_scheduler.lr_decay_type")
    if kind is None and not defaults:
        return
    kind = kind if kind is not None else default(_TRAINER, "lr_scheduler.decay_type", "linear")
    ratio, steps = (
        sheet.number("lr_scheduler.decay_ratio", "lr_scheduler.lr_decay_ratio"),
        sheet.known("recipe.max_steps"),
    )
    warmup = sheet.known("recipe.warmup_steps")
    stable = False
    if ratio is not None and steps is not None and warmup is not None:
        stable = warmup.value + round(steps.value * ratio.value) < steps.value
    if stable and ratio is not None:
        sheet.put("recipe.schedule", known("wsd", "constant, then a decay over decay_ratio of the steps", ratio, kind))
    else:
        sheet.put("recipe.schedule", kind)
    if steps is not None:
        sheet.put("recipe.decay_steps", known(steps.value, "torchtitan's decay ends with the run", steps))
    share = sheet.number("lr_scheduler.min_lr_factor", "lr_scheduler.lr_min")
    if share is None and defaults:
        share = default(_TRAINER, "lr_scheduler.min_lr_factor", 0.0)
    sheet.floor(share, "min_lr_factor")


def _degree(sheet: Sheet, name: str) -> Known[int] | None:
    """Return a parallel degree wherever its layout puts it; None where it is left to the number of ranks."""
    places = [f"{table}.{name}" for table in ("parallelism", "training", "experimental")]
    one = sheet.whole(*places, low=-1)
    return one if one is not None and one.value >= 1 else None


def _put_batch(sheet: Sheet, *, defaults: bool) -> None:
    ranks = _ranks(sheet)
    if isinstance(ranks, Known):
        others = [
            one
            for name in ("tensor_parallel_degree", "pipeline_parallel_degree", "context_parallel_degree")
            if (one := _degree(sheet, name)) is not None
        ]
        world = ranks.value
        for one in others:
            world *= one.value
        sheet.put("recipe.world_size", known(world, "the product of the parallel degrees", ranks, *others))
        if "recipe.world_size" in sheet.found:
            sheet.put("machine.gpu_count", sheet.found["recipe.world_size"])
    total = sheet.whole("training.global_batch_size")
    if total is not None:
        sheet.batch(total=total, names=("global_batch_size", "local_batch_size"))
    elif defaults and isinstance(ranks, Known):
        sheet.batch(each=Known(1, Source("default", formula=_ONE_EACH)), ranks=ranks)
    elif defaults and isinstance(ranks, Unknown):
        sheet.put("recipe.gradient_accumulation_steps", Unknown(f"{_ONE_EACH}, and {ranks.reason}"))


def _ranks(sheet: Sheet) -> Quantity[int]:
    """Return how many data-parallel ranks the config fixes."""
    shard = _degree(sheet, "data_parallel_shard_degree")
    shard = shard if shard is not None else _degree(sheet, "data_parallel_degree")
    replicas = _degree(sheet, "data_parallel_replicate_degree")
    if shard is None:
        return Unknown("the number of data-parallel ranks is left to torchrun (data_parallel_shard_degree = -1)")
    if replicas is None:
        return shard
    return known(
        shard.value * replicas.value, "data_parallel_shard_degree · data_parallel_replicate_degree", shard, replicas
    )


def _sniff(file: InputFile) -> float:
    if file.suffix == ".toml":
        if file.base.lower() in _NOT_CONFIGS:
            return 0.0
        tables = {name.partition(".")[0] for name in _HEADER.findall(file.sample)}
        likely = "training" in tables and len(tables & _TABLES) >= 4 and not _IMAGES.search(file.sample)
        return 0.9 if likely else 0.0
    if file.suffix == ".json" and '"training"' in file.sample and '"seq_len"' in file.sample:
        found = peek(file)
        return 0.9 if found is not None and "training" in found and len(found.keys() & _TABLES) >= 4 else 0.0
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_mapping(file) if file.suffix == ".json" else read_toml(file.text(), file.name)
    values = {path: one for path, one in values.items() if not isinstance(one.value, dict)}
    if not any(path.startswith(("training.", "optimizer.", "model.")) for path in values):
        raise BadConfig(
            "no table of a torchtitan job is in it",
            where=file.name,
            expected="[training] with keys such as `steps = 1000`",
        )
    sheet = Sheet(values, _TRAINER, _TRAINER)
    put_settings(sheet)
    return (sheet.reading(DIALECT.name, file.name),)


DIALECT = Dialect(
    name="torchtitan_config",
    title="torchtitan job config (TOML, JSON)",
    role="config",
    example='[model]\nname = "llama3"\nflavor = "8B"\n\n[training]\nlocal_batch_size = 1\nseq_len = 8192\nsteps = 1000',
    reads="micro-batch, context, steps, warm-up, decay and floor of the learning rate, optimiser, clipping, precision,"
    " compilation, evaluation, in the layouts of 2024 and 2025; the number of ranks where every parallel degree is fixed,"
    " and with it the accumulation and the tokens per step; the shape from the model's name and flavor, where it is one of"
    " torchtitan's llama2, llama3 and qwen3 models. What is not set has torchtitan's default, and says so",
    cannot="the number of ranks where `data_parallel_shard_degree` is -1 (torchrun sets it); the shape of debug models and of"
    " flavors that torchtitan has changed",
    source="pytorch/torchtitan config_manager.py, config/job_config.py and components/lr_scheduler.py, 14d422f (May 2024)"
    " to 37e536d (October 2025)",
    sniff=_sniff,
    read=_read,
    missing="torchtitan's config does not say",
)
