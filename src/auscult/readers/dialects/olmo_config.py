"""OLMo's YAML (allenai/OLMo): OmegaConf with references; the same file that a run saves as ``config.yaml``.

``global_train_batch_size`` counts sequences of one optimiser step over all devices; tokens per step are it times
``max_sequence_length``. ``max_duration`` is ``4e12T`` (tokens), ``1ep`` or a number of steps; ``stop_at`` ends the run
earlier. The scheduler's ``t_warmup`` and ``t_max`` are steps or tokens by ``units``. Token budgets are turned into steps as
``Trainer.max_steps`` does it, rounded up; a run that starts from a checkpoint may keep that one's count of steps.
(OLMo ``olmo/config.py``, ``olmo/train.py``, ``olmo/optim.py``, ``olmo/model.py`` at 59a53e3.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import BadConfig
from ...run import Known, Quantity, Unknown, known
from ..config_sheet import Sheet, read_values, top_level_keys
from ..files import InputFile
from ..model_details import plain_details
from ..reading import Dialect, Reading

__all__ = ["DIALECT"]

_TRAINER = "OLMo"
_NAMES = {
    "architecture.n_layer": "model.n_layers",
    "architecture.n_head": "model.n_heads",
    "architecture.d_model": "model.d_model",
    "architecture.context": "model.max_sequence_length",
    "architecture.tied": "model.weight_tying",
    "architecture.bias": "model.include_bias",
    "recipe.dropout": "model.residual_dropout",
    "recipe.batch_size": "device_train_microbatch_size",
    "recipe.optimizer": "optimizer.name",
    "recipe.learning_rate": "optimizer.learning_rate",
    "recipe.weight_decay": "optimizer.weight_decay",
    "recipe.grad_clip": "max_grad_norm",
    "recipe.eval_interval": "eval_interval",
    "recipe.log_interval": "console_log_interval",
    "recipe.run_name": "run_name wandb.name",
}
_DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("architecture.n_layer", "model.n_layers", 12),
    ("architecture.n_head", "model.n_heads", 12),
    ("architecture.d_model", "model.d_model", 768),
    ("architecture.context", "model.max_sequence_length", 1024),
    ("architecture.tied", "model.weight_tying", True),
    ("architecture.bias", "model.include_bias", True),
    ("recipe.dropout", "model.residual_dropout", 0.1),
    ("recipe.optimizer", "optimizer.name", "lionw"),
    ("recipe.learning_rate", "optimizer.learning_rate", 1e-4),
    ("recipe.weight_decay", "optimizer.weight_decay", 0.01),
    ("recipe.beta1", "optimizer.betas[0]", 0.9),
    ("recipe.beta2", "optimizer.betas[1]", 0.95),
    ("recipe.batch_size", "device_train_microbatch_size", 16),
    ("recipe.eval_interval", "eval_interval", 1000),
    ("recipe.log_interval", "console_log_interval", 1),
)
_SWITCHES: Mapping[str, Any] = {
    "activation_type": "swiglu",
    "alibi": False,
    "attention_layer_norm": False,
    "attention_layer_norm_with_affine": True,
    "bias_for_layer_norm": None,
    "block_type": "sequential",
    "embedding_layer_norm": False,
    "include_bias": True,
    "layer_norm_type": "default",
    "layer_norm_with_affine": True,
    "norm_after": False,
    "rope": False,
}
"""What of the model is switched, with OLMo's defaults (``ModelConfig``)."""
_BOTH: Mapping[str, tuple[Any, ...]] = {
    "activation_type": ("swiglu",),
    "alibi": (False,),
    "block_type": ("sequential",),
    "embedding_layer_norm": (False,),
    "include_bias": (False,),
    "rope": (True,),
}
_SAME_AS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "olmo": {
        **_BOTH,
        "attention_layer_norm": (False,),
        "layer_norm_type": ("default", "low_precision"),
        "layer_norm_with_affine": (False,),
        "norm_after": (False,),
    },
    "olmo2": {
        **_BOTH,
        "attention_layer_norm": (True,),
        "attention_layer_norm_with_affine": (True,),
        "bias_for_layer_norm": (None, False),
        "layer_norm_type": ("rms",),
        "layer_norm_with_affine": (True,),
        "norm_after": (True,),
    },
}
_DTYPES = {"amp_bf16": "bfloat16", "amp_fp16": "float16", "fp32": "float32"}
_SCHEDULES = {
    "cosine_with_warmup": "cosine",
    "linear_with_warmup": "linear",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "inverse_sqrt_with_warmup": "inverse_sqrt",
}
_ENDS = ("cosine", "linear", "cosine_linear_envelope")
_NOTED = (
    "max_duration",
    "stop_at",
    "global_train_batch_size",
    "scheduler.units",
    "scheduler.t_warmup",
    "scheduler.t_max",
    "softmax_auxiliary_loss",
    "auxiliary_loss_multiplier",
    "model.activation_type",
    "model.block_type",
    "model.layer_norm_type",
    "model.attention_layer_norm",
    "model.norm_after",
    "model.rope",
    "model.rope_theta",
    "model.alibi",
    "model.vocab_size",
    "model.embedding_size",
    "model.init_fn",
    "tokenizer.identifier",
    "activation_checkpointing",
    "fsdp.sharding_strategy",
    "load_path",
    "seed",
    "reset_trainer_state",
)


