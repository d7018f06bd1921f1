from __future__ import annotations

import math

from ...examination import Examination, Gap, trainer_of
from ...facts.curve import SEQUENCE_SD_NATS, split_sampling_error
from ...prose import Prose, say
from ...run import Known, Unknown, value_of
from ..base import CannotTell, Clear, Found, Verdict, check
from ..data.validation_split_too_small import WANTED_TOKENS

SIGMAS = 3.0
"""A mean gap this many standard errors below zero is not the noise of evaluations."""
SIGN_TEST = 0.01
SIGN_TEST_EVALUATIONS = 7
"""Below seven evaluations a sign test cannot reach 0.01: 1/2⁶ is 0.016. Then all must lie below, by three errors."""
FEW = 3
"""Fewer evaluations carry no standard error of their own."""


@check("REG004", "Validation lies below training, and dropout is not why", "info")
def validation_below_training(exam: Examination, gap: Known[Gap]) -> Verdict:
    """
    What it looks for
    -----------------
    A validation loss below the training loss at nearly every evaluation, where the trainer measures both in eval mode.

    Why it matters
    --------------
    The usual answer, "dropout is on in training", is wrong here: nanoGPT's ``estimate_loss()`` calls ``model.eval()`` before
    both splits, and auscult's own trainer evaluates the same batches of both in eval mode each time. The gap comes from the data: it says how the split was drawn, and that its level is not to be compared.

    What else could explain it
    --------------------------
    In order: the split was not drawn like the training data (a contiguous tail, another source); it is very small, so that
    its few documents happen to be easy; a training script that was changed to print train-mode losses.

    What to do
    ----------
    Tell the size of the split (``--val-tokens``): its sampling error decides between the first two. Draw a new one from
    documents at random.

    References
    ----------
    nanoGPT train.py estimate_loss (3adf61e); sampling error: auscult.facts.curve.split_sampling_error.
    """
    g = gap.value
    if isinstance(exam.evaluation_tokens, Known):
        return _same_batches(exam, gap, exam.evaluation_tokens.value)
    if g.evaluations < FEW:
        return _few(exam, gap)
    sign = _binomial_tail(g.below, g.evaluations)
    unsure = sign > SIGN_TEST and not (g.below == g.evaluations < SIGN_TEST_EVALUATIONS)
    if g.mean >= 0 or unsure or g.mean > -SIGMAS * g.standard_error:
        return Clear(
            say(
                "the gap is {mean:+.3f} ± {error:.3f}, {below} of {n} below",
                mean=g.mean,
                error=g.standard_error,
                below=g.below,
                n=g.evaluations,
            )
        )
    causes, numbers = _causes(exam, g)
    return Found(
        headline=say("val < train in {below} of {n} evaluations: not dropout", below=g.below, n=g.evaluations),
        message=say(
            "validation is below training in {below} of {n} evaluations, by {mean:.3f} ± {error:.3f} nats",
            below=g.below,
            n=g.evaluations,
            mean=-g.mean,
            error=g.standard_error,
        ),
        meaning=say("dropout is excluded: {measured}. {causes}", measured=_measured(exam), causes=str(causes)),
        action=_action(exam),
        evidence=tuple(dict.fromkeys(gap.source.leaves()))[-1:],
        numbers={
            "gap": g.mean,
            "standard_error": g.standard_error,
            "below": g.below,
            "evaluations": g.evaluations,
            "sign_test_p": sign,
        }
        | numbers,
    )


def _few(exam: Examination, gap: Known[Gap]) -> Verdict:
    """Judge one or two evaluations by the error that their batches alone give them."""
    g, recipe = gap.value, exam.run.recipe
    sequences = (value_of(recipe.eval_iters) or 0) * (value_of(recipe.batch_size) or 0) * g.evaluations
    if g.mean >= 0:
        return Clear(say("validation is {mean:.3f} above training", mean=g.mean))
    if not sequences:
        return CannotTell(say("{n} evaluations, and how many batches each averages is not known", n=g.evaluations))
    low, high = (math.sqrt(2) * sd / math.sqrt(sequences) for sd in SEQUENCE_SD_NATS)
    if -g.mean < SIGMAS * low:
        return Clear(
            say(
                "the gap of {mean:+.3f} is within the noise of its batches, {low:.3f} to {high:.3f}",
                mean=g.mean,
                low=low,
                high=high,
            )
        )
    return Found(
        headline=say("val is {gap:.3f} below train: not dropout", gap=-g.mean),
        message=say(
            "validation is {gap:.3f} nats below training in the {n}; the noise of their batches is {low:.3f} to {high:.3f}",
            gap=-g.mean,
            n="one evaluation" if g.evaluations == 1 else f"{g.evaluations} evaluations",
            low=low,
            high=high,
        ),
        meaning=say(
            "dropout is excluded: {measured}. What is left, in order: a split not drawn like the training data; a very small split; chance, which more evaluations would show",
            measured=_measured(exam),
        ),
        action=say("give --val-tokens, and look at more evaluations"),
        evidence=tuple(dict.fromkeys(gap.source.leaves()))[-1:],
        numbers={"gap": g.mean, "evaluations": g.evaluations, "below": g.below, "noise_low": low, "noise_high": high},
    )


