"""nanochat's ``meta_NNNNNN.json``: what was saved beside a checkpoint — model config, arguments, last validation.

(karpathy/nanochat ``nanochat/checkpoint_manager.py`` and the ``save_checkpoint`` calls of its scripts, 3a5e0bc to 92d63d4.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import NotText
from ...run import Known, Problem, Quantity, Series, Source
from ..columns import Thinned
from ..files import MAX_CONFIG_BYTES, InputFile
from ..json_text import count, number_in
from ..log import series_of
from ..meaning import VAL_BPB
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..vocabulary import checked
from .nanochat import model_settings

__all__ = ["DIALECT"]

_NAME = lazy(r"^meta_\d{1,12}\.json$")
_SETTINGS = {
    "device_batch_size": "recipe.batch_size",
    "max_seq_len": "architecture.context",
    "total_batch_size": "logged.tokens_per_step",
    "num_iterations": "recipe.max_steps",
    "grad_clip": "recipe.grad_clip",
    "eval_every": "recipe.eval_interval",
    "warmup_steps": "recipe.warmup_steps",
}
_FACTS = ("step", "val_bpb", "val_loss", "min_val_bpb", "smooth_train_loss", "total_training_time")
_MAX_ARGUMENTS = 200


def _settings(data: Mapping[str, Any], file: str) -> tuple[dict[str, Quantity[Any]], list[Problem]]:
    model = data.get("model_config")
    user = data.get("user_config")
    model, user = (model if isinstance(model, dict) else {}), (user if isinstance(user, dict) else {})
    found = model_settings({k: Known(v, _at(file, "model_config", k)) for k, v in model.items() if _plain(v)})
    problems: list[Problem] = []
    for name, key in _SETTINGS.items():
        where = data if name in data else user
        value = where.get(name)
        if not _plain(value) or isinstance(value, bool) or value in (-1, -1.0):
            continue  # -1: left to the script
        quantity, problem = checked(key, Known(value, _at(file, "" if where is data else "user_config", name)))
        found.setdefault(key, quantity)
        if problem is not None:
            problems.append(problem)
    run = user.get("run")
    if isinstance(run, str) and run not in ("", "dummy"):
        found["recipe.run_name"] = Known(run[:200], _at(file, "user_config", "run"))
    _accumulation(found)
    return found, problems


def _accumulation(found: dict[str, Quantity[Any]]) -> None:
    step, batch, context = (
        found.get(k) for k in ("logged.tokens_per_step", "recipe.batch_size", "architecture.context")
    )
    if isinstance(step, Known) and isinstance(batch, Known) and isinstance(context, Known):
        micro = batch.value * context.value
        if step.value % micro == 0:
            formula = "total_batch_size / (device_batch_size · max_seq_len)"
            source = Source("derived", formula=formula, inputs=(step.source, batch.source, context.source))
            found["recipe.gradient_accumulation_steps"] = Known(step.value // micro, source)


def _at(file: str, group: str, name: str) -> Source:
    return Source("read", file, None, f"{group}.{name}".lstrip("."))


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and not (isinstance(value, str) and len(value) > 1000)


def _noted(data: Mapping[str, Any], file: str) -> dict[str, Known[Any]]:
    loop = data.get("loop_state")
    facts = {**(loop if isinstance(loop, dict) else {}), **{k: v for k, v in data.items() if k in _FACTS}}
    noted = {
        f"nanochat.{name}": Known(facts[name], _at(file, "", name))
        for name in _FACTS
        if isinstance(facts.get(name), int | float) and math.isfinite(facts[name])
    }
    user = data.get("user_config")
    for name, value in list((user if isinstance(user, dict) else {}).items())[:_MAX_ARGUMENTS]:
        if isinstance(value, bool | int | float) and name not in _SETTINGS and re.fullmatch(r"\w{1,60}", str(name)):
            noted[f"nanochat.argument.{name}"] = Known(value, _at(file, "user_config", str(name)))
    return noted


def _validation(data: Mapping[str, Any], file: str) -> tuple[Series, ...]:
    """Return the checkpoint's validation as the one point of a series."""
    step, value = count(data.get("step")), number_in(data.get("val_bpb"))
    if step is None or value is None:
        return ()
    points = Thinned()
    points.add(step, value, 0)
    return (series_of(VAL_BPB.but(window="the checkpoint's validation", scope="global"), file, points),)


def _sniff(file: InputFile) -> float:
    if file.suffix != ".json":
        return 0.0
    text = file.sample
    if '"model_config"' in text and '"user_config"' in text and '"sequence_len"' in text:
        return 1.0 if _NAME.match(file.base) else 0.8
    return 0.6 if _NAME.match(file.base) and '"model_config"' in text else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    data = file.json(MAX_CONFIG_BYTES)
    if not isinstance(data, dict) or not isinstance(data.get("model_config"), dict):
        raise NotText(
            "no nanochat checkpoint's metadata", where=file.name, expected='a JSON object with "model_config"'
        )
    settings, problems = _settings(data, file.name)
    return (
        Reading(
            DIALECT.name,
            file.name,
            "summary",
            series=_validation(data, file.name),
            settings=settings,
            authority=FRAMEWORK,
            problems=tuple(problems),
            noted=_noted(data, file.name),
        ),
    )


DIALECT = Dialect(
    name="nanochat_meta",
    title="nanochat checkpoint metadata",
    role="summary",
    example='{"step": 21400, "val_bpb": 0.812, "model_config": {"n_layer": 20}, "user_config": {"depth": 20}}',
    reads="the model config, batch per rank, tokens per step and the arguments that were given, the step of the"
    " checkpoint, its validation in bits per byte and the smallest one so far",
    cannot="the history (a checkpoint holds one point), the number of steps where the script computed it, the number of"
    " ranks, the GPU",
    source="karpathy/nanochat nanochat/checkpoint_manager.py and scripts/base_train.py, 3a5e0bc to 92d63d4",
    sniff=_sniff,
    read=_read,
    missing="the checkpoint's metadata do not say: add the text that training printed",
)
