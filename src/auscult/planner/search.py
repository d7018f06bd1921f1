"""The joint choice of micro-batch, accumulation, checkpointing, compilation and sharding at exactly the same tokens per step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..architectures import Model
from ..facts.memory import MemoryEstimate, estimate_memory
from ..facts.roofline import StepEstimate, estimate_step
from ..facts.setup import Checkpointing, Optimizer, Setup, Sharding
from ..prose import Prose, say
from .machine import Machine

__all__ = ["Choice", "Found", "Freedom", "Refusal", "nearest_tokens_per_step", "search"]

SAME_TIME = 0.005
"""Choices whose predicted times differ by less are equally fast: no roofline is that exact."""
MAX_TENSOR_PARALLEL = 8
"""Tensor parallelism stays inside a node of eight cards, whose links it needs (Narayanan et al. 2021, arXiv:2104.04473)."""
MAX_SEQUENCES = 1_000_000


@dataclass(frozen=True, slots=True)
class Freedom:
    """What a search may choose between; a single entry fixes it."""

    compiled: tuple[bool, ...] = (True, False)
    checkpointing: tuple[Checkpointing, ...] = ("none", "full")
    optimizer: Optimizer = "adamw"
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A way of training that fits, with its memory and its time; ``tight`` where it fits by the estimate but not by its upper end."""

    setup: Setup
    memory: MemoryEstimate
    step: StepEstimate
    tight: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A way of training that does not fit, why, and what binds: ``memory``, ``sequences`` …"""

    setup: Setup
    memory: MemoryEstimate
    constraint: str
    reason: Prose


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search: choices from the fastest on, and for every combination the next larger micro-batch that fails."""

    choices: tuple[Choice, ...]
    refused: tuple[Refusal, ...]
    limit_bytes: int


def search(
    model: Model, machine: Machine, *, tokens_per_step: int, context: int, freedom: Freedom | None = None
) -> Found:
    """Search every way of training a model on a machine at exactly some tokens per step.

    Parameters
    ----------
    model : Model
        The blueprint.
    machine : Machine
        The cards.
    tokens_per_step : int
        Of all cards together; a whole number of sequences for every card.
    context : int
        Length of a sequence [tokens].
    freedom : Freedom, optional
        What may be chosen.

    Returns
    -------
    Found
        One choice for each combination of compilation, checkpointing and sharding that fits: its fastest micro-batch.

    Raises
    ------
    ValueError
        When the tokens of a step are no whole number of sequences that the cards can share (see
        :func:`nearest_tokens_per_step`).

    Notes
    -----
    Memory grows with the micro-batch, so the largest that fits is found by bisection over the divisors of the sequences of
    one card. A choice counts as fitting when the upper end of its memory interval does; where none does, those whose
    estimate fits are taken, and marked tight.
    """
    free = freedom or Freedom()
    if nearest_tokens_per_step(tokens_per_step, context, machine.count) != (tokens_per_step,):
        raise ValueError(
            f"{tokens_per_step} tokens are no whole number of {context}-token sequences for {machine.count} cards"
        )
    choices: list[Choice] = []
    tight: list[Choice] = []
    refused: list[Refusal] = []
    for base in _combinations(model, machine, free, context):
        sequences = tokens_per_step // (context * base.data_parallel)
        fitting = _Ladder(model, machine, base, sequences)
        for kept, most in ((choices, "high"), (tight, "point")):
            last = fitting.largest(most)
            if last is not None:
                kept.append(fitting.fastest(last, tight=most == "point"))
        refusal = fitting.refusal()
        if refusal is not None:
            refused.append(refusal)
    found = choices or tight
    found.sort(key=lambda choice: choice.step.seconds)
    return Found(tuple(_simplest_first(found)), tuple(refused), machine.limit_bytes)


def nearest_tokens_per_step(tokens: int, context: int, gpu_count: int) -> tuple[int, ...]:
    """Return the tokens per step themselves where every card gets whole sequences, else the nearest amounts that work.

    Examples
    --------
    >>> nearest_tokens_per_step(524_288, 1024, 1), nearest_tokens_per_step(500_000, 1024, 8)
    ((524288,), (499712, 507904))
    """
    unit = context * gpu_count
    below = tokens // unit * unit
    if below == tokens:
        return (tokens,)
    return (below, below + unit) if below else (unit,)


