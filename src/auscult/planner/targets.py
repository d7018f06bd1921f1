"""From what a person aims at to a model and its tokens: a known model, a size, a loss, or the time there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..architectures import Model, build
from ..errors import UsageError
from ..facts.parameters import count_parameters
from ..facts.scaling import Anchor, Band, anchored_loss, find_anchor
from ..facts.tokens import CHINCHILLA_TOKENS_PER_PARAMETER
from ..prose import Prose, say, si
from .request import Request
from .shapes import like, pad_vocabulary, shapes_for

__all__ = ["Target", "aim", "compute_optimal_tokens", "expected_loss", "parameters_for_hours"]

MAX_SHAPES = 3
"""Architectures of one size that are worth comparing: the nearest to it, and two others."""
SEARCH_FROM, SEARCH_TO = 1e6, 1e12
"""Between these sizes a loss is aimed at or time is spent [parameters]."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model to plan for, and why it is this one.

    Attributes
    ----------
    config : mapping
        Its architecture, keys as in transformers.
    model : Model
        Its blueprint.
    why : Prose
        How the target led to it.
    """

    config: Mapping[str, Any]
    model: Model
    why: Prose


def aim(request: Request, seconds_per_token: Callable[[Model], float]) -> tuple[Target, ...]:
    """Return the models that a request aims at, the most fitting first.

    Parameters
    ----------
    request : Request
        With one of ``like``, ``params`` and ``loss``, or with ``hours`` alone.
    seconds_per_token : callable
        The time that a model takes for a token on all cards of the machine together [s/token].

    Raises
    ------
    UsageError
        When it aims at nothing, or at a loss that cannot be told or reached.
    """
    if request.like is not None:
        config = dict(like(request.like))
        if request.context is not None and "n_positions" in config:
            config["n_positions"] = request.context
        why = say("the shape of {name}", name=request.like)
        vocab = build(config).vocab_size
        if (padded := pad_vocabulary(vocab)) != vocab:
            config["vocab_size"] = padded
            why = say(
                "the shape of {name}, its vocabulary of {vocab:count} padded to whole tiles",
                name=request.like,
                vocab=vocab,
            )
        return (Target(config, build(config), why),)
    if request.params is not None:
        return _of_size(request.params, request, say("the size asked for"))
    if request.loss is not None:
        return _for_loss(request.loss, request)
    if request.hours is not None:
        size = parameters_for_hours(request, seconds_per_token)
        why = say(
            "the largest model whose {ratio} tokens per parameter fit into {hours:.3g} hours",
            ratio=CHINCHILLA_TOKENS_PER_PARAMETER,
            hours=request.hours,
        )
        if request.tokens is not None:
            why = say(
                "the largest model that sees {tokens:si} tokens in {hours:.3g} hours",
                tokens=request.tokens,
                hours=request.hours,
            )
        return _of_size(size, request, why)
    raise UsageError(
        "There is nothing to plan for yet. Next: name a target: --recipe FILE, --like gpt2, --params 124M, --loss 3.2, or the"
        " time there is: --hours 48."
    )


def compute_optimal_tokens(parameters: int) -> int:
    """Return 20 tokens for each parameter, the budget that is planned where none is given [tokens].

    Examples
    --------
    >>> compute_optimal_tokens(124_000_000)
    2480000000
    """
    return CHINCHILLA_TOKENS_PER_PARAMETER * parameters


def expected_loss(dataset: str | None, parameters: int, tokens: int) -> tuple[Band, Anchor] | None:
    """Return the loss to expect of an annealed run, and the known run it rests on; None where none is near."""
    anchor = find_anchor(dataset, parameters, tokens, annealed=True) if dataset else None
    return (anchored_loss(anchor, parameters, tokens), anchor) if anchor is not None else None


def parameters_for_hours(request: Request, seconds_per_token: Callable[[Model], float]) -> int:
    """Return the size whose tokens take the hours that there are [parameters].

    Notes
    -----
    Bisection on the logarithm of the size: time grows with it, both by more work for a token and, where no tokens are
    given, by more tokens.
    """
    hours = request.hours
    assert hours is not None

    def needed(size: float) -> float:
        model = build(shapes_for(round(size), **_shape_options(request))[0])
        tokens = request.tokens or compute_optimal_tokens(count_parameters(model).without_position)
        return seconds_per_token(model) * tokens / 3600

    low, high = math.log(SEARCH_FROM), math.log(SEARCH_TO)
    if needed(SEARCH_FROM) > hours:
        raise UsageError(f"--hours: {hours:g} hours are too short for even {si(SEARCH_FROM)} parameters here.")
    while high - low > 0.02:
        middle = (low + high) / 2
        low, high = (middle, high) if needed(math.exp(middle)) <= hours else (low, middle)
    return round(math.exp(low))


def _shape_options(request: Request) -> dict[str, Any]:
    options: dict[str, Any] = {"family": request.family}
    if request.context is not None:
        options["context"] = request.context
    return options


def _of_size(size: int, request: Request, why: Prose) -> tuple[Target, ...]:
    shapes = shapes_for(size, **_shape_options(request))[:MAX_SHAPES]
    return tuple(Target(config, build(config), why) for config in shapes)


def _for_loss(loss: float, request: Request) -> tuple[Target, ...]:
    """Return the smallest models that reach a loss with 20 tokens a parameter, or with the tokens given."""
    if request.dataset is None:
        raise UsageError(
            "--loss: a loss means something on one corpus only. Next: name it with --dataset, such as --dataset fineweb."
        )

    def reached(size: float) -> float | None:
        found = expected_loss(request.dataset, round(size), request.tokens or compute_optimal_tokens(round(size)))
        return found[0].value if found is not None else None

    sizes = [SEARCH_FROM * math.exp(0.05 * i) for i in range(280)]
    told = [(size, value) for size in sizes if (value := reached(size)) is not None]
    if not told:
        raise UsageError(
            f"--loss: no known run on {request.dataset!r} is near enough to tell which model reaches a loss. Next: give"
            " --params and --tokens."
        )
    enough = next((size for size, value in told if value <= loss), None)
    if enough is None or (enough == told[0][0] and told[0][1] < loss):
        (small, high), (large, low) = told[0], told[-1]
        raise UsageError(
            f"--loss: {loss:g} cannot be told on {request.dataset!r}: the known runs there reach from {high:.2f}"
            f" ({si(small)} parameters) to {low:.2f} ({si(large)}). Next: aim in between, or give --params."
        )
    why = say("the smallest model expected to reach {loss:.3g} on {dataset}", loss=loss, dataset=request.dataset)
    return _of_size(round(enough), request, why)
