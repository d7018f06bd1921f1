"""The peak of a training step on one GPU: phase by phase, part by part, with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...architectures import Model
from ..setup import Setup
from .activations import Slopes, activation_slopes
from .logits import LogitSlopes, logit_slopes
from .states import States, model_states

__all__ = [
    "CONTEXT_BYTES",
    "MARGIN_FRACTION",
    "NCCL_BYTES",
    "USABLE_FRACTION",
    "MemoryEstimate",
    "Seen",
    "estimate_memory",
]

CONTEXT_BYTES = round(0.55 * 2**30)
"""CUDA context and kernels, outside PyTorch's allocator (stas00/ml-engineering, "CUDA kernels": 0.55 GiB)."""
NCCL_BYTES = 2**29
"""Communicators of several GPUs, outside PyTorch's allocator. Not measured: stas00/ml-engineering saw 1.5 GiB where the
first barrier picks the device, and next to nothing is the least."""
MARGIN_FRACTION = 0.12
"""What the allocator holds beyond what is allocated. It was 4 % to 73 % in 93 public modded-nanogpt logs, whose loops compile
several shapes; a loop of fixed shapes such as nanoGPT's stays near the low end. The allocator gives it back before it fails."""
LEAST_MARGIN_FRACTION = 0.03
"""What stays in blocks that are partly used, and cannot be given back (the least of those logs is 4 %)."""
WHOLE_IN_BLOCK = 4
"""Unsharded inputs of a layer alive in its backward pass under tensor parallelism: of both its parts, gradients included."""
USABLE_FRACTION = 0.975
"""Of the nominal memory: a "12 GB" card offers 11.7 to 12.0 GiB, an H100 of 80 GB 79.6 GiB (``nvidia-smi`` in public logs)."""

Seen: TypeAlias = Literal["allocated", "reserved", "total"]
"""As PyTorch counts it, with the allocator's reserve, or as ``nvidia-smi`` shows it."""

