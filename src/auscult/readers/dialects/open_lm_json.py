"""The JSON that mlfoundations/scaling keeps of each finished open_lm model: arguments, and losses of the last checkpoint.

``hyperparameters`` is what the model was trained with; ``open_lm_args`` the command line of a job, which for the largest models
is another's (its learning rate is not that of ``hyperparameters``) and then counts for nothing. ``params`` counts everything,
``params_no_embed`` leaves out the input embedding only. ``--train-num-samples`` counts tokens. Each of ``results`` is a loss in
nats per token on a validation set of its own. There is no curve: every series has one point, at the tokens trained on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from ...errors import NotText
from ...run import Known, Problem, Quantity, Series, Source, Unknown, known
from ..columns import Thinned
from ..files import MAX_CONFIG_BYTES, InputFile
from ..json_text import key_lines, mapping_in, peek
from ..log import series_of
from ..meaning import VAL_LOSS
from ..metric_names import MAX_NAME
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading
from ..vocabulary import checked

__all__ = ["DIALECT"]

_NAMES = {
    "hyperparameters.lr": "recipe.learning_rate",
    "hyperparameters.cd": "recipe.min_lr",
    "hyperparameters.warmup": "recipe.warmup_steps",
    "hyperparameters.wd": "recipe.weight_decay",
    "hyperparameters.tokens": "logged.tokens_planned",
    "dataset_name": "recipe.dataset",
    "name": "recipe.run_name",
}
_ARGUMENTS = {
    "--beta1": "recipe.beta1",
    "--beta2": "recipe.beta2",
    "--grad-clip-norm": "recipe.grad_clip",
    "--precision": "recipe.dtype",
    "--lr-scheduler": "recipe.schedule",
    "--log-every-n-steps": "recipe.log_interval",
}
_SHAPE = lazy(r"(?:^|/)d=(\d{1,6})_l=(\d{1,4})_h=(\d{1,4})(?:\.json)?$")
_NOTED = ("params_no_embed", "chinchilla_multiplier", "qk_norm", "z_loss", "acc", "global_bs", "grad_checkpointing")
_MAX_RESULTS = 1_000
_MAX_STEP = 2**62


def _arguments(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the last value of each option of the command line."""
    given = found.get("open_lm_args")
    if not isinstance(given, list):
        return {}
    pairs = pairwise(given)
    return {
        a: b
        for a, b in pairs
        if isinstance(a, str) and isinstance(b, str) and a.startswith("--") and not b.startswith("--")
    }


def _are_its_own(arguments: Mapping[str, str], said: Mapping[str, Known[Any]]) -> bool:
    """Return whether the command line is that of this model: it names the same rates."""
    for option, name in (("--lr", "hyperparameters.lr"), ("--wd", "hyperparameters.wd")):
        mine = said.get(name)
        if option in arguments and mine is not None:
            try:
                if not math.isclose(float(arguments[option]), float(mine.value), rel_tol=1e-6):
                    return False
            except (TypeError, ValueError):
                return False
    return True


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MAX_STEP


def _context(results: list[dict[str, Any]], source: Source) -> Known[int] | None:
    """Return the tokens of a sequence where every evaluation had a whole number of them."""
    lengths = {
        r["tokens"] // r["sequences"] if r["tokens"] % r["sequences"] == 0 else 0
        for r in results
        if _positive(r.get("tokens")) and _positive(r.get("sequences"))
    }
    if len(lengths) != 1 or 0 in lengths:
        return None
    return Known(lengths.pop(), Source("derived", formula="tokens / sequences of each evaluation", inputs=(source,)))


