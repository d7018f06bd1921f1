"""Tokens: per step, seen, planned, against parameters and data; and claims judged against them."""

from __future__ import annotations

from functools import cached_property

from ..facts.claims import Judgement, Yardstick, judge
from ..facts.tokens import CHINCHILLA_TOKENS_PER_PARAMETER, tokens_per_step
from ..run import Known, Quantity, Source, Unknown, derive, known, value_of
from .model import ModelFacts

__all__ = ["MAX_FRESH_EPOCHS", "BudgetFacts"]

MAX_FRESH_EPOCHS = 4.0
"""Up to four epochs are about as good as fresh data (Muennighoff et al. 2023, arXiv:2305.16264)."""


class BudgetFacts(ModelFacts):
    """Facts about tokens."""

    @cached_property
    def tokens_per_step(self) -> Quantity[int]:
        """Tokens of one optimiser step, all ranks [tokens]."""
        recipe = self.run.recipe
        quantity = derive(
            "batch_size · gradient_accumulation_steps · block_size",
            lambda batch_size, gradient_accumulation_steps, block_size: tokens_per_step(
                batch_size=batch_size, gradient_accumulation_steps=gradient_accumulation_steps, context=block_size
            ),
            batch_size=recipe.batch_size,
            gradient_accumulation_steps=recipe.gradient_accumulation_steps,
            block_size=recipe.architecture.context,
        )
        return (
            quantity
            if isinstance(quantity, Known)
            else (self.run.logged.tokens_per_step if isinstance(self.run.logged.tokens_per_step, Known) else quantity)
        )

    @cached_property
    def last_step(self) -> Quantity[int]:
        """The last step that the log shows."""
        best: tuple[int, Source] | None = None
        for series in self.run.series:
            step = max(series.steps)
            if best is None or step > best[0]:
                best = (step, series.source(len(series) - 1 - series.steps[::-1].index(step)))
        return Known(*best) if best else Unknown("there is no log")

    @cached_property
    def first_step(self) -> Quantity[int]:
        """The first step that the log shows."""
        firsts = [(series.steps[0], series.source(0)) for series in self.run.series]
        return Known(*min(firsts, key=lambda pair: pair[0])) if firsts else Unknown("there is no log")

    @cached_property
    def tokens_seen(self) -> Quantity[int]:
        """Tokens trained on up to the last step of the log [tokens]."""
        return derive(
            "steps · tokens per step",
            lambda step, per_step: step * per_step,
            step=self.last_step,
            per_step=self.tokens_per_step,
        )

    @cached_property
    def tokens_planned(self) -> Quantity[int]:
        """Tokens over all planned steps [tokens]."""
        return derive(
            "max_iters · tokens per step",
            lambda steps, per_step: steps * per_step,
            steps=self.run.recipe.max_steps,
            per_step=self.tokens_per_step,
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

    @cached_property
    def epochs(self) -> Quantity[float]:
        """Passes over the training split."""
        return derive(
            "tokens / tokens of the training split",
            lambda tokens, train_tokens: tokens / train_tokens,
            tokens=self.tokens_for_budget,
            train_tokens=self.run.data.train_tokens,
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
            parameters=(count.total, count.without_position, count.non_embedding) if count else None,
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
