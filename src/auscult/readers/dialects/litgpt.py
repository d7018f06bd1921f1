"""The text that litgpt and its forerunners print: one line for each logged iteration, and its hyperparameters.

``Epoch 1 | iter 8 step 4 | loss train: F, val: F | iter time: F ms (step)`` since 2024; before that
``iter 8 step 4: loss F, iter time: Fms (optimizer.step)`` and, in lit-llama and lit-parrot, ``iter 8: loss F, time: Fms,
speed: F toks/s/device``. An *iteration* is one micro-batch on each device; several make an optimiser step. Since 2024 the
loss is a running mean over the iterations of one step, before that it is one micro-batch; always of the first process. The
``val:`` of a record repeats the last validation and is no new one; validations have lines of their own, ``iter 8: val loss F,
val time: F ms`` (in 2023 ``step 8: …``, which counts iterations all the same). (litgpt ``pretrain.py``,
``finetune/lora.py``, ``utils.capture_hparams`` at 2685705, and the history of ``pretrain/openwebtext.py`` from 2023-06 on.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ...run import Known, Notice, Quantity, Unknown, known
from ..files import InputFile
from ..log import FLOAT, LogParser, number, read_log
from ..loose_settings import base_name
from ..meaning import STEP_TIME_S, TRAIN_LOSS, VAL_LOSS, Metric
from ..patterns import lazy
from ..printed import depth_of, read_printed
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import checked

__all__ = ["DIALECT", "LitgptLog"]

_NEW = lazy(
    rf"(?:^|\s)Epoch (\d{{1,9}}) \| iter (\d{{1,15}}) step (\d{{1,15}}) \| loss train: ({FLOAT}), val: ({FLOAT}|n/a) \|"
    rf" iter time: ({FLOAT}) ?ms(?= |$)"
)
_OLD = lazy(
    rf"(?:^|\s)iter (\d{{1,15}}) (?:\| )?step (\d{{1,15}}): loss ({FLOAT}), (?:iter|train) time: ({FLOAT}) ?ms(?=[ ,]|$)"
)
_FIRST = lazy(rf"(?:^|\s)iter (\d{{1,15}}): loss ({FLOAT}), time: ({FLOAT})ms(?:, speed: ({FLOAT}) toks/s/device)?\s*$")
_VALIDATION = lazy(rf"(?:^|\s)(?:iter|step) (\d{{1,15}}): val loss ({FLOAT})(?:, val time: (?:{FLOAT}) ?ms)?\s*$")
_FINAL = lazy(rf"(?:^|\s)Final evaluation \| val loss: ({FLOAT}) \| val ppl: (?:{FLOAT})\s*$")
_HEAD = lazy(
    r"(?:^|\s)(?:Epoch \d{1,9} \| iter \d|iter \d{1,15} (?:\| )?step \d{1,15}: lo|iter \d{1,15}: (?:val )?loss )"
)
_TOTAL = lazy(r"Total parameters:? ([\d,]{1,26})\s*$")
_TRAINABLE = lazy(r"Number of (non[- ])?trainable parameters: ([\d,]{1,26})\s*$")
_MODEL = lazy(r"Loading model (?:'[^']{0,400}' )?with (\{.{1,20000})$")
_FLOPS = lazy(rf"(Measured|Estimated) TFLOPs: ({FLOAT})\s*$")
_MEMORY = lazy(rf"(?:\| - )?Memory [Uu]sed\s*:\s*({FLOAT}) GB\s*$")
_TIME = lazy(rf"(?:\| - )?Training [Tt]ime\s*:\s*({FLOAT}) ?s\s*$")
_TOKENS = lazy(r"\| - Total [Tt]okens\s{1,4}: ([\d,]{1,26})\s*$")
_STOP = lazy(r"(?:Number of epochs \d{1,9}|Max time \([\d.]{1,20}m\)) reached, stopping training")
_HPARAMS = lazy(r"^\{'\w{1,60}': ")
_QUICK = lazy(r"iter |step |Final eval|arameters|Loading model|TFLOPs|Memory|Training|Total|reached|^\{'")
_MAX_DICT_LINES = 400
_MAX_DICT_CHARS = 60_000
_ITERATIONS = "the step counts litgpt's iterations: one micro-batch on each device"
_RUNNING = TRAIN_LOSS.but(
    window="running mean over the iterations of one optimiser step", scope="rank", convention=_ITERATIONS
)
_SINGLE = TRAIN_LOSS.but(
    window="one micro-batch, or the mean over those of one optimiser step (versions differ)",
    scope="rank",
    convention=_ITERATIONS,
)
_VAL = VAL_LOSS.but(window="mean over at most eval_iters batches", convention=_ITERATIONS)
_ITER_TIME = Metric("iter_time_s", "train", "train", "s", "one iteration (a micro-batch)", "rank", _ITERATIONS)
_SPEED = Metric("tokens_per_s_per_gpu", "train", "train", "tokens_per_s", "one iteration", "rank", _ITERATIONS)
_EPOCH = Metric(
    "epoch", "train", "train", window="the epoch that the iteration belongs to, from 1", convention=_ITERATIONS
)

_NAMES: Mapping[str, str] = {
    "train.micro_batch_size": "recipe.batch_size",
    "micro_batch_size": "recipe.batch_size",
    "train.lr_warmup_steps": "recipe.warmup_steps",
    "warmup_steps": "recipe.warmup_steps",
    "train.max_steps": "recipe.max_steps",
    "max_steps": "recipe.max_steps",
    "train.max_norm": "recipe.grad_clip",
    "grad_clip": "recipe.grad_clip",
    "train.min_lr": "recipe.min_lr",
    "min_lr": "recipe.min_lr",
    "train.log_interval": "recipe.log_interval",
    "log_interval": "recipe.log_interval",
    "train.learning_rate": "recipe.learning_rate",
    "learning_rate": "recipe.learning_rate",
    "optimizer.init_args.lr": "recipe.learning_rate",
    "train.weight_decay": "recipe.weight_decay",
    "weight_decay": "recipe.weight_decay",
    "optimizer.init_args.weight_decay": "recipe.weight_decay",
    "train.beta1": "recipe.beta1",
    "beta1": "recipe.beta1",
    "train.beta2": "recipe.beta2",
    "beta2": "recipe.beta2",
    "train.max_tokens": "logged.tokens_planned",
    "train.max_seq_length": "architecture.context",
    "override_max_seq_length": "architecture.context",
    "train.tie_embeddings": "architecture.tied",
    "eval.interval": "recipe.eval_interval",
    "eval_interval": "recipe.eval_interval",
    "eval.max_iters": "recipe.eval_iters",
    "eval_iters": "recipe.eval_iters",
}
_SHAPE: Mapping[str, str] = {
    "n_layer": "architecture.n_layer",
    "n_head": "architecture.n_head",
    "n_query_groups": "architecture.n_kv_head",
    "n_embd": "architecture.d_model",
    "intermediate_size": "architecture.d_ff",
    "padded_vocab_size": "architecture.vocab_size",
    "block_size": "architecture.context",
    "bias": "architecture.bias",
}
_NOTED = (
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "train.epochs",
    "epochs",
    "quantize",
    "train.global_batch_size",
    "max_iters",
)
_DTYPES = {"bf16": "bfloat16", "16": "float16", "32": "float32", "64": "float64"}


class LitgptLog(LogParser):
    """Reads litgpt's own lines of all its versions."""

    dialect: ClassVar[str] = "litgpt"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._dict: list[str] = []
        self._dict_line = Line(1, "")
        self._depth = 0
        self._last = 0
        self._iterations = 0
        self._steps: dict[int, bool] = {}
        self._trainable: Known[Any] | None = None

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if self._depth:
            self._collect(line)
            return True
        if not _QUICK.search(text):
            return False
        if _HEAD.search(text):
            return self._record(line)
        return self._figure(line)

    def _record(self, line: Line) -> bool:
        text = line.text
        if found := _NEW.search(text):
            self._compare(int(found[2]), int(found[3]))
            values = [(_RUNNING, number(found[4])), (_ITER_TIME, number(found[6]) / 1000), (_EPOCH, float(found[1]))]
            if not self.in_run and found[5] != "n/a":
                self.note("litgpt.initial_val_loss", number(found[5]), line)
            self._take_iteration(int(found[2]), values, line)
        elif found := _OLD.search(text):
            self._compare(int(found[1]), int(found[2]))
            self._take_iteration(
                int(found[1]), [(_SINGLE, number(found[3])), (_ITER_TIME, number(found[4]) / 1000)], line
            )
        elif found := _VALIDATION.search(text):
            self.record(int(found[1]), [(_VAL, number(found[2]))], line)
        elif found := _FIRST.search(text):
            values = [(_SINGLE, number(found[2])), (_ITER_TIME, number(found[3]) / 1000)]
            if found[4]:
                values.append((_SPEED, number(found[4])))
            self._take_iteration(int(found[1]), values, line)
        elif re.search(r"loss|iter time", text):
            self.broken(line)
        else:
            return False
        return True

    def _take_iteration(self, iteration: int, values: list[tuple[Metric, float]], line: Line) -> None:
        self._last = iteration
        self.record(iteration, values, line)

    def _compare(self, iteration: int, step: int) -> None:
        """Remember whether the optimiser steps as often as there are iterations (which older versions count from 0)."""
        index = len(self._done)
        self._steps[index] = self._steps.get(index, True) and iteration <= step <= iteration + 1

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _VALIDATION.search(text):
            self.record(int(found[1]), [(_VAL, number(found[2]))], line)
        elif found := _FINAL.search(text):
            if self.in_run:
                self.record(
                    self._last,
                    [(_VAL.but(window="final evaluation: mean over at most max_iters batches"), number(found[1]))],
                    line,
                )
        elif found := _TOTAL.search(text):
            count = int(found[1].replace(",", "") or 0)
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "total", line)
        elif found := _TRAINABLE.search(text):
            self._parameters(bool(found[1]), int(found[2].replace(",", "") or 0), line)
        elif found := _MODEL.search(text):
            self._model(read_printed(found[1], self.file, line.number))
        elif found := _FLOPS.search(text):
            self.note(f"litgpt.{found[1].lower()}_tflops_per_iteration", number(found[2]), line)
        elif found := _MEMORY.search(text):
            self.note("litgpt.memory_used_gb", number(found[1]), line, now=True)
        elif found := _TOKENS.search(text):
            self.set("logged.tokens_seen", int(found[1].replace(",", "") or 0), line, now=True)
        elif found := _TIME.search(text):
            self.note("litgpt.training_time_s", number(found[1]), line, now=True)
        elif _STOP.search(text):
            self.note("litgpt.stopped", text.strip()[:160], line, now=True)
        elif _HPARAMS.match(text):
            self._dict, self._dict_line, self._depth = [], line, 0
            self._collect(line)
        else:
            return False
        return True

    def _parameters(self, frozen: bool, count: int, line: Line) -> None:
        """Take parameters that are trained, and those that are not, which are printed after them."""
        if not frozen:
            self._trainable = Known(count, self.source(line))
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "trainable", line)
            return
        self.note("litgpt.frozen_parameters", count, line)
        if self._trainable is not None:
            self.note("litgpt.trainable_parameters", self._trainable.value, line)
            total = count + self._trainable.value
            both = known(
                (total, total), "trainable + non-trainable parameters", self._trainable, Known(count, self.source(line))
            )
            self.set("logged.parameters", both, line)
            self.set("logged.parameters_convention", "total", line)

    def _model(self, values: Mapping[str, Known[Any]]) -> None:
        if "n_layer" not in values:
            return
        for name, key in _SHAPE.items():
            if name in values and values[name].value is not None:
                self._put(key, values[name])

    def _put(self, key: str, value: Known[Any]) -> None:
        quantity, problem = checked(key, value)
        if problem is not None:
            self.problem(problem)
        self._pending.settings[key] = quantity

    # ---- the hyperparameters

    def _collect(self, line: Line) -> None:
        """Gather the lines of a printed dict until its last bracket closes."""
        self._dict.append(line.text)
        self._depth = depth_of(line.text, self._depth)
        size = sum(map(len, self._dict))
        if self._depth > 0 and len(self._dict) < _MAX_DICT_LINES and size < _MAX_DICT_CHARS:
            return
        self._depth = 0
        values = dict(read_printed("\n".join(self._dict), self.file, self._dict_line.number))
        given = values.get("optimizer")
        if given is not None and isinstance(given.value, str) and given.value.startswith("{"):
            for name, value in read_printed(given.value, self.file, given.source.line or 1).items():
                values[f"optimizer.{name}"] = value
        if any(n in values for n in ("train.micro_batch_size", "micro_batch_size", "train.global_batch_size")):
            self.start_run(self._dict_line)
            self._settings(values)

    def _settings(self, values: Mapping[str, Known[Any]]) -> None:
        for name, key in _NAMES.items():
            if name in values and values[name].value is not None:
                self._put(key, values[name])
        for key, quantity in _batches(values).items():
            self._pending.settings[key] = quantity
        precision = values.get("precision")
        if precision is not None and isinstance(precision.value, str):
            word = precision.value.partition("-")[0]
            self._put("recipe.dtype", Known(_DTYPES.get(word, precision.value[:40]), precision.source))
        for name in ("checkpoint_dir", "initial_checkpoint_dir"):
            if name in values and isinstance(values[name].value, str):
                self._put("recipe.init_from", Known(base_name(values[name].value)[:200], values[name].source))
        data, model = values.get("data"), values.get("model_name")
        if data is not None and isinstance(data.value, str):
            self._put("recipe.dataset", Known(data.value.partition("(")[0].rpartition(".")[2][:200], data.source))
        if model is not None and isinstance(model.value, str):
            self.note("litgpt.model_name", base_name(model.value)[:200], self._dict_line)
        optimizer = values.get("optimizer.class_path", values.get("optimizer"))
        if optimizer is not None and isinstance(optimizer.value, str) and not optimizer.value.startswith("{"):
            self._put("recipe.optimizer", Known(optimizer.value.rpartition(".")[2][:100], optimizer.source))
        betas = values.get("optimizer.init_args.betas")
        if betas is not None and isinstance(betas.value, list) and len(betas.value) == 2:
            self._put("recipe.beta1", Known(betas.value[0], betas.source))
            self._put("recipe.beta2", Known(betas.value[1], betas.source))
        for name in _NOTED:
            if name in values and values[name].value is not None:
                self._pending.noted[f"litgpt.{name}"] = values[name]

    def finish_run(self, run: Reading) -> Reading:
        """Call an iteration a step where each one is an optimiser step, and say where they differ."""
        index = self._iterations
        self._iterations += 1
        if self._steps.get(index, False):
            series = tuple(
                replace(s, name=STEP_TIME_S.name, window=STEP_TIME_S.window, convention="")
                if s.name == _ITER_TIME.name
                else replace(s, convention="")
                if s.convention == _ITERATIONS
                else s
                for s in run.series
            )
            return replace(run, series=series)
        if not run.series:
            return run
        first = run.series[0].source(0)
        return replace(run, notices=(*run.notices, Notice("steps_are_iterations", first, 1, 0, _ITERATIONS)))