def _settings(
    found: Mapping[str, Any],
    said: Mapping[str, Known[Any]],
    results: list[dict[str, Any]],
    file: str,
    results_line: int | None,
) -> tuple[dict[str, Quantity[Any]], list[Problem]]:
    settings: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []

    def put(key: str, quantity: Known[Any]) -> None:
        settings[key], problem = checked(key, quantity)
        if problem is not None:
            problems.append(problem)

    for name, key in _NAMES.items():
        if name in said and said[name].value is not None:
            put(key, said[name])
    _shape(said, settings)
    context = _context(results, Source("read", file, results_line, "results"))
    if context is not None:
        settings["architecture.context"] = context
    arguments = _arguments(found)
    place = said.get("open_lm_args", Known(None, Source("read", file, None))).source
    own = _are_its_own(arguments, said)
    if arguments and not own:
        problems.append(
            Problem(
                "settings_disagree",
                "open_lm_args is another job's command line (other learning rate or weight decay): not used",
                place,
            )
        )
    for option, key in _ARGUMENTS.items():
        if own and option in arguments:
            value = arguments[option].removeprefix("amp_") if key == "recipe.dtype" else arguments[option]
            put(key, Known(value, Source("read", file, place.line, f"{option} {arguments[option]}"[:160])))
    _batch(said, arguments if own else {}, context, settings)
    return settings, problems


def _shape(said: Mapping[str, Known[Any]], settings: dict[str, Quantity[Any]]) -> None:
    model, total, bare = (said.get(f"hyperparameters.{n}") for n in ("model", "params", "params_no_embed"))
    if total is not None and _positive(total.value):
        settings["logged.parameters"] = Known((total.value, total.value), total.source)
        settings["logged.parameters_convention"] = Known("total", total.source)
    shape = _SHAPE.search(str(model.value)) if model is not None else None
    if shape is None or model is None:
        return
    for key, text in zip(("d_model", "n_layer", "n_head"), shape.groups(), strict=True):
        settings[f"architecture.{key}"], _problem = checked(f"architecture.{key}", Known(int(text), model.source))
    width = int(shape[1])
    if total is not None and bare is not None and _positive(total.value) and _positive(bare.value) and width:
        rows, rest = divmod(total.value - bare.value, width)
        if rows > 1 and not rest:
            formula = "(params − params_no_embed) / width: the input embedding alone"
            settings["architecture.vocab_size"] = known(rows, formula, total, bare, model)


def _batch(
    said: Mapping[str, Known[Any]],
    arguments: Mapping[str, str],
    context: Known[int] | None,
    settings: dict[str, Quantity[Any]],
) -> None:
    sequences, tokens = said.get("hyperparameters.global_bs"), said.get("hyperparameters.tokens")
    if sequences is None or not _positive(sequences.value):
        return
    if arguments.get("--global-batch-size") != str(sequences.value):
        settings["logged.tokens_per_step"] = Unknown(
            f"{sequences.source.place} says global_bs = {sequences.value}, and no command line of this model confirms it"
        )
        return
    if context is None:
        return
    step = known(sequences.value * context.value, "global_bs × context", sequences, context)
    settings["logged.tokens_per_step"] = step
    if tokens is not None and _positive(tokens.value) and tokens.value >= step.value:
        settings["recipe.max_steps"] = known(tokens.value // step.value, "tokens // tokens of a step", tokens, step)


def _name_of(result: Mapping[str, Any]) -> str:
    """Return the name of the validation set of a result: its folder."""
    data = result.get("val_data")
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], str) else data
    if not isinstance(first, str):
        return "val"
    return (PurePosixPath(first).parent.name or PurePosixPath(first).name or "val")[:MAX_NAME]


