"""Whether what is fast is also right: losses and gradients of every path against fp32, and a short training in bf16 against fp32."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from auscult.recipe import OptimizerSettings
from auscult.trainer.optimizer import build_optimizers

from .step import Attending, loss_of, model_of, tokens_for

__all__ = ["measure_agreement"]

_STEPS = 20
_PATHS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bf16", {"dtype": "bfloat16"}),
    ("bf16 compiled", {"dtype": "bfloat16", "compiled": True}),
    ("bf16 chunked", {"dtype": "bfloat16", "cross_entropy": "chunked"}),
    ("bf16 checkpointed", {"dtype": "bfloat16", "checkpointing": "full"}),
    *(
        (f"bf16 {name}", {"dtype": "bfloat16", "backend": name})
        for name in ("flash", "cudnn", "efficient", "fa3", "fa4")
    ),
    ("bf16 flex compiled", {"dtype": "bfloat16", "backend": "flex", "compiled": True}),
    ("fp32 chunked", {"dtype": "float32", "cross_entropy": "chunked"}),
    ("fp32 compiled", {"dtype": "float32", "compiled": True}),
)


def measure_agreement(values: dict[str, Any], device: str) -> dict[str, Any]:
    """Return, for each path, the relative error of loss and gradients of one pass against eager fp32 without TF32.

    ``training`` has the mean losses of twenty steps from equal weights, in fp32 and in bf16, on batches of their own each step.
    """
    step = {**values["step"], "dtype": "float32"}
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    reference_loss, reference = _pass(step, device)
    paths: dict[str, Any] = {}
    for name, changes in _PATHS:
        torch._dynamo.reset()
        try:
            loss, gradients = _pass({**step, **changes}, device)
        except Exception as error:  # whatever a path that this card or torch lacks raises is the finding
            paths[name] = {
                "failed": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
            }
            continue
        paths[name] = {
            "loss_relative_error": abs(loss - reference_loss) / abs(reference_loss),
            "gradient_relative_error": float((gradients - reference).norm() / reference.norm()),
        }
    torch._dynamo.reset()
    return {
        "reference_loss": reference_loss,
        "paths": paths,
        "training": {dtype: _training({**step, "dtype": dtype}, device) for dtype in ("float32", "bfloat16")},
    }


def _pass(step: dict[str, Any], device: str) -> tuple[float, torch.Tensor]:
    """Return loss and all gradients of one pass, as one vector on the CPU."""
    model, _ = model_of(step, device)
    if step["compiled"]:
        model.compile(dynamic=False)
    attention = "flex" if step["backend"] == "flex" else "sdpa"
    with Attending(step["backend"]).chosen() if device == "cuda" else contextlib.nullcontext():
        loss = loss_of(model, tokens_for(step, device), step["dtype"], attention)
        loss.backward()
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return float(loss), torch.cat(gradients).double().cpu()


def _training(step: dict[str, Any], device: str) -> list[float]:
    model, _ = model_of(step, device)
    (optimizer,) = build_optimizers(model, OptimizerSettings(learning_rate=1e-3))
    losses = []
    for number in range(_STEPS):
        loss = loss_of(model, tokens_for(step, device, seed=number % 4), step["dtype"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss))
    return losses
