"""Which tensor an allocator was asked for when memory ran out, and in which phase of a step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ..architectures import Model
from .memory import activation_slopes, logit_slopes, model_states
from .setup import Setup
from .step_tensors import StepPhase, StepTensor, step_tensors

__all__ = ["Candidate", "Guess", "decode_request", "factor_request", "tensor_bytes"]

Span: TypeAlias = tuple[int, int]
"""The least and the most bytes."""

ROUND_LARGE = 2 * 2**20
"""A CUDA request is rounded up to it (``kRoundLarge``), and what is below 1 MiB shares segments of that size."""
SMALL, LARGE_BUFFER, LEAST_LARGE = 2**20, 20 * 2**20, 10 * 2**20
"""Up to 1 MiB a segment of 2 MiB is asked for; below 10 MiB one of 20 (``kSmallSize``, ``kLargeBuffer``,
``kMinLargeAlloc``)."""
PAGE, XLA_BLOCK = 16 * 2**10, 256
"""MPS rounds up to a page; XLA's BFC allocator to 256 bytes."""
ACTIVATIONS_UNCERTAIN = 0.15
"""Down and up, as in :mod:`auscult.facts.memory.peak`."""
SLACK_FRACTION, LEAST_SLACK_BYTES = 0.01, 64 * 2**20
"""What a prediction of allocated memory may be off besides: workspaces (cuBLAS alone takes 8 to 32 MiB), the batch, rounding
of small tensors. Chosen, not measured."""
CLEARLY = 3.0
"""The first step is told from later ones where it is this many times as likely, or as unlikely."""
FEWEST_TOKENS = 128
"""Of logits that are guessed at: fewer are small beside everything else, and their number must be this round as well."""
LEAST_CONTEXT = 512
"""Of attention scores that are guessed at: below, they are smaller than the activations beside them."""
MOST_ODD = 128
"""The largest odd part of a guess: of batches and of numbers of heads, 19 and 25 occur, 393 does not."""
MOST_BATCH = 4096
"""Of a guess: sequences, or sequences times heads."""
LEAST_ROUND = 64
"""A guess whose number is less round than the roundest by more than this factor is left out."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tensor whose size is the one asked for, at the moment of a step that fits best what was allocated.

    Attributes
    ----------
    tensor : StepTensor
        What it is, and its size as a product.
    phase : str
        When it was asked for: the best fitting of its phases.
    first_step : bool or None
        True before the optimiser has stepped once, so that it has no states yet; False after; None where memory cannot tell.
    predicted : (int, int)
        What PyTorch would have allocated at that moment [bytes].
    fits : bool or None
        Whether what was allocated lies there; None where the message does not say what was.
    share : float
        Of the likelihood of all candidates, 0 to 1: a wide prediction that fits counts less than a narrow one.
    """

    tensor: StepTensor
    phase: StepPhase
    first_step: bool | None
    predicted: Span
    fits: bool | None
    share: float


@dataclass(frozen=True, slots=True)
class Guess:
    """A product of usual numbers that makes the size, where the model or its batch is not known.

    ``rows`` is the number of tokens for logits (``kind`` is ``logits``) and batch times heads for ``attention_scores``.
    """

    kind: str
    rows: int
    context: int | None
    vocabulary: int | None
    item_bytes: int

    @property
    def size_bytes(self) -> int:
        """The product [bytes]."""
        if self.vocabulary is not None:
            return self.rows * self.vocabulary * self.item_bytes
        return self.rows * (self.context or 1) ** 2 * self.item_bytes

    @property
    def expression(self) -> str:
        """The product as one writes it down."""
        if self.vocabulary is None:
            return f"{self.rows}·{self.context}·{self.context}·{self.item_bytes} B"
        tokens = f"{self.rows // self.context}·{self.context}" if self.context else f"{self.rows}"
        return f"{tokens}·{self.vocabulary}·{self.item_bytes} B"


