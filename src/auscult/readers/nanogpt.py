"""nanoGPT: a config of overrides, the defaults of ``train.py`` behind it, and the text that training printed.

Defaults are those of ``train.py`` at karpathy/nanoGPT 3adf61e; a value that comes from there says so in its source.
"""

from __future__ import annotations

import ast
import re
import reprlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadConfig
from ..run import (
    Architecture,
    Comment,
    ConfigText,
    Data,
    Known,
    Logged,
    Machine,
    Problem,
    Quantity,
    Recipe,
    Run,
    Source,
    Unknown,
    known,
    split_lines,
)
from .dataset import split_tokens
from .given import Given
from .literals import NotLiteral, evaluate
from .nanogpt_log import LogText
from .python_config import parse_config

__all__ = ["assemble", "is_training_script", "sniff_config"]

DIALECT = "nanogpt"

_DEFAULTS: dict[str, Any] = {
    "eval_interval": 2000,
    "log_interval": 1,
    "eval_iters": 200,
    "eval_only": False,
    "init_from": "scratch",
    "wandb_run_name": "gpt2",
    "dataset": "openwebtext",
    "gradient_accumulation_steps": 40,
    "batch_size": 12,
    "block_size": 1024,
    "n_layer": 12,
    "n_head": 12,
    "n_embd": 768,
    "dropout": 0.0,
    "bias": False,
    "learning_rate": 6e-4,
    "max_iters": 600_000,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.95,
    "grad_clip": 1.0,
    "decay_lr": True,
    "warmup_iters": 2000,
    "lr_decay_iters": 600_000,
    "min_lr": 6e-5,
    "dtype": "bfloat16",
    "compile": True,
}
_MAX_OVERRIDE = 1000
_DEFAULT_VOCAB = 50_304
"""``train.py``: "defaulting to vocab_size of GPT-2 to 50304 (50257 rounded up for efficiency)", when there is no meta.pkl."""

_SANE: dict[str, tuple[type, float, float]] = {
    "n_layer": (int, 1, 10_000),
    "n_head": (int, 1, 10_000),
    "n_embd": (int, 1, 1_000_000),
    "block_size": (int, 1, 100_000_000),
    "batch_size": (int, 1, 1_000_000),
    "gradient_accumulation_steps": (int, 1, 1_000_000),
    "max_iters": (int, 1, 100_000_000),
    "warmup_iters": (int, 0, 100_000_000),
    "lr_decay_iters": (int, 1, 100_000_000),
    "eval_interval": (int, 1, 100_000_000),
    "eval_iters": (int, 1, 100_000_000),
    "log_interval": (int, 1, 100_000_000),
    "learning_rate": (float, 0, 100),
    "min_lr": (float, 0, 100),
    "weight_decay": (float, 0, 1000),
    "beta1": (float, 0, 0.999999999),
    "beta2": (float, 0, 0.999999999999),
    "grad_clip": (float, 0, 1e9),
    "dropout": (float, 0, 0.999999),
    "bias": (bool, 0, 1),
    "compile": (bool, 0, 1),
    "decay_lr": (bool, 0, 1),
    "eval_only": (bool, 0, 1),
    "dtype": (str, 0, 0),
    "dataset": (str, 0, 0),
    "init_from": (str, 0, 0),
    "wandb_run_name": (str, 0, 0),
}
_KIND = {int: "a whole number", float: "a number", bool: "True or False", str: "a string"}
_PRETRAINED = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
_KEY_LINE = re.compile(
    r"^(?:n_layer|n_head|n_embd|block_size|batch_size|gradient_accumulation_steps|max_iters|learning_rate|lr_decay_iters"
    r"|warmup_iters|min_lr|eval_interval|eval_iters|dropout|wandb_run_name|out_dir|dataset|init_from)\s*=",
    re.M,
)


_STOCK_DTYPE = re.compile(r"dtype\s*=\s*'bfloat16' if torch\.cuda\.is_available\(\)")


def sniff_config(head: str) -> float:
    """Return how much a text looks like a nanoGPT config, 0 to 1."""
    keys = {found.group() for found in _KEY_LINE.finditer(head)}
    return min(1.0, 0.25 * len(keys))


def is_training_script(text: str) -> bool:
    """Return whether a Python file is a ``train.py`` (its values are defaults) rather than a config of overrides."""
    return "configurator.py" in text or "def get_batch(" in text


def _settings_of(script: str) -> str:
    """Return the part of a ``train.py`` that sets values: what stands before it reads its overrides.

    The stock line that picks the dtype by what the card supports is nanoGPT's default, not a setting.
    """
    lines = split_lines(script)
    end = next(
        (i for i, line in enumerate(lines) if "configurator.py" in line and not line.lstrip().startswith("#")),
        len(lines),
    )
    return "".join("\n" if _STOCK_DTYPE.match(line) else line for line in lines[:end])