class _Ladder:
    """The micro-batches of one combination, from one sequence up to all of them."""

    def __init__(self, model: Model, machine: Machine, base: Setup, sequences: int) -> None:
        self._model, self._machine, self._base, self._sequences = model, machine, base, sequences
        self._rungs = _divisors(sequences)
        self._memory: dict[int, MemoryEstimate] = {}

    def _setup(self, micro_batch: int) -> Setup:
        return replace(self._base, micro_batch=micro_batch, gradient_accumulation_steps=self._sequences // micro_batch)

    def memory(self, micro_batch: int) -> MemoryEstimate:
        if micro_batch not in self._memory:
            self._memory[micro_batch] = estimate_memory(self._model, self._setup(micro_batch))
        return self._memory[micro_batch]

    def _fits(self, micro_batch: int, end: str) -> bool:
        memory = self.memory(micro_batch)
        return (memory.high_bytes if end == "high" else memory.total_bytes) <= self._machine.limit_bytes

    def largest(self, end: str) -> int | None:
        """Return the index of the largest rung that fits, by bisection."""
        low, high = -1, len(self._rungs) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._fits(self._rungs[middle], end):
                low = middle
            else:
                high = middle - 1
        return low if low >= 0 else None

    def fastest(self, last: int, *, tight: bool) -> Choice:
        """Return the fastest rung up to an index; of those that are equally fast, the largest."""
        timed = [
            (estimate_step(self._model, self._setup(rung), self._machine.device), rung)
            for rung in self._rungs[max(0, last - 3) : last + 1]
        ]
        quickest = min(step.seconds for step, _rung in timed)
        step, rung = next((s, r) for s, r in reversed(timed) if s.seconds <= quickest * (1 + SAME_TIME))
        return Choice(self._setup(rung), self.memory(rung), step, tight)

    def refusal(self) -> Refusal | None:
        """Return the smallest rung whose memory may not fit, with the reason; None where all do."""
        last = self.largest("high")
        index = 0 if last is None else last + 1
        if index == len(self._rungs):
            return None
        micro_batch = self._rungs[index]
        setup, memory, limit = self._setup(micro_batch), self.memory(micro_batch), self._machine.limit_bytes
        name, size = max(memory.parts.items(), key=lambda item: item[1])
        values = {
            "micro": micro_batch,
            "steps": setup.gradient_accumulation_steps,
            "need": memory.total_bytes,
            "high": memory.high_bytes,
            "limit": limit,
            "part": name.replace("_", " "),
            "size": size,
        }
        if memory.total_bytes > limit:
            reason = say(
                "{micro} × {steps} needs {need:gib} of {limit:gib}; the largest part is {part}, {size:gib}", **values
            )
        else:
            reason = say(
                "{micro} × {steps} needs about {need:gib} of {limit:gib}, but may take up to {high:gib}; the largest part is {part},"
                " {size:gib}",
                **values,
            )
        return Refusal(setup, memory, "memory", reason)


def _combinations(model: Model, machine: Machine, free: Freedom, context: int) -> Iterator[Setup]:
    for sharding, tensor_parallel in _layouts(model, machine.count):
        for compiled in free.compiled:
            for checkpointing in free.checkpointing:
                yield Setup(
                    micro_batch=1,
                    context=context,
                    precision=machine.precision,
                    compiled=compiled,
                    dropout=free.dropout,
                    checkpointing=checkpointing,
                    optimizer=free.optimizer,
                    sharding=sharding,
                    data_parallel=machine.count // tensor_parallel,
                    tensor_parallel=tensor_parallel,
                )


def _layouts(model: Model, gpu_count: int) -> Iterator[tuple[Sharding, int]]:
    if gpu_count == 1:
        yield "none", 1
        return
    replicated: tuple[Sharding, ...] = ("ddp", "zero1", "fsdp")
    yield from ((sharding, 1) for sharding in replicated)
    heads = [attention.n_kv_head for attention, _count in model.attentions]
    size = 2
    while size <= min(MAX_TENSOR_PARALLEL, gpu_count):
        if gpu_count % size == 0 and heads and all(head % size == 0 for head in heads):
            yield "fsdp" if gpu_count > size else "none", size
        size *= 2


def _simplest_first(choices: Sequence[Choice]) -> list[Choice]:
    """Order by predicted time; among those equally fast, the one that asks for less comes first."""
    left, ordered = list(choices), []
    while left:
        limit = left[0].step.seconds * (1 + SAME_TIME)
        best = min((choice for choice in left if choice.step.seconds <= limit), key=_effort)
        ordered.append(best)
        left.remove(best)
    return ordered


def _effort(choice: Choice) -> tuple[int, int, int, int]:
    setup = choice.setup
    order = {"none": 0, "ddp": 1, "zero1": 2, "zero2": 3, "fsdp": 4}
    return setup.tensor_parallel, order[setup.sharding], int(setup.checkpointing != "none"), -setup.micro_batch


def _divisors(number: int) -> list[int]:
    if number > MAX_SEQUENCES:
        raise ValueError(f"{number} sequences in a step are more than any run has")
    small = [k for k in range(1, int(number**0.5) + 1) if number % k == 0]
    return sorted({*small, *(number // k for k in small)})
