"""The text that Megatron-LM and Megatron-DeepSpeed print: iterations, evaluations, and the dump of all arguments.

``iteration N/ M | consumed samples: D | elapsed time per iteration (ms): F | learning rate: E | lm loss: E | … |`` — one
line every ``log_interval`` iterations, from one rank. The loss is the mean over those of them that were not skipped,
reduced over the data-parallel ranks; it is missing where all were skipped or the mean is not above zero (NaN, too).
(``training_log`` and ``evaluate_and_print_results`` of NVIDIA/Megatron-LM ``megatron/training/training.py`` at 001b00c and
of bigscience-workshop/Megatron-DeepSpeed.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...run import Known, Notice, Quantity, Source, Unknown, known, value_of
from ..files import InputFile
from ..log import LogParser, card_in, read_log
from ..meaning import (
    GRAD_NORM,
    LEARNING_RATE,
    LOSS_SCALE,
    STEP_TIME_S,
    TFLOPS,
    TOKENS_SEEN,
    TRAIN_LOSS,
    VAL_LOSS,
    Metric,
)
from ..megatron_keys import ITERATION, VALIDATION, fields, interpret, number_of, value
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "MegatronLog"]

_BEGIN = lazy(r"^\s{0,4}-{4,40} arguments -{4,40}\s*$")
_END = lazy(r"^\s{0,4}-{4,40} end of arguments -{4,40}\s*$")
_ARGUMENT = lazy(r"^\s{2}([A-Za-z]\w{1,80}) (\.{0,60}) ?(.{0,2000})$")
_PADDED = lazy(r"padded vocab \(size: \d{1,12}\) with \d{1,12} dummy tokens \(new size: (\d{1,12})\)")
_WORLD = lazy(r"^using world size: (\d{1,9}),")
_LOCAL = lazy(
    r"> number of parameters on (?:\(tensor, pipeline\) )?model parallel rank \(?(\d{1,6}(?:, \d{1,6})?)\)?: (\d{1,18})(?!\d)"
)
_UNIQUE = lazy(r"\bTOTAL_PARAMS=(\d{1,18}) \([\d.]{1,24}M\) UNIQUE_PARAMS=(\d{1,18})(?!\d)")
_BILLIONS = lazy(r"^\s{0,4}Total number of parameters in billions: (\d{1,6}\.(\d{1,6}))\s*$")
_QUICK = lazy(r"iteration|arguments -|padded vocab|world size|ARAM|aramet|loss at |^\|| \.\.\.")
_SINCE = "mean over the iterations since the last line"
_LOSS_NAMES = ("lm loss", "lm-loss", "lm_loss", "loss")
_LOSS = TRAIN_LOSS.but(window=f"{_SINCE} that were not skipped", scope="global")
_VAL = VAL_LOSS.but(window="mean over eval_iters batches", scope="global")
_TEST = _VAL.but(name="test_loss", split="test")
_TOKENS_PER_GPU = Metric("tokens_per_s_per_gpu", unit="tokens_per_s", window=_SINCE, scope="rank")
_ELAPSED = "elapsed time per iteration (ms)"
_METRICS: Mapping[str, Metric] = {
    "learning rate": LEARNING_RATE,
    "grad norm": GRAD_NORM,
    "loss scale": LOSS_SCALE,
    "consumed tokens": TOKENS_SEEN,
    "consumed samples": Metric("consumed_samples", unit="samples", window="up to the iteration"),
    "global batch size": Metric("global_batch_size", unit="samples", window="the iteration"),
    "throughput per GPU (TFLOP/s/GPU)": TFLOPS.but(window=_SINCE),
    "compute per GPU (TFLOP/s/GPU)": TFLOPS.but(window=_SINCE),
    "TFLOPs": TFLOPS.but(window=_SINCE),
    "samples per second": Metric("samples_per_s", unit="samples_per_s", window=_SINCE, scope="global"),
    "tokens per gpu per second (tgs)": _TOKENS_PER_GPU,
    "Tokens per second per GPU (Tok/s/GPU)": _TOKENS_PER_GPU,
    "tokens per GPU (tokens/s/GPU)": _TOKENS_PER_GPU,
    "num zeros": Metric("num_zeros_in_grad", window="the iteration"),
    "params norm": Metric("params_norm", window="the iteration"),
}
_COUNTERS = ("number of skipped iterations", "number of nan iterations", "skipped samples")
_MAX_NAMES = 40
_MOSTLY_RECORDS = 0.3
_NOTED = (
    "tensor_model_parallel_size",
    "pipeline_model_parallel_size",
    "context_parallel_size",
    "expert_model_parallel_size",
    "data_parallel_size",
    "num_experts",
    "rampup_batch_size",
    "step_batch_size_schedule",
    "train_samples",
    "exit_interval",
    "init_method_std",
    "attention_dropout",
    "position_embedding_type",
    "normalization",
    "swiglu",
    "zero_stage",
    "recompute_granularity",
    "checkpoint_activations",
)


class MegatronLog(LogParser):
    """Reads Megatron's records, evaluations and arguments."""

    dialect = "megatron"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._arguments: dict[str, Known[Any]] = {}
        self._in_dump = False
        self._last = 0
        self._planned: int | None = None
        self._names: dict[str, Metric] = {}
        self._tensor_parallel: Any = None
        self._pipeline: Any = None
        self._speakers: set[str] = set()

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if not self._in_dump and not _QUICK.search(text):
            return False
        if "iteration" in text and (head := ITERATION.search(text)):
            self._record(head, line)
            return True
        if (found := VALIDATION.search(text)) is not None:
            return self._evaluation(found, line)
        if _BEGIN.match(text):
            self.start_run(line)
            self._arguments, self._in_dump = {}, True
        elif _END.match(text):
            self._in_dump = False
            self._interpret(line)
        elif (found := _ARGUMENT.match(text)) and (self._in_dump or len(found[2]) > 2):
            self._argument(found[1], found[3], line)
        else:
            return self._figure(line)
        return True

    def _argument(self, name: str, text: str, line: Line) -> None:
        if len(self._arguments) < 5000:
            shown = "" if "/" in text else line.text.strip()[:160]  # a path may hold a user's name
            self._arguments[name] = Known(value(text), Source("read", self.file, line.number, shown or None))

    def _interpret(self, line: Line) -> None:
        """Put the arguments read so far into settings."""
        if not self._arguments:
            return
        self._tensor_parallel = self._plain("tensor_model_parallel_size")
        self._pipeline = self._plain("pipeline_model_parallel_size")
        settings, problems = interpret(self._arguments, defaults=False)
        for key, quantity in settings.items():
            self.set(key, quantity, line)
        self._planned = value_of(settings["recipe.max_steps"]) if "recipe.max_steps" in settings else None
        for problem in problems:
            self.problem(problem)
        for name in _NOTED:
            said = self._arguments.get(name)
            if said is not None and said.value is not None and said.source.text is not None:
                self._pending.noted[f"{self.dialect}.{name}"] = said
        self._arguments = {}

    def _plain(self, name: str) -> Any:
        said = self._arguments.get(name)
        return said.value if said is not None else None

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _PADDED.search(text):
            self.set("architecture.vocab_size", int(found[1]), line)
        elif found := _WORLD.search(text):
            self.set("recipe.world_size", int(found[1]), line)
            self.set("machine.gpu_count", int(found[1]), line)
        elif found := _UNIQUE.search(text):
            self._parameters(int(found[2]), line)
        elif found := _BILLIONS.match(text):
            half = 0.5 * 10.0 ** -len(found[2])
            low, high = (round((float(found[1]) + sign * half) * 1e9) for sign in (-1, 1))
            self.set("logged.parameters", (low, high), line)
            self.set("logged.parameters_convention", "total", line)
        elif found := _LOCAL.search(text):
            self._local(found, line)
        elif (card := card_in(text)) is not None:
            self.set("machine.gpu_name", card, line)
        else:
            return False
        return True

    def _parameters(self, count: int, line: Line) -> None:
        """Take the sum over all ranks that hold a model; tensor-parallel ranks hold some parameters in common."""
        if self._tensor_parallel == 1:
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "total", line)
        else:
            self.note(f"{self.dialect}.parameters_summed_over_ranks", count, line)

    def _local(self, found: re.Match[str], line: Line) -> None:
        """Take one rank's own count; it is the model's when the model is not divided."""
        if len(self._speakers) < 2 and found[1] not in self._speakers:
            self._speakers.add(found[1])
            if len(self._speakers) == 2:
                self.notice("ranks_interleaved", line, "several ranks write into this file")
        if self._tensor_parallel == 1 and self._pipeline in (0, 1):
            self._parameters(int(found[2]), line)

    def _record(self, head: re.Match[str], line: Line) -> None:
        self._interpret(line)
        step = int(head[1])
        found = fields(line.text[head.end() :], whole_line=line.ended)
        if not found:
            self.broken(line)
            return
        self._last = step
        if int(head[2]) and int(head[2]) != self._planned:
            self._planned = int(head[2])
            self.set("recipe.max_steps", self._planned, line)
        values: list[tuple[Metric, float]] = []
        loss = next((found[name][0] for name in _LOSS_NAMES if name in found), None)
        if loss is not None:
            values.append((_LOSS, loss))
        for name, (plain, _unit) in found.items():
            if name == _ELAPSED:
                values.append((STEP_TIME_S.but(window=_SINCE), plain / 1000))
            elif name == "loss scale" and plain < 0:
                continue  # DeepSpeed keeps it to itself: -1.0 stands for "not known here"
            elif name not in _LOSS_NAMES and name not in _COUNTERS:
                values.append((self._metric(name), plain))
        if skipped := number_of(found, _COUNTERS[0]):
            self.notice("skipped_iterations", line, "the gradient was not finite, so nothing was learned", skipped)
        if number_of(found, _COUNTERS[1]):
            self.notice("nan_iterations", line, "the loss of some skipped iterations was not finite")
        if loss is None:
            self.notice("record_without_loss", line, "all its iterations were skipped, or their mean loss is no number")
        self.record(step, values, line)

    def _metric(self, name: str) -> Metric:
        """Return a field's meaning; one without a standard name keeps the trainer's."""
        if name in _METRICS:
            return _METRICS[name]
        if name not in self._names and len(self._names) < _MAX_NAMES:
            slug = re.sub(r"\W+", "_", name).strip("_").lower()
            is_loss = slug.endswith("loss")
            self._names[name] = Metric(
                slug, "train" if is_loss else "-", "train" if is_loss else "unknown", window=_SINCE
            )
        return self._names.get(name, Metric("other", window=_SINCE))

    def _evaluation(self, found: re.Match[str], line: Line) -> bool:
        said = fields(found[4], whole_line=line.ended)
        loss = next((said[f"{name} value"][0] for name in _LOSS_NAMES if f"{name} value" in said), None)
        if loss is None:
            return False
        step = int(found[2]) if found[2] else self._last
        is_test = found[1] == "test" or "test" in found[3]
        if step < self._last and self.in_run:
            return True  # an earlier one, printed again; a record of its own would look like a restart
        self.record(step, ((_TEST if is_test else _VAL, loss),), line)
        return True

    def finish(self) -> tuple[Reading, ...]:
        """Return the readings; a log that ends in its dump of arguments still says what was asked for."""
        self._interpret(Line(1, ""))
        return super().finish()

    def finish_run(self, run: Reading) -> Reading:
        """Leave out what was not measured, and add what follows from all lines together."""
        return replace(_with_batch(without_zero_norms(run)), noted=_with_counts(self.dialect, run))


