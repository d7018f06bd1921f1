"""Training arguments of the Hugging Face trainer, where somebody saved them as JSON or YAML.

``training_args.bin``, which the trainer saves itself, is a pickle: it is named and never opened. (transformers
``training_args.py`` 4.0 to 5.24, TRL's configs, LLaMA-Factory's ``hparams``.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...run import Known, Notice, Source
from ..files import InputFile
from ..hf_keys import VOCABULARY, arguments_noted, arguments_raw
from ..json_text import mapping_in, peek, read_mapping
from ..patterns import lazy
from ..reading import FILE, FRAMEWORK, Dialect, Reading
from ..yaml_text import read_yaml

__all__ = ["DIALECT", "arguments_reading", "reading_of_text"]

_SURE = frozenset(
    {
        *(
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "lr_scheduler_type",
            "num_train_epochs",
            "logging_steps",
        ),
        *(
            "save_steps",
            "learning_rate",
            "warmup_ratio",
            "warmup_steps",
            "output_dir",
            "max_steps",
            "weight_decay",
            "bf16",
        ),
        *("fp16", "max_grad_norm", "optim", "evaluation_strategy", "eval_strategy", "save_strategy", "seed"),
    }
)
_ENOUGH = 4
_KEY_LINE = lazy(r"^(\w{2,40})[ \t]{0,4}:[ \t]{1,8}\S", re.MULTILINE)
_PICKLE = "training_args.bin"


def arguments_reading(values: Mapping[str, Known[Any]], file: str, *, authority: int = FRAMEWORK) -> Reading:
    """Return what training arguments say, from their values with their places.

    Only known arguments are taken: hub tokens, folders and host names that stand beside them are left where they are.
    """
    return Reading(
        "hf_training_args",
        file,
        "config",
        raw=arguments_raw(values),
        vocabulary=VOCABULARY,
        authority=authority,
        noted=arguments_noted(values),
    )


def reading_of_text(text: str, file: str) -> Reading | None:
    """Return what arguments say that were written as JSON into another file, such as an event file."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or len(_SURE & found.keys()) < _ENOUGH:
        return None
    return arguments_reading(mapping_in(found, file), file)


def _sniff(file: InputFile) -> float:
    if file.base == _PICKLE:
        return 0.9
    if file.size > 262_144 or "per_device_train_batch_size" not in file.sample:
        return 0.0
    if file.suffix == ".json":
        found = peek(file)
        if found is None or "log_history" in found:
            return 0.0
        return 0.9 if len(_SURE & found.keys()) >= _ENOUGH else 0.0
    if file.suffix in (".yaml", ".yml"):
        keys = set(_KEY_LINE.findall(file.sample))
        return 0.85 if "per_device_train_batch_size" in keys and len(_SURE & keys) >= _ENOUGH else 0.0
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    if file.base == _PICKLE:
        detail = (
            "training_args.bin holds the batch, the learning rate and the schedule, but is a pickle, which can run code when"
            " it is opened, and was not; save the arguments as JSON beside it (TrainingArguments.to_json_string())"
        )
        notice = Notice("training_args_pickled", Source("read", file.name), 1, 0, detail)
        return (Reading("hf_training_args", file.name, "summary", authority=FRAMEWORK, notices=(notice,)),)
    if file.suffix == ".json":
        return (arguments_reading(read_mapping(file), file.name),)
    return (arguments_reading(read_yaml(file.text(), file.name), file.name, authority=FILE),)


DIALECT = Dialect(
    name="hf_training_args",
    title="Hugging Face training arguments (JSON, YAML, LLaMA-Factory, TRL)",
    role="config",
    example='{"per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "learning_rate": 2e-05, "lr_scheduler_type": "cosine", …}',
    reads="the micro-batch, learning rate, schedule and warm-up (a share of the planned steps where it is one), weight decay,"
    " betas, clipping, optimiser and precision, with their lines; together with `trainer_state.json` the accumulation over"
    " all processes and how many there were. Also LLaMA-Factory's YAML and the arguments inside event files",
    cannot="how many processes there were, which torchrun or accelerate decides; the length of the sequences, unless they"
    " were packed to a length that is given; what only `training_args.bin` holds, since that is a pickle and is never opened",
    source="huggingface/transformers training_args.py, versions 4.0 to 5.24; huggingface/trl sft_config.py;"
    " hiyouga/LLaMA-Factory hparams at ff6d4d1",
    sniff=_sniff,
    read=_read,
)
