"""The console of OLMo and OLMo-core: a line ``[step=10/1000,epoch=0]`` and, below it, one indented line for each metric.

``train/CrossEntropyLoss=`` (OLMo) and ``train/CE loss=`` (OLMo-core) are the loss of the step's whole batch, reduced over
all ranks where it is logged. Of OLMo's optimiser metrics only the gradient norm is printed. ``throughput/device/…`` counts
one device. Large numbers are rounded (``1,234``, ``4.2B``). Evaluations print their metrics under a line of their own and
are taken for the step of the last step line before them. (OLMo ``olmo/train.py`` ``log_metrics_to_console`` and
``SpeedMonitor`` at 59a53e3; OLMo-core ``train/callbacks/console_logger.py``, ``speed_monitor.py``,
``evaluator_callback.py`` and ``utils.format_float`` at fa6c501.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...run import Known, known
from ..files import InputFile
from ..log import FLOAT, LogParser, read_log
from ..meaning import (
    GRAD_NORM,
    LEARNING_RATE,
    MEMORY_BYTES,
    MFU,
    STEP_TIME_S,
    TFLOPS,
    TOKENS_SEEN,
    TRAIN_LOSS,
    VAL_LOSS,
    Metric,
)
from ..patterns import lazy
from ..printed import read_printed
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import checked

__all__ = ["DIALECT", "OlmoLog"]

_HEAD = lazy(r"\[step=(\d{1,15})/(\d{1,15}|\?\?\?),epoch=(\d{1,9})(?:,eta=[^\]]{0,60})?\]")
_METRIC = lazy(
    rf"^(?:\d{{4}}-\d\d-\d\dT[\d:.]{{5,24}}Z? )?\s{{2,120}}([A-Za-z][\w /.()%\-*+:]{{0,160}}?)=({FLOAT})([BTPEKM]?)\s*$"
)
_CUT_METRIC = lazy(
    r"^(?:\d{4}-\d\d-\d\dT[\d:.]{5,24}Z? )?\s{2,120}(?:train|optim|throughput|eval|System|gpu_memory)/[^=]{0,160}="
)
_TOTAL = lazy(
    r"Total number of parameters: ([\d,]{1,26})\s*$|Building transformer with ([\d,]{1,26}) total params|- ([\d,]{1,26}) total params"
)
_WITHOUT = lazy(r"Number of non-embedding parameters: ([\d,]{1,26})\s*$|([\d,]{1,26}) non-embedding params")
_CARD = lazy(r"GPU capacity: (\S.{1,80}?) with [\d.]{1,12}\s?GiB memory")
_DEVICE = lazy(r"Device: (\S.{1,80}?), Device peak Flops/s: (\d{10,18})\s*$")
_RANKS = lazy(r"Data parallel world size = ([\d,]{1,12})\s*$")
_CONFIG = lazy(r"\bTrainConfig\(")
_NAN = lazy(r"(?:ValueError: |RuntimeError: )(?:nan|inf|-inf) loss encountered")
_CANCELLED = lazy(r"Run canceled(?: due to (.{1,100}?))?(?:, stopping in \d{1,9} more steps\.\.\.)?\s*$")
_QUICK = lazy(r"step=|param|capacity|Device: |world size|TrainConfig|loss encountered|Run canceled")
_BIG = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_MAX_METRICS = 400
_GIB = 2**30

_LOSS = TRAIN_LOSS.but(window="the whole batch of the step, mean over all ranks", scope="global")
_PPL = Metric("train_ppl", "train", "train", window="exp of the step's loss", scope="global")
_Z = Metric("z_loss", "train", "train", window="the batch of one step", scope="global")
_AVERAGE = "average since the run or its restart began"
_DEVICE_TOKENS = Metric("tokens_per_s_per_gpu", "-", "train", "tokens_per_s", "one step", "rank")
_STEP_TIME = STEP_TIME_S.but(mode="train", convention="1 / batches per second, as printed")
_OWN: Mapping[str, tuple[Metric, float]] = {
    "train/CrossEntropyLoss": (_LOSS, 1.0),
    "train/CE loss": (_LOSS, 1.0),
    "train/Perplexity": (_PPL, 1.0),
    "train/PPL": (_PPL, 1.0),
    "train/ZLoss": (_Z, 1.0),
    "train/Z loss": (_Z, 1.0),
    "optim/total_grad_norm": (GRAD_NORM.but(scope="global"), 1.0),
    "optim/total grad norm": (GRAD_NORM.but(scope="global"), 1.0),
    "optim/learning_rate_group0": (LEARNING_RATE, 1.0),
    "optim/LR": (LEARNING_RATE, 1.0),
    "optim/LR (group 0)": (LEARNING_RATE, 1.0),
    "throughput/total_tokens": (TOKENS_SEEN.but(scope="global"), 1.0),
    "throughput/total tokens": (TOKENS_SEEN.but(scope="global"), 1.0),
    "throughput/device/tokens_per_second": (_DEVICE_TOKENS.but(window="the last speed_monitor.window_size steps"), 1.0),
    "throughput/device/TPS": (_DEVICE_TOKENS, 1.0),
    "throughput/device/MFU": (
        MFU.but(mode="train", window="one step", scope="rank", convention="a share of the peak that the log names"),
        0.01,
    ),
    "throughput/device/flopsPS": (TFLOPS.but(mode="train", window="one step"), 1e-12),
    "gpu_memory/GPU active mem (GiB)": (MEMORY_BYTES.but(window="peak of active memory since the last line"), _GIB),
    "System/Peak GPU Memory (MB)": (MEMORY_BYTES.but(window="peak since the last such line"), 1e6),
}
_BATCHES: Mapping[str, Metric] = {
    "throughput/device/batches_per_second": _STEP_TIME.but(window="mean over the last speed_monitor.window_size steps"),
    "throughput/device/BPS": _STEP_TIME,
}
_EVALUATION = lazy(r"^(?:eval/)?(?:lm/|perplexity/)?(.{1,120}?)/(CrossEntropyLoss|CE loss|Perplexity|PPL)$")
_NAMES: Mapping[str, str] = {
    "model.d_model": "architecture.d_model",
    "model.n_layers": "architecture.n_layer",
    "model.n_heads": "architecture.n_head",
    "model.n_kv_heads": "architecture.n_kv_head",
    "model.mlp_hidden_size": "architecture.d_ff",
    "model.max_sequence_length": "architecture.context",
    "model.vocab_size": "architecture.vocab_size",
    "model.weight_tying": "architecture.tied",
    "model.include_bias": "architecture.bias",
    "optimizer.name": "recipe.optimizer",
    "optimizer.learning_rate": "recipe.learning_rate",
    "optimizer.weight_decay": "recipe.weight_decay",
    "scheduler.name": "recipe.schedule",
    "max_grad_norm": "recipe.grad_clip",
    "device_train_microbatch_size": "recipe.batch_size",
    "run_name": "recipe.run_name",
    "console_log_interval": "recipe.log_interval",
    "eval_interval": "recipe.eval_interval",
}
_DTYPES = {"amp_bf16": "bfloat16", "amp_fp16": "float16", "fp32": "float32"}


class OlmoLog(LogParser):
    """Reads the consoles of OLMo and OLMo-core."""

    dialect = "olmo"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._step: int | None = None
        self._other: dict[str, Metric] = {}

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if "=" in text and (found := _METRIC.match(text)):
            self._metric(found, line._replace(text=text.strip()))
            return True
        if not _QUICK.search(text):
            if not line.ended and _CUT_METRIC.match(text):
                self.broken(line)
                return True
            return False
        if found := _HEAD.search(text):
            self._head(found, line._replace(text=text[found.start() :]))  # what stands before it names the host
            return True
        return self._figure(line)

    def _head(self, found: re.Match[str], line: Line) -> None:
        self._step = int(found[1])
        if found[2] != "???":
            quantity, _problem = checked("recipe.max_steps", Known(int(found[2]), self.source(line)))
            self._pending.settings["recipe.max_steps"] = quantity
        self.note("olmo.epoch", int(found[3]), line)

    def _metric(self, found: re.Match[str], line: Line) -> None:
        name, text, suffix = found[1], found[2], found[3]
        if self._step is None:
            return
        if not line.ended and not _is_whole(text, suffix):
            self.broken(line)
            return
        value = float(text.replace(",", "")) * _BIG[suffix]
        if name in _OWN:
            metric, factor = _OWN[name]
            self.record(self._step, [(metric, value * factor)], line)
        elif name in _BATCHES:
            if value > 0:
                self.record(self._step, [(_BATCHES[name], 1 / value)], line)
        else:
            own = self._named(name)
            if own is not None:
                self.record(self._step, [(own, value)], line)

    def _named(self, name: str) -> Metric | None:
        """Return the metric of a name that is not the same in every run; None for one too many."""
        if name not in self._other:
            if len(self._other) >= _MAX_METRICS:
                return None
            self._other[name] = _metric_of(name)
        return self._other[name]

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _TOTAL.search(text):
            count = int((found[1] or found[2] or found[3]).replace(",", "") or 0)
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "total", line)
            self._without_embedding(text, line)
        elif self._without_embedding(text, line):
            pass
        elif found := _DEVICE.search(text):
            self.set("machine.gpu_name", found[1], line)
            self.set("logged.mfu_peak_flops_per_s", float(found[2]), line)
        elif found := _CARD.search(text):
            self.set("machine.gpu_name", found[1], line)
        elif found := _RANKS.search(text):
            self.note("olmo.data_parallel_ranks", int(found[1].replace(",", "") or 0), line)
        elif _NAN.search(text):
            self.notice("nan_loss", line, "the trainer stopped because the loss was not finite")
        elif found := _CANCELLED.search(text):
            self.note("olmo.cancelled", found[1] or "for no reason that is printed", line, now=True)
        elif found := _CONFIG.search(text):
            self.start_run(line)
            self._config(read_printed(text[found.end() : found.end() + 60_000], self.file, line.number))
        else:
            return False
        return True

    def _without_embedding(self, text: str, line: Line) -> bool:
        found = _WITHOUT.search(text)
        if found is None:
            return False
        self.note("olmo.non_embedding_parameters", int((found[1] or found[2]).replace(",", "") or 0), line)
        return True

    def _config(self, values: Mapping[str, Known[Any]]) -> None:
        """Take OLMo's config, which it prints as Python shows it."""
        for name, key in _NAMES.items():
            if name in values and values[name].value is not None:
                self._put(key, values[name])
        betas = values.get("optimizer.betas")
        if betas is not None and isinstance(betas.value, list) and len(betas.value) == 2:
            self._put("recipe.beta1", Known(betas.value[0], betas.source))
            self._put("recipe.beta2", Known(betas.value[1], betas.source))
        units, warmup = values.get("scheduler.units"), values.get("scheduler.t_warmup")
        if warmup is not None and (units is None or units.value == "steps"):
            self._put("recipe.warmup_steps", warmup)
        precision = values.get("precision")
        if precision is not None and precision.value in _DTYPES:
            self._put("recipe.dtype", Known(_DTYPES[precision.value], precision.source))
        self._batches(values)

    def _batches(self, values: Mapping[str, Known[Any]]) -> None:
        """``global_train_batch_size`` counts sequences over all ranks, whatever their number."""
        whole, micro = values.get("global_train_batch_size"), values.get("device_train_microbatch_size")
        context = values.get("model.max_sequence_length")
        if whole is None or not _count(whole.value):
            return
        if micro is not None and _count(micro.value) and whole.value % micro.value == 0:
            self._pending.settings["recipe.gradient_accumulation_steps"] = known(
                whole.value // micro.value, "global_train_batch_size / device_train_microbatch_size", whole, micro
            )
        if context is not None and _count(context.value):
            self._pending.settings["logged.tokens_per_step"] = known(
                whole.value * context.value, "global_train_batch_size × max_sequence_length", whole, context
            )

    def _put(self, key: str, value: Known[Any]) -> None:
        quantity, problem = checked(key, value)
        if problem is not None:
            self.problem(problem)
        self._pending.settings[key] = quantity

    def finish_run(self, run: Reading) -> Reading:
        """Call the only validation loss of a run by its plain name; several sets keep theirs."""
        losses = [s for s in run.series if s.name.startswith("val_loss/")]
        if len(losses) != 1:
            return run
        only = losses[0]
        window = f"evaluation on {only.name.partition('/')[2]}; step of the last step line before it"
        return replace(
            run, series=tuple(replace(s, name="val_loss", window=window) if s is only else s for s in run.series)
        )


