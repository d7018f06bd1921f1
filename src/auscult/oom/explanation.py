"""What an out-of-memory message means: the tensor, the phase, how the card was shared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..architectures import Model
from ..errors import UsageError
from ..facts.memory import CONTEXT_BYTES, USABLE_FRACTION, MemoryEstimate, estimate_memory, model_states
from ..facts.oom import SMALL, Candidate, Guess, decode_request, factor_request, tensor_bytes
from ..facts.setup import Setup
from ..prose import Prose, say
from ..readers.oom_message import OomMessage, Span, parse_oom_messages
from .remedies import USUAL_OUTSIDE_BYTES, Remedy, around, fits, general, smaller_steps
from .words import PHASES, in_units, middle, moment_of, noun_of, printed

__all__ = ["OomExplanation", "explain_oom"]

MOST_SHOWN = 5
USUAL_VOCABULARIES = (
    *(50_257, 50_304, 50_432, 32_000, 32_768, 49_152, 65_536, 100_352, 128_256, 129_280, 151_936, 152_064, 256_000),
    262_144,
)
"""GPT-2 and its paddings by nanoGPT and Pythia, Llama 2, nanochat and Mistral v0.3, SmolLM2, RWKV, OLMo 2, Llama 3,
DeepSeek-V3, Qwen2.5 and Qwen3 (two sizes), Gemma 2 and 3."""
USUAL_CONTEXTS = (1024, 2048, 4096, 8192, 16_384, 32_768, 512, 256, 128)


@dataclass(frozen=True, slots=True)
class OomExplanation:
    """What an out-of-memory message means.

    Attributes
    ----------
    message : OomMessage
        The first in the text.
    others : int
        Messages beside it that differ, as of other ranks.
    headline : Prose
        The tensor, as a product, and the phase.
    lines : tuple of Prose
        How that follows, and how the card was shared.
    candidates : tuple of Candidate
        Tensors of that size, the likeliest first; empty where the model or its setup is not known.
    guesses : tuple of Guess
        Products of usual numbers, where no tensor is known.
    remedies : tuple of Remedy
        Those that are enough first, then by what they cost.
    """

    message: OomMessage
    others: int
    headline: Prose
    lines: tuple[Prose, ...]
    candidates: tuple[Candidate, ...]
    guesses: tuple[Guess, ...]
    remedies: tuple[Remedy, ...]


def explain_oom(
    text: str, model: Model | None = None, setup: Setup | None = None, *, memory_bytes: int | None = None
) -> OomExplanation:
    """Explain an out-of-memory message.

    Parameters
    ----------
    text : str
        The message, or a log that holds it.
    model, setup : Model, Setup, optional
        What was trained and how. Without them the size is only taken apart into usual numbers.
    memory_bytes : int, optional
        Nominal memory of the card, used where the message does not say its capacity.

    Raises
    ------
    UsageError
        When the text holds no out-of-memory message.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> model = build({"model_type": "gpt2", "vocab_size": 50304})
    >>> found = explain_oom("CUDA out of memory. Tried to allocate 394.00 MiB", model, Setup(micro_batch=2, context=1024))
    >>> found.candidates[0].tensor.expression
    '2·1024·50304·4 B'
    """
    messages = parse_oom_messages(text)
    if not messages:
        raise UsageError(
            'There is no out-of-memory message in this text. Next: paste the line that says "Tried to allocate", or give the'
            " log that has it."
        )
    message = messages[0]
    if model is not None and setup is not None:
        setup = _sharded(message, model, setup)
    candidates: tuple[Candidate, ...] = ()
    guesses: tuple[Guess, ...] = ()
    unlike: Prose | None = None
    if message.requested is not None and not _is_small(message):
        if model is not None and setup is not None:
            candidates, setup, unlike = _decoded(message, message.requested, model, setup)
        if not candidates:
            guesses = _guessed(message, message.requested, model, setup)
    memory = estimate_memory(model, setup) if model is not None and setup is not None else None
    room = _room(message, memory_bytes)
    assumed = () if unlike is None else (unlike,)
    lines = (
        *assumed,
        *_decoding(message, candidates, guesses, setup),
        *_sharing(message),
        *_needing(memory, room, setup),
    )
    remedies = (
        *around(message),
        *(smaller_steps(model, setup, memory, room, candidates) if model and setup and memory else general()),
    )
    return OomExplanation(
        message, len(messages) - 1, _headline(message, candidates, guesses), lines, candidates, guesses, remedies
    )


def _sharded(message: OomMessage, model: Model, setup: Setup) -> Setup:
    """Return the setup with its states sharded where the message proves it: each rank's own do not fit on its card."""
    if message.capacity is None or setup.data_parallel == 1 or setup.sharding not in ("none", "ddp"):
        return setup
    states = model_states(model, setup)
    whole = states.weights + states.gradients + states.optimizer
    return replace(setup, sharding="fsdp") if whole > message.capacity[1] else setup


