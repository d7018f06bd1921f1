from __future__ import annotations

from collections import Counter

from ...examination import Examination
from ...prose import say
from ...run import Seam, Series
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed


@check("LOG001", "Steps go backwards", "warning")
def steps_go_backwards(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A step in the log that is lower than the one before it, within one run. (Several runs in one file are told apart, and
    are LOG009's; several processes that write at the same time are LOG006's.)

    Why it matters
    --------------
    The run was taken up again from a checkpoint, and the steps in between stand in the log twice. Averages over both would
    count them twice; auscult judges the curve by the last pass over each step.

    What else could explain it
    --------------------------
    Another run with the same steps that was written into the same file.

    What to do
    ----------
    Nothing after a resume. If these are different runs, split the file.

    References
    ----------
    —
    """
    if not exam.run.series:
        return NotApplicable(say("there is no log"))
    seams = [seam for seam in exam.run.seams if seam.step_after <= seam.step_before]
    if seams:
        return _taken_up_again(seams)
    if noticed(exam, "ranks_interleaved", "processes_interleaved"):
        return Clear(say("several processes take turns in the log (LOG006); the steps of each only go forward"))
    found = [(series, i) for series in exam.run.series for i in _backwards(exam, series)]
    if not found:
        return Clear(say("steps only go forward"))
    counts = Counter(series.name for series, _index in found)
    most = counts.most_common(1)[0][0]
    series = next(s for s, _index in found if s.name == most)
    mine = [i for s, i in found if s.name == most]
    times = _times(len(mine))
    before, after = series.steps[mine[0] - 1], series.steps[mine[0]]
    return Found(
        headline=say("steps go back {times}", times=times),
        message=say(
            "steps of {name} go back {times}, first from {before:count} to {after:count}",
            name=most,
            times=times,
            before=before,
            after=after,
        )
        if after < before
        else say(
            "{name} stands {times} at the same step, first at {after:count}", name=most, times="twice", after=after
        ),
        meaning=say("the run was resumed, or the file holds several runs; the last pass over each step is judged"),
        action=say("nothing after a resume; if these are different runs, split the file"),
        evidence=tuple(series.source(i) for i in mine[:3]),
        numbers={"seams": len(mine)},
    )


def _taken_up_again(seams: list[Seam]) -> Verdict:
    """Report the seams at which a run was taken up again from an earlier step."""
    times = _times(len(seams))
    repeated = sum(seam.step_before - seam.step_after for seam in seams)
    return Found(
        headline=say("steps go back {times}", times=times),
        message=say(
            "steps go back {times}, {first}from {before:count} to {after:count}",
            times=times,
            first="first " if len(seams) > 1 else "",
            before=seams[0].step_before,
            after=seams[0].step_after,
        ),
        meaning=say(
            "the run was taken up again from an earlier step: about {n:count} steps were made twice, and the last pass over"
            " each is judged",
            n=max(repeated, 1),
        ),
        action=say("nothing after a resume; if these are different runs, split the file"),
        evidence=tuple(seam.source for seam in seams[:3]),
        numbers={"seams": len(seams), "steps_repeated": repeated},
        severity="info",
    )


def _backwards(exam: Examination, series: Series) -> list[int]:
    """Return where a series goes back, or repeats an evaluation with more to follow.

    An evaluation that is repeated at the very end is the trainer's final one; LitGPT writes it at step 0.
    """
    steps = series.steps
    end = len(steps) - (1 if noticed(exam, "final_validation_at_step_0") and len(steps) and steps[-1] == 0 else 0)
    return [
        i
        for i in range(1, end)
        if steps[i] < steps[i - 1] or (steps[i] == steps[i - 1] and series.name == "val_loss" and i < len(steps) - 1)
    ]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