def _metric_of(name: str) -> Metric:
    """Return the meaning of a metric by the parts of its name."""
    found = _EVALUATION.match(name) if not name.startswith(("train/", "optim/", "throughput/")) else None
    window = "an evaluation; step of the last step line before it"
    if found is not None and found[2] in ("CrossEntropyLoss", "CE loss"):
        return VAL_LOSS.but(name=f"val_loss/{found[1]}", window=window, scope="global")
    if found is not None:
        return Metric(f"val_ppl/{found[1]}", "val", "eval", "1", window, "global")
    if name.startswith("eval/"):
        return Metric(name, "val", "eval", "1", window, "global")
    split = "train" if name.startswith(("train/", "optim/")) else "-"
    average = "average" if "avg" in name else "not said"
    return Metric(
        name, split, "train" if split == "train" else "unknown", "1", _AVERAGE if average == "average" else average
    )


def _is_whole(text: str, suffix: str) -> bool:
    """Return whether a number at the end of a cut file has all the digits that the trainer gives a number of its size."""
    if suffix or text.lower().lstrip("+-") in ("nan", "inf"):
        return True
    if "," in text:
        return len(text.rpartition(",")[2]) == 3
    decimals = len(text.partition(".")[2])
    value = abs(float(text))
    wanted = 1 if value > 100 else 2 if value > 10 else 3 if value > 1 else 4
    return decimals >= wanted


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9


