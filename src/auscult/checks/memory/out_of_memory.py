from __future__ import annotations

from ...examination import Examination
from ...prose import say
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
    return Found(
        message=say("the log says: {text}", text=(notice.source.text or "")[:100]),
        meaning=say("the run ended because a step did not fit on the card"),
        action=say("halve the micro-batch and double the accumulation: same tokens per step"),
        evidence=(notice.source,),
        numbers={"count": notice.count},
    )
