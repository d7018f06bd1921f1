from __future__ import annotations

from ...examination import Examination, trainer_of
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Found, NotApplicable, Verdict, check


@check("MEM002", "The run stopped for lack of memory", "error")
def out_of_memory(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    "CUDA out of memory" in the log.

    Why it matters
    --------------
    The run ended there.

    What else could explain it
    --------------------------
    Another program on the card, or fragmentation after many hours.

    What to do
    ----------
    A smaller micro-batch with more accumulation steps keeps the tokens per step and the mathematics.

    References
    ----------
    PyTorch's message (torch.OutOfMemoryError).
    """
    if not exam.run.series and not exam.run.notices:
        return NotApplicable(say("there is no log"))
    notice = next((n for n in exam.run.notices if n.kind == "out_of_memory"), None)
    if notice is None:
        return Clear(say("the log has no out-of-memory error"))
    last = exam.last_step
    went_on = isinstance(last, Known) and last.value > 0 and (last.source.line or 0) > notice.last_line
    micro = value_of(exam.run.recipe.batch_size)
    return Found(
        headline=say("out of memory, before steps that went on")
        if went_on
        else say("the run stopped for lack of memory"),
        message=say("the log says: {text}", text=(notice.source.text or "")[:100]),
        meaning=say("an earlier attempt stopped there; the steps after it fit")
        if went_on
        else say("the run ended because a step did not fit on the card"),
        action=say("nothing, if the recipe is the one that went on")
        if went_on
        else say("shorten the context or the model: the micro-batch is already one sequence")
        if micro == 1
        else say("halve micro_batch: the passes of a step follow, at the same tokens per step")
        if trainer_of(exam.run) == "auscult train"
        else say("halve the micro-batch and double the accumulation: same tokens per step"),
        evidence=(notice.source,),
        numbers={"count": notice.count},
        severity="info" if went_on else None,
    )
