"""The text that GPT-NeoX prints: iterations, evaluations, and the dump of all arguments.

`` samples/sec: F | iteration N/ M | elapsed time per iteration (ms): F | learning rate: E | approx flops per GPU: FTFLOPS |
lm_loss: E | … |`` — Megatron's line with other names. DeepSpeed's pipeline prints the same step once more before it
(``steps: N loss: F iter time (s): F``): those are read only where the trainer's own lines are missing. Arguments are
printed as ``key .... value....updated`` (set by the user) or ``default``, which are both what the run used.
(``training_log`` in EleutherAI/gpt-neox ``megatron/logging.py`` at 018b8a9, ``NeoXArgs.print``.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...run import Known, Notice, Quantity, Source, Unknown, known, value_of
from ..files import InputFile
from ..log import FLOAT, LogParser, card_in, read_log
from ..meaning import GRAD_NORM, LEARNING_RATE, LOSS_SCALE, MFU, STEP_TIME_S, TFLOPS, TRAIN_LOSS, VAL_LOSS, Metric
from ..megatron_keys import ITERATION, VALIDATION, fields, number_of, pairs, value, whole
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import canonical

__all__ = ["DIALECT", "NeoXLog"]

_BEGIN = lazy(r"^\s{0,4}-{4,40} arguments -{4,40}\s*$")
_END = lazy(r"^\s{0,4}-{4,40} end of arguments -{4,40}\s*$")
_ARGUMENT = lazy(r"^ {2}([A-Za-z]\w{1,80}) (\.{0,60}) ?(.{0,20000})$")
_ORIGIN = lazy(r"\.{0,40}(updated|default)$")
_STEPS = lazy(rf"^steps: (\d{{1,12}}) loss: ({FLOAT})(?:\s.{{0,200}})? iter time \(s\): ({FLOAT})(?=\s|$)")
_PADDED = lazy(r"padded vocab \(size: \d{1,12}\) with \d{1,12} dummy tokens \(new size: (\d{1,12})\)")
_UNIQUE = lazy(r"\bTOTAL_PARAMS=\d{1,18} \([\d.]{1,24}M\) UNIQUE_PARAMS=(\d{1,18})(?!\d)")
_LOCAL = lazy(r"> number of parameters on model parallel rank (\d{1,6}): (\d{1,18})(?!\d)")
_SPEAKER = lazy(r"Rank: (\d{1,6}) partition count")
_BETAS = lazy(r"'betas': (\[[\d., e-]{1,40}\])")
_QUICK = lazy(
    r"iteration|steps: |arguments -|padded vocab|UNIQUE_PARAMS|number of param|results at|loss at|^\||^Rank: "
)
_SINCE = "mean over the iterations since the last line"
_LOSS = TRAIN_LOSS.but(window=f"{_SINCE} that were not skipped", scope="global")
_BY_DEEPSPEED = _LOSS.but(name="deepspeed_loss", window="the step, over its micro-batches and ranks")
_VAL = VAL_LOSS.but(window="mean over eval_iters batches", scope="global")
_TEST = _VAL.but(name="test_loss", split="test")
_SHARE = "a share of the peak that the config names (peak_theoretical_tflops)"
_METRICS: Mapping[str, tuple[Metric, float]] = {
    "learning rate": (LEARNING_RATE, 1.0),
    "lm_loss": (_LOSS, 1.0),
    "lm loss": (_LOSS, 1.0),
    "loss scale": (LOSS_SCALE, 1.0),
    "grad norm": (GRAD_NORM, 1.0),
    "grad_norm": (GRAD_NORM, 1.0),
    "elapsed time per iteration (ms)": (STEP_TIME_S.but(window=_SINCE), 1e-3),
    "samples/sec": (Metric("samples_per_s", unit="samples_per_s", window=_SINCE, scope="global"), 1.0),
    "MFU": (MFU.but(window=_SINCE, scope="rank", convention=_SHARE), 0.01),
    "HFU": (Metric("hfu", unit="fraction", window=_SINCE, scope="rank", convention=_SHARE), 0.01),
}
_TO_TERA = {"KFLOPS": 1e-9, "MFLOPS": 1e-6, "GFLOPS": 1e-3, "TFLOPS": 1.0, "PFLOPS": 1e3, "EFLOPS": 1e6}
_FLOPS = TFLOPS.but(window=_SINCE, convention="Megatron's formula; activation checkpointing counted when it is on")
_COUNTERS = ("number of skipped iterations", "number of nan iterations")
_MAX_NAMES = 40
_NAMES: Mapping[str, str] = {
    "num_layers": "architecture.n_layer",
    "hidden_size": "architecture.d_model",
    "num_attention_heads": "architecture.n_head",
    "num_kv_heads": "architecture.n_kv_head",
    "intermediate_size": "architecture.d_ff",
    "seq_length": "architecture.context",
    "padded_vocab_size": "architecture.vocab_size",
    "train_micro_batch_size_per_gpu": "recipe.batch_size",
    "batch_size": "recipe.batch_size",
    "global_num_gpus": "recipe.world_size",
    "optimizer_type": "recipe.optimizer",
    "lr": "recipe.learning_rate",
    "min_lr": "recipe.min_lr",
    "lr_decay_iters": "recipe.decay_steps",
    "lr_decay_style": "recipe.schedule",
    "train_iters": "recipe.max_steps",
    "weight_decay": "recipe.weight_decay",
    "gradient_clipping": "recipe.grad_clip",
    "hidden_dropout": "recipe.dropout",
    "eval_interval": "recipe.eval_interval",
    "eval_iters": "recipe.eval_iters",
    "log_interval": "recipe.log_interval",
}
_NOTED = (
    "pipe_parallel_size",
    "model_parallel_size",
    "zero_stage",
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
)


class NeoXLog(LogParser):
    """Reads GPT-NeoX's records, evaluations and arguments."""

    dialect = "gpt_neox"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._arguments: dict[str, Known[Any]] = {}
        self._in_dump = False
        self._undivided = False
        self._last = 0
        self._planned: int | None = None
        self._speakers: set[str] = set()
        self._names: dict[str, Metric] = {}

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if not self._in_dump and not _QUICK.search(text):
            return False
        if "iteration" in text and (head := ITERATION.search(text)):
            self._record(head, line)
        elif (found := _STEPS.match(text)) and line.ended:
            self._last = int(found[1])
            self.record(self._last, ((_BY_DEEPSPEED, float(found[2])),), line)
        elif found := VALIDATION.search(text):
            return self._evaluation(found, line)
        elif _BEGIN.match(text):
            self.start_run(line)
            self._arguments, self._in_dump = {}, True
        elif _END.match(text):
            self._in_dump = False
            self._interpret(line)
        elif self._in_dump and (found := _ARGUMENT.match(text)):
            self._argument(found[1], found[3], line)
        else:
            return self._figure(line)
        return True

    def _argument(self, name: str, text: str, line: Line) -> None:
        origin = _ORIGIN.search(text)
        if origin is None or len(self._arguments) > 5000:
            return
        plain = text[: origin.start()]
        shown = None if "/" in plain else f"{name} = {plain[:120]} ({origin[1]})"  # a path may hold a user's name
        self._arguments[name] = Known(value(plain), Source("read", self.file, line.number, shown))

    def _interpret(self, line: Line) -> None:
        if not self._arguments:
            return
        said = {name: q for name, q in self._arguments.items() if q.value is not None}
        settings, problems = canonical(said, _NAMES)
        settings.update(_more(said, settings))
        for key, quantity in settings.items():
            self.set(key, quantity, line)
        self._planned = value_of(settings["recipe.max_steps"]) if "recipe.max_steps" in settings else None
        for problem in problems:
            self.problem(problem)
        for name in _NOTED:
            if name in said and said[name].source.text is not None:
                self._pending.noted[f"gpt_neox.{name}"] = said[name]
        divided = [whole(said.get(name)) or 1 for name in ("model_parallel_size", "pipe_parallel_size")]
        self._undivided = divided == [1, 1]
        self._arguments = {}

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _PADDED.search(text):
            self.set("architecture.vocab_size", int(found[1]), line)
        elif found := _UNIQUE.search(text) or _LOCAL.search(text):
            if self._undivided:
                count = int(found[found.re.groups])
                self.set("logged.parameters", (count, count), line)
                self.set("logged.parameters_convention", "total", line)
        elif found := _SPEAKER.match(text):
            if len(self._speakers) < 2 and found[1] not in self._speakers:
                self._speakers.add(found[1])
                if len(self._speakers) == 2:
                    self.notice("ranks_interleaved", line, "several ranks write into this file")
        elif (card := card_in(text)) is not None:
            self.set("machine.gpu_name", card, line)
        else:
            return False
        return True

    def _record(self, head: re.Match[str], line: Line) -> None:
        self._interpret(line)
        found = fields(line.text[: head.start()] + line.text[head.end() :], whole_line=line.ended)
        if not found:
            self.broken(line)
            return
        self._last = int(head[1])
        if int(head[2]) and int(head[2]) != self._planned:
            self._planned = int(head[2])
            self.set("recipe.max_steps", self._planned, line)
        values: list[tuple[Metric, float]] = []
        for name, (plain, unit) in found.items():
            if name == "approx flops per GPU":
                if unit in _TO_TERA:
                    values.append((_FLOPS, plain * _TO_TERA[unit]))
            elif name not in _COUNTERS and not (name == "loss scale" and plain < 0):
                metric, scale = _METRICS.get(name) or (self._metric(name), 1.0)
                values.append((metric, plain * scale))
        if skipped := number_of(found, _COUNTERS[0]):
            self.notice("skipped_iterations", line, "the gradient was not finite, so nothing was learned", skipped)
        if number_of(found, _COUNTERS[1]):
            self.notice("nan_iterations", line, "the loss of some skipped iterations was not finite")
        self.record(self._last, values, line)

    def _metric(self, name: str) -> Metric:
        if name not in self._names and len(self._names) < _MAX_NAMES:
            slug = re.sub(r"\W+", "_", name).strip("_").lower()
            self._names[name] = Metric(slug, window=_SINCE)
        return self._names.get(name, Metric("other", window=_SINCE))

    def _evaluation(self, found: re.Match[str], line: Line) -> bool:
        said = fields(found[4], whole_line=line.ended)
        loss = next((said[k][0] for k in ("lm_loss value", "lm loss value") if k in said), None)
        if loss is None:
            return False
        step = int(found[2]) if found[2] else self._last
        if step >= self._last or not self.in_run:
            is_test = found[1] == "test" or "test" in found[3]
            self.record(step, ((_TEST if is_test else _VAL, loss),), line)
        return True

    def finish(self) -> tuple[Reading, ...]:
        """Return the readings; a log that ends in its dump of arguments still says what was asked for."""
        self._interpret(Line(1, ""))
        return super().finish()

    def finish_run(self, run: Reading) -> Reading:
        """Leave DeepSpeed's copy out where the trainer's own lines are there."""
        noted = dict(run.noted)
        for notice in run.notices:
            if notice.kind in ("skipped_iterations", "nan_iterations"):
                noted[f"gpt_neox.{notice.kind}"] = Known(notice.count, notice.source)
        own = run.get("train_loss") is not None
        series = tuple(
            s if s.name != "deepspeed_loss" else replace(s, name="train_loss")
            for s in run.series
            if not (own and s.name == "deepspeed_loss")
        )
        notices = run.notices
        if series and not any(s.name == "train_loss" for s in series):
            notices = (*notices, Notice("no_loss_logged", series[0].source(0), 1, 0, "no record holds a loss"))
        return replace(run, series=series, noted=noted, notices=notices)


