"""The console of nanotron: one line for each iteration, its items joined by `` | ``, its numbers rounded to three digits.

``03/26 10:00:00 [INFO|DP=0|PP=0|TP=0|node]: iteration: 10 / 15000 | consumed_tokens: 10.5M | time_per_iteration_ms: 1.2K |
tokens_per_sec: … | lm_loss: 9.87 | lr: 0.0003 | model_tflops_per_gpu: 210 | eta: 5:00:00``. Versions before March 2025 say
``elapsed_time_per_iteration_ms`` and count ``global_batch_size`` in sequences, later ones in tokens. The loss is the mean
over the micro-batches of the iteration and over data-parallel ranks. Configs are printed as Python shows them, each line with
the prefix. (huggingface/nanotron ``trainer.py`` ``train_step_logs`` and ``logging/base.py`` ``LoggerWriter``,
``human_format`` at 2411b02, and 2b141c2 for what changed.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...run import Known, Unknown, known
from ..files import InputFile
from ..human import HUMAN, human, human_interval
from ..log import LogParser, read_log
from ..meaning import GRAD_NORM, LEARNING_RATE, STEP_TIME_S, TFLOPS, TOKENS_PER_S, TOKENS_SEEN, TRAIN_LOSS, Metric
from ..patterns import lazy
from ..printed import depth_of, read_printed
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import checked

__all__ = ["DIALECT", "NanotronLog"]

_PREFIX = lazy(
    r"^(?:.{0,60}?\s)?(?:\d{2,4}/\d\d(?:/\d\d)? )?\d\d:\d\d:\d\d \[(?:[A-Z]{4,8})((?:\|[^|\]]{1,80}){0,9})\]: "
)
_HEAD = lazy(r"(?:^|\s)iteration: (\d{1,15}) / (\d{1,15})(?= \||$)")
_ITEM = lazy(rf"\| ([\w/]{{1,80}}): ({HUMAN})(?= \||\s*$)")
_ETA = lazy(r"\| eta: (?:\d{1,6} days?, )?\d{1,2}:\d\d:\d\d")
_FIGURES = lazy(r"(?:^|\s)mbs: (\d{1,9}) \| grad_accum: (\d{1,9})(?: \| cp: (\d{1,6}))? \| (.{1,400})$")
_FIGURE = lazy(r"(?:^|\| )(\w{1,40}): (\d{1,18})(?= \||\s*$)")
_PARAMETERS = lazy(rf"Total number of parameters: ({HUMAN}) \(([\d.]{{1,16}})MiB\)")
_OBJECT = lazy(r"^(?:\w{0,40}Config)\((?=\w{1,60}=)")
_START = lazy(r"^(?:\x1b\[1m)?Config:\s*$")
_RANKS = lazy(r"\b(EP|CP|DP|PP|TP)=(\d{1,6})")
_QUICK = lazy(r"iteration: |mbs: |number of parameters|Config|Start")
_DIGITS = "printed with three digits"
_MAX_DICT_LINES = 1_000
_MAX_DICT_CHARS = 100_000
_MAX_METRICS = 200
_METRICS: Mapping[str, tuple[Metric, float]] = {
    "lm_loss": (
        TRAIN_LOSS.but(
            window="the batch of one iteration, mean over micro-batches and data-parallel ranks",
            scope="global",
            convention=_DIGITS,
        ),
        1.0,
    ),
    "z_loss": (
        Metric("z_loss", "train", "train", window="the batch of one iteration", scope="rank", convention=_DIGITS),
        1.0,
    ),
    "lr": (LEARNING_RATE.but(convention=_DIGITS), 1.0),
    "grad_norm": (GRAD_NORM.but(scope="global", convention=_DIGITS), 1.0),
    "time_per_iteration_ms": (STEP_TIME_S.but(mode="train", convention=_DIGITS), 1e-3),
    "elapsed_time_per_iteration_ms": (STEP_TIME_S.but(mode="train", convention=_DIGITS), 1e-3),
    "tokens_per_sec": (TOKENS_PER_S.but(mode="train", window="one iteration", scope="global", convention=_DIGITS), 1.0),
    "tokens_per_sec_per_gpu": (
        Metric("tokens_per_s_per_gpu", "-", "train", "tokens_per_s", "one iteration", "rank", _DIGITS),
        1.0,
    ),
    "consumed_tokens": (TOKENS_SEEN.but(scope="global", convention=_DIGITS), 1.0),
    "model_tflops_per_gpu": (TFLOPS.but(mode="train", window="one iteration", convention=_DIGITS), 1.0),
    "hardware_tflops_per_gpu": (
        TFLOPS.but(
            name="hardware_tflops_per_gpu",
            mode="train",
            window="one iteration, recomputation counted",
            convention=_DIGITS,
        ),
        1.0,
    ),
}
_NAMES: Mapping[str, str] = {
    "tokens.micro_batch_size": "recipe.batch_size",
    "tokens.sequence_length": "architecture.context",
    "tokens.train_steps": "recipe.max_steps",
    "tokens.val_check_interval": "recipe.eval_interval",
    "optimizer.learning_rate_scheduler.learning_rate": "recipe.learning_rate",
    "optimizer.learning_rate_scheduler.lr_warmup_steps": "recipe.warmup_steps",
    "optimizer.learning_rate_scheduler.lr_decay_steps": "recipe.decay_steps",
    "optimizer.learning_rate_scheduler.lr_decay_style": "recipe.schedule",
    "optimizer.learning_rate_scheduler.min_decay_lr": "recipe.min_lr",
    "optimizer.weight_decay": "recipe.weight_decay",
    "optimizer.clip_grad": "recipe.grad_clip",
    "optimizer.optimizer_factory.adam_beta1": "recipe.beta1",
    "optimizer.optimizer_factory.adam_beta2": "recipe.beta2",
    "optimizer.adam_beta1": "recipe.beta1",
    "optimizer.adam_beta2": "recipe.beta2",
    "optimizer.optimizer_factory.name": "recipe.optimizer",
    "general.run": "recipe.run_name",
    "logging.iteration_step_info_interval": "recipe.log_interval",
}
_SHAPE: Mapping[str, str] = {
    "num_hidden_layers": "architecture.n_layer",
    "num_attention_heads": "architecture.n_head",
    "num_key_value_heads": "architecture.n_kv_head",
    "hidden_size": "architecture.d_model",
    "intermediate_size": "architecture.d_ff",
    "vocab_size": "architecture.vocab_size",
    "tie_word_embeddings": "architecture.tied",
}


class NanotronLog(LogParser):
    """Reads nanotron's console."""

    dialect = "nanotron"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._object: list[str] = []
        self._object_line = 0
        self._depth = 0
        self._other: dict[str, Metric] = {}

    def line(self, line: Line) -> bool:
        """Take one line."""
        prefix = _PREFIX.match(line.text) if "[" in line.text[:120] else None
        if prefix is not None:
            ranks = _RANKS.findall(prefix[1])
            if ranks and self._rank is None:
                self._rank = " ".join(f"{name}={number}" for name, number in ranks)
            line = line._replace(text=line.text[prefix.end() :])  # what stands before it names the host
        if self._depth:
            if prefix is not None or self._object_line == line.number - len(self._object):
                self._collect(line)
                return True
            self._depth = 0
        text = line.text
        if not _QUICK.search(text):
            return False
        if found := _HEAD.search(text):
            self._record(found, line)
        elif found := _FIGURES.search(text):
            self._figures(found, line)
        elif found := _PARAMETERS.search(text):
            self.set("logged.parameters", human_interval(found[1], digits=3), line)
            self.set("logged.parameters_convention", "total", line)
        elif _START.match(text):
            self.start_run(line)
        elif _OBJECT.match(text):
            self._object, self._object_line, self._depth = [], line.number, 0
            self._collect(line)
        else:
            return False
        return True

    def _record(self, head: re.Match[str], line: Line) -> None:
        rest = line.text[head.end() :]
        if not line.ended and not _ETA.search(rest):
            self.broken(line)
            return
        items = {found[1]: human(found[2]) for found in _ITEM.finditer(rest)}
        if "lm_loss" not in items:
            self.broken(line)
            return
        values: list[tuple[Metric, float]] = []
        for name, value in items.items():
            if name == "global_batch_size":
                in_tokens = "time_per_iteration_ms" in items
                self.note(f"nanotron.global_batch_size_in_{'tokens' if in_tokens else 'sequences'}", value, line)
            elif name in _METRICS:
                metric, factor = _METRICS[name]
                values.append((metric, value * factor))
            elif (own := self._named(name)) is not None:
                values.append((own, value))
        quantity, _problem = checked("recipe.max_steps", Known(int(head[2]), self.source(line)))
        self._pending.settings["recipe.max_steps"] = quantity
        self.record(int(head[1]), values, line)

    def _named(self, name: str) -> Metric | None:
        if name not in self._other:
            if len(self._other) >= _MAX_METRICS:
                return None
            self._other[name] = Metric(name, convention=_DIGITS)
        return self._other[name]

    def _figures(self, found: re.Match[str], line: Line) -> None:
        """Take the line that stands before the first iteration; its accumulation is that of each data-parallel rank."""
        figures = {item[1]: int(item[2]) for item in _FIGURE.finditer("| " + found[4])}
        micro, context, batch = int(found[1]), figures.get("sequence_length"), figures.get("global_batch_size")
        source = self.source(line)
        self._put("recipe.batch_size", Known(micro, source))
        if context is not None:
            self._put("architecture.context", Known(context, source))
        if "train_steps" in figures:
            self._put("recipe.max_steps", Known(figures["train_steps"], source))
        if batch is not None and 0 < micro <= batch and batch % micro == 0:
            self._put(
                "recipe.gradient_accumulation_steps",
                known(batch // micro, "global_batch_size / mbs", Known(batch, source)),
            )
        else:
            self._pending.settings["recipe.gradient_accumulation_steps"] = Unknown(
                "nanotron counts accumulation for each data-parallel rank, and the log does not say how many there are"
            )
        if batch is not None and context is not None:
            self._put(
                "logged.tokens_per_step",
                known(batch * context, "global_batch_size × sequence_length", Known(batch, source)),
            )
        for name in ("start_iteration_step", "consumed_tokens_total"):
            if figures.get(name):
                self.note(f"nanotron.{name}", figures[name], line)

    # ---- configs

    def _collect(self, line: Line) -> None:
        """Gather the lines of a printed object until its last bracket closes."""
        self._object.append(line.text)
        self._depth = max(0, depth_of(line.text, self._depth))
        if self._depth and len(self._object) < _MAX_DICT_LINES and sum(map(len, self._object)) < _MAX_DICT_CHARS:
            return
        self._depth = 0
        text = "\n".join(self._object)
        start = _OBJECT.match(text)
        values = read_printed(text[start.end() if start else 0 :], self.file, self._object_line)
        if "hidden_size" in values:
            self._shape(values, "")
        elif "tokens.sequence_length" in values or "parallelism.dp" in values:
            self._config(values)

    def _config(self, values: Mapping[str, Known[Any]]) -> None:
        for name, key in _NAMES.items():
            if name in values and values[name].value is not None:
                self._put(key, values[name])
        sizes = [
            values[f"parallelism.{n}"]
            for n in ("dp", "pp", "tp", "context_parallel_size")
            if f"parallelism.{n}" in values
        ]
        if "parallelism.dp" in values and all(_count(s.value) for s in sizes):
            world = 1
            for size in sizes:
                world *= size.value
            self._put("recipe.world_size", known(world, "dp × pp × tp × cp", *sizes))
            self._put("machine.gpu_count", known(world, "dp × pp × tp × cp", *sizes))
        each, replicas = values.get("tokens.batch_accumulation_per_replica"), values.get("parallelism.dp")
        if each is not None and replicas is not None and _count(each.value) and _count(replicas.value):
            self._put(
                "recipe.gradient_accumulation_steps",
                known(each.value * replicas.value, "batch_accumulation_per_replica × dp", each, replicas),
            )
        self._shape(values, "model.model_config.")

    def _shape(self, values: Mapping[str, Known[Any]], before: str) -> None:
        for name, key in _SHAPE.items():
            if before + name in values and values[before + name].value is not None:
                self._put(key, values[before + name])

    def _put(self, key: str, value: Known[Any]) -> None:
        quantity, problem = checked(key, value)
        if problem is not None:
            self.problem(problem)
        self._pending.settings[key] = quantity


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**7


def _sniff(file: InputFile) -> float:
    if file.suffix in (".py", ".csv", ".json", ".jsonl", ".yaml", ".yml"):
        return 0.0
    return 0.97 if re.search(r"(?:^|\s)iteration: \d{1,15} / \d{1,15} \| consumed_tokens: ", file.sample, re.M) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, NanotronLog)


DIALECT = Dialect(
    name="nanotron",
    title="nanotron",
    role="log",
    example="03/26 10:00:00 [INFO|DP=0|PP=0|TP=0]: iteration: 10 / 15000 | consumed_tokens: 10.5M | time_per_iteration_ms: 1.2K |"
    " tokens_per_sec: 874K | tokens_per_sec_per_gpu: 109K | global_batch_size: 1.05M | lm_loss: 9.87 | lr: 0.0003 |"
    " model_tflops_per_gpu: 210 | eta: 5:00:00",
    reads="train loss (mean over micro-batches and data-parallel ranks), learning rate, gradient norm, step time, tokens per second"
    " of all GPUs and of one, TFLOP/s, tokens seen, planned steps, the batch as it is counted before the first iteration, and the"
    " configs that it prints: parallelism, schedule, optimiser, shape",
    cannot="more than three digits of any number, so that small changes of the loss do not show; the exact number of parameters; a"
    " validation loss, which is not printed here",
    source="huggingface/nanotron trainer.py and logging/base.py at 2411b02",
    sniff=_sniff,
    read=_read,
    missing="nanotron's console does not say: add its YAML config",
)