def _decoded(
    message: OomMessage, requested: Span, model: Model, setup: Setup
) -> tuple[tuple[Candidate, ...], Setup, Prose | None]:
    """Return the tensors of that size, under this setup or else under the first like it that has one, and how that differs."""
    for unlike, tried in ((None, setup), *_alternatives(setup)):
        found = decode_request(
            requested, model, tried, allocator=message.allocator, allocated=message.allocated, phase=message.phase
        )
        if found:
            return found, tried, unlike
    return (), setup, None


def _alternatives(setup: Setup) -> Iterator[tuple[Prose, Setup]]:
    """Yield setups that users often have without having said so."""
    if setup.flash:
        yield (
            say("no tensor of this setup has that size; one has where attention is not fused"),
            replace(setup, flash=False),
        )
    if setup.compiled:
        yield (
            say("no tensor of this setup has that size; one has where the loss is not compiled"),
            replace(setup, compiled=False),
        )
    if setup.precision != "fp32":
        yield (
            say("no tensor of this setup has that size; one has where everything is in fp32"),
            replace(setup, precision="fp32"),
        )
    if setup.loss == "eager":
        yield (
            say("no tensor of this setup has that size; one has where the loss is computed in chunks"),
            replace(setup, loss="chunked"),
        )


def _is_small(message: OomMessage) -> bool:
    """Whether the request is a segment that small tensors share: its size says nothing of any tensor."""
    return (
        message.requested is not None
        and tensor_bytes(message.requested, message.allocator)[0] <= SMALL + 1
        and (message.allocator == "cuda")
    )


def _guessed(message: OomMessage, requested: Span, model: Model | None, setup: Setup | None) -> tuple[Guess, ...]:
    vocabularies = USUAL_VOCABULARIES if model is None else (model.head.d_out,)
    known = setup.context if setup is not None else model.context if model is not None else None
    contexts = tuple(dict.fromkeys((known, *USUAL_CONTEXTS) if known else USUAL_CONTEXTS))
    return factor_request(requested, vocabularies=vocabularies, contexts=contexts, allocator=message.allocator)[
        :MOST_SHOWN
    ]


def _room(message: OomMessage, memory_bytes: int | None) -> int | None:
    """Return what PyTorch can have of the card [bytes]."""
    if message.capacity is not None:
        outside = message.outside_bytes
        capacity = middle(message.capacity)
        if message.allocator == "mps":
            return capacity  # what the allocator allows itself
        return capacity - (CONTEXT_BYTES if outside is None else outside)
    return None if memory_bytes is None else round(memory_bytes * USABLE_FRACTION) - CONTEXT_BYTES


def _headline(message: OomMessage, candidates: tuple[Candidate, ...], guesses: tuple[Guess, ...]) -> Prose:
    if message.requested is None:
        if message.allocator == "cuda":
            return say("out of memory outside PyTorch's allocator: the message says no size")
        return say("out of memory: the message does not say what was asked for")
    asked = printed(message.requested)
    if _is_small(message):
        return say("{asked} is a segment that many small tensors share: its size names no tensor", asked=asked)
    if candidates:
        first = candidates[0]
        return say(
            "{asked} = {product}: the {noun}, {when}",
            asked=asked,
            product=first.tensor.expression,
            noun=noun_of(first),
            when=moment_of(first),
        )
    if guesses:
        return say(
            "{asked} is perhaps {product}: {noun}",
            asked=asked,
            product=guesses[0].expression,
            noun="logits" if guesses[0].kind == "logits" else "attention scores",
        )
    return say("{asked}: no tensor of a training step that is known here has that size", asked=asked)


