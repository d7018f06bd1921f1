"""The command that started a run, as somebody kept it: in a ``run.sh``, a job script, or at the top of a text.

``torchrun … train.py --batch_size=32 --compile=False``, ``litgpt pretrain --train.max_steps 5``, ``accelerate launch
run_clm.py --per_device_train_batch_size 8``. The text is split into words as a shell would do it, variables of a script are
put in, and nothing is run. What a command says overrides the config beside it, as it does in the trainers. Commands of
Megatron and llm.c have readers of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import NotText
from ...run import Known, Problem, Quantity, Source, Unknown, known
from ..config_sheet import Sheet
from ..files import InputFile
from ..hf_keys import ARGUMENTS, VOCABULARY, arguments_noted, public_name
from ..launch import Launch, launch_of, slurm_variables
from ..loose_settings import base_name, settings_of
from ..nanogpt_keys import SANE, checked_key
from ..nanogpt_keys import VOCABULARY as NANOGPT
from ..patterns import lazy
from ..reading import FILE, Dialect, Reading
from ..shell import Command, read_script
from ..vocabulary import checked
from . import litgpt_config, torchtitan_config
from .megatron_args import is_megatron

__all__ = ["DIALECT", "command_reading"]

OVERRIDES = FILE + 1
"""A command line is read after the config that it names, and overrides it."""
_SCRIPTS = frozenset({".sh", ".bash", ".slurm", ".sbatch", ".sb", ".job", ".lsf", ".pbs"})
_TEXTS = frozenset({".txt", ".cmd", ".bat", ".ps1", ".command", ""})
_NAMED = lazy(r"(?:^|[_.-])(?:cmd|command|commands|run|launch|train)(?:[_.-]|$)", re.I)
_STARTS = (
    r"(?:(?:[A-Z][A-Z0-9_]{1,40}=\S{0,200}\s{1,4}){0,10}(?:nohup\s|sudo\s|exec\s|time\s|uv\srun\s|srun\s[^\n]{0,300}?|mpirun\s[^\n]{0,300}?)?"
    r"(?:python3?(?:\.\d{1,2})?|torchrun|accelerate\slaunch|deepspeed|litgpt|llamafactory-cli|composer|\.?/?\S{0,80}/bin/python3?)\s)"
)
_COMMAND = lazy(_STARTS)
_PROMPT = lazy(
    r"^\s{0,8}(?:\+{1,3} |[$#>%!] ?|>>> |PS [^>\n]{0,200}> ?|[A-Za-z]:\\[^>\n]{0,200}>|(?:\([\w.-]{1,40}\) ?)?[\w.-]{1,40}@[^$#\n]{1,200}[$#] )"
)
_WINDOWS = lazy(r"^\s{0,8}(?:PS )?[A-Za-z]:\\[^>\n]{0,200}>")
_TRAINING_FLAG = lazy(
    r"--(?:per_device_train_batch_size|per_gpu_train_batch_size|learning[_-]rate|num_train_epochs|batch[_-]size|micro[_-]batch[_-]size"
    r"|device[_-]batch[_-]size|max[_-](?:iters|steps)|num[_-](?:iterations|epochs|steps)|train[._-](?:steps|iters|max_\w{1,20}|\w{1,8}_batch_size)|n[_-](?:layer|embd|head)|block[_-]size"
    r"|gradient_accumulation_steps|lr|warmup[_-](?:steps|ratio|iters)|weight[_-]decay|training\.\w{1,40}|optimizer\.\w{1,40}|model_name_or_path|epochs|depth|seq[_-]len(?:gth)?)(?=[=\s\\]|$)",
    re.MULTILINE,
)
_PROGRAMS = lazy(r"\b(?:python3?|torchrun|accelerate|deepspeed|litgpt|llamafactory-cli|composer|srun|mpirun)\b")
_OTHER = lazy(
    r"^train_gpt2|eval|infer|generat|preproc|convert|download|export|tokeniz|benchmark|(?:^|[_.-])(?:test|plot|serve|prepare)(?:[_.-]|$)",
    re.I,
)
"""Programs that train nothing, and llm.c's, whose commands have a reader of their own."""
_CACHED = lazy(r"models--([\w.-]{1,96}?)--([\w.-]{1,96})")
_MAX_BYTES = 128 * 1024
_HEAD_LINES = 200
_FEW_FLAGS = 2
_MAX_COMMANDS = 20
_HF_SURE = frozenset(
    {"per_device_train_batch_size", "per_gpu_train_batch_size", "num_train_epochs", "output_dir", "lr_scheduler_type"}
)
_HF_NAMES = {
    "recipe.init_from": ("model_name_or_path", "model_id", "base_model"),
    "recipe.dataset": ("dataset_name", "dataset"),
}
_OVERRIDE_NAMES = {
    "n_layer": "architecture.n_layer",
    "num_hidden_layers": "architecture.n_layer",
    "n_head": "architecture.n_head",
    "num_attention_heads": "architecture.n_head",
    "n_embd": "architecture.d_model",
    "hidden_size": "architecture.d_model",
    "n_inner": "architecture.d_ff",
    "intermediate_size": "architecture.d_ff",
    "num_key_value_heads": "architecture.n_kv_head",
    "vocab_size": "architecture.vocab_size",
}
_NANOGPT_ENOUGH = 2
_PRETRAIN = ("pretrain",)
_TUNE = ("finetune", "finetune_lora", "finetune_full", "finetune_adapter", "finetune_adapter_v2", "lora", "full")