def _more(said: Mapping[str, Known[Any]], settings: Mapping[str, Quantity[Any]]) -> dict[str, Quantity[Any]]:
    """Return the settings that follow from several arguments, or whose value is put in other words."""
    more: dict[str, Quantity[Any]] = {}
    micro, batch = said.get("train_micro_batch_size_per_gpu", said.get("batch_size")), said.get("train_batch_size")
    small, large = whole(micro), whole(batch)
    context = settings.get("architecture.context")
    if micro is not None and batch is not None and small and large and not large % small:
        more["recipe.gradient_accumulation_steps"] = known(
            large // small, "train_batch_size / train_micro_batch_size_per_gpu, over all ranks", batch, micro
        )
    if batch is not None and large and isinstance(context, Known):
        more["logged.tokens_per_step"] = known(large * context.value, "train_batch_size · seq_length", batch, context)
    if "recipe.world_size" in settings:
        more["machine.gpu_count"] = settings["recipe.world_size"]
    if "no_weight_tying" in said and isinstance(said["no_weight_tying"].value, bool):
        more["architecture.tied"] = Known(not said["no_weight_tying"].value, said["no_weight_tying"].source)
    if "use_bias_in_attn_linear" in said and isinstance(said["use_bias_in_attn_linear"].value, bool):
        more["architecture.bias"] = said["use_bias_in_attn_linear"]
    heads = settings.get("architecture.n_head")
    if "architecture.n_kv_head" not in settings and isinstance(heads, Known):
        more["architecture.n_kv_head"] = heads
    width = settings.get("architecture.d_model")
    if "architecture.d_ff" not in settings and isinstance(width, Known):
        if "mlp_type" in said and said["mlp_type"].value != "regular":
            more["architecture.d_ff"] = Unknown(f"{said['mlp_type'].source.place}: the width of this MLP is not said")
        else:
            more["architecture.d_ff"] = known(4 * width.value, "GPT-NeoX's default (4 · hidden_size)", width)
    if (precision := said.get("precision")) is not None:
        name = {"fp16": "float16", "bfloat16": "bfloat16", "bf16": "bfloat16", "fp32": "float32"}.get(
            str(precision.value)
        )
        if name is not None:
            more["recipe.dtype"] = Known(name, precision.source)
    more.update(_optimiser(said))
    more.update(_warmup(said, settings))
    return more