def _put_model(sheet: Sheet) -> None:
    after, qk = sheet.flag("model.norm_after"), sheet.flag("model.attention_layer_norm")
    width, heads = sheet.known("architecture.d_model"), sheet.known("architecture.n_head")
    if after is not None and after.value and qk is not None and qk.value:
        sheet.put("architecture.family", known("olmo2", "norm_after and attention_layer_norm", after, qk))
    elif width is not None:
        sheet.put("architecture.family", known("olmo", "OLMo's model", width))
    groups, single = sheet.whole("model.n_kv_heads"), sheet.flag("model.multi_query_attention")
    if groups is not None:
        sheet.put("architecture.n_kv_head", groups)
    elif single is not None and single.value:
        sheet.put("architecture.n_kv_head", known(1, "multi_query_attention", single))
    elif heads is not None:
        sheet.put("architecture.n_kv_head", known(heads.value, "OLMo's default: as many as heads", heads))
    _put_inner(sheet, width)
    size, vocab = sheet.whole("model.embedding_size"), sheet.whole("model.vocab_size")
    if size is not None:
        sheet.put("architecture.vocab_size", size)
    elif "model.embedding_size" in sheet.values and vocab is not None:
        sheet.put("architecture.vocab_size", vocab)
    elif vocab is not None:
        sheet.default("architecture.vocab_size", "model.embedding_size", 50304)
    sheet.put("architecture.details", _details(sheet))


def _details(sheet: Sheet) -> Quantity[Any]:
    """Return the config of the OLMo of transformers that the switches make: the first without gains, or the second."""
    said = {name: _switch(sheet, name) for name in _SWITCHES}
    for family, switches in _SAME_AS.items():
        if all(said[name] in wanted for name, wanted in switches.items()):
            return plain_details(sheet.found, family, f"the switches of {family}")
    return Unknown("the OLMo config's norms, biases and positions are not those of a released OLMo")


def _switch(sheet: Sheet, name: str) -> Any:
    one = sheet.get(f"model.{name}")
    return one.value if one is not None else _SWITCHES[name]