def command_reading(launch: Launch, file: str) -> Reading | None:
    """Return what a command says, in the terms of the trainer that it starts; None when it says nothing of a training."""
    for matches, read in _TRAINERS:
        if matches(launch):
            return read(launch, file)
    return _generic(launch, file)


# ---- the Hugging Face trainer


def _is_hf(launch: Launch) -> bool:
    flags = launch.normalised().keys()
    return len(flags & ARGUMENTS) >= 3 and bool(flags & _HF_SURE)


def _hf(launch: Launch, file: str) -> Reading:
    flags = launch.normalised()
    raw: dict[str, Quantity[Any]] = {}
    for name in ARGUMENTS:
        if name in flags and name not in ("output_dir", "dataset", "model_name_or_path", "local_rank"):
            raw[name] = flags[name]
    if isinstance(launch.ranks, Known):
        raw["world_size"] = launch.ranks
    settings: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []

    def put(key: str, quantity: Quantity[Any]) -> None:
        settings[key] = quantity
        if isinstance(quantity, Known):
            settings[key], problem = checked(key, quantity)
            if problem is not None:
                problems.append(problem)

    for key, names in _HF_NAMES.items():
        one = next((q for n in names if isinstance(q := flags.get(n), Known) and public_name(q.value)), None)
        if one is not None:
            put(key, one)
    block = flags.get("block_size")
    if block is not None and "run_clm" in launch.program:
        put("architecture.context", block)
    _overrides(flags, put)
    noted = arguments_noted({k: q for k, q in raw.items() if isinstance(q, Known)})
    return Reading(
        DIALECT.name,
        file,
        "config",
        settings=settings,
        raw=raw,
        vocabulary=VOCABULARY,
        problems=tuple(problems),
        noted=noted,
        authority=OVERRIDES,
    )


def _overrides(flags: Mapping[str, Quantity[Any]], put: Callable[[str, Quantity[Any]], None]) -> None:
    """Take ``--model_type gpt2 --config_overrides n_layer=6,n_embd=384`` of run_clm.py."""
    kind, changes = flags.get("model_type"), flags.get("config_overrides")
    if isinstance(kind, Known) and isinstance(kind.value, str) and "model_name_or_path" not in flags:
        put("architecture.family", kind)
    if not isinstance(changes, Known) or not isinstance(changes.value, str):
        return
    for part in changes.value.split(",")[:40]:
        name, _, value = part.strip().partition("=")
        if name in _OVERRIDE_NAMES and value.isascii() and value.isdigit() and len(value) < 12:
            put(_OVERRIDE_NAMES[name], Known(int(value), changes.source))