def _decoding(
    message: OomMessage, candidates: tuple[Candidate, ...], guesses: tuple[Guess, ...], setup: Setup | None
) -> Iterator[Prose]:
    """Say how the tensor follows from the sizes, and what else it could be."""
    if _is_small(message):
        yield say("memory was full before it")
        return
    if message.phase is not None:
        yield say("the traceback is {phase}", phase=PHASES[message.phase])
    if candidates:
        yield from _by_allocated(message, candidates)
        factors = ", ".join(f"{number:,} {what}" for number, what in candidates[0].tensor.factors)
        yield say(
            "factors: {factors}, {item} bytes a value: {size:count} bytes{rounded}",
            factors=factors,
            item=candidates[0].tensor.item_bytes,
            size=candidates[0].tensor.size_bytes,
            rounded=", rounded up to whole 2 MiB by the allocator" if message.allocator == "cuda" else "",
        )
        for other in candidates[1:MOST_SHOWN]:
            yield say(
                "of that size too: the {noun}, {when} ({product})",
                noun=noun_of(other),
                when=moment_of(other),
                product=other.tensor.expression,
            )
        if len(candidates) > MOST_SHOWN:
            yield say("and {n} more", n=len(candidates) - MOST_SHOWN)
        return
    if guesses:
        for guess in guesses[1:]:
            yield say("or {product} ({kind})", product=guess.expression, kind=guess.kind.replace("_", " "))
        yield (
            say(
                "guessed from usual numbers: give the model and the batch (--recipe, or --like with --batch) to be sure"
            )
            if setup is None
            else say("not a tensor of this setup: the batch, the context or the precision may have been another")
        )


def _by_allocated(message: OomMessage, candidates: tuple[Candidate, ...]) -> Iterator[Prose]:
    first = candidates[0]
    if message.allocated is None:
        if len(candidates) > 1:
            yield say("the message does not say what was allocated already, which would tell tensors of one size apart")
        return
    seen = printed(message.allocated)
    low, high = (in_units(size) for size in first.predicted)
    if first.fits:
        yield say(
            "{seen} was allocated already, and at that moment it is {low} to {high}", seen=seen, low=low, high=high
        )
        return
    yield say(
        "{seen} was allocated already, where the nearest moment of a step of this setup has {low} to {high}: the model, the"
        " batch or the code differs from what was given, or something else lives on the card",
        seen=seen,
        low=low,
        high=high,
    )


def _sharing(message: OomMessage) -> Iterator[Prose]:
    """Say what of the card was not this process's, where that is much."""
    others = message.beside_bytes
    if others is not None and others > USUAL_OUTSIDE_BYTES and message.capacity is not None:
        yield say(
            "{others} of the card's {capacity} is held outside this process's tensors",
            others=in_units(others),
            capacity=printed(message.capacity),
        )


def _needing(memory: MemoryEstimate | None, room: int | None, setup: Setup | None) -> Iterator[Prose]:
    """Say what a whole step takes, and of which setup that is said."""
    if memory is None or setup is None:
        return
    yield say(
        "taken as given: micro-batch {batch} of {context:count} tokens, {precision}, {how}, {attention} attention,"
        " {optimizer}{sharding}",
        batch=setup.micro_batch,
        context=setup.context,
        precision=setup.precision,
        how="compiled" if setup.compiled else "eager",
        attention="fused" if setup.flash else "unfused",
        optimizer=setup.optimizer,
        sharding="" if setup.data_parallel == 1 else f", {setup.sharding} over {setup.data_parallel}",
    )
    if room is None:
        yield say(
            "a whole step of this setup allocates about {peak} at its peak", peak=in_units(memory.allocated_bytes)
        )
        return
    yield say(
        "a whole step of this setup allocates about {peak} at its peak, and can have {room} of the card{but}",
        peak=in_units(memory.allocated_bytes),
        room=in_units(room),
        but=": it should fit, so that something else was in memory" if fits(memory, room) else "",
    )
