"""What a check is, what it may answer, and the decorator that makes one of a function.

A check declares what it requires by the names of its parameters. Each is looked up on the examination, then on the
recipe, then on the architecture; when one is unknown the answer is ``CannotTell`` with the reason, without a line of
code in the check.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..examination import Examination, key_of
from ..prose import Prose
from ..run import Notice, Problem, Source, Unknown

__all__ = [
    "CannotTell",
    "Check",
    "Clear",
    "Edit",
    "Effect",
    "Finding",
    "Found",
    "NotApplicable",
    "Outcome",
    "Severity",
    "Verdict",
    "change",
    "check",
    "examine",
    "noticed",
    "problems_of",
]

Severity: TypeAlias = Literal["error", "warning", "info"]
Safety: TypeAlias = Literal["safe", "changes_result", "needs_restart"]
Unit: TypeAlias = Literal["nats", "hours", "GiB", "clarity"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of the recipe: a config key, its value now and after, why, and what it does to the run.

    ``key`` is the run's own config's, ``setting`` the same in canonical terms (see :func:`change`). ``safe`` keeps the mathematics (a comment, batch against accumulation); ``changes_result`` does not;
    ``needs_restart`` makes present checkpoints unusable.
    """

    key: str
    before: Any
    after: Any
    why: Prose
    safety: Safety
    setting: str

    @property
    def word(self) -> str:
        """The key without its table."""
        return self.key.rpartition(".")[2]


def change(exam: Examination, setting: str, before: Any, after: Any, why: Prose, safety: Safety) -> tuple[Edit, ...]:
    """Return the edit of a setting under the name that the run's own config has for it; none where it has none.

    Parameters
    ----------
    setting : str
        In canonical terms: ``d_model``, ``decay_steps`` …
    """
    key = key_of(exam.run, setting)
    return () if key is None else (Edit(key, before, after, why, safety, setting),)


@dataclass(frozen=True, slots=True)
class Effect:
    """What acting on a finding is worth, in the unit people pay in; negative nats are a lower loss.

    ``reason`` says why there is no value, where the unit has one and nothing tells it.
    """

    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The defect is there: observation, meaning, action; with evidence and numbers."""

    message: Prose
    meaning: Prose
    action: Prose
    evidence: tuple[Source, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)
    effect: Effect = Effect("clarity")
    edits: tuple[Edit, ...] = ()
    severity: Severity | None = None
    headline: Prose | None = None
    """The observation in at most sixty characters or so, for the first screen; the check's title where there is none."""


@dataclass(frozen=True, slots=True)
class Clear:
    """The question was asked and all is well."""

    reason: Prose


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Something is missing; ``missing`` says what to add."""

    missing: Prose


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The question makes no sense for this run."""

    reason: Prose


Verdict: TypeAlias = Found | Clear | CannotTell | NotApplicable


@dataclass(frozen=True, slots=True)
class Check:
    """One question asked of a run: code, name of the defect, documentation, what it requires, and its predicate."""

    code: str
    name: str
    title: str
    severity: Severity
    family: str
    documentation: str
    requires: tuple[str, ...]
    predicate: Callable[..., Verdict]

    def __repr__(self) -> str:
        return f"Check({self.code} {self.name})"


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's ``Found`` with the check's own identity."""

    code: str
    name: str
    title: str
    severity: Severity
    message: Prose
    meaning: Prose
    action: Prose
    evidence: tuple[Source, ...]
    numbers: dict[str, Any]
    effect: Effect
    edits: tuple[Edit, ...]
    headline: Prose

    def __repr__(self) -> str:
        return f"Finding({self.code} {self.name}: {self.message})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A check with its verdict."""

    check: Check
    verdict: Verdict

    @property
    def word(self) -> str:
        """The verdict as the JSON contract names it."""
        return {Found: "found", Clear: "clear", CannotTell: "cannot_tell", NotApplicable: "not_applicable"}[
            type(self.verdict)
        ]

    @property
    def reason(self) -> Prose:
        """Why, in one sentence."""
        match self.verdict:
            case Found(message=text) | Clear(reason=text) | CannotTell(missing=text) | NotApplicable(reason=text):
                return text

    @property
    def finding(self) -> Finding | None:
        """The finding, when there is one."""
        v, c = self.verdict, self.check
        if not isinstance(v, Found):
            return None
        return Finding(
            c.code,
            c.name,
            c.title,
            v.severity or c.severity,
            v.message,
            v.meaning,
            v.action,
            v.evidence,
            v.numbers,
            v.effect,
            v.edits,
            v.headline or Prose(c.title),
        )


def noticed(exam: Examination, *kinds: str) -> tuple[Notice, ...]:
    """Return what the readers noticed of these kinds, in the order of the kinds."""
    return tuple(n for kind in kinds for n in exam.run.notices if n.kind == kind)


def problems_of(exam: Examination, *kinds: str) -> tuple[Problem, ...]:
    """Return the problems of these kinds that the readers had, in their order."""
    return tuple(p for p in exam.run.problems if p.kind in kinds)


REGISTRY: dict[str, Check] = {}
SECTIONS = ("What it looks for", "Why it matters", "What else could explain it", "What to do", "References")


def check(code: str, title: str, severity: Severity) -> Callable[[Callable[..., Verdict]], Check]:
    """Register a predicate as a check.

    Parameters
    ----------
    code : str
        Family prefix and number, never reused.
    title : str
        The question's answer in a few words, as a heading.
    severity : {"error", "warning", "info"}
        Of a finding, unless the predicate says otherwise.

    Raises
    ------
    ValueError
        When the code is taken.
    """

    def register(predicate: Callable[..., Verdict]) -> Check:
        if code in REGISTRY:
            raise ValueError(f"{code} is taken by {REGISTRY[code].name}")
        names = tuple(inspect.signature(predicate).parameters)[1:]
        family = predicate.__module__.split(".")[-2]
        REGISTRY[code] = Check(
            code, predicate.__name__, title, severity, family, inspect.getdoc(predicate) or "", names, predicate
        )
        return REGISTRY[code]

    return register


def _require(exam: Examination, name: str) -> Any:
    for owner in (exam, exam.run.recipe, exam.run.recipe.architecture, exam.run.data, exam.run.machine):
        if hasattr(owner, name):
            return getattr(owner, name)
    raise AttributeError(f"a check requires {name!r}, which no examination has")


def examine(item: Check, exam: Examination) -> Outcome:
    """Ask one check of one run."""
    values: dict[str, Any] = {}
    for name in item.requires:
        quantity = _require(exam, name)
        if isinstance(quantity, Unknown):
            return Outcome(
                item,
                CannotTell(
                    Prose(
                        "needs {name}: {reason}",
                        {"name": name, "reason": quantity.reason.removeprefix(f"needs {name}: ")},
                    )
                ),
            )
        values[name] = quantity
    return Outcome(item, item.predicate(exam, **values))
