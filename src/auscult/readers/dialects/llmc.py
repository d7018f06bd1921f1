"""What llm.c writes: ``main.log``, and the consoles of its CUDA, C and PyTorch trainers in all their forms.

``main.log``: ``s:N tel:F`` validation, ``s:N trl:F lr:F norm:F`` training (``s:N trl:F`` before June 2024), ``s:N eval:F``
HellaSwag. Its ``s`` counts from 0; consoles of the CUDA and PyTorch trainers print step ``s + 1``, and ``val loss F`` before
the step's line. The table of parameters at the top is the recipe. The CUDA console's MFU is a share of the card's own peak
(before mid-2024 ``A100 fp16 MFU``: of an A100's), and its tokens per second a bias-corrected mean (0.95 old + 0.05 new).
(karpathy/llm.c ``llmc/logger.h``, ``train_gpt2.cu``, ``train_gpt2.c``, ``train_gpt2.py``, April 2024 to f1e2ace.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ...run import Known, Quantity, Source, Unknown, known
from ..files import InputFile
from ..log import FLOAT, LogParser, number, read_log
from ..meaning import GRAD_NORM, LEARNING_RATE, MFU, STEP_TIME_S, TOKENS_PER_S, TRAIN_LOSS, VAL_LOSS, Metric
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "LlmcLog", "main_log_values"]

_SHORT = lazy(r"^s:(\d{1,15}) (trl|tel|eval):(.*)$")
_STEP = lazy(r"^\s*step\s{1,20}(\d{1,15})(/\d{1,15})?(?: ?\| |: )((?:train )?loss )(.*)$")
_ITERATION = lazy(r"^\s*iteration (\d{1,15}), loss: (.*)$")
_VAL = lazy(rf"^\s*val loss ({FLOAT})\s*$")
_HELLASWAG = lazy(rf"^\s*HellaSwag: \d{{1,12}}/\d{{1,12}} = ({FLOAT})\s*$")
_FIRST = lazy(rf"^\s*({FLOAT})(?=[\s,|(]|$)")
_FIELD = lazy(rf"(?:^|[\s|(,])(norm|lr|lr_scale|time|tok/s):? ({FLOAT})(ms)?(?=[\s|),]|$)")
_TIME = lazy(rf"(?:^|[\s|(])(?:took )?({FLOAT}) ?ms(?=[\s,|)]|$)")
_SPEED = lazy(rf"({FLOAT}) tok/s")
_MFU_FIELD = lazy(rf"({FLOAT})% (\w{{1,8}}(?: \w{{1,8}})?) MFU")
_ROW = lazy(r"^\| ([A-Za-z][\w ()-]{0,24}?) {1,24}\| (\S.{0,200}?) *\|?\s*$")
_C_FIGURE = lazy(
    r"^(max_seq_len|vocab_size|padded_vocab_size|num_layers|num_heads|channels|num_parameters): (\d{1,15})\b"
)
_ACCUMULATION = lazy(r"=> (?:setting grad_accum_steps=|calculated gradient accumulation steps: )(\d{1,9})\s*$")
_TOTAL_BATCH = lazy(r"(?:total desired batch size: |and total_batch_size=)(\d{1,15})\s*$")
_LAYOUT = lazy(r"^batch_size B=(\d{1,9}) \* seq_len T=(\d{1,9}) \* num_processes=(\d{1,6})\b")
_DATASET = lazy(r"^DataLoader: total number of tokens: (\d[\d,]{0,24}) across \d{1,9} files\s*$")
_DEVICE = lazy(r"^using device: (\w{1,12})(?::\d{1,4})?\s*$")
_MEMORY = lazy(r"^peak memory consumption: (\d{1,12}) MiB\s*$")
_SKIPPED = lazy(r"^skipping update due to (?:loss|grad) z-score of ")
_QUICK = lazy(
    r"^s:\d|^\s*step |^\s*iteration |val loss|HellaSwag|^\| |^[a-z_]{1,24}[:=]|=> |batch|^Data|using |^peak|^skip"
)
_ROWS = {
    "micro batch size B": "recipe.batch_size",
    "batch size B": "recipe.batch_size",
    "sequence length T": "architecture.context",
    "total batch size": "logged.tokens_per_step",
    "LR scheduler": "recipe.schedule",
    "learning rate (LR)": "recipe.learning_rate",
    "learning rate": "recipe.learning_rate",
    "warmup iterations": "recipe.warmup_steps",
    "weight decay": "recipe.weight_decay",
    "grad_clip": "recipe.grad_clip",
    "max_steps": "recipe.max_steps",
    "train_num_batches": "recipe.max_steps",
    "val_loss_every": "recipe.eval_interval",
    "val_num_batches": "recipe.eval_iters",
    "device": "machine.gpu_name",
    "padded_vocab_size Vp": "architecture.vocab_size",
    "padded_vocab_size": "architecture.vocab_size",
    "num_layers L": "architecture.n_layer",
    "num_layers": "architecture.n_layer",
    "num_heads NH": "architecture.n_head",
    "num_heads": "architecture.n_head",
    "channels C": "architecture.d_model",
    "channels": "architecture.d_model",
    "num_processes": "recipe.world_size",
}
_ROW_NOTES = frozenset(
    {
        *("final LR fraction", "zero_stage", "recompute", "vocab_size V", "vocab_size", "max_sequence_length T"),
        *("max_seq_len", "skip update lossz", "skip update gradz", "use_master_weights", "gelu_fusion", "resume"),
        *("val_max_steps", "overfit_single_batch", "weight init method"),
    }
)
_PRECISIONS = {"BF16": "bfloat16", "FP16": "float16", "FP32": "float32", "TF32": "tf32"}
_MAX_WAITING = 64
_A100_FP16_FLOPS_PER_S = 312e12
_LOSS = TRAIN_LOSS.but(window="mean of the step's micro-batches", scope="global")
_VAL_LOSS = VAL_LOSS.but(window="val_max_steps batches of the validation split", scope="global")
_EVAL = Metric("hellaswag", "val", "eval", "fraction", "HellaSwag's validation set, length-normalised", "global")
_LR = LEARNING_RATE.but(mode="train")
_LR_FIXED = _LR.but(convention="printed with six decimals: 0.000000 is less than 5e-7, not zero")
_STEP_TIME = STEP_TIME_S.but(mode="train", window="one step, evaluations not counted")
_TOKENS_PER_S = TOKENS_PER_S.but(mode="train", window="one step", scope="global")
_TOKENS_PER_S_EMA = _TOKENS_PER_S.but(window="bias-corrected exponential mean over steps (0.95 old + 0.05 new)")
_MFU = MFU.but(
    mode="train", window="one step", scope="rank", convention="a share of the card's own peak for its precision"
)
_MFU_A100 = _MFU.but(convention="a share of an A100's 312 TFLOP/s (fp16), whatever the card")


def main_log_values(text: str, *, ended: bool) -> tuple[int, list[tuple[Metric, float]]] | None:
    """Return the step and the values of a line of ``main.log``, or None when it is none or was cut."""
    found = _SHORT.match(text)
    if found is None:
        return None
    metric = {"trl": _LOSS, "tel": _VAL_LOSS, "eval": _EVAL}[found[2]]
    words = found[3].split(" ")[:8]
    if not re.fullmatch(FLOAT, words[0]):
        return None
    if not ended and len(words) == 1 and len(words[0].partition(".")[2]) < 4 and "n" not in words[0]:
        return None  # at least four decimals are printed
    values = [(metric, number(words[0]))]
    for index, word in enumerate(words[1:], 2):
        name, _, value = word.partition(":")
        cut = not ended and index == len(words)
        if re.fullmatch(FLOAT, value) and not (cut and len(value.partition(".")[2]) < (2 if name == "norm" else 6)):
            if name == "lr":
                values.append((_LR_FIXED, number(value)))
            elif name == "norm":
                values.append((GRAD_NORM, number(value)))
    return int(found[1]), values


class LlmcLog(LogParser):
    """Reads ``main.log`` and the consoles."""

    dialect = "llmc"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._waiting: list[tuple[Metric, float, Line]] = []
        self._last: int | None = None
        self._from_one = True

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if not _QUICK.search(text):
            return False
        if text.startswith("s:"):
            return self._short(line)
        if (found := _STEP.match(text)) and ", val loss " not in text:  # that is nanoGPT's
            self._console(int(found[1]), found[4], line, from_one=found[2] is not None)
            if found[2] is not None:
                self._planned(int(found[2][1:]), line)
        elif found := _ITERATION.match(text):
            self._console(int(found[1]), found[2], line, from_one=True)
        elif found := _VAL.match(text):
            self._wait(_VAL_LOSS, number(found[1]), line)
        elif found := _HELLASWAG.match(text):
            self._wait(_EVAL, number(found[1]), line)
        else:
            return self._figure(line)
        return True

    def _short(self, line: Line) -> bool:
        found = main_log_values(line.text, ended=line.ended)
        if found is not None:
            self.record(*found, line)
            return True
        if re.match(r"^s:\d{1,15}(?: |$)", line.text):
            self.broken(line)
            return True
        return False

    def _console(self, step: int, rest: str, line: Line, *, from_one: bool) -> None:
        loss = _FIRST.match(rest)
        if loss is None or (not line.ended and loss.end() == len(rest)):
            self.broken(line)
            return
        values: list[tuple[Metric, float]] = [(_LOSS, number(loss[1]))]
        tail = rest[loss.end() : loss.end() + 400]
        fields = {f[1]: number(f[2]) for f in _FIELD.finditer(tail) if line.ended or f.end() < len(tail)}
        if "lr" in fields:
            values.append((_LR, fields["lr"]))
        if "lr_scale" in fields:
            values.append((Metric("lr_scale", mode="train", window="the step"), fields["lr_scale"]))
        if "norm" in fields:
            values.append((GRAD_NORM, fields["norm"]))
        time = _TIME.search(tail)
        if time is not None or "time" in fields:
            values.append((_STEP_TIME, (number(time[1]) if time else fields["time"]) * 1e-3))
        if (mfu := _MFU_FIELD.search(tail)) and number(mfu[1]) >= 0:  # -100 %: the card's peak is not known
            values.append((_MFU_A100 if "A100" in mfu[2] else _MFU, number(mfu[1]) / 100))
        speed = _SPEED.search(tail)
        if speed is not None:
            values.append((_TOKENS_PER_S_EMA if mfu else _TOKENS_PER_S, number(speed[1])))
        elif "tok/s" in fields:
            values.append((_TOKENS_PER_S, fields["tok/s"]))
        self._from_one = from_one
        self._place(step - 1 if from_one and step > 0 else step)
        self._last = step
        self.record(step, values, line)

    def _wait(self, metric: Metric, value: float, line: Line) -> None:
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append((metric, value, line))
        else:
            self.broken(line)  # evaluations without a step between them cannot be placed

    def _place(self, step: int) -> None:
        """Give what was measured before a step's line the number of updates before it."""
        waiting, self._waiting = self._waiting, []
        for metric, value, line in waiting:
            self.record(step, ((metric, value),), line)

    def _planned(self, steps: int, line: Line) -> None:
        if "recipe.max_steps" not in self._run.settings and "recipe.max_steps" not in self._pending.settings:
            self.set_checked("recipe.max_steps", steps, line)

    # ---- figures

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _ROW.match(text) or _C_FIGURE.match(text):
            self._row(found[1], found[2], line)
        elif found := _ACCUMULATION.search(text):
            self.note("llmc.accumulation_per_rank", int(found[1]), line)
        elif found := _LAYOUT.match(text):
            for key, value in zip(
                ("recipe.batch_size", "architecture.context", "recipe.world_size"), found.groups(), strict=True
            ):
                self.set_checked(key, int(value), line)
            if total := _TOTAL_BATCH.search(text):
                self.set_checked("logged.tokens_per_step", int(total[1]), line)
        elif found := _TOTAL_BATCH.search(text):
            self.set_checked("logged.tokens_per_step", int(found[1]), line)
        elif found := _DATASET.match(text):
            split = "val" if "data.train_tokens" in self._pending.settings else "train"
            self.set_checked(f"data.{split}_tokens", int(number(found[1])), line)
        elif found := _DEVICE.match(text):
            if found[1] != "cuda":
                self.set_checked("machine.gpu_name", found[1], line)
        elif found := _MEMORY.match(text):
            self.note("llmc.peak_memory_mib", int(found[1]), line)
        elif _SKIPPED.match(text):
            self.notice("skipped_iterations", line, "llm.c skipped updates whose loss or gradient was an outlier")
        else:
            return False
        return True

    def _row(self, name: str, value: str, line: Line) -> None:
        if name in ("train data pattern", "max_seq_len") and self.in_run:
            self._finish_waiting()
            self._absorb()  # what was said so far is of the run before
            self.start_run(line)
            self._last = None
        if name in ("max_steps", "train_num_batches") and value.startswith("-"):
            return  # -1: one epoch
        if name in _ROWS:
            key = _ROWS[name]
            self.set_checked(key, value, line)
            if key == "recipe.world_size":
                self.set_checked("machine.gpu_count", value, line)
        elif name == "num_parameters" and value.isdecimal():
            self.set("logged.parameters", (int(value), int(value)), line)
            self.set("logged.parameters_convention", "total", line)
        elif name == "peak TFlops" and re.fullmatch(FLOAT, value) and number(value) > 0:
            self.set_checked("logged.peak_flops_per_s", number(value) * 1e12, line)
        elif name == "precision" and value in _PRECISIONS:
            self.set_checked("recipe.dtype", _PRECISIONS[value], line)
        if name in _ROW_NOTES and re.fullmatch(r"[\w .+-]{1,40}", value):
            plain = re.fullmatch(FLOAT, value)
            self.note(
                f"llmc.{re.sub(r'[^a-z]+', '_', name.lower()).strip('_')}", number(value) if plain else value, line
            )

    # ---- the end

    def _finish_waiting(self) -> None:
        if self._waiting:
            last = self._last if self._last is not None else 0
            self._place(last if self._from_one or self._last is None else last + 1)

    def finish(self) -> tuple[Reading, ...]:
        """Return the readings; the evaluation after the last step counts all its updates."""
        self._finish_waiting()
        return super().finish()

    def finish_run(self, run: Reading) -> Reading:
        """Add the accumulation over all ranks, the floor of the rate, and what the CUDA trainer fixes."""
        settings: dict[str, Quantity[Any]] = dict(run.settings)
        if not run.series and not settings:
            return run
        settings.setdefault(
            "architecture.family", Known("gpt2", Source("default", formula="llm.c trains GPT-2 and GPT-3 shapes"))
        )
        self._accumulation(run, settings)
        rate, fraction = settings.get("recipe.learning_rate"), run.noted.get("llmc.final_lr_fraction")
        if isinstance(rate, Known) and fraction is not None and isinstance(fraction.value, float):
            floor = "learning rate · final LR fraction"
            settings["recipe.min_lr"] = known(rate.value * fraction.value, floor, rate, fraction)
        if isinstance(rate, Known):
            settings |= {key: q for key, q in _fixed().items() if key not in settings}
        width = settings.get("architecture.d_model")
        if isinstance(width, Known):
            settings |= {key: q for key, q in _shape(width, settings).items() if key not in settings}
        peak = settings.get("logged.peak_flops_per_s")
        mfu = run.get("mfu")
        if mfu is not None and "A100" in mfu.convention:
            stock = Source("default", formula="llm.c's `A100 fp16 MFU` divides by 312 TFLOP/s")
            settings["logged.mfu_peak_flops_per_s"] = Known(_A100_FP16_FLOPS_PER_S, stock)
        elif mfu is not None and isinstance(peak, Known):
            settings["logged.mfu_peak_flops_per_s"] = peak
        return replace(run, settings=settings)

    def _accumulation(self, run: Reading, settings: dict[str, Quantity[Any]]) -> None:
        per_rank, world = run.noted.get("llmc.accumulation_per_rank"), settings.get("recipe.world_size")
        if per_rank is None:
            return
        if isinstance(world, Known):
            total = known(per_rank.value * world.value, "accumulation of each rank · processes", per_rank, world)
            settings["recipe.gradient_accumulation_steps"] = total
        else:
            settings["recipe.gradient_accumulation_steps"] = Unknown(
                f"{per_rank.source.place} prints it for each rank ({per_rank.value}), and the number of ranks is not printed"
            )


