from __future__ import annotations

import math

from ...examination import Examination
from ...prose import say
from ...run import Known, value_of
from ..base import CannotTell, Clear, Found, NotApplicable, Verdict, check

ABOVE_NATS = 0.5
"""nanoGPT's own init starts 0.05 to 0.25 above ln V (tied embeddings); half a nat above is not that."""
BROKEN_NATS = 2.0
MAX_PLAUSIBLE_NATS = 15.0
"""ln of three million: no tokenizer has a larger vocabulary."""


@check("NUM003", "The loss at initialisation is not that of a fresh model", "warning")
def initial_loss_off(exam: Examination, initial_loss: Known[float]) -> Verdict:
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
    vocab = value_of(exam.vocab_and_bias[0])
    if vocab is None and initial_loss.value <= MAX_PLAUSIBLE_NATS:
        return CannotTell(
            say(
                "needs vocab_size: the loss starts at {loss:.2f}, that of about {guess:.0f} tokens",
                loss=initial_loss.value,
                guess=math.exp(initial_loss.value),
            )
        )
    factor = value_of(exam.loss_scale_factor)
    if factor and factor != 1 and vocab and abs(initial_loss.value / factor - math.log(vocab)) <= ABOVE_NATS:
        return NotApplicable(
            say("the logged loss is {factor:g} times the loss of a token: NUM005 says so", factor=factor)
        )
    expected = math.log(vocab) if vocab is not None else MAX_PLAUSIBLE_NATS
    difference = initial_loss.value - expected
    told = (
        say("ln {vocab:count} = {expected:.2f}", vocab=vocab, expected=expected)
        if vocab is not None
        else say("no vocabulary starts above {expected:.1f}", expected=expected)
    )
    if vocab is not None and abs(difference) <= ABOVE_NATS:
        return Clear(say("{loss:.2f} at step 0; {told}", loss=initial_loss.value, told=str(told)))
    return Found(
        headline=say("the loss starts at {loss:.2f}; {told}", loss=initial_loss.value, told=str(told)),
        message=say("the loss starts at {loss:.2f}; {told}", loss=initial_loss.value, told=str(told)),
        meaning=say("initialisation or the loss itself is broken")
        if difference > 0
        else say("the model is not fresh, or the vocabulary is another"),
        action=say("check initialisation and the division of the loss by accumulation steps")
        if difference > 0
        else say("check init_from and the vocabulary"),
        evidence=(initial_loss.source,),
        numbers={"initial_loss": initial_loss.value, "expected": expected, "vocab_size": vocab},
        severity="error" if difference > BROKEN_NATS else None,
    )
