"""Ways out of an out-of-memory error, with what each saves of the step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..architectures import Model
from ..facts.memory import MemoryEstimate, estimate_memory
from ..facts.oom import ACTIVATIONS_UNCERTAIN, Candidate
from ..facts.setup import Setup
from ..prose import Prose, say
from ..readers.oom_message import OomMessage
from .words import in_units, middle

__all__ = ["Remedy", "around", "fits", "general", "smaller_steps"]

SPARE_FRACTION = 0.03
"""Of what is allocated, kept free for blocks that are partly used: the least that 93 public modded-nanogpt logs show
(:mod:`auscult.facts.memory.peak`)."""
USUAL_OUTSIDE_BYTES = 2 * 2**30
"""CUDA context (0.5 GiB) with NCCL's communicators (up to 1.5 GiB, stas00/ml-engineering); more is somebody else's."""
WORTHWHILE = 0.01
"""A remedy that saves less of the peak is not offered."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way out.

    Attributes
    ----------
    kind : str
        Such as ``micro_batch``, ``compile``, ``fragmentation``.
    action : Prose
        What to do.
    saved_bytes : int or None
        Of the peak that PyTorch allocates in a step; None where it cannot be computed.
    enough : bool or None
        Whether the step then fits in what this process can have of the card, by the whole interval of the estimate; None
        where it may, or nothing is known.
    setup : Setup or None
        The changed setup, tokens per step as before.
    """

    kind: str
    action: Prose
    saved_bytes: int | None = None
    enough: bool | None = None
    setup: Setup | None = None


def around(message: OomMessage) -> Iterator[Remedy]:
    """Yield remedies that leave the step as it is: of what else is on the card, and of memory held in pieces."""
    others = message.beside_bytes
    if others is not None and others > USUAL_OUTSIDE_BYTES and message.requested is not None:
        yield Remedy(
            "other_programs",
            say("end what else is on the card: nvidia-smi lists it, often an earlier run that has not ended"),
            saved_bytes=others,
        )
    if message.requested is None or message.unallocated is None or message.free is None or message.allocator != "cuda":
        return
    unallocated, free = middle(message.unallocated), middle(message.free)
    if free + unallocated >= message.requested[0]:
        yield Remedy(
            "fragmentation",
            say(
                "set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True: {free} free and {held} held in pieces would hold"
                " this tensor, if not what comes after it",
                free=in_units(free),
                held=in_units(unallocated),
            ),
        )


def general() -> Iterator[Remedy]:
    """Yield what helps whatever was trained."""
    yield Remedy(
        "micro_batch", say("halve the micro-batch and double the accumulation: the same tokens a step, exactly")
    )


def smaller_steps(
    model: Model, setup: Setup, memory: MemoryEstimate, room: int | None, candidates: tuple[Candidate, ...]
) -> tuple[Remedy, ...]:
    """Return what makes the step smaller, with the bytes that it saves of the peak; enough first, then the cheapest."""
    if fits(memory, room):
        room = None  # the estimate is of another step than the one that failed: it cannot say what is enough
    found = []
    if candidates and candidates[0].phase == "evaluation":
        found += list(_smaller_evaluation(setup, memory, room))
    for kind, action, changed in _changes(model, setup, room):
        then = estimate_memory(model, changed)
        saved = memory.allocated_bytes - then.allocated_bytes
        if saved >= WORTHWHILE * memory.allocated_bytes:
            found.append(Remedy(kind, action, saved, fits(then, room), changed))
    if room is not None and not any(remedy.enough for remedy in found):
        found += list(_together(model, setup, memory, room, found))
    order = {True: 0, None: 1, False: 2}
    return tuple(sorted(found, key=lambda remedy: order[remedy.enough]))


def fits(memory: MemoryEstimate, room: int | None) -> bool | None:
    """Whether a step fits, by both ends of its interval; None where they disagree, or there is nothing to compare with."""
    if room is None:
        return None
    low, high = memory.interval("allocated")
    return True if high * (1 + SPARE_FRACTION) <= room else False if low > room else None


def _smaller_evaluation(setup: Setup, memory: MemoryEstimate, room: int | None) -> Iterator[Remedy]:
    training = max(size for phase, size in memory.phases.items() if phase != "evaluation")
    if setup.micro_batch > 1 and room is not None and training * (1 + ACTIVATIONS_UNCERTAIN) <= room:
        yield Remedy(
            "evaluation_batch",
            say("evaluate with a smaller batch: the training step itself fits"),
            saved_bytes=max(0, memory.phases["evaluation"] - training),
            enough=True,
        )


def _changes(model: Model, setup: Setup, room: int | None) -> Iterator[tuple[str, Prose, Setup]]:
    """Yield changes of a setup, the cheapest first: those that cost nothing, then time, then exactness."""
    if not setup.compiled:
        yield (
            "compile",
            say("compile model and loss (torch.compile): no fp32 copies of the logits"),
            replace(setup, compiled=True),
        )
    if not setup.flash:
        yield (
            "flash",
            say("use fused attention (scaled_dot_product_attention): no stored scores"),
            replace(setup, flash=True),
        )
    if setup.loss != "fused":
        yield (
            "fused_loss",
            say("compute head and loss together, chunk by chunk (Liger, CCE): no whole logits"),
            replace(setup, loss="fused"),
        )
    smaller = _smaller_batch(model, setup, room)
    if smaller is not None:
        yield (
            "micro_batch",
            say(
                "micro-batch {batch} with {steps} accumulation steps a rank instead of {old} with {before}: the same tokens"
                " a step, exactly",
                batch=smaller.micro_batch,
                steps=smaller.gradient_accumulation_steps,
                old=setup.micro_batch,
                before=setup.gradient_accumulation_steps,
            ),
            smaller,
        )
    if setup.checkpointing != "full":
        yield (
            "checkpointing",
            say("checkpoint activations: each layer is computed twice, about a third more time"),
            replace(setup, checkpointing="full"),
        )
    if setup.optimizer == "adamw":
        yield (
            "optimizer_8bit",
            say("keep AdamW's states in 8 bits (bitsandbytes): not the same numbers"),
            replace(setup, optimizer="adamw_8bit"),
        )


def _smaller_batch(model: Model, setup: Setup, room: int | None) -> Setup | None:
    """Return the setup of the largest smaller micro-batch that fits and keeps the tokens per step; else of micro-batch 1."""
    sequences = setup.micro_batch * setup.gradient_accumulation_steps
    small = [count for count in range(1, math.isqrt(sequences) + 1) if sequences % count == 0]
    divisors = sorted({*small, *(sequences // count for count in small)}, reverse=True)
    divisors = [batch for batch in divisors if batch < setup.micro_batch]
    if not divisors:
        return None
    tried = [replace(setup, micro_batch=batch, gradient_accumulation_steps=sequences // batch) for batch in divisors]
    if room is None:
        return tried[0]
    return next((smaller for smaller in tried if fits(estimate_memory(model, smaller), room)), tried[-1])


def _together(model: Model, setup: Setup, memory: MemoryEstimate, room: int, found: list[Remedy]) -> Iterator[Remedy]:
    """Yield all exact changes together where none alone is enough."""
    changed = setup
    names: list[str] = []
    for _kind in range(len(found) + 1):
        for kind, _action, smaller in _changes(model, changed, room):
            if kind not in (*names, "optimizer_8bit"):
                changed = smaller
                names.append(kind)
                break
        else:
            break
        if fits(estimate_memory(model, changed), room):
            break
    if len(names) < 2:
        return
    then = estimate_memory(model, changed)
    yield Remedy(
        "together",
        say(
            "none alone is enough; together ({names}) a step allocates {peak}",
            names=", ".join(name.replace("_", " ") for name in names),
            peak=in_units(then.allocated_bytes),
        ),
        memory.allocated_bytes - then.allocated_bytes,
        fits(then, room),
        changed,
    )
