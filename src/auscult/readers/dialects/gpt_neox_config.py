"""GPT-NeoX's configs: JSON-like YAML, keys with ``-`` or ``_``, often several files for one run.

``deepy.py train.py model.yml local_setup.yml`` puts its files together. A file that sets no shape is a part of the run beside
it (its data and folders, or its training). ``train_micro_batch_size_per_gpu``, ``gradient_accumulation_steps`` (or ``gas``)
and ``train_batch_size`` are DeepSpeed's: two of them give the third with the number of data-parallel ranks.
(GPT-NeoX ``megatron/neox_arguments/*.py``, ``megatron/learning_rates.py``, ``megatron/model/transformer.py`` at ea7aefd.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...errors import BadConfig
from ...run import Known, Quantity, Unknown, known
from ..config_sheet import Sheet, read_values
from ..files import InputFile
from ..model_details import plain_details
from ..patterns import lazy
from ..reading import Dialect, Reading

__all__ = ["DIALECT"]

_TRAINER = "GPT-NeoX"
_KEY = lazy(r"^ {0,8}[\"']?([A-Za-z][\w-]{1,60})[\"']?\s{0,4}:", re.MULTILINE)
_SHAPE = frozenset({"num_layers", "hidden_size", "num_attention_heads"})
_OWN = frozenset(
    {
        *("pipe_parallel_size", "model_parallel_size", "gpt_j_residual", "no_weight_tying", "output_layer_parallelism"),
        *(
            "rotary_pct",
            "pos_emb",
            "scaled_upper_triang_masked_softmax_fusion",
            "bias_gelu_fusion",
            "checkpoint_factor",
        ),
        *(
            "output_layer_init_method",
            "attention_config",
            "lr_decay_iters",
            "synchronize_each_layer",
            "distributed_backend",
        ),
        *("make_vocab_size_divisible_by", "keep_last_n_checkpoints", "wall_clock_breakdown", "steps_per_print"),
    }
)
_USUAL = frozenset(
    {
        *("num_layers", "hidden_size", "num_attention_heads", "seq_length", "max_position_embeddings", "train_iters"),
        *(
            "train_micro_batch_size_per_gpu",
            "zero_optimization",
            "optimizer",
            "eval_interval",
            "log_interval",
            "fp16",
            "warmup",
        ),
        *(
            "gradient_clipping",
            "weight_decay",
            "hidden_dropout",
            "attention_dropout",
            "data_impl",
            "partition_activations",
        ),
    }
)
_SETUP = frozenset(
    {
        *(
            "data_path",
            "train_data_paths",
            "valid_data_paths",
            "test_data_paths",
            "vocab_file",
            "merge_file",
            "save",
            "load",
        ),
        *(
            "tensorboard_dir",
            "log_dir",
            "tokenizer_type",
            "hostfile",
            "launcher",
            "wandb_project",
            "use_wandb",
            "wandb_team",
        ),
        *(
            "checkpoint_validation_with_forward_pass",
            "deepspeed_slurm",
            "num_workers",
            "split",
            "data_impl",
            "finetune",
        ),
    }
)
_NAMES = {
    "architecture.n_layer": "num_layers",
    "architecture.n_head": "num_attention_heads",
    "architecture.n_kv_head": "num_kv_heads",
    "architecture.d_model": "hidden_size",
    "architecture.context": "seq_length",
    "architecture.vocab_size": "padded_vocab_size",
    "recipe.batch_size": "train_micro_batch_size_per_gpu batch_size",
    "recipe.optimizer": "optimizer.type optimizer_type",
    "recipe.learning_rate": "optimizer.params.lr lr",
    "recipe.min_lr": "min_lr",
    "recipe.max_steps": "train_iters",
    "recipe.weight_decay": "weight_decay optimizer.params.weight_decay",
    "recipe.grad_clip": "gradient_clipping clip_grad",
    "recipe.dropout": "hidden_dropout",
    "recipe.eval_interval": "eval_interval",
    "recipe.eval_iters": "eval_iters",
    "recipe.log_interval": "log_interval",
    "recipe.schedule": "lr_decay_style",
    "recipe.run_name": "wandb_run_name",
}
_DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("recipe.weight_decay", "weight_decay", 0.1),
    ("recipe.grad_clip", "gradient_clipping", 1.0),
    ("recipe.dropout", "hidden_dropout", 0.0),
    ("recipe.eval_interval", "eval_interval", 1000),
    ("recipe.eval_iters", "eval_iters", 100),
    ("recipe.log_interval", "log_interval", 100),
    ("recipe.schedule", "lr_decay_style", "linear"),
    ("recipe.min_lr", "min_lr", 0.0),
)
_PRECISIONS = {"fp16": "float16", "bfloat16": "bfloat16", "bf16": "bfloat16", "fp32": "float32"}
_NOTED = (
    "pipe_parallel_size",
    "model_parallel_size",
    "zero_optimization.stage",
    "pos_emb",
    "rotary_pct",
    "norm",
    "activation",
    "gpt_j_residual",
    "attention_dropout",
    "init_method",
    "output_layer_init_method",
    "checkpoint_activations",
    "train_batch_size",
    "gradient_accumulation_steps",
    "tokenizer_type",
    "make_vocab_size_divisible_by",
    "fp16.loss_scale",
    "fp16.initial_scale_power",
    "train_epochs",
    "seed",
    "moe_num_experts",
)


def _plain(values: dict[str, Quantity[Any]]) -> dict[str, Quantity[Any]]:
    """Return the values with ``_`` for ``-``: both mean the same."""
    return {path.replace("-", "_"): one for path, one in values.items()}


def _put_model(sheet: Sheet) -> None:
    layers = sheet.said("attention_config")
    kind = next((word for word in ("mamba", "rwkv") if isinstance(layers, Known) and word in str(layers.value)), None)
    nested = " ".join(
        str(q.value) for p, q in sheet.values.items() if p.startswith("attention_config.") and isinstance(q, Known)
    )
    kind = kind or next((word for word in ("mamba", "rwkv") if word in nested), None)
    activation, norm = sheet.text("activation"), sheet.text("norm")
    gated = activation is not None and activation.value in ("swiglu", "geglu", "reglu", "liglu")
    llama = activation is not None and activation.value == "swiglu" and norm is not None and "rms" in norm.value
    width, heads = sheet.known("architecture.d_model"), sheet.known("architecture.n_head")
    if width is None:
        return
    sheet.put(
        "architecture.family",
        known(kind or ("llama" if llama else "gpt_neox"), "GPT-NeoX's activation, norm and attention", width),
    )
    if heads is not None and kind is None and "architecture.n_kv_head" not in sheet.found:
        sheet.put("architecture.n_kv_head", known(heads.value, "GPT-NeoX's default: as many as heads", heads))
    untied = sheet.flag("no_weight_tying")
    if untied is not None:
        sheet.put("architecture.tied", Known(not untied.value, untied.source))
    else:
        sheet.default("architecture.tied", "no_weight_tying = false", True)
    biases = [sheet.flag(name) for name in ("use_bias_in_attn_linear", "use_bias_in_mlp")]
    said = [one for one in biases if one is not None]
    if not said:
        sheet.default("architecture.bias", "use_bias_in_attn_linear", True)
    elif len({one.value for one in biases if one is not None} | ({True} if len(said) < 2 else set())) == 1:
        sheet.put("architecture.bias", said[0])
    else:
        sheet.put("architecture.bias", Unknown("some layers have biases and some have not"))
    if kind is None:
        _put_inner(sheet, width, gated=gated)
        sheet.put("architecture.details", _details(sheet, llama=llama))


def _details(sheet: Sheet, *, llama: bool) -> Quantity[Any]:
    """Return the config of the model of transformers that has the same parts: GPT-NeoX or Llama, both with rotary positions."""
    positions, norm, activation = sheet.text("pos_emb"), sheet.text("norm"), sheet.text("activation")
    if positions is None or positions.value != "rotary":
        return Unknown("positions are not rotary: the position table of such a GPT-NeoX is not counted")
    for name in ("gpt_j_tied", "use_qk_layernorm", "moe_num_experts"):
        one = sheet.get(name)
        if one is not None and (one.value is True or str(one.value) not in ("False", "0", "1")):  # one expert is none
            return Unknown(f"{one.source.place}: {name} makes another model than transformers' GPT-NeoX")
    bias = sheet.known("architecture.bias")
    if bias is None:
        return Unknown("some layers have biases and some have not")
    if llama:
        return plain_details(sheet.found, "llama", "GPT-NeoX's llama", attention_bias=bias, mlp_bias=bias)
    plain = (norm is None or norm.value == "layernorm") and (activation is None or activation.value in ("gelu", "relu"))
    heads, kv = sheet.known("architecture.n_head"), sheet.known("architecture.n_kv_head")
    if not plain or not bias.value or heads is None or kv is None or heads.value != kv.value:
        return Unknown("the config's norm, activation, biases or heads are not those of transformers' GPT-NeoX")
    return plain_details(sheet.found, "gpt_neox", "GPT-NeoX's own model")


def _put_inner(sheet: Sheet, width: Known[int], *, gated: bool) -> None:
    """Put the MLP's inner width.

    Of a gated MLP, versions with ``mlp_multiple_of`` take two thirds of ``intermediate_size`` for two halves; those with
    ``mlp_type`` ``llama`` took it as it is.
    """
    inner, factor, multiple = (
        sheet.whole("intermediate_size"),
        sheet.number("expansion_factor"),
        sheet.whole("mlp_multiple_of"),
    )
    kind = sheet.text("mlp_type")
    key = "architecture.d_ff"
    if kind is not None and kind.value == "llama":
        rounded = 256 * -(-int(2 * 4 * width.value / 3) // 256)
        formula = "8/3 of hidden_size, rounded up to 256 (GPT-NeoX's llama MLP)"
        sheet.put(key, inner if inner is not None else known(rounded, formula, kind, width))
        return
    if gated and inner is not None and multiple is None:
        why = f"{inner.source.place}: versions of GPT-NeoX differ in what intermediate_size means for a gated MLP"
        sheet.put(key, Unknown(why))
        return
    if inner is not None:
        whole, formula = inner, "intermediate_size"
    elif factor is not None:
        formula = "expansion_factor · hidden_size"
        whole = known(int(factor.value * width.value), formula, factor, width)
    else:
        formula = "GPT-NeoX's default (4 · hidden_size)"
        whole = known(4 * width.value, formula, width)
    step = multiple.value if multiple is not None else 1
    plain = int(whole.value * 2 / 3) // 2 if gated else whole.value
    rounded = step * -(-plain // step)
    if rounded == whole.value:
        sheet.put(key, whole)
        return
    inputs = [whole, *([multiple] if multiple is not None else [])]
    how = " / 3 (of a gated MLP)" if gated else ""
    sheet.put(key, known(rounded, f"{formula}{how}, rounded up to mlp_multiple_of", *inputs))


def _put_batch(sheet: Sheet) -> None:
    total, micro = sheet.whole("train_batch_size"), sheet.known("recipe.batch_size")
    each = sheet.whole("gradient_accumulation_steps", "gas")
    gpus = sheet.whole("global_num_gpus")
    if gpus is not None:
        sheet.put("recipe.world_size", gpus)
        sheet.put("machine.gpu_count", gpus)
    ranks: Quantity[int] = Unknown("the number of GPUs is not in the config")
    if gpus is not None:
        divided = [
            one for name in ("pipe_parallel_size", "model_parallel_size") if (one := sheet.whole(name)) is not None
        ]
        size = gpus.value
        for one in divided:
            size //= one.value
        if size >= 1:
            ranks = known(size, "GPUs / (pipe_parallel_size · model_parallel_size)", gpus, *divided)
    if total is not None:
        sheet.batch(total=total, names=("train_batch_size", "train_micro_batch_size_per_gpu"))
    elif each is not None:
        sheet.batch(each=each, ranks=ranks)
    elif micro is not None:
        if isinstance(ranks, Known):
            sheet.batch(each=known(1, "GPT-NeoX's default: no accumulation", micro), ranks=ranks)
        else:
            why = "each rank accumulates 1 micro-batch (GPT-NeoX's default), and " + ranks.reason
            sheet.put("recipe.gradient_accumulation_steps", Unknown(why))


def _put_schedule(sheet: Sheet) -> None:
    steps = sheet.known("recipe.max_steps")
    decay, share = sheet.whole("lr_decay_iters"), sheet.number("lr_decay_fraction")
    if decay is not None:
        sheet.put("recipe.decay_steps", decay)
    elif share is not None and steps is not None and share.value > 0:
        formula = "lr_decay_fraction · train_iters"
        sheet.put("recipe.decay_steps", known(max(1, int(share.value * steps.value)), formula, share, steps))
    elif steps is not None:
        sheet.put("recipe.decay_steps", known(steps.value, "GPT-NeoX's decay ends with the run", steps))
    over, warmup = sheet.known("recipe.decay_steps"), sheet.number("warmup")
    if over is None:
        return
    if warmup is None:
        found = known(
            int(0.01 * over.value), "GPT-NeoX's default (0.01 of the decay steps), not set in the config", over
        )
        sheet.put("recipe.warmup_steps", found)
    elif 0 <= warmup.value <= 1:
        sheet.put("recipe.warmup_steps", known(int(warmup.value * over.value), "warmup · decay steps", warmup, over))


def _put_rest(sheet: Sheet) -> None:
    if (betas := sheet.pair("optimizer.params.betas")) is not None:
        sheet.put("recipe.beta1", betas[0])
        sheet.put("recipe.beta2", betas[1])
    precision = sheet.text("precision")
    if precision is not None and precision.value in _PRECISIONS:
        sheet.put("recipe.dtype", Known(_PRECISIONS[precision.value], precision.source))
    for name, dtype in (("fp16", "float16"), ("bf16", "bfloat16")):
        on = sheet.flag(f"{name}.enabled")
        if on is not None and on.value:
            sheet.put("recipe.dtype", Known(dtype, on.source))
    one = next(
        (q for name in ("train_data_paths", "data_path") if (q := sheet.get(name, f"{name}.0")) is not None), None
    )
    if one is not None:
        paths = one.value if isinstance(one.value, list) else [one.value]
        names = sorted({str(path).rstrip("/").rpartition("/")[2] for path in paths})
        if len(names) == 1:
            sheet.put("recipe.dataset", Known(names[0], one.source))
        else:
            sheet.put("recipe.dataset", Unknown(f"{one.source.place} names {len(names)} sets of data"))


def _keys(file: InputFile) -> frozenset[str]:
    return frozenset(key.replace("-", "_") for key in _KEY.findall(file.sample))


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yml", ".yaml", ".json") or file.is_binary:
        return 0.0
    keys = _keys(file)
    own, usual = len(keys & _OWN), len(keys & _USUAL)
    if own >= 3 and usual >= 3 and "model_type" not in keys:
        return 0.95
    if own >= 1 and usual >= 6 and "model_type" not in keys:
        return 0.75
    setup = len(keys & _SETUP)
    braces = file.sample.lstrip().startswith("{") or re.search(r"^\{\s*$", file.sample, re.MULTILINE) is not None
    alone = file.suffix != ".json" and braces and setup >= 3 and setup >= 0.5 * len(keys)
    return 0.6 if alone else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    sheet = Sheet(_plain(read_values(file)), _TRAINER, "gpt_neox")
    names = {path.partition(".")[0] for path in sheet.values}
    if not names & (_OWN | _USUAL | _SETUP):
        raise BadConfig("no setting of GPT-NeoX is in it", where=file.name, expected='`"num_layers": 12,`')
    main = bool(names & _SHAPE)
    sheet.take_all(_NAMES)
    _put_model(sheet)
    _put_batch(sheet)
    _put_schedule(sheet)
    _put_rest(sheet)
    if main:
        for key, name, value in _DEFAULTS:
            sheet.default(key, name, value)
    sheet.note(*_NOTED)
    return (sheet.reading(DIALECT.name, file.name, role="config" if main else "summary"),)


DIALECT = Dialect(
    name="gpt_neox_config",
    title="GPT-NeoX config",
    role="config",
    example='"num-layers": 12,\n"hidden-size": 768,\n"train_micro_batch_size_per_gpu": 4,\n"optimizer": {"type": "Adam", "params": {"lr": 0.0006}},',
    reads="the shape with the inner width as GPT-NeoX computes it, context, micro-batch, accumulation over all ranks and tokens"
    " per step where `train_batch_size` says it, warm-up, decay and floor of the learning rate, optimiser, clipping,"
    " regularisation, precision, evaluation, keys with `-` or `_`. What a file with a shape does not set has GPT-NeoX's"
    " default, and says so; files without a shape complete the run in the same folder",
    cannot="the number of GPUs, and with it the tokens per step, unless `train_batch_size` is set; the vocabulary (the"
    " tokenizer has it)",
    source="EleutherAI/gpt-neox megatron/neox_arguments, megatron/learning_rates.py and megatron/model/transformer.py at ea7aefd",
    sniff=_sniff,
    read=_read,
    missing="the GPT-NeoX config does not say",
)
