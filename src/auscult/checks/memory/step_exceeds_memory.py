from __future__ import annotations

from ...examination import Examination
from ...facts.memory import USABLE_FRACTION
from ...facts.memory import TrainingMemory as MemoryEstimate
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Found, NotApplicable, Verdict, check


@check("MEM001", "A step needs more memory than the card has", "error")
def step_exceeds_memory(
    exam: Examination, memory: Known[MemoryEstimate], memory_limit_bytes: Known[int], batch_size: Known[int]
) -> Verdict:
    """
    What it looks for
    -----------------
    The estimated peak of one step against the card's usable memory.

    Why it matters
    --------------
    The run stops with "CUDA out of memory", often only after the first evaluation.

    What else could explain it
    --------------------------
    The estimate is one: it errs by some per cent. A log that shows steps proves that they fit.

    What to do
    ----------
    A smaller micro-batch with more accumulation steps: same tokens per step, same mathematics. Compile: it saves the fp32
    copies of the logits.

    References
    ----------
    auscult.facts.memory.estimate_training_memory and its sources.
    """
    limit = round(USABLE_FRACTION * memory_limit_bytes.value)
    need = memory.value.total
    if need <= limit:
        return Clear(say("{need:gib} of {limit:gib} usable", need=need, limit=limit))
    if (value_of(exam.last_step) or 0) > 0:
        return NotApplicable(
            say("the log shows steps, so they fit; the estimate is {need:gib} of {limit:gib}", need=need, limit=limit)
        )
    return Found(
        headline=say("one step needs {need:gib} of {limit:gib}", need=need, limit=limit),
        message=say("one step needs about {need:gib}; {limit:gib} are usable", need=need, limit=limit),
        meaning=say(
            "the run will stop for lack of memory; the largest part is {part}",
            part=max(memory.value.parts().items(), key=lambda kv: kv[1])[0],
        ),
        action=say(
            "use a smaller micro-batch with more accumulation (the prescription has one, where one fits); else a smaller model or context"
        ),
        evidence=(batch_size.source,),
        numbers={"need_bytes": need, "limit_bytes": limit},
    )
