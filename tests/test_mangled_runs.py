"""Mangled runs: whatever is cut, repeated or overwritten in config and log, every output stays whole.

A seed makes a run out of sane parts and damages it; the report is drawn in every format. Longer:
``MANGLED_RUNS=5000 pytest tests/test_mangled_runs.py``.
"""

from __future__ import annotations

import ast
import io
import json
import os
import random
from pathlib import Path

import jsonschema
import pytest

import auscult
from auscult.errors import AuscultError
from auscult.prescription import fixed_config
from auscult.readers import given_by_options
from auscult.report.json import dumps, load_schema
from auscult.report.markdown import render_markdown
from auscult.report.terminal import FIRST_SCREEN_LINES, make_console, render_terminal
from made_up import CONFIG, MadeUpRun, healthy_log

RUNS = int(os.environ.get("MANGLED_RUNS", "120"))
KEYS = [*CONFIG, "decay_lr", "init_from", "dtype", "eval_only"]
VALUES: list[object] = [
    0, 1, -1, 2, 7, 64, 384, 768, 770, 1e-3, 0.5, 1.5, 1e9, 10**6, True, False, None, "gpt2", "gpt2-xl", "float16",
    "float32", "shakespeare_char", "fineweb", "resume", "", "125M-x", 3.0,
]  # fmt: skip
COMMENTS = [
    "",
    "# ~125M parameters\n",
    "# ~3B tokens seen, 16 * 32 = 512 sequences\n",
    "# 350M params vs 124M baseline\n",
]
GPUS = [None, "RTX 4070", "A100", "H100 PCIe x8", "T4", "nope", "2x RTX 3090", "M2 Max", "MI300X"]
STRAY = [
    "KeyboardInterrupt\n",
    "torch.OutOfMemoryError: CUDA out of memory\n",
    "number of parameters: 40.56M\n",
    "Overriding: n_layer = 12\n",
    "found vocab_size = 65 (inside x)\n",
    "step 5: train loss inf, val loss nan\n",
]
LOGS = [healthy_log(last, seed=last).text() for last in (300, 2_000, 8_000, 20_000)]


def mangled(lines: list[str], rng: random.Random) -> list[str]:
    """Return the lines with some cut, lost, repeated, overwritten or put in between."""
    for _ in range(rng.randint(0, 6)):
        if not lines:
            break
        at = rng.randrange(len(lines))
        match rng.randint(0, 4):
            case 0:
                del lines[at : at + rng.randint(1, 40)]
            case 1:
                lines[at] = lines[at][: rng.randint(0, len(lines[at]))]
            case 2:
                lines[at:at] = lines[rng.randrange(len(lines)) :][:60]
            case 3:
                lines[at] = lines[at].replace(".", rng.choice(["nan", "", "..", ",", "9999"]), 1)
            case _:
                lines.insert(at, rng.choice(STRAY))
    return lines


@pytest.mark.parametrize("seed", range(4))
def test_every_output_stays_whole(seed: int, tmp_path: Path) -> None:
    """JSON meets its schema, the first screen its 25 lines, the fixed config is Python; or it is one of our errors."""
    rng = random.Random(seed)
    validator = jsonschema.Draft202012Validator(load_schema())
    for _ in range(RUNS // 4):
        folder = MadeUpRun(tmp_path / "run").write(
            {rng.choice(KEYS): rng.choice(VALUES) for _ in range(rng.randint(0, 6))}, None, rng.choice(COMMENTS)
        )
        (folder / "train.log").write_text("".join(mangled(rng.choice(LOGS).splitlines(keepends=True), rng)))
        path = rng.choice([folder, folder, folder / "train.log", folder / "train_narrow.py"])
        options = {
            "gpu": rng.choice(GPUS),
            "train_tokens": rng.choice([None, "1M", "10B"]),
            "val_tokens": rng.choice([None, "5k", "50M"]),
        }
        try:
            diagnosis = auscult.diagnose(auscult.read(path, given=given_by_options(**options)))
        except AuscultError:
            continue
        validator.validate(json.loads(dumps(diagnosis)))
        render_markdown(diagnosis, "x", verbose=True)
        whole, screen = io.StringIO(), io.StringIO()
        render_terminal(diagnosis, make_console(whole, width=100), "x", verbose=True)
        render_terminal(diagnosis, make_console(screen, width=100), "x", quiet=True)
        assert len(screen.getvalue().splitlines()) <= FIRST_SCREEN_LINES
        if diagnosis.run.config is not None and diagnosis.run.config.path is not None:
            ast.parse(fixed_config(diagnosis.examination, diagnosis.prescription))