class _Values:
    """The value in force for each key, with its source: overrides over config over script over nanoGPT's defaults."""

    def __init__(self, have_config: bool) -> None:
        self.have_config = have_config
        self.read: dict[str, Known[Any]] = {}
        self.lost: dict[str, str] = {}
        self.problems: list[Problem] = []

    def add(self, config: ConfigText, problems: Iterable[Problem]) -> None:
        for item in config.assignments:
            self.put(item.key, item.value, item.source)
        for key, problem in config.lost:
            if key in _SANE:
                self.read.pop(key, None)
                how = problem.message.partition(" = ")[2] or problem.message
                self.lost[key] = f"{problem.source.place} sets it by {how}, which is never executed"
        self.problems += [p for p in problems if " = " not in p.message or p.message.partition(" = ")[0] in _SANE]

    def put(self, key: str, value: Any, source: Source) -> None:
        if key not in _SANE:
            return
        kind, low, high = _SANE[key]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        right = (
            isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
            if kind is not float
            else number
        )
        if right and (kind is str or kind is bool or low <= value <= high):
            self.lost.pop(key, None)
            self.read[key] = Known(float(value) if kind is float else value, source)
            return
        bounds = (
            f" from {low:,.0f} to {high:,.0f}" if kind is int else f" from {low:g} to {high:g}" if kind is float else ""
        )
        shown = reprlib.repr(value)
        self.read.pop(key, None)
        self.lost[key] = f"{source.place} says {key} = {shown}, which no run can have"
        self.problems.append(Problem("impossible_value", f"{key} = {shown}: expected {_KIND[kind]}{bounds}", source))

    def get(self, key: str) -> Quantity[Any]:
        if key in self.read:
            return self.read[key]
        if key in self.lost:
            return Unknown(self.lost[key])
        if not self.have_config:
            return Unknown("no config was given: add the train_*.py")
        return Known(
            _DEFAULTS[key],
            Source(
                "default", formula=f"default of nanoGPT's train.py ({key} = {_DEFAULTS[key]!r}), not set in the config"
            ),
        )


def assemble(
    name: str,
    *,
    configs: list[tuple[str, Path, str]],
    log: LogText | None,
    given: Given,
    roots: list[Path],
    sources: tuple[str, ...],
) -> Run:
    """Make a Run from what was found.

    Parameters
    ----------
    name : str
        What to call the run.
    configs : list of (file, path, text)
        Training scripts and config overrides, in any order.
    log : LogText, optional
        The log.
    given : Given
        What the user said.
    roots : list of Path
        Folders under which ``data/<dataset>/train.bin`` may lie.
    sources : tuple of str
        All files that were read.

    Raises
    ------
    BadConfig
        When a config is not valid Python.
    """
    comments: list[Comment] = []
    main: ConfigText | None = None
    scripts = [item for item in configs if is_training_script(item[2])]
    overrides = [item for item in configs if not is_training_script(item[2])]
    echoes = log.echoes if log is not None and not overrides else ()
    values = _Values(have_config=bool(configs or echoes))
    for file, path, text in scripts + overrides:
        script = is_training_script(text)
        config, problems = parse_config(_settings_of(text) if script else text, file, path=str(path))
        values.add(config, () if script else problems)
        if not script or not overrides:
            main = config
            comments.extend(config.comments if not script else ())
    for file, line, text in echoes:
        echoed = _parse_echo(text, f"{log.file}" if log else file, line)
        if echoed is not None:
            values.add(*echoed)
            main = main or echoed[0]
            comments.extend(echoed[0].comments)
    for key, text, source in log.overrides if log is not None else ():
        try:
            values.put(key, evaluate(ast.parse(text[:_MAX_OVERRIDE], mode="eval").body, {}), source)
        except (NotLiteral, SyntaxError, ValueError, RecursionError, MemoryError):
            if key in _SANE and _SANE[key][0] is str:
                values.put(key, text[:_MAX_OVERRIDE], source)
    architecture = _architecture(values, log)
    recipe = _recipe(values, architecture)
    return Run(
        name=name,
        dialect=DIALECT,
        sources=sources,
        recipe=recipe,
        machine=Machine(given.gpu, given.gpus),
        data=_data(values, given, roots),
        logged=_logged(log, given),
        series=log.series if log else (),
        comments=tuple(comments),
        notices=log.notices if log else (),
        problems=tuple(values.problems) + (log.problems if log else ()),
        config=main,
    )


