"""An out-of-memory message explained: which tensor was asked for, in which phase, and the cheapest way out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .architectures import Model
from .errors import UsageError
from .facts.memory import CONTEXT_BYTES, USABLE_FRACTION, MemoryEstimate, estimate_memory, model_states
from .facts.oom import ACTIVATIONS_UNCERTAIN, SMALL, Candidate, Guess, decode_request, factor_request, tensor_bytes
from .facts.setup import Setup
from .prose import Prose, say
from .readers.oom_message import OomMessage, Span, parse_oom_messages

__all__ = ["OomExplanation", "Remedy", "explain_oom", "render"]

SPARE_FRACTION = 0.03
"""Of what is allocated, kept free for blocks that are partly used: the least that 93 public modded-nanogpt logs show
(:mod:`auscult.facts.memory.peak`)."""
USUAL_OUTSIDE_BYTES = 2 * 2**30
"""CUDA context (0.5 GiB) with NCCL's communicators (up to 1.5 GiB, stas00/ml-engineering); more is somebody else's."""
WORTHWHILE = 0.01
"""A remedy that saves less of the peak is not offered."""
MOST_SHOWN = 5
USUAL_VOCABULARIES = (
    *(50_257, 50_304, 50_432, 32_000, 32_768, 49_152, 65_536, 100_352, 128_256, 129_280, 151_936, 152_064, 256_000),
    262_144,
)
"""GPT-2 and its paddings by nanoGPT and Pythia, Llama 2, nanochat and Mistral v0.3, SmolLM2, RWKV, OLMo 2, Llama 3,
DeepSeek-V3, Qwen2.5 and Qwen3 (two sizes), Gemma 2 and 3."""
USUAL_CONTEXTS = (1024, 2048, 4096, 8192, 16_384, 32_768, 512, 256, 128)

_NOUNS = {
    "logits": "logits, as the output head computes them",
    "logits_copy": "fp32 copy of the logits, made for the cross-entropy",
    "logits_shifted": "logits without their last position, copied to be compared with the next token",
    "log_softmax": "log-softmax of the {owner}, a tensor of its own",
    "log_softmax_gradient": "gradient of the log-softmax, in fp32",
    "logits_gradient": "gradient of the logits",
    "logits_gradient_half": "gradient of the logits, cast back to 16 bits",
    "logits_chunk": "logits of one chunk of the loss",
    "stream": "residual stream of all tokens",
    "stream_fp32": "residual stream of all tokens in fp32, inside a norm",
    "attention_scores": "attention scores, which unfused attention stores",
    "attention_softmax": "softmax of the attention scores in fp32, which unfused attention stores",
    "mlp_inner": "inner activations of the feed-forward part",
    "mlp_inner_fp32": "inner activations of the feed-forward part in fp32, inside its activation function",
    "ssm_states": "states of the state-space layer, one for each chunk",
    "result": "result of {owner}",
    "weight": "weight of {owner}",
    "weight_cast": "16-bit copy of the weight of {owner}, which autocast makes",
    "weight_gradient": "gradient of the weight of {owner}",
    "weight_gradient_half": "gradient of the weight of {owner} in 16 bits, before it is added",
    "optimizer_state": "optimiser state of {owner}",
    "optimizer_temporary": "temporary of the optimiser for {owner}",
    "fsdp_gathered": "weights of the {owner}, gathered from all ranks",
    "fsdp_reduced": "gradients of the {owner}, to be reduced over all ranks",
}
_PHASES = {
    "loading": "while the weights are made or loaded",
    "evaluation": "in an evaluation",
    "forward": "in the forward pass",
    "backward": "in the backward pass",
    "optimizer": "in the optimiser's step",
}


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
        *_around(message),
        *(_remedies(model, setup, memory, room, candidates) if model and setup and memory else _general()),
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
        capacity = (message.capacity[0] + message.capacity[1]) // 2
        if message.allocator == "mps":
            return capacity  # what the allocator allows itself
        return capacity - (CONTEXT_BYTES if outside is None else outside)
    return None if memory_bytes is None else round(memory_bytes * USABLE_FRACTION) - CONTEXT_BYTES


def _headline(message: OomMessage, candidates: tuple[Candidate, ...], guesses: tuple[Guess, ...]) -> Prose:
    if message.requested is None:
        if message.allocator == "cuda":
            return say("out of memory outside PyTorch's allocator: the message says no size")
        return say("out of memory: the message does not say what was asked for")
    asked = _span(message.requested)
    if _is_small(message):
        return say("{asked} is a segment that many small tensors share: its size names no tensor", asked=asked)
    if candidates:
        first = candidates[0]
        return say(
            "{asked} = {product}: the {noun}, {when}",
            asked=asked,
            product=first.tensor.expression,
            noun=_noun(first),
            when=_when(first),
        )
    if guesses:
        return say(
            "{asked} is perhaps {product}: {noun}",
            asked=asked,
            product=guesses[0].expression,
            noun="logits" if guesses[0].kind == "logits" else "attention scores",
        )
    return say("{asked}: no tensor of a training step that is known here has that size", asked=asked)


def _noun(candidate: Candidate) -> str:
    return _NOUNS[candidate.tensor.kind].format(owner=candidate.tensor.owner)


def _when(candidate: Candidate) -> str:
    if candidate.fits is False:  # the setup is not the one of the message: do not tell its steps apart
        return _PHASES[candidate.phase]
    if candidate.phase == "evaluation" and candidate.first_step:
        return "in the evaluation before the first step"
    when = _PHASES[candidate.phase]
    if candidate.first_step is None or candidate.phase == "loading":
        return when
    return f"{when} of the first step" if candidate.first_step else f"{when} of a later step"


def _decoding(
    message: OomMessage, candidates: tuple[Candidate, ...], guesses: tuple[Guess, ...], setup: Setup | None
) -> Iterator[Prose]:
    """Say how the tensor follows from the sizes, and what else it could be."""
    if _is_small(message):
        yield say("memory was full before it")
        return
    if message.phase is not None:
        yield say("the traceback is {phase}", phase=_PHASES[message.phase])
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
                noun=_noun(other),
                when=_when(other),
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
    seen = _span(message.allocated)
    low, high = (_size(size) for size in first.predicted)
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
    """Say what of the card was not this process's tensors."""
    outside = message.outside_bytes
    if outside is None or message.capacity is None or message.free is None or message.allocator == "mps":
        return
    others = outside
    if message.in_use is not None:
        others = max(0, _middle(message.capacity) - _middle(message.free) - _middle(message.in_use))
    if others > USUAL_OUTSIDE_BYTES:
        yield say(
            "{others} of the card's {capacity} is held outside this process's tensors",
            others=_size(others),
            capacity=_span(message.capacity),
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
        yield say("a whole step of this setup allocates about {peak} at its peak", peak=_size(memory.allocated_bytes))
        return
    yield say(
        "a whole step of this setup allocates about {peak} at its peak, and can have {room} of the card{but}",
        peak=_size(memory.allocated_bytes),
        room=_size(room),
        but=": it should fit, so that something else was in memory" if _fits(memory, room) else "",
    )


def _around(message: OomMessage) -> Iterator[Remedy]:
    """Yield remedies that leave the step as it is."""
    outside = message.outside_bytes
    if message.capacity is not None and message.free is not None and outside is not None and message.allocator != "mps":
        others = outside
        if message.in_use is not None:
            others = max(0, _middle(message.capacity) - _middle(message.free) - _middle(message.in_use))
        if others > USUAL_OUTSIDE_BYTES and message.requested is not None:
            yield Remedy(
                "other_programs",
                say("end what else is on the card: nvidia-smi lists it, often an earlier run that has not ended"),
                saved_bytes=others,
            )
    if message.requested is None or message.unallocated is None or message.free is None or message.allocator != "cuda":
        return
    unallocated, free = _middle(message.unallocated), _middle(message.free)
    if free + unallocated >= message.requested[0]:
        yield Remedy(
            "fragmentation",
            say(
                "set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True: {free} free and {held} held in pieces would hold"
                " this tensor, if not what comes after it",
                free=_size(free),
                held=_size(unallocated),
            ),
        )


def _general() -> Iterator[Remedy]:
    yield Remedy(
        "micro_batch", say("halve the micro-batch and double the accumulation: the same tokens a step, exactly")
    )


def _remedies(
    model: Model, setup: Setup, memory: MemoryEstimate, room: int | None, candidates: tuple[Candidate, ...]
) -> tuple[Remedy, ...]:
    """Return what makes the step smaller, with the bytes that it saves of the peak; enough first, then the cheapest."""
    if _fits(memory, room):
        room = None  # the estimate is of another step than the one that failed: it cannot say what is enough
    found = []
    if candidates and candidates[0].phase == "evaluation":
        found += list(_smaller_evaluation(setup, memory, room))
    for kind, action, changed in _changes(model, setup, room):
        then = estimate_memory(model, changed)
        saved = memory.allocated_bytes - then.allocated_bytes
        if saved >= WORTHWHILE * memory.allocated_bytes:
            found.append(Remedy(kind, action, saved, _fits(then, room), changed))
    if room is not None and not any(remedy.enough for remedy in found):
        found += list(_together(model, setup, memory, room, found))
    order = {True: 0, None: 1, False: 2}
    return tuple(sorted(found, key=lambda remedy: order[remedy.enough]))


def _fits(memory: MemoryEstimate, room: int | None) -> bool | None:
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
    divisors = [batch for batch in range(setup.micro_batch - 1, 0, -1) if sequences % batch == 0]
    if not divisors:
        return None
    tried = [replace(setup, micro_batch=batch, gradient_accumulation_steps=sequences // batch) for batch in divisors]
    if room is None:
        return tried[0]
    return next((smaller for smaller in tried if _fits(estimate_memory(model, smaller), room)), tried[-1])


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
        if _fits(estimate_memory(model, changed), room):
            break
    if len(names) < 2:
        return
    then = estimate_memory(model, changed)
    yield Remedy(
        "together",
        say(
            "none alone is enough; together ({names}) a step allocates {peak}",
            names=", ".join(name.replace("_", " ") for name in names),
            peak=_size(then.allocated_bytes),
        ),
        memory.allocated_bytes - then.allocated_bytes,
        _fits(then, room),
        changed,
    )


def render(explanation: OomExplanation, *, width: int = 100) -> str:
    """Return an explanation as plain text.

    Parameters
    ----------
    explanation : OomExplanation
        As :func:`explain_oom` returns it.
    width : int
        Of a line [characters].

    Examples
    --------
    >>> print(render(explain_oom("CUDA error: out of memory")).splitlines()[0])
    Out of memory outside PyTorch's allocator: the message says no size.
    """
    headline = str(explanation.headline)
    out = _wrapped(headline[0].upper() + headline[1:] + ".", "", width)
    if explanation.lines:
        out += ["", *(row for line in explanation.lines for row in _wrapped(str(line), "  ", width))]
    if explanation.others:
        more = "1 more message" if explanation.others == 1 else f"{explanation.others} more messages"
        out += ["", f"  The text holds {more}, of other ranks or attempts."]
    if explanation.remedies:
        out += ["", "What to do, the cheapest that is enough first:"]
        for number, remedy in enumerate(explanation.remedies, 1):
            out += _wrapped(f"{remedy.action}{_effect(remedy)}", f"  {number}. ", width)
    return "\n".join(out) + "\n"


def _effect(remedy: Remedy) -> str:
    parts = []
    if remedy.saved_bytes:
        parts.append(f"saves {_size(remedy.saved_bytes)}")
    if remedy.enough is not None:
        parts.append(
            "then it fits" if remedy.enough else "not enough alone" if remedy.kind != "together" else "not enough"
        )
    return f" [{', '.join(parts)}]" if parts else ""


def _wrapped(text: str, lead: str, width: int) -> list[str]:
    indent = " " * max(len(lead), 2)
    return textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=indent, break_long_words=False) or [""]


def _middle(span: Span) -> int:
    return (span[0] + span[1]) // 2


def _span(span: Span) -> str:
    return _size(_middle(span))


def _size(size: int) -> str:
    """Return bytes as PyTorch prints them (``format_size`` of c10)."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size > factor:
            return f"{size / factor:.2f} {unit}"
    return f"{size} bytes"
