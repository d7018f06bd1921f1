from __future__ import annotations

from ...examination import Examination
from ...facts.curve import split_sampling_error
from ...prose import say
from ...run import Known
from ..base import Clear, Effect, Found, Verdict, check

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
    —

    What to do
    ----------
    Draw a new split: documents at random, about 10M tokens.

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
    return Found(
        message=say(
            "the validation split has {tokens:count} tokens: its own sampling error is {low:.2f} to {high:.2f} nats",
            tokens=val_tokens.value,
            low=low,
            high=high,
        ),
        meaning=say(
            "its loss says more about its few documents than about the model; levels and gaps below that error mean nothing"
        ),
        action=say("draw a new split of about {wanted:si} tokens, documents at random", wanted=WANTED_TOKENS),
        evidence=(val_tokens.source,),
        numbers=numbers,
        headline=say(
            "{tokens:count} validation tokens: their own error is ± {low:.2f}–{high:.2f}",
            tokens=val_tokens.value,
            low=low,
            high=high,
        ),
        effect=Effect("clarity"),
    )
