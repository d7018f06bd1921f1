"""What every subject is given: a shape, initial weights, tokens, and which crops make the batch of which step.

A case is a folder: ``case.json``, ``data/train.bin`` and ``data/val.bin`` (uint16, as nanoGPT's), ``model.safetensors`` (named as
transformers' GPT-2) and ``crops.npy`` (step by sequence: where each crop of context + 1 tokens starts). It is a function of its
settings and of the Python library that the bytes are taken from.
"""

from __future__ import annotations

import json
import math
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BYTES", "Case", "initial_weights", "load_case", "prepare", "python_library"]

BYTES = 256
"""The vocabulary: bytes."""
_STD = 0.02


@dataclass(frozen=True, slots=True)
class Case:
    """A GPT-2 on bytes and how it is trained.

    Attributes
    ----------
    n_layer, n_head, d_model, context : int
        The shape.
    micro_batch, accumulation : int
        Sequences of a pass; passes of a step.
    steps, warm_steps : int
        Optimiser steps; those at the start that no time is taken from.
    learning_rate : float
        Constant: trainers differ in what they call step 0 of a schedule.
    target_loss : float
        In nats per token; time-to-loss ends where the mean of the last ten steps is below it.
    device, dtype : str
        ``cpu`` or ``cuda``; ``float32`` or ``bfloat16`` (autocast).
    tokens : int
        Of the training split.
    seed : int
        Of weights and batches.
    """

    n_layer: int = 6
    n_head: int = 6
    d_model: int = 384
    context: int = 256
    micro_batch: int = 12
    accumulation: int = 1
    steps: int = 70
    warm_steps: int = 10
    learning_rate: float = 6e-4
    target_loss: float = 2.8
    device: str = "cpu"
    dtype: str = "float32"
    tokens: int = 4_000_000
    seed: int = 1337

    @property
    def tokens_per_step(self) -> int:
        """Tokens of an optimiser step."""
        return self.micro_batch * self.accumulation * self.context

    @property
    def parameters(self) -> int:
        """All parameters, the head tied to the embedding."""
        width = self.d_model
        layer = 12 * width**2 + 13 * width
        return self.n_layer * layer + (BYTES + self.context + 2) * width

    def flops_per_token(self) -> dict[str, float]:
        """Return FLOPs per token, forward and backward, in both conventions.

        Returns
        -------
        dict
            ``6N+12LdT``: nanoGPT's, N without positions, attention over all keys. ``6N+6LdT``: the same N, and a
            token attends to half of the keys on average.
        """
        counted = self.parameters - self.context * self.d_model
        attention = 12 * self.n_layer * self.d_model * self.context
        return {"6N+12LdT": 6 * counted + attention, "6N+6LdT": 6 * counted + attention / 2}


def python_library(size: int) -> NDArray[np.uint16]:
    """Return the first bytes of the machine's own Python library as tokens, files in order of their path, shape (size,).

    Raises
    ------
    ValueError
        When the library is smaller than that.
    """
    found = bytearray()
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or "__pycache__" in path.parts:
            continue
        found += path.read_bytes()
        if len(found) >= size:
            return np.frombuffer(bytes(found[:size]), dtype=np.uint8).astype(np.uint16)
    raise ValueError(f"Python's library has {len(found)} bytes, {size} are wanted")


def initial_weights(case: Case) -> dict[str, NDArray[np.float32]]:
    """Return GPT-2's initial weights (Radford et al. 2019), named and laid out as transformers' (Conv1D: input by output)."""
    draw = np.random.default_rng(case.seed)
    width = case.d_model
    residual = _STD / math.sqrt(2 * case.n_layer)

    def normal(*shape: int, std: float = _STD) -> NDArray[np.float32]:
        return draw.standard_normal(shape, dtype=np.float32) * np.float32(std)

    def plain(name: str, *shape: int) -> dict[str, NDArray[np.float32]]:
        fill = np.ones if name.endswith("weight") else np.zeros
        return {name: fill(shape, dtype=np.float32)}

    weights = {"transformer.wte.weight": normal(BYTES, width), "transformer.wpe.weight": normal(case.context, width)}
    for layer in range(case.n_layer):
        at = f"transformer.h.{layer}."
        for norm in ("ln_1", "ln_2"):
            weights |= plain(f"{at}{norm}.weight", width) | plain(f"{at}{norm}.bias", width)
        for name, inner, outer, std in (
            ("attn.c_attn", width, 3 * width, _STD),
            ("attn.c_proj", width, width, residual),
            ("mlp.c_fc", width, 4 * width, _STD),
            ("mlp.c_proj", 4 * width, width, residual),
        ):
            weights[f"{at}{name}.weight"] = normal(inner, outer, std=std)
            weights |= plain(f"{at}{name}.bias", outer)
    return weights | plain("transformer.ln_f.weight", width) | plain("transformer.ln_f.bias", width)


def prepare(case: Case, folder: Path, crops: NDArray[np.int64] | None = None) -> None:
    """Write a case to a folder.

    Parameters
    ----------
    case, folder
        What, and where to.
    crops : array, optional
        Where the crops of each step start, shape (steps, sequences of a step); drawn at random where not given.
    """
    from safetensors.numpy import save_file

    (folder / "data").mkdir(parents=True, exist_ok=True)
    tokens = python_library(case.tokens + case.tokens // 10)
    tokens[: case.tokens].tofile(folder / "data" / "train.bin")
    tokens[case.tokens :].tofile(folder / "data" / "val.bin")
    save_file(initial_weights(case), folder / "model.safetensors", metadata={"format": "pt"})
    if crops is None:
        shape = (case.steps, case.micro_batch * case.accumulation)
        crops = np.random.default_rng(case.seed).integers(0, case.tokens - case.context - 1, shape)
    np.save(folder / "crops.npy", crops)
    (folder / "case.json").write_text(json.dumps(asdict(case), indent=2) + "\n", encoding="utf-8")


def load_case(folder: Path) -> Case:
    """Return the case of a folder."""
    values: dict[str, Any] = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    return Case(**values)
