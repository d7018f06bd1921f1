"""How many sequences pass through the model at once: as fast as it goes within the memory there is, the tokens per step kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ..architectures import Model
from ..errors import UsageError
from ..facts.memory import USABLE_FRACTION, MemoryEstimate, estimate_memory
from ..facts.roofline import Device, estimate_step
from ..facts.setup import Setup
from ..hardware import Gpu
from ..planner.machine import device_of
from ..planner.search import nearest_tokens_per_step
from ..recipe import TrainingRecipe
from .blueprint import blueprint_of, dtype_of, setup_of

__all__ = ["MicroBatch", "choose_micro_batch", "nearest_that_fits", "roofline_of"]

SAME_SPEED = 0.03
"""A smaller micro-batch that is slower by at most this share is taken: it leaves memory, and no roofline is that exact."""
MOST_TOKENS = 65_536
"""Of a pass on a card that is not known by name: nanochat's 32 sequences of 2,048 fill an H100, and no card needs more."""
CPU_TOKENS = 4_096
"""Of a pass on a CPU: beyond, activations leave the caches. Measured with the trainer on 2 cores (docs/performance.md)."""
SHORTEST = 128
"""Sequences that are shorter, or less than a quarter of those wanted, are no longer the run that was meant [tokens]."""
CPU_FRACTION = 0.8
"""Of a computer's memory that training may take: the rest is the system's, the data's page cache and Python's."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """A micro-batch and what it comes to.

    Attributes
    ----------
    micro_batch, gradient_accumulation_steps : int
        Sequences of a pass, and passes of a step, on one rank.
    estimated_bytes : int or None
        What one device holds at the peak; None where no limit is known.
    limit_bytes : int or None
        What it may hold.
    cross_entropy : str
        ``full`` or ``chunked``.
    candidates : tuple of int
        This micro-batch and all smaller ones that keep the tokens per step, stepping down: what to try when memory runs out.
    why : str
        In a clause.
    """

    micro_batch: int
    gradient_accumulation_steps: int
    estimated_bytes: int | None
    limit_bytes: int | None
    cross_entropy: Literal["full", "chunked"]
    candidates: tuple[int, ...]
    why: str

    @property
    def fits(self) -> bool:
        """Whether the estimate is within the limit; True where there is none to compare."""
        return self.estimated_bytes is None or self.limit_bytes is None or self.estimated_bytes <= self.limit_bytes


def choose_micro_batch(
    recipe: TrainingRecipe,
    *,
    world_size: int,
    memory_bytes: int | None,
    device: str,
    compiled: bool,
    gpu: Gpu | None = None,
) -> MicroBatch:
    """Choose the micro-batch of a recipe.

    Parameters
    ----------
    recipe : TrainingRecipe
        Where it sets a micro-batch, that one is taken if it fits, else the best of those below it.
    world_size : int
        Ranks, which share the sequences of a step.
    memory_bytes : int or None
        Of one card as its table or driver states it, or of the computer; None where it is not known: then nothing is estimated.
    device : str
        ``cuda`` or ``cpu``.
    compiled : bool
        Whether ``torch.compile`` is used in effect.
    gpu : Gpu, optional
        The card, where it is known by name: its roofline tells when a larger micro-batch gains nothing.

    Returns
    -------
    MicroBatch
        Where nothing fits, one sequence, with ``fits`` False.

    Raises
    ------
    UsageError
        When the ranks cannot share the sequences of a step evenly, or the recipe's micro-batch does not divide their share.

    Notes
    -----
    Only divisors of a rank's sequences are looked at, so that every step has exactly its tokens. The loss is computed in
    full where any micro-batch then fits, and in chunks otherwise. First come micro-batches whose estimate fits with its upper
    end, then those whose estimate itself does; the trainer steps down where memory runs out all the same.

    Examples
    --------
    >>> recipe = TrainingRecipe()  # GPT-2 small, 480 sequences of 1,024 tokens a step
    >>> chosen = choose_micro_batch(recipe, world_size=1, memory_bytes=12 * 2**30, device="cuda", compiled=True)
    >>> chosen.micro_batch * chosen.gradient_accumulation_steps, chosen.cross_entropy, chosen.fits
    (480, 'full', True)
    """
    ladder = _Ladder(recipe, world_size, memory_bytes, device, compiled, gpu)
    given = recipe.batch.micro_batch
    asked = recipe.machine.cross_entropy
    paths = {"auto": (False, True), "full": (False,), "chunked": (True,)}[asked]
    note = ""
    if given is not None:
        if ladder.sequences % given:
            near = " or ".join(str(rung) for rung in _around(ladder.rungs, given))
            raise UsageError(
                f"micro_batch = {given} does not divide the {ladder.sequences:,} sequences that each of {world_size} ranks has"
                f" in a step. Next: choose {near}, or leave it out and it is chosen."
            )
        if ladder.fits(given, paths[0]):
            return ladder.result(given, paths[0], "as the recipe says")
        note = f"the recipe's {given} would not fit; "
        ladder.limit_to(given)
    for chunked in paths:
        if (found := ladder.best(chunked)) is not None:
            return ladder.result(found[0], chunked, note + found[1])
    return ladder.result(1, paths[-1], note + "not even one sequence fits")


def nearest_that_fits(
    recipe: TrainingRecipe,
    *,
    world_size: int,
    memory_bytes: int | None,
    device: str,
    compiled: bool,
    gpu: Gpu | None = None,
) -> tuple[TrainingRecipe, str] | None:
    """Return the recipe that differs least from one that does not fit and does fit, and the change in words; None where none does.

    What leaves the result as it is comes first (the loss in chunks, checkpointing, sharding), then shorter sequences, then
    fewer layers.
    """

    def fits(changed: TrainingRecipe) -> bool:
        try:
            chosen = choose_micro_batch(
                changed, world_size=world_size, memory_bytes=memory_bytes, device=device, compiled=compiled, gpu=gpu
            )
        except UsageError:  # shorter sequences that the ranks cannot share
            return False
        return chosen.fits

    words: list[str] = []
    changed = replace(recipe, batch=replace(recipe.batch, micro_batch=None))
    for changed, words in _easier(recipe, world_size):
        if fits(changed):
            return changed, " and ".join(words)
    model, machine_words = recipe.model, [word for word in words if not word.startswith("context")]
    changed = replace(changed, model=model)
    low, high = 0, model.n_layer  # memory grows with the layers: the most that fit, by bisection
    while high - low > 1:
        middle = (low + high) // 2
        if fits(replace(changed, model=replace(model, n_layer=middle))):
            low = middle
        else:
            high = middle
    if not low:
        return None
    fewer = replace(changed, model=replace(model, n_layer=low))
    return fewer, " and ".join([*machine_words, f"n_layer = {low}"])


def roofline_of(recipe: TrainingRecipe, gpu: Gpu | None, count: int) -> Device | None:
    """Return what the time of a step on some cards depends on; None where one of its figures is not known."""
    if gpu is None or gpu.bandwidth_bytes_per_s is None:
        return None
    peak = gpu.peak_flops_per_s(dtype_of(recipe, "cuda", has_bfloat16=gpu.bf16_flops_per_s is not None))
    return None if peak is None else device_of(gpu, count, peak)


def _easier(recipe: TrainingRecipe, world_size: int) -> Iterator[tuple[TrainingRecipe, list[str]]]:
    """Yield recipes that need less and less memory, with what they change."""
    machine, model, words = recipe.machine, recipe.model, list[str]()
    plain = replace(recipe, batch=replace(recipe.batch, micro_batch=None))
    if machine.cross_entropy == "full":
        machine, words = replace(machine, cross_entropy="auto"), [*words, 'cross_entropy = "auto"']
        yield replace(plain, machine=machine), words
    if machine.checkpointing == "none":
        machine, words = replace(machine, checkpointing="full"), [*words, 'checkpointing = "full"']
        yield replace(plain, machine=machine), words
    if world_size > 1 and machine.sharding == "ddp":
        machine, words = replace(machine, sharding="fsdp"), [*words, 'sharding = "fsdp"']
        yield replace(plain, machine=machine), words
    context = model.context
    while context % 2 == 0 and context // 2 >= max(SHORTEST, model.context / 4):
        context //= 2
        shorter = replace(plain, machine=machine, model=replace(model, context=context))
        yield shorter, [*words, f"context = {context}"]


class _Ladder:
    """The micro-batches of a recipe on a machine, from one sequence to all of a rank."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        world_size: int,
        memory_bytes: int | None,
        device: str,
        compiled: bool,
        gpu: Gpu | None,
    ) -> None:
        tokens, context = recipe.batch.tokens_per_step, recipe.model.context
        near = nearest_tokens_per_step(tokens, context, world_size)
        if near != (tokens,):
            raise UsageError(
                f"tokens_per_step = {tokens:,} is no whole number of sequences of {context:,} tokens for each of {world_size}"
                f" ranks. Next: set it to {' or '.join(map(str, near))}, or start another number of processes."
            )
        self.sequences = recipe.sequences_per_step // world_size
        self.rungs = _divisors(self.sequences)
        self._recipe, self._world_size, self._device, self._compiled = recipe, world_size, device, compiled
        self._has_bfloat16 = gpu is None or gpu.bf16_flops_per_s is not None
        self._model: Model = blueprint_of(recipe.model)
        self._roofline = roofline_of(recipe, gpu, world_size) if device == "cuda" else None
        self._seen: dict[tuple[int, bool], MemoryEstimate] = {}
        fraction = USABLE_FRACTION if device == "cuda" else CPU_FRACTION
        self.limit_bytes = None if memory_bytes is None else round(fraction * memory_bytes)

    def limit_to(self, micro_batch: int) -> None:
        """Drop the rungs above a micro-batch."""
        self.rungs = [rung for rung in self.rungs if rung <= micro_batch]

    def fits(self, micro_batch: int, chunked: bool) -> bool:
        """Return whether the estimate is within the limit."""
        return self._within(micro_batch, chunked, "point")

    def best(self, chunked: bool) -> tuple[int, str] | None:
        """Return the best micro-batch that fits, and why it is; None where none does."""
        for end in ("high", "point"):
            fitting = [rung for rung in self._useful() if self._within(rung, chunked, end)]
            if fitting:
                return self._fastest(fitting, chunked)
        return None

    def result(self, micro_batch: int, chunked: bool, why: str) -> MicroBatch:
        """Return a micro-batch with its estimate."""
        return MicroBatch(
            micro_batch=micro_batch,
            gradient_accumulation_steps=self.sequences // micro_batch,
            estimated_bytes=None if self.limit_bytes is None else self._bytes(micro_batch, chunked, "point"),
            limit_bytes=self.limit_bytes,
            cross_entropy="chunked" if chunked else "full",
            candidates=tuple(n for n in reversed(_divisors(self.sequences)) if n <= micro_batch),
            why=why,
        )

    def _useful(self) -> list[int]:
        """Return the rungs beyond which no device gets faster; the first always."""
        most = CPU_TOKENS if self._device != "cuda" else MOST_TOKENS if self._roofline is None else None
        if most is None:
            return self.rungs
        return [rung for rung in self.rungs if rung * self._recipe.model.context <= most] or self.rungs[:1]

    def _fastest(self, fitting: list[int], chunked: bool) -> tuple[int, str]:
        largest = fitting[-1]
        if self._device != "cuda":
            return largest, f"at most {CPU_TOKENS:,} tokens a pass are fastest on a CPU"
        if self._roofline is None:
            return (
                largest,
                "the largest that fits" if self.limit_bytes is not None else "the memory of the card is not known",
            )
        times = {
            rung: estimate_step(self._model, self._setup(rung, chunked), self._roofline).seconds for rung in fitting
        }
        quickest = min(times.values())
        rung = min(rung for rung, seconds in times.items() if seconds <= quickest * (1 + SAME_SPEED))
        if rung == largest:
            return rung, "the largest that fits"
        return rung, f"within {100 * SAME_SPEED:.0f} % of the fastest that fits"

    def _setup(self, micro_batch: int, chunked: bool) -> Setup:
        return setup_of(
            self._recipe,
            micro_batch,
            world_size=self._world_size,
            device=self._device,
            compiled=self._compiled,
            chunked=chunked,
            has_bfloat16=self._has_bfloat16,
        )

    def _within(self, micro_batch: int, chunked: bool, end: str) -> bool:
        return self.limit_bytes is None or self._bytes(micro_batch, chunked, end) <= self.limit_bytes

    def _bytes(self, micro_batch: int, chunked: bool, end: str) -> int:
        key = (micro_batch, chunked)
        if key not in self._seen:
            self._seen[key] = estimate_memory(self._model, self._setup(micro_batch, chunked))
        memory = self._seen[key]
        if self._device != "cuda":  # no CUDA context, and no allocator that keeps a reserve
            return memory.interval("allocated")[1] if end == "high" else memory.allocated_bytes
        return memory.high_bytes if end == "high" else memory.total_bytes


def _divisors(number: int) -> list[int]:
    small = [k for k in range(1, int(number**0.5) + 1) if number % k == 0]
    return sorted({*small, *(number // k for k in small)})


def _around(rungs: list[int], wanted: int) -> list[int]:
    """Return the next smaller and the next larger rung."""
    return [*[rung for rung in rungs if rung < wanted][-1:], *[rung for rung in rungs if rung > wanted][:1]]
