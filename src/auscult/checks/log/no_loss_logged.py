from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Series
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

LOSS_UNITS = ("nats_per_token", "bits_per_byte", "bits_per_token")
LOSS_NAMES = ("loss", "perplexity", "ppl", "bpb")


@check("LOG016", "There is no loss in the log", "warning")
def no_loss_logged(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A log or a file of metrics that has steps, and neither a training nor a validation loss.

    Why it matters
    --------------
    Whether the run learns cannot be told from it.

    What else could explain it
    --------------------------
    A logging interval longer than the run, iterations that were all skipped, or a loss that is written to another file.

    What to do
    ----------
    Log the loss every few steps, or add the file that holds it.

    References
    ----------
    Hugging Face: ``logging_steps`` is 500 by default; a shorter run logs no loss. Megatron-LM prints no loss for skipped
    iterations.
    """
    series = [s for s in exam.run.series if len(s)]
    found = noticed(exam, "no_loss_logged")
    losses = [s for s in series if _is_loss(s)]
    if losses:
        return Clear(say("the log has {names}", names=", ".join(s.name for s in losses[:4])))
    if not series and not found:
        return NotApplicable(say("there is no log") if not exam.has_log else say("there are no metrics at all"))
    detail = found[0].detail if found else "it has " + ", ".join(s.name for s in series[:4])
    return Found(
        message=say("there is no loss in the log{detail}", detail=f": {detail}" if detail else ""),
        meaning=say("whether the run learned anything cannot be told"),
        action=say("log the loss every few steps, or add the file that holds it"),
        evidence=tuple(n.source for n in found) or (series[0].source(0),),
        numbers={"series": len(series)},
    )


def _is_loss(series: Series) -> bool:
    """Return whether a series is a loss, by its unit or the end of its name (``loss_scale`` is none)."""
    return series.unit in LOSS_UNITS or series.name.lower().endswith(LOSS_NAMES)