def tensor_bytes(requested: Span, allocator: str = "cuda") -> Span:
    """Return the sizes of a tensor for which an allocator asks for this much [bytes].

    Parameters
    ----------
    requested : (int, int)
        What the message prints, as an interval.
    allocator : str
        ``cuda``, ``mps``, ``xla`` or ``cpu``.

    Returns
    -------
    (int, int)
        Both ends are possible.

    Notes
    -----
    With ``PYTORCH_CUDA_ALLOC_CONF=roundup_power2_divisions`` requests are rounded up further, which a message does not show.

    References
    ----------
    PyTorch ``c10/cuda/CUDACachingAllocator.cpp``: ``get_allocation_size``; the message prints ``alloc_size``. MPS:
    ``aten/src/ATen/mps/MPSAllocator.mm``. XLA: ``bfc_allocator.cc``, ``RoundedBytes``.

    Examples
    --------
    >>> low, high = tensor_bytes((394 * 2**20, 394 * 2**20))
    >>> low <= 2 * 1024 * 50304 * 4 <= high, high - low < 2 * 2**20
    (True, True)
    """
    low, high = requested
    if allocator == "cpu":
        return low, high
    if allocator == "mps":
        return max(1, low - PAGE + 1), high
    if allocator == "xla":
        return max(1, low - XLA_BLOCK + 1), high
    first, last = -(-low // ROUND_LARGE) * ROUND_LARGE, high // ROUND_LARGE * ROUND_LARGE
    if last < first:
        return low, high  # no multiple prints like this: another allocator's message
    if last == ROUND_LARGE:
        return 1, SMALL
    if first <= LARGE_BUFFER <= last:
        return SMALL + 1, last
    return max(LEAST_LARGE, first - ROUND_LARGE + 1), last


def decode_request(
    requested: Span,
    model: Model,
    setup: Setup,
    *,
    allocator: str = "cuda",
    allocated: Span | None = None,
    phase: StepPhase | None = None,
) -> tuple[Candidate, ...]:
    """Return the tensors of a training step that an allocator asks this much for, the likeliest first.

    Parameters
    ----------
    requested : (int, int)
        As printed, an interval [bytes].
    model, setup : Model, Setup
        What was trained and how.
    allocator : str
        Whose rounding is undone, as in :func:`tensor_bytes`.
    allocated : (int, int), optional
        What was allocated when the request failed [bytes]: it tells tensors of one size apart, and the phase.
    phase : str, optional
        Where a traceback tells it: tensors of other phases are left out, unless nothing else has the size.

    Returns
    -------
    tuple of Candidate
        Empty where no tensor listed by :func:`auscult.facts.step_tensors.step_tensors` has that size.

    Notes
    -----
    Each tensor is asked for at moments at which a known set of others is there: weights and, after the first step, optimiser
    states; in a forward pass the activations saved so far; at the loss the logits and the copies made before. A moment's
    likelihood is that of a uniform density over the predicted interval with the tails of a Cauchy density outside, for the
    prediction may be of another trainer's code; without
    ``allocated`` all are alike, and the order is that of the step.

    References
    ----------
    The moments follow those of :func:`auscult.facts.memory.estimate_memory`; the test case is karpathy/nanoGPT issue 88.

    Examples
    --------
    >>> from auscult.architectures import build
    >>> model = build({"model_type": "gpt2", "vocab_size": 50304})
    >>> gib = 2**30
    >>> first, *_others = decode_request((round(6.135 * gib), round(6.145 * gib)), model,
    ...     Setup(micro_batch=32, context=1024, precision="amp_fp16"),
    ...     allocated=(round(10.155 * gib), round(10.165 * gib)))
    >>> first.tensor.expression, first.phase, first.first_step
    ('32·1024·50304·4 B', 'evaluation', True)
    """
    low, high = tensor_bytes(requested, allocator)
    present = _present(model, setup)
    seen = None if allocated is None else (allocated[0] + allocated[1]) / 2
    weighed: list[tuple[float, StepTensor, _Moment]] = []
    for tensor in step_tensors(model, setup):
        if low <= tensor.size_bytes <= high:
            moments = list(_moments(tensor, present))
            moments = [moment for moment in moments if moment.phase == phase] or moments
            best = _likeliest(moments, seen)
            weighed.append((best.likelihood(seen), tensor, best))
    weighed = [item for item in weighed if item[2].phase == phase] or weighed
    total = math.fsum(weight for weight, _tensor, _moment in weighed)
    found = [
        Candidate(
            tensor,
            moment.phase,
            moment.first_step,
            (round(moment.low), round(moment.high)),
            None if seen is None else moment.holds(seen),
            weight / total if total > 0 else 1 / len(weighed),
        )
        for weight, tensor, moment in weighed
    ]
    return tuple(sorted(found, key=lambda candidate: -candidate.share))


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is predicted to be allocated just before a request [bytes]."""

    phase: StepPhase
    first_step: bool | None
    low: float
    high: float

    @property
    def slack(self) -> float:
        return LEAST_SLACK_BYTES + SLACK_FRACTION * self.high

    def holds(self, allocated: float) -> bool:
        return self.low - self.slack <= allocated <= self.high + self.slack

    def likelihood(self, allocated: float | None) -> float:
        if allocated is None:
            return 1.0
        outside = max(self.low - allocated, allocated - self.high, 0.0)
        return 1 / (1 + (outside / self.slack) ** 2) / (self.high - self.low + 2 * self.slack)


def _likeliest(moments: Sequence[_Moment], allocated: float | None) -> _Moment:
    """Return the moment that fits best, of either step where the first and a later one fit about as well."""
    best = max(moments, key=lambda moment: moment.likelihood(allocated))
    rivals = [
        moment.likelihood(allocated)
        for moment in moments
        if moment.phase == best.phase and moment.first_step != best.first_step
    ]
    if any(rival * CLEARLY > best.likelihood(allocated) for rival in rivals):
        return replace(best, first_step=None)
    return best


@dataclass(frozen=True, slots=True)
class _Present:
    """What is there in each phase [bytes]; ``logits`` is one element for each token and entry of the vocabulary."""

    weights: float
    copies: float
    gradients: float
    optimizer: float
    step: float
    saved: float
    live: float
    flow: float
    held: float
    logits: float
    value: int
    compiled: bool
    accumulates: bool

    @property
    def saved_span(self) -> tuple[float, float]:
        return self.saved * (1 - ACTIVATIONS_UNCERTAIN), self.saved * (1 + ACTIVATIONS_UNCERTAIN)


def _present(model: Model, setup: Setup) -> _Present:
    tokens = -(-setup.tokens_per_pass // setup.context_parallel)
    share = tokens / setup.tensor_parallel
    states, slopes = model_states(model, setup), activation_slopes(model, setup)
    kept = {
        "none": slopes.blocks + slopes.scores * setup.context,
        "full": slopes.inputs,
        "selective": slopes.selected,
    }[setup.checkpointing]
    recomputed = slopes.live + slopes.live_scores * setup.context if setup.checkpointing != "none" else 0
    return _Present(
        weights=states.weights,
        copies=states.autocast_copies + states.buckets,
        gradients=states.gradients,
        optimizer=states.optimizer,
        step=states.step,
        saved=share * (kept / setup.pipeline_parallel + slopes.ends),
        live=share * recomputed,
        flow=share * (slopes.gradients + slopes.stream),
        held=share * logit_slopes(model, setup, tokens=tokens).kept,
        logits=share * model.head.d_out,
        value=4 if setup.precision == "fp32" else 2,
        compiled=setup.loss_path == "compiled",
        accumulates=setup.gradient_accumulation_steps > 1,
    )


def _moments(tensor: StepTensor, present: _Present) -> Iterator[_Moment]:
    """Yield the moments at which a tensor is asked for, before and after the optimiser's first step."""
    for phase in tensor.phases:
        if phase == "loading":
            yield _Moment(phase, None, 0, present.weights)
            continue
        if phase == "optimizer":
            yield from _stepping(tensor, present)
            continue
        for first_step in (True, False):
            states = 0 if first_step else present.optimizer
            # Earlier passes of an accumulated step leave their gradients.
            for gradients in (0, present.gradients) if present.accumulates and phase != "evaluation" else (0,):
                base = present.weights + states + gradients
                for low, high in _in_pass(tensor, phase, present):
                    yield _Moment(phase, first_step, base + low, base + present.copies + high)


def _stepping(tensor: StepTensor, present: _Present) -> Iterator[_Moment]:
    base = present.weights + present.gradients
    if tensor.kind == "optimizer_state":
        yield _Moment("optimizer", True, base, base + present.optimizer)
        return
    yield _Moment("optimizer", True, base, base + present.optimizer + present.step)
    yield _Moment("optimizer", False, base + present.optimizer, base + present.optimizer + present.step)


def _in_pass(tensor: StepTensor, phase: StepPhase, present: _Present) -> Iterator[tuple[float, float]]:
    """Yield what a pass may hold beyond weights, states and earlier gradients when it asks for a tensor."""
    at_loss = _at_loss(tensor, phase, present)
    if at_loss:
        low, high = present.saved_span if phase != "evaluation" else (0.0, present.flow)
        for copies in at_loss:
            yield low + copies * present.logits, high + copies * present.logits
        return
    high = present.saved_span[1]
    match phase:
        case "evaluation":
            yield 0.0, 2 * present.flow
        case "forward":
            yield 0.0, high
        case _:
            own = 0 if present.accumulates else present.gradients
            yield 0.0, high + present.live + 2 * present.flow + present.held + own


def _at_loss(tensor: StepTensor, phase: StepPhase, present: _Present) -> tuple[int, ...]:
    """Return how many bytes of each logit, copies included, may be there when one of them is asked for; () for other tensors.

    Eager cross-entropy makes, in order: logits, fp32 copy, log-softmax; backwards the gradients of log-softmax and of the
    logits. A caller may hold the logits, and a loss that shifts them makes a copy of them more, before or after the fp32 one.
    """
    value = present.value
    copy = 4 if value != 4 else 0
    backward = phase == "backward"
    match tensor.kind:
        case "logits" if not backward:
            return (0,)
        case "logits_copy" if not backward:
            return value, 2 * value
        case "logits_shifted" if not backward:
            return value, value + copy
        case "log_softmax" if not backward:
            return value + copy, value + copy + 4
        case "log_softmax_gradient":
            return 4, value + 4, value + 8
        case "logits_gradient" if tensor.item_bytes == 4 and not present.compiled:
            return 8, value + 8, value + 12
        case "logits_gradient":
            return value, value + 4
        case "logits_gradient_half":
            return 4, 8, value + 8, value + 12
        case _:
            return ()


def factor_request(
    requested: Span,
    *,
    vocabularies: Sequence[int],
    contexts: Sequence[int],
    allocator: str = "cuda",
) -> tuple[Guess, ...]:
    """Return products of usual numbers that make a request, the roundest first.

    Parameters
    ----------
    requested : (int, int)
        As printed, an interval [bytes].
    vocabularies, contexts : sequence of int
        To try: those of the model where it is known, else usual ones.
    allocator : str
        Whose rounding is undone.

    Returns
    -------
    tuple of Guess
        For logits of each vocabulary in 2 and 4 bytes the roundest number of tokens; for attention scores whole numbers of
        batch times heads.

    Notes
    -----
    Roundness is the largest power of two that divides the number of tokens: batches and contexts are mostly powers of two.
    A wide interval (sizes printed in GiB) fits many products, so that these are guesses.

    References
    ----------
    The shapes are those of ``torch.nn.functional.cross_entropy`` and of attention that stores its scores.

    Examples
    --------
    >>> size = 2 * 1024 * 50304 * 4
    >>> asked = -(-size // 2**21) * 2**21
    >>> [guess.expression for guess in factor_request((asked, asked), vocabularies=(50304,), contexts=(1024,))]
    ['4·1024·50304·2 B', '2·1024·50304·4 B']
    """
    low, high = tensor_bytes(requested, allocator)
    if high <= SMALL:
        return ()
    found: list[tuple[int, Guess]] = []
    for vocabulary in vocabularies:
        for item in (2, 4):
            tokens = _roundest(-(-low // (vocabulary * item)), high // (vocabulary * item))
            if tokens is not None and _power(tokens) >= FEWEST_TOKENS and tokens // _power(tokens) <= MOST_ODD:
                context = next((c for c in contexts if tokens % c == 0 and tokens // c <= MOST_BATCH), None)
                found.append((_power(tokens), Guess("logits", tokens, context, vocabulary, item)))
    for context in contexts:
        for item in (2, 4) if context >= LEAST_CONTEXT else ():
            rows = _roundest(-(-low // (context**2 * item)), high // (context**2 * item))
            if rows is not None and rows <= MOST_BATCH and rows // _power(rows) <= MOST_ODD:
                found.append((_power(rows), Guess("attention_scores", rows, context, None, item)))
    best = max((roundness for roundness, _guess in found), default=0)
    found = [item for item in found if item[0] * LEAST_ROUND >= best]
    return tuple(guess for _roundness, guess in sorted(found, key=lambda item: -item[0]))


def _roundest(low: int, high: int) -> int | None:
    """Return the number of an interval that the largest power of two divides."""
    if low > high or high < 1:
        return None
    step = 1 << high.bit_length()
    while step > 1 and -(-low // step) > high // step:
        step //= 2
    number = -(-max(low, 1) // step) * step
    return number if number <= high else None


def _power(number: int) -> int:
    """Return the largest power of two that divides a number."""
    return number & -number
