"""What to change: edits, the micro-batch that fits, whether a checkpoint can go on, and the loss to expect."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..checks.base import Edit, Finding, change
from ..errors import UsageError
from ..examination import ANNEALED_BELOW, Examination, Shape, key_of, trainer_of
from ..facts.claims import Claim
from ..facts.scaling import Band, anchored_loss
from ..prose import say
from ..readers import reread_config
from ..run import Known, Quantity, Unknown, derive, known, split_lines, value_of
from .fit import Fit, Refusal, fit_micro_batch
from .resume import Resume, TensorChange, can_resume
from .rewrite import apply_values, correct_claims
from .rewrite_toml import apply_to_toml

__all__ = [
    "Expectation",
    "Fit",
    "Prescription",
    "Refusal",
    "Resume",
    "TensorChange",
    "diff",
    "fixed_config",
    "prescribe",
    "unverified_comments",
]

_OF_SHAPE = frozenset({"n_layer", "n_head", "d_model"})
_OF_BATCH = frozenset({"batch_size", "gradient_accumulation_steps"})
_TOML = "auscult_recipe"


@dataclass(frozen=True, slots=True)
class Expectation:
    """The loss to expect at a step of the prescribed run [nats/token], and the known run it rests on."""

    step: int
    band: Band
    basis: str


@dataclass(frozen=True, slots=True)
class Prescription:
    """The corrected recipe.

    Attributes
    ----------
    edits : tuple of Edit
        What to change, at most one edit a key.
    fit : Known or Unknown Fit
        Micro-batch × accumulation and its memory by part.
    tokens_per_step : Known or Unknown int
        As now, exactly.
    hours : Known or Unknown Band
        For all planned steps: at the FLOP/s the present run achieves, or between the ends of what such cards reach.
    resume : Known or Unknown Resume
        Whether a checkpoint can go on.
    expected : tuple of Expectation
        At half of the planned steps and at their end; empty when no known run is near.
    expected_reason : str
        Why ``expected`` is empty.
    """

    edits: tuple[Edit, ...]
    fit: Quantity[Fit]
    tokens_per_step: Quantity[int]
    hours: Quantity[Band]
    resume: Quantity[Resume]
    expected: tuple[Expectation, ...]
    expected_reason: str = ""

    def __repr__(self) -> str:
        return f"Prescription({', '.join(f'{e.key} {e.before!r} → {e.after!r}' for e in self.edits) or 'no change'})"


def prescribe(exam: Examination, findings: Sequence[Finding], *, expect_at: int | None = None) -> Prescription:
    """Turn findings into one corrected recipe.

    Parameters
    ----------
    exam : Examination
        The run's facts.
    findings : sequence of Finding
        Their edits are collected; where two disagree on a key, neither is taken.
    expect_at : int, optional
        A step at which the loss is wanted, besides half and end of the run.
    """
    edits = _collect(findings)
    shape = _after(exam.shape, edits)
    dropout = next((e.after for e in edits if e.setting == "dropout"), value_of(exam.run.recipe.dropout))
    fit: Quantity[Fit] = (
        shape
        if isinstance(shape, Unknown) and not exam.draws_all
        else fit_micro_batch(exam, value_of(shape), dropout or 0.0)
    )
    if isinstance(fit, Known):
        edits += _batch_edits(exam, fit.value)
    resume = derive("tensor shapes before and after", can_resume, before=exam.shape, after=shape)
    if exam.wrote_no_checkpoint:
        resume = Unknown("no checkpoint was written")
    expected, reason = _expect(exam, shape, expect_at)
    return Prescription(edits, fit, exam.tokens_per_step, exam.hours_for(shape), resume, expected, reason)


def _collect(findings: Sequence[Finding]) -> tuple[Edit, ...]:
    by_key: dict[str, list[Edit]] = {}
    for finding in findings:
        for edit in finding.edits:
            by_key.setdefault(edit.key, []).append(edit)
    return tuple(edits[0] for edits in by_key.values() if len({repr(e.after) for e in edits}) == 1)


def _after(shape: Quantity[Shape], edits: Iterable[Edit]) -> Quantity[Shape]:
    if isinstance(shape, Unknown):
        return shape
    changes = {e.setting: e.after for e in edits if e.setting in _OF_SHAPE}
    return known(replace(shape.value, **changes), "the architecture after the edits", shape)


def _batch_edits(exam: Examination, fit: Fit) -> tuple[Edit, ...]:
    recipe = exam.run.recipe
    batch, steps = value_of(recipe.batch_size), value_of(recipe.gradient_accumulation_steps)
    if batch is None or steps is None or batch == fit.micro_batch:
        return ()
    config, key = exam.run.config, key_of(exam.run, "batch_size")
    if config is not None and config.dialect == _TOML and config.get(key or "") is None:
        return ()  # auscult train chooses what a recipe leaves open, and steps down where memory runs out
    world = value_of(exam.processes) or 1
    if steps % world:
        because = f"the accumulation steps must be a number that {world} processes can share"
    else:
        because = str(fit.refused.reason) if fit.refused else "it fits"
    why = say("exactly the same tokens per step; {because}", because=because)
    return (
        *change(exam, "batch_size", batch, fit.micro_batch, why, "safe"),
        *change(exam, "gradient_accumulation_steps", steps, fit.gradient_accumulation_steps, why, "safe"),
    )


def _expect(exam: Examination, shape: Quantity[Shape], at: int | None) -> tuple[tuple[Expectation, ...], str]:
    per_step, steps, rate = exam.tokens_per_step, exam.run.recipe.max_steps, exam.run.recipe.learning_rate
    size: Quantity[int] = derive("N", lambda shape: shape.parameters.without_position, shape=shape)
    if isinstance(shape, Unknown) and exam.draws_all:
        size = exam.parameters_for_laws
    if isinstance(size, Unknown):
        return (), shape.reason if isinstance(shape, Unknown) and not exam.draws_all else size.reason
    if isinstance(per_step, Unknown):
        return (), per_step.reason
    if isinstance(steps, Unknown):
        return (), steps.reason
    if isinstance(rate, Unknown):
        return (), rate.reason
    n, planned = size.value, steps.value
    found: list[Expectation] = []
    reason = ""
    if at is not None and at > planned:
        raise UsageError(
            f"--expect-at {at:,} lies beyond the {planned:,} planned steps. Next: ask for an earlier step."
        )
    for step in sorted({step for step in (at, planned // 2, planned) if step is not None and 0 < step <= planned}):
        now = value_of(exam.learning_rate_at(step))
        annealed = now is not None and now <= ANNEALED_BELOW * rate.value
        tokens = step * per_step.value
        anchor = exam.anchor_for(n, tokens, annealed=annealed)
        if isinstance(anchor, Unknown):
            reason = reason or anchor.reason
        else:
            found.append(Expectation(step, anchored_loss(anchor.value, n, tokens), anchor.source.place))
    return tuple(found), "" if found else reason or "no step is planned"


def fixed_config(exam: Examination, prescription: Prescription) -> str:
    """Return the text of the run's config with the edits made and its false comments corrected.

    Raises
    ------
    UsageError
        When there is no config file to rewrite, or a value of it stands where it cannot be rewritten.
    """
    config = exam.run.config
    if config is None or config.path is None:
        raise UsageError(_nothing_to_rewrite(exam))
    rewrite = apply_to_toml if config.dialect == _TOML else apply_values
    text = rewrite(config, prescription.edits)
    after = Examination(reread_config(text, config.file, config.dialect))
    changed = {e.before: e.after for e in prescription.edits if e.setting in _OF_BATCH}

    def factors(claim: Claim) -> tuple[int | float, ...] | None:
        """Name the new batch in a product, where that leaves its result as it was."""
        new = tuple(changed.get(factor, factor) for factor in claim.factors)
        same = math.prod(new) == math.prod(claim.factors) and len(set(claim.factors)) == len(claim.factors)
        return new if new != claim.factors and same else None

    return correct_claims(text, value_of(after.judgements) or (), factors)


def _nothing_to_rewrite(exam: Examination) -> str:
    run = exam.run
    kind = "the recipe.toml that it was trained with" if trainer_of(run) == "auscult train" else "the train_*.py"
    if run.config is None and exam.has_log and len(run.sources) == 1:
        return f"There is no config file to fix: this run was read from a log alone. Give {kind} too."
    shown = ", ".join(run.sources[:3]) + (f" and {len(run.sources) - 3} more" if len(run.sources) > 3 else "")
    return (
        f"There is no config that can be rewritten among {shown}: fix rewrites nanoGPT's Python configs and auscult's own"
        f" recipes in TOML, as files. Next: give {kind}, or make the edits of `auscult diagnose` by hand."
    )


def unverified_comments(exam: Examination, prescription: Prescription) -> list[str]:
    """Return the lines whose value is edited and whose comment holds a number that no claim covers, as ``file:line  text``."""
    config = exam.run.config
    if config is None:
        return []
    covered = {claim.source.line for claim in exam.claims}
    edited = {item.line for edit in prescription.edits if (item := config.get(edit.key)) is not None}
    return [
        f"{comment.source.place}  {comment.text}"
        for comment in config.comments
        if comment.key is None and comment.source.line in edited - covered and re.search(r"\d", comment.text)
    ]


def diff(exam: Examination, fixed: str) -> str:
    """Return a unified diff between the run's config and its fixed text."""
    config = exam.run.config
    if config is None:
        return ""
    name = Path(config.file).as_posix()
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(split_lines(config.text), split_lines(fixed), f"a/{name}", f"b/{name}")
    )
