"""``wandb-metadata.json``: the machine and the command. Who ran it and where it lies stand there too, and are never read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import NotText
from ...run import Known, Source
from ..files import MAX_CONFIG_BYTES, InputFile
from ..nanogpt_keys import SANE
from ..patterns import lazy
from ..reading import TRACKER, Dialect, Reading
from ..wandb_folder import Said, cards, configured, json_line, nanogpt_said, place_of, placed, shown

__all__ = ["DIALECT"]

_NAME = "wandb-metadata.json"
_ARGUMENTS_AUTHORITY = TRACKER - 2
"""The command line asked for it; what the script logged is what it used."""
_MAX_ARGUMENTS = 500
_MAX_ARGUMENT = 300
_OPTION = lazy(r"--?([A-Za-z_][\w.-]{0,100})(?:=(.*))?", re.DOTALL)
_CONFIG_FILE = lazy(r"(?:[\w-][\w.-]{0,60}/){0,6}([\w-][\w.-]{0,100}\.(?:py|ya?ml|json|toml))")
_VERSION = lazy(r"(?:CPython |PyPy )?\d{1,3}(?:\.\d{1,4}){0,3}")
_NANOGPT_SWITCHES = frozenset({"wandb_log", "wandb_project", "out_dir", "always_save_checkpoint", "device", "backend"})
_SEVERAL = lazy(r"\d{1,6}")


def _options(arguments: Any) -> tuple[dict[str, Any], bool]:
    """Return the options of a command, and whether all are written ``--name=value``."""
    found: dict[str, Any] = {}
    joined = True
    if not isinstance(arguments, list):
        return {}, False
    words = [word for word in arguments[:_MAX_ARGUMENTS] if isinstance(word, str)]
    for word, following in zip(words, [*words, ""][1:], strict=True):
        option = _OPTION.fullmatch(word[:_MAX_ARGUMENT])
        if option is None:
            continue
        name, text = option[1].replace("-", "_"), option[2]
        if text is None:
            joined = False
            text = "True" if not following or _OPTION.fullmatch(following) else following[:_MAX_ARGUMENT]
        found[name] = _value(text)
    return found, joined


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, int | float | bool | str) else text


def _command(document: Mapping[str, Any], file: str, text: str) -> tuple[Said, dict[str, Known[Any]]]:
    """Return what the command asked for, and the config file that it names."""
    line = json_line(text, "args")
    options, joined = _options(document.get("args"))
    values = {name: Known(value, Source("read", file, line, shown(name, value))) for name, value in options.items()}
    noted: dict[str, Known[Any]] = {}
    arguments = document.get("args")
    for word in arguments[:_MAX_ARGUMENTS] if isinstance(arguments, list) else []:
        named = _CONFIG_FILE.fullmatch(word) if isinstance(word, str) and len(word) < _MAX_ARGUMENT else None
        if named is not None:
            noted["wandb.config_file"] = Known(named[1], Source("read", file, line, shown("config", named[1])))
            break
    program = document.get("program") or document.get("codePath")
    own_script = isinstance(program, str) and re.split(r"[/\\]", program)[-1].startswith("train")
    if joined and options and own_script and options.keys() <= SANE.keys() | _NANOGPT_SWITCHES:
        return nanogpt_said(values), noted
    return configured(values, file, _ARGUMENTS_AUTHORITY), noted


def _several_nodes(document: Mapping[str, Any]) -> bool:
    slurm = document.get("slurm")
    if not isinstance(slurm, dict):
        return False
    counts = [str(slurm.get(name, "")) for name in ("job_num_nodes", "nnodes")]
    return any(_SEVERAL.fullmatch(text) and int(text) > 1 for text in counts)


def _read(file: InputFile) -> Iterable[Reading]:
    document = file.json(MAX_CONFIG_BYTES)
    if not isinstance(document, dict):
        raise NotText("no metadata of W&B", where=file.name, expected='{"gpu": "NVIDIA A40", "gpu_count": 4, …}')
    text = file.text(MAX_CONFIG_BYTES)
    names = [document.get("gpu")]
    for listed in (document.get("gpu_nvidia"), document.get("gpu_devices"), document.get("gpu_amd")):
        if isinstance(listed, list):
            names += [each.get("name") for each in listed[:4096] if isinstance(each, dict)]
    tpu = document.get("tpu")
    names += [tpu.get("name")] if isinstance(tpu, dict) else []
    source = Source("read", file.name, json_line(text, "gpu") or json_line(text, "gpu_nvidia"))
    machine = cards(names, document.get("gpu_count"), source, several_nodes=_several_nodes(document))
    command, noted = _command(document, file.name, text)
    noted.update(machine.noted)
    noted.update(_more(document, file.name, text))
    part = Reading(DIALECT.name, file.name, "config", authority=_ARGUMENTS_AUTHORITY, **command.fields())
    reading = Reading(
        DIALECT.name,
        file.name,
        "summary",
        settings=machine.settings,
        noted=noted,
        authority=TRACKER,
        parts=(part,) if command else (),
    )
    if not (reading.settings or reading.noted or reading.parts):
        return ()
    return (placed(reading, place_of(file)),)


def _more(document: Mapping[str, Any], file: str, text: str) -> dict[str, Known[Any]]:
    """Return a few figures more: Python's version, processors, and the cards that Slurm gave the job."""
    noted: dict[str, Known[Any]] = {}
    slurm = document.get("slurm")
    given = slurm.get("gpus_on_node") if isinstance(slurm, dict) else None
    figures = {
        "wandb.python": document.get("python"),
        "wandb.cpu_count": document.get("cpu_count"),
        "wandb.slurm_gpus_on_node": int(given) if isinstance(given, str) and _SEVERAL.fullmatch(given) else given,
    }
    for name, value in figures.items():
        if (isinstance(value, str) and _VERSION.fullmatch(value)) or (type(value) is int and 0 < value < 10**6):
            line = json_line(text, name.removeprefix("wandb.").removeprefix("slurm_"))
            noted[name] = Known(value, Source("read", file, line, shown(name, value)))
    return noted


def _sniff(file: InputFile) -> float:
    if file.base != _NAME or file.is_binary:
        return 0.0
    return 0.95 if file.sample.lstrip().startswith("{") else 0.3


DIALECT = Dialect(
    name="wandb_metadata",
    title="W&B wandb-metadata.json",
    role="summary",
    example='{"python": "3.10.12", "args": ["config/train_gpt2.py", "--max_iters=7000"], "gpu": "NVIDIA A40", "gpu_count": 4}',
    reads="the cards' name; their number where there is but one (it counts the machine's cards, and a run may use fewer); the"
    " options of the command where they are a trainer's, and the config file that it names; how many cards Slurm gave",
    cannot="how many of several cards were used, which torchrun decides; the user, host, e-mail address, paths and repository"
    " stand in the file and are never taken",
    source="files of wandb 0.12 to 0.23; wandb_internal.proto, EnvironmentRecord",
    sniff=_sniff,
    read=_read,
    missing="wandb-metadata.json speaks of the machine only: add the run's folder",
)
