"""nanotron's YAML: tokens, parallelism, optimiser with its schedule, and the model's config.

A step takes ``micro_batch_size · batch_accumulation_per_replica · dp`` sequences. The decay of the learning rate begins at
``lr_decay_starting_step`` (else where the warm-up ends) and lasts ``lr_decay_steps``; older files have ``learning_rate``
and Adam's settings directly under ``optimizer``. (nanotron ``config/config.py``, ``helpers.py`` at 2411b02.)
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import BadConfig
from ...run import Known, Unknown, known
from ..config_sheet import Sheet, read_values, top_level_keys
from ..files import InputFile
from ..model_details import plain_details
from ..reading import Dialect, Reading

__all__ = ["DIALECT"]

_TRAINER = "nanotron"
_S = "optimizer.learning_rate_scheduler."
_NAMES = {
    "architecture.n_layer": "model.model_config.num_hidden_layers model.model_config.num_layers model.model_config.n_layer",
    "architecture.n_head": "model.model_config.num_attention_heads model.model_config.num_heads model.model_config.n_head",
    "architecture.n_kv_head": "model.model_config.num_key_value_heads model.model_config.num_kv_heads",
    "architecture.d_model": "model.model_config.hidden_size model.model_config.d_model model.model_config.n_embd",
    "architecture.d_ff": "model.model_config.intermediate_size model.model_config.ffn_dim",
    "architecture.tied": "model.model_config.tie_word_embeddings",
    "architecture.context": "tokens.sequence_length",
    "recipe.batch_size": "tokens.micro_batch_size",
    "recipe.max_steps": "tokens.train_steps",
    "recipe.learning_rate": f"{_S}learning_rate optimizer.learning_rate",
    "recipe.min_lr": f"{_S}min_decay_lr",
    "recipe.warmup_steps": f"{_S}lr_warmup_steps",
    "recipe.weight_decay": "optimizer.weight_decay",
    "recipe.beta1": "optimizer.optimizer_factory.adam_beta1 optimizer.adam_beta1",
    "recipe.beta2": "optimizer.optimizer_factory.adam_beta2 optimizer.adam_beta2",
    "recipe.optimizer": "optimizer.optimizer_factory.name",
    "recipe.grad_clip": "optimizer.clip_grad",
    "recipe.dtype": "model.dtype",
    "recipe.log_interval": "logging.iteration_step_info_interval",
}
_FAMILIES = {
    "is_llama_config": "llama",
    "is_qwen2_config": "qwen2",
    "is_starcoder2_config": "starcoder2",
    "is_mamba_config": "mamba",
    "is_gpt2_config": "gpt2",
    "is_falcon_config": "falcon",
}
_NOTED = (
    "parallelism.dp",
    "parallelism.tp",
    "parallelism.pp",
    "parallelism.expert_parallel_size",
    "parallelism.context_parallel_size",
    "optimizer.zero_stage",
    "optimizer.accumulate_grad_in_fp32",
    "model.init_method.std",
    "tokenizer.tokenizer_name_or_path",
    "general.project",
    "general.seed",
    "model.model_config.max_position_embeddings",
    "model.model_config.rope_theta",
    "model.model_config.moe_config.num_experts",
)


def _put_model(sheet: Sheet) -> None:
    for name, family in _FAMILIES.items():
        flag = sheet.flag(f"model.model_config.{name}")
        if flag is not None and flag.value:
            sheet.put("architecture.family", known(family, name, flag))
            if family == "llama":
                attention = sheet.flag("model.model_config.attention_bias")
                if attention is None or not attention.value:
                    sheet.put("architecture.bias", known(False, "nanotron's llama has no biases", flag))
    heads = sheet.known("architecture.n_head")
    if heads is not None and "architecture.n_kv_head" not in sheet.found:
        sheet.put("architecture.n_kv_head", known(heads.value, "nanotron's default: as many as heads", heads))
    if sheet.known("architecture.d_model") is not None:
        sheet.default("architecture.tied", "tie_word_embeddings", False)
    vocab, divisor, tp = (
        sheet.whole("model.model_config.vocab_size"),
        sheet.whole("model.make_vocab_size_divisible_by"),
        sheet.whole("parallelism.tp"),
    )
    if vocab is None:
        return
    _put_vocabulary(sheet, vocab, divisor, tp)
    _put_details(sheet)


def _put_details(sheet: Sheet) -> None:
    """Put the whole config of a Llama, whose parts nanotron takes over (``models/llama.py``); of others they differ."""
    plain = sheet.flag("model.model_config.is_llama_config")
    if plain is None or not plain.value:
        return
    for name in ("moe_config", "moe_config.num_experts", "attention_bias"):
        path = f"model.model_config.{name}"
        if (one := sheet.get(path)) is not None and one.value is not False:
            sheet.put("architecture.details", Unknown(f"{one.source.place}: not the plain Llama of nanotron"))
            return
    sheet.put("architecture.details", plain_details(sheet.found, "llama", "nanotron's llama"))


def _put_vocabulary(sheet: Sheet, vocab: Known[int], divisor: Known[int] | None, tp: Known[int] | None) -> None:
    """Put the vocabulary as it is stored: padded so that every rank holds the same part of the table."""
    multiple = (divisor.value if divisor is not None else 1) * (tp.value if tp is not None else 1)
    padded = -(-vocab.value // multiple) * multiple
    if padded == vocab.value:
        sheet.put("architecture.vocab_size", vocab)
    else:
        inputs = [one for one in (vocab, divisor, tp) if one is not None]
        formula = "vocab_size, padded to make_vocab_size_divisible_by · tp"
        sheet.put("architecture.vocab_size", known(padded, formula, *inputs))


def _put_schedule(sheet: Sheet) -> None:
    style = sheet.text(f"{_S}lr_decay_style")
    warmup, steps = sheet.known("recipe.warmup_steps"), sheet.known("recipe.max_steps")
    start, length = sheet.whole(f"{_S}lr_decay_starting_step", low=0), sheet.whole(f"{_S}lr_decay_steps", low=0)
    begins = start if start is not None else warmup
    if style is not None:
        late = start is not None and warmup is not None and start.value > warmup.value
        sheet.put(
            "recipe.schedule",
            known("wsd", "constant from the warm-up to lr_decay_starting_step", style) if late else style,
        )
    if length is not None and begins is not None and length.value + begins.value > 0:
        formula = "where the decay begins + lr_decay_steps"
        sheet.put("recipe.decay_steps", known(begins.value + length.value, formula, begins, length))
    elif steps is not None and style is not None:
        sheet.put("recipe.decay_steps", known(steps.value, "nanotron's decay ends with the run", steps))
    peak = sheet.known("recipe.learning_rate")
    if "recipe.min_lr" not in sheet.found and peak is not None and sheet.said(f"{_S}learning_rate") is not None:
        sheet.put("recipe.min_lr", known(peak.value, "nanotron's default: min_decay_lr is the learning rate", peak))


def _put_batch(sheet: Sheet) -> None:
    dp = sheet.whole("parallelism.dp")
    if dp is not None:
        names = ("tp", "pp", "context_parallel_size")
        others = [one for name in names if (one := sheet.whole(f"parallelism.{name}")) is not None]
        world = dp.value
        for one in others:
            world *= one.value
        sheet.put("recipe.world_size", known(world, "the product of the parallel degrees", dp, *others))
        if isinstance(sheet.found["recipe.world_size"], Known):
            sheet.put("machine.gpu_count", sheet.found["recipe.world_size"])
    each = sheet.whole("tokens.batch_accumulation_per_replica")
    if each is not None:
        sheet.batch(each=each, ranks=dp if dp is not None else Unknown("parallelism.dp is not said"))


def _put_rest(sheet: Sheet) -> None:
    if (every := sheet.whole("tokens.val_check_interval")) is not None:
        sheet.put("recipe.eval_interval", every)
        sheet.put("recipe.eval_iters", sheet.whole("tokens.limit_val_batches"))
    run = sheet.text("general.run")
    if run is not None and "%" not in run.value:
        sheet.put("recipe.run_name", run)
    if "recipe.optimizer" not in sheet.found and sheet.known("recipe.beta1") is not None:
        sheet.default("recipe.optimizer", "optimizer", "adamW")
    stages = [
        one for index in range(20) if (one := sheet.whole(f"data_stages.{index}.start_training_step")) is not None
    ]
    data = sheet.text(
        "data_stages.0.data.dataset.hf_dataset_or_datasets",
        "data.dataset.hf_dataset_or_datasets",
        "data_stages.0.data.dataset.dataset_folder",
        "data.dataset.dataset_folder",
    )
    if len(stages) > 1:
        sheet.put("recipe.dataset", Unknown(f"{stages[1].source.place} begins another stage of data"))
    elif data is not None:
        sheet.put("recipe.dataset", data)
    sheet.take("recipe.init_from", "model.init_method.path")


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".yaml", ".yml") or "batch_accumulation_per_replica" not in file.sample:
        return 0.0
    keys = top_level_keys(file)
    return 0.95 if {"tokens", "parallelism"} <= keys and keys & {"model", "optimizer", "general"} else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    sheet = Sheet(read_values(file), _TRAINER, _TRAINER)
    if not any(path.startswith("tokens.") for path in sheet.values):
        raise BadConfig(
            "no setting of nanotron is in it", where=file.name, expected="`tokens:` with `micro_batch_size: 4`"
        )
    sheet.take_all(_NAMES)
    _put_model(sheet)
    _put_schedule(sheet)
    _put_batch(sheet)
    _put_rest(sheet)
    sheet.note(*_NOTED)
    return (sheet.reading(DIALECT.name, file.name),)


DIALECT = Dialect(
    name="nanotron_config",
    title="nanotron config",
    role="config",
    example="parallelism:\n  dp: 4\n  tp: 2\ntokens:\n  batch_accumulation_per_replica: 1\n  micro_batch_size: 3\n"
    "  sequence_length: 4096\n  train_steps: 2000",
    reads="the model's shape and family, the vocabulary as it is padded, micro-batch, accumulation over all replicas, tokens"
    " per step, the number of GPUs (the product of the parallel degrees), warm-up, decay and floor of the learning rate,"
    " optimiser, clipping, precision, evaluation",
    cannot="the card; the data of runs with several stages; names with `%date` and `%jobid` in them",
    source="huggingface/nanotron config/config.py, config/models_config.py and helpers.py at 2411b02",
    sniff=_sniff,
    read=_read,
    missing="the nanotron config does not say",
)