_Span: TypeAlias = tuple[float, float]
_UNCERTAINTY: Mapping[str, _Span] = {
    # Down and up, as fractions of the part.
    "weights": (0.01, 0.01),
    "gradients": (0.01, 0.01),
    "optimizer": (0.02, 0.02),
    "autocast_copies": (1.0, 0.0),  # all gone where the loop casts no weights (FSDP, a fused kernel)
    "activations": (0.15, 0.15),
    "logits": (0.30, 0.15),  # a caller that keeps no logits saves 2 of 14 bytes
    "buckets": (1.0, 0.5),  # none with gradient_as_bucket_view; FSDP may gather a layer more
    "temporaries": (1.0, 0.5),
    "context": (0.45, 0.45),
    "reserve": (0.75, 1.0),
}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What one GPU holds at the peak of a training step [bytes].

    Attributes
    ----------
    parts : mapping
        ``weights``, ``gradients``, ``optimizer``, ``autocast_copies``, ``activations``, ``logits`` (with the cross-entropy),
        ``buckets`` (of DDP, or what FSDP gathers), ``temporaries``, ``context`` (CUDA and NCCL) and ``reserve`` (of the
        allocator), at the peak; they add up to the total.
    phases : mapping
        What PyTorch has allocated in each phase of a step.
    peak_phase : str
        The phase that needs most.
    """

    parts: Mapping[str, int]
    phases: Mapping[str, int]
    peak_phase: str

    @property
    def total_bytes(self) -> int:
        """What ``nvidia-smi`` shows: allocated, reserve, and context."""
        return sum(self.parts.values())

    @property
    def allocated_bytes(self) -> int:
        """``torch.cuda.max_memory_allocated()``."""
        return self.phases[self.peak_phase]

    @property
    def reserved_bytes(self) -> int:
        """``torch.cuda.max_memory_reserved()``."""
        return self.allocated_bytes + self.parts["reserve"]

    @property
    def low_bytes(self) -> int:
        """The lower end of the interval around the total."""
        return self.interval("total")[0]

    @property
    def high_bytes(self) -> int:
        """The upper end of the interval around the total."""
        return self.interval("total")[1]

    def interval(self, seen: Seen) -> tuple[int, int]:
        """Return the interval around what is allocated, what is reserved, or the total [bytes].

        The uncertainties of the parts, each a fraction of its part, are combined in quadrature.
        """
        left_out = {"allocated": ("context", "reserve"), "reserved": ("context",), "total": ()}[seen]
        point, down, up = 0, 0.0, 0.0
        for name, size in self.parts.items():
            if size and name not in left_out:
                less, more = _UNCERTAINTY[name]
                point += size
                down += (size * less) ** 2
                up += (size * more) ** 2
        return round(point - math.sqrt(down)), round(point + math.sqrt(up))


def estimate_memory(model: Model, setup: Setup, *, device_memory_bytes: int | None = None) -> MemoryEstimate:
    """Estimate the peak memory of a training step on one GPU, by part and by phase [bytes].

    Parameters
    ----------
    model : Model
        The blueprint.
    setup : Setup
        How it is trained.
    device_memory_bytes : int, optional
        Of the card: the allocator gives its reserve back before it runs out, so the reserve ends where the card does.

    Returns
    -------
    MemoryEstimate

    Notes
    -----
    The phases are an evaluation without gradients; the end of the forward pass; the start of the backward pass, when the
    gradient reaches the logits; the backward pass of one layer, recomputed where it is checkpointed; the end of the
    backward pass; and the optimiser's step. Gradients of earlier passes are present throughout where the optimiser does
    not step after every pass. With tensor parallelism the residual stream is taken as sharded too (sequence parallelism),
    and logits over the vocabulary. Under pipeline parallelism the first stage holds as many passes as there are stages
    (1F1B), the last has the logits; the larger of both counts. Not counted: other programs on the card, CUDA graphs, the
    temporary sums of tensors that a model computes outside its layers.

    The interval combines an uncertainty of each part in quadrature; `scripts/measured/memory.py` prints how many published
    peaks it contains.

    References
    ----------
    Those of :func:`activation_slopes`, :func:`logit_slopes` and :func:`model_states`; Chen et al. 2016, arXiv:1604.06174
    (checkpointing); Narayanan et al. 2021, arXiv:2104.04473 (1F1B); Korthikanti et al. 2022, arXiv:2205.05198 (sequence
    parallelism); PyTorch ``c10/cuda/CUDACachingAllocator.cpp``.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> model = build({"model_type": "gpt2", "vocab_size": 50304, "bias": False})
    >>> setup = Setup(micro_batch=8, context=1024, gradient_accumulation_steps=64)
    >>> memory = estimate_memory(model, setup)
    >>> memory.peak_phase, round(memory.allocated_bytes / 2**30, 1)
    ('backward_start', 10.0)
    """
    tokens = -(-setup.tokens_per_pass // setup.context_parallel)
    states, slopes = model_states(model, setup), activation_slopes(model, setup)
    logits = logit_slopes(model, setup, tokens=tokens)
    stages = [(True, True)] if setup.pipeline_parallel == 1 else [(True, False), (False, True)]
    phases = max(
        (_phases(setup, states, slopes, logits if last else None, tokens, first) for first, last in stages),
        key=lambda found: max(sum(parts.values()) for parts in found.values()),
    )
    allocated = {name: sum(parts.values()) for name, parts in phases.items()}
    peak = max(allocated, key=lambda name: allocated[name])
    return _estimate(phases[peak], allocated, peak, setup.gpu_count, device_memory_bytes)


def _phases(
    setup: Setup, states: States, slopes: Slopes, logits: LogitSlopes | None, tokens: int, first: bool
) -> dict[str, dict[str, int]]:
    """Return the allocated parts of each phase on one stage of the pipeline."""
    tensor, stages = setup.tensor_parallel, setup.pipeline_parallel
    share = tokens / tensor
    in_flight = min(stages, setup.gradient_accumulation_steps) if first else 1
    whole = slopes.blocks + slopes.scores * setup.context
    live = slopes.live + slopes.live_scores * setup.context
    kept = {"none": whole, "full": slopes.inputs, "selective": slopes.selected}[setup.checkpointing]
    saved = share * (kept / stages * in_flight + (slopes.ends if logits else 0))
    recomputed = 0.0 if setup.checkpointing == "none" else share * live
    # Sequence parallelism gathers what a split matrix reads, and adds up what the next one puts out, whole.
    gathered = tokens * (1 - 1 / tensor) * slopes.gathered
    flow = share * slopes.gradients + WHOLE_IN_BLOCK * gathered
    loss = logits or LogitSlopes(0, 0, 0, 0, 0)
    held = share * loss.kept
    held_gradients = states.gradients if setup.gradient_accumulation_steps > 1 else 0
    replicas = states.buckets if setup.sharding in ("ddp", "zero1", "zero2") else 0  # reducers keep theirs for good
    steady = {
        "weights": states.weights,
        "gradients": 0,
        "optimizer": states.optimizer,
        "autocast_copies": states.autocast_copies,
        "activations": 0,
        "logits": 0,
        "buckets": states.buckets,
        "temporaries": 0,
    }

    def phase(
        gradients: int, activations: float, at_loss: float, temporaries: float = 0.0, **other: int
    ) -> dict[str, int]:
        return {
            **steady,
            "gradients": gradients,
            "activations": round(activations),
            "logits": round(at_loss),
            "temporaries": round(temporaries),
            **other,
        }

    return {
        "evaluation": phase(0, share * slopes.stream, max(share * loss.evaluation, flow)),
        "forward": phase(held_gradients, saved, share * loss.forward + loss.fixed, gathered),
        "backward_start": phase(held_gradients, saved, share * loss.backward + loss.fixed, gathered),
        "backward_block": phase(held_gradients, saved + recomputed, held + loss.fixed, flow),
        "backward_end": phase(states.gradients, share * (live + slopes.stream), held, flow),
        "optimizer": phase(states.gradients, 0, 0, states.step, autocast_copies=0, buckets=replicas),
    }


def _estimate(
    parts: dict[str, int], allocated: dict[str, int], peak: str, gpu_count: int, device_memory_bytes: int | None
) -> MemoryEstimate:
    context = CONTEXT_BYTES + (NCCL_BYTES if gpu_count > 1 else 0)
    most = allocated[peak]
    reserve = MARGIN_FRACTION * most
    if device_memory_bytes is not None:
        reserve = min(reserve, max(LEAST_MARGIN_FRACTION * most, device_memory_bytes - most - context))
    named = {**parts, "context": context, "reserve": round(reserve)}
    return MemoryEstimate(named, allocated, peak)
