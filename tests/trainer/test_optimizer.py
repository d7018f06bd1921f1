"""Optimisers: which tensors each has, what it begins with, and what its first steps do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim import AdamW

from auscult.recipe import OptimizerSettings, model_settings
from auscult.trainer.checkpoint import state_tensors
from auscult.trainer.model import Transformer
from auscult.trainer.optimizer import build_optimizers


def model(**more: Any) -> Transformer:
    return Transformer(model_settings(n_layer=2, n_head=2, d_model=32, vocab_size=64, context=8, **more), seed=3)


def backward(one: Transformer, seed: int) -> None:
    x = torch.randint(64, (2, 9), generator=torch.Generator().manual_seed(seed))
    one(x[:, :-1], x[:, 1:]).backward()


@pytest.mark.parametrize("family", ["gpt2", "modern"])
def test_muon_has_the_hidden_matrices_alone(family: str) -> None:
    """Muon takes the matrices of the blocks; embeddings, head, norms and biases are AdamW's; every tensor has one optimiser."""
    one = model(family=family)
    muon, adamw = build_optimizers(one, OptimizerSettings(name="muon"))
    names = {parameter: name for name, parameter in one.named_parameters()}
    of = [[names[p] for group in o.param_groups for p in group["params"]] for o in (muon, adamw)]
    expected = {
        f"h.{i}.{part}.weight" for i in range(2) for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    }
    assert set(of[0]) == expected
    assert sorted(of[0] + of[1]) == sorted(names.values())


def test_matrices_decay_and_vectors_do_not() -> None:
    """Weight decay is on tensors of two dimensions."""
    (adamw,) = build_optimizers(model(), OptimizerSettings(weight_decay=0.3))
    for group in adamw.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.3 if parameter.dim() >= 2 else 0.0)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_states_are_there_before_step_0(name: Any) -> None:
    """What a checkpoint holds is the same set of tensors before the first step and after it, in the same shapes."""
    one = model()
    optimizers = build_optimizers(one, OptimizerSettings(name=name))
    before = {key: tuple(value.shape) for key, value in state_tensors(one, optimizers).items()}
    backward(one, 0)
    for optimizer in optimizers:
        optimizer.step()
    after = state_tensors(one, optimizers)
    assert {key: tuple(value.shape) for key, value in after.items()} == before
    slots = {key.rpartition(".")[2] for key in before if key.startswith("optimizer.")}
    assert slots == {"step", "exp_avg", "exp_avg_sq"} | ({"momentum_buffer"} if name == "muon" else set())
    assert all(value.dtype == torch.float32 for value in after.values())


def test_adamw_is_torchs_own() -> None:
    """States that are made beforehand give bit for bit the steps of those that torch makes at the first one."""
    settings = OptimizerSettings(learning_rate=1e-2, beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.2)
    ours, theirs = model(), model()
    (one,) = build_optimizers(ours, settings)
    groups = [
        {"params": [p for p in theirs.parameters() if p.dim() >= 2], "weight_decay": 0.2},
        {"params": [p for p in theirs.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    two = AdamW(groups, lr=1e-2, betas=(0.8, 0.9), eps=1e-6, fused=True)
    for seed in range(3):
        for which, optimizer in ((ours, one), (theirs, two)):
            backward(which, seed)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_muon_is_torchs_own() -> None:
    """The hidden matrices take torch's Muon steps, from a momentum of zero that is made beforehand."""
    settings = OptimizerSettings(name="muon", learning_rate=1e-2, weight_decay=0.1, momentum=0.9)
    ours, theirs = model(), model()
    muon, _ = build_optimizers(ours, settings)
    hidden = [p for name, p in theirs.named_parameters() if name.startswith("h.") and p.dim() == 2]
    two = torch.optim.Muon(hidden, lr=1e-2, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for seed in range(2):
        for which, optimizer in ((ours, muon), (theirs, two)):
            backward(which, seed)
            optimizer.step()
            which.zero_grad(set_to_none=True)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
