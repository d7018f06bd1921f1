from __future__ import annotations

import math

from ...examination import Examination
from ...facts.curve import Noise, Slope
from ...prose import say
from ...run import Known, Series, Unknown, value_of
from ..base import Clear, Found, NotApplicable, Verdict, check

SIGMAS_TO_SEE = 2.0


@check("LOG003", "One evaluation's noise hides the progress between two", "info")
def noise_hides_progress(
    exam: Examination, judged_series: Known[Series], noise: Known[Noise], slope: Known[Slope]
) -> Verdict:
    """
    What it looks for
    -----------------
    The noise of a single evaluation against the progress expected between two of them, from the fitted slope.

    Why it matters
    --------------
    Where noise is larger, "the last evaluations are flat" has no weight: a plateau by eye is what a healthy run looks like.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Judge by a regression over many evaluations, or evaluate on a fixed set of batches: paired differences are about ten
    times less noisy.

    References
    ----------
    Noise: Gasser et al. 1986; fixed evaluation sets: residual sd 0.0002 to 0.0015 in public curves (science.md §3b).
    """
    series = judged_series.value
    if slope.value.high >= 0:
        return NotApplicable(say("the slope is not distinguishable from zero"))
    last, before = series.steps[-1], series.steps[-2]
    progress = -slope.value.value * math.log(last / before)
    sd = noise.value.sd
    if sd * math.sqrt(2) < progress:
        return Clear(say("{sd:.4f} nats of noise against {progress:.4f} of progress", sd=sd, progress=progress))
    needed = _evaluations_to_see(sd / progress) if progress > 0 else None
    one = "logged iteration" if series.name == "train_loss" else "evaluation"
    return Found(
        headline=say(
            "chance moves two {one}s ± {sd:.3f} apart, progress {progress:.3f}",
            one=one,
            sd=math.sqrt(2) * sd,
            progress=progress,
        ),
        message=say(
            "one {one} is ± {sd:.4f} nats, so that chance moves two ± {both:.4f} apart; the progress between them is {progress:.4f}",
            one=one,
            both=math.sqrt(2) * sd,
            sd=sd,
            progress=progress,
        ),
        meaning=say(
            "a few flat-looking evaluations prove nothing; the slope over {n} does: {slope:.3f} ± {half:.3f} nats per e-fold of tokens",
            n=slope.value.points,
            slope=slope.value.value,
            half=slope.value.high - slope.value.value,
        ),
        action=say("evaluate on a fixed set of batches (the same seed each time), or judge by the regression")
        if isinstance(exam.evaluation_tokens, Unknown)
        else say("judge by the regression: every evaluation is of the same batches already"),
        evidence=(series.source(len(series) - 2), series.source(len(series) - 1)),
        numbers={
            "noise_sd": sd,
            "progress_between_evaluations": progress,
            "evaluations_to_see_it": needed,
            "eval_iters": value_of(exam.run.recipe.eval_iters),
        },
    )


def _evaluations_to_see(noise_over_progress: float) -> int:
    """Return the evaluations over which a regression sees the progress between two at ``SIGMAS_TO_SEE`` errors.

    The slope's error over n equally spaced points is σ/√(n(n²−1)/12) a spacing.
    """
    n = 3
    while math.sqrt(n * (n * n - 1) / 12) < SIGMAS_TO_SEE * noise_over_progress:
        n += 1
    return n
