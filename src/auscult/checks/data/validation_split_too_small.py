from __future__ import annotations

from ...examination import Examination
from ...facts.curve import split_sampling_error
from ...prose import Prose, say
from ...run import Known, value_of
from ..base import Clear, Effect, Found, Verdict, check

__all__ = ["draw_anew", "validation_split_too_small"]

WANTED_ERROR_NATS = 0.01
"""A validation loss is quoted to about two decimals; a split whose own error exceeds that cannot carry them."""
WANTED_TOKENS = 10_000_000
"""About where the split's own error falls to 0.005 to 0.01 nats."""


@check("DAT002", "The validation split is too small", "warning")
def validation_split_too_small(exam: Examination, val_tokens: Known[int]) -> Verdict:
    """
    What it looks for
    -----------------
    A validation split whose own sampling error exceeds 0.01 nats.

    Why it matters
    --------------
    The loss on such a split is a statement about its few documents. It may lie above or below the training loss for the
    whole run without any cause in the model, and re-drawing batches from it does not help.

    What else could explain it
    --------------------------
    A vocabulary of bytes or characters: the spread was measured on GPT-2's tokens, and shorter ones carry fewer nats each, so
    that the error is smaller than said.

    What to do
    ----------
    Draw a new split: documents at random, about 10M tokens. Where there are no more than that in all: prepare more text, or
    mind the error when two losses are compared.

    References
    ----------
    Sequence-level spread of losses: auscult.facts.curve.SEQUENCE_SD_NATS and its sources.
    """
    low, high = split_sampling_error(val_tokens.value)
    numbers = {"val_tokens": val_tokens.value, "error_low": low, "error_high": high}
    if low <= WANTED_ERROR_NATS:
        return Clear(
            say(
                "{tokens:si} tokens: the split's own error is about {low:.3f} to {high:.3f} nats",
                tokens=val_tokens.value,
                low=low,
                high=high,
            )
        )
    short = exam.outside_fits() is not None  # tokens of fewer nats than those that the spread was measured on
    return Found(
        message=say(
            "the validation split has {tokens:count} tokens: its own sampling error is {most}{low:.2f} to {high:.2f} nats",
            tokens=val_tokens.value,
            most="at most " if short else "",
            low=low,
            high=high,
        ),
        meaning=say(
            "its loss says more about its few documents than about the model; levels and gaps below that error mean nothing"
        )
        if not short
        else say("that is measured on GPT-2's tokens, and shorter ones carry fewer nats; smaller gaps may be chance"),
        action=draw_anew(exam),
        severity="info" if short else None,
        evidence=(val_tokens.source,),
        numbers=numbers,
        headline=say(
            "{tokens:count} validation tokens: their own error is {most}{low:.2f}–{high:.2f}",
            tokens=val_tokens.value,
            most="at most " if short else "± ",
            low=low,
            high=high,
        ),
        effect=Effect("clarity"),
    )


def draw_anew(exam: Examination) -> Prose:
    """Say how a better split is drawn, or what else there is to do where both splits together hold too little for one."""
    train, val = value_of(exam.run.data.train_tokens), value_of(exam.run.data.val_tokens)
    if train is not None and val is not None and train + val <= WANTED_TOKENS:
        return say(
            "about {wanted:si} tokens would do, which is more than there are ({total:si4} in both splits): prepare more"
            " text, or mind the error when two losses are compared",
            wanted=WANTED_TOKENS,
            total=train + val,
        )
    return say("draw a new split of about {wanted:si} tokens, documents at random", wanted=WANTED_TOKENS)
