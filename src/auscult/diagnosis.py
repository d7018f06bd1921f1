"""Run every check, weigh the causes, order what is found by what it is worth, and say it in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from .checks import all_checks
from .checks.base import Finding, Outcome, examine
from .differential import LEVEL_SLACK_NATS, Hypothesis, weigh
from .examination import MIN_EVALUATIONS, Examination
from .facts.forecast import extrapolate
from .facts.memory import USABLE_FRACTION
from .facts.scaling import Band
from .prescription import Prescription, prescribe
from .prose import Prose, duration, say
from .run import Known, Quantity, Run, Unknown, known, value_of

__all__ = ["Diagnosis", "Forecast", "Verdict", "diagnose"]

FLAT_SLOPE = 0.05
"""Half the slope of published laws here (0.10 to 0.19 nats per e-fold, science.md §3b): flat when even the steep end of the
interval is below it."""
FLAT_SLOPE_ELSEWHERE = FLAT_SLOPE / 4
"""The same where the laws do not hold: a byte is about a quarter of a token of text (4.4 bytes, GPT-2 on English)."""
LAW_SLOPE = 0.10
MAX_EXTRAPOLATION = 2.5
"""A line in ln(tokens) is not extended beyond two and a half times the steps seen: laws bend."""
LOW_RATE_LEFT = 0.15
_UNITS = {"nats": 0, "hours": 1, "GiB": 2, "clarity": 3}
_SEVERITIES = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The most probable cause, in one word, one sentence and a probability."""

    cause: str
    summary: Prose
    confidence: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """The loss at the planned last step [nats/token], and the floor of this model."""

    final_step: int
    loss: Band
    basis: Prose


@dataclass(frozen=True)
class Diagnosis:
    """Everything auscult says of one run. Immutable.

    Attributes
    ----------
    run, examination : Run, Examination
        What was read, and its facts.
    status : str
        ``improving``, ``plateau``, ``diverged``, ``overfitting``, ``finished`` or ``too_short``.
    verdict : Verdict
        The first cause, and the summary.
    hypotheses : tuple of Hypothesis
        The differential, most probable first; probabilities add up to 1.
    findings : tuple of Finding
        By what acting on them is worth.
    outcomes : tuple of Outcome
        Every check with its verdict, also what is fine and what could not be told.
    forecast : Known or Unknown Forecast
    prescription : Prescription
    """

    run: Run
    examination: Examination
    status: str
    verdict: Verdict
    hypotheses: tuple[Hypothesis, ...]
    findings: tuple[Finding, ...]
    outcomes: tuple[Outcome, ...]
    forecast: Quantity[Forecast]
    prescription: Prescription

    def find(self, code: str) -> Finding | None:
        """Return the finding with this code, or None."""
        return next((finding for finding in self.findings if finding.code == code), None)

    def __repr__(self) -> str:
        codes = " ".join(finding.code for finding in self.findings) or "nothing found"
        return (
            f"Diagnosis({self.run.name!r}: {self.status}, {self.verdict.cause} {self.verdict.confidence:.2f}; {codes})"
        )


def diagnose(run: Run, *, expect_at: int | None = None) -> Diagnosis:
    """Diagnose a run.

    Parameters
    ----------
    run : Run
        As :func:`auscult.read` returns it; a config alone gives a preflight, a log alone what it proves.
    expect_at : int, optional
        A step at which the prescribed run's loss is wanted.

    Returns
    -------
    Diagnosis
    """
    exam = Examination(run)
    outcomes = tuple(examine(item, exam) for item in all_checks())
    findings = tuple(sorted((f for o in outcomes if (f := o.finding) is not None), key=_rank))
    by_code = {finding.code: finding for finding in findings}
    hypotheses = weigh(exam, by_code)
    status = _status(exam, by_code)
    top = hypotheses[0]
    return Diagnosis(
        run=run,
        examination=exam,
        status=status,
        verdict=Verdict(top.cause, _summary(exam, by_code, status, top), top.probability),
        hypotheses=hypotheses,
        findings=findings,
        outcomes=outcomes,
        forecast=_forecast(exam, by_code),
        prescription=prescribe(exam, findings, expect_at=expect_at),
    )