def _parse_echo(text: str, file: str, line: int) -> tuple[ConfigText, tuple[Problem, ...]] | None:
    """Parse a config quoted in a log; other output may follow it, so the longest prefix that is Python counts."""
    lines = text.splitlines(keepends=True)
    for _attempt in range(8):
        try:
            return parse_config("".join(lines), file, first_line=line)
        except BadConfig as error:
            number = int((error.where or "").rpartition(":")[2] or line)
            if not 0 < number - line < len(lines):
                return None
            lines = lines[: number - line]
    return None


def _architecture(values: _Values, log: LogText | None) -> Architecture:
    shape = {key: values.get(key) for key in ("n_layer", "n_head", "n_embd")}
    bias, vocab = values.get("bias"), log.vocab_size if log is not None else Unknown("the log does not print it")
    init = values.get("init_from")
    if isinstance(init, Known) and init.value in _PRETRAINED:
        formula = f"nanoGPT from_pretrained({init.value!r})"
        for key, number in zip(shape, _PRETRAINED[init.value], strict=True):
            shape[key] = known(number, formula, init)
        bias, vocab = known(True, formula, init), known(50_257, formula, init)
    if isinstance(vocab, Unknown):
        vocab = _default_vocab(values)
    width = shape["n_embd"]
    return Architecture(
        family=Known("gpt2", Source("default", formula="nanoGPT's model.py is GPT-2")),
        n_layer=shape["n_layer"],
        n_head=shape["n_head"],
        n_kv_head=shape["n_head"],
        d_model=width,
        d_ff=known(4 * width.value, "4 · n_embd (nanoGPT model.py MLP)", width) if isinstance(width, Known) else width,
        vocab_size=vocab,
        context=values.get("block_size"),
        tied=Known(True, Source("default", formula="nanoGPT ties lm_head to wte")),
        bias=bias,
    )


def _default_vocab(values: _Values) -> Quantity[int]:
    if not values.have_config:
        return Unknown("no config was given: add the train_*.py")
    dataset = values.get("dataset")
    if isinstance(dataset, Known) and re.search(r"char", dataset.value):
        return Unknown(
            f"the dataset {dataset.value!r} is character-level: its vocabulary is in meta.pkl, which is never unpickled"
        )
    return Known(
        _DEFAULT_VOCAB,
        Source("default", formula="nanoGPT's train.py defaults to vocab_size 50304 when the dataset has no meta.pkl"),
    )


def _recipe(values: _Values, architecture: Architecture) -> Recipe:
    decay = values.get("decay_lr")
    schedule: Quantity[str] = (
        Known("cosine" if decay.value else "constant", decay.source) if isinstance(decay, Known) else decay
    )
    return Recipe(
        architecture=architecture,
        batch_size=values.get("batch_size"),
        gradient_accumulation_steps=values.get("gradient_accumulation_steps"),
        world_size=Unknown("a nanoGPT config does not say it: torchrun sets it"),
        optimizer=Known("adamw", Source("default", formula="nanoGPT's configure_optimizers uses AdamW")),
        learning_rate=values.get("learning_rate"),
        min_lr=values.get("min_lr"),
        warmup_steps=values.get("warmup_iters"),
        decay_steps=values.get("lr_decay_iters"),
        schedule=schedule,
        max_steps=_max_steps(values),
        weight_decay=values.get("weight_decay"),
        beta1=values.get("beta1"),
        beta2=values.get("beta2"),
        grad_clip=values.get("grad_clip"),
        dropout=values.get("dropout"),
        dtype=values.get("dtype"),
        compile=values.get("compile"),
        eval_interval=values.get("eval_interval"),
        eval_iters=values.get("eval_iters"),
        log_interval=values.get("log_interval"),
        dataset=values.get("dataset"),
        init_from=values.get("init_from"),
        run_name=values.get("wandb_run_name"),
    )


def _max_steps(values: _Values) -> Quantity[int]:
    only = values.get("eval_only")
    if isinstance(only, Known) and only.value:
        return Unknown(f"eval_only is set at {only.source.place}: nothing is trained")
    steps: Quantity[int] = values.get("max_iters")
    return steps


def _data(values: _Values, given: Given, roots: list[Path]) -> Data:
    dataset = values.get("dataset")
    found: dict[str, Quantity[int]] = {"train": given.train_tokens, "val": given.val_tokens}
    for split, quantity in found.items():
        if isinstance(quantity, Unknown) and isinstance(dataset, Known):
            counted = split_tokens(dataset.value, split, roots)
            found[split] = quantity if counted is None else counted
    return Data(found["train"], found["val"])


def _logged(log: LogText | None, given: Given) -> Logged:
    if log is None:
        none = Unknown("there is no log")
        return Logged(none, none, none, given.mfu_logged)
    return replace(log.logged, mfu_range=given.mfu_logged)
