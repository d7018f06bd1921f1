from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("NUM004", "A loss of 0.0 stands for NaN", "error")
def nan_logged_as_zero(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Losses of exactly 0.0 beside a gradient norm that is not finite, or right after a loss far above 0.

    Why it matters
    --------------
    The Hugging Face trainer leaves NaN losses out of the mean it logs; when all of them were NaN, 0.0 is what remains. It
    looks like a perfect model, and the weights are NaN.

    What else could explain it
    --------------------------
    Batches whose labels are all masked: their loss is NaN, or 0.

    What to do
    ----------
    Go back to the last checkpoint before it; bf16, a lower learning rate, and a look at the labels. With
    ``logging_nan_inf_filter=False`` the log shows NaN as it is.

    References
    ----------
    transformers TrainingArguments ``logging_nan_inf_filter`` (True by default).
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "nan_logged_as_zero")
    if not found:
        return Clear(say("no loss of 0.0 stands for NaN"))
    count = sum(n.count for n in found)
    return Found(
        headline=say("{n:count} losses of 0.0 stand for NaN", n=count),
        message=say(
            "{n:count} logged loss{es} 0.0{detail}",
            n=count,
            es=" is" if count == 1 else "es are",
            detail=f": {found[0].detail}" if found[0].detail else "",
        ),
        meaning=say("the loss was NaN there, and the weights are lost from there on"),
        action=say(
            "restart from a checkpoint before it, in bf16 or with a lower learning rate; check that every batch has labels"
        ),
        evidence=tuple(n.source for n in found),
        numbers={"count": count},
    )