def _fixed() -> dict[str, Quantity[Any]]:
    trainer = Source(
        "default", formula="train_gpt2cu: AdamW with betas 0.9 and 0.95, gradients clipped at 1.0, no dropout"
    )
    return {
        "recipe.optimizer": Known("adamw", trainer),
        "recipe.beta1": Known(0.9, trainer),
        "recipe.beta2": Known(0.95, trainer),
        "recipe.grad_clip": Known(1.0, trainer),
        "recipe.dropout": Known(0.0, trainer),
    }


def _shape(width: Known[int], settings: dict[str, Quantity[Any]]) -> dict[str, Quantity[Any]]:
    model = Source("default", formula="llm.c's GPT-2: biases, a tied output head")
    shape: dict[str, Quantity[Any]] = {
        "architecture.d_ff": known(4 * width.value, "4 · channels (llm.c's MLP)", width),
        "architecture.tied": Known(True, model),
        "architecture.bias": Known(True, model),
    }
    if isinstance(heads := settings.get("architecture.n_head"), Known):
        shape["architecture.n_kv_head"] = heads
    return shape


_CONSOLE = lazy(
    rf"^[ \t]*step\s{{1,20}}\d{{1,15}}(?:/\d{{1,15}})?(?: ?\| |: )(?:train )?loss (?:{FLOAT})[ |(]"
    rf"(?=.{{0,160}}(?:norm |tok/s|\(took |\d ms))"
    rf"|^[ \t]*iteration \d{{1,15}}, loss: (?:{FLOAT}), time: ",
    re.MULTILINE,
)
_TABLE = lazy(r"^\| (?:micro )?batch size B\s+\| \d", re.MULTILINE)