def _rank(finding: Finding) -> tuple[int, float, int, str]:
    """Order by what acting is worth: nats, then hours, then clarity; errors first within a unit without a value."""
    effect = finding.effect
    worth = -abs(effect.value) if effect.value is not None else 0.0
    unit = _UNITS[effect.unit] if effect.value is not None or effect.reason else _UNITS["clarity"]
    if finding.severity == "error":
        unit = -1 if effect.value is None else min(unit, 0)
    return unit, worth, _SEVERITIES[finding.severity], finding.code


def _status(exam: Examination, findings: dict[str, Finding]) -> str:
    if "NUM001" in findings and _ends_non_finite(exam):
        return "diverged"
    if "NUM002" in findings:
        return "diverged"
    if "REG001" in findings:
        return "overfitting"
    slope = value_of(exam.slope)
    if value_of(exam.is_complete) and isinstance(exam.judged_series, Known):
        return "finished"
    if slope is None:
        return "too_short"
    if slope.high < 0:
        return "improving"
    return "plateau" if -slope.low < (FLAT_SLOPE_ELSEWHERE if exam.outside_fits() else FLAT_SLOPE) else "too_short"


def _ends_non_finite(exam: Examination) -> bool:
    return any(not math.isfinite(s.values[-1]) for s in exam.run.series if s.unit == "nats_per_token")


def _summary(exam: Examination, findings: dict[str, Finding], status: str, top: Hypothesis) -> Prose:
    lead, tail = _status_sentence(exam, findings, status, top)
    parts = [str(lead)]
    if (finding := findings.get("MDL001")) is not None:
        claim = exam.parameters_claimed
        assert isinstance(claim, Known)
        said = (
            f"{claim.value.value / 1e6:g}M in its name"
            if claim.value.from_name
            else claim.value.text.split("param")[0].strip()
        )
        identity = say(
            "The config says {claimed}; these are {total:si} parameters, {share:percent} of them embeddings.",
            claimed=said,
            total=finding.numbers["total"],
            share=finding.numbers["embedding_share"],
        )
        parts.append(str(identity))
    expected, observed = value_of(exam.expected_loss), _observed(exam)
    if expected is not None and observed is not None:
        word = (
            "normal"
            if expected.low - LEVEL_SLACK_NATS <= observed <= expected.high + LEVEL_SLACK_NATS
            else "high"
            if observed > expected.high
            else "low"
        )
        level = say(
            "The loss is {word} for that size ({observed:.2f} on the train split, expected {low:.2f}–{high:.2f}){tail}",
            word=word,
            observed=observed,
            low=expected.low,
            high=expected.high,
            tail=f" and {tail}." if tail else ".",
        )
        parts.append(str(level))
    elif tail:
        parts.append(f"The loss {tail}.")
    return say("{sentences}", sentences=" ".join(parts))


def _observed(exam: Examination) -> float | None:
    for name in ("train_loss_eval", "val_loss"):
        series = exam.run.get(name)
        if series is not None and len(finite := series.finite()):
            return finite.values[-1]
    return None


def _status_sentence(
    exam: Examination, findings: dict[str, Finding], status: str, top: Hypothesis
) -> tuple[Prose, str]:
    """Return the leading sentence, and a clause about the loss that may follow its level."""
    named = ", and not the model you named" if "MDL001" in findings else ""
    slope, share = value_of(exam.slope), value_of(exam.learning_rate_share)
    match status:
        case "improving":
            rate = (
                f", with the learning rate at {100 * share:.0f} % of its peak"
                if share is not None and share > LOW_RATE_LEFT
                else ""
            )
            return say("Not saturated{named}.", named=named), f"is still falling{rate}"
        case "finished" if slope is not None and slope.high < 0:
            return say("Not saturated{named}.", named=named), "was still falling when the schedule ended"
        case "finished" if slope is None:
            return say(
                "The run is complete{named}.", named=named
            ), "has too few evaluations to tell whether it still fell"
        case "finished":
            return say(
                "The run is complete{named}.", named=named
            ), "is not distinguishable from flat over its last evaluations"
        case "plateau":
            if top.cause == "undetermined":
                return say("Flat{named}: the log does not tell why.", named=named), ""
            return say("Flat{named}: most likely {cause}.", named=named, cause=top.cause.replace("_", " ")), ""
        case "diverged" | "overfitting":
            finding = findings.get("REG001") or findings.get("NUM001") or findings.get("NUM002")
            return say(
                "{status}: {message}.", status=status.capitalize(), message=str(finding.message) if finding else ""
            ), ""
        case _:
            return _too_short(exam, named), ""


