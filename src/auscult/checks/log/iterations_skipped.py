from __future__ import annotations

from bisect import bisect_right

from ...examination import Examination
from ...prose import say
from ...run import Notice, value_of
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

SETTLING = 50
"""Iterations within which an fp16 loss scale of 2^32 has come down: one halving each, twice with DeepSpeed's hysteresis."""
USUAL_SHARE = 0.01
"""A dynamic scale tries the double every 500 to 2,000 iterations, and skips one or two when that overflows."""


@check("LOG015", "Iterations were skipped", "info")
def iterations_skipped(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Iterations whose update the trainer left out: the gradient was not finite (fp16 with a loss scale), or an outlier.

    Why it matters
    --------------
    A skipped iteration uses up data and time and learns nothing. At the start it is how an fp16 loss scale settles, and
    healthy; when it goes on, the run overflows again and again.

    What else could explain it
    --------------------------
    An initial loss scale of 2^32, which takes about twenty iterations to come down.

    What to do
    ----------
    At the start: nothing. Later: bf16, a lower learning rate, or gradient clipping.

    References
    ----------
    Micikevicius et al. 2018 (arXiv:1710.03740), dynamic loss scaling; Megatron-LM "number of skipped iterations".
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, "skipped_iterations", "nan_iterations", "record_without_loss")
    if not found:
        return Clear(say("the log reports no skipped iteration"))
    main = found[0]
    if main.kind != "skipped_iterations":
        return _without_count(main)
    first, last = value_of(exam.first_step) or 0, value_of(exam.last_step) or 0
    iterations = max(last if first <= SETTLING else last - first + 1, main.count)
    until = _step_at(exam, main)
    goes_on = until is not None and until > first + SETTLING and main.count > SETTLING + USUAL_SHARE * iterations
    everything = main.count >= iterations
    return Found(
        headline=say("{n:count} iterations skipped", n=main.count),
        message=say(
            "{n:count} of {all:count} iterations {were} skipped{until}{detail}",
            n=main.count,
            all=iterations,
            were="was" if main.count == 1 else "were",
            until=f", the last at step {until:,} or shortly before" if until is not None else "",
            detail=f": {main.detail}" if main.detail else "",
        ),
        meaning=say("nothing was learned in any iteration of this log")
        if everything
        else say("they go on beyond the start: numbers overflow again and again, and that part of the run is lost")
        if goes_on
        else say("as a loss scale settles; the iterations after them count"),
        action=say("use bf16, or lower the learning rate")
        if goes_on
        else say("let it run on: if iterations are still skipped after the first {n}, use bf16", n=SETTLING)
        if everything
        else say("nothing, as long as they stay few"),
        evidence=tuple(n.source for n in found),
        numbers={"skipped": main.count, "iterations": iterations, "last_step": until},
        severity="warning" if goes_on else None,
    )


def _without_count(notice: Notice) -> Verdict:
    """Report records that show the consequence where the trainer does not count what it skipped."""
    return Found(
        message=say(
            "{n:count} record{s} no usable loss{detail}",
            n=notice.count,
            s=" prints" if notice.count == 1 else "s print",
            detail=f": {notice.detail}" if notice.detail else "",
        ),
        meaning=say("the loss there is unknown, and the curve is judged without it"),
        action=say("nothing, as long as they stay few; otherwise use bf16"),
        evidence=(notice.source,),
        numbers={"records": notice.count},
    )


def _step_at(exam: Examination, notice: Notice) -> int | None:
    """Return the step of the last record that reports a skip."""
    series = max((s for s in exam.run.series if s.axis == "step" and len(s)), key=len, default=None)
    if series is None or not notice.last_line or series.file != notice.source.file:
        return None
    index = bisect_right(series.lines, notice.last_line) - 1
    return series.steps[max(index, 0)]
