"""Made-up W&B folders: a run of known numbers in the layout and in the files that wandb writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from auscult.readers.files import InputFile, open_path
from auscult.readers.reading import Dialect, Reading
from auscult.run import Known
from readers.formats import wandb_files as wf

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[2] / "shared" / "corpus"))
PRIVATE = {
    "email": "jane.doe@example.org",
    "username": "jdoe-account",
    "host": "secret-host-17",
    "root": "/home/jdoe-account/projects/thing",
    "program": "/home/jdoe-account/projects/thing/train.py",
}
NANOGPT: Mapping[str, Any] = {
    "out_dir": "/home/jdoe-account/out",
    "eval_interval": 50,
    "log_interval": 10,
    "eval_iters": 20,
    "eval_only": False,
    "always_save_checkpoint": True,
    "init_from": "scratch",
    "wandb_log": True,
    "wandb_project": "thing",
    "wandb_run_name": "small",
    "dataset": "fables",
    "gradient_accumulation_steps": 8,
    "batch_size": 4,
    "block_size": 64,
    "n_layer": 3,
    "n_head": 2,
    "n_embd": 32,
    "dropout": 0.1,
    "bias": False,
    "learning_rate": 0.002,
    "max_iters": 500,
    "weight_decay": 0.1,
    "beta1": 0.9,
    "beta2": 0.97,
    "grad_clip": 1.0,
    "decay_lr": True,
    "warmup_iters": 20,
    "lr_decay_iters": 500,
    "min_lr": 0.0002,
    "backend": "nccl",
    "device": "cuda",
    "dtype": "bfloat16",
    "compile": True,
}


def nanogpt_rows(steps: Sequence[int]) -> list[dict[str, float]]:
    """What nanoGPT logs at its evaluations; its MFU is -100 at the first."""
    return [
        {
            "iter": step,
            "train/loss": 5.0 - step / 200,
            "val/loss": 5.125 - step / 200,
            "lr": 0.002,
            "mfu": -100.0 if step == 0 else 25.0,
        }
        for step in steps
    ]


def nanogpt_console(last: int, *, every: int = 10, evaluate: int = 50) -> str:
    """What nanoGPT prints up to and with an iteration."""
    lines = []
    for step in range(0, last + 1, every):
        if step % evaluate == 0:
            lines.append(f"step {step}: train loss {5.0 - step / 200:.4f}, val loss {5.125 - step / 200:.4f}")
        mfu = -100.0 if step == 0 else 25.0
        lines.append(f"iter {step}: loss {5.01 - step / 200:.4f}, time 120.00ms, mfu {mfu:.2f}%")
    return "\n".join(lines) + "\n"


def binary(
    rows: Sequence[Mapping[str, object]] = (),
    config: Mapping[str, object] | None = None,
    *,
    run_id: str = "ab12cd34",
    console: str = "",
    closed: bool = True,
    first_step: int = 0,
    steps: Sequence[int] | None = None,
    gpu: str = "NVIDIA L4",
    gpus: int = 2,
) -> bytes:
    """A ``.wandb`` file, with private strings where wandb writes them."""
    records = [
        wf.run(run_id, config or {}, host=PRIVATE["host"], entity=PRIVATE["username"]),
        wf.environment(gpu, gpus, 16, **PRIVATE),
        *(wf.console(line) for line in console.splitlines(keepends=True)),
        *(
            wf.history({**row, "_step": at, "_runtime": 1.0 * at}, at)
            for at, row in zip(steps or range(first_step, first_step + len(rows)), rows, strict=True)
        ),
        *(wf.ending() if closed else ()),
    ]
    return wf.wandb_file(records)


def config_yaml(config: Mapping[str, Any], *, gpu: str = "NVIDIA L4", gpus: int = 2) -> str:
    """``config.yaml`` as newer versions write it, with the machine and who ran it."""
    lines = ["_wandb:", "    value:", "        cli_version: 0.21.0", "        e:", "            abc:"]
    lines += [f"                {name}: {value}" for name, value in PRIVATE.items()]
    lines += [f"                gpu: {gpu}", f"                gpu_count: {gpus}", "        m: []"]
    for name, value in config.items():
        lines += [f"{name}:", f"    value: {json.dumps(value)}"]
    return "\n".join(lines) + "\n"


def metadata(*arguments: str, gpu: str = "NVIDIA L4", gpus: int = 2, **more: Any) -> str:
    """``wandb-metadata.json``."""
    document = {
        "os": "Linux",
        "python": "CPython 3.12.8",
        "args": list(arguments),
        "git": {"remote": "https://jdoe-account@github.com/jdoe-account/thing.git", "commit": "0" * 40},
        **PRIVATE,
        "executable": "/home/jdoe-account/bin/python",
        "gpu": gpu,
        "gpu_count": gpus,
        **more,
    }
    return json.dumps(document, indent=2)


def folder(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a folder, and return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def opened(root: Path, name: str, content: str | bytes) -> InputFile:
    """A file in its folder."""
    folder(root, {name: content})
    return open_path(root / name, name)


def readings(dialect: Dialect, root: Path, name: str, content: str | bytes) -> list[Reading]:
    """What a dialect reads in a file."""
    return list(dialect.read(opened(root, name, content)))


def said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Known values without their places."""
    return {key: quantity.value for key, quantity in values.items() if isinstance(quantity, Known)}


def corpus_case(name: str) -> Path:
    """A case of the corpus, or a skip."""
    if not (CORPUS / name).is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    return CORPUS / name
