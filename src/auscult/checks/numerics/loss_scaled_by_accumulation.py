from __future__ import annotations

import math

from ...examination import Examination
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Found, Verdict, check


@check("NUM005", "The logged loss is a multiple of the loss of a token", "warning")
def loss_scaled_by_accumulation(exam: Examination, loss_scale_factor: Known[float]) -> Verdict:
    """
    What it looks for
    -----------------
    A first training loss that is a whole multiple (or fraction) of ln(vocabulary), the loss of a fresh model.

    Why it matters
    --------------
    The trainer summed the loss over accumulation steps instead of averaging it (or divided twice). Every logged loss is
    off by that factor; where the gradient is scaled too, so is the learning rate that fits.

    What else could explain it
    --------------------------
    A model whose initialisation happens to give just that loss; a loss that is meant to be a sum.

    What to do
    ----------
    Divide the logged loss before it is compared with anything, and update the trainer.

    References
    ----------
    huggingface/transformers issues 35204 and 37766 and pull request 35438 (summed, versions 4.46 and 4.47);
    pytorch-lightning issue 2569 (divided). Tolerances: auscult.facts.accumulation.
    """
    factor = loss_scale_factor.value
    series = exam.run.get("train_loss")
    vocab = value_of(exam.vocab_and_bias[0])
    assert series is not None
    assert vocab is not None
    first = series.values[0]
    if factor == 1:
        return Clear(
            say(
                "the first logged loss, {first:.2f}, is that of a fresh model: ln {vocab:count} = {fresh:.2f}",
                first=first,
                vocab=vocab,
                fresh=math.log(vocab),
            )
        )
    finite = series.finite()
    last = finite.values[-1]
    times = f"{factor:g} times" if factor > 1 else f"1/{round(1 / factor)} of"
    return Found(
        headline=say("the logged loss is {times} the loss of a token", times=times),
        message=say(
            "the first logged loss, {first:.2f}, is {times} the {fresh:.2f} of a fresh model with a vocabulary of {vocab:count}",
            first=first,
            times=times,
            fresh=math.log(vocab),
            vocab=vocab,
        ),
        meaning=say(
            "the loss was {how} over accumulation steps: a token's loss went from {first:.2f} to {last:.2f} nats,"
            " not from {logged_first:.2f} to {logged_last:.2f}",
            how="summed" if factor > 1 else "divided twice",
            first=first / factor,
            last=last / factor,
            logged_first=first,
            logged_last=last,
        ),
        action=say(
            "divide the logged loss by {factor:g} before it is compared, and update the trainer; the learning rate that"
            " fits may change with it",
            factor=factor,
        )
        if factor > 1
        else say(
            "multiply the logged loss by {inverse} before it is compared, and update the trainer",
            inverse=round(1 / factor),
        ),
        evidence=tuple(dict.fromkeys((series.source(0), *loss_scale_factor.source.leaves()))),
        numbers={
            "factor": factor,
            "vocab_size": vocab,
            "first_logged": first,
            "last_logged": last,
            "first_per_token": first / factor,
            "last_per_token": last / factor,
        },
    )