def _batches(values: Mapping[str, Known[Any]]) -> dict[str, Quantity[Any]]:
    """Return the number of devices and the micro-batches of one optimiser step over all of them."""
    found: dict[str, Quantity[Any]] = {}
    devices, nodes = values.get("devices"), values.get("num_nodes")
    if devices is not None and _count(devices.value):
        several = nodes is not None and _count(nodes.value) and nodes.value > 1
        world = (
            known(devices.value * nodes.value, "devices × num_nodes", devices, nodes) if several and nodes else devices
        )
        found["recipe.world_size"] = found["machine.gpu_count"] = world
    elif devices is not None:
        found["recipe.world_size"] = Unknown(
            f"{devices.source.place} says devices = {str(devices.value)[:40]}: as many as there were"
        )
    size = found.get("recipe.world_size")
    micro = values.get("train.micro_batch_size", values.get("micro_batch_size"))
    whole = values.get("train.global_batch_size", values.get("global_batch_size"))
    each = values.get("gradient_accumulation_iters", values.get("gradient_accumulation_steps"))
    batch = values.get("batch_size")
    key = "recipe.gradient_accumulation_steps"
    if micro is None or not _count(micro.value):
        return found
    if whole is not None and _count(whole.value):
        if isinstance(size, Known):
            own = whole.value // size.value // micro.value
            if own >= 1:
                found[key] = known(
                    own * size.value, "(global_batch_size // devices // micro_batch_size) × devices", whole, micro, size
                )
        elif whole.value % micro.value == 0:
            found[key] = known(whole.value // micro.value, "global_batch_size / micro_batch_size", whole, micro)
        return found
    if each is None and batch is not None and _count(batch.value) and batch.value >= micro.value:
        each = known(batch.value // micro.value, "batch_size // micro_batch_size", batch, micro)
    if each is not None and _count(each.value):
        if isinstance(size, Known):
            found[key] = known(each.value * size.value, "accumulation of each device × devices", each, size)
        else:
            found[key] = Unknown(
                "litgpt counts accumulation for each device, and the log does not say how many there are"
            )
    return found


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**9


_SNIFF = lazy(
    r"(?:^|\s)(?:Epoch \d{1,9} \| iter \d{1,15} step \d{1,15} \| loss train: "
    r"|iter \d{1,15} (?:\| )?step \d{1,15}: loss [\d.naif]{1,20}, (?:iter|train) time: "
    r"|iter \d{1,15}: loss [\d.naif]{1,20}, time: [\d.]{1,20}ms)",
    re.M,
)


def _sniff(file: InputFile) -> float:
    if file.suffix in (".py", ".csv", ".json", ".jsonl"):
        return 0.0
    text = file.sample
    if _SNIFF.search(text):
        return 0.95
    has_end = re.search(r"Number of (?:non[- ])?trainable parameters: [\d,]{1,26}$", text, re.M)
    return 0.6 if has_end and re.search(r"'train': TrainArgs\(|'micro_batch_size': \d", text) else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, LitgptLog)


DIALECT = Dialect(
    name="litgpt",
    title="litgpt's console (lit-gpt, lit-llama, lit-parrot)",
    role="log",
    example="Epoch 1 | iter 8 step 4 | loss train: 1.742, val: n/a | iter time: 514.14 ms (step)\n"
    "iter 8: val loss 1.8312, val time: 4210.33 ms",
    reads="train loss (since 2024 a running mean over the micro-batches of one optimiser step, before that mostly one"
    " micro-batch; of the first process), validation loss, seconds of an iteration, the epoch, parameters, and the"
    " hyperparameters that it prints as a dict: batch, accumulation over all devices, warm-up, precision, optimiser",
    cannot="the learning rate and the gradient norm (they are not printed), the shape (only versions of 2023 print it), how many"
    " devices `auto` meant; its steps are iterations, one micro-batch on each device, which a notice says where an optimiser"
    " step takes several; the `val:` inside a record repeats an earlier validation and is left out",
    source="Lightning-AI/litgpt pretrain.py and finetune/*.py at 2685705 and their history since 2023-06",
    sniff=_sniff,
    read=_read,
    missing="litgpt's console does not say: add hyperparameters.yaml and model_config.yaml",
)