def _too_short(exam: Examination, named: str) -> Prose:
    if isinstance(exam.last_step, Unknown):
        return say(
            "Nothing has run yet{named}: this is what would be trained.{cost}",
            named=named.replace("and", "but", 1),
            cost=_cost(exam),
        )
    series = exam.run.get("val_loss") or exam.run.get("train_loss_eval")
    count = len(series) if series is not None else 0
    head = "Not the model you named, and w" if named else "W"
    more = exam.more_evaluations(LAW_SLOPE)
    if exam.outside_fits() and isinstance(exam.noise, Known):
        more = None  # the slope to expect is that of published laws
    ask = say("; at least {more} more are needed", more=more) if more else say("")
    if count < MIN_EVALUATIONS:
        return say(
            "{head}hether it is saturated cannot be told from {n} evaluation{s}{ask}.",
            head=head,
            n=count,
            s="" if count == 1 else "s",
            ask=str(ask),
        )
    return say("{head}hether it is flat cannot be told yet{ask}.", head=head, ask=str(ask))


def _cost(exam: Examination) -> str:
    """Return what a run that has not started would cost, and whether a step fits."""
    hours, memory, limit = (
        value_of(exam.hours_for(exam.shape)),
        value_of(exam.memory),
        value_of(exam.memory_limit_bytes),
    )
    parts = []
    if hours is not None and isinstance(exam.gpu, Known):
        parts.append(f"it would take {duration(hours.low, hours.high)} on {exam.gpu.value.name}")
    if memory is not None and limit is not None:
        parts.append(f"a step needs {memory.total / 2**30:.1f} of {USABLE_FRACTION * limit / 2**30:.1f} GiB")
    text = "; ".join(parts)
    return f" {text[:1].upper()}{text[1:]}." if text else ""


def _forecast(exam: Examination, findings: dict[str, Finding]) -> Quantity[Forecast]:
    planned = exam.run.recipe.max_steps
    if isinstance(planned, Unknown):
        return planned
    if {"NUM001", "NUM002"} & set(findings):
        return Unknown("the run has diverged: its end cannot be forecast from its curve")
    if isinstance(exam.last_step, Unknown):
        if isinstance(exam.expected_loss, Unknown):
            return exam.expected_loss
        return known(
            Forecast(
                planned.value,
                exam.expected_loss.value,
                say("known runs of this size and data ({place})", place=exam.expected_loss.source.inputs[0].place),
            ),
            "anchored law",
            exam.expected_loss,
        )
    if planned.value > MAX_EXTRAPOLATION * exam.last_step.value:
        return Unknown(
            f"the log covers {100 * exam.last_step.value / planned.value:.0f} % of the plan: too little to extrapolate"
        )
    if isinstance(exam.slope, Unknown):
        return exam.slope
    series, slope, noise = value_of(exam.judged_series), exam.slope.value, value_of(exam.noise)
    assert series is not None
    assert noise is not None
    window = [
        (math.log(step), value)
        for step, value in zip(series.steps, series.values, strict=True)
        if step >= slope.first_step
    ]
    final = max(planned.value, series.steps[-1])
    band = extrapolate(slope, noise, fmean(v for _x, v in window), fmean(x for x, _v in window), final)
    basis = say(
        "{name}: the slope of the last {n} {points}{further}",
        points="iterations" if series.name == "train_loss" else "evaluations",
        name=series.name,
        n=slope.points,
        further="" if value_of(exam.is_complete) else ", extended to the planned end",
    )
    return known(Forecast(final, band, basis), "extrapolated slope", exam.slope)
