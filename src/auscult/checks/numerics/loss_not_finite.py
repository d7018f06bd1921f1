from __future__ import annotations

import math

from ...examination import Examination
from ...prose import say
from ...run import Notice, value_of
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

LOSSES = ("train_loss", "train_loss_eval", "val_loss")


@check("NUM001", "The loss is not a number", "error")
def loss_not_finite(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    NaN or infinite losses, and a trainer that says that it stopped because of one.

    Why it matters
    --------------
    From the first NaN on, weights are NaN and every further step is wasted.

    What else could explain it
    --------------------------
    fp16 without a gradient scaler, a learning rate too high, a division by zero in a batch without labels.

    What to do
    ----------
    Go back to the last checkpoint before it; bf16, a lower learning rate, gradient clipping.

    References
    ----------
    nanoGPT issues 136, 167, 215 (fp16), 137, 418, 524 (late explosions).
    """
    series = [s for s in exam.run.series if s.name in LOSSES]
    said = noticed(exam, "nan_loss")
    if not series and not said:
        return NotApplicable(say("there is no loss"))
    bad = sorted(
        ((s.steps[i], s, i) for s in series for i, value in enumerate(s.values) if not math.isfinite(value)),
        key=lambda row: row[0],
    )
    if not bad and said:
        return _said_by_the_trainer(exam, said[0])
    if not bad:
        return Clear(say("every loss is finite"))
    step, first, index = bad[0]
    lost = any(not math.isfinite(s.values[-1]) for s in series)
    return Found(
        headline=say("{name} is {value} from step {step:count}", name=first.name, value=first.values[index], step=step),
        message=say(
            "{name} is {value} at step {step:count}; {n} loss{es} in all {are} not finite",
            es="" if len(bad) == 1 else "es",
            are="is" if len(bad) == 1 else "are",
            name=first.name,
            value=first.values[index],
            step=step,
            n=len(bad),
        ),
        meaning=say("the weights are lost from there on")
        if lost
        else say("later losses are finite: single batches overflowed, and the weights went on"),
        action=say(
            "{restart}, {cure}",
            restart="start again" if exam.wrote_no_checkpoint else f"restart from a checkpoint before step {step:,}",
            cure=_cure(exam),
        )
        if lost
        else say("look at the gradient norm there; clip gradients, or use bf16"),
        evidence=(first.source(index),),
        numbers={"first_step": step, "count": len(bad)},
        severity=None if lost else "warning",
    )


def _cure(exam: Examination) -> str:
    """Return the usual cures: bf16 is one where the range of fp16, or of an unknown format, may have been left."""
    if value_of(exam.dtype) in ("float32", "bfloat16"):
        clip = value_of(exam.run.recipe.grad_clip)
        return "with a lower learning rate" + (" and gradients clipped" if clip == 0 else " or a longer warm-up")
    return "in bf16 or with a lower learning rate"


def _said_by_the_trainer(exam: Examination, notice: Notice) -> Verdict:
    """Report a loss that the trainer found not to be finite, and did not log."""
    step = value_of(exam.last_step)
    after = f"after step {step:,}" if step is not None else "before the first record"
    return Found(
        headline=say("the loss is not finite {after}", after=after),
        message=say("the loss is not finite {after}: {detail}", after=after, detail=notice.detail or "the log says so"),
        meaning=say("the run ended there; the weights of its last checkpoint may still be good"),
        action=say("restart from a checkpoint before it, {cure}", cure=_cure(exam)),
        evidence=(notice.source,),
        numbers={"first_step": step, "count": notice.count},
    )