def _series(results: list[dict[str, Any]], tokens: int, lines: list[int], file: str) -> list[Series]:
    """Return one point for each validation set; the one with the most tokens is ``val_loss``."""
    sizes = [int(r["tokens"]) if _positive(r.get("tokens")) else 0 for r in results]
    largest = sizes.index(max(sizes))
    series: list[Series] = []
    taken: set[str] = set()
    for index, result in enumerate(results):
        loss = result["loss"]
        name = "val_loss" if index == largest else f"val_loss/{_name_of(result)}"
        while name in taken:
            name += "'"
        taken.add(name)
        count = f"{result['tokens']:,} tokens of " if _positive(result.get("tokens")) else ""
        points = Thinned(4)
        points.add(tokens, float(loss), lines[index])
        metric = VAL_LOSS.but(
            name=name,
            window=f"{count}{_name_of(result)}, the last checkpoint",
            axis="tokens" if tokens else "row",
            convention="one point: the trained model",
            scope="global",
        )
        series.append(series_of(metric, file, points))
    return series


def _read(file: InputFile) -> Iterable[Reading]:
    found = file.json(MAX_CONFIG_BYTES)
    results = found.get("results") if isinstance(found, dict) else None
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("hyperparameters"), dict)
        or not isinstance(results, list)
    ):
        raise NotText(
            "no model of mlfoundations/scaling is recognised in it",
            where=file.name,
            expected='`{"hyperparameters": {…}, "results": [{"loss": …}]}`',
            hint="give a file of its exp_data/models",
        )
    text = file.text(MAX_CONFIG_BYTES)
    whole = [r for r in results[:_MAX_RESULTS] if isinstance(r, dict) and isinstance(r.get("loss"), int | float)]
    keys = key_lines(text)
    said = mapping_in(found, file.name, keys)
    at = [n for n, line in enumerate(text.split("\n"), 1) if re.match(r'\s{0,40}"loss":', line)]
    results_line = keys.get(("results",))
    lines = at if len(at) == len(whole) else [results_line or 1] * len(whole)
    settings, problems = _settings(found, said, whole, file.name, results_line)
    tokens = said.get("hyperparameters.tokens")
    trained = tokens.value if tokens is not None and _positive(tokens.value) else 0
    if trained and tokens is not None:
        settings["logged.tokens_seen"] = tokens
    given = ((n, said[f"hyperparameters.{n}"]) for n in _NOTED if f"hyperparameters.{n}" in said)
    noted = {f"open_lm.{n}": one for n, one in given if isinstance(one.value, int | float)}
    identity = found.get("uuid")
    return (
        Reading(
            DIALECT.name,
            file.name,
            "metrics",
            label=str(found.get("name", ""))[:MAX_NAME],
            series=tuple(_series(whole, trained, lines, file.name)) if whole else (),
            settings=settings,
            problems=tuple(problems),
            noted=noted,
            authority=FRAMEWORK,
            run_id=f"{identity}/{found.get('name')}"[:MAX_NAME] if isinstance(identity, str) else None,
        ),
    )


def _sniff(file: InputFile) -> float:
    if file.suffix != ".json" or b'"hyperparameters"' not in file.head or b'"results"' not in file.head:
        return 0.0
    found = peek(file)
    if found is None:
        return 0.0
    given, results = found.get("hyperparameters"), found.get("results")
    if not isinstance(given, dict) or not isinstance(results, list) or not {"params", "tokens"} <= given.keys():
        return 0.0
    has_loss = any(isinstance(r, dict) and "loss" in r for r in results[:5])
    return 0.95 if has_loss and any(str(key).startswith("open_lm") for key in found) else 0.5 if has_loss else 0.0


DIALECT = Dialect(
    name="open_lm_json",
    title="open_lm scaling results",
    role="metrics",
    example='{"name": "…", "hyperparameters": {"params": …, "tokens": …, "lr": 0.003}, "results": [{"loss": 4.22, "val_data": […]}]}',
    reads="a finished model's final losses on each validation set (the largest set's is `val_loss`), tokens trained on, exact"
    " parameters, the shape in the model's name, the vocabulary that follows from it, learning rate, warm-up, tokens per step",
    cannot="the curve; training losses; the number of devices; what a command line of another job would say",
    source="mlfoundations/scaling exp_data/models at a003c49, mlfoundations/open_lm params.py at 9bb92ef",
    sniff=_sniff,
    read=_read,
)
