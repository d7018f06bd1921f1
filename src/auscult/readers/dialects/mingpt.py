"""What minGPT prints: its config tree, ``iter_dt Fms; iter N: train loss F``, and the progress bar of its first version.

The loss is that of the step's batch in train mode. ``number of parameters`` leaves the output head out. The first version
(2020 to 2022) shows ``epoch E iter N: train loss F. lr F`` in a tqdm bar and logs ``test loss: F`` after each epoch.
(karpathy/minGPT ``mingpt/trainer.py``, ``mingpt/model.py``, ``projects/*`` at 37baab7; ``mingpt/trainer.py`` at 3ed14b2.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...run import Known, Quantity, Source, known
from ..files import InputFile
from ..log import FLOAT, LogParser, number, read_log
from ..meaning import LEARNING_RATE, STEP_TIME_S, TRAIN_LOSS, VAL_LOSS, Metric
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "MinGPTLog"]

_RECORD = lazy(rf"\biter_dt ({FLOAT})ms; iter (\d{{1,15}}): train loss ({FLOAT})(?=\s|$)")
_BAR = lazy(
    rf"\bepoch (\d{{1,9}}) iter (\d{{1,12}}): train loss ({FLOAT})\. lr ({FLOAT})(?::.{{0,200}}?\| *\d{{1,12}}/(\d{{1,12}}) )?"
)
_TEST = lazy(rf"\btest loss: ({FLOAT})\s*$")
_SCORE = lazy(r"^(train|test) final score: (\d{1,12})/(\d{1,12}) = ")
_KEY = lazy(r"^( {0,12})([a-z_]{1,40}):(?: (\S.{0,200}))?\s*$")
_DATA = lazy(r"^data has (\d{1,15}) characters, (\d{1,9}) unique\.")
_PARAMETERS = lazy(r"number of parameters: (\d{1,9}(?:\.\d{1,6})?)M")
_PARAMETERS_EXPONENT = lazy(r"number of parameters: (\d\.\d{6})e\+(\d\d)\s*$")
_DEVICE = lazy(r"^running on device (\w{1,12})(?::\d{1,4})?\s*$")
_QUICK = lazy(r"iter|test loss|final score|^ {0,12}[a-z_]{1,40}:|^data has|number of|^running on")
_GROUPS = frozenset({"system", "data", "model", "trainer"})
_KEYS = {
    "data.block_size": "architecture.context",
    "model.n_layer": "architecture.n_layer",
    "model.n_head": "architecture.n_head",
    "model.n_embd": "architecture.d_model",
    "model.vocab_size": "architecture.vocab_size",
    "model.block_size": "architecture.context",
    "model.resid_pdrop": "recipe.dropout",
    "trainer.max_iters": "recipe.max_steps",
    "trainer.batch_size": "recipe.batch_size",
    "trainer.learning_rate": "recipe.learning_rate",
    "trainer.weight_decay": "recipe.weight_decay",
    "trainer.grad_norm_clip": "recipe.grad_clip",
}
_BETAS = lazy(r"^\(([\d.]{1,12}), ([\d.]{1,12})\)$")
_TYPES = {
    "openai-gpt": (12, 12, 768),
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
    "gopher-44m": (8, 16, 512),
    "gpt-mini": (6, 6, 192),
    "gpt-micro": (4, 4, 128),
    "gpt-nano": (3, 3, 48),
}
_MODEL_TYPE = "mingpt.model_type"
_LOSS = TRAIN_LOSS.but(window="the batch of one step, dropout on", scope="rank")
_TIME = STEP_TIME_S.but(
    mode="train",
    window="the step before, with what was evaluated and sampled after it",
    convention="0 at the start is not a time",
)
_LR = LEARNING_RATE.but(mode="train")
_TEST_LOSS = VAL_LOSS.but(window="all batches of the test set, after each epoch", scope="rank")


class MinGPTLog(LogParser):
    """Reads minGPT's lines; a config tree begins a run."""

    dialect = "mingpt"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._group = ""
        self._last = 0
        self._epoch_iters = 0

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if not _QUICK.search(text):
            return False
        if found := _RECORD.search(text):
            self._record(found, line)
        elif found := _BAR.search(text):
            self._bar(found, line)
        elif found := _TEST.search(text):
            self.record(self._last, ((_TEST_LOSS, number(found[1])),), line)
        elif found := _SCORE.match(text):
            total = int(found[3])
            metric = Metric(f"{found[1]}_score", "train" if found[1] == "train" else "val", "eval", "fraction")
            if total:
                self.record(self._last, ((metric, int(found[2]) / total),), line)
        elif "; iter " in text and text.lstrip().startswith("iter_dt"):
            self.broken(line)
        else:
            return self._figure(line)
        return True

    def _record(self, found: re.Match[str], line: Line) -> None:
        if not line.ended and len(found[3].partition(".")[2]) < 5 and found[3].lower() not in ("nan", "inf", "-inf"):
            self.broken(line)  # five decimals are printed
            return
        self._last = int(found[2])
        values: list[tuple[Metric, float]] = [(_LOSS, number(found[3]))]
        if number(found[1]) > 0:
            values.append((_TIME, number(found[1]) * 1e-3))
        self.record(self._last, values, line)

    def _bar(self, found: re.Match[str], line: Line) -> None:
        epoch, iteration = int(found[1]), int(found[2])
        self._epoch_iters = int(found[5]) if found[5] else max(self._epoch_iters, iteration + 1)
        self._last = max(0, epoch - 1) * self._epoch_iters + iteration
        if self._last < 10**15:
            self.record(self._last, ((_LOSS, number(found[3])), (_LR, number(found[4]))), line)

    # ---- what stands before the first record

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _KEY.match(text):
            return self._config_key(found, line)
        self._group = ""
        if found := _DATA.match(text):
            self.set_checked("data.train_tokens", int(found[1]), line)
            self.set_checked("architecture.vocab_size", int(found[2]), line)
        elif found := _PARAMETERS.search(text):
            half, millions = 0.5 * 10.0 ** -len(found[1].partition(".")[2]), float(found[1])
            self.set("logged.parameters", (round((millions - half) * 1e6), round((millions + half) * 1e6)), line)
            self.set("logged.parameters_convention", "total without the output head", line)
        elif found := _PARAMETERS_EXPONENT.search(text):
            count, half = float(found[1]) * 10.0 ** int(found[2]), 0.5e-6 * 10.0 ** int(found[2])
            self.set("logged.parameters", (round(count - half), round(count + half)), line)
            self.set("logged.parameters_convention", "total", line)
        elif found := _DEVICE.match(text):
            if found[1] != "cuda":
                self.set_checked("machine.gpu_name", found[1], line)
        else:
            return False
        return True

    def _config_key(self, found: re.Match[str], line: Line) -> bool:
        indent, name, value = len(found[1]), found[2], found[3]
        if indent == 0:
            if name not in _GROUPS or value is not None:
                return False
            if name == "system" or self.in_run:
                self._absorb()  # what stands before a config was said of the run before
                self.start_run(line)
            self._group = name
            return True
        if not self._group or value is None:
            return False
        key = f"{self._group}.{name}"
        if value == "None":
            return True
        if key == "model.model_type":
            self.note(_MODEL_TYPE, value[:60], line)
        elif key == "trainer.betas" and (betas := _BETAS.match(value)):
            self.set_checked("recipe.beta1", betas[1], line)
            self.set_checked("recipe.beta2", betas[2], line)
        elif key in _KEYS:
            self.set_checked(_KEYS[key], value, line)
        elif re.fullmatch(r"[-+\d.eE]{1,30}|True|False", value):
            self.note(f"mingpt.{key}", value, line)
        return True

    def finish_run(self, run: Reading) -> Reading:
        """Add the shape that the model type stands for, and what minGPT fixes."""
        settings: dict[str, Quantity[Any]] = dict(run.settings)
        kind = run.noted.get(_MODEL_TYPE)
        if kind is not None and kind.value in _TYPES:
            shape = zip(("n_layer", "n_head", "d_model"), _TYPES[kind.value], strict=True)
            for name, count in shape:
                settings.setdefault(f"architecture.{name}", known(count, f"minGPT's model_type {kind.value!r}", kind))
        if "recipe.batch_size" in settings:
            settings |= {key: q for key, q in _fixed().items() if key not in settings}
            width, heads = settings.get("architecture.d_model"), settings.get("architecture.n_head")
            if isinstance(width, Known):
                settings["architecture.d_ff"] = known(4 * width.value, "4 · n_embd (minGPT's Block)", width)
            if isinstance(heads, Known):
                settings["architecture.n_kv_head"] = heads
        return replace(run, settings=settings)