def _optimiser(said: Mapping[str, Known[Any]]) -> dict[str, Quantity[Any]]:
    printed = said.get("optimizer")
    found = _BETAS.search(str(printed.value)[:2000]) if printed is not None else None
    betas = pairs(found[1]) if found else []
    if printed is None or len(betas) != 2:
        return {}
    return {f"recipe.beta{i}": Known(beta, printed.source) for i, beta in enumerate(betas, 1) if 0 <= beta < 1}


def _warmup(said: Mapping[str, Known[Any]], settings: Mapping[str, Quantity[Any]]) -> dict[str, Quantity[Any]]:
    steps, share = said.get("warmup_iter", said.get("warmup_iters")), said.get("warmup")
    if steps is not None and (plain := whole(steps)) is not None:
        return {"recipe.warmup_steps": Known(plain, steps.source)}
    over = settings.get("recipe.decay_steps", settings.get("recipe.max_steps"))
    if share is None or not isinstance(over, Known) or not isinstance(value_of(share), int | float):
        return {}
    if not 0 <= share.value <= 1:
        return {}
    return {"recipe.warmup_steps": known(int(share.value * over.value), "warmup · decay steps", share, over)}


def _sniff(file: InputFile) -> float:
    text = file.sample
    if re.search(r"samples/sec: {1,4}[\d.]{1,20} \| iteration {1,12}\d{1,12}/", text) or (
        "approx flops per GPU:" in text and ITERATION.search(text)
    ):
        return 0.3 if file.suffix in (".md", ".rst") and text.count("elapsed time per iteration") < 10 else 0.95
    if "NeoXArgs." in text and re.search(r"^ {2}\w{2,60} \.{0,60} ?.{1,80}\.(?:updated|default)$", text, re.M):
        return 0.9
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, NeoXLog)


DIALECT = Dialect(
    name="gpt_neox",
    title="GPT-NeoX",
    role="log",
    example=" samples/sec: 640.123 | iteration       10/     400 | elapsed time per iteration (ms): 400.1 | learning rate:"
    " 1.000E-04 | approx flops per GPU: 44.4TFLOPS | lm_loss: 9.123456E+00 | loss scale: 4096.0 | number of skipped"
    " iterations:   0 | number of nan iterations:   0 |",
    reads="train loss (mean over the iterations since the last line that were not skipped, over all ranks), validation and"
    " test loss, learning rate, loss scale, iteration time, samples per second, TFLOP/s per GPU, MFU and HFU of newer"
    " versions, skipped iterations; the dump of arguments, defaults included: shape, batch, ranks, schedule, optimiser,"
    " precision; the padded vocabulary and the count of parameters",
    cannot="the card; gradient norms (they go to W&B only); the loss of skipped iterations",
    source="EleutherAI/gpt-neox megatron/logging.py and megatron/neox_arguments/arguments.py at 018b8a9",
    sniff=_sniff,
    read=_read,
    missing="the log does not print its arguments: add its start, or the .yml files that it was started with",
)