def without_zero_norms(run: Reading) -> Reading:
    """Leave out a gradient norm that is printed as 0 throughout, and say so; likewise the count of zeros."""
    norm = run.get("grad_norm")
    if norm is None or len(norm) < 2 or any(norm.values):
        return run
    notice = Notice(
        "grad_norm_constant_zero", norm.source(0), len(norm), norm.lines[-1], "the norm is printed as 0: not measured"
    )
    zeros = run.get("num_zeros_in_grad")
    gone = {"grad_norm"} | ({"num_zeros_in_grad"} if zeros is not None and not any(zeros.values) else set())
    return replace(run, series=tuple(s for s in run.series if s.name not in gone), notices=(*run.notices, notice))


def _with_batch(run: Reading) -> Reading:
    """Add the tokens of a step where the batch stays the same, and that the loss was never printed."""
    settings: dict[str, Quantity[Any]] = dict(run.settings)
    series, notices = run.series, run.notices
    batch, context = run.get("global_batch_size"), settings.get("architecture.context")
    if batch is not None and len(batch):
        if not all(1 <= size < 10**12 for size in batch.values):
            pass
        elif min(batch.values) == max(batch.values):
            size = Known(int(batch.values[0]), batch.source(0))
            if isinstance(context, Known) and "logged.tokens_per_step" not in settings:
                settings["logged.tokens_per_step"] = known(
                    size.value * int(context.value), "global batch size · sequence length", size, context
                )
            series = tuple(s for s in series if s.name != "global_batch_size")
        else:
            why = (
                f"the printed global batch size changes ({min(batch.values):,.0f} to {max(batch.values):,.0f} samples)"
            )
            settings["logged.tokens_per_step"] = settings["recipe.gradient_accumulation_steps"] = Unknown(why)
    seen = run.get("tokens_seen")
    if seen is not None and len(seen) and 0 <= max(seen.values) < 10**18:
        settings["logged.tokens_seen"] = Known(int(max(seen.values)), seen.source(len(seen) - 1))
    if run.series and run.get("train_loss") is None:
        first = run.series[0]
        notices = (*notices, Notice("no_loss_logged", first.source(0), 1, 0, "no record holds a loss"))
    return replace(run, settings=settings, series=series, notices=notices)


