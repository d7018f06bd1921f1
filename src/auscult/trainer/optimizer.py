"""Optimisers: AdamW, or Muon on the hidden matrices with AdamW on the rest."""

from __future__ import annotations

import torch
from torch.optim import AdamW, Muon, Optimizer

from ..recipe import OptimizerSettings
from .model import Transformer

__all__ = ["build_optimizers"]


def build_optimizers(model: Transformer, settings: OptimizerSettings) -> tuple[Optimizer, ...]:
    """Return the optimisers of a model, their states made: what memory they take is taken before step 0.

    Matrices decay, vectors do not. Muon's updates are scaled to the RMS of AdamW's (Liu et al. 2025, arXiv:2502.16982), so
    that one learning rate and one weight decay serve both.
    """
    named = list(model.named_parameters())
    hidden = [p for name, p in named if name.startswith("h.") and p.dim() == 2] if settings.name == "muon" else []
    rest = [p for _, p in named if id(p) not in {*map(id, hidden)}]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    rate, betas = settings.learning_rate, (settings.beta1, settings.beta2)
    adamw = AdamW([g for g in groups if g["params"]], lr=rate, betas=betas, eps=settings.eps, fused=True)
    for parameter in rest:  # as torch would make them at the first step
        state = adamw.state[parameter]
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    if not hidden:
        return (adamw,)
    decay, momentum = settings.weight_decay, settings.momentum
    muon = Muon(hidden, lr=rate, weight_decay=decay, momentum=momentum, adjust_lr_fn="match_rms_adamw")
    for parameter in hidden:
        muon.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return muon, adamw
