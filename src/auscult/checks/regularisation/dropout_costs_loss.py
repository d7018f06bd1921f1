from __future__ import annotations

from ...examination import Examination
from ...facts.statistics import Estimate
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Effect, Found, NotApplicable, Verdict, change, check

SIGMAS = 2.0
"""Removing dropout from fresh data is right without evidence (REG003); two errors are enough to put a figure to it."""
PUBLISHED_GAIN = -0.051
"""Removing dropout 0.1 from a 163M GPT-2 on 3.2B tokens of FineWeb: 3.692 to 3.641 (gilesthomas.com, April 2026, part 32i)."""


@check("REG002", "Dropout costs loss, measured in this log", "warning")
def dropout_costs_loss(exam: Examination, dropout: Known[float], dropout_cost: Known[Estimate]) -> Verdict:
    """
    What it looks for
    -----------------
    The mean of the ``iter`` losses (train mode, dropout on) minus that of the ``step`` train losses (eval mode, dropout off),
    on the same split over the second half of the run. With dropout 0 it is zero within noise. auscult's own trainer evaluates
    the same batches both ways, and the difference is then that of dropout alone.

    Why it matters
    --------------
    In pre-training on data that are hardly repeated, dropout regularises against nothing and costs loss.

    What else could explain it
    --------------------------
    The difference is the price while training; what removing dropout gains in eval mode is another number: about 0.05 nats, less
    than the price, in a published run; 0.050 nats, twice the price, in the short runs of ``examples/width-or-dropout``.
    Where data are repeated many times, dropout may be worth its price.

    What to do
    ----------
    Set dropout to 0 where the data are fresh.

    References
    ----------
    Liu, Bauer & Manning 2025, arXiv:2505.24788; nanoGPT train.py estimate_loss (eval mode for both splits).
    """
    cost = dropout_cost.value
    numbers = {
        "dropout": dropout.value,
        "cost": cost.value,
        "standard_error": cost.standard_error,
        "points": cost.points,
    }
    if dropout.value == 0:
        return NotApplicable(
            say(
                "dropout is 0; the same difference is {value:.3f} ± {error:.3f}",
                value=cost.value,
                error=cost.standard_error,
            )
        )
    if cost.value < -SIGMAS * cost.standard_error:
        return Clear(
            say(
                "train mode lies {value:.3f} ± {error:.3f} nats below eval mode: no price of dropout is seen",
                value=-cost.value,
                error=cost.standard_error,
            )
        )
    if cost.value < SIGMAS * cost.standard_error:
        return Clear(
            say(
                "{value:.3f} ± {error:.3f} nats: within twice its error of zero",
                value=cost.value,
                error=cost.standard_error,
            )
        )
    few = value_of(exam.passes_over_data_few)
    outside = exam.outside_fits(parameters=value_of(exam.parameters_for_laws), tokens=value_of(exam.tokens_planned))
    edits = (
        change(
            exam,
            "dropout",
            dropout.value,
            0.0,
            say("{freshness}: dropout costs loss and protects from nothing", freshness=exam.freshness),
            "changes_result",
        )
        if few
        else ()
    )
    effect = Effect("clarity")
    if few and outside is None:
        effect = Effect("nats", max(PUBLISHED_GAIN, -cost.value), -cost.value, 0.0)
    elif few:
        effect = Effect("nats", reason=f"a run without it tells; {outside}")
    return Found(
        message=say(
            "dropout {p:g} costs {value:.3f} ± {error:.3f} nats (train mode − eval mode, second half)",
            p=dropout.value,
            value=cost.value,
            error=cost.standard_error,
        ),
        meaning=say(
            "that is its price during training; in eval mode removing 0.1 gained {published}. {freshness}",
            published="0.05 nats in a published run"
            if outside is None
            else "less than that in a published run, and twice as much in a short one on bytes",
            freshness=exam.freshness.capitalize(),
        )
        if few
        else say(
            "that is its price during training; whether it is worth it depends on how often the data are repeated"
        ),
        action=say("set dropout = 0.0")
        if few
        else say("tell --train-tokens, so that epochs can be counted")
        if few is None
        else say("keep it: the data are repeated, and it protects"),
        evidence=(dropout.source, *dropout_cost.source.inputs),
        numbers=numbers,
        effect=effect,
        edits=edits,
        headline=say(
            "dropout {p:g} costs {value:.3f} ± {error:.3f} (train − eval mode)",
            p=dropout.value,
            value=cost.value,
            error=cost.standard_error,
        ),
        severity=None if few else "info",
    )