def _sniff(file: InputFile) -> float:
    text = file.sample
    if re.search(rf"^s:\d{{1,15}} (?:trl|tel|eval):(?:{FLOAT})", text, re.MULTILINE):
        return 0.95
    if _TABLE.search(text) and ("num_layers L" in text or "train data pattern" in text):
        return 0.9
    return 0.85 if _CONSOLE.search(text) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, LlmcLog)


DIALECT = Dialect(
    name="llmc",
    title="llm.c",
    role="log",
    example="s:250 tel:6.1204\ns:250 eval:0.2510\ns:250 trl:6.1388 lr:0.000214 norm:1.12\n"
    "step  251/19560 | loss 6.138812 (+0.31z)| norm 1.1204 (-0.20z)| lr 2.14e-04 | 150.12 ms | 48.2% bf16 MFU | 3492384 tok/s",
    reads="main.log in both forms and the consoles of the CUDA, C and PyTorch trainers: training loss (mean of the step's"
    " micro-batches over all ranks; llm.c has no dropout), validation loss, HellaSwag, learning rate, gradient norm, step"
    " time, tokens per second and MFU with the peak it is a share of; from the console's table the whole recipe, shape,"
    " parameters, card and processes",
    cannot="from main.log alone the recipe (add the run.sh, or the console's text); a learning rate below 5e-7, which"
    " main.log prints as 0.000000",
    source="karpathy/llm.c llmc/logger.h, train_gpt2.cu, train_gpt2.c, train_gpt2.py, April 2024 to f1e2ace",
    sniff=_sniff,
    read=_read,
    missing="main.log holds no config: add the run.sh or the text that training printed",
)
