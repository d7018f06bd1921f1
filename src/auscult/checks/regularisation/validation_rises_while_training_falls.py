from __future__ import annotations

from ...examination import Examination, Rise
from ...prose import say
from ...run import Known, Series
from ..base import CannotTell, Clear, Effect, Found, Verdict, check


@check("REG001", "Validation rises while training falls", "error")
def validation_rises_while_training_falls(
    exam: Examination, judged_series: Known[Series], rise: Known[Rise]
) -> Verdict:
    """
    What it looks for
    -----------------
    A validation loss that ends above its smoothed minimum by more than noise, while the train split went on falling.

    Why it matters
    --------------
    The model memorises; every further step makes it worse on new text.

    What else could explain it
    --------------------------
    When both rise it is not overfitting (see NUM002). A validation split of another kind of text can drift too.

    What to do
    ----------
    Keep the checkpoint of the minimum; more data, fewer steps, dropout or weight decay.

    References
    ----------
    Noise: Gasser et al. 1986. Repetition: Muennighoff et al. 2023, arXiv:2305.16264.
    """
    r, series = rise.value, judged_series.value
    if series.name != "val_loss":
        return CannotTell(say("needs val_loss: the log has no validation series"))
    if not r.is_significant:
        return Clear(
            say(
                "validation ends {value:.3f} above its minimum; noise alone may do {threshold:.3f}",
                value=max(r.value, 0.0),
                threshold=r.threshold,
            )
        )
    if r.train_change is None:
        return CannotTell(
            say("validation rises by {value:.3f}, and the log has no training loss to compare", value=r.value)
        )
    if r.train == "rises":
        return Clear(say("training rises too: not overfitting (NUM002)"))
    index = series.steps.index(r.since_step)
    return Found(
        message=say(
            "validation rises by {value:.2f} nats after step {step:count} while the train split {train}",
            value=r.value,
            step=r.since_step,
            train=f"falls by {-r.train_change:.2f}" if r.train == "falls" else "does not",
        ),
        meaning=say("the model memorises its training data"),
        action=say(
            "keep the checkpoint of step {step:count}; more data, fewer steps, or more regularisation",
            step=r.since_step,
        ),
        evidence=(series.source(index), series.source(len(series) - 1)),
        numbers={"rise": r.value, "minimum_step": r.since_step, "train_change": r.train_change},
        effect=Effect("nats", -r.value, -r.value, -r.value),
        headline=say(
            "validation rises {value:.2f} after step {step:count}, training does not", value=r.value, step=r.since_step
        ),
    )
