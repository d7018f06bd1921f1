"""One training step of the reference trainer: how long it takes, how much memory, how long until it is compiled."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor

from auscult.facts.flops import flops_per_token
from auscult.recipe import ModelSettings, OptimizerSettings, model_settings
from auscult.trainer.model import Transformer, attention_mask
from auscult.trainer.optimizer import build_optimizers

__all__ = ["Attending", "loss_of", "measure_step", "model_of", "tokens_for"]

_WARM_STEPS, _MOST_STEPS, _LEAST_STEPS, _WHILE_S = 10, 60, 10, 4.0
_BACKENDS = {
    "flash": ("FLASH_ATTENTION",),
    "cudnn": ("CUDNN_ATTENTION",),
    "efficient": ("EFFICIENT_ATTENTION",),
    "math": ("MATH",),
}


def model_of(step: dict[str, Any], device: str) -> tuple[Transformer, ModelSettings]:
    """Return the model of a step on a device."""
    shape = {key: value for key, value in step["shape"].items() if key != "micro_batch"}
    settings = model_settings(family=step["family"], dropout=step["dropout"], **shape)
    model = Transformer(
        settings,
        checkpointing=step["checkpointing"],
        cross_entropy=step["cross_entropy"],
        seed=1,
    ).to(device)
    return model, settings


def tokens_for(step: dict[str, Any], device: str, seed: int = 0) -> Tensor:
    """Return random sequences of a pass, shape (micro_batch, context + 1)."""
    shape = step["shape"]
    generator = torch.Generator().manual_seed(seed)
    size = (shape["micro_batch"], shape["context"] + 1)
    return torch.randint(0, shape["vocab_size"], size, generator=generator).to(device)


class Attending:
    """The back-end of attention that a step asks for, chosen while a block runs."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    @contextlib.contextmanager
    def chosen(self) -> Iterator[None]:
        """Choose it.

        Raises
        ------
        RuntimeError
            When this torch has no switch for it.
        """
        if self.backend in ("fa3", "fa4"):
            switch = getattr(torch.nn.attention, "activate_flash_attention_impl", None)
            if switch is None:
                raise RuntimeError(f"torch {torch.__version__} has no switch for {self.backend}")
            switch(self.backend.upper())
            try:
                with _only("FLASH_ATTENTION"):
                    yield
            finally:
                torch.nn.attention.restore_flash_attention_impl()
        elif self.backend in _BACKENDS:
            with _only(*_BACKENDS[self.backend]):
                yield
        else:
            yield


def _only(*names: str) -> contextlib.AbstractContextManager[None]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kernels: contextlib.AbstractContextManager[None] = sdpa_kernel([getattr(SDPBackend, name) for name in names])
    return kernels


