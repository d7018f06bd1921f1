"""The differential: every cause a flat-looking curve can have, the evidence for and against each, and a probability.

Each piece of evidence adds to the log-odds of a cause; the probabilities are their softmax, ``undetermined`` included,
so that they add up to 1. A slope enters by its own likelihood ratio, t²/2. The other weights are judgements on the scale
of log-odds — 1 is "points that way", 3 "strongly", 5 "nearly settles it" — and are not calibrated yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .checks.base import Finding
from .examination import MIN_EVALUATIONS, Examination
from .prose import Prose, say
from .run import Known, Unknown, value_of

__all__ = ["CAUSES", "Hypothesis", "weigh"]

CAUSES = (
    "none",
    "capacity",
    "schedule",
    "learning_rate",
    "data_repetition",
    "data_shift",
    "gradient_noise",
    "regularisation",
    "instability",
    "numerics",
    "defect",
    "undetermined",
)
PRIOR = dict.fromkeys(CAUSES, -1.0) | {"none": 0.0, "undetermined": 0.0}
"""A cause needs evidence; without any, "none" and "undetermined" are ahead."""
MAX_SLOPE_WEIGHT = 3.5
"""However sharp the slope, the last third of one curve is one piece of evidence."""
SMALL_BATCH_TOKENS = 50_000
"""Far below the critical batch of models of this kind, about 0.5M tokens (McCandlish et al. 2018, arXiv:1812.06162)."""
LARGE_BATCH_TOKENS = 250_000
LEVEL_SLACK_NATS = 0.05
LEVEL_BAD_NATS = 0.15

TESTS: dict[str, Prose] = {
    "none": say("go on: more evaluations on a fixed set of batches show the slope sooner"),
    "capacity": say("train the wider model for a tenth of the steps at equal FLOPs and compare at equal compute"),
    "schedule": say("branch from the last checkpoint: decay the learning rate to 0 over 10 % of the steps"),
    "learning_rate": say("branch 500 steps at half and at twice the learning rate"),
    "data_repetition": say("continue the same checkpoint on fresh data and compare the slopes"),
    "data_shift": say("re-draw the validation split at random and evaluate the same checkpoint on both"),
    "gradient_noise": say("quadruple the accumulation for 2 to 5 % of the steps"),
    "regularisation": say("continue with dropout 0 for 2 to 5 % of the steps"),
    "instability": say("branch from before the rise at half the learning rate, with grad_norm logged"),
    "numerics": say("run one batch in fp32 and compare loss and gradients"),
    "defect": say("overfit a single batch to zero loss; score shuffled tokens, which must be far worse"),
    "undetermined": say("more evaluations, on a fixed set of batches"),
}
FIXED_BATCHES: dict[str, Prose] = {
    "none": say("go on: more evaluations show the slope sooner"),
    "undetermined": say("more evaluations"),
}
"""Where every evaluation is of the same batches already."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One candidate cause with its evidence, its probability and the experiment that would separate it."""

    cause: str
    probability: float
    evidence_for: tuple[Prose, ...]
    evidence_against: tuple[Prose, ...]
    test: Prose

    def __repr__(self) -> str:
        return f"Hypothesis({self.cause}, {self.probability:.2f})"


@dataclass
class _Scales:
    score: dict[str, float] = field(default_factory=lambda: dict(PRIOR))
    pro: dict[str, list[Prose]] = field(default_factory=lambda: {cause: [] for cause in CAUSES})
    contra: dict[str, list[Prose]] = field(default_factory=lambda: {cause: [] for cause in CAUSES})

    def add(self, text: Prose, **weights: float) -> None:
        for cause, weight in weights.items():
            self.score[cause] += weight
            (self.pro if weight > 0 else self.contra)[cause].append(text)


def weigh(exam: Examination, findings: Mapping[str, Finding]) -> tuple[Hypothesis, ...]:
    """Weigh the causes.

    Parameters
    ----------
    exam : Examination
        The run's facts.
    findings : mapping
        Findings by code.

    Returns
    -------
    tuple of Hypothesis
        Every cause, most probable first; the probabilities add up to 1.
    """
    scales = _Scales()
    _curve(exam, findings, scales)
    _level(exam, scales)
    _budget(exam, findings, scales)
    _schedule(exam, findings, scales)
    _symptoms(exam, findings, scales)
    top = max(scales.score.values())
    total = sum(math.exp(score - top) for score in scales.score.values())
    tests = TESTS | FIXED_BATCHES if isinstance(exam.evaluation_tokens, Known) else TESTS
    ranked = sorted(CAUSES, key=lambda cause: -scales.score[cause])
    return tuple(
        Hypothesis(
            cause,
            math.exp(scales.score[cause] - top) / total,
            tuple(scales.pro[cause]),
            tuple(scales.contra[cause]),
            tests[cause],
        )
        for cause in ranked
    )


def _curve(exam: Examination, findings: Mapping[str, Finding], scales: _Scales) -> None:
    """Is it flat? The slope against its own error."""
    if "NUM001" in findings or "NUM002" in findings or "REG001" in findings:
        return
    if isinstance(exam.slope, Unknown):
        count = len(exam.judged_series.value) if isinstance(exam.judged_series, Known) else 0
        if isinstance(exam.last_step, Unknown):
            text = say("there is no log")
        else:
            text = say(
                "evaluations after the first descent: {n}; a slope needs {needed}", n=count, needed=MIN_EVALUATIONS
            )
        scales.add(text, undetermined=4.0)
        return
    slope, series = exam.slope.value, value_of(exam.judged_series)
    shown = say(
        "{value:.3f} ± {half:.3f} nats per e-fold of tokens over {n} {points}",
        points="iterations" if series is not None and series.name == "train_loss" else "evaluations",
        value=slope.value,
        half=slope.high - slope.value,
        n=slope.points,
    )
    if slope.high < 0:
        falling = say("still falling: {shown}", shown=str(shown))
        scales.add(falling, none=min(slope.t**2 / 2, MAX_SLOPE_WEIGHT))
        scales.add(falling, capacity=-0.5)
    else:
        flat = say("not distinguishable from flat: {shown}", shown=str(shown))
        scales.add(flat, none=-1.0, undetermined=1.0, capacity=0.5, schedule=0.5)