def _same_batches(exam: Examination, gap: Known[Gap], tokens: int) -> Verdict:
    """Judge evaluations of the same tokens each time: they repeat one draw of text, however many there are."""
    g = gap.value
    if g.mean >= 0:
        return Clear(say("validation is {mean:.3f} above training", mean=g.mean))
    low, high = (math.sqrt(2) * error for error in split_sampling_error(tokens))
    if -g.mean < SIGMAS * low:
        return Clear(
            say(
                "the gap of {mean:+.3f} is what {tokens:count} tokens of each split, the same each time, leave to chance: {low:.3f} to {high:.3f}",
                mean=g.mean,
                tokens=tokens,
                low=low,
                high=high,
            )
        )
    causes, numbers = _causes(exam, g)
    return Found(
        headline=say("val is {gap:.3f} below train: not dropout", gap=-g.mean),
        message=say(
            "validation is {gap:.3f} nats below training; the {tokens:count} tokens of each, the same each time, leave {low:.3f} to {high:.3f} to chance",
            gap=-g.mean,
            tokens=tokens,
            low=low,
            high=high,
        ),
        meaning=say("dropout is excluded: {measured}. {causes}", measured=_measured(exam), causes=str(causes)),
        action=_action(exam),
        evidence=tuple(dict.fromkeys(gap.source.leaves()))[-1:],
        numbers={"gap": g.mean, "evaluations": g.evaluations, "below": g.below, "noise_low": low, "noise_high": high}
        | numbers,
    )


def _measured(exam: Examination) -> str:
    """Say how both losses are measured, and what the log shows of them with dropout on."""
    trainer = trainer_of(exam.run)
    if trainer != "auscult train":
        return f"{trainer} measures both with dropout off" if trainer else "both are measured with dropout off"
    train, val = (exam.run.get(f"{name}_train_mode") for name in ("train_loss_eval", "val_loss"))
    text = f"{trainer} measures both with dropout off"
    if train is None or val is None or not len(train) or not len(val) or train.steps[-1] != val.steps[-1]:
        return text
    return f"{text} (with it on, validation lies {val.values[-1] - train.values[-1]:+.3f} from training at the last evaluation)"


def _action(exam: Examination) -> Prose:
    if isinstance(exam.run.data.val_tokens, Unknown):
        return say("give --val-tokens: the split's sampling error decides which it is")
    total = sum(value_of(q) or 0 for q in (exam.run.data.train_tokens, exam.run.data.val_tokens))
    enough = (
        " (10M tokens are enough)" if isinstance(exam.run.data.train_tokens, Unknown) or total > WANTED_TOKENS else ""
    )
    return say(
        "draw the validation split anew from documents at random{enough}; until then compare only differences",
        enough=enough,
    )


def _causes(exam: Examination, g: Gap) -> tuple[Prose, dict[str, float]]:
    """Rank what is left once dropout and noise are excluded."""
    tokens = value_of(exam.run.data.val_tokens)
    if tokens is None:
        return say(
            "What is left, in order: a split not drawn like the training data; a very small split; not the noise of evaluations{test}",
            test="" if isinstance(exam.evaluation_tokens, Known) else " (sign test)",
        ), {}
    low, high = split_sampling_error(tokens)
    numbers = {"val_tokens": tokens, "split_error_low": low, "split_error_high": high}
    if -g.mean < 2 * low:
        return say(
            "The split's {tokens:count} tokens have a sampling error of {low:.2f} to {high:.2f} nats by themselves: the gap is chance in a split too small",
            tokens=tokens,
            low=low,
            high=high,
        ), numbers
    if -g.mean > 2 * high:
        return say(
            "The split's sampling error is only {low:.3f} to {high:.3f} nats: it was not drawn like the training data",
            low=low,
            high=high,
        ), numbers
    return say(
        "The split's sampling error, {low:.3f} to {high:.3f} nats, leaves both open: too small, or not drawn alike",
        low=low,
        high=high,
    ), numbers


def _binomial_tail(successes: int, trials: int) -> float:
    """Return P(at least ``successes`` of ``trials``) for a fair coin."""
    return sum(math.comb(trials, k) for k in range(successes, trials + 1)) / (1 << trials)