def _sniff(file: InputFile) -> float:
    if file.suffix in (".py", ".csv", ".json", ".jsonl", ".yaml", ".yml"):
        return 0.0
    text = file.sample
    if not _HEAD.search(text):
        return 0.0
    return 0.95 if re.search(r"^.{0,60}\s{2}(?:train|optim|throughput)/[\w /]{1,60}=", text, re.M) else 0.6


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, OlmoLog)


DIALECT = Dialect(
    name="olmo",
    title="OLMo and OLMo-core",
    role="log",
    example="[step=10/1000,epoch=0]\n    train/CrossEntropyLoss=9.123\n    optim/total_grad_norm=1.234",
    reads="train loss (the whole batch of the step, over all ranks), perplexity, gradient norm, tokens seen, tokens per second of a"
    " device, step time (from batches per second), MFU and learning rate (OLMo-core), memory, validation losses of each set,"
    " planned steps, parameters, the card, and the config that OLMo prints",
    cannot="the learning rate (OLMo prints of its optimiser the gradient norm alone), the exact step of an evaluation (that of the"
    " last step line before it is taken), OLMo-core's batch and shape; large numbers are rounded by the trainer",
    source="allenai/OLMo olmo/train.py at 59a53e3 and allenai/OLMo-core console_logger.py at fa6c501",
    sniff=_sniff,
    read=_read,
    missing="OLMo's console does not say: add its config.yaml or config.json",
)
