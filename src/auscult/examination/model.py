"""What is trained: shape, parameters, and what comments claim about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property

from ..architectures import Model
from ..errors import BadConfig
from ..facts.accumulation import TOLERANCE, accumulation_factor
from ..facts.claims import Claim, find_claims
from ..facts.parameters import ParameterCount, count_gpt2, count_parameters, infer_vocab_and_bias
from ..run import Known, Quantity, Run, Unknown, derive, known, value_of
from .blueprint import counting_formula, drawn, of_gpt2, trains_a_part, unlike_printed
from .naming import key_of

__all__ = ["ModelFacts", "Shape"]

NANOGPT_CONVENTION = "total without the position table"
"""What nanoGPT's `number of parameters` counts (model.py, get_num_params)."""
COUNTED_FAMILIES = frozenset({"gpt2"})
"""Families whose parameters are counted here; the figure that the trainer printed stands in for others."""
VOCABULARY_SLACK_NATS = 1.0
"""A first loss this far below ln(vocabulary) is not that of a fresh model with that vocabulary."""
FRESH_STEPS = 50
"""A first record up to here still shows about the loss of a fresh model; later ones show what was learned."""
NO_LOG = "there is no log"


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

    def word(self, setting: str) -> str:
        """Return what the run's config calls a setting, without its table."""
        return (key_of(self.run, setting) or setting).rpartition(".")[2]

    @cached_property
    def has_log(self) -> bool:
        """Whether a log or a file of metrics was read, be it empty of metrics; a config alone has none."""
        said = (getattr(self.run.logged, item.name) for item in fields(self.run.logged))
        return bool(self.run.series) or not any(isinstance(q, Unknown) and q.reason == NO_LOG for q in said)

    @cached_property
    def vocab_and_bias(self) -> tuple[Quantity[int], Quantity[bool], bool]:
        """Vocabulary and bias, and whether the printed parameter count proved them.

        The config may leave both to defaults; a printed count that fits just one combination settles them.
        """
        a, logged = self.run.recipe.architecture, self.run.logged
        vocab, bias = a.vocab_size, a.bias
        nanogpt_count = value_of(logged.parameters_convention) == NANOGPT_CONVENTION
        if (
            isinstance(logged.parameters, Known)
            and nanogpt_count
            and all(isinstance(q, Known) for q in (a.n_layer, a.d_model, a.context))
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
            if series is None or not len(series) or series.unit != "nats_per_token":
                continue  # bits of a character, or a loss that is none of a token, say nothing of a vocabulary
            if series.steps[0] == 0 and math.isfinite(series.values[0]):
                return Known(series.values[0], series.source(0))
        return Unknown("the log does not start at step 0")

    @cached_property
    def initial_loss(self) -> Quantity[float]:
        """The loss at step 0 [nats/token]."""
        return self._initial_loss

    @cached_property
    def _first_train_loss(self) -> Quantity[float]:
        """The first logged training loss, where it is that of a model which has hardly been trained."""
        series, init = self.run.get("train_loss"), value_of(self.run.recipe.init_from)
        if series is None or not len(series):
            return Unknown("the log has no training loss")
        if series.unit != "nats_per_token" or series.axis != "step":
            return Unknown("the training loss is not logged in nats per token over steps")
        if init is not None and init != "scratch":
            return Unknown(f"the model starts from {init!r}")
        if series.steps[0] > FRESH_STEPS or any(n.kind == "resumed" for n in self.run.notices):
            return Unknown("the log does not start with a fresh model")
        if not math.isfinite(series.values[0]):
            return Unknown("the first logged loss is not finite")
        return Known(series.values[0], series.source(0))

    @cached_property
    def loss_scale_factor(self) -> Quantity[float]:
        """By what the logged training loss exceeds the loss of a token: 1, unless accumulation scaled it."""
        first, (vocab, _bias, _proved) = self._first_train_loss, self.vocab_and_bias
        if isinstance(first, Unknown):
            return first
        if isinstance(vocab, Unknown):
            return Unknown(f"needs vocab_size: {vocab.reason}")
        if vocab.value < 2:
            return Unknown("a vocabulary of fewer than 2 tokens has no loss")
        ratio = first.value / math.log(vocab.value)
        if abs(ratio - 1) <= TOLERANCE:
            return known(1.0, "the first logged loss is ln(vocabulary)", first, vocab)
        micro_batches = self.run.recipe.gradient_accumulation_steps
        found = accumulation_factor(first.value, [vocab.value], accumulation=value_of(micro_batches))
        if found is None or (found.factor < 1 and value_of(self.run.recipe.init_from) != "scratch"):
            return Unknown(
                f"the first logged loss, {first.value:.2f}, is {ratio:.2f} times ln({vocab.value:,}): neither the loss"
                " of a fresh model nor a whole multiple of it"
            )
        also = (micro_batches,) if isinstance(micro_batches, Known) else ()
        return known(found.factor, "first logged loss / ln(vocabulary)", first, vocab, *also)

    @cached_property
    def shape(self) -> Quantity[Shape]:
        """The architecture's numbers, when all are known and the family is one that is counted."""
        a = self.run.recipe.architecture
        if isinstance(a.family, Unknown):
            return a.family
        if a.family.value not in COUNTED_FAMILIES:
            article = "an" if a.family.value[:1].lower() in "aeio" else "a"
            return Unknown(
                f"edits of a shape are worked out for GPT-2 only, and this is {article} {a.family.value} model"
            )
        if isinstance(a.d_ff, Known) and isinstance(a.d_model, Known) and a.d_ff.value != 4 * a.d_model.value:
            return Unknown("the MLP is not four times as wide as the model: not the GPT-2 that is counted")
        if isinstance(a.tied, Known) and not a.tied.value:
            return Unknown("the output head is not tied to the embedding: not the GPT-2 that is counted")
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
    def model(self) -> Quantity[Model]:
        """The blueprint of the model, where enough of it is known.

        A whole config comes first; a GPT-2 follows from its shape, of which the printed count may prove a part.
        """
        a = self.run.recipe.architecture
        if isinstance(a.details, Known):
            return drawn(a, a.details, self.vocab_and_bias[0], self.run.logged)
        if isinstance(a.family, Unknown):
            return a.family
        if a.family.value not in COUNTED_FAMILIES:
            return a.details
        return self._gpt2(self.shape) if isinstance(self.shape, Known) else self.shape

    def _gpt2(self, shape: Known[Shape]) -> Quantity[Model]:
        a, s = self.run.recipe.architecture, shape.value
        if isinstance(a.n_kv_head, Known) and a.n_kv_head.value != s.n_head:
            return Unknown("keys and values have heads of their own number: not the GPT-2 that is counted")
        numbers = {item.name: getattr(s, item.name) for item in fields(Shape)}
        if s.d_model % s.n_head:
            numbers["n_head"] = (
                1  # no count depends on the heads; that they do not divide the width is a finding of its own
            )
        try:
            model = of_gpt2(**numbers)
        except BadConfig as error:
            return Unknown(error.what)
        return known(model, "GPT-2 of this shape", shape)

    @cached_property
    def parameter_count(self) -> Quantity[ParameterCount]:
        """Exact parameters by part.

        Unknown where the family is only concluded from a trainer's settings and the count that it printed fits no way of
        counting: the model's code is then another.
        """
        if isinstance(self.model, Unknown):
            return self.model
        count = known(count_parameters(self.model.value), counting_formula(self.model.value), self.model)
        a = self.run.recipe.architecture
        concluded = isinstance(a.family, Known) and a.family.source.how != "read" and isinstance(a.details, Known)
        wrong = unlike_printed(count.value, self.run.logged) if concluded else None
        return Unknown(wrong) if wrong is not None else count

    @cached_property
    def parameters_for_laws(self) -> Quantity[int]:
        """N for the 20-tokens rule and the laws: all parameters but the position table."""
        count = self.parameter_count
        if isinstance(count, Unknown) and isinstance(self.run.logged.parameters, Known):
            low, high = self.run.logged.parameters.value
            return known((low + high) // 2, "the printed count, to its rounding", self.run.logged.parameters)
        if isinstance(count, Known) and count.value.inactive_experts:
            return Unknown("the laws were fitted to dense models: a mixture of experts has no single N")
        if isinstance(count, Known) and (frozen := trains_a_part(self.run, count.value)) is not None:
            return Unknown(frozen)
        if isinstance(self.model, Known) and not all(one.causal for one, _layers in self.model.value.attentions):
            return Unknown("the laws were fitted to causal models: a masked one predicts few of the tokens it reads")
        return derive("all but the position table", lambda count: count.without_position, count=count)

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
