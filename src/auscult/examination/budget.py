"""Tokens: per step, seen, planned, against parameters and data; and claims judged against them."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TypeVar

from ..facts.claims import Judgement, Yardstick, judge
from ..facts.scaling import outside_fits
from ..facts.tokens import CHINCHILLA_TOKENS_PER_PARAMETER, tokens_per_step
from ..run import Known, Quantity, Series, Source, Unknown, derive, known, value_of
from .model import ModelFacts
from .naming import trainer_of

__all__ = ["MAX_FRESH_EPOCHS", "BudgetFacts"]

T = TypeVar("T")

OF_A_STEP = frozenset({"train_loss", "step_time_s", "learning_rate", "grad_norm", "loss_scale", "mfu", "tokens_per_s"})
"""Series that exist because a step was made, also where its loss is not logged."""
MAX_FRESH_EPOCHS = 4.0
"""Up to four epochs are about as good as fresh data (Muennighoff et al. 2023, arXiv:2305.16264)."""


class BudgetFacts(ModelFacts):
    """Facts about tokens."""

    @cached_property
    def tokens_per_step(self) -> Quantity[int]:
        """Tokens of one optimiser step, all ranks [tokens]."""
        recipe, logged = self.run.recipe, self.run.logged.tokens_per_step
        if isinstance(logged, Known) and trainer_of(self.run) == "auscult train":
            return logged  # it asks for the tokens, and the passes follow from them
        quantity = derive(
            "batch_size · gradient_accumulation_steps · block_size",
            lambda batch_size, gradient_accumulation_steps, block_size: tokens_per_step(
                batch_size=batch_size, gradient_accumulation_steps=gradient_accumulation_steps, context=block_size
            ),
            batch_size=recipe.batch_size,
            gradient_accumulation_steps=recipe.gradient_accumulation_steps,
            block_size=recipe.architecture.context,
        )
        return quantity if isinstance(quantity, Known) else (logged if isinstance(logged, Known) else quantity)

    @property
    def _over_steps(self) -> list[Series]:
        """The series whose axis is the optimiser step; any others, where there are none of these."""
        series = [s for s in self.run.series if len(s)]
        return [s for s in series if s.axis == "step"] or series

    @cached_property
    def last_step(self) -> Quantity[int]:
        """The last step that the log shows."""
        best: tuple[int, Source] | None = None
        for series in self._over_steps:
            step = max(series.steps)
            if best is None or step > best[0]:
                best = (step, series.source(len(series) - 1 - series.steps[::-1].index(step)))
        return Known(*best) if best else Unknown("there is no log")

    @cached_property
    def first_step(self) -> Quantity[int]:
        """The first step that the log shows of training; an evaluation before it is none, where there are others."""
        trained = [series for series in self._over_steps if series.name in OF_A_STEP]
        firsts = [(series.steps[0], series.source(0)) for series in trained or self._over_steps]
        return Known(*min(firsts, key=lambda pair: pair[0])) if firsts else Unknown("there is no log")

    @cached_property
    def steps_planned(self) -> Quantity[int]:
        """The planned last step, counted as the log counts: in iterations, where LitGPT logs those."""
        recipe = self.run.recipe
        if all(notice.kind != "steps_are_iterations" for notice in self.run.notices):
            return recipe.max_steps
        return derive(
            "max_steps · micro-batches of one rank in a step",
            lambda steps, micro_batches, ranks: steps * micro_batches // ranks,
            steps=recipe.max_steps,
            micro_batches=recipe.gradient_accumulation_steps,
            ranks=recipe.world_size,
        )

    @cached_property
    def tokens_seen(self) -> Quantity[int]:
        """Tokens trained on up to the last step of the log [tokens]."""
        counted = self.run.logged.tokens_seen  # the trainer's own counter knows of ramps, restarts and micro-steps
        if isinstance(counted, Known):
            return counted
        return derive(
            "steps · tokens per step",
            lambda step, per_step: step * per_step,
            step=self.last_step,
            per_step=self.tokens_per_step,
        )

    @staticmethod
    def _or_logged(derived: Quantity[T], logged: Quantity[T]) -> Quantity[T]:
        """Return what follows from the recipe, or where it does not follow the trainer's own figure."""
        return derived if isinstance(derived, Known) or isinstance(logged, Unknown) else logged

    @cached_property
    def tokens_planned(self) -> Quantity[int]:
        """Tokens over all planned steps [tokens]."""
        return self._or_logged(
            derive(
                f"{self.word('max_steps')} · tokens per step",
                lambda steps, per_step: steps * per_step,
                steps=self.run.recipe.max_steps,
                per_step=self.tokens_per_step,
            ),
            self.run.logged.tokens_planned,
        )

    @cached_property
    def tokens_for_budget(self) -> Quantity[int]:
        """Tokens seen, or planned where there is no log [tokens]."""
        return self.tokens_seen if isinstance(self.tokens_seen, Known) else self.tokens_planned

    @cached_property
    def tokens_per_parameter(self) -> Quantity[float]:
        """Tokens over parameters (position table left out)."""
        return derive(
            "tokens / N", lambda tokens, n: tokens / n, tokens=self.tokens_for_budget, n=self.parameters_for_laws
        )

    @cached_property
    def chinchilla_ratio(self) -> Quantity[float]:
        """Tokens over 20 per parameter."""
        return derive(
            "tokens / (20·N)", lambda ratio: ratio / CHINCHILLA_TOKENS_PER_PARAMETER, ratio=self.tokens_per_parameter
        )

    def outside_fits(self, *, parameters: float | None = None, tokens: float | None = None) -> str | None:
        """Return why published runs say nothing of this one in nats a token; None where they may.

        Where the vocabulary is not known, the loss at initialisation, about its logarithm, gives it away.
        """
        vocabulary: float | None = value_of(self.vocab_and_bias[0])
        if vocabulary is None and (first := value_of(self.initial_loss)) is not None:
            vocabulary = math.exp(min(first, 30.0))
        return outside_fits(parameters=parameters, tokens=tokens, vocabulary=vocabulary)

    @cached_property
    def epochs(self) -> Quantity[float]:
        """Passes over the training split."""
        return self._or_logged(
            derive(
                "tokens / tokens of the training split",
                lambda tokens, train_tokens: tokens / train_tokens,
                tokens=self.tokens_for_budget,
                train_tokens=self.run.data.train_tokens,
            ),
            self.run.logged.epochs,
        )

    @cached_property
    def epochs_planned(self) -> Quantity[float]:
        """Passes over the training split by the planned end (by the last step, where that is later or no plan is known)."""
        tokens = max((q.value for q in (self.tokens_planned, self.tokens_seen) if isinstance(q, Known)), default=None)
        source = self.tokens_planned if isinstance(self.tokens_planned, Known) else self.tokens_seen
        if tokens is None or isinstance(source, Unknown):
            return self.epochs
        return derive(
            "planned tokens / tokens of the training split",
            lambda t, train_tokens: t / train_tokens,
            t=Known(tokens, source.source),
            train_tokens=self.run.data.train_tokens,
        )

    @cached_property
    def yardstick(self) -> Yardstick:
        """What those claims are measured against."""
        count, recipe = value_of(self.parameter_count), self.run.recipe
        return Yardstick(
            parameters=(count.total, count.without_position, count.non_embedding, count.active) if count else None,
            tokens_planned=value_of(self.tokens_planned),
            tokens_per_step=value_of(self.tokens_per_step),
            batch_size=value_of(recipe.batch_size),
            gradient_accumulation_steps=value_of(recipe.gradient_accumulation_steps),
            context=value_of(recipe.architecture.context),
        )

    @cached_property
    def judgements(self) -> Quantity[tuple[Judgement, ...]]:
        """Each claim with what it should say."""
        if not self.claims:
            return Unknown("no comment or name in the config states a number that can be checked")
        return known(judge(self.claims, self.yardstick), "claims against arithmetic")
