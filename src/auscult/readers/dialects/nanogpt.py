"""The text that nanoGPT's ``train.py`` prints: ``step`` and ``iter`` lines, and what stands around them.

``step N: train loss F, val loss F`` — both measured by ``estimate_loss()`` in eval mode (dropout off), each a mean over
``eval_iters`` random batches. ``iter N: loss F, time Fms, mfu F%`` — one micro-batch in train mode (dropout on); the
time covers the whole step, an evaluation included when one ran; the MFU is a running average (0.9 old + 0.1 new, over
logged iterations) in units of an A100's 312 TFLOP/s whatever the card, and −100 % until the sixth iteration.
(nanoGPT ``train.py`` and ``model.py`` at 3adf61e.) A config that the log echoes is read with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import replace

from ...errors import BadConfig
from ...run import Known, Quantity, Source
from ..bulk import Layout
from ..files import InputFile
from ..formats.metric_lines import Template
from ..literals import NotLiteral, evaluate
from ..log import FLOAT, LogParser, read_log
from ..meaning import LEARNING_RATE, MFU, STEP_TIME_S, TRAIN_LOSS, TRAIN_LOSS_EVAL, VAL_LOSS, Metric
from ..nanogpt_keys import FOUND_VOCAB, MAX_OVERRIDE_CHARS, SANE, VOCABULARY, checked_key, interpret
from ..patterns import lazy
from ..python_config import parse_config
from ..reading import ECHO, Dialect, Reading
from ..text import Line
from .nanogpt_config import raw_settings

__all__ = ["DIALECT", "NanoGPTLog"]

_HEAD = lazy(r"(?:^|[\s\]|>])(iter|step) (\d{1,15}):(?=\s)")
_UNIT = r"(?: (?:bpc|BPC|bpb|BPB|nats)(?=[\s,;]|$))?"
_STEP = lazy(rf"\s*train loss ({FLOAT})({_UNIT}), val loss ({FLOAT}){_UNIT}(?=[\s,;]|$)")
_FIELD = lazy(rf"(?<![\w_])(?<!train )(?<!val )(loss|time|mfu|lr)[:=]? ({FLOAT})(ms|s|%|{_UNIT})?(?=[\s,;]|$)")
_UNITS = {"bpc": "bits_per_character", "bpb": "bits_per_byte"}
_DECIMALS = lazy(r"\.\d{4}$|^[-+]?(?:nan|inf)$")
_PARAMETERS = lazy(r"number of parameters: (\d{1,9}(?:\.\d{1,6})?)M")
_DECAYED = lazy(r"num decayed parameter tensors: \d+, with ([\d,]{1,20})(?![\d,]) parameters")
_TOKENS = lazy(r"tokens per iteration will be: ([\d,]{1,20})(?![\d,])")
_VOCAB = lazy(r"found vocab_size = (\d{1,12})(?!\d)|defaulting to vocab_size of GPT-2 to (\d{1,12})(?!\d)")
_FILE_ECHO = lazy(r"Overriding config with (\S+):\s*$")
_KEY_ECHO = lazy(r"Overriding: (\w+) = (.*)$")
_END_OF_ECHO = lazy(
    r"^(?:Overriding: |Overriding config with |tokens per iteration|found vocab_size|Initializing |Resuming |defaulting "
    r"|number of parameters|num (?:non-)?decayed|using fused|compiling the model|wandb: |step \d+:|iter \d+:|\[rank|W\d{4} )"
)
_QUICK = lazy(r"iter |step |number of|tokens per|vocab|Overriding|num decayed")
_SHARE = "in units of 312 TFLOP/s (A100 bf16)"
_LOSS = TRAIN_LOSS.but(window="one micro-batch of the step, dropout on", scope="rank")
_TRAIN_EVAL = TRAIN_LOSS_EVAL.but(window="mean of eval_iters random batches, dropout off", scope="rank")
_VAL = VAL_LOSS.but(window="mean of eval_iters random batches, dropout off", scope="rank")
_TIME = STEP_TIME_S.but(mode="train", window="one whole step, including an evaluation when one ran")
_MFU = MFU.but(
    mode="train",
    window=f"running average over logged iterations, {_SHARE}",
    scope="rank",
    convention=f"a share {_SHARE}",
)
_LR = LEARNING_RATE.but(mode="train", window="the step's learning rate")
_STEP_LINE, _ITER_LINE = (
    "step {step:int}: train loss {train:4}, val loss {val:4}",
    "iter {step:int}: loss {loss:4}, time {time:2}ms, mfu {mfu:2}%",
)
_LAYOUTS = (
    Layout(Template(_ITER_LINE.encode()), (("loss", _LOSS, 1.0), ("time", _TIME, 1e-3), ("mfu", _MFU, 0.01))),
    Layout(Template(_STEP_LINE.encode()), (("train", _TRAIN_EVAL, 1.0), ("val", _VAL, 1.0))),
)
A100_PEAK_FLOPS_PER_S = 312e12
_NO_MFU_YET = -100.0


def _in_unit(metric: Metric, printed: str | None) -> Metric:
    """Return a loss in the unit that a fork prints behind it: bits per character or byte."""
    unit = _UNITS.get((printed or "").strip().lower())
    return metric.but(unit=unit) if unit else metric


class NanoGPTLog(LogParser):
    """Reads nanoGPT's own lines and those of its forks.

    A record that was cut (the file ends inside it, or a stray key press split it) is left out and reported as a
    problem: a loss of ``3`` where the trainer prints four decimals is not a loss.
    """

    dialect = "nanogpt"
    vocabulary = VOCABULARY

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._echoes: list[tuple[str, int, list[str]]] = []
        self._in_echo = False

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if self._in_echo:
            if not _END_OF_ECHO.match(text):
                self._echoes[-1][2].append(text)
                return True
            self._in_echo = False
        if not _QUICK.search(text):
            return False
        heads = list(_HEAD.finditer(text))
        if not heads:
            return self._figure(line)
        for head, following in zip(heads, [*heads[1:], None], strict=True):
            end = following.start() if following else len(text)
            self._record(head, line._replace(text=text[:end], ended=line.ended and following is None))
        return True

    def before_many(self) -> None:
        """Metric lines end an echo."""
        super().before_many()
        self._in_echo = False

    def _record(self, head: re.Match[str], line: Line) -> None:
        step, rest = int(head[2]), line.text[head.end() :]
        if head[1] == "step":
            if (losses := _STEP.match(rest)) and (line.ended or _DECIMALS.search(losses[3])):
                train, val = _in_unit(_TRAIN_EVAL, losses[2]), _in_unit(_VAL, losses[2])
                self.record(step, ((train, float(losses[1])), (val, float(losses[3]))), line)
            else:
                self.broken(line)
            return
        fields: dict[str, re.Match[str]] = {}
        for found in _FIELD.finditer(rest):
            fields.setdefault(found[1], found)  # what follows may be another record, run into this one
        if not fields:
            self.broken(line)
            return
        values: list[tuple[Metric, float]] = []
        if loss := fields.get("loss"):
            if _DECIMALS.search(loss[2]) or ("time" in fields and line.ended):
                values.append((_in_unit(_LOSS, loss[3]), float(loss[2])))
            else:
                self.broken(line)
        if (time := fields.get("time")) and time[3]:
            values.append((_TIME, float(time[2]) * (1e-3 if time[3] == "ms" else 1.0)))
        if (mfu := fields.get("mfu")) and mfu[3] == "%" and float(mfu[2]) != _NO_MFU_YET:
            values.append((_MFU, float(mfu[2]) * 0.01))
        if lr := fields.get("lr"):
            values.append((_LR, float(lr[2])))
        if values:
            self.record(step, values, line)

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _FILE_ECHO.search(text):
            self._echoes.append((found[1], line.number + 1, []))
            self._in_echo = True
        elif found := _KEY_ECHO.search(text):
            self._override(found[1], found[2].strip(), self.source(line))
        elif found := _PARAMETERS.search(text):
            half = 0.5 * 10.0 ** -len(found[1].partition(".")[2])
            millions = float(found[1])
            self.set("logged.parameters", (round((millions - half) * 1e6), round((millions + half) * 1e6)), line)
            self.set("logged.parameters_convention", "total without the position table", line)
        elif found := _DECAYED.search(text):
            self.set("logged.parameters_2d", int(found[1].replace(",", "") or 0), line)
        elif found := _TOKENS.search(text):
            self.set("logged.tokens_per_step", int(found[1].replace(",", "") or 0), line)
        elif found := _VOCAB.search(text):
            self.set_raw(FOUND_VOCAB, Known(int(found[1] or found[2]), self.source(line)))
        else:
            return False
        return True

    def _override(self, key: str, text: str, source: Source) -> None:
        if key not in SANE:
            return
        try:
            value = evaluate(ast.parse(text[:MAX_OVERRIDE_CHARS], mode="eval").body, {})
        except (NotLiteral, SyntaxError, ValueError, RecursionError, MemoryError):
            if SANE[key][0] is not str:
                return
            value = text[:MAX_OVERRIDE_CHARS]
        quantity, problem = checked_key(key, value, source)
        self.set_raw(key, quantity)
        if problem is not None:
            self.problem(problem)

    def finish_run(self, run: Reading) -> Reading:
        """Add the configs that the log echoes, and the peak behind its MFU."""
        stock = Source("default", formula="nanoGPT divides by an A100's 312 TFLOP/s")
        settings: dict[str, Quantity[object]] = dict(run.settings)
        if run.get("mfu") is not None:
            settings["logged.mfu_peak_flops_per_s"] = Known(A100_PEAK_FLOPS_PER_S, stock)
        echoes = tuple(part for echo in self._echoes if (part := _echo(self.file, *echo)) is not None)
        return replace(run, settings=settings, parts=echoes)


def _echo(log: str, file: str, first_line: int, lines: list[str]) -> Reading | None:
    """Return a config quoted in a log; other output may follow it, so the longest prefix that is Python counts."""
    kept = [line + "\n" for line in lines]
    for _attempt in range(8):
        try:
            config, problems = parse_config("".join(kept), log, first_line=first_line)
        except BadConfig as error:
            number = int((error.where or "").rpartition(":")[2] or first_line)
            if not 0 < number - first_line < len(kept):
                return None
            kept = kept[: number - first_line]
            continue
        raw, wrong = raw_settings(config, problems)
        return Reading(
            "nanogpt",
            log,
            "config",
            label=file,
            raw=raw,
            vocabulary=VOCABULARY,
            authority=ECHO - 1,  # the config as it was when the run began; the key overrides come after it
            problems=wrong,
            comments=config.comments,
            config=config,
        )
    return None


def _sniff(file: InputFile) -> float:
    text = file.sample
    if re.search(
        r"(?:^|[\s\]])(?:step \d+: train loss \S+(?: (?:BPC|bpc|BPB|bpb|nats))?, val loss |iter \d+: loss \S+(?: (?:BPC|bpc|BPB|bpb|nats))?, time \S+ms)",
        text,
        re.M,
    ):
        return 0.9
    if re.search(r"tokens per iteration will be: |number of parameters: [\d.]+M", text):
        return 0.6
    return 0.3 if re.search(r"(?:^|\s)iter \d+: ", text) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, NanoGPTLog, _LAYOUTS)


DIALECT = Dialect(
    name="nanogpt",
    title="nanoGPT",
    role="log",
    example="step 500: train loss 5.4354, val loss 5.5328\niter 500: loss 5.4631, time 3917.80ms, mfu 12.87%",
    reads="of nanoGPT and its forks: train loss (one micro-batch, dropout on), train and validation loss in eval mode, step time, MFU and learning"
    " rate; parameters, tokens per step, vocabulary, the config it echoes and its overrides",
    cannot="the card (its MFU is a share of an A100's peak whatever the card), the shape where no config is echoed",
    source="karpathy/nanoGPT train.py and model.py at 3adf61e",
    sniff=_sniff,
    read=_read,
    interpret=interpret,
    missing="no config was given: add the train_*.py",
    uint16_splits=True,
)
