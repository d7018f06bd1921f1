"""``all_results.json``, ``train_results.json`` and ``eval_results.json``: what ``Trainer.save_metrics`` leaves at the end."""

from __future__ import annotations

from collections.abc import Iterable

from ...run import Series
from ..columns import Thinned
from ..files import InputFile
from ..json_text import count, number_in, peek, read_mapping
from ..log import series_of
from ..meaning import VAL_LOSS
from ..patterns import lazy
from ..reading import FRAMEWORK, Dialect, Reading

__all__ = ["DIALECT"]

_NAMES = lazy(r"(?:all|train|eval|test|predict|validation)_results\.json")
_KEYS = frozenset(
    {
        *(
            "epoch",
            "train_loss",
            "train_runtime",
            "train_samples",
            "train_samples_per_second",
            "train_steps_per_second",
        ),
        *(
            "eval_loss",
            "eval_runtime",
            "eval_samples",
            "eval_samples_per_second",
            "eval_steps_per_second",
            "perplexity",
        ),
        *("total_flos", "predict_loss", "test_loss", "eval_accuracy", "predict_runtime"),
    }
)
_KEY = lazy(r"[A-Za-z][\w /@.-]{0,80}")
_FINAL = VAL_LOSS.but(window="the evaluation set, mean over its batches, at the end of the run", scope="global")


def _sniff(file: InputFile) -> float:
    if file.suffix != ".json" or file.size > 65_536:
        return 0.0
    found = peek(file)
    if found is None or any(isinstance(value, list) for value in found.values()):
        return 0.0
    hits = len(_KEYS & found.keys())
    if _NAMES.fullmatch(file.base):
        return 0.95 if hits else 0.0
    return 0.7 if hits >= 4 and "step" not in found else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    values = read_mapping(file)
    noted = {
        f"hf.{name}": quantity
        for name, quantity in values.items()
        if _KEY.fullmatch(name) and number_in(quantity.value) is not None and not isinstance(quantity.value, str)
    }
    step = next((s for n in ("step", "global_step") if n in values and (s := count(values[n].value)) is not None), None)
    series: tuple[Series, ...] = ()
    if step is not None and "eval_loss" in values and (loss := number_in(values["eval_loss"].value)) is not None:
        points = Thinned()
        points.add(step, loss, values["eval_loss"].source.line or 0)
        series = (series_of(_FINAL, file.name, points),)
    return (Reading("hf_results", file.name, "summary", series=series, authority=FRAMEWORK, noted=noted),)


DIALECT = Dialect(
    name="hf_results",
    title="Hugging Face results (all_results.json, train_results.json, eval_results.json)",
    role="summary",
    example='{"epoch": 3.0, "eval_loss": 1.0396, "train_loss": 1.3936, "train_runtime": 371.9}',
    reads="the figures that the trainer saves when it ends, under `hf.` and their own names: `eval_loss` and `perplexity` of"
    " the last evaluation, `train_loss` as the mean over the whole run, run time, speeds and numbers of samples",
    cannot="at which step the last evaluation was made, since the file has no step; so it is noted and not put on the curve",
    source="huggingface/transformers trainer_pt_utils.py, save_metrics",
    sniff=_sniff,
    read=_read,
)
