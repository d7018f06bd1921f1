"""The console of Meta Lingua: one line for each logged step, its fields two spaces apart.

``0: INFO    24-10-21 12:00:00.123456 - 0:00:10 - step: 10  acc: 0  loss:  8.1234  grad: 1.2e+00  flops: 3.1e+14  wps: …``.
The loss is that of the last micro-batch of the process that prints (it is not reduced over ranks here, only in
``metrics.jsonl``); ``wps`` and ``flops`` are those of one GPU; ``iter`` is the seconds that the GPU took for the last
micro-batch; ``grad`` is −1 where the optimiser did not step. With ``logging.acc_freq`` a step is printed several times, once
for each ``acc``. (facebookresearch/lingua ``apps/main/train.py`` and ``lingua/logger.py`` at 437d680.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ...run import Known
from ..files import InputFile
from ..log import FLOAT, LogParser, read_log
from ..meaning import GRAD_NORM, LEARNING_RATE, TFLOPS, TRAIN_LOSS, VAL_LOSS, Metric
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import checked

__all__ = ["DIALECT", "LinguaLog"]

_HEAD = lazy(r"(?:^|\s)step: (\d{1,15}) {2}acc: (\d{1,9})(?= {2}|$)")
_FIELD = lazy(rf" {{2}}(loss|grad|flops|wps|iter|data|lr|mem|pow): {{0,8}}({FLOAT})(%| W)?(?= {{2}}|\s*$)")
_LAST = lazy(rf" {{2}}pow: (?:{FLOAT}) W\s*$")
_SIZE = lazy(r"Model size: ([\d,]{1,26}) total parameters")
_CARD = lazy(r"GPU capacity: (\S.{1,80}?) \(\d{1,4}\) with [\d.]{1,12}GiB memory")
_RANKS = lazy(r"Running on dp size : (\d{1,9})\s*$")
_JOB = lazy(r"Starting job: (\S.{0,100})$")
_VALIDATION = lazy(rf"Validation on (.{{1,300}}?) done\. Metrics: .{{0,400}}?'nll_per_token': ({FLOAT})")
_QUICK = lazy(r"step: |Model size|capacity|dp size|Starting job|Validation on")
_METRICS: Mapping[str, tuple[Metric, float]] = {
    "loss": (TRAIN_LOSS.but(window="the last micro-batch of the step, of the process that prints", scope="rank"), 1.0),
    "grad": (GRAD_NORM.but(scope="global"), 1.0),
    "flops": (
        TFLOPS.but(mode="train", window="since the last line", convention="Lingua's estimate, embeddings left out"),
        1e-12,
    ),
    "wps": (
        Metric("tokens_per_s_per_gpu", "-", "train", "tokens_per_s", "since the last line", "rank"),
        1.0,
    ),
    "iter": (
        Metric("iter_time_s", "-", "train", "s", "the last micro-batch on the GPU, data loading left out", "rank"),
        1.0,
    ),
    "data": (Metric("data_time_s", "-", "train", "s", "loading the last micro-batch", "rank"), 1.0),
    "lr": (LEARNING_RATE, 1.0),
    "mem": (
        Metric("memory_fraction", "-", "train", "fraction", "peak of active memory since the last line", "rank"),
        0.01,
    ),
    "pow": (Metric("power_w", "-", "train", "W", "as the card reports it", "rank"), 1.0),
}
_VAL = VAL_LOSS.but(window="mean over documents of their nats per token; step of the last step line before it")


class LinguaLog(LogParser):
    """Reads Lingua's console and its ``train.log``."""

    dialect = "lingua"
    repeats_steps = True

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._step = 0

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if not _QUICK.search(text):
            return False
        if found := _HEAD.search(text):
            self._record(found, line)
            return True
        return self._figure(line)

    def _record(self, head: re.Match[str], line: Line) -> None:
        text = line.text[head.end() :]
        if not line.ended and not _LAST.search(text):
            self.broken(line)
            return
        values: list[tuple[Metric, float]] = []
        for found in _FIELD.finditer(text):
            metric, factor = _METRICS[found[1]]
            value = float(found[2].replace(",", ""))
            if found[1] == "grad" and value == -1:
                continue  # the optimiser did not step
            values.append((metric, value * factor))
        if not any(metric.name == "train_loss" for metric, _value in values):
            self.broken(line)
            return
        self._step = int(head[1])
        if head[2] != "0":
            self.notice("several_records_a_step", line, "micro-batches of a step are printed one by one (acc_freq)")
        self.record(self._step, values, line._replace(text=line.text[head.start() :]))

    def _figure(self, line: Line) -> bool:
        text = line.text
        if found := _SIZE.search(text):
            count = int(found[1].replace(",", "") or 0)
            self.set("logged.parameters", (count, count), line)
            self.set("logged.parameters_convention", "total", line)
        elif found := _CARD.search(text):
            self.set("machine.gpu_name", found[1], line)
        elif found := _RANKS.search(text):
            self.note("lingua.data_parallel_ranks", int(found[1]), line)
        elif found := _JOB.search(text):
            self.start_run(line)
            self.set("recipe.run_name", checked("recipe.run_name", Known(found[1], self.source(line)))[0], line)
        elif found := _VALIDATION.search(text):
            if self.in_run:
                self.record(self._step, [(_VAL, float(found[2]))], line)
        else:
            return False
        return True


def _sniff(file: InputFile) -> float:
    if file.suffix in (".py", ".csv", ".json", ".jsonl"):
        return 0.0
    return (
        0.97
        if re.search(r"(?:^|\s)step: \d{1,15}  acc: \d{1,9}  loss: {1,8}[\d.naif-]{1,12}  grad: ", file.sample, re.M)
        else 0.0
    )


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, LinguaLog)


DIALECT = Dialect(
    name="lingua",
    title="Meta Lingua",
    role="log",
    example="0: INFO    24-10-21 12:00:10.000000 - 0:00:10 - step: 10  acc: 0  loss:  8.1234  grad: 1.25e+00  flops: 3.10e+14"
    "  wps: 4.50e+04  iter:  0.3456  data: 0.0001  lr: 3.00e-05  mem: 45%  pow: 400.125 W",
    reads="train loss (the last micro-batch of the process that prints), gradient norm, tokens per second and TFLOP/s of one GPU,"
    " seconds of a micro-batch, learning rate, memory as a share of the card, power, parameters, the card, the job's name",
    cannot="the loss over all ranks and the tokens seen (metrics.jsonl has both), batch, accumulation, context and planned steps"
    " (config.yaml beside it has them); losses, gradients and rates are printed with three or four digits",
    source="facebookresearch/lingua apps/main/train.py and lingua/logger.py at 437d680",
    sniff=_sniff,
    read=_read,
    missing="Lingua's log does not say: add the config.yaml of its dump_dir",
)
