"""The command that started an llm.c run, as it stands in a ``run.sh``: ``./train_gpt2cu -b 16 -t 2048 -d 524288 …``.

The script is read as text and never run: words are split at blanks and quotes, variables are replaced where the script sets
them to a plain word. What a flag does not say is the trainer's own default, and says so.
(karpathy/llm.c ``train_gpt2.cu`` ``error_usage`` and ``gpt_build_from_descriptor``, ``train_gpt2.py`` argparse, at f1e2ace.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ...errors import NotText
from ...run import Known, Problem, Quantity, Source, Unknown, known
from ..files import InputFile
from ..patterns import lazy
from ..reading import FILE, Dialect, Reading
from ..vocabulary import checked

__all__ = ["DIALECT"]

_MAX_BYTES = 512 * 1024
_MAX_WORDS = 2000
_SNIFFED = 65_536
_PROGRAM = lazy(r"(?:^|/)(train_gpt2(?:fp32)?cu|train_gpt2\.py)$")
_IN_TEXT = lazy(r"\btrain_gpt2(?:(?:fp32)?cu|\.py)\b")
_WORD = lazy(r"\"([^\"]{0,2000})\"|'([^']{0,2000})'|([^\s\"';|&<>]{1,2000})|([;|&<>])")
_ASSIGNMENT = lazy(
    r"^\s*(?:export )?([A-Za-z_]\w{0,60})=(?:\"([^\"$`]{0,300})\"|'([^']{0,300})'|([^\s\"'$`;]{0,300}))\s*(?:#.*)?$"
)
_VARIABLE = lazy(r"\$(?:\{(\w{1,60})\}|(\w{1,60}))")

_CU: Mapping[str, str] = {
    "-b": "recipe.batch_size",
    "-t": "architecture.context",
    "-d": "logged.tokens_per_step",
    "-l": "recipe.learning_rate",
    "-u": "recipe.warmup_steps",
    "-c": "recipe.weight_decay",
    "-x": "recipe.max_steps",
    "-k": "recipe.schedule",
    "-v": "recipe.eval_interval",
    "-m": "recipe.eval_iters",
    "-pn": "recipe.world_size",
}
_CU_DEFAULTS: Mapping[str, Any] = {
    "-b": 4,
    "-t": 1024,
    "-l": 3e-4,
    "-u": 0,
    "-q": 1.0,
    "-c": 0.0,
    "-k": "cosine",
    "-v": 20,
    "-m": 20,
}
_PY: Mapping[str, str] = {
    "--batch_size": "recipe.batch_size",
    "--sequence_length": "architecture.context",
    "--total_batch_size": "logged.tokens_per_step",
    "--learning_rate": "recipe.learning_rate",
    "--warmup_iters": "recipe.warmup_steps",
    "--weight_decay": "recipe.weight_decay",
    "--grad_clip": "recipe.grad_clip",
    "--num_iterations": "recipe.max_steps",
    "--val_loss_every": "recipe.eval_interval",
    "--val_max_steps": "recipe.eval_iters",
    "--dtype": "recipe.dtype",
}
_PY_DEFAULTS: Mapping[str, Any] = {
    "--batch_size": 4,
    "--sequence_length": 64,
    "--total_batch_size": 256,
    "--learning_rate": 1e-4,
    "--warmup_iters": 0,
    "--learning_rate_decay_frac": 1.0,
    "--weight_decay": 0.0,
    "--grad_clip": 1.0,
    "--num_iterations": 10,
    "--dtype": "float32",
    "--model": "gpt2",
}
_NOTED = {"-r": "recompute", "-z": "zero_stage", "-y": "resume", "-sl": "skip_update_lossz", "-sg": "skip_update_gradz"}
_PROCESSES = frozenset({"-np", "-n", "--np", "--nproc_per_node", "--nproc-per-node", "--ntasks", "-N"})
_GPT2 = {
    6: (384, 6),
    12: (768, 12),
    24: (1024, 16),
    36: (1280, 20),
    48: (1600, 25),
    60: (1920, 30),
    72: (2880, 30),
    84: (3456, 36),
}
"""Depth to width and heads."""
_GPT3 = {
    384: (6, 64),
    768: (12, 64),
    1024: (24, 64),
    1536: (24, 96),
    2048: (24, 128),
    2560: (32, 80),
    4096: (32, 128),
    5140: (40, 128),
    12288: (96, 128),
}
"""Width to depth and head size."""
_NAMES = {"gpt2": 12, "gpt2-medium": 24, "gpt2-large": 36, "gpt2-xl": 48}
_PADDED_VOCAB = 50_304
_TRAINER = Source(
    "default", formula="train_gpt2cu: AdamW with betas 0.9 and 0.95, gradients clipped at 1.0, no dropout"
)


class _Word(NamedTuple):
    text: str
    line: int


class _Command(NamedTuple):
    """One call of a trainer: what stands before its name, and its arguments."""

    program: str
    before: Sequence[_Word]
    arguments: Sequence[_Word]


def _logical_lines(text: str) -> Iterable[list[tuple[int, str]]]:
    """Yield the physical lines of each command: a backslash at the end continues it."""
    whole: list[tuple[int, str]] = []
    for index, line in enumerate(text.split("\n"), 1):
        stripped = line.rstrip()
        goes_on = stripped.endswith("\\")
        whole.append((index, stripped[:-1] if goes_on else stripped))
        if not goes_on:
            yield whole
            whole = []
    if whole:
        yield whole


def _words(lines: Sequence[tuple[int, str]], variables: Mapping[str, str]) -> list[_Word]:
    words: list[_Word] = []
    for index, line in lines:
        if line.lstrip().startswith("#"):
            continue
        for found in _WORD.finditer(line[:20_000]):
            double, single, plain, operator = found.groups()
            if plain is not None and plain.startswith("#"):
                break
            if len(words) >= _MAX_WORDS:
                return words
            raw = single if single is not None else double if double is not None else plain or operator
            text = raw if single is not None else _VARIABLE.sub(lambda v: variables.get(v[1] or v[2], v[0]), raw)
            words.append(_Word(text[:2000], index))
    return words


def _commands(text: str) -> list[_Command]:
    variables: dict[str, str] = {}
    commands: list[_Command] = []
    for lines in _logical_lines(text):
        if len(lines) == 1 and (found := _ASSIGNMENT.match(lines[0][1][:1000])):
            variables[found[1]] = next((v for v in found.groups()[1:] if v is not None), "")
            continue
        if not any(_IN_TEXT.search(line) for _index, line in lines):
            continue
        words = _words(lines, variables)
        at = next((i for i, word in enumerate(words) if _PROGRAM.search(word.text)), None)
        if at is None:
            continue
        end = next((i for i in range(at, len(words)) if words[i].text in ";|&<>"), len(words))
        start = next((i + 1 for i in range(at - 1, -1, -1) if words[i].text in ";|&"), 0)
        match = _PROGRAM.search(words[at].text)
        assert match is not None
        if any(word.text.startswith("-") for word in words[at + 1 : end]):
            commands.append(_Command(match[1], words[start:at], words[at + 1 : end]))
    return commands


def _flags(words: Sequence[_Word]) -> dict[str, _Word]:
    flags: dict[str, _Word] = {}
    index = 0
    while index < len(words):
        word = words[index]
        name, equals, value = word.text.partition("=")
        if name.startswith("-") and equals:
            flags[name] = _Word(value, word.line)
        elif name.startswith("-") and index + 1 < len(words):
            flags[name] = words[index + 1]
            index += 1
        index += 1
    return flags


class _Builder:
    """Puts the settings of one command together."""

    def __init__(self, file: str, command: _Command) -> None:
        self.file, self.command = file, command
        self.flags = _flags(command.arguments)
        self.python = command.program.endswith(".py")
        self.settings: dict[str, Quantity[Any]] = {}
        self.problems: list[Problem] = []
        self.noted: dict[str, Known[Any]] = {}

    def value(self, flag: str) -> Quantity[Any] | None:
        """Return what a flag says, or its default."""
        word = self.flags.get(flag)
        if word is None:
            defaults = _PY_DEFAULTS if self.python else _CU_DEFAULTS
            if flag not in defaults:
                return None
            formula = f"default of {self.command.program} ({flag} = {defaults[flag]}), not set in the command"
            return Known(defaults[flag], Source("default", formula=formula))
        source = Source("read", self.file, word.line, f"{flag} {word.text}"[:160])
        if "$" in word.text or "`" in word.text:
            return Unknown(f"{source.place} sets {flag} by a shell variable, which is never executed")
        return Known(word.text, source)

    def set(self, key: str, flag: str) -> None:
        found = self.value(flag)
        if found is None:
            return
        if isinstance(found, Known):
            if isinstance(found.value, str) and re.fullmatch(r"-\d+(?:\.\d*)?", found.value):
                return  # -1: left to the trainer
            found, problem = checked(key, found)
            if problem is not None:
                self.problems.append(problem)
        self.settings[key] = found

    def build(self) -> None:
        names = _PY if self.python else _CU
        for flag, key in names.items():
            self.set(key, flag)
        self._rates()
        self._world()
        self._tokens()
        self._shape()
        self._dataset()
        for flag, name in _NOTED.items():
            if not self.python and isinstance(found := self.value(flag), Known) and len(str(found.value)) < 20:
                self.noted[f"llmc.{name}"] = found

    def _rates(self) -> None:
        fraction = self.value("--learning_rate_decay_frac" if self.python else "-q")
        rate = self.settings.get("recipe.learning_rate")
        if isinstance(rate, Known) and isinstance(fraction, Known):
            try:
                floor = rate.value * float(fraction.value)
            except ValueError:
                return
            if 0 <= floor <= rate.value:
                self.settings["recipe.min_lr"] = known(floor, "learning rate · its final fraction", rate, fraction)
        if isinstance(steps := self.settings.get("recipe.max_steps"), Known):
            self.settings["recipe.decay_steps"] = steps  # the schedule spans the run
        fixed = {"recipe.optimizer": "adamw", "recipe.beta1": 0.9, "recipe.beta2": 0.95, "recipe.dropout": 0.0}
        if not self.python:
            fixed["recipe.grad_clip"] = 1.0
        else:
            schedule = Source("default", formula="train_gpt2.py: cosine")
            self.settings.setdefault("recipe.schedule", Known("cosine", schedule))
        for key, value in fixed.items():
            self.settings[key] = Known(value, _TRAINER)

    def _world(self) -> None:
        launch = [w for w in self.command.before if w.text not in (";", "|", "&")]
        for one, two in pairwise(launch):
            if one.text in _PROCESSES and two.text.isdecimal() and len(two.text) < 7:
                self._set_world(int(two.text), two.line, f"{one.text} {two.text}")
        for word in launch:
            name, _, count = word.text.partition("=")
            if name in _PROCESSES and count.isdecimal() and len(count) < 7:
                self._set_world(int(count), word.line, word.text)
        launchers = ("mpirun", "mpiexec", "srun", "torchrun", "sbatch", "python -m torch")
        if "recipe.world_size" not in self.settings and not any(w.text.endswith(launchers) for w in launch):
            alone = Source("default", formula=f"{self.command.program} without a launcher is one process")
            self.settings["recipe.world_size"] = Known(1, alone)

    def _set_world(self, count: int, line: int, text: str) -> None:
        quantity, problem = checked("recipe.world_size", Known(count, Source("read", self.file, line, text[:160])))
        if problem is None:
            self.settings["recipe.world_size"] = self.settings["machine.gpu_count"] = quantity

    def _tokens(self) -> None:
        """Without a total, one micro-batch of every rank is a step."""
        batch, context, world, total = (
            self.settings.get(key)
            for key in (
                "recipe.batch_size",
                "architecture.context",
                "recipe.world_size",
                "logged.tokens_per_step",
            )
        )
        if not isinstance(batch, Known) or not isinstance(context, Known):
            return
        micro = batch.value * context.value
        if total is None and not self.python:
            if isinstance(world, Known):
                formula = "-b · -t · processes (no -d: no accumulation)"
                self.settings["logged.tokens_per_step"] = known(micro * world.value, formula, batch, context, world)
                self.settings["recipe.gradient_accumulation_steps"] = known(world.value, "processes (no -d)", world)
        elif isinstance(total, Known) and total.value % micro == 0:
            formula = "tokens per step / (batch · context), over all ranks"
            steps = known(total.value // micro, formula, total, batch, context)
            self.settings["recipe.gradient_accumulation_steps"] = steps
        elif isinstance(total, Known):
            self.problems.append(
                Problem("impossible_value", f"{total.value} tokens per step are no multiple of {micro}", total.source)
            )

    def _shape(self) -> None:
        flag = "--model" if self.python else "-e"
        found = self.value(flag)
        if not isinstance(found, Known):
            return
        text = str(found.value)
        depth = re.fullmatch(r"(?:gpt2:)?d(\d{1,3})", text)
        width = re.fullmatch(r"gpt3:c(\d{1,6})", text)
        shape: tuple[int, int, int] | None = None
        if depth and int(depth[1]) in _GPT2:
            shape = (int(depth[1]), *_GPT2[int(depth[1])])
        elif text in _NAMES:
            shape = (_NAMES[text], *_GPT2[_NAMES[text]])
            if self.python:
                self.settings["recipe.init_from"] = Known(text, found.source)
        elif width and int(width[1]) in _GPT3:
            layers, head = _GPT3[int(width[1])]
            shape = (layers, int(width[1]), int(width[1]) // head)
        if shape is None:
            return
        formula = f"llm.c's descriptor {text!r}"
        for key, count in zip(("n_layer", "d_model", "n_head"), shape, strict=True):
            self.settings[f"architecture.{key}"] = known(count, formula, found)
        self.settings["architecture.n_kv_head"] = self.settings["architecture.n_head"]
        self.settings["architecture.d_ff"] = known(4 * shape[1], "4 · channels (llm.c's MLP)", found)
        model = Source("default", formula="llm.c's GPT-2: biases, a tied output head, 50,257 tokens padded to 50,304")
        self.settings["architecture.family"] = Known("gpt2", model)
        self.settings["architecture.vocab_size"] = Known(_PADDED_VOCAB, model)
        self.settings["architecture.tied"] = self.settings["architecture.bias"] = Known(True, model)

    def _dataset(self) -> None:
        found = self.value("--input_bin" if self.python else "-i")
        if isinstance(found, Known):
            parts = [p for p in str(found.value).replace("\\", "/").split("/") if p]
            if len(parts) >= 2 and re.fullmatch(r"[\w.-]{1,80}", parts[-2]) and parts[-2] not in (".", "..", "data"):
                self.settings["recipe.dataset"] = Known(parts[-2], found.source)
        folder = self.flags.get("--output_dir" if self.python else "-o")
        if folder is not None and re.fullmatch(r"[\w.-]{1,80}", folder.text):  # a path may name a person
            source = Source("read", self.file, folder.line, None)
            self.settings["recipe.run_name"] = Known(folder.text, source)


def _sniff(file: InputFile) -> float:
    if file.suffix not in (".sh", ".bash", ".sbatch", ".slurm", ".txt", ".cmd", ""):
        return 0.0
    named = file.suffix in (".sh", ".bash", ".sbatch", ".slurm")
    text = file.sample[:_SNIFFED]
    for found, _ in zip(_IN_TEXT.finditer(text), range(20), strict=False):
        after = text[found.end() : found.end() + 400]
        if found[0].endswith("cu") and re.search(r"\s-[a-z]{1,2}\s", after):
            return 0.9
        if named and found[0].endswith(".py") and "config/" not in after and re.search(r"\s--[a-z_]{2,40}[= ]", after):
            return 0.8
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    commands = _commands(file.text(_MAX_BYTES))
    if not commands:
        raise NotText(
            "no llm.c command with flags is in it",
            where=file.name,
            expected="a call such as `./train_gpt2cu -b 64 -t 1024 -d 524288`",
            hint="give the script that training was started with",
        )
    readings = []
    for index, command in enumerate(commands[:100], 1):
        builder = _Builder(file.name, command)
        builder.build()
        readings.append(
            Reading(
                DIALECT.name,
                file.name,
                "config",
                label=str(index) if len(commands) > 1 else "",
                settings=builder.settings,
                authority=FILE,
                problems=tuple(builder.problems),
                noted=builder.noted,
            )
        )
    return readings


DIALECT = Dialect(
    name="llmc_command",
    title="llm.c command line",
    role="config",
    example='mpirun -np 8 ./train_gpt2cu -i "fineweb10B/train_*.bin" -b 64 -t 1024 -d 524288 -l 0.0006 -u 700 -x 19560 -e "d12"',
    reads="the flags of train_gpt2cu and train_gpt2.py in a shell script, with their lines: batch, context, tokens per"
    " step, learning rate and its final fraction, warm-up, weight decay, steps, evaluation, the shape that the descriptor"
    " stands for, and the processes of mpirun or torchrun; what is not set has the trainer's default, and says so",
    cannot="values that the shell computes, the shape inside a .bin checkpoint, the card",
    source="karpathy/llm.c train_gpt2.cu and train_gpt2.py at f1e2ace",
    sniff=_sniff,
    read=_read,
    missing="the command does not say",
)
