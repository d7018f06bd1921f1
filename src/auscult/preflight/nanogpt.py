"""nanoGPT's configs as recipes: what ``train.py`` would train with them, setting by setting. Parsed, never run.

Where the trainer differs from karpathy/nanoGPT 3adf61e although the recipe is the same:

- the data: nanoGPT draws every sequence at a random place, with replacement; we pass the data once before any of it returns;
- evaluations: nanoGPT draws other batches each time; ours are always the same, and as many tokens;
- the last step: nanoGPT takes ``max_iters + 1`` steps, of which the last is neither evaluated nor saved; we take ``max_iters``;
- the random numbers: the same seed begins another sequence, so that curves agree within noise and not in every digit.
"""

from __future__ import annotations

import pickletools  # takes a pickle's program apart; runs nothing of it
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from ..errors import BadConfig
from ..readers.dialects.nanogpt_config import is_training_script
from ..readers.nanogpt_keys import DEFAULT_VOCAB, DEFAULTS, SANE, checked_key
from ..readers.python_config import parse_config
from ..run import Assignment, ConfigText, Problem, Source, Unknown

__all__ = ["NAMES", "meta_vocabulary", "read_nanogpt"]

_OTHER: Mapping[str, tuple[type, Any]] = {
    "out_dir": (str, "out"),
    "device": (str, "cuda"),
    "wandb_log": (bool, False),
    "wandb_project": (str, "owt"),
}
"""Settings of ``train.py`` that the readers of logs do not need, and their defaults."""
_IGNORED = frozenset({"wandb_run_name", "backend", "always_save_checkpoint"})
_HARMLESS = ("an import", "a call of print(", "a FunctionDef", "a ClassDef")
_SAME = {
    "n_layer": "model.n_layer",
    "n_head": "model.n_head",
    "n_embd": "model.d_model",
    "block_size": "model.context",
    "bias": "model.bias",
    "dropout": "model.dropout",
    "batch_size": "batch.micro_batch",
    "learning_rate": "optimizer.learning_rate",
    "beta1": "optimizer.beta1",
    "beta2": "optimizer.beta2",
    "weight_decay": "optimizer.weight_decay",
    "grad_clip": "optimizer.grad_clip",
    "max_iters": "schedule.steps",
    "compile": "machine.compile",
    "eval_interval": "evaluation.every_steps",
    "log_interval": "log.every_steps",
}
_PLACES = {
    **_SAME,
    "gradient_accumulation_steps": "batch.tokens_per_step",
    "warmup_iters": "schedule.warmup_steps",
    "lr_decay_iters": "schedule.decay_steps",
    "min_lr": "schedule.min_learning_rate",
    "decay_lr": "schedule.kind",
    "eval_iters": "evaluation.tokens",
    "dataset": "data.path",
    "out_dir": "name",
    "dtype": "machine.dtype",
}
NAMES: Mapping[str, str] = {ours: theirs for theirs, ours in _PLACES.items()}
"""Settings of a recipe to nanoGPT's names, for messages."""
_ALWAYS = {
    "model.family": "gpt2",
    "model.activation": "gelu",  # nn.GELU(), the exact one; OpenAI's GPT-2 has the tanh approximation
    "optimizer.name": "adamw",
    "optimizer.eps": 1e-8,
    "seed": 1337,
}
_MAX_META_BYTES = 4 * 2**20
_MAX_VOCABULARY = 10**8


class _Config:
    """The value in force for each of ``train.py``'s settings, and where it stands."""

    def __init__(self, config: ConfigText) -> None:
        self._config = config
        self.found: dict[str, Any] = {}
        for item in config.assignments:
            if item.key in SANE or item.key in _OTHER:
                self.found[item.key] = self._checked(item)

    def _checked(self, item: Assignment) -> Any:
        if item.key in SANE:
            quantity, problem = checked_key(item.key, item.value, item.source)
            if isinstance(quantity, Unknown):
                what = problem.message if problem is not None else quantity.reason
                raise BadConfig(what, where=item.source.place)
            return quantity.value
        kind, _default = _OTHER[item.key]
        if not isinstance(item.value, kind):
            words = "True or False" if kind is bool else "a string"
            raise BadConfig(f"{item.key} is not that", where=item.source.place, expected=words, found=repr(item.value))
        return item.value

    def get(self, key: str) -> Any:
        return self.found.get(key, _OTHER[key][1] if key in _OTHER else DEFAULTS[key])

    def place(self, key: str) -> str:
        item = self._config.get(key)
        return item.source.place if item is not None else self._config.file

    def refuse(self, key: str, what: str, hint: str) -> BadConfig:
        return BadConfig(what, where=self.place(key), hint=hint)


