"""The console of picotron: one line for each step, by one process.

``[rank 0] Step: 12    | Loss: 6.1234 | Global batch size:   1.05M | Tokens/s: … | MFU: 40.12% | Memory usage:  45.67GB``;
versions before December 2024 separate the fields by commas. The loss is the mean over data- and context-parallel ranks;
*Global batch size* counts tokens; *MFU* is a share of 989.5 TFLOP/s (an H100), whatever the card. Large numbers are rounded to
two decimals in their unit. (huggingface/picotron ``train.py`` and ``picotron/utils.py`` at 59714b1, and their history.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ...run import Known, Quantity, Source
from ..files import InputFile
from ..human import HUMAN, human, human_interval
from ..log import FLOAT, LogParser, read_log
from ..meaning import MEMORY_BYTES, MFU, TOKENS_PER_S, TOKENS_SEEN, TRAIN_LOSS, Metric
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line

__all__ = ["DIALECT", "PicotronLog"]

_HEAD = lazy(rf"(?:^|\s)Step: (\d{{1,15}})\s{{0,8}}[|,] Loss: {{0,8}}({FLOAT})(?=\s|,|$)")
_FIELD = lazy(
    rf"[|,] (Global batch size|Tokens/s/GPU|Tokens/s|Tokens|MFU|Memory usage): {{0,10}}({HUMAN})(?:/({HUMAN}))?(%|GB)?(?= |,|$)"
)
_PER_STEP = lazy(rf"Tokens per step: ({HUMAN})\s*$")
_PARAMETERS = lazy(rf"Number of parameters: ({HUMAN})\s*$")
_DECIMALS = lazy(r"\.\d{4}$|^-?(?:nan|inf)$")
_QUICK = lazy(r"Step: |Tokens per step|Number of parameters")
H100_PEAK_FLOPS_PER_S = 989.5e12
_ROUNDED = "rounded to two decimals in its unit"
_LOSS = TRAIN_LOSS.but(window="the batch of one step, mean over data- and context-parallel ranks", scope="global")
_MFU = MFU.but(
    mode="train", window="one step", scope="rank", convention="a share of 989.5 TFLOP/s (H100 bf16), whatever the card"
)
_METRICS = {
    "Tokens/s": (TOKENS_PER_S.but(mode="train", window="one step", scope="global", convention=_ROUNDED), 1.0),
    "Tokens/s/GPU": (
        Metric("tokens_per_s_per_gpu", "-", "train", "tokens_per_s", "one step", "rank", _ROUNDED),
        1.0,
    ),
    "Tokens": (TOKENS_SEEN.but(scope="global", convention=_ROUNDED), 1.0),
    "MFU": (_MFU, 0.01),
    "Memory usage": (MEMORY_BYTES.but(window="reserved memory at the step"), 1e9),
}


class PicotronLog(LogParser):
    """Reads picotron's lines of all its versions."""

    dialect = "picotron"

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if not _QUICK.search(text):
            return False
        if found := _HEAD.search(text):
            self._record(found, line)
        elif found := _PER_STEP.search(text):
            self.start_run(line)
            self._tokens_per_step(found[1], line)
        elif found := _PARAMETERS.search(text):
            exact = found[1].isdigit()
            self.set("logged.parameters", human_interval(found[1], decimals=0 if exact else 2), line)
            self.set("logged.parameters_convention", "total", line)
        elif re.search(r"(?:^|\s)Step: \d{1,15}\s{0,8}[|,] L?o?s?s?:? ?$", text):
            self.broken(line)
        else:
            return False
        return True

    def _record(self, head: re.Match[str], line: Line) -> None:
        rest = line.text[head.end() :]
        fields = {found[1]: found for found in _FIELD.finditer(rest)}
        if not line.ended and not fields and not _DECIMALS.search(head[2]):
            self.broken(line)
            return
        last = next(reversed(fields), None) if not line.ended else None  # a number at the end of the file may be cut
        values: list[tuple[Metric, float]] = [(_LOSS, float(head[2].replace(",", "")))]
        for name, found in fields.items():
            if name == last and found[4] is None:
                continue
            if name == "Global batch size":
                self._tokens_per_step(found[2], line)
                continue
            metric, factor = _METRICS[name]
            values.append((metric, human(found[2]) * factor))
            if found[3] is not None:
                self._planned(found[3], line)
        self.record(int(head[1]), values, line)

    def _tokens_per_step(self, text: str, line: Line) -> None:
        if _is_exact(text):
            self.set("logged.tokens_per_step", int(human(text)), line)
        else:
            self.note("picotron.tokens_per_step", human(text), line)

    def _planned(self, text: str, line: Line) -> None:
        if _is_exact(text):
            self.set("logged.tokens_planned", int(human(text)), line)
        else:
            self.note("picotron.max_tokens", human(text), line)

    def finish_run(self, run: Reading) -> Reading:
        """Add the peak behind its MFU."""
        if run.get("mfu") is None:
            return run
        stock = Source("default", formula="picotron divides by 989.5 TFLOP/s, an H100's peak")
        settings: dict[str, Quantity[object]] = dict(run.settings)
        settings["logged.mfu_peak_flops_per_s"] = Known(H100_PEAK_FLOPS_PER_S, stock)
        return replace(run, settings=settings)


def _is_exact(text: str) -> bool:
    """Return whether a count was printed whole: a plain number, or one so small that it has no unit (``512.00``)."""
    value = human(text)
    return text[-1:] not in "KMBTPE" and value == value and 1 <= value < 10**15 and value.is_integer()


def _sniff(file: InputFile) -> float:
    if file.suffix in (".py", ".csv", ".json", ".jsonl"):
        return 0.0
    text = file.sample
    if re.search(r"Step: \d{1,15}\s{0,8}[|,] Loss: {0,8}[\d.naif]{1,12}\s?[|,] Global batch size: ", text):
        return 0.97
    old = re.search(r"\[rank \d{1,5}\] Step: \d{1,15}, Loss: [\d.naif]{1,12}, Tokens: \d", text)
    return 0.9 if old else 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, PicotronLog)


DIALECT = Dialect(
    name="picotron",
    title="picotron",
    role="log",
    example="[rank 0] Step: 12    | Loss: 6.1234 | Global batch size:   1.05M | Tokens/s: 120.00K | Tokens/s/GPU:  15.00K |"
    " Tokens:  12.58M/1.00B | MFU: 40.12% | Memory usage:  45.67GB",
    reads="train loss (mean over data- and context-parallel ranks), tokens per second of all GPUs and of one, tokens seen, MFU and"
    " the peak it is a share of (989.5 TFLOP/s), reserved memory, parameters as an interval",
    cannot="the learning rate and the gradient norm (not printed), a validation loss (there is none), the exact batch and token"
    " budget where they are rounded, the shape and the card (its MFU is a share of an H100's peak whatever the card)",
    source="huggingface/picotron train.py and picotron/utils.py at 59714b1, and their history",
    sniff=_sniff,
    read=_read,
    missing="picotron's console does not say: add its config.json",
)
