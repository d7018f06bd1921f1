from __future__ import annotations

from ...examination import Examination
from ...facts.scaling import equal_compute_gain
from ...facts.tokens import optimal_tokens_range
from ...prose import say
from ...run import Known, value_of
from ..base import CannotTell, Clear, Found, NotApplicable, Verdict, check

RATIO = 2.0
"""Twice the rule of 20; below, the published laws disagree about the side."""


@check("CAP001", "Many more tokens than compute-optimal", "info")
def tokens_beyond_compute_optimal(
    exam: Examination, chinchilla_ratio: Known[float], parameters_for_laws: Known[int], tokens_for_budget: Known[int]
) -> Verdict:
    """
    What it looks for
    -----------------
    Tokens far beyond what published laws call compute-optimal for this model size.

    Why it matters
    --------------
    The same FLOPs would have reached a lower loss in a larger model on fewer tokens. It does *not* mean that the loss must
    stop: in no public curve does it, at 10 or even 32 times the compute-optimal tokens; each doubling still buys 0.06 nats
    or so in models of this kind.

    What else could explain it
    --------------------------
    A small model may be wanted for its own sake (cheap inference): then over-training is the right choice.

    What to do
    ----------
    If loss per GPU-hour is the goal, spend the compute on a larger model; otherwise go on.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556; Besiroglu et al. 2024, arXiv:2404.10102; Muennighoff et al. 2023,
    arXiv:2305.16264; over-training: Gadre et al. 2024, arXiv:2403.08540 (32×), Sardana et al. 2024, arXiv:2401.00448.
    """
    init = value_of(exam.run.recipe.init_from)
    if init is not None and init not in ("scratch", "resume"):
        return NotApplicable(say("the model starts from {init!r}: its tokens are not all in this run", init=init))
    n, tokens, ratio = parameters_for_laws.value, tokens_for_budget.value, chinchilla_ratio.value
    if (outside := exam.outside_fits(parameters=n, tokens=tokens)) is not None:
        return CannotTell(say("{outside}: their compute-optimal tokens are not this model's", outside=outside))
    low, high = optimal_tokens_range(n)
    numbers = {
        "tokens": tokens,
        "tokens_per_parameter": tokens / n,
        "chinchilla_ratio": ratio,
        "ratio_low": tokens / high,
        "ratio_high": tokens / low,
    }
    if ratio < RATIO:
        return Clear(say("{ratio:.2g} times the rule of 20 tokens a parameter", ratio=ratio))
    bigger = equal_compute_gain(n, tokens)
    action = say("nothing, if a model of this size is what is wanted")
    if bigger is not None:
        sizes, gains = bigger
        numbers |= {"equal_compute_parameters_low": sizes.low, "equal_compute_parameters_high": sizes.high}
        numbers |= {"equal_compute_gain_low": gains.low, "equal_compute_gain_high": gains.high}
        action = say(
            "if the lowest loss for this compute is wanted, {low:si} to {high:si} parameters on fewer tokens would end {gain_small:.2f} to {gain_large:.2f} nats lower",
            low=sizes.low,
            high=sizes.high,
            gain_small=-gains.high,
            gain_large=-gains.low,
        )
    return Found(
        message=say(
            "{tokens:si4} tokens for {n:si} parameters are {ratio:.1f} times the rule of 20 ({low_ratio:.1f} to {high_ratio:.1f} times over published laws)",
            tokens=tokens,
            n=n,
            ratio=ratio,
            low_ratio=tokens / high,
            high_ratio=tokens / low,
        ),
        meaning=say(
            "a larger model would have used the compute better; it does not mean that the loss must stop falling"
        ),
        action=action,
        evidence=tuple(dict.fromkeys(tokens_for_budget.source.leaves()))[:4],
        numbers=numbers,
        headline=say("{ratio:.1f} × the compute-optimal tokens for this size", ratio=ratio),
    )
