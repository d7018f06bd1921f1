"""Our trainer, through the command that people use, in this process: recipe, preflight, data, loop and log.

It does more than the peers: it checks the recipe, tries the micro-batch, logs every step to JSONL and TensorBoard, and saves at the end
(after the last step, which is not timed). Options: ``compile``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auscult.data import open_split, step_indices

from .case import BYTES, Case, load_case
from .observed import Observation, run_subject

__all__ = ["crops", "train"]


def crops(case: Case, folder: Path) -> NDArray[np.int64]:
    """Return where the sequences start that our trainer takes in each step, shape (steps, sequences of a step).

    Raises
    ------
    ValueError
        When the tokens there are not those that our trainer reads.
    """
    split = open_split(folder / "data", "train")
    count = split.sequence_count(case.context)
    sequences = case.micro_batch * case.accumulation
    indices = np.stack(
        [
            step_indices(seed=case.seed, step=step, sequences_per_step=sequences, sequence_count=count)
            for step in range(case.steps)
        ]
    )
    starts = indices * case.context
    tokens = np.fromfile(folder / "data" / "train.bin", dtype=np.uint16)
    for step in {0, case.steps - 1}:
        seen = np.stack([tokens[at : at + case.context + 1] for at in starts[step]])
        if not np.array_equal(seen, split.sequences(indices[step], case.context)):
            raise ValueError(f"step {step}: crops of train.bin are not the sequences of auscult.data")
    return starts


def train(folder: Path, observation: Observation, options: list[str]) -> dict[str, Any]:
    """Train by ``auscult train``, and read the losses from the log that it wrote."""
    from auscult.cli import main

    case = load_case(folder)
    with tempfile.TemporaryDirectory(prefix="auscult-ours-") as scratch:
        recipe, run = Path(scratch) / "recipe.toml", Path(scratch) / "run"
        recipe.write_text(_recipe(case, folder, compiled="compile" in options), encoding="utf-8")
        code = main(["train", str(recipe), "--output", str(run)])
        if code:
            raise RuntimeError(f"auscult train ended with {code}")
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    observation.losses = [
        line["loss_nats_per_token"] for line in lines if "loss_nats_per_token" in line and "split" not in line
    ]
    return {"parameters": facts["parameters_total"], "micro_batch": facts.get("micro_batch")}


def _recipe(case: Case, folder: Path, *, compiled: bool) -> str:
    return f"""\
name = "benchmark"
seed = {case.seed}

[model]
n_layer = {case.n_layer}
n_head = {case.n_head}
d_model = {case.d_model}
vocab_size = {BYTES}
context = {case.context}
weights = {json.dumps(str(folder / "model.safetensors"))}

[data]
path = {json.dumps(str(folder / "data"))}

[batch]
tokens_per_step = {case.tokens_per_step}
micro_batch = {case.micro_batch}

[optimizer]
learning_rate = {case.learning_rate}
beta1 = 0.9
beta2 = 0.95
eps = 1e-8
weight_decay = 0.1
grad_clip = 1.0

[schedule]
kind = "constant"
steps = {case.steps}
warmup_steps = 0

[machine]
device = "{case.device}"
dtype = "{case.dtype}"
compile = {str(compiled).lower()}
cross_entropy = "full"

[evaluation]
every_steps = 0

[checkpoint]
every_steps = 1_000_000

[log]
every_steps = 1
"""


if __name__ == "__main__":
    run_subject(train)
