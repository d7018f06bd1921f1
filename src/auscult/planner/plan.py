"""From a request to plans: the model, the joint choice that fits, its time and cost, and the recipe to train it with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..architectures import Model
from ..errors import UsageError
from ..facts.energy import cost as cost_of
from ..facts.energy import energy_kwh
from ..facts.energy import hours as hours_of
from ..facts.learning_rate import Basis, LearningRate, suggest_learning_rate, suggest_tokens_per_step
from ..facts.parameters import ParameterCount, count_parameters
from ..facts.roofline import estimate_step
from ..facts.scaling import Anchor, Band
from ..facts.setup import Checkpointing, Setup
from ..hardware.power import board_power_w
from ..prose import Prose, say
from .machine import Machine, machine_of
from .nearest import nearest_targets
from .request import Request
from .search import Choice, Found, Freedom, Refusal, nearest_tokens_per_step, search
from .targets import Target, aim, compute_optimal_tokens, expected_loss

__all__ = ["Plan", "Planning", "plan"]

MAX_PLANS = 6
LONGEST_ASSUMED_CONTEXT = 2048
"""Where a model could take longer sequences and nobody says what is wanted, this is planned: what Pythia, OLMo and TinyLlama trained on."""
QUICK_MICRO_BATCH = 8
MIN_STEPS = 100
"""A schedule with warmup and decay needs at least about as many steps."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run that can be made.

    Attributes
    ----------
    target : Target
        The model and why it is this one.
    parameters : ParameterCount
        Its parameters by part.
    choice : Choice
        How it is trained, with memory and time of a step.
    steps : int
        Optimiser steps.
    tokens_per_s, hours : Band
        Over all cards together, and for all steps without evaluations and restarts.
    energy_kwh, cost : Band or None
        Of the cards alone; None where their power, or a price, is not known.
    learning_rate : LearningRate
        The peak, and what it rests on.
    expected : (Band, Anchor) or None
        The loss at the end, and the known run it rests on.
    changed : tuple of Prose
        What differs from the request; empty where nothing does.
    why : Prose
        Why this choice.
    """

    target: Target
    parameters: ParameterCount
    choice: Choice
    steps: int
    tokens_per_s: Band
    hours: Band
    energy_kwh: Band | None
    cost: Band | None
    learning_rate: LearningRate
    expected: tuple[Band, Anchor] | None
    changed: tuple[Prose, ...]
    why: Prose

    @property
    def tokens(self) -> int:
        """Of all steps."""
        return self.steps * self.choice.setup.tokens_per_step


@dataclass(frozen=True, slots=True)
class Planning:
    """The answer to a request.

    ``plans`` from the best on (each says what it changes of the request), ``refused`` choices with their reasons,
    ``assumed`` what the request left open, and ``binding`` what makes the request impossible as it was asked.
    """

    request: Request
    machine: Machine
    plans: tuple[Plan, ...]
    refused: tuple[Refusal, ...]
    assumed: tuple[Prose, ...]
    binding: Prose | None = None


@dataclass(frozen=True, slots=True)
class _Ask:
    """One thing to search for: a model at some tokens per step, and how it departs from the request."""

    target: Target
    context: int
    tokens: int | None
    tokens_per_step: int
    machine: Machine
    freedom: Freedom
    changed: tuple[Prose, ...] = ()


def plan(request: Request, target: Target | None = None) -> Planning:
    """Answer a request.

    Parameters
    ----------
    request : Request
        What is asked.
    target : Target, optional
        The model of a recipe, where there is one; else the request names it.

    Returns
    -------
    Planning
        With ``binding`` set, and the nearest plans there are, where the request cannot be met as it was asked.

    Raises
    ------
    UsageError
        When the request names no target, or one that cannot be told.
    """
    machine = machine_of(request.gpu, request.gpu_count, request.precision)
    targets = (target,) if target is not None else aim(request, lambda model: _quick(model, request, machine))
    assumed: list[Prose] = []
    asks, binding = _asks(request, machine, targets, assumed)
    plans, refused = _searched(asks, request)
    if not plans:
        binding = binding or _binding(refused, machine)
        nearest = [
            replace(
                asks[0],
                target=near.target,
                machine=near.machine,
                freedom=near.freedom,
                changed=(*asks[0].changed, near.changed),
            )
            for near in nearest_targets(asks[0].target, machine, asks[0].freedom, asks[0].context, request.family)
        ]
        plans, more = _searched([_divisible(ask) for ask in nearest], request, most_of_each=1)
        refused = (*refused, *more)
    elif binding is None and all(item.changed for item in plans):
        binding = plans[0].changed[-1]
    return Planning(request, machine, tuple(plans[:MAX_PLANS]), tuple(refused), tuple(assumed), binding)


def _asks(
    request: Request, machine: Machine, targets: Iterable[Target], assumed: list[Prose]
) -> tuple[list[_Ask], Prose | None]:
    asks: list[_Ask] = []
    binding: Prose | None = None
    for index, target in enumerate(targets):
        notes: list[Prose] = []
        context = _context(request, target.model, notes)
        size = count_parameters(target.model).without_position
        tokens = request.tokens
        if tokens is None and request.hours is None:
            tokens = compute_optimal_tokens(size)
            notes.append(say("{tokens:si} tokens: 20 for each parameter (Hoffmann et al. 2022)", tokens=tokens))
        wanted = request.tokens_per_step
        if wanted is None:
            wanted = _default_tokens_per_step(size, tokens or compute_optimal_tokens(size), context, machine.count)
            notes.append(say("{tokens:count} tokens a step, by published batch sizes", tokens=wanted))
        freedom = Freedom(
            (True, False) if request.compiled is None else (request.compiled,),
            _checkpointing(request),
            request.optimizer,
            request.dropout,
        )
        nearest = nearest_tokens_per_step(wanted, context, machine.count)
        for amount in nearest:
            changed: tuple[Prose, ...] = ()
            if amount != wanted:
                cards = "one card" if machine.count == 1 else f"{machine.count} cards"
                values = {"have": amount, "want": wanted, "context": context, "cards": cards}
                changed = (say("{have:count} tokens per step instead of {want:count}", **values),)
                binding = say(
                    "{want:count} tokens per step are no whole number of {context:count}-token sequences that {cards} can share",
                    **values,
                )
            asks.append(_Ask(target, context, tokens, amount, machine, freedom, changed))
        if index == 0:
            assumed.extend(notes)
    return asks, binding


def _context(request: Request, model: Model, notes: list[Prose]) -> int:
    longest = model.learned_positions
    if request.context is not None:
        if longest is not None and request.context > longest:
            raise UsageError(
                f"--context: the model has a table of {longest:,} positions, found {request.context:,}. Next: ask for a shorter one."
            )
        return request.context
    context = min(model.context or LONGEST_ASSUMED_CONTEXT, LONGEST_ASSUMED_CONTEXT)
    notes.append(say("sequences of {context:count} tokens", context=context))
    return context


def _default_tokens_per_step(parameters: int, tokens: int, context: int, gpu_count: int) -> int:
    """Return a published batch size, rounded to a power of two of sequences for each card."""
    unit = context * gpu_count
    sequences = 1 << max(0, round(math.log2(suggest_tokens_per_step(parameters, tokens) / unit)))
    while sequences > 1 and sequences * unit * MIN_STEPS > tokens:
        sequences //= 2
    return sequences * unit


def _checkpointing(request: Request) -> tuple[Checkpointing, ...]:
    return ("none", "selective", "full") if request.checkpointing is None else (request.checkpointing,)


def _quick(model: Model, request: Request, machine: Machine) -> float:
    """Return about how long a token takes on all cards together, whether or not it fits [s/token]."""
    setup = Setup(
        micro_batch=QUICK_MICRO_BATCH,
        context=request.context or min(model.context or LONGEST_ASSUMED_CONTEXT, LONGEST_ASSUMED_CONTEXT),
        gradient_accumulation_steps=8,
        precision=machine.precision,
        compiled=request.compiled is not False,
        data_parallel=machine.count,
        sharding="none" if machine.count == 1 else "ddp",
    )
    return 1 / estimate_step(model, setup, machine.device).tokens_per_s.value


def _divisible(ask: _Ask) -> _Ask:
    """Round the tokens per step to what another number of cards can share, and say so."""
    amount = nearest_tokens_per_step(ask.tokens_per_step, ask.context, ask.machine.count)[-1]
    if amount == ask.tokens_per_step:
        return ask
    note = say("{have:count} tokens per step instead of {want:count}", have=amount, want=ask.tokens_per_step)
    return replace(ask, tokens_per_step=amount, changed=(*ask.changed, note))


def _searched(
    asks: Iterable[_Ask], request: Request, *, most_of_each: int = MAX_PLANS
) -> tuple[list[Plan], tuple[Refusal, ...]]:
    """Search every ask: the best of each first, in their order, then what else each offers."""
    lists: list[list[Plan]] = []
    refused: tuple[Refusal, ...] = ()
    for ask in asks:
        found = search(
            ask.target.model, ask.machine, tokens_per_step=ask.tokens_per_step, context=ask.context, freedom=ask.freedom
        )
        plans = [_planned(ask, choice, found, request) for choice in found.choices[:most_of_each]]
        lists.append(plans)
        if not refused or not lists[0]:
            refused = (*refused, *found.refused)
    best = [plans[0] for plans in lists if plans]
    rest = [item for plans in lists for item in plans[1:]]
    return [*best[:1], *rest[: MAX_PLANS - len(best)], *best[1:]], refused


def _planned(ask: _Ask, choice: Choice, found: Found, request: Request) -> Plan:
    count = count_parameters(ask.target.model)
    rate, per_step = choice.step.tokens_per_s, choice.setup.tokens_per_step
    changed = ask.changed
    tokens = ask.tokens
    if request.hours is not None:
        allowed = int(request.hours * 3600 * rate.value / per_step) * per_step
        if tokens is None:
            tokens = max(allowed, per_step)
        elif allowed < tokens and request.params is not None:
            note = say(
                "{have:si} tokens instead of {want:si}: the {hours:.3g} hours allow no more",
                have=allowed,
                want=tokens,
                hours=request.hours,
            )
            tokens, changed = max(allowed, per_step), (*changed, note)
    assert tokens is not None
    steps = max(1, round(tokens / per_step))
    total = steps * per_step
    hours = hours_of(total, rate)
    cards, price = choice.setup.gpu_count, request.price_per_gpu_hour
    watts = board_power_w(ask.machine.gpu)
    return Plan(
        target=ask.target,
        parameters=count,
        choice=choice,
        steps=steps,
        tokens_per_s=rate,
        hours=hours,
        energy_kwh=energy_kwh(hours, gpu_count=cards, board_power_w=watts) if watts is not None else None,
        cost=cost_of(hours, gpu_count=cards, price_per_gpu_hour=price) if price is not None else None,
        learning_rate=_rate(request, count, total, per_step),
        expected=expected_loss(request.dataset, count.without_position, total),
        changed=changed,
        why=_why(choice, found),
    )


def _rate(request: Request, count: ParameterCount, tokens: int, tokens_per_step: int) -> LearningRate:
    """Return the recipe's own learning rate, else the suggested one, with what practice and laws say."""
    rate = suggest_learning_rate(count.without_position, tokens, tokens_per_step, non_embedding=count.non_embedding)
    if request.learning_rate is None:
        return rate
    own = Basis("the recipe's own", request.learning_rate, "kept as it is")
    return replace(rate, value=request.learning_rate, basis=(own, *rate.basis))