def read_nanogpt(text: str, path: Path) -> tuple[dict[str, Any], dict[str, Source]]:
    """Return the values of a recipe under ``table.key``, and where the config sets them.

    Raises
    ------
    BadConfig
        When the config is not Python, sets something by other means than literals, or asks for what the trainer has not.
    """
    file = str(path)
    if is_training_script(text):
        raise BadConfig(
            "that is a train.py, whose program is never run",
            where=file,
            hint="name a config of overrides such as config/train_gpt2.py, or write its values into a recipe.toml",
        )
    config, problems = parse_config(text, file)
    _refuse_code(config, problems)
    known = _Config(config)
    _refuse_what_differs(known)
    data = _data_folder(path, known.get("dataset"))
    values: dict[str, Any] = {ours: known.get(theirs) for theirs, ours in _SAME.items()}
    values |= _ALWAYS
    values["model.vocab_size"] = _vocabulary(data, known)
    values["data.path"] = str(data)
    sequences = known.get("batch_size") * known.get("gradient_accumulation_steps")  # as written: summed over all ranks
    values["batch.tokens_per_step"] = sequences * known.get("block_size")
    values["evaluation.tokens"] = known.get("eval_iters") * known.get("batch_size") * known.get("block_size")
    values["checkpoint.every_steps"] = known.get("eval_interval")
    values |= _schedule(known) | _machine(known)
    if known.get("wandb_log"):
        values["log.wandb"] = known.get("wandb_project")
    if "out_dir" in known.found and (name := PurePath(known.get("out_dir")).name):
        values["name"] = name
    places = {_PLACES[item.key]: item.source for item in config.assignments if item.key in _PLACES}
    return values, places


def _refuse_code(config: ConfigText, problems: tuple[Problem, ...]) -> None:
    """Refuse what may set a value by running: nothing runs here, so the value would silently be another."""
    lost = dict(config.lost)
    wanted = next((key for key in lost if key == "*" or key in SANE.keys() - _IGNORED or key in _OTHER), None)
    problem = lost[wanted] if wanted is not None else next((p for p in problems if not _is_harmless(p)), None)
    if problem is not None:
        raise BadConfig(
            f"the config is parsed and never run, and this line is more than `key = value`: {problem.message}",
            where=problem.source.place,
            expected="literals and arithmetic such as `max_iters = 5 * 1000`",
            hint="write the value itself",
        )


def _is_harmless(problem: Problem) -> bool:
    return problem.message.startswith(_HARMLESS) or " = " in problem.message


def _refuse_what_differs(known: _Config) -> None:
    init = known.get("init_from")
    if init == "resume":
        raise known.refuse(
            "init_from", "init_from = 'resume' takes up a checkpoint of nanoGPT, a pickle, which is never opened",
            "set 'scratch'; a run of auscult train is taken up again by starting the same recipe again",
        )  # fmt: skip
    if init != "scratch":
        raise known.refuse(
            "init_from", f"init_from = {init!r}: no weights are fetched from a network",
            "write a recipe.toml with weights = \"model.safetensors\" under [model], and that file from Hugging Face beside it",
        )  # fmt: skip
    if known.get("eval_only"):
        raise known.refuse("eval_only", "eval_only = True: nothing would be trained", "leave it out")
    if known.get("dtype") not in ("bfloat16", "float32"):
        raise known.refuse(
            "dtype", f"dtype = {known.get('dtype')!r} needs a loss scaler, which the trainer has not",
            "set 'bfloat16', or 'float32'",
        )  # fmt: skip
    if known.get("device") != "cpu" and not known.get("device").startswith("cuda"):
        raise known.refuse("device", f"device = {known.get('device')!r} is not supported", "set 'cuda' or 'cpu'")


def _schedule(known: _Config) -> dict[str, Any]:
    if not known.get("decay_lr"):  # train.py then takes learning_rate from the first step on, without a warm-up
        return {"schedule.kind": "constant", "schedule.warmup_steps": 0}
    return {
        "schedule.kind": "cosine",
        "schedule.warmup_steps": known.get("warmup_iters"),
        "schedule.decay_steps": known.get("lr_decay_iters"),
        "schedule.min_learning_rate": known.get("min_lr"),
    }


def _machine(known: _Config) -> dict[str, Any]:
    # train.py's own default dtype asks the card: bfloat16 where it has it, float16 otherwise, for which auto has float32
    found = {"machine.dtype": known.get("dtype") if "dtype" in known.found else "auto"}
    if "device" in known.found:
        found["machine.device"] = known.get("device").partition(":")[0]
    return found


def _data_folder(path: Path, dataset: str) -> Path:
    """Return ``data/<dataset>`` of the folder in which train.py lies: the config's, or the one that holds ``config/``."""
    homes = (path.parent / "data" / dataset, path.absolute().parent.parent / "data" / dataset)
    first = 1 if path.absolute().parent.name == "config" else 0
    return next((home for home in homes if (home / "train.bin").is_file()), homes[first])


def _vocabulary(data: Path, known: _Config) -> int:
    meta = data / "meta.pkl"
    if not meta.is_file():
        return DEFAULT_VOCAB
    found = meta_vocabulary(meta)
    if found is None:
        raise known.refuse(
            "dataset", f"{meta} does not say its vocab_size as nanoGPT's prepare.py writes it, and is never unpickled",
            "write a recipe.toml with vocab_size under [model]",
        )  # fmt: skip
    return found


def meta_vocabulary(path: Path) -> int | None:
    """Return the ``vocab_size`` that nanoGPT's ``prepare.py`` wrote into a ``meta.pkl``; None where it is not plain to see.

    The file is disassembled, which runs nothing of it: the whole number that follows the word in the pickle's own program.
    """
    with path.open("rb") as stream:
        data = stream.read(_MAX_META_BYTES)
    follows = False
    argument: Any
    try:
        for opcode, argument, _position in pickletools.genops(data):
            if opcode.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
                continue
            if follows:
                whole = isinstance(argument, int) and opcode.name.startswith(("BININT", "INT"))
                return int(argument) if whole and 1 < int(argument) < _MAX_VOCABULARY else None
            follows = argument == "vocab_size" and "UNICODE" in opcode.name
    except Exception:  # a stranger's bytes: pickletools raises whatever comes up
        return None
    return None
