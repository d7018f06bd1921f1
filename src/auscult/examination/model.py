"""What is trained: shape, parameters, and what comments claim about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from ..facts.claims import Claim, find_claims
from ..facts.parameters import ParameterCount, count_gpt2, infer_vocab_and_bias
from ..run import Known, Quantity, Run, Unknown, derive, known, value_of

__all__ = ["ModelFacts", "Shape"]

VOCABULARY_SLACK_NATS = 1.0
"""A first loss this far below ln(vocabulary) is not that of a fresh model with that vocabulary."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The plain numbers of an architecture whose every number is known."""

    n_layer: int
    n_head: int
    d_model: int
    vocab_size: int
    context: int
    bias: bool

    @property
    def parameters(self) -> ParameterCount:
        """The parameters of this shape, by part."""
        return count_gpt2(
            n_layer=self.n_layer,
            d_model=self.d_model,
            vocab_size=self.vocab_size,
            context=self.context,
            bias=self.bias,
        )


class ModelFacts:
    """Facts about the model that a run trains."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __repr__(self) -> str:
        return f"Examination({self.run!r})"

    @cached_property
    def vocab_and_bias(self) -> tuple[Quantity[int], Quantity[bool], bool]:
        """Vocabulary and bias, and whether the printed parameter count proved them.

        The config may leave both to defaults; a printed count that fits just one combination settles them.
        """
        a, logged = self.run.recipe.architecture, self.run.logged
        vocab, bias = a.vocab_size, a.bias
        if isinstance(logged.parameters, Known) and all(
            isinstance(q, Known) for q in (a.n_layer, a.d_model, a.context)
        ):
            fits = infer_vocab_and_bias(
                logged.parameters.value,
                n_layer=value_of(a.n_layer) or 0,
                d_model=value_of(a.d_model) or 0,
                context=value_of(a.context) or 0,
            )
            if len(fits) == 1:
                sure_vocab = isinstance(vocab, Known) and vocab.source.how == "read"
                sure_bias = isinstance(bias, Known) and bias.source.how == "read"
                formula = "the only vocabulary and bias of GPT-2 that give the printed parameter count"
                if not sure_vocab:
                    vocab = known(fits[0][0], formula, logged.parameters)
                if not sure_bias:
                    bias = known(fits[0][1], formula, logged.parameters)
                return vocab, bias, not (sure_vocab and sure_bias)
        return self._vocab_against_first_loss(vocab), bias, False

    def _vocab_against_first_loss(self, vocab: Quantity[int]) -> Quantity[int]:
        """Drop a defaulted vocabulary that the loss at initialisation, about ln(vocabulary), rules out."""
        first = self._initial_loss
        if not (isinstance(vocab, Known) and vocab.source.how == "default" and isinstance(first, Known)):
            return vocab
        if first.value < math.log(vocab.value) - VOCABULARY_SLACK_NATS:
            return Unknown(
                f"the first loss, {first.value:.2f} at {first.source.place}, is that of a vocabulary of about"
                f" {math.exp(first.value):,.0f}, not {vocab.value:,}; the config does not give it"
            )
        return known(
            vocab.value,
            f"{vocab.source.formula}; the first loss {first.value:.2f} agrees with ln {vocab.value:,}",
            vocab,
            first,
        )

    @cached_property
    def _initial_loss(self) -> Quantity[float]:
        for name in ("train_loss_eval", "train_loss"):
            series = self.run.get(name)
            if series is not None and series.steps[0] == 0 and math.isfinite(series.values[0]):
                return Known(series.values[0], series.source(0))
        return Unknown("the log does not start at step 0")

    @cached_property
    def initial_loss(self) -> Quantity[float]:
        """The loss at step 0 [nats/token]."""
        return self._initial_loss

    @cached_property
    def shape(self) -> Quantity[Shape]:
        """The architecture's numbers, when all are known."""
        a = self.run.recipe.architecture
        vocab, bias, _proved = self.vocab_and_bias
        return derive(
            "the architecture",
            Shape,
            n_layer=a.n_layer,
            n_head=a.n_head,
            d_model=a.d_model,
            vocab_size=vocab,
            context=a.context,
            bias=bias,
        )

    @cached_property
    def parameter_count(self) -> Quantity[ParameterCount]:
        """Exact parameters by part."""
        return derive("V·C + T·C + L(12C² + 2C) + C (GPT-2, by part)", lambda shape: shape.parameters, shape=self.shape)

    @cached_property
    def parameters_for_laws(self) -> Quantity[int]:
        """N for the 20-tokens rule, laws and FLOPs: all parameters but the position table."""
        if isinstance(self.parameter_count, Unknown) and isinstance(self.run.logged.parameters, Known):
            low, high = self.run.logged.parameters.value
            return known((low + high) // 2, "the printed count, to its rounding", self.run.logged.parameters)
        return derive("all but the position table", lambda count: count.without_position, count=self.parameter_count)

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Every checkable claim in comments and names."""
        return find_claims(self.run.comments)

    @cached_property
    def parameters_claimed(self) -> Quantity[Claim]:
        """The parameter count that the config claims: a comment's before a name's."""
        claims = sorted((c for c in self.claims if c.kind == "parameters"), key=lambda c: c.from_name)
        if not claims:
            return Unknown("the config claims no parameter count")
        return Known(claims[0], claims[0].source)
