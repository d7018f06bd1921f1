"""modded-nanogpt's logs: the program that ran, the machine as ``nvidia-smi`` shows it, and the records.

``step:N/M train_loss:F train_time:Nms step_avg:Fms`` and ``step:N/M val_loss:F …``; since December 2024 training lines have
no loss, and the first logs are in llm.c's form (``s:N trl:F``, ``s:N tel:F``). ``train_time`` stops during validation and
``step_avg`` is its mean over steps (``nan`` in the first ten: those are not counted). The recipe is the class
``Hyperparameters`` in the program; it is parsed as literals and arithmetic, and nothing of it is run.
(KellerJordan/modded-nanogpt ``train_gpt*.py`` and ``records/``, 2024-06 to f411b3d of 2026-08.)

openai/parameter-golf grew from it: its records add ``val_bpb``, it prints its settings (``train_batch_tokens:524288
train_seq_len:1024 iterations:20000 …``), takes them from the environment, and stops when its time is up
(``stopping_early: wallclock_cap … step:13780/20000``), to which its schedule is fitted. Its second form is
``200/20000 train_loss: 3.1 train_time: 0.3m tok/s: 8100000`` after a list ``Hyperparameters:``.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...run import Known, Quantity, Source, Unknown, known
from ..files import InputFile
from ..literals import NotLiteral, evaluate
from ..log import FLOAT, LogParser, number, read_log
from ..meaning import STEP_TIME_S, TOKENS_PER_S, TRAIN_LOSS, VAL_BPB, VAL_LOSS, Metric
from ..patterns import lazy
from ..reading import Dialect, Reading
from ..text import Line
from ..vocabulary import checked
from .llmc import main_log_values

__all__ = ["DIALECT", "ModdedLog", "Program"]

_MAX_CODE_LINES = 40_000
_MAX_CODE_CHARS = 4_000_000
_MAX_BLOCK_LINES = 300
_MAX_NAMES = 2_000
_MIN_CODE_MARKS = 3
"""So many lines that only a program has, before its text counts as one."""
_RECORD = lazy(r"^step:(\d{1,15})/(\d{1,15})((?: [a-z_]{1,30}:\S{1,40}){1,12})\s*$")
_FIELD = lazy(rf" ([a-z_]{{1,30}}):({FLOAT})(ms|s)?(?= |$)")
_RULE = lazy(r"^={80,120}$")
_CODE_MARK = lazy(r"^(?:import \w|from [\w.]+ import |def \w+\(|class \w+[(:]|@\w)")
_RUNNING = lazy(
    r"^Running (?:[Pp]ython|[Pp]y[Tt]orch) (\S{1,60})(?:.{0,80}? on (.{1,80}?) with world_size (\d{1,6}))?(?:\s.{0,200})?$"
)
_GPU = lazy(r"^\|\s{1,4}(\d{1,3})\s{1,4}(\S.{0,40}?)\s+(?:On|Off|N/A)\s*\|\s{1,4}[0-9A-Fa-f]{8}:")
_STAGES = lazy(r"^\s*TrainingStage\(.{0,200}batch_size=")
_DATA = lazy(r"^(Training|Validation) DataLoader: total number of tokens: (\d[\d,]{0,24}) across ")
_MEMORY = lazy(r"^peak memory (?:consumption|allocated): (\d{1,9}) MiB")
_BEGUN = lazy(r"^(?:step:\d{1,15}(?:/|$)|s:\d)")
_SECOND = lazy(
    r"^(\d{1,15})/(\d{1,15})((?: (?:val_loss|val_bpb|train_loss|train_time|tok/s): [\d.a-z]{1,24}){1,6})\s*$"
)
_SECOND_FIELD = lazy(rf" (val_loss|val_bpb|train_loss|train_time|tok/s): ({FLOAT})(m|s)?(?= |$)")
_HYPER = lazy(r"^ {2}([a-z][a-z_0-9]{0,40}): (\S{1,60})\s*$")
_PRINTED = lazy(r"^[a-z][a-z_]{1,40}:[^\s:=]{1,60}(?: [a-z][a-z_]{1,40}:[^\s:=]{1,60}){0,20}\s*$")
_PRINTED_NAMES = lazy(r"^(?:model_params|world_size|train_batch_tokens|iterations|attention_mode|tie_embeddings):")
_SHARDS = lazy(r"^(train|val)_loader:(?:dataset:([\w.-]{1,80})|shards pattern=\S{1,400} tokens:(\d{1,16})\s*$)")
_STOPPED = lazy(r"^stopping_early: wallclock_cap (?:.{0,80} )?step: ?(\d{1,15})/\d{1,15}\s*$")
_AFTER = lazy(rf"^([a-z][\w -]{{2,60}}) val_loss:({FLOAT}) val_bpb:({FLOAT})(?: |$)")
_NAME = lazy(r"^ {0,4}([A-Za-z_]\w{0,60}) *(?::[^=#]{1,60})?= *([^=].{0,300})$")
_CALL = lazy(r"(?<![\w.])(GPTConfig|GPT)\($")
_TIED = lazy(r"wte\.weight = self\.lm_head\.weight|lm_head\.weight = self\.(?:transformer\.)?(?:wte|embed)\.weight")
_REDUCED = lazy(r"^\s*dist\.all_reduce\(train_loss")
_WORLD = lazy(r"^\s*assert world_size == (\d{1,4})\b")
_EIGHTHS = lazy(r"\b(\d{1,3}) // (?:ddp_)?world_size\b")
_OPTIMIZER = lazy(r"^class (NorMuon|Muon|SOAP|Scion|DistributedShampoo)\w{0,40}[(:]")
_WHOLE = "the whole validation split"
_VAL_WHOLE, _BPB_WHOLE = VAL_LOSS.but(window=_WHOLE, scope="global"), VAL_BPB.but(window=_WHOLE, scope="global")
_LOSS_OF_STEP = TRAIN_LOSS.but(window="mean of rank 0's micro-batches of the step", scope="rank")
_VAL = VAL_LOSS.but(window="val_tokens tokens from the start of the validation split", scope="global")
_LOSS_OF_RANK = TRAIN_LOSS.but(window="rank 0's last micro-batch of the step", scope="rank")
_LOSS_OF_ALL = TRAIN_LOSS.but(window="the last micro-batch of the step, mean over ranks", scope="global")
_LOSS_UNKNOWN = TRAIN_LOSS.but(window="one micro-batch of the step, or its mean over ranks")
_STEP_AVG = STEP_TIME_S.but(
    mode="train", window="mean over steps so far (in 2024 without the first ten), validation not counted"
)
_TRAIN_TIME = Metric("train_time_s", mode="train", unit="s", window="so far, validation not counted")
_METRICS = {"val_loss": _VAL, "step_avg": _STEP_AVG, "train_time": _TRAIN_TIME, "t": _TRAIN_TIME}
_SHAPE = {
    "n_layer": "architecture.n_layer",
    "num_layers": "architecture.n_layer",
    "n_head": "architecture.n_head",
    "num_heads": "architecture.n_head",
    "n_embd": "architecture.d_model",
    "model_dim": "architecture.d_model",
    "vocab_size": "architecture.vocab_size",
}
_RECIPE = {
    "learning_rate": "recipe.learning_rate",
    "warmup_iters": "recipe.warmup_steps",
    "weight_decay": "recipe.weight_decay",
    "val_loss_every": "recipe.eval_interval",
    "num_iterations": "recipe.max_steps",
    "train_steps": "recipe.max_steps",
}
_GOLF = {
    "model_params": "logged.parameters",
    "world_size": "recipe.world_size",
    "train_batch_tokens": "logged.tokens_per_step",
    "train_seq_len": "architecture.context",
    "seq_len": "architecture.context",
    "vocab_size": "architecture.vocab_size",
    "layers": "architecture.n_layer",
    "dim": "architecture.d_model",
    "num_heads": "architecture.n_head",
    "model_dim": "architecture.d_model",
    "num_layers": "architecture.n_layer",
    "grad_clip_norm": "recipe.grad_clip",
    "beta1": "recipe.beta1",
    "beta2": "recipe.beta2",
    "val_loss_every": "recipe.eval_interval",
    "heads": "architecture.n_head",
    "num_kv_heads": "architecture.n_kv_head",
    "kv_heads": "architecture.n_kv_head",
    "tie_embeddings": "architecture.tied",
}
_GOLF_NOTED = ("max_wallclock_seconds", "embed_lr", "head_lr", "matrix_lr", "scalar_lr", "warmdown_frac", "mlp_mult")
_SECOND_METRICS = {
    "val_loss": _VAL_WHOLE,
    "val_bpb": _BPB_WHOLE,
    "train_loss": _LOSS_OF_STEP,
    "tok/s": TOKENS_PER_S.but(mode="train", window="the run so far, validation not counted", scope="global"),
}
_NOTED = ("val_tokens", "warmdown_iters", "cooldown_iters", "cooldown_frac", "num_extension_iterations", "val_seq_len")
_NO_TOKENS = (
    "batch_size",
    "sequence_length",
    "device_batch_size",
    "train_seq_len",
    "seq_len",
    "train_batch_size",
    "train_max_seq_len",
    "max_device_batch_size",
    "train_bs_schedule",
)

Values = Mapping[str, Known[Any]]


class Program:
    """What the embedded program says: its hyperparameters and simple names, never executed.

    Parameters
    ----------
    file : str
        The log it stands in.
    lines : list of (int, str)
        Its lines with their numbers in the log.
    """

    def __init__(self, file: str, lines: list[tuple[int, str]]) -> None:
        self.file = file
        self.names: dict[str, Known[Any]] = {}
        self.hyper: dict[str, Known[Any]] = {}
        self.shape: dict[str, Known[Any]] = {}
        self.optimizer: Known[str] | None = None
        self.tied: Known[bool] | None = None
        self.world: Known[int] | None = None
        self.eighths: Known[int] | None = None
        self.stages: Source | None = None
        self.reduces_loss = False
        self._walk(lines)

    def _source(self, line: int, text: str) -> Source:
        return Source("read", self.file, line, text.strip()[:160])

    def _walk(self, lines: list[tuple[int, str]]) -> None:
        for index, (at, text) in enumerate(lines):
            if text.startswith("class Hyperparameters"):
                self._hyperparameters(lines[index : index + _MAX_BLOCK_LINES])
            elif found := _OPTIMIZER.match(text):
                self.optimizer = Known(found[1].lower(), self._source(at, text))
            elif "GPT" in text and not text.lstrip().startswith(("class ", "def ", "#")):
                self._model(lines[index : index + 40])
            elif self.stages is None and _STAGES.match(text):
                self.stages = self._source(at, text)
            elif _REDUCED.match(text):
                self.reduces_loss = True
            elif found := _WORLD.match(text):
                self.world = Known(int(found[1]), self._source(at, text))
            elif _TIED.search(text) and not text.lstrip().startswith("#"):
                self.tied = Known(True, self._source(at, text))
            elif (found := _EIGHTHS.search(text)) and self.eighths is None:
                self.eighths = Known(int(found[1]), self._source(at, text))
            elif (found := _NAME.match(text)) and len(self.names) < _MAX_NAMES:
                self._name(found[1], found[2], at, text)

    def _name(self, name: str, expression: str, at: int, text: str) -> None:
        value = self._value(_expression(expression))
        if value is not None:
            self.names[name] = Known(value, self._source(at, text))

    def _value(self, node: ast.expr | None) -> Any:
        if node is None:
            return None
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "args":
            found = self.hyper.get(node.attr)
            return found.value if found is not None else None
        try:
            return evaluate(node, {k: q.value for k, q in (*self.names.items(), *self.hyper.items())})
        except (NotLiteral, RecursionError):
            return None

    def _hyperparameters(self, lines: list[tuple[int, str]]) -> None:
        """Evaluate the class's assignments; the class ends at the next line that is not indented."""
        block = [lines[0]]
        for at, text in lines[1:]:
            if text.strip() and not text[0].isspace() and not text.startswith("#"):
                break
            block.append((at, text))
        try:
            tree = ast.parse("\n".join(text for _at, text in block))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        for node in tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else ():
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                target, expression = node.target.id, node.value
            elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                target, expression = node.targets[0].id, node.value
            else:
                continue
            value = self._value(expression)
            if value is not None:
                at, text = block[node.lineno - 1]
                self.hyper[target] = Known(value, self._source(at, text))

    def _model(self, lines: list[tuple[int, str]]) -> None:
        """Evaluate the keywords of ``GPT(…)`` or ``GPTConfig(…)``, which may span lines."""
        first = lines[0][1]
        start = next((first.find(call) for call in ("GPTConfig(", "GPT(") if call in first), -1)
        if start < 0 or not _CALL.search(first[: first.index("(", start) + 1]):
            return
        text, depth = "", 0
        for _at, line in lines:
            piece = line[start:] if not text else "\n" + line
            for position, letter in enumerate(piece[:2000]):
                depth += (letter == "(") - (letter == ")")
                if letter == ")" and depth == 0:
                    piece = piece[: position + 1]
                    break
            text += piece
            if depth <= 0:
                break
        call = _expression(text)
        if isinstance(call, ast.Call):
            for keyword in call.keywords:
                value = self._value(keyword.value)
                if keyword.arg in _SHAPE and value is not None and keyword.value.lineno <= len(lines):
                    at, line = lines[keyword.value.lineno - 1]
                    self.shape.setdefault(keyword.arg or "", Known(value, self._source(at, line)))

    def get(self, name: str) -> Known[Any] | None:
        """Return a hyperparameter, or a name of the module where there is no such class."""
        return self.hyper.get(name) if self.hyper else self.names.get(name)

    def settings(self, gpus: Known[int] | None) -> dict[str, Quantity[Any]]:
        """Return what it means, under canonical keys."""
        found: dict[str, Quantity[Any]] = {}
        for names, values in ((_SHAPE, self.shape), (_RECIPE, None)):
            for name, key in names.items():
                quantity = values.get(name) if values is not None else self.get(name)
                if quantity is not None and key not in found:
                    checked_one, _problem = checked(key, quantity)
                    found[key] = checked_one
        if self.optimizer is not None:
            found["recipe.optimizer"] = self.optimizer
        if self.tied is not None:
            found["architecture.tied"] = self.tied
        if self.world is not None:
            found["recipe.world_size"] = self.world
        if (data := _first(self.get(name) for name in ("train_files", "input_bin", "train_bin"))) is not None:
            parts = [p for p in str(data.value).split("/") if p]
            if len(parts) >= 2 and re.fullmatch(r"[\w.-]{1,80}", parts[-2]):
                found["recipe.dataset"] = Known(parts[-2], data.source)
        cooldown = _first(self.get(name) for name in ("warmdown_iters", "cooldown_iters", "cooldown_frac"))
        if cooldown is not None:
            found["recipe.schedule"] = Known("trapezoidal", cooldown.source)
        found |= self._batch(gpus)
        return found

    def _batch(self, gpus: Known[int] | None) -> dict[str, Quantity[Any]]:
        """Return the batch as each era states it: in sequences, in tokens, or as one sequence for each rank."""
        value: dict[str, Known[Any]] = {}
        for name in _NO_TOKENS:
            quantity = self.get(name)
            whole = quantity is not None and isinstance(quantity.value, int) and 0 < quantity.value < 10**12
            if quantity is not None and (whole or name == "train_bs_schedule"):
                value[name] = quantity
        if "train_bs_schedule" in value:
            sizes = value["train_bs_schedule"]
            reason = f"{sizes.source.place}: the batch grows during the run, {sizes.value} tokens"
            return {"logged.tokens_per_step": Unknown(reason)} | _context(value, "train_max_seq_len")
        if self.stages is not None:
            reason = f"{self.stages.place}: the program trains in stages, each with a batch of its own"
            return {"logged.tokens_per_step": Unknown(reason)} | _context(value, "train_max_seq_len")
        if "batch_size" in value and "sequence_length" in value:
            return _in_sequences(value)
        if (tokens := _first(value.get(name) for name in ("train_batch_size", "batch_size"))) is not None:
            if tokens.value < 1024:
                return {}
            return {"logged.tokens_per_step": tokens} | _context(value, "train_max_seq_len")
        length = _first(value.get(name) for name in ("train_seq_len", "seq_len"))
        ranks = _first((self.eighths, self.world, gpus))
        if length is None or ranks is None:
            return _context(value, "train_max_seq_len")
        name = "train_seq_len" if "train_seq_len" in value else "seq_len"
        return {
            "logged.tokens_per_step": known(length.value * ranks.value, f"{name} · {ranks.value} ranks", length, ranks),
            "recipe.gradient_accumulation_steps": known(ranks.value, "one sequence for each of the ranks", ranks),
            "recipe.batch_size": known(1, f"one sequence of {name} tokens for each rank", length),
            "architecture.context": length,
        }