def _put_inner(sheet: Sheet, width: Known[Any] | None) -> None:
    """Put the MLP's inner width: half of the projection's where the activation is gated."""
    hidden, ratio, activation = (
        sheet.whole("model.mlp_hidden_size"),
        sheet.whole("model.mlp_ratio"),
        sheet.text("model.activation_type"),
    )
    gated = activation is None or activation.value == "swiglu"
    if hidden is None and width is not None:
        times = ratio.value if ratio is not None else 4
        inputs = (width,) if ratio is None else (width, ratio)
        hidden = known(times * width.value, "mlp_ratio · d_model", *inputs)
    if hidden is None:
        return
    if gated:
        sheet.put(
            "architecture.d_ff", known(hidden.value // 2, "half of mlp_ratio · d_model, as swiglu is gated", hidden)
        )
    else:
        sheet.put("architecture.d_ff", hidden)


def _put_batch(sheet: Sheet) -> None:
    total = sheet.whole("global_train_batch_size")
    if total is not None:
        sheet.batch(total=total, names=("global_train_batch_size", "device_train_microbatch_size"))
    each = sheet.whole("device_train_batch_size")
    if total is not None and each is not None and total.value % each.value == 0:
        world = known(total.value // each.value, "global_train_batch_size / device_train_batch_size", total, each)
        sheet.put("recipe.world_size", world)
        sheet.put("machine.gpu_count", world)


def _put_planned(sheet: Sheet) -> None:
    planned, stop = sheet.said("max_duration"), sheet.whole("stop_at")
    step = sheet.known("logged.tokens_per_step")
    steps: Quantity[int] | None = planned if isinstance(planned, Unknown) else None
    if isinstance(planned, Known):
        text = str(planned.value).strip()
        tokens = _number(text[:-1]) if text.endswith("T") else None
        plain = _number(text)
        if tokens is not None and tokens >= 1:
            sheet.put("logged.tokens_planned", Known(int(tokens), planned.source))
            steps = Unknown(f"{planned.source.place} counts tokens, and the tokens of a step are not known")
            if step is not None:
                formula = "max_duration / tokens per step, rounded up"
                steps = known(math.ceil(int(tokens) / step.value), formula, planned, step)
        elif text.endswith("ep"):
            steps = Unknown(f"{planned.source.place} counts epochs, whose length in steps is not said")
        elif plain is not None:
            steps = Known(int(plain), planned.source)
    if stop is not None and (not isinstance(steps, Known) or stop.value < steps.value):
        sheet.put("recipe.max_steps", stop)
    elif steps is not None:
        sheet.put("recipe.max_steps", steps)
    _put_schedule(sheet, steps)


def _number(text: str) -> float | None:
    try:
        plain = float(text)
    except ValueError:
        return None
    return plain if math.isfinite(plain) and 0 <= plain < 1e18 else None


def _put_schedule(sheet: Sheet, planned: Quantity[int] | None) -> None:
    name = sheet.text("scheduler.name")
    if name is not None:
        sheet.put("recipe.schedule", Known(_SCHEDULES.get(name.value, name.value), name.source))
    units, step = sheet.text("scheduler.units"), sheet.known("logged.tokens_per_step")
    in_tokens = units is not None and units.value == "tokens"

    def in_steps(one: Known[float], what: str) -> Quantity[int]:
        if not in_tokens:
            return known(int(one.value), what, one)
        if step is None:
            return Unknown(f"{one.source.place} counts tokens, and the tokens of a step are not known")
        return known(round(one.value / step.value), f"{what} / tokens per step", one, step)

    if (warmup := sheet.number("scheduler.t_warmup")) is not None:
        sheet.put("recipe.warmup_steps", in_steps(warmup, "t_warmup"))
    elif name is not None and not in_tokens:
        sheet.default("recipe.warmup_steps", "scheduler.t_warmup", 100)
    kind = _SCHEDULES.get(name.value, name.value) if name is not None else "cosine"
    if kind in _ENDS:
        end = sheet.number("scheduler.t_max")
        if end is not None:
            sheet.put("recipe.decay_steps", in_steps(end, "t_max"))
        elif isinstance(planned, Known):
            sheet.put("recipe.decay_steps", known(planned.value, "OLMo's schedule ends with max_duration", planned))
        share = sheet.number("scheduler.alpha_f")
        if share is not None:
            sheet.floor(share, "alpha_f")
        elif (peak := sheet.known("recipe.learning_rate")) is not None:
            sheet.put("recipe.min_lr", known(float(f"{0.1 * peak.value:.12g}"), "OLMo's default (alpha_f = 0.1)", peak))


def _put_rest(sheet: Sheet) -> None:
    precision = sheet.text("precision")
    if precision is not None:
        sheet.put("recipe.dtype", Known(_DTYPES.get(precision.value, precision.value), precision.source))
    if (betas := sheet.pair("optimizer.betas")) is not None:
        sheet.put("recipe.beta1", betas[0])
        sheet.put("recipe.beta2", betas[1])
    parts = sheet.below("compile")
    one = next((q for q in parts.values() if isinstance(q, Known)), None)
    if one is not None:
        sheet.put("recipe.compile", Known(True, one.source))
    elif "compile" in sheet.values and isinstance(off := sheet.values["compile"], Known) and off.value is None:
        sheet.put("recipe.compile", Known(False, off.source))
    batches = sheet.whole("eval_subset_num_batches")
    if batches is not None:
        sheet.put("recipe.eval_iters", batches)
    start = sheet.text("load_path")
    if start is not None:
        sheet.put("recipe.init_from", start)


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml") or "device_train_microbatch_size" not in file.sample:
        return 0.0
    keys = top_level_keys(file)
    if not {"max_duration", "global_train_batch_size"} <= keys or "train_loader" in keys:
        return 0.0
    marks = {
        "softmax_auxiliary_loss",
        "save_interval_unsharded",
        "evaluators",
        "scheduler",
        "data",
        "speed_monitor",
        "fsdp",
    }
    return 0.95 if len(keys & marks) >= 3 else 0.6


def _read(file: InputFile) -> Iterable[Reading]:
    sheet = Sheet(read_values(file), _TRAINER, "olmo")
    if not any(path.startswith("model.") for path in sheet.values):
        raise BadConfig("no setting of OLMo is in it", where=file.name, expected="`model:` with `d_model: 2048`")
    sheet.take_all(_NAMES)
    for key, name, value in _DEFAULTS:
        sheet.default(key, name, value)
    _put_model(sheet)
    _put_batch(sheet)
    _put_planned(sheet)
    _put_rest(sheet)
    sheet.note(*_NOTED)
    return (sheet.reading(DIALECT.name, file.name),)


DIALECT = Dialect(
    name="olmo_config",
    title="OLMo config",
    role="config",
    example="model:\n  d_model: 2048\n  mlp_ratio: 8\nglobal_train_batch_size: 512\ndevice_train_microbatch_size: 4\nmax_duration: 4e12T",
    reads="the shape with the inner width of the gated MLP and the size of the embedding, micro-batch, accumulation over all"
    " devices, tokens per step, the planned tokens and steps (`stop_at` ends the run earlier), warm-up, decay and floor of the"
    " learning rate in steps even where they are given in tokens, optimiser, clipping, precision, evaluation. What is not set"
    " has OLMo's default, and says so; references such as `${run_name}` are followed within the file",
    cannot="the number of devices (unless the file is one that a run saved), epochs in steps, at which step a run that starts"
    " from a checkpoint began to count",
    source="allenai/OLMo olmo/config.py, olmo/train.py, olmo/optim.py and olmo/model.py at 59a53e3",
    sniff=_sniff,
    read=_read,
    missing="the OLMo config does not say",
)