def loss_of(model: Transformer, tokens: Tensor, dtype: str, attention: str = "sdpa") -> Tensor:
    """Return the mean loss of sequences as the trainer computes it [nats]."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    mask = attention_mask(inputs, None, attention)
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
        summed: Tensor = model(inputs, targets, mask)
    return summed / targets.numel()


def measure_step(values: dict[str, Any], device: str) -> dict[str, Any]:
    """Train some steps on random tokens and return times, memory and rates.

    A step is ``accumulation`` passes forward and backward, clipping and the optimiser. Warm steps are discarded; on CUDA, events give
    the times, and the peaks of memory are those of the steps after the warm ones.
    """
    step, tiny = values["step"], values["step"]["shape"]["d_model"] < 64
    warm, most, least = (1, 2, 2) if tiny else (_WARM_STEPS, _MOST_STEPS, _LEAST_STEPS)
    cuda = device == "cuda"
    before = _clean(device)
    torch.set_float32_matmul_precision("high")
    model, settings = model_of(step, device)
    optimizers = build_optimizers(model, OptimizerSettings(name=step["optimizer"]))
    if step["compiled"]:
        model.compile(dynamic=False)
    tokens = tokens_for(step, device)
    attention = "flex" if step["backend"] == "flex" else "sdpa"
    clock = _Clock(device)

    def once() -> None:
        clock.mark("start")
        for _ in range(step["accumulation"]):
            (loss_of(model, tokens, step["dtype"], attention) / step["accumulation"]).backward()
        clock.mark("passed")
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        clock.mark("end")

    with Attending(step["backend"]).chosen():
        first_s = _wall_s(once, device)
        first_peaks = _peaks(device)
        second_s = _wall_s(once, device)
        for _ in range(max(0, warm - 2)):
            once()
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        clock.clear()
        began, begins = time.perf_counter(), time.time()
        count = 0
        while count < most and (count < least or time.perf_counter() - began < _WHILE_S):
            once()
            count += 1
            if cuda and count % 5 == 0:
                torch.cuda.synchronize()  # or the queue runs far ahead of the limit on time
        whole, passes, updates = clock.times()
    ends = time.time()
    finite = all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
    tokens_per_step = step["accumulation"] * step["shape"]["micro_batch"] * settings.context
    rate = tokens_per_step / median(whole)
    counted = sum(parameter.numel() for parameter in model.parameters())
    counted -= model.wpe.weight.numel() if model.wpe is not None else 0
    counted -= 0 if settings.tied else model.wte.weight.numel()
    attention_flops = 6 * settings.n_layer * settings.d_model * settings.context
    both = flops_per_token(
        params_without_position=counted,
        n_layer=settings.n_layer,
        d_model=settings.d_model,
        context=settings.context,
    )
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "measured_steps": count,
        "warm_steps": max(2, warm),
        "step_time_s": median(whole),
        "step_time_p10_s": quantiles(whole, n=10)[0],
        "step_time_p90_s": quantiles(whole, n=10)[-1],
        "pass_time_s": median(passes) / step["accumulation"],
        "update_time_s": median(updates),
        "first_step_s": first_s,
        "compile_s": first_s - second_s,
        "tokens_per_step": tokens_per_step,
        "tokens_per_s": rate,
        "flops_per_token": {"6N+12LdT": both, "6N+6LdT": both - attention_flops},
        "first_peak": first_peaks,
        **_peaks(device),
        "allocated_before_bytes": before,
        "weights_finite": finite,
        "measured_from": begins,
        "measured_to": ends,
    }


class _Clock:
    """Moments of a step: events on CUDA, the wall clock elsewhere."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        self.moments: dict[str, list[Any]] = {}

    def clear(self) -> None:
        self.moments = {"start": [], "passed": [], "end": []}

    def mark(self, name: str) -> None:
        moment: Any = time.perf_counter()
        if self.cuda:
            moment = torch.cuda.Event(enable_timing=True)
            moment.record()
        self.moments.setdefault(name, []).append(moment)

    def times(self) -> tuple[list[float], list[float], list[float]]:
        """Return whole steps, their passes and their updates [s]."""
        if self.cuda:
            torch.cuda.synchronize()
        start, passed, end = (self.moments[name] for name in ("start", "passed", "end"))

        def spans(left: list[Any], right: list[Any]) -> list[float]:
            if self.cuda:
                return [a.elapsed_time(b) / 1000 for a, b in zip(left, right, strict=True)]
            return [b - a for a, b in zip(left, right, strict=True)]

        return spans(start, end), spans(start, passed), spans(passed, end)


def _wall_s(work: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _clean(device: str) -> int:
    """Free what earlier measurements left; return what stays allocated [bytes]."""
    torch._dynamo.reset()
    gc.collect()
    if device != "cuda":
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def _peaks(device: str) -> dict[str, int]:
    if device != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info()
    return {
        "peak_allocated_bytes": torch.cuda.max_memory_allocated(),
        "peak_reserved_bytes": torch.cuda.max_memory_reserved(),
        "device_used_bytes": total - free,
    }