def _in_sequences(value: Values) -> dict[str, Quantity[Any]]:
    batch, length = value["batch_size"], value["sequence_length"]
    each = value.get("device_batch_size")
    found: dict[str, Quantity[Any]] = {
        "architecture.context": length,
        "logged.tokens_per_step": known(batch.value * length.value, "batch_size · sequence_length", batch, length),
    }
    if each is None:  # a batch of one sequence is packed for each micro-step
        found["recipe.batch_size"] = known(1, "one sequence at a time", batch)
        found["recipe.gradient_accumulation_steps"] = known(batch.value, "batch_size, over all ranks", batch)
    elif batch.value % each.value == 0:
        found["recipe.batch_size"] = each
        formula = "batch_size / device_batch_size, over all ranks"
        found["recipe.gradient_accumulation_steps"] = known(batch.value // each.value, formula, batch, each)
    return found


def _first(options: Iterable[Known[Any] | None]) -> Known[Any] | None:
    return next((option for option in options if option is not None), None)


def _context(value: Values, name: str) -> dict[str, Quantity[Any]]:
    return {"architecture.context": value[name]} if name in value else {}


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _plain(text: str) -> bool | int | float | None:
    """Return what a printed setting is: a truth, a count, a finite number, or None."""
    if text in ("True", "False"):
        return text == "True"
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class ModdedLog(LogParser):
    """Reads a log: the program until the machine's lines, then the records."""

    dialect = "modded_nanogpt"

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._begin_program()

    def _begin_program(self) -> None:
        self._code: list[tuple[int, str]] | None = []
        self._chars = self._marks = 0
        self._first_mark: Line | None = None
        self._program: Program | None = None
        self._gpus: dict[int, str] = {}
        self._gpu_line: Line | None = None
        self._timed = -1
        self._loss = _LOSS_UNKNOWN
        self._printed: dict[str, Known[str]] = {}
        self._listed = False

    def line(self, line: Line) -> bool:
        """Take one line."""
        text = line.text
        if text.startswith("step:") and (found := _RECORD.match(text)):
            self._record(found, line)
            return True
        if text.startswith("s:") and (short := main_log_values(text, ended=line.ended)) is not None:
            self._end_program()
            self.record(*short, line)
            return True
        if text.startswith(("step:", "s:")) and self.in_run and _BEGUN.match(text):
            self.broken(line)
            return True
        if self.in_run and _RULE.match(text):
            self._absorb()  # what was said so far is of the run before
            self.start_run(line)
            self._begin_program()
            return True
        if text[:1].isdigit() and (found := _SECOND.match(text)) is not None:
            self._record_of_second_form(found, line)
            return True
        if self._figure(line) or self._golf(line):
            return True
        return self._code is not None and self._collect(line)

    def _record(self, found: re.Match[str], line: Line) -> None:
        self._end_program()
        self._put_printed()
        step = int(found[1])
        fields = {f[1]: f for f in _FIELD.finditer(found[3])}
        if not line.ended and fields and (last := list(fields.values())[-1])[3] is None:
            del fields[last[1]]  # it may be cut inside the number
        values: list[tuple[Metric, float]] = []
        for name, field in fields.items():
            value = number(field[2]) * (1e-3 if field[3] == "ms" else 1.0)
            if name in ("train_loss", "loss"):
                values.append((self._loss if name == "train_loss" else _LOSS_UNKNOWN, value))
            elif name in ("train_time", "t", "step_avg"):
                if value == value and step != self._timed and (step or name != "step_avg"):
                    values.append((_METRICS[name], value))
            elif name == "val_loss":
                values.append((_VAL_WHOLE if "val_bpb" in fields else _VAL, value))
            elif name == "val_bpb":
                values.append((_BPB_WHOLE, value))
        if not values and "val_loss" not in fields and "train_time" not in fields:
            self.broken(line)
            return
        if "train_time" in fields:
            self._timed = step
        if "recipe.max_steps" not in self._run.settings:
            self._checked("recipe.max_steps", Known(int(found[2]), self.source(line)))
        self.record(step, values, line)

    def _record_of_second_form(self, found: re.Match[str], line: Line) -> None:
        self._end_program()
        self._put_printed()
        values: list[tuple[Metric, float]] = []
        fields = list(_SECOND_FIELD.finditer(found[3]))
        for field in fields if line.ended else fields[:-1]:  # the last may be cut inside the number
            value = number(field[2])
            if field[1] == "train_time":
                values.append((_TRAIN_TIME, value * (60.0 if field[3] == "m" else 1.0)))
            else:
                values.append((_SECOND_METRICS[field[1]], value))
        if not values:
            self.broken(line)
            return
        if "recipe.max_steps" not in self._run.settings:
            self._checked("recipe.max_steps", Known(int(found[2]), self.source(line)))
        self.record(int(found[1]), values, line)

    # ---- the program and the machine

    def _collect(self, line: Line) -> bool:
        assert self._code is not None
        self._chars += len(line.text)
        if len(self._code) >= _MAX_CODE_LINES or self._chars > _MAX_CODE_CHARS:
            self._code = None
            return False
        self._code.append((line.number, line.text))
        if _CODE_MARK.match(line.text):
            self._marks += 1
            self._first_mark = self._first_mark or line
        return self._marks >= _MIN_CODE_MARKS

    def _end_program(self) -> None:
        """Read the program once its text has ended, and what the machine's lines said."""
        lines, self._code = self._code, None
        if lines is not None:
            self._program = Program(self.file, lines)
            if self._marks >= _MIN_CODE_MARKS and self._first_mark is not None:
                detail = "the program that ran stands before the records"
                self.notice("source_code_in_log", self._first_mark, detail, count=len(lines))
                self._loss = _LOSS_OF_ALL if self._program.reduces_loss else _LOSS_OF_RANK
            if "train_batch_tokens" in self._printed:
                self._loss = _LOSS_OF_STEP
        if self._program is None:
            return
        program, self._program = self._program, None
        gpus = self._machine()
        for key, quantity in program.settings(gpus).items():
            self._pending.settings.setdefault(key, quantity)
        for name in _NOTED:
            if (found := program.get(name)) is not None and isinstance(found.value, int | float):
                self._pending.noted[f"modded_nanogpt.{name}"] = found

    def _machine(self) -> Known[int] | None:
        if self._gpu_line is None or not self._gpus:
            return None
        source = self.source(self._gpu_line)
        count = Known(len(self._gpus), source)
        self._pending.settings.setdefault("machine.gpu_name", Known(next(iter(self._gpus.values())), source))
        self._pending.settings.setdefault("machine.gpu_count", count)
        return count

    def _figure(self, line: Line) -> bool:
        text = line.text
        first = text[:1]
        if first == "|":
            return self._smi(line)
        if first == "R" and (found := _RUNNING.match(text)):
            if "ytorch" in text or "yTorch" in text:
                self.note("modded_nanogpt.pytorch", found[1], line)
            if found[2]:
                self._checked("machine.gpu_name", Known(found[2], self.source(line)))
                self._checked("machine.gpu_count", Known(found[3], self.source(line)))
                self._checked("recipe.world_size", Known(found[3], self.source(line)))
        elif first in "TV" and (found := _DATA.match(text)):
            key = "data.train_tokens" if found[1] == "Training" else "data.val_tokens"
            self._checked(key, Known(int(number(found[2])), self.source(line)))
        elif first == "p" and (found := _MEMORY.match(text)):
            self.note("modded_nanogpt.peak_memory_mib", int(found[1]), line)
        else:
            return False
        return True

    def _smi(self, line: Line) -> bool:
        if (found := _GPU.match(line.text)) and len(self._gpus) < 1024:
            self._gpus.setdefault(int(found[1]), found[2].strip())
            self._gpu_line = self._gpu_line or line
        return True

    # ---- parameter-golf

    def _golf(self, line: Line) -> bool:
        """Take what parameter-golf prints of its settings, of its end, and of evaluations after it."""
        text = line.text
        if ":" not in text[:60]:
            return False
        if text == "Hyperparameters:":
            self._listed = True
            return True
        if self._listed and text.startswith("  "):
            if found := _HYPER.match(text):
                self._printed[found[1]] = Known(found[2], self.source(line))
            return True
        self._listed = False
        if _PRINTED_NAMES.match(text) and _PRINTED.match(text):
            for pair in text.split():
                name, _colon, value = pair.partition(":")
                self._printed[name] = Known(value, self.source(line))
        elif found := _SHARDS.match(text):
            if found[1] == "train" and found[2]:
                self._checked("recipe.dataset", Known(found[2], self.source(line)))
            elif found[1] == "val" and found[3]:
                self._checked("data.val_tokens", Known(int(found[3]), self.source(line)))
        elif found := _STOPPED.match(text):
            self._checked("recipe.max_steps", Known(int(found[1]), self.source(line)))
            self.note("modded_nanogpt.stopped_by", "wallclock_cap", line)
        elif self.in_run and (found := _AFTER.match(text)):
            name = re.sub(r"\W+", "_", found[1])
            self.note(f"modded_nanogpt.{name}.val_loss", number(found[2]), line)
            self.note(f"modded_nanogpt.{name}.val_bpb", number(found[3]), line)
        else:
            return False
        return True

    def _put_printed(self) -> None:
        """Put what parameter-golf printed under canonical keys; its ``warmup_steps`` compile, and are undone."""
        if not self._printed:
            return
        texts, self._printed = self._printed, {}
        printed = {name: Known(v, q.source) for name, q in texts.items() if (v := _plain(q.value)) is not None}
        for name, key in _GOLF.items():
            if (said := printed.get(name)) is not None:
                self._checked(key, Known((said.value,) * 2, said.source) if key == "logged.parameters" else said)
        if "model_params" in printed:
            self._checked("logged.parameters_convention", Known("total", printed["model_params"].source))
        for name in _GOLF_NOTED:
            if (said := printed.get(name)) is not None:
                self._pending.noted[f"modded_nanogpt.{name}"] = said
        if "microbatch_tokens" in printed:  # the program for Apple's MLX, which is one process
            printed.setdefault("world_size", Known(1, printed["microbatch_tokens"].source))
        if "seq_len" in printed:
            printed.setdefault("train_seq_len", printed["seq_len"])
        names = ("world_size", "grad_accum_steps", "train_batch_tokens", "train_seq_len")
        known_ones = [printed[name] for name in names if name in printed]
        sizes = [q.value for q in known_ones if type(q.value) is int and q.value > 0]
        if len(sizes) < len(names):
            return
        ranks, steps, tokens, length = sizes
        micro_batches = known(ranks * steps, "world_size · grad_accum_steps", *known_ones[:2])
        self._checked("recipe.gradient_accumulation_steps", micro_batches)
        if tokens % (ranks * steps * length) == 0:
            formula = "train_batch_tokens / (world_size · grad_accum_steps · train_seq_len)"
            self._checked("recipe.batch_size", known(tokens // (ranks * steps * length), formula, *known_ones))

    def _checked(self, key: str, quantity: Known[Any]) -> None:
        value, problem = checked(key, quantity)
        if problem is not None:
            self.problem(problem)
        else:
            self._pending.settings[key] = value

    def finish_run(self, run: Reading) -> Reading:
        """Add what the speedrun fixes; its program says the rest."""
        settings: dict[str, Quantity[Any]] = dict(run.settings)
        if not run.series and not settings:
            return run
        model = Source("default", formula="modded-nanogpt's train_gpt.py")
        settings.setdefault("architecture.family", Known("modded-nanogpt", model))
        return replace(run, settings=settings)


_SURE = lazy(r"^step:\d{1,15}/\d{1,15} (?:train_loss|val_loss|train_time):", re.MULTILINE)
_SURE_SECOND = lazy(
    r"^\d{1,15}/\d{1,15} (?:val_loss: \d\S{0,20} val_bpb|train_loss: \d\S{0,20} train_time): ", re.MULTILINE
)
_SHORT = lazy(r"^s:\d{1,15} (?:trl|tel):", re.MULTILINE)


def _sniff(file: InputFile) -> float:
    text = file.sample
    if _SURE.search(text):
        return 1.0
    if _SURE_SECOND.search(text):
        return 0.9
    if _SHORT.search(text):
        code = sum(
            1 for _ in zip(re.finditer(r"^(?:import \w|def \w|class \w)", text, re.MULTILINE), range(3), strict=False)
        )
        return 0.98 if code == _MIN_CODE_MARKS else 0.0
    if file.suffix in (".txt", ".log") and re.search(r"^class Hyperparameters\b", text, re.MULTILINE):
        return 0.6
    return 0.0


def _read(file: InputFile) -> Iterable[Reading]:
    return read_log(file, ModdedLog)


DIALECT = Dialect(
    name="modded_nanogpt",
    title="modded-nanogpt",
    role="log",
    example="step:125/1770 val_loss:4.6310 train_time:12010ms step_avg:96.08ms\n"
    "step:126/1770 train_loss:4.5822 train_time:12106ms step_avg:96.08ms",
    reads="logs of every era: validation and training loss (which training lines had until December 2024), training time"
    " and mean step time; the class Hyperparameters and the model's call in the program that stands in the log, parsed"
    " and never run: batch, sequence length, tokens per step, steps, learning rate, cool-down, layers, heads, width; the"
    " GPUs of nvidia-smi; parameter-golf's settings and bits per byte",
    cannot="the training loss where only validation is printed, single step times, learning rates that the program"
    " computes, the tokens of a step where the batch grows during the run; modded-nanogpt prints no parameters",
    source="KellerJordan/modded-nanogpt train_gpt.py, train_gpt2.py and records/, 2024-06 to f411b3d",
    sniff=_sniff,
    read=_read,
    missing="neither the log nor the program in it says",
)
