"""A run with its facts, each computed once when first asked. This is what a check receives."""

from __future__ import annotations

from functools import cached_property

from ..facts.scaling import Anchor, Band, anchored_floor, anchored_loss, find_anchor
from ..run import Known, Quantity, Source, Unknown, derive, value_of
from .budget import MAX_FRESH_EPOCHS
from .curve import ANNEALED_BELOW, MIN_EVALUATIONS, CurveFacts, Gap, Rise
from .model import Shape
from .naming import key_of, trainer_of

__all__ = [
    "ANNEALED_BELOW",
    "MAX_FRESH_EPOCHS",
    "MIN_EVALUATIONS",
    "Examination",
    "Gap",
    "Rise",
    "Shape",
    "key_of",
    "trainer_of",
]


class Examination(CurveFacts):
    """A run and what follows from it by arithmetic.

    Every public attribute is ``Known`` with its sources, or ``Unknown`` with the reason, except a few plain ones
    (``has_log``, ``claims``, ``yardstick``, ``evaluated_steps``). Nothing is computed before it is asked for, and
    nothing twice. The facts stand in one file a subject, each building on the one before: model, budget, machine,
    curve, and here what to expect.
    """

    def anchor_for(self, parameters: float, tokens: float, *, annealed: bool) -> Quantity[Anchor]:
        """The known run nearest to a point, on this run's corpus and tokenizer."""
        dataset = self.run.recipe.dataset
        if isinstance(dataset, Unknown):
            return dataset
        epochs = value_of(self.epochs_planned)
        if epochs is not None and epochs > MAX_FRESH_EPOCHS:
            return Unknown(f"the known runs read fresh data; this plan passes {epochs:.0f} times over its own")
        vocab, _bias, _proved = self.vocab_and_bias
        if value_of(vocab) not in (50_257, 50_304):
            return Unknown("the known runs use GPT-2's tokenizer; this run's vocabulary is another or unknown")
        anchor = find_anchor(dataset.value, parameters, tokens, annealed=annealed)
        if anchor is None:
            return Unknown(f"no known run on {dataset.value!r} within a factor of 8 in parameters and tokens")
        return Known(
            anchor,
            Source(
                "derived",
                formula=f"{anchor.name}: {anchor.loss} after {anchor.tokens / 1e9:.2f}B tokens",
                text=anchor.source,
                inputs=(dataset.source,),
            ),
        )

    @cached_property
    def expected_loss(self) -> Quantity[Band]:
        """The loss that a healthy run of this size, data and schedule phase shows here [nats/token]."""
        if isinstance(self.parameters_for_laws, Unknown):
            return self.parameters_for_laws
        if isinstance(self.tokens_for_budget, Unknown):
            return self.tokens_for_budget
        if isinstance(self.annealed, Unknown):
            return self.annealed
        n, tokens = self.parameters_for_laws.value, self.tokens_for_budget.value
        if tokens <= 0:
            return Unknown("no token has been seen")
        anchor = self.anchor_for(n, tokens, annealed=self.annealed.value)
        return derive("an anchored law", lambda anchor: anchored_loss(anchor, n, tokens), anchor=anchor)

    @cached_property
    def floor(self) -> Quantity[Band]:
        """Where the loss of this model would end with unlimited tokens [nats/token]; wide by nature."""
        if isinstance(self.parameters_for_laws, Unknown) or isinstance(self.tokens_for_budget, Unknown):
            return Unknown("parameters or tokens are unknown")
        n = self.parameters_for_laws.value
        anchor = self.anchor_for(n, max(self.tokens_for_budget.value, 1), annealed=True)
        return derive("an anchored law, tokens → ∞", lambda anchor: anchored_floor(anchor, n), anchor=anchor)