# ---- litgpt, torchtitan, nanoGPT


def _is_litgpt(launch: Launch) -> bool:
    verbs = {word.text for word in launch.words[:2]}
    known_verb = bool(verbs & {*_PRETRAIN, *_TUNE})
    return (launch.program in ("litgpt", "litgpt.__main__") and known_verb) or any(
        f.startswith("train.") for f in launch.flags
    )


def _litgpt(launch: Launch, file: str) -> Reading:
    values = dict(launch.flags)
    plain = [word for word in launch.words if word.text not in (*_PRETRAIN, *_TUNE)]
    tunes = any(word.text in _TUNE for word in launch.words[:2]) or "checkpoint_dir" in values
    name = "checkpoint_dir" if tunes else "model_name"
    if plain and launch.program.startswith("litgpt") and name not in values:
        values[name] = Known(plain[0].text, Source("read", file, plain[0].line, base_name(plain[0].text)[:80]))
    sheet = Sheet(values, "litgpt", "litgpt")
    litgpt_config.put_settings(sheet, defaults="config" not in values and launch.program.startswith("litgpt"))
    return sheet.reading(DIALECT.name, file, authority=OVERRIDES)


def _is_torchtitan(launch: Launch) -> bool:
    tables = {name.partition(".")[0] for name in launch.flags if "." in name}
    return (
        launch.program.startswith("torchtitan")
        or len(tables & {"training", "parallelism", "lr_scheduler", "metrics", "job"}) >= 2
    )


def _torchtitan(launch: Launch, file: str) -> Reading:
    values = dict(launch.flags)
    module, config = values.get("module"), values.get("config")
    if isinstance(module, Known) and isinstance(module.value, str):
        values.setdefault("model.name", module)
        size = str(config.value).removeprefix(f"{module.value}_") if isinstance(config, Known) else ""
        if isinstance(config, Known) and re.fullmatch(r"\d{1,4}(?:\.\d)?[bm]", size):
            values.setdefault("model.flavor", known(size.upper(), "the config's name", config))
    sheet = Sheet(values, "torchtitan", "torchtitan")
    named = {"job.config_file", "job.config-file", "config", "module"} & values.keys()
    torchtitan_config.put_settings(sheet, defaults=not named and launch.program.startswith("torchtitan"))
    if isinstance(launch.ranks, Known) and "recipe.world_size" not in sheet.found:
        sheet.put("recipe.world_size", launch.ranks)
        sheet.put("machine.gpu_count", launch.ranks)
    return sheet.reading(DIALECT.name, file, authority=OVERRIDES)


def _is_nanogpt(launch: Launch) -> bool:
    flags = launch.flags.keys()
    names = len(flags & SANE.keys()) >= _NANOGPT_ENOUGH or any("config/" in word.text for word in launch.words[:1])
    return launch.program == "train.py" and names and len(flags - SANE.keys()) <= len(flags & SANE.keys())


def _nanogpt(launch: Launch, file: str) -> Reading:
    raw: dict[str, Quantity[Any]] = {}
    problems: list[Problem] = []
    for name, one in launch.flags.items():
        if name not in SANE:
            continue
        raw[name] = one
        if isinstance(one, Known):
            raw[name], problem = checked_key(name, one.value, one.source)
            if problem is not None:
                problems.append(problem)
    settings: dict[str, Quantity[Any]] = {}
    if isinstance(launch.ranks, Known):
        settings["recipe.world_size"] = settings["machine.gpu_count"] = launch.ranks
    config = next((w for w in launch.words if w.text.endswith(".py")), None)
    noted = {}
    if config is not None:
        name = base_name(config.text).rpartition("/")[2][:80]
        noted["nanogpt.config"] = Known(name, Source("read", file, config.line, name))
    return Reading(
        DIALECT.name,
        file,
        "config",
        settings=settings,
        raw=raw,
        vocabulary=NANOGPT if raw else "",
        problems=tuple(problems),
        noted=noted,
        authority=OVERRIDES,
    )


