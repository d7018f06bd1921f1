from __future__ import annotations

from ...examination import MAX_FRESH_EPOCHS, Examination
from ...prose import say
from ...run import Known
from ..base import Clear, Found, Verdict, check

MANY_EPOCHS = 16.0
"""Beyond about 16 epochs further passes add almost nothing (Muennighoff et al. 2023, fig. 5)."""


@check("DAT001", "The training data are repeated many times", "warning")
def data_repeated(exam: Examination, epochs_planned: Known[float]) -> Verdict:
    """
    What it looks for
    -----------------
    More than four passes over the training split.

    Why it matters
    --------------
    Up to four epochs are about as good as fresh tokens; after about sixteen, further passes add next to nothing and the
    model starts to memorise.

    What else could explain it
    --------------------------
    Small corpora are sometimes all there is; then dropout and early stopping matter.

    What to do
    ----------
    Add data, stop earlier, or regularise.

    References
    ----------
    Muennighoff et al. 2023, "Scaling Data-Constrained Language Models", arXiv:2305.16264.
    """
    if epochs_planned.value <= MAX_FRESH_EPOCHS:
        return Clear(say("{epochs:.2g} epochs", epochs=epochs_planned.value))
    return Found(
        message=say("the planned steps pass {epochs:.1f} times over the training split", epochs=epochs_planned.value),
        meaning=say(
            "repeated tokens are worth less and less; past about {many:.0f} passes almost nothing", many=MANY_EPOCHS
        ),
        action=say("add data, plan fewer steps, or regularise and keep the checkpoint of lowest validation loss"),
        evidence=tuple(epochs_planned.source.leaves())[:4],
        numbers={"epochs": epochs_planned.value},
        headline=say("{epochs:.1f} passes over the training split", epochs=epochs_planned.value),
        severity="info" if epochs_planned.value < MANY_EPOCHS else None,
    )