def _why(choice: Choice, found: Found) -> Prose:
    """Say why this micro-batch: what the next larger one of its combination would need."""
    setup = choice.setup
    if choice.tight:
        return say(
            "fits by the estimate alone: it may take up to {high:gib} of {limit:gib}",
            high=choice.memory.high_bytes,
            limit=found.limit_bytes,
        )
    same = next((r for r in found.refused if _combination(r.setup) == _combination(setup)), None)
    if same is None:
        return say("even all sequences of a step at once would fit; larger micro-batches are not faster")
    if same.setup.micro_batch > setup.micro_batch:
        return say("the fastest that fits: {reason}", reason=same.reason)
    return say("the fastest of those that fit")


def _combination(setup: Setup) -> tuple[object, ...]:
    return setup.compiled, setup.checkpointing, setup.sharding, setup.tensor_parallel


def _binding(refused: Iterable[Refusal], machine: Machine) -> Prose:
    """Say what makes every choice impossible: the one that needs least, and its largest part."""
    least = min(refused, key=lambda refusal: refusal.memory.total_bytes, default=None)
    if least is None:
        return say("no way to share the work among {count} cards was found", count=machine.count)
    name, size = max(least.memory.parts.items(), key=lambda item: item[1])
    return say(
        "memory: even the choice that needs least takes {need:gib} of {limit:gib} a card, {size:gib} of it {part}",
        need=least.memory.total_bytes,
        limit=machine.limit_bytes,
        size=size,
        part=name.replace("_", " "),
    )
