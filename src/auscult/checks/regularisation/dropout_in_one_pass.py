from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Effect, Found, NotApplicable, Verdict, change, check
from .dropout_costs_loss import PUBLISHED_GAIN, SIGMAS


@check("REG003", "Dropout on data that are hardly repeated", "warning")
def dropout_in_one_pass(exam: Examination, dropout: Known[float], passes_over_data_few: Known[bool]) -> Verdict:
    """
    What it looks for
    -----------------
    Dropout above 0 in a run that passes at most about four times over its data, where the log cannot measure its cost
    (REG002 measures it where it can).

    Why it matters
    --------------
    Dropout slows the fit and protects from overfitting; with fresh data there is nothing to protect from.

    What else could explain it
    --------------------------
    The training split may be smaller than thought: say ``--train-tokens``.

    What to do
    ----------
    Set dropout to 0.

    References
    ----------
    Liu, Bauer & Manning 2025, arXiv:2505.24788; the counter-voice: Hillier et al. 2024, arXiv:2409.05423 (below 100M).
    """
    if dropout.value == 0:
        return Clear(say("dropout is 0"))
    cost = value_of(exam.dropout_cost)
    if cost is not None and cost.value >= SIGMAS * cost.standard_error:
        return NotApplicable(say("the log measures it (REG002)"))
    if not passes_over_data_few.value:
        return NotApplicable(say("the data are repeated; dropout may be worth its price"))
    outside = exam.outside_fits(parameters=value_of(exam.parameters_for_laws), tokens=value_of(exam.tokens_planned))
    return Found(
        message=say("dropout {p:g} in a run that hardly repeats its data", p=dropout.value),
        meaning=say(
            "it protects from nothing and costs loss{published}. {freshness}",
            published="" if outside is not None else ": about 0.05 nats for 0.1 in a published run of this kind",
            freshness=exam.freshness.capitalize(),
        ),
        action=say("set dropout = 0.0"),
        evidence=(dropout.source,),
        numbers={"dropout": dropout.value},
        headline=say("dropout {p:g} on data that are hardly repeated", p=dropout.value),
        effect=Effect("nats", PUBLISHED_GAIN, 2 * PUBLISHED_GAIN, 0.0)
        if outside is None
        else Effect("nats", reason=outside),
        edits=change(
            exam,
            "dropout",
            dropout.value,
            0.0,
            say("{freshness}: dropout costs loss and protects from nothing", freshness=exam.freshness),
            "changes_result",
        ),
    )