def _with_counts(dialect: str, run: Reading) -> dict[str, Known[Any]]:
    noted = dict(run.noted)
    for notice in run.notices:
        if notice.kind in ("skipped_iterations", "nan_iterations", "record_without_loss"):
            name = "records_without_loss" if notice.kind == "record_without_loss" else notice.kind
            noted[f"{dialect}.{name}"] = Known(notice.count, notice.source)
    return noted


def _sniff(file: InputFile) -> float:
    text = file.sample
    if "samples/sec:" in text and re.search(r"samples/sec: {1,4}[\d.]{1,20} \| iteration", text):
        return 0.2  # GPT-NeoX
    records = len(re.findall(r"iteration\s{1,12}\d{1,12}/\s{0,12}\d{1,12} ?\| ", text))
    timed = "elapsed time per iteration (ms):" in text
    if file.suffix in (".md", ".markdown", ".rst", ".html"):
        lines = sum(1 for line in text.split("\n") if line.strip())
        quoted = records >= 10 and records >= _MOSTLY_RECORDS * lines
        return 0.6 if timed and quoted else 0.3 if timed else 0.0  # prose that quotes lines is no log
    if timed and records:
        return 0.9
    if re.search(r"^\s{0,4}-{4,40} arguments -{4,40}\s*$", text, re.M) and re.search(
        r"^  (?:tensor_model_parallel_size|micro_batch_size|num_attention_heads) \.{3,60} ", text, re.M
    ):
        return 0.85
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, MegatronLog)