def _generic(launch: Launch, file: str) -> Reading | None:
    """Return what a command of no known trainer says under names that mean the same everywhere."""
    flags = {name: one for name, one in launch.flags.items() if isinstance(one, Known)}
    settings, problems, noted = settings_of(flags, "command")
    found = dict(settings)
    one = next((flags[n] for n in ("model_name_or_path", "model_path", "base_model", "model") if n in flags), None)
    if one is flags.get("model") and one is not None and "/" not in str(one.value):
        one = None  # `--model gpt` names a kind, not what was started from
    if one is not None and isinstance(one.value, str) and "recipe.init_from" not in found:
        cached = _CACHED.search(one.value)
        name = f"{cached[1]}/{cached[2]}" if cached else base_name(one.value.replace("\\", "/").rstrip("/"))
        if re.fullmatch(r"[\w][\w./-]{0,100}", name):
            found["recipe.init_from"] = Known(name, one.source)
    batch = flags.get("batch_size", flags.get("batch-size"))
    if (
        batch is not None
        and launch.ranks is not None
        and not (isinstance(launch.ranks, Known) and launch.ranks.value == 1)
    ):
        why = f"{batch.source.place} says {str(batch.value)[:20]}; whether of each process or of all, the command does not say"
        found["recipe.batch_size"] = Unknown(why)
    if isinstance(launch.ranks, Known) and "recipe.world_size" not in found:
        found["recipe.world_size"] = found["machine.gpu_count"] = launch.ranks
    if not found and not noted:
        return None
    return Reading(DIALECT.name, file, "config", settings=found, problems=problems, noted=noted, authority=OVERRIDES)


_TRAINERS: tuple[tuple[Callable[[Launch], bool], Callable[[Launch, str], Reading]], ...] = (
    (_is_torchtitan, _torchtitan),
    (_is_litgpt, _litgpt),
    (_is_hf, _hf),
    (_is_nanogpt, _nanogpt),
)


# ---- files


def _kept_commands(text: str, first_line: int = 1) -> list[tuple[str, int]]:
    """Return the commands that stand in a text with their first line: those that begin a line or follow a prompt."""
    lines = text.split("\n")[:_HEAD_LINES]
    found: list[tuple[str, int]] = []
    index = 0
    while index < len(lines) and len(found) < _MAX_COMMANDS:
        line = lines[index].rstrip("\r")
        prompt = _PROMPT.match(line)
        rest = line[prompt.end() :] if prompt is not None else line
        if _COMMAND.match(rest.lstrip()) is None or len(rest) > 20_000:
            index += 1
            continue
        start = index
        block = [rest.lstrip()]
        while block[-1].rstrip().endswith("\\") and index + 1 < len(lines):
            index += 1
            block.append(lines[index].rstrip("\r"))
        whole = "\n".join(block)
        found.append((whole.replace("\\", "/") if _WINDOWS.match(line) else whole, start + first_line))
        index += 1
    return found


def _launches(text: str, file: InputFile) -> tuple[list[Launch], dict[str, Known[Any]]]:
    commands: list[Command] = []
    machine: dict[str, Known[Any]] = {}
    if file.suffix in _SCRIPTS or text.startswith("#!"):
        variables, machine = slurm_variables(text, file.name)
        commands = read_script(text, given=variables).commands
    else:
        for kept, line in _kept_commands(text):
            commands += read_script(kept, first_line=line).commands[:1]
    found: list[Launch] = []
    for command in commands:
        launch = launch_of(command, file.name) if command.words[0].text not in ("echo", "printf") else None
        if launch is None or (not launch.flags and not launch.words):
            continue
        if is_megatron(launch.normalised()) or _OTHER.search(launch.program):
            continue
        found.append(launch)
    return found, machine


