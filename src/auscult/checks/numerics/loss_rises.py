from __future__ import annotations

from ...examination import Examination, Rise
from ...prose import say
from ...run import Known, Series
from ..base import Clear, Effect, Found, Verdict, check


@check("NUM002", "The loss rises", "error")
def loss_rises(exam: Examination, judged_series: Known[Series], rise: Known[Rise]) -> Verdict:
    """
    What it looks for
    -----------------
    An evaluation loss that ends above its smoothed minimum by more than noise, with the train split rising too.

    Why it matters
    --------------
    The optimiser is moving away from what it had reached: the run is diverging, slowly or at once.

    What else could explain it
    --------------------------
    When only validation rises, it is overfitting (REG001). A change of data in the middle of a run looks the same.

    What to do
    ----------
    Go back to the minimum and go on with a lower learning rate, or let it decay.

    References
    ----------
    Noise: Gasser et al. 1986, Biometrika 73.
    """
    r, series = rise.value, judged_series.value
    alone = series.name == "train_loss"
    if not r.is_significant or (not alone and r.train in ("falls", "flat")):
        return Clear(
            say(
                "the loss ends {value:.3f} above its minimum; noise alone may do {threshold:.3f}",
                value=max(r.value, 0.0),
                threshold=r.threshold,
            )
        )
    where = "on the train split" if alone else "on both splits" if r.train == "rises" else "on validation"
    index = series.steps.index(r.since_step)
    return Found(
        headline=say(
            "the loss rises {value:.2f} after step {step:count}, {where}", value=r.value, step=r.since_step, where=where
        ),
        message=say(
            "the loss rises by {value:.2f} nats after step {step:count}, {where}",
            value=r.value,
            step=r.since_step,
            where=where,
        ),
        meaning=say("the run is moving away from what it had reached: not overfitting")
        if r.train == "rises" or alone
        else say("the run is diverging, or overfitting: the log has no training loss to tell which"),
        action=say(
            "go back to step {step:count} and lower the learning rate, or let it decay from there", step=r.since_step
        ),
        evidence=(series.source(index), series.source(len(series) - 1)),
        numbers={"rise": r.value, "minimum_step": r.since_step, "train_change": r.train_change},
        effect=Effect("nats", -r.value, -r.value, -r.value),
    )
