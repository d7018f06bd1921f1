"""The text that torchtitan prints: step and validation lines, and what it says as it sets up.

``[rank0]:[titan] TIME - root - INFO - step:  1  loss: F  grad_norm: F  memory: FGiB(F%)  tps: D,  tflops: F  mfu: F%`` —
each field preceded by a colour code, which is stripped before it is read. The loss is the mean over all data-parallel
ranks; ``tps`` counts tokens per second and device; the MFU is a share of the peak that the log names
(``Peak FLOPS used for computing MFU``). Older versions have no ``grad_norm`` and say ``wps``; ``mfu: N/A`` stands for a
card whose peak is not known. (``MetricsProcessor`` in pytorch/torchtitan ``torchtitan/components/metrics.py`` at 00fbaaf,
``train.py`` and ``trainer.py``.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

from ...run import Known
from ..files import InputFile
from ..log import FLOAT, LogParser, number, read_log
from ..meaning import GRAD_NORM, LEARNING_RATE, MEMORY_BYTES, MFU, TFLOPS, TRAIN_LOSS, VAL_LOSS, Metric
from ..megatron_keys import value
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import canonical
from .torchtitan_config import named_model

__all__ = ["DIALECT", "TorchtitanLog"]

_HEAD = lazy(r"(?:^|[\s-])(validate )?step: {0,12}(\d{1,12})\s{1,8}(?=[a-z_]{2,20}: )")
_FIELD = lazy(
    rf"\b([a-z][a-z_]{{1,30}}): {{0,12}}({FLOAT})(GiB|GB|MiB|%)?(?:\((\d{{1,6}}(?:\.\d{{0,4}})?)%\))?(?=\s|$)"
)
_VERSION = lazy(r"torchtitan version: (\S{1,60})")
_JOB = lazy(r"\bStarting job: (.{1,100})$")
_MESH = lazy(r"Building device mesh with parallelism: ((?:\w{1,20}=-?\d{1,9},? ?){1,16})")
_OLD_MESH = lazy(r"Building \d{1,2}-D device mesh with \[[^\]]{0,200}\], \[([\d, ]{1,80})\]")
_CARD = lazy(r"\b(?:CUDA|XPU|HPU|NPU|MPS|GPU) capacity: (\S.{1,80}?) with [\d.]{1,12}\s?Gi?B memory")
_SIZE = lazy(r"\bModel (\S.{0,80}?) size: ([\d,]{1,26}) total parameters")
_ACTIVE = lazy(r"Total parameter count: dense [\d,]{1,26}, sparse [\d,]{1,26}, active ([\d,]{1,26})")
_PEAK = lazy(r"Peak FLOPS used for computing MFU: (\d(?:\.\d{1,6})?e\+?\d{1,3})")
_TRAINER = lazy(
    r"(?:Trainer is initialized|Training starts at step \d{1,12},) with local batch size (\d{1,9}), "
    r"global batch size (\d{1,9}), (?:gradient accumulation steps (\d{1,9}), )?sequence length (\d{1,12}), "
    r"total steps (\d{1,12}) \(warmup (\d{1,12})\)"
)
_WARMUP = lazy(r"Warmup steps \((\d{1,12})\) exceed total steps \(\d{1,12}\)\. Adjusting warmup steps to (\d{1,12})")
_BUILDING = lazy(r"\bBuilding (\S{1,60} \S{1,60}) with .{0,40}?[({](.{0,4000})")
_ARGUMENT = lazy(r"\b'?\"?([a-z_]{2,40})'?\"?(?:=|: )([\w.+-]{1,40})(?=[,)}\s]|$)")
_COMPILE = lazy(r"Compiling each TransformerBlock with torch\.compile|Compiling the model with torch\.compile")
_QUICK = lazy(
    r"step|torchtitan version|Starting job|mesh|capacity|parameters|parameter count|FLOPS|initialized|Building|ompiling"
)
_SINCE = "the logging interval"
_LOSS = TRAIN_LOSS.but(
    window="the step, mean over all data-parallel ranks (versions before 2025: over the steps since the last line)",
    scope="global",
)
_VAL = VAL_LOSS.but(window="mean over the validation steps and all data-parallel ranks", scope="global")
_TPS = Metric("tokens_per_s_per_gpu", unit="tokens_per_s", window=_SINCE, scope="rank", convention="per device")
_GIB = 2**30
_METRICS: Mapping[str, tuple[Metric, float]] = {
    "loss": (_LOSS, 1.0),
    "grad_norm": (GRAD_NORM.but(scope="global"), 1.0),
    "memory": (MEMORY_BYTES.but(window="peak of reserved memory since the last line"), _GIB),
    "tps": (_TPS, 1.0),
    "wps": (_TPS, 1.0),
    "tflops": (TFLOPS.but(window=_SINCE), 1.0),
    "lr": (LEARNING_RATE, 1.0),
    "mfu": (MFU.but(window=_SINCE, scope="rank", convention="a share of the peak that the log names"), 0.01),
}
_VALIDATION: Mapping[str, tuple[Metric, float]] = {"loss": (_VAL, 1.0)}
_SHAPE = {
    "dim": "architecture.d_model",
    "hidden_size": "architecture.d_model",
    "n_layers": "architecture.n_layer",
    "n_heads": "architecture.n_head",
    "n_kv_heads": "architecture.n_kv_head",
    "vocab_size": "architecture.vocab_size",
    "hidden_dim": "architecture.d_ff",
}


class TorchtitanLog(LogParser):
    """Reads torchtitan's step lines and its figures."""

    dialect = "torchtitan"

    def line(self, line: Line) -> bool:
        """Take one line."""
        if not _QUICK.search(line.text):
            return False
        if "step: " in line.text and (head := _HEAD.search(line.text)):
            self._record(head, line)
            return True
        return self._figure(line)

    def _record(self, head: re.Match[str], line: Line) -> None:
        rest = line.text[head.end() :]
        known = _VALIDATION if head[1] else _METRICS
        fields = list(_FIELD.finditer(rest))
        if not line.ended and fields and fields[-1].end() == len(rest) and not fields[-1][3]:
            fields.pop()  # the file ends inside it: it may be half a number
        values = [
            (known[name][0], number(found[2]) * known[name][1])
            for found in fields
            if (name := found[1]) in known and not (name == "mfu" and found[3] != "%")
        ]
        if not values:
            self.broken(line)
            return
        self.record(int(head[2]), values, line)

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _TRAINER.search(text):
            self._trainer(found, line)
        elif found := _VERSION.search(text):
            self.start_run(line)
            self.note("torchtitan.version", found[1], line)
        elif _JOB.search(text):
            self.start_run(line)
        elif found := _MESH.search(text):
            sizes = dict(pair.split("=") for pair in re.findall(r"\w{1,20}=-?\d{1,9}", found[1]))
            # expert parallelism borrows its ranks from the other dimensions
            self._world(prod(max(int(n), 1) for name, n in sizes.items() if name not in ("ep", "etp")), line)
            for name, size in sizes.items():
                self.note(f"torchtitan.{name}", int(size), line)
        elif found := _OLD_MESH.search(text):
            self._world(prod(max(int(n), 1) for n in re.findall(r"\d{1,9}", found[1])[:8]), line)
        elif found := _CARD.search(text):
            self.set("machine.gpu_name", found[1], line)
        elif found := _SIZE.search(text):
            count = int(found[2].replace(",", "") or 0)
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "total", line)
            self.note("torchtitan.model", found[1], line)
        elif found := _ACTIVE.search(text):
            self.note("torchtitan.active_parameters", int(found[1].replace(",", "") or 0), line)
        elif found := _PEAK.search(text):
            self.set("logged.peak_flops_per_s", float(found[1]), line)
            self.set("logged.mfu_peak_flops_per_s", float(found[1]), line)
        elif found := _WARMUP.search(text):
            self.set("recipe.warmup_steps", int(found[2]), line)
            self.note("torchtitan.warmup_steps_configured", int(found[1]), line)
        elif _COMPILE.search(text):
            self.set("recipe.compile", True, line)
        elif found := _BUILDING.search(text):
            self._shape(found[2], line)
        else:
            return False
        return True

    def _world(self, count: int, line: Line) -> None:
        if 0 < count <= 10**6:
            self.set("recipe.world_size", count, line)
            self.set("machine.gpu_count", count, line)

    def _trainer(self, found: re.Match[str], line: Line) -> None:
        local, batch, context, steps, warmup = (int(found[i]) for i in (1, 2, 4, 5, 6))
        if local:
            self.set("recipe.batch_size", local, line)
        if local and batch and not batch % local:
            # torchtitan counts micro-batches per data-parallel rank; over all ranks they are global / local
            self.set("recipe.gradient_accumulation_steps", batch // local, line)
        if found[3]:
            self.note("torchtitan.gradient_accumulation_steps_per_rank", int(found[3]), line)
        if context:
            self.set("architecture.context", context, line)
        if batch and context:
            self.set("logged.tokens_per_step", batch * context, line)
        if steps:
            self.set("recipe.max_steps", steps, line)
        if "torchtitan.warmup_steps_configured" not in self._pending.noted:  # else it was cut down before, and said so
            self.set("recipe.warmup_steps", warmup, line)

    def _shape(self, text: str, line: Line) -> None:
        """Take the model's arguments, which older versions print."""
        said = {
            name: Known(plain, self.source(line))
            for name, printed in _ARGUMENT.findall(text)[:200]
            if name in _SHAPE and (plain := value(printed)) is not None
        }
        settings, problems = canonical(said, _SHAPE, ignore=(None, -1, 0))
        heads = settings.get("architecture.n_head")
        if isinstance(heads, Known) and "architecture.n_kv_head" not in settings:
            settings["architecture.n_kv_head"] = heads
        for key, quantity in settings.items():
            self.set(key, quantity, line)
        for problem in problems:
            self.problem(problem)

    def finish_run(self, run: Reading) -> Reading:
        """Add what the model's name says, and to an MFU which peak it is a share of, where the log names it."""
        model = run.noted.get("torchtitan.model")
        if model is not None:
            name, _blank, flavor = str(model.value).partition(" ")
            said = named_model(Known(name, model.source), Known(flavor, model.source) if flavor else None)
            run = replace(run, settings={**said, **run.settings})
        peak = run.settings.get("logged.mfu_peak_flops_per_s")
        if not isinstance(peak, Known) or run.get("mfu") is None:
            return run
        named = f"a share of {peak.value / 1e12:,.4g} TFLOP/s per device, which the log names"
        series = tuple(replace(s, convention=named) if s.name == "mfu" else s for s in run.series)
        return replace(run, series=series)


def _sniff(file: InputFile) -> float:
    text = file.sample
    if re.search(r"step: {1,12}\d{1,12} {1,8}loss: {1,12}\S{1,20} {1,8}(?:grad_norm|memory): ", text):
        return 0.95
    if "torchtitan version: " in text or "Peak FLOPS used for computing MFU: " in text or "[titan] " in text:
        return 0.7
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, TorchtitanLog)


DIALECT = Dialect(
    name="torchtitan",
    title="torchtitan",
    role="log",
    example="[rank0]:[titan] 2026-01-02 03:04:05,678 - root - INFO - step:  1  loss: 11.90123  grad_norm:  4.2500"
    "  memory: 40.25GiB(50.88%)  tps: 5,432  tflops: 123.45  mfu: 12.48%",
    reads="train loss (mean over all data-parallel ranks) and validation loss, gradient norm, peak reserved memory, tokens per"
    " second and device, TFLOP/s per device, MFU with the peak it is a share of; model size, card, ranks, local and global"
    " batch, accumulation, sequence length, planned steps, warm-up; several runs quoted in one file are told apart",
    cannot="the shape (newer versions print only the model's name), the learning rate, the optimiser and its settings: they"
    " are in the job's config; step times (only tokens per second are printed)",
    source="pytorch/torchtitan torchtitan/components/metrics.py and torchtitan/train.py at 00fbaaf",
    sniff=_sniff,
    read=_read,
    missing="torchtitan's log does not print it: add the job's config",
)