def _fixed() -> dict[str, Quantity[Any]]:
    model = Source("default", formula="minGPT's model.py is GPT-2 with an output head of its own")
    trainer = Source(
        "default", formula="minGPT's Trainer: AdamW, a constant rate, one process, one batch for each step"
    )
    return {
        "architecture.family": Known("gpt2", model),
        "architecture.tied": Known(False, model),
        "architecture.bias": Known(True, model),
        "recipe.optimizer": Known("adamw", trainer),
        "recipe.schedule": Known("constant", trainer),
        "recipe.world_size": Known(1, trainer),
        "recipe.gradient_accumulation_steps": Known(1, trainer),
    }


def _sniff(file: InputFile) -> float:
    text = file.sample
    if _RECORD.search(text):
        return 1.0
    return 0.9 if _BAR.search(text) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, MinGPTLog)


DIALECT = Dialect(
    name="mingpt",
    title="minGPT",
    role="log",
    example="number of parameters: 0.09M\nrunning on device cpu\niter_dt 61.20ms; iter 100: train loss 2.31045",
    reads="the loss of each printed step's batch (dropout on), step time, the config tree with the shape that its model"
    " type stands for, the size and vocabulary of a text dataset, parameters (without the output head), the scores of"
    " the adder; of the first version also the learning rate and the test loss after each epoch",
    cannot="validation (the current version has none), the card (only `cuda` or `cpu` is printed), the end that was"
    " planned where max_iters is None",
    source="karpathy/minGPT at 37baab7, and mingpt/trainer.py of 2020 to 2022",
    sniff=_sniff,
    read=_read,
    missing="the log does not print it",
)
