"""What nanochat prints: base training, midtraining, SFT and RL, in whatever order one file holds them.

``step N/M (p%) | loss: F | lrm: F | dt: Fms | tok/sec: N | mfu: F | … | total time: Fm``: the loss is a debiased
exponential mean (0.9 old + 0.1 new) of rank 0's last micro-batches; ``lrm`` multiplies every group's learning rate; the
MFU counts all ranks. Validation is in bits per byte, a different quantity from the loss. Before 2025-10-30 ``tok/sec``
left gradient accumulation out, and before 2026-01-17 MFU was a share of an H100's peak whatever the card.
(karpathy/nanochat ``scripts/{base_train,mid_train,chat_sft,chat_rl}.py``, 3a5e0bc of 2025-10-13 to 92d63d4 of 2026-07.)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...run import Known, Notice, Quantity, Series, Source, Unknown, known
from ..files import InputFile
from ..log import FLOAT, LogParser, number, read_log
from ..meaning import (
    GRAD_NORM,
    LEARNING_RATE,
    MFU,
    STEP_TIME_S,
    TOKENS_PER_S,
    TRAIN_LOSS,
    VAL_BPB,
    VAL_LOSS,
    Metric,
)
from ..model_details import own_details
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import checked

__all__ = ["DIALECT", "H100_PEAK_FLOPS_PER_S", "NanochatLog", "model_settings"]

H100_PEAK_FLOPS_PER_S = 989e12
_MAX_JSON_LINES = 2000
_MAX_OTHER_METRICS = 64
_MAX_BESIDE = 32
_EMA_DECIMALS = 4
"""A loss has six decimals and a bpb four or six: with fewer at the end of a file, it was cut."""

_RECORD = lazy(r"^\s*step (\d{1,15})(?:/(\d{1,15}))? \((?:\d[\d.]{0,11}%|final)\) \| (.*)$")
_OTHER = lazy(r"^\s*Step (\d{1,15})(?:/(\d{1,15}))? \| (.*)$")
_PAIR = lazy(rf"^\s*([A-Za-z][\w@ ./-]{{0,40}}?)\s*: *({FLOAT})(ms|m|s|%)?(?=\s|$)")
_RATES = lazy(r"^\s*lr\(([^()]{1,200})\)\s*$")
_EXAMPLE_PASS = lazy(r"\bExample step \d")
_QUICK = lazy(r"^(?:\s*[Ss]tep \d|[A-Z✓=]|[a-z_]{1,40} {0,40}:|(?:train|val) bpb|\{|\}|\d{4}-\d\d-\d\d )")
_INT = r"(\d[\d,]{0,24})"
_FIGURES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("vocab", lazy(rf"^Vocab size: {_INT}\s*$")),
    ("layers", lazy(rf"^num_layers: {_INT}\s*$")),
    ("width", lazy(rf"^model_dim: {_INT}(?: \(.{{0,80}}\))?\s*$")),
    ("heads", lazy(rf"^num_heads: {_INT}\s*$")),
    ("kv_heads", lazy(rf"^num_kv_heads: {_INT}\s*$")),
    ("rank_batch", lazy(rf"^Tokens / micro-batch / rank: {_INT} x {_INT} = {_INT}\s*$")),
    ("micro_batch", lazy(rf"^Tokens / micro-batch: {_INT}\s*$")),
    ("batch", lazy(rf"^Total batch size {_INT} => gradient accumulation steps: {_INT}\s*$")),
    ("parameters", lazy(rf"^Number of parameters: {_INT}(?: \(scaling: {_INT}\))?\s*$")),
    ("flops", lazy(rf"^Estimated FLOPs per token: ({FLOAT})\s*$")),
    ("iterations", lazy(rf"^(?:Using user-provided|Calculated) number of iterations[^0-9]{{0,60}}: {_INT}\s*$")),
    ("iterations", lazy(rf"^Calculated number of steps: {_INT}\s*$")),
    ("tokens", lazy(rf"^Total number of training tokens: {_INT}\s*$")),
    ("total_flops", lazy(rf"^Total training FLOPs estimate: ({FLOAT})\s*$")),
    ("ratio", lazy(rf"^Tokens : (?:Scaling )?[Pp]arams ratio: ({FLOAT})\s*$")),
    ("gpu", lazy(r"^GPU: ([^|{}]{1,80}?) \| Peak FLOPS \(BF16\): (\S{1,20})\s*$")),
    ("world", lazy(r"Distributed world size: (\d{1,6})\s*$")),
    ("dtype", lazy(r"^COMPUTE_DTYPE: torch\.(\w{1,20})")),
    ("fp8", lazy(r"^✓ FP8 training enabled \((\w{1,20}) scaling\)")),
    ("weight_decay", lazy(rf"^Scaling weight decay from ({FLOAT}) to ({FLOAT}) for depth")),
    ("resumed", lazy(r"^Resuming optimization from step (\d{1,15})\s*$")),
    ("sft", lazy(r"^(?:Inherited \w{1,40}=.{0,80} from pretrained checkpoint|Training mixture: .{1,80})\s*$")),
    ("target_examples", lazy(rf"^Target examples per step: {_INT}\s*$")),
    ("device_batch", lazy(rf"^Device batch size: {_INT}\s*$")),
    ("sequences", lazy(rf"^Total sequences per step: {_INT}\s*$")),
    ("peak_memory", lazy(rf"^Peak memory usage: ({FLOAT})MiB\s*$")),
    ("minutes", lazy(rf"^Total training time: ({FLOAT})m\s*$")),
    ("minimum", lazy(rf"^Minimum validation bpb: ({FLOAT})\s*$")),
    ("eval_bpb", lazy(rf"^(train|val) bpb: ({FLOAT})\s*$")),
    ("eval_core", lazy(rf"^CORE metric: ({FLOAT})\s*$")),
)
_SETUP = frozenset(
    {
        *("vocab", "layers", "width", "heads", "kv_heads", "rank_batch", "micro_batch", "batch", "parameters", "flops"),
        *("iterations", "tokens", "gpu", "dtype", "target_examples", "sequences", "config", "sft"),
    }
)
"""What a training script prints before its first step; after records it belongs to the next run."""
_REPEATED = frozenset({"iterations", "sft"})
"""What one start may print more than once."""
_PROCESS = lazy(r"^Autodetected device type: (\w{1,12})")
_COUNT = lazy(r"^([a-z_]{1,40}) {0,40}: (\d[\d,]{0,24})\s*$")

_EMA = TRAIN_LOSS.but(
    window="debiased exponential mean over steps (0.9 old + 0.1 new) of rank 0's last micro-batch",
    scope="rank",
    convention="a debiased EMA: it follows the loss some ten steps late",
)
_SFT_LOSS = TRAIN_LOSS.but(window="rank 0's last micro-batch of the step, answer tokens only", scope="rank")
_BPB = VAL_BPB.but(window="eval_tokens tokens of the validation split", scope="global")
_SFT_VAL = VAL_LOSS.but(window="eval_steps batches of the validation split, answer tokens only", scope="global")
_LRM = Metric("lrm", mode="train", window="the step", convention="multiplies the learning rate of every group")
_TIME = STEP_TIME_S.but(mode="train", window="one step, evaluations not counted")
_TOKENS_PER_S = TOKENS_PER_S.but(mode="train", window="one step", scope="global")
_MFU = MFU.but(mode="train", window="one step", scope="global")
_GRAD_NORM = GRAD_NORM.but(window="the step, before clipping; of one rank, before ranks are reduced", scope="rank")
_REWARD = Metric("reward", "train", "eval", "1", "mean of the step's completions on rank 0 or all ranks")
_LENGTH = Metric("sequence_length", "train", "eval", "tokens", "mean of the step's completions")
_KNOWN: dict[str, tuple[Metric, float]] = {
    "loss": (_EMA, 1.0),
    "lrm": (_LRM, 1.0),
    "dt": (_TIME, 1e-3),
    "tok/sec": (_TOKENS_PER_S, 1.0),
    "mfu": (_MFU, 0.01),
    "bf16_mfu": (_MFU, 0.01),
    "grad norm": (_GRAD_NORM, 1.0),
    "Training loss": (_SFT_LOSS, 1.0),
    "num_tokens": (
        Metric("num_tokens", "train", "train", "tokens", "answer tokens of the step, all ranks", "global"),
        1,
    ),
    "Validation bpb": (_BPB, 1.0),
    "Validation loss": (_SFT_VAL, 1.0),
    "CORE metric": (Metric("core_metric", "-", "eval", "1", "centred accuracy over the CORE tasks", "global"), 1.0),
    "Average reward": (_REWARD, 1.0),
    "Average sequence length": (_LENGTH, 1.0),
}
_SKIPPED = frozenset({"total time", "eta", "epoch"})
_SHAPE = {
    "sequence_len": "architecture.context",
    "vocab_size": "architecture.vocab_size",
    "n_layer": "architecture.n_layer",
    "n_head": "architecture.n_head",
    "n_kv_head": "architecture.n_kv_head",
    "n_embd": "architecture.d_model",
    "dropout": "recipe.dropout",
}
_FIGURE_KEYS = {
    "vocab": "architecture.vocab_size",
    "layers": "architecture.n_layer",
    "width": "architecture.d_model",
    "heads": "architecture.n_head",
    "kv_heads": "architecture.n_kv_head",
    "iterations": "recipe.max_steps",
    "tokens": "logged.tokens_planned",
    "device_batch": "recipe.batch_size",
}
_FIGURE_NOTES = {
    "total_flops": "total_flops",
    "ratio": "tokens_per_parameter",
    "target_examples": "sequences_per_step",
    "sequences": "sequences_per_step",
    "peak_memory": "peak_memory_mib",
    "minutes": "training_minutes",
    "minimum": "minimum_val_bpb",
    "resumed": "resumed_from_step",
    "eval_core": "final_core_metric",
}


def model_settings(config: dict[str, Known[Any]]) -> dict[str, Quantity[Any]]:
    """Return what nanochat's model config means, with what its ``gpt.py`` fixes.

    Parameters
    ----------
    config : dict
        ``sequence_len``, ``vocab_size``, ``n_layer``, ``n_head``, ``n_kv_head``, ``n_embd`` … with their places.
    """
    settings: dict[str, Quantity[Any]] = {}
    for name, key in _SHAPE.items():
        if name in config:
            settings[key], _problem = checked(key, config[name])
    return settings


def _details(settings: Mapping[str, Quantity[Any]], pattern: Known[Any] | None) -> Quantity[Any]:
    """Return the config of the model, which the log prints in figures."""
    config = {name: settings.get(key, Unknown("the log does not print it")) for name, key in _SHAPE.items()}
    del config["dropout"], config["sequence_len"]
    missing = next((f"needs {name}: {q.reason}" for name, q in config.items() if isinstance(q, Unknown)), None)
    width = config["n_embd"]
    if missing is not None or isinstance(width, Unknown):
        return Unknown(missing or "")
    for name, also in (("sequence_len", settings.get("architecture.context")), ("window_pattern", pattern)):
        if isinstance(also, Known):
            config[name] = also
    return own_details(config, known("nanochat", "nanochat's GPT", width), "nanochat's model config")


class NanochatLog(LogParser):
    """Reads nanochat's stages; what a script prints before its first step begins the next run."""

    dialect = "nanochat"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._json: list[Line] | None = None
        self._counts = False
        self._new_process = False
        self._seen: set[str] = set()
        self._others: dict[str, Metric] = {}
        self._micro_tokens = 0
        self._of = 0
        self._beside: dict[int, Any] = {}

    # ---- lines

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if self._json is not None:
            return self._config_line(line)
        if self._counts:
            if found := _COUNT.match(text):
                self._count(found[1], found[2], line)
                return True
            self._counts = False
        if not _QUICK.match(text):
            return False
        if found := _RECORD.match(text):
            self._record(found, line)
            return True
        if found := _OTHER.match(text):
            return self._other(found, line)
        return self._figure(line)

    def _record(self, found: re.Match[str], line: Line) -> None:
        total = int(found[2]) if found[2] is not None else 0
        values = list(self._values(found[3], line))
        if not any(metric is _EMA for metric, _ in values):
            self.broken(line)
            return
        if total and self._of and total != self._of:
            self._record_beside(total, int(found[1]), values, line)
            return
        self._stage("base" if total else "mid", line)
        if total:
            self._planned(total, line)
        self.record(int(found[1]), values, line)

    def _record_beside(self, total: int, step: int, values: list[tuple[Metric, float]], line: Line) -> None:
        """Take a record of another process that writes into the same file: it has another number of planned steps."""
        run = self._beside.get(total)
        if run is None or step < run.last:
            if run is not None:
                self._done.append(run)
            run = type(self._run)()
            run.settings = {key: value for key, value in self._run.settings.items() if key.startswith("machine.")}
            run.settings["recipe.max_steps"] = Known(total, self.source(line))
            run.noted["nanochat.stage"] = Known("base", self.source(line))
            if len(self._beside) >= _MAX_BESIDE:
                self._done.extend(self._beside.values())
                self._beside.clear()
        mine, pending = self._run, self._pending
        self._run, self._pending = run, type(pending)()
        self.record(step, values, line)
        self._release()
        self._beside[total] = self._run
        self._run, self._pending = mine, pending
        self.notice("processes_interleaved", line, "told apart by their numbers of planned steps")

    def _other(self, found: re.Match[str], line: Line) -> bool:
        """Take a ``Step N | …`` line: an evaluation, or a step of the first SFT or of RL."""
        rest = found[3]
        if _EXAMPLE_PASS.search(rest):
            self._stage("rl", line)
            return True
        if "Training loss:" in rest:
            self._stage("sft", line)
        elif "Average reward:" in rest or "Pass@" in rest:
            self._stage("rl", line)
        elif "ChatCORE" in rest or "_acc:" in rest or "Validation loss:" in rest:
            self._stage("sft", line)
        values = list(self._values(rest, line))
        if found[2] is not None and values and "Training loss:" in rest:
            self._planned(int(found[2]), line)
        if values:
            self.record(int(found[1]), values, line)
        elif rest.startswith(("Validation", "CORE", "Training")):
            self.broken(line)
        else:
            return False
        return True

    def _values(self, text: str, line: Line) -> Iterator[tuple[Metric, float]]:
        fields = [part for piece in text[:2000].split("|") for part in _fields(piece)]
        for index, part in enumerate(fields):
            if rates := _RATES.match(part):
                yield from self._rates(rates[1])
                continue
            if (pair := _PAIR.match(part)) is None:
                continue
            name, value = pair[1], number(pair[2])
            if index == len(fields) - 1 and not line.ended and not _is_whole(pair[2]):
                continue
            if name == "epoch":
                self._epoch(value, line)
            if name in _SKIPPED or (name in ("mfu", "bf16_mfu") and not math.isfinite(value)):
                continue
            if name in _KNOWN:
                metric, factor = _KNOWN[name]
                yield metric, value * factor
            elif (other := self._other_metric(name)) is not None:
                yield other, value

    def _rates(self, text: str) -> Iterator[tuple[Metric, float]]:
        """A fork prints the rate of each optimiser."""
        for item in text.split(","):
            name, _, value = item.strip().partition(":")
            if re.fullmatch(r"\w{1,30}", name) and re.fullmatch(FLOAT, value.strip()):
                metric = self._other_metric(f"learning_rate_{name}")
                if metric is not None:
                    yield metric, number(value.strip())

    def _other_metric(self, name: str) -> Metric | None:
        metric = self._others.get(name)
        if metric is None and len(self._others) < _MAX_OTHER_METRICS:
            if name.startswith("learning_rate_"):
                metric = LEARNING_RATE.but(name=name, mode="train")
            else:
                metric = Metric(name, "-", "eval" if name[:1].isupper() or name.endswith("_acc") else "unknown")
            self._others[name] = metric
        return metric

    def _epoch(self, value: float, line: Line) -> None:
        """The epoch in progress, counted from 1: so many less one are complete."""
        if value >= 2:
            done = Known(
                float(value - 1),
                Source(
                    "derived", formula="epoch in progress − 1 (nanochat counts from 1)", inputs=(self.source(line),)
                ),
            )
            self.set("logged.epochs", done, line)

    def _planned(self, steps: int, line: Line) -> None:
        self._of = steps
        if not {"planned", "iterations"} & self._seen:
            self.set_checked("recipe.max_steps", steps, line)
        self._seen.add("planned")

    # ---- the beginning of a run

    def _stage(self, stage: str, line: Line) -> None:
        """Say which script is running; a record of another one than the run's begins a run."""
        if {stage, self._current} == {"mid", "sft"}:  # they print the same records; what SFT alone prints decides
            stage = "sft"
        elif self.in_run and self._current not in ("", stage):
            self._begin(line)
        if self._current != stage:
            self._current = stage
            self.note("nanochat.stage", stage, line)

    _current = ""

    def _begin(self, line: Line) -> None:
        self._absorb()  # what stands before the new script's first line was said of the run before
        before, total = self._run, self._of
        self.start_run(line)
        if self._run is not before and total and self._done and self._done[-1] is before:
            if (older := self._beside.get(total)) is not None:
                self._done.insert(-1, older)
            self._beside[total] = self._done.pop()  # it may go on, beside the new one
        if self._run is before:  # a start without a single step: what it set up is not this run's
            before.settings = {k: v for k, v in before.settings.items() if k.startswith("machine.")}
            before.noted.clear()
        self._seen.clear()
        self._current = ""
        self._new_process = False
        self._micro_tokens = self._of = 0

    def _setup(self, kind: str, line: Line) -> None:
        if self._new_process or self.in_run or (kind in self._seen and kind not in _REPEATED):
            self._begin(line)
        self._seen.add(kind)

    def _figure(self, line: Line) -> bool:
        text = line.text
        if _PROCESS.match(text):
            self._new_process = True
            return True
        if text.startswith("Model config:"):
            self._setup("config", line)
            self._stage_hint("base", line)
            self._json = []
            return True
        if text.startswith("Parameter counts:"):
            self._counts = True
            return True
        for kind, pattern in _FIGURES:
            if found := pattern.search(text) if kind == "world" else pattern.match(text):
                if kind in _SETUP:
                    self._setup(kind, line)
                self._take_figure(kind, found, line)
                return True
        return False

    def _stage_hint(self, stage: str, line: Line) -> None:
        if not self._current:
            self._current = stage
            self.note("nanochat.stage", stage, line)

    def _take_figure(self, kind: str, found: re.Match[str], line: Line) -> None:
        if kind in _FIGURE_NOTES:
            value = number(found[1])
            self.note(
                f"nanochat.{_FIGURE_NOTES[kind]}", int(value) if "." not in found[1] and value < 1e15 else value, line
            )
        if kind == "iterations":
            self._of = min(int(number(found[1])), 10**15)
        if kind in _FIGURE_KEYS:
            self.set_checked(_FIGURE_KEYS[kind], int(number(found[1])), line)
        hint = {"vocab": "base", "layers": "base", "sft": "sft", "target_examples": "sft", "sequences": "rl"}.get(kind)
        if hint == "sft" and self._current == "mid":
            self._current = ""
        if hint is not None:
            self._stage_hint(hint, line)
        getattr(self, f"_figure_{kind}", _nothing)(found, line)

    def _figure_rank_batch(self, found: re.Match[str], line: Line) -> None:
        self.set_checked("recipe.batch_size", int(number(found[1])), line)
        self.set_checked("architecture.context", int(number(found[2])), line)
        self._micro_tokens = int(number(found[3]))

    def _figure_micro_batch(self, found: re.Match[str], line: Line) -> None:
        tokens = int(number(found[1]))
        self.note("nanochat.tokens_per_micro_batch", tokens, line)
        if self._micro_tokens and tokens % self._micro_tokens == 0 and tokens:
            self._ranks_are(tokens // self._micro_tokens, line)
        self._world_tokens = tokens

    _world_tokens = 0

    def _figure_batch(self, found: re.Match[str], line: Line) -> None:
        tokens = int(number(found[1]))
        self.set_checked("logged.tokens_per_step", tokens, line)
        if self._micro_tokens and tokens % self._micro_tokens == 0:
            self.set_checked("recipe.gradient_accumulation_steps", tokens // self._micro_tokens, line)

    def _figure_parameters(self, found: re.Match[str], line: Line) -> None:
        self._total(found[1], line)
        if found[2]:
            self.note("nanochat.scaling_parameters", int(number(found[2])), line)

    def _figure_flops(self, found: re.Match[str], line: Line) -> None:
        self.set_checked("logged.flops_per_token", number(found[1]), line)

    def _figure_gpu(self, found: re.Match[str], line: Line) -> None:
        self.set_checked("machine.gpu_name", found[1].strip(), line)
        try:
            peak = float(found[2])
        except ValueError:
            return
        self.note("nanochat.peak_flops_printed", peak, line)
        if math.isfinite(peak):
            self.set_checked("logged.peak_flops_per_s", peak, line)
            self.set_checked("logged.mfu_peak_flops_per_s", peak, line)

    def _figure_world(self, found: re.Match[str], line: Line) -> None:
        self._ranks_are(int(found[1]), line)

    def _ranks_are(self, count: int, line: Line) -> None:
        self.set_checked("recipe.world_size", count, line)
        self.set_checked("machine.gpu_count", count, line)

    def _figure_dtype(self, found: re.Match[str], line: Line) -> None:
        self.set_checked("recipe.dtype", found[1], line)

    def _figure_fp8(self, found: re.Match[str], line: Line) -> None:
        self.note("nanochat.fp8", found[1], line)

    def _figure_weight_decay(self, found: re.Match[str], line: Line) -> None:
        self.set_checked("recipe.weight_decay", number(found[2]), line)

    def _figure_eval_bpb(self, found: re.Match[str], line: Line) -> None:
        self.note(f"nanochat.final_{found[1]}_bpb", number(found[2]), line)

    def _count(self, name: str, text: str, line: Line) -> None:
        if name == "total":
            self._total(text, line)
        else:
            self.note(f"nanochat.parameters.{name}", int(number(text)), line)

    def _total(self, text: str, line: Line) -> None:
        count = int(number(text))
        self.set("logged.parameters", (count, count), line)
        self.set("logged.parameters_convention", "total", line)

    def _config_line(self, line: Line) -> bool:
        """Take a line of the JSON after ``Model config:``, until its braces are closed."""
        assert self._json is not None
        lines = self._json
        if not lines and line.text.strip() != "{":
            self._json = None
            return self.line(line)
        lines.append(line)
        if line.text.rstrip() == "}":
            self._json = None
            self._take_config(lines)
        elif len(lines) > _MAX_JSON_LINES:
            self._json = None
        return True

    def _take_config(self, lines: list[Line]) -> None:
        try:
            values = json.loads("\n".join(item.text for item in lines))
        except (ValueError, RecursionError):
            return
        if not isinstance(values, dict):
            return
        config: dict[str, Known[Any]] = {}
        for name in (*_SHAPE, "window_pattern"):
            at = next((item for item in lines if item.text.lstrip().startswith(f'"{name}":')), None)
            if at is not None and isinstance(values.get(name), int | float | str):
                config[name] = Known(values[name], self.source(at))
        for key, quantity in model_settings(config).items():
            if isinstance(quantity, Known):
                self.set(key, quantity, lines[0])
        if "window_pattern" in config:
            self._pending.noted["nanochat.window_pattern"] = config["window_pattern"]

    # ---- the whole run

    def finish(self) -> tuple[Reading, ...]:
        """Return a reading for each stage or run, labelled by its stage."""
        self._done.extend(self._beside.values())
        self._beside.clear()
        readings = super().finish()
        if len(readings) == 1:
            return tuple(replace(r, label="") for r in readings)
        readings = tuple(sorted(readings, key=_first_line))
        counts: dict[str, int] = {}
        out = []
        for reading in readings:
            stage = reading.noted.get("nanochat.stage")
            name = str(stage.value) if stage is not None else "run"
            counts[name] = counts.get(name, 0) + 1
            out.append(replace(reading, label=name if counts[name] == 1 else f"{name} {counts[name]}"))
        return tuple(out)

    def finish_run(self, run: Reading) -> Reading:
        """Add what nanochat's model fixes, and what the MFU and the throughput of this version mean."""
        settings: dict[str, Quantity[Any]] = dict(run.settings)
        if not settings and not run.series:
            return run
        model = Source("default", formula="nanochat's gpt.py")
        settings.setdefault("architecture.family", Known("nanochat", model))
        settings.setdefault("architecture.tied", Known(False, model))
        settings.setdefault("architecture.bias", Known(False, model))
        optimizer = Source("default", formula="nanochat trains matrices with Muon, the rest with AdamW")
        settings.setdefault("recipe.optimizer", Known("muon+adamw", optimizer))
        width = settings.get("architecture.d_model")
        if isinstance(width, Known):
            settings.setdefault("architecture.d_ff", known(4 * width.value, "4 · n_embd (nanochat's MLP)", width))
        settings.setdefault("architecture.details", _details(settings, run.noted.get("nanochat.window_pattern")))
        notices = list(run.notices)
        series = tuple(s for s in (self._meant(s, run, settings, notices) for s in run.series) if s is not None)
        return replace(run, settings=settings, series=series, notices=tuple(notices))

    def _meant(
        self, series: Series, run: Reading, settings: dict[str, Quantity[Any]], notices: list[Notice]
    ) -> Series | None:
        if series.name == "mfu":
            return self._mfu(series, run, settings, notices)
        if series.name == "tokens_per_s" and _without_accumulation(series, run, settings):
            return replace(
                series,
                convention="one micro-batch of all ranks: gradient accumulation is left out (nanochat before 2025-10-30)",
            )
        return series

    def _mfu(
        self, series: Series, run: Reading, settings: dict[str, Quantity[Any]], notices: list[Notice]
    ) -> Series | None:
        if not any(series.values):
            detail = "the card's peak is not in nanochat's table, so MFU is printed as 0"
            notices.append(Notice("mfu_not_measured", series.source(0), series.count, series.lines[-1], detail))
            return None
        peak = settings.get("logged.mfu_peak_flops_per_s")
        if isinstance(peak, Known):
            return replace(
                series, convention=f"a share of {peak.value / 1e12:g} TFLOP/s (bf16, as printed) for each of all GPUs"
            )
        if "nanochat.peak_flops_printed" in run.noted:
            return series
        stock = Source("default", formula="nanochat before 2026-01-17 divides by an H100's 989 TFLOP/s")
        settings["logged.mfu_peak_flops_per_s"] = Known(H100_PEAK_FLOPS_PER_S, stock)
        return replace(
            series, convention="a share of 989 TFLOP/s (an H100's bf16) for each of all GPUs, whatever the card"
        )


def _first_line(reading: Reading) -> int:
    lines = [s.lines[0] for s in reading.series if len(s)] or [n.source.line or 0 for n in reading.notices]
    return min(lines, default=0)


def _nothing(_found: re.Match[str], _line: Line) -> None:
    """Take nothing more from a figure."""


def _fields(piece: str) -> list[str]:
    """Split ``a: 1, b: 2`` between values, and leave ``1,234`` and ``lr(a:1, b:2)`` whole."""
    if piece.lstrip().startswith("lr("):
        return [piece]
    return re.split(r", (?=[A-Za-z])", piece)


def _is_whole(text: str) -> bool:
    decimals = text.partition(".")[2]
    return len(decimals) >= _EMA_DECIMALS or text.lower().lstrip("+-") in ("nan", "inf")


def _without_accumulation(series: Series, run: Reading, settings: dict[str, Quantity[Any]]) -> bool:
    """Return whether tokens per second times seconds are one micro-batch rather than one step."""
    times = run.get("step_time_s")
    step, micro = settings.get("logged.tokens_per_step"), run.noted.get("nanochat.tokens_per_micro_batch")
    if times is None or len(times) != len(series) or not isinstance(step, Known) or micro is None:
        return False
    tokens = series.values[-1] * times.values[-1]
    return bool(micro.value < 0.9 * step.value and abs(tokens - micro.value) < 0.03 * micro.value)


_SURE = lazy(
    rf"^[ \t]*(?:step \d{{1,15}}(?:/\d{{1,15}})? \(\d[\d.]{{0,11}}%\) \| loss: (?:{FLOAT})"
    rf"|Step \d{{1,15}} \| Validation bpb: (?:{FLOAT})|Step \d{{1,15}}/\d{{1,15}} \| Training loss: (?:{FLOAT})\|"
    rf"|Step \d{{1,15}}/\d{{1,15}} \| Average reward: (?:{FLOAT}))",
    re.MULTILINE,
)


def _sniff(file: InputFile) -> float:
    text = file.sample
    if _SURE.search(text):
        return 1.0
    if re.search(r"^Tokens / micro-batch / rank: \d|^GPU: [^|{}\n]{1,80} \| Peak FLOPS \(BF16\): ", text, re.MULTILINE):
        return 0.8
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, NanochatLog)


DIALECT = Dialect(
    name="nanochat",
    title="nanochat",
    role="log",
    example="Step 00250 | Validation bpb: 1.041230\n"
    "step 00250/21400 (1.17%) | loss: 3.912345 | lrm: 1.00 | dt: 480.12ms | tok/sec: 1,091,993 | bf16_mfu: 47.51 |"
    " epoch: 1 | total time: 1.92m | eta: 168.9m",
    reads="base training, midtraining, SFT and RL, one run for each stage and each start, in all versions since October"
    " 2025: the training loss (a debiased exponential mean of rank 0's last micro-batches, so it lags some ten steps),"
    " the learning rate multiplier, step time, tokens per second, MFU with the peak it is a share of, gradient norm,"
    " validation in bits per byte, CORE and chat scores, reward; the model config, parameters by kind, FLOPs per token,"
    " tokens per step and planned, the GPU and the number of ranks",
    cannot="the learning rates themselves (each group has its own, and only their multiplier is printed), the number of"
    " training tokens on disk, the loss of single steps; a bpb cannot be compared with the loss",
    source="karpathy/nanochat scripts/base_train.py, mid_train.py, chat_sft.py, chat_rl.py, 3a5e0bc to 92d63d4",
    sniff=_sniff,
    read=_read,
    missing="the log does not print it",
)