DIALECT = Dialect(
    name="megatron",
    title="Megatron-LM",
    role="log",
    example=" iteration       20/    1000 | consumed samples:         1280 | elapsed time per iteration (ms): 1234.5 |"
    " learning rate: 3.000E-05 | global batch size:    64 | lm loss: 9.123456E+00 | loss scale: 65536.0 |"
    " grad norm: 2.345 | number of skipped iterations:   0 | number of nan iterations:   0 |",
    reads="train loss (mean over the iterations since the last line that were not skipped, over all data-parallel ranks),"
    " validation and test loss, learning rate, gradient norm, loss scale, iteration time, TFLOP/s per GPU, samples and"
    " tokens consumed, skipped iterations; the dump of arguments: shape, batch, schedule, optimiser, precision, ranks;"
    " the padded vocabulary and the count of parameters where they are printed",
    cannot="the loss of iterations that were skipped or whose mean is NaN (Megatron prints none); how many parameters there"
    " are in all, unless the version prints it; the card, unless the script calls nvidia-smi; whether a gradient norm of 0 or"
    " a loss scale of -1 was measured (they are left out)",
    source="NVIDIA/Megatron-LM megatron/training/training.py at 001b00c, bigscience-workshop/Megatron-DeepSpeed",
    sniff=_sniff,
    read=_read,
    missing="the log does not print its arguments: add the start of the log, or the script that started it",
)
