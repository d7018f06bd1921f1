"""Other estimators on the same rows: their errors beside ours.

They run in an environment of their own (``.venv-peers``, made by ``make accuracy``); their answers are asked for by
``peers_worker.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from auscult.architectures import Mlp
from auscult.facts.parameters import count_adapters, count_parameters

from .memory import Result, results
from .rows import GIB

__all__ = ["Answers", "ask_peers", "peer_rows", "peers_table"]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("AUSCULT_PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))


@dataclass(frozen=True, slots=True)
class Answers:
    """What one estimator says: bytes by row, None where it cannot tell, and the first reason for that."""

    name: str
    version: str
    by_row: dict[int, float | None]
    why: str


def peer_rows() -> list[Result]:
    """Return the rows whose peak and setup are known: those by which we are judged ourselves."""
    return [result for result in results() if result.test == "equal"]


def ask_peers(rows: Sequence[Result]) -> list[Answers]:
    """Ask every estimator for every row.

    Raises
    ------
    FileNotFoundError
        When their environment is not there.
    """
    if not PYTHON.exists():
        raise FileNotFoundError(f"{PYTHON}: no environment of the other estimators; make accuracy makes it")
    said = subprocess.run(
        [str(PYTHON), str(Path(__file__).with_name("peers_worker.py"))],
        input=json.dumps([_described(result) for result in rows]),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    answers: dict[str, Any] = json.loads(said.stdout)
    found = []
    for name, body in answers.items():
        by_row = {int(number): answer["bytes"] for number, answer in body["answers"].items()}
        why = next((answer["why"] for answer in body["answers"].values() if answer["bytes"] is None), "")
        found.append(Answers(name, body["version"], by_row, why))
    return found


def _described(result: Result) -> dict[str, Any]:
    model, setup = result.row.model, result.setup
    assert model is not None
    attention = next(attention for attention, _count in model.attentions)
    mlp = next(stack.block.mlp for stack in model.stacks if isinstance(stack.block.mlp, Mlp))
    lora = setup.lora_rank > 0
    return {
        "number": result.row.number,
        "n_layer": model.n_layer,
        "n_head": attention.n_head,
        "n_kv_head": attention.n_kv_head,
        "d_model": model.d_model,
        "d_ff": mlp.d_ff,
        "gated": mlp.gated,
        "vocab_size": model.vocab_size,
        "parameters": count_parameters(model).total,
        "context": setup.context,
        "micro_batch": setup.micro_batch,
        "gradient_accumulation_steps": setup.gradient_accumulation_steps,
        "precision": setup.precision,
        "checkpointing": setup.checkpointing,
        "optimizer": setup.optimizer,
        "sharding": setup.sharding,
        "data_parallel": setup.data_parallel,
        "tensor_parallel": setup.tensor_parallel,
        "lora_rank": setup.lora_rank,
        "trainable": count_adapters(model, rank=setup.lora_rank, targets=setup.lora_targets) if lora else None,
        "frozen_bits": setup.frozen_bits,
        "card_bytes": result.row.card_bytes or 80 * GIB,
    }


def peers_table(rows: Sequence[Result], answers: Sequence[Answers]) -> str:
    """Return the errors side by side as Markdown: a summary, then every row."""
    measured = {result.row.number: result.measured for result in rows}
    lines = [
        "| estimator | rows it can tell | median absolute error | largest | what it cannot tell |",
        "|---|---:|---:|---:|---|",
    ]
    ours = {result.row.number: float(result.ours) for result in rows}
    everyone = [Answers("auscult", "", dict(ours), ""), *answers]
    for one in everyone:
        errors = [abs(value / measured[number] - 1) for number, value in one.by_row.items() if value is not None]
        name = f"{one.name} {one.version}".strip()
        middle = f"{median(errors):.0%} | {max(errors):.0%}" if errors else "– | –"
        lines.append(f"| {name} | {len(errors)} of {len(rows)} | {middle} | {one.why.replace('|', ' ')} |")
    head = " | ".join(one.name for one in everyone)
    lines += ["", f"| line | model | measured GiB | {head} |", "|---|---|---:|" + "---:|" * len(everyone)]
    for result in rows:
        number = result.row.number
        cells = " | ".join(_cell(one.by_row.get(number)) for one in everyone)
        lines.append(f"| {number} | {result.row.model_name} | {result.measured / GIB:.1f} | {cells} |")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value / GIB:.1f}"
