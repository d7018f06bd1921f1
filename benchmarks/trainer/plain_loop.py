"""The peer that the field measures itself by: one file of plain PyTorch, in the manner of nanoGPT, written anew.

GPT-2 with LayerNorm and GELU, the head tied to the embedding, fused AdamW that decays matrices, gradients clipped, crops read from
a memory-mapped file. Options: ``compile``; ``rounding`` starts from weights changed by a millionth, which shows how far two correct
trainers may drift apart.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .case import BYTES, Case, load_case
from .observed import Observation, run_subject

__all__ = ["Gpt2", "train"]


class Attention(nn.Module):
    """Causal self-attention through torch's fused kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each position gathers, shape (B, T, D)."""
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=2))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.c_proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class Layer(nn.Module):
    """Attention and a feed-forward part, each behind its norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream after this layer, shape (B, T, D)."""
        x = x + self.attn(self.ln_1(x))
        out: Tensor = x + self.c_proj(functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))
        return out


class Gpt2(nn.Module):
    """GPT-2 whose forward pass is the mean loss."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(BYTES, case.d_model), nn.Embedding(case.context, case.d_model)
        self.h = nn.ModuleList(Layer(case.d_model, case.n_head) for _ in range(case.n_layer))
        self.ln_f = nn.LayerNorm(case.d_model)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy [nats]."""
        x = self.wte(inputs) + self.wpe(torch.arange(inputs.shape[1], device=inputs.device))
        for layer in self.h:
            x = layer(x)
        logits = functional.linear(self.ln_f(x), self.wte.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Take the weights of a file of transformers' GPT-2."""
        from safetensors.torch import load_file

        own = dict(self.named_parameters())
        for name, tensor in load_file(path).items():
            conv1d = tensor.dim() == 2 and ".c_" in name
            parameter = own.pop(name.removeprefix("transformer.").replace(".mlp.", "."))
            parameter.copy_(tensor.T if conv1d else tensor)
        assert not own, f"no weights for {sorted(own)}"


def batch_of(tokens: np.memmap[Any, np.dtype[np.uint16]], starts: Any, case: Case) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of crops."""
    rows = torch.stack([torch.from_numpy(tokens[at : at + case.context + 1].astype(np.int64)) for at in starts])
    inputs, targets = rows[:, :-1], rows[:, 1:]
    if case.device == "cuda":
        return inputs.pin_memory().to("cuda", non_blocking=True), targets.pin_memory().to("cuda", non_blocking=True)
    return inputs, targets


def train(folder: Path, observation: Observation, options: list[str]) -> dict[str, Any]:
    """Train, noting the loss of every step."""
    case = load_case(folder)
    tokens = np.memmap(folder / "data" / "train.bin", dtype=np.uint16, mode="r")
    crops = np.load(folder / "crops.npy").reshape(case.steps, case.accumulation, case.micro_batch)
    model = Gpt2(case)
    model.load(folder / "model.safetensors")
    if "rounding" in options:
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for parameter in model.parameters():
                parameter.mul_(1 + 1e-6 * torch.randn(parameter.shape, generator=generator))
    model.to(case.device)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=case.learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)
    run = cast("Gpt2", torch.compile(model)) if "compile" in options else model
    autocast: AbstractContextManager[Any] = (
        torch.autocast(case.device, torch.bfloat16) if case.dtype == "bfloat16" else nullcontext()
    )
    losses = []
    inputs, targets = batch_of(tokens, crops[0, 0], case)
    order = [starts for step in crops for starts in step]
    for number in range(case.steps):
        total = torch.zeros((), device=case.device)
        for micro_step in range(case.accumulation):
            with autocast:
                loss = run(inputs, targets) / case.accumulation
            following = number * case.accumulation + micro_step + 1
            if following < len(order):
                inputs, targets = batch_of(tokens, order[following], case)
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
    observation.losses = [float(loss) for loss in losses]
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}


if __name__ == "__main__":
    run_subject(train)
