from __future__ import annotations

import math

from ...examination import Examination, Shape
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Found, NotApplicable, Verdict, check

ABOVE_NATS = 0.5
"""nanoGPT's own init starts 0.05 to 0.25 above ln V (tied embeddings); half a nat above is not that."""
BROKEN_NATS = 2.0


@check("NUM003", "The loss at initialisation is not that of a fresh model", "warning")
def initial_loss_off(exam: Examination, initial_loss: Known[float], shape: Known[Shape]) -> Verdict:
    """
    What it looks for
    -----------------
    The loss at step 0 against ln(vocabulary), what a model knows that knows nothing.

    Why it matters
    --------------
    Well above it, initialisation or loss are broken (wrong scale, accumulation not divided); well below it, the model is not
    fresh, or the vocabulary is another.

    What else could explain it
    --------------------------
    Loaded weights (init_from), a resumed run.

    What to do
    ----------
    Check initialisation, the division by accumulation steps, and the vocabulary.

    References
    ----------
    Karpathy 2019, "A Recipe for Training Neural Networks" (verify loss at init).
    """
    init = value_of(exam.run.recipe.init_from)
    if init is not None and init != "scratch":
        return NotApplicable(say("the model starts from {init!r}", init=init))
    expected = math.log(shape.value.vocab_size)
    difference = initial_loss.value - expected
    if abs(difference) <= ABOVE_NATS:
        return Clear(
            say(
                "{loss:.2f} at step 0; ln {vocab:count} = {expected:.2f}",
                loss=initial_loss.value,
                vocab=shape.value.vocab_size,
                expected=expected,
            )
        )
    return Found(
        headline=say(
            "the loss starts at {loss:.2f}; ln V is {expected:.2f}", loss=initial_loss.value, expected=expected
        ),
        message=say(
            "the loss starts at {loss:.2f}; ln {vocab:count} = {expected:.2f}",
            loss=initial_loss.value,
            vocab=shape.value.vocab_size,
            expected=expected,
        ),
        meaning=say("initialisation or the loss itself is broken")
        if difference > 0
        else say("the model is not fresh, or the vocabulary is another"),
        action=say("check initialisation and the division of the loss by accumulation steps")
        if difference > 0
        else say("check init_from and the vocabulary"),
        evidence=(initial_loss.source,),
        numbers={"initial_loss": initial_loss.value, "ln_vocab": expected},
        severity="error" if difference > BROKEN_NATS else None,
    )