def _sniff(file: InputFile) -> float:
    if file.is_binary or file.is_notebook or file.size > _MAX_BYTES:
        return 0.0
    text = file.sample
    script = file.suffix in _SCRIPTS or (file.suffix == "" and text.startswith("#!"))
    if not script and (file.suffix not in _TEXTS or (file.suffix == "" and not _NAMED.search(file.base))):
        return 0.0
    if script and not (_PROGRAMS.search(text) and _TRAINING_FLAG.search(text)):
        return 0.0
    if not script and not _kept_commands(text):
        return 0.0
    launches, _machine = _launches(text, file)
    if any(_is_nanogpt(launch) and launch.words for launch in launches):
        return 0.85
    told = max((len(launch.flags.keys() & _told(launch)) for launch in launches), default=0)
    if told >= _FEW_FLAGS:
        return 0.6 if script else 0.55
    named = _NAMED.search(file.base.rpartition(".")[0] or file.base) is not None
    return 0.51 if launches and named and not script else 0.3 if told else 0.0


def _told(launch: Launch) -> set[str]:
    """Return which of a command's flags speak of training."""
    return {n for n, one in launch.flags.items() if isinstance(one, Known) and _TRAINING_FLAG.fullmatch("--" + n)}


def _read(file: InputFile) -> Iterable[Reading]:
    text = file.text(_MAX_BYTES)
    launches, machine = _launches(text, file)
    readings: list[Reading] = []
    for launch in launches:
        reading = command_reading(launch, file.name)
        if reading is None or (readings and _same(readings[-1], reading)):
            continue
        extra = {f"machine.{n}": checked(f"machine.{n}", q)[0] for n, q in machine.items()}
        readings.append(replace(reading, settings={**extra, **reading.settings}))
    trained = [r for r in readings if len(r.settings) + len(r.raw) >= _FEW_FLAGS] or readings
    if not trained:
        raise NotText(
            "no command that starts a training is in it",
            where=file.name,
            expected="`torchrun --nproc_per_node 8 train.py --batch_size=32`",
            hint="give the command that training was started with",
        )
    kept = trained[:_MAX_COMMANDS]
    return tuple(replace(r, label=str(i)) for i, r in enumerate(kept, 1)) if len(kept) > 1 else tuple(kept)


def _same(one: Reading, two: Reading) -> bool:
    def plain(reading: Reading) -> dict[str, Any]:
        merged: dict[str, Any] = {**reading.settings, **reading.raw}
        return {k: q.value for k, q in merged.items() if isinstance(q, Known)}

    return plain(one) == plain(two)


DIALECT = Dialect(
    name="command_line",
    title="the command that started a run",
    role="config",
    example="torchrun --nproc_per_node 8 train.py config/train_gpt2.py --batch_size=32 --compile=False",
    reads="the arguments of the command in the terms of the trainer that it starts: nanoGPT, litgpt, torchtitan, scripts of the"
    " Hugging Face trainer (`run_clm.py` and its kind), and names that mean the same everywhere for others; the number of"
    " processes from torchrun, accelerate, DeepSpeed or MPI; cards and nodes from `#SBATCH` lines. Variables of a script are"
    " put in. What it says overrides the config beside it",
    cannot="what comes from the environment, from the script's own arguments or from a command's output, and everything that"
    " the command leaves to its config or to the trainer's defaults",
    source="karpathy/nanoGPT configurator.py at 3adf61e; litgpt at 2685705; torchtitan config_manager.py; transformers"
    " training_args.py and examples/pytorch/language-modeling/run_clm.py; torch.distributed.run",
    sniff=_sniff,
    read=_read,
    missing="the command does not say",
)
