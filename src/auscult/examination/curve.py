"""The loss curve: schedule, noise, slope, gaps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import cast

from ..facts.curve import Noise, Slope, evaluation_noise, evaluations_needed, log_token_slope, smoothed_minimum
from ..facts.schedule import cosine_learning_rate
from ..facts.statistics import Estimate, difference_of_means
from ..run import Known, Quantity, Series, Source, Unknown, derive, known, value_of
from .budget import MAX_FRESH_EPOCHS
from .machine import MachineFacts
from .naming import trainer_of

__all__ = ["ANNEALED_BELOW", "EARLY_STEPS", "MIN_EVALUATIONS", "CurveFacts", "Gap", "Rise"]

EARLY_STEPS = 1000
"""Evaluations up to here show the first descent, not the tail; they say nothing about a plateau or a split."""
MIN_EVALUATIONS = 6
"""Fewer evaluations than this carry no slope with an error worth printing."""
ANNEALED_BELOW = 0.15
"""Share of the peak learning rate below which a run counts as annealed (llm.c's own run passes it at 74 % of a cosine)."""
RISE_SIGMAS = 4.0
RISE_FLOOR_NATS = 0.015
"""A rise counts above four standard deviations of one evaluation and 0.015 nats. The minimum of a running median of 3 over
100 evaluations lies about 1.6 sd low and its end scatters by 0.67 sd: noise alone passes four once in thousands of runs."""
LARGE_RUN_TOKENS = 1_000_000_000
"""A run over more tokens than this is taken to read a large corpus when the size of its training split is not known."""
SMALL_CORPUS = re.compile(r"shakespeare|char|wikitext|enwik|text8|ptb|tiny", re.IGNORECASE)
"""Datasets by whose name a long run means many passes."""
TRAIN_SIGMAS = 3.0
MANY_ITERATIONS = 100
BLOCK_POINTS, MAX_BLOCKS = 5, 100
"""Many logged iterations are judged by the means of blocks of them: the lowest of thousands of single ones lies far below the
curve by chance, and trainers that print a moving average print values that wander together."""
MIN_PAIRS = 3
"""Evaluations of the same text both ways; what is left between them is dropout's own noise."""
MIN_ITERATIONS = 30
"""Logged iterations that can stand in for missing evaluations: noisier, and measured in train mode."""


@dataclass(frozen=True, slots=True)
class Rise:
    """How far a series ends above its smoothed minimum [nats/token].

    ``threshold`` is what noise alone may do; ``train_change`` what the train split did since that minimum (None: unknown),
    and ``train_threshold`` what its noise alone may do.
    """

    value: float
    since_step: int
    threshold: float
    train_change: float | None
    train_threshold: float = 0.0

    @property
    def train(self) -> str | None:
        """What the train split did meanwhile: ``rises``, ``falls``, ``flat``, or None where it is not known."""
        if self.train_change is None:
            return None
        if abs(self.train_change) <= self.train_threshold:
            return "flat"
        return "rises" if self.train_change > 0 else "falls"

    @property
    def is_significant(self) -> bool:
        """Whether the rise is more than noise."""
        return self.value > self.threshold


@dataclass(frozen=True, slots=True)
class Gap:
    """Validation minus training loss, both in eval mode, over the evaluations after the first descent.

    ``below`` of ``evaluations`` have validation below training; ``mean`` [nats/token] with its standard error.
    """

    mean: float
    standard_error: float
    below: int
    evaluations: int


def block_means(series: Series, blocks: int) -> Series:
    """Return the means of consecutive points in so many blocks, each at the last step of its block."""
    edges = [round(i * len(series) / blocks) for i in range(blocks + 1)]
    parts = [(a, b) for a, b in pairwise(edges) if b > a]
    return replace(
        series,
        steps=[series.steps[b - 1] for _a, b in parts],
        values=[sum(series.values[a:b]) / (b - a) for a, b in parts],
        lines=[series.lines[b - 1] for _a, b in parts],
        files=(),
        origins=(),
        count=-1,
    )


class CurveFacts(MachineFacts):
    """Facts about the schedule and the loss curve."""

    def learning_rate_at(self, step: int) -> Quantity[float]:
        """The learning rate that the schedule prescribes at a step."""
        recipe, logged = self.run.recipe, self.run.get("learning_rate")
        if logged is not None and logged.axis == "step" and step <= max(logged.steps) + logged.stride:
            index = min(range(len(logged)), key=lambda i: abs(logged.steps[i] - step))
            return Known(logged.values[index], logged.source(index))
        schedule = value_of(recipe.schedule)
        if schedule == "constant":
            return recipe.learning_rate
        if schedule is not None and schedule != "cosine":
            return Unknown(f"the learning rate is not logged, and the schedule is {schedule!r}")
        return derive(
            f"warm-up and cosine at step {step}",
            lambda **values: cosine_learning_rate(step, **values),
            learning_rate=recipe.learning_rate,
            min_lr=recipe.min_lr,
            warmup_steps=recipe.warmup_steps,
            decay_steps=recipe.decay_steps,
        )

    @cached_property
    def learning_rate_share(self) -> Quantity[float]:
        """The learning rate at the last logged step, as a share of its peak."""
        if isinstance(self.last_step, Unknown):
            return self.last_step
        return derive(
            "learning rate / peak",
            lambda now, peak: now / peak if peak else 0.0,
            now=self.learning_rate_at(self.last_step.value),
            peak=self.peak_learning_rate,
        )

    @cached_property
    def peak_learning_rate(self) -> Quantity[float]:
        """The highest learning rate: of the recipe, else of what is logged."""
        logged = self.run.get("learning_rate")
        if isinstance(self.run.recipe.learning_rate, Known) or logged is None or not len(logged.finite()):
            return self.run.recipe.learning_rate
        index = max(range(len(logged)), key=lambda i: logged.values[i] if math.isfinite(logged.values[i]) else -1.0)
        return Known(logged.values[index], logged.source(index))

    @cached_property
    def annealed(self) -> Quantity[bool]:
        """Whether the learning rate has decayed at the last logged step (at the planned end, without a log)."""
        step = self.last_step if isinstance(self.last_step, Known) else self.run.recipe.max_steps
        if isinstance(step, Unknown):
            return step
        return derive(
            "learning rate below 15 % of its peak",
            lambda now, peak: now <= ANNEALED_BELOW * peak,
            now=self.learning_rate_at(step.value),
            peak=self.peak_learning_rate,
        )

    @cached_property
    def is_complete(self) -> Quantity[bool]:
        """Whether the log reaches the planned last step (to within one logging interval)."""
        slack = value_of(self.run.recipe.log_interval) or 1
        return derive(
            f"last step ≥ {self.word('max_steps')} − {self.word('log_interval')}",
            lambda last, planned: last >= planned - slack,
            last=self.last_step,
            planned=self.steps_planned,
        )

    def _tail(self, name: str) -> Quantity[Series]:
        """Return the finite evaluations after the first descent, one per step."""
        series = self.run.get(name)
        if series is None or not len(series):
            return Unknown(f"the log has no {name}")
        warmup = value_of(self.run.recipe.warmup_steps) or 0
        start = max(min(EARLY_STEPS, max(series.steps) // 4), min(warmup, max(series.steps) // 2), 1)
        tail = series.finite().latest_pass().where(lambda step, _value: step > start)
        if len(tail) < 1:
            return Unknown(f"the log has no {name} after step {start}")
        return Known(tail, tail.source(len(tail) - 1))

    @cached_property
    def judged_series(self) -> Quantity[Series]:
        """The series by which the curve is judged.

        Validation; else the train split in eval mode; where there are too few evaluations but many logged iterations,
        those (train mode, one micro-batch each).
        """
        evaluated = [tail for name in ("val_loss", "train_loss_eval") if isinstance(tail := self._tail(name), Known)]
        enough = [tail for tail in evaluated if len(tail.value) >= MIN_EVALUATIONS]
        if enough:
            return enough[0]
        iterations = self._tail("train_loss")
        if isinstance(iterations, Known) and len(iterations.value) >= MIN_ITERATIONS:
            return iterations
        if evaluated:
            return evaluated[0]
        shown = "" if trainer_of(self.run) == "auscult train" else " (`step N: train loss …, val loss …`)"
        return Unknown(f"the log has no evaluations{shown} after the first descent, and too few iterations")

    @cached_property
    def noise(self) -> Quantity[Noise]:
        """The noise of one evaluation, from the second half of the series [nats/token]."""

        def estimate(series: Series) -> Noise:
            half = series.where(lambda step, _value: 2 * step >= series.steps[-1])
            chosen = half if len(half) >= MIN_EVALUATIONS else series
            return evaluation_noise([math.log(step) for step in chosen.steps], chosen.values)

        if isinstance(self.judged_series, Unknown):
            return self.judged_series
        if len(self.judged_series.value) < MIN_EVALUATIONS:
            return Unknown(
                f"{len(self.judged_series.value)} evaluations after the first descent; {MIN_EVALUATIONS} are needed for their noise"
            )
        return derive(
            "scatter of evaluations around their neighbours (Gasser et al. 1986)", estimate, series=self.judged_series
        )

    @cached_property
    def slope(self) -> Quantity[Slope]:
        """Change of the judged loss per e-fold of tokens over the last third of the evaluations."""

        def fit(series: Series, noise: Noise) -> Slope:
            count = max(MIN_EVALUATIONS, len(series) // 3)
            return log_token_slope(series.steps[-count:], series.values[-count:], noise)

        return derive(
            "regression of the loss on ln(tokens), last third", fit, series=self.judged_series, noise=self.noise
        )

    def more_evaluations(self, expected_slope: float) -> int | None:
        """How many more evaluations would show a slope at three standard errors; None when it cannot be said."""
        series, noise = value_of(self.judged_series), value_of(self.noise)
        if series is None:
            return None
        interval = value_of(self.run.recipe.eval_interval) or (
            series.steps[-1] - series.steps[-2] if len(series) > 1 else 0
        )
        if noise is None:
            return MIN_EVALUATIONS - len(series)
        count = max(MIN_EVALUATIONS, len(series) // 3)
        return evaluations_needed(series.steps[-1], interval, noise, expected_slope, series.steps[-count:])

    @cached_property
    def smoothed_minimum(self) -> Quantity[tuple[int, float]]:
        """Step and value of the minimum of the judged series' running median."""

        def find(series: Series) -> tuple[int, float]:
            index, value = smoothed_minimum(series.values)
            return series.steps[index], value

        return derive("minimum of the running median of 3", find, series=self.judged_series)

    @cached_property
    def gap(self) -> Quantity[Gap]:
        """Validation minus training loss, both in eval mode, after the first descent."""
        train, val = self._tail("train_loss_eval"), self._tail("val_loss")

        def measure(train: Series, val: Series) -> Gap | None:
            by_step = dict(zip(train.steps, train.values, strict=True))
            differences = [
                value - by_step[step] for step, value in zip(val.steps, val.values, strict=True) if step in by_step
            ]
            n = len(differences)
            if not n:
                return None
            mean = sum(differences) / n
            spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n) if n > 1 else math.nan
            return Gap(mean, spread, sum(d < 0 for d in differences), n)

        gap = derive("val_loss − train_loss_eval at the same steps", measure, train=train, val=val)
        if isinstance(gap, Known) and gap.value is None:
            return Unknown("no step has both a finite validation and a finite training loss")
        return cast("Quantity[Gap]", gap)

    @cached_property
    def evaluation_tokens(self) -> Quantity[int]:
        """Tokens of each split that every evaluation measures, where they are the same ones each time [tokens]."""
        noted = self.run.noted.get("auscult.evaluation.tokens")
        if noted is None or trainer_of(self.run) != "auscult train" or not isinstance(noted.value, int):
            return Unknown("evaluations draw their batches anew, or the log does not say")
        return known(noted.value, "auscult train evaluates the same tokens each time", noted)

    @cached_property
    def dropout_cost(self) -> Quantity[Estimate]:
        """Train-mode minus eval-mode loss on the train split over the second half of the run [nats/token].

        On the same batches where the trainer evaluates both ways; else of the iterations and the evaluations.
        """
        paired = self._paired_dropout_cost
        if paired is not None:
            return paired
        if isinstance(self.evaluation_tokens, Known):
            return Unknown(
                "the log has too few evaluations with dropout on: the iterations are of other text than the evaluations"
            )
        iters, evals = self._tail("train_loss"), self._tail("train_loss_eval")
        if isinstance(iters, Known) and isinstance(evals, Known):
            half = max(iters.value.steps[-1], evals.value.steps[-1]) / 2
            late_iters = iters.value.where(lambda step, _v: step >= half)
            late_evals = evals.value.where(lambda step, _v: step >= half)
            if min(len(late_iters), len(late_evals)) < MIN_EVALUATIONS:
                return Unknown(f"fewer than {MIN_EVALUATIONS} `iter` and `step` lines in the second half of the run")
            estimate = difference_of_means(late_iters.values, late_evals.values)
            return Known(
                estimate,
                Source(
                    "derived",
                    formula="mean of the iter losses − mean of the step train losses, second half",
                    inputs=(late_iters.source(0), late_evals.source(0)),
                ),
            )
        missing = iters if isinstance(iters, Unknown) else evals
        return missing if isinstance(missing, Unknown) else Unknown("no losses")

    @property
    def _paired_dropout_cost(self) -> Quantity[Estimate] | None:
        """The same text with dropout on and off: only the dropout differs."""
        on, off = self.run.get("train_loss_eval_train_mode"), self.run.get("train_loss_eval")
        if on is None or off is None or not len(on.finite()) or not len(off.finite()):
            return None
        on, off = on.finite().latest_pass(), off.finite().latest_pass()
        without = dict(zip(off.steps, off.values, strict=True))
        half = max(on.steps[-1], off.steps[-1]) / 2
        late = on.where(lambda step, _v: step >= half and step in without)
        n = len(late)
        if n < MIN_PAIRS:
            return Unknown(f"fewer than {MIN_PAIRS} evaluations with dropout on and off in the second half of the run")
        costs = [value - without[step] for step, value in zip(late.steps, late.values, strict=True)]
        mean = sum(costs) / n
        error = math.sqrt(sum((cost - mean) ** 2 for cost in costs) / (n - 1) / n)
        formula = "mean over evaluations of the train loss in train mode − in eval mode, same batches, second half"
        inputs = (late.source(0), off.source(off.steps.index(late.steps[0])))
        return Known(Estimate(mean, error, n), Source("derived", formula=formula, inputs=inputs))

    @cached_property
    def rise(self) -> Quantity[Rise]:
        """How far the judged series ends above its smoothed minimum, and what the train split did meanwhile."""

        def measure(series: Series, minimum: tuple[int, float], noise: Noise) -> Rise:
            if series.name == "train_loss" and len(series) >= MANY_ITERATIONS:
                series = block_means(series, min(len(series) // BLOCK_POINTS, MAX_BLOCKS))
                index, lowest = smoothed_minimum(series.values)
                minimum = series.steps[index], lowest
                noise = evaluation_noise([math.log(step) for step in series.steps], series.values)
            last = sorted(series.values[-3:])[len(series.values[-3:]) // 2]
            return Rise(
                last - minimum[1],
                minimum[0],
                max(RISE_SIGMAS * noise.sd, RISE_FLOOR_NATS),
                *self._train_change_since(minimum[0]),
            )

        return derive(
            "end of the series − its smoothed minimum",
            measure,
            series=self.judged_series,
            minimum=self.smoothed_minimum,
            noise=self.noise,
        )

    def _train_change_since(self, step: int) -> tuple[float | None, float]:
        """Return how much the train split changed from a step to the end, by running medians, and what noise may do."""
        for name in ("train_loss_eval", "train_loss"):
            tail = value_of(self._tail(name))
            if tail is None or len(tail) < MIN_EVALUATIONS:
                continue
            width = min(max(3, len(tail) // 20), 101)
            index = min(range(len(tail)), key=lambda i: abs(tail.steps[i] - step))
            around = sorted(tail.values[max(index - width // 2, 0) : index + width // 2 + 1])
            end = sorted(tail.values[-width:])
            sd = evaluation_noise([math.log(s) for s in tail.steps], tail.values).sd
            threshold = (
                TRAIN_SIGMAS * 1.25 * sd * math.sqrt(2 / width)
            )  # a median scatters 1.25 times as much as a mean
            return end[len(end) // 2] - around[len(around) // 2], threshold
        return None, 0.0

    @cached_property
    def passes_over_data_few(self) -> Quantity[bool]:
        """Whether the data are hardly repeated, so that regularisation protects from nothing.

        At most 4 planned epochs; with the split's size unknown, a plan of over 1B tokens on a corpus that is not known to
        be small. A run that overfits is not one of them, whatever its size.
        """
        if isinstance(self.rise, Known) and self.rise.value.is_significant and self.rise.value.train == "falls":
            return known(False, "validation rises while training falls", self.rise)
        if isinstance(self.epochs_planned, Known):
            return known(
                self.epochs_planned.value <= MAX_FRESH_EPOCHS,
                "epochs ≤ 4 (Muennighoff et al. 2023)",
                self.epochs_planned,
            )
        tokens = self.tokens_planned if isinstance(self.tokens_planned, Known) else self.tokens_seen
        small = SMALL_CORPUS.search(value_of(self.run.recipe.dataset) or "")
        if isinstance(tokens, Known) and tokens.value >= LARGE_RUN_TOKENS and not small:
            return known(True, "over 1B tokens: taken as a large corpus, its size is not known", tokens)
        return Unknown("how often the data are repeated is not known: give --train-tokens")

    @cached_property
    def freshness(self) -> str:
        """How sure it is that the data are hardly repeated, as a clause."""
        if isinstance(self.epochs_planned, Known):
            return f"the data are hardly repeated ({self.epochs_planned.value:.2g} passes)"
        return "at this many tokens the data are taken to be hardly repeated; --train-tokens would tell"