def _level(exam: Examination, scales: _Scales) -> None:
    """Is the loss normal for this size, data and schedule phase?"""
    expected, series = value_of(exam.expected_loss), value_of(exam.judged_series)
    train = exam.run.get("train_loss_eval")
    if expected is None or series is None:
        return
    observed = train.finite().values[-1] if train is not None and len(train.finite()) else series.values[-1]
    values = {"observed": observed, "low": expected.low, "high": expected.high}
    if observed > expected.high + LEVEL_BAD_NATS:
        text = say(
            "{observed:.2f} is far above the {low:.2f} to {high:.2f} of healthy runs of this size and data", **values
        )
        scales.add(text, defect=1.5, learning_rate=1.0, none=-0.5)
    elif observed < expected.high + LEVEL_SLACK_NATS:
        text = say("{observed:.2f} is normal for this size and data ({low:.2f} to {high:.2f})", **values)
        scales.add(text, none=0.5)
        scales.add(text, defect=-1.5, numerics=-1.0, learning_rate=-1.0, instability=-1.0)


def _budget(exam: Examination, findings: Mapping[str, Finding], scales: _Scales) -> None:
    """Tokens against parameters, data and batch."""
    ratio = value_of(exam.chinchilla_ratio)
    if ratio is not None and ratio > 2:
        scales.add(
            say("{ratio:.1f} times the rule of 20 tokens a parameter", ratio=ratio),
            capacity=min(1.5, 0.5 * math.log(ratio / 2)),
        )
    elif ratio is not None:
        scales.add(say("{ratio:.2g} times the rule of 20: far from exhausted", ratio=ratio), capacity=-1.0)
    epochs = value_of(exam.epochs)
    if epochs is not None and epochs > 4:
        scales.add(
            say("{epochs:.1f} passes over the data", epochs=epochs), data_repetition=min(2.0, math.log(epochs / 4))
        )
    elif epochs is not None:
        scales.add(say("{epochs:.2g} passes over the data", epochs=epochs), data_repetition=-1.5)
    per_step = value_of(exam.tokens_per_step)
    if per_step is not None and per_step < SMALL_BATCH_TOKENS:
        scales.add(say("{n:count} tokens a step is a small batch", n=per_step), gradient_noise=0.5)
    elif per_step is not None and per_step >= LARGE_BATCH_TOKENS:
        scales.add(say("{n:count} tokens a step is near the critical batch", n=per_step), gradient_noise=-1.0)
    if "DAT002" in findings:
        scales.add(findings["DAT002"].message, data_shift=0.5)


def _schedule(exam: Examination, findings: Mapping[str, Finding], scales: _Scales) -> None:
    """Where the learning rate stands."""
    share, complete = value_of(exam.learning_rate_share), value_of(exam.is_complete)
    rate = value_of(exam.run.recipe.learning_rate)
    if rate == 0:
        scales.add(say("the learning rate is 0"), learning_rate=5.0, none=-3.0)
    if complete:
        scales.add(say("the run reached its planned last step"), none=1.0)
    if share is not None and not complete and share > 0.3:
        scales.add(say("the learning rate is still at {share:percent} of its peak", share=share), schedule=0.5)
    elif share is not None and complete and share <= 0.15:
        scales.add(say("the learning rate has decayed to {share:percent} of its peak", share=share), schedule=-1.5)
    for code in ("SCH001", "SCH002", "SCH003"):
        if code in findings:
            scales.add(findings[code].message, schedule=1.0)


def _symptoms(exam: Examination, findings: Mapping[str, Finding], scales: _Scales) -> None:
    """What the curves show besides a slope."""
    if (finding := findings.get("REG001")) is not None:
        dropout = value_of(exam.run.recipe.dropout)
        scales.add(finding.message, data_repetition=4.5, regularisation=2.5 if dropout else 3.0, none=-5.0)
    if (finding := findings.get("NUM002")) is not None:
        scales.add(finding.message, learning_rate=3.5, instability=3.0, schedule=1.5, numerics=1.0, none=-5.0)
    if (finding := findings.get("NUM001")) is not None:
        scales.add(finding.message, numerics=5.0, instability=3.0, learning_rate=2.5, none=-6.0)
        if value_of(exam.dtype) == "float16":
            scales.add(say("float16"), numerics=1.0)
        elif value_of(exam.dtype) == "float32":
            scales.add(say("float32 holds what fp16 and bf16 lose"), numerics=-3.0)
    if (finding := findings.get("NUM003")) is not None:
        scales.add(
            finding.message,
            defect=4.0 if finding.severity == "error" else 1.0,
            none=-3.0 if finding.severity == "error" else -0.5,
        )
    if (finding := findings.get("REG004")) is not None:
        scales.add(finding.message, data_shift=1.5 if "split_error_low" in finding.numbers else 0.5)
        scales.add(
            say("dropout cannot make validation lie below training: both are measured with it off"), regularisation=-0.5
        )
    if (finding := findings.get("REG002")) is not None:
        scales.add(finding.message, regularisation=0.5)
