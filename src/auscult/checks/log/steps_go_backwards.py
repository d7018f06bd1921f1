from __future__ import annotations

from collections import Counter

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check


@check("LOG001", "Steps go backwards", "warning")
def steps_go_backwards(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A step in the log that is lower than the one before it.

    Why it matters
    --------------
    The run was restarted, or several runs were written into one file. Averages over both would mean nothing; auscult judges
    the curve by the last pass over each step.

    What else could explain it
    --------------------------
    A resumed run that repeats the steps since its last checkpoint: harmless.

    What to do
    ----------
    If these are different runs, split the file.

    References
    ----------
    —
    """
    if not exam.run.series:
        return NotApplicable(say("there is no log"))
    seams = [
        (series, i)
        for series in exam.run.series
        for i in range(1, len(series))
        if series.steps[i] < series.steps[i - 1]
        or (series.steps[i] == series.steps[i - 1] and series.name == "val_loss")
    ]
    if not seams:
        return Clear(say("steps only go forward"))
    counts = Counter(series.name for series, _index in seams)
    most = counts.most_common(1)[0][0]
    series = next(s for s, _index in seams if s.name == most)
    mine = [i for s, i in seams if s.name == most]
    times = "once" if len(mine) == 1 else f"{len(mine):,} times"
    return Found(
        headline=say("steps go back {times}", times=times),
        message=say(
            "steps go back {times}, first from {before:count} to {after:count}",
            times=times,
            before=series.steps[mine[0] - 1],
            after=series.steps[mine[0]],
        ),
        meaning=say("the run was restarted, or the file holds several runs; the last pass over each step is judged"),
        action=say("if these are different runs, split the file"),
        evidence=tuple(series.source(i) for i in mine[:3]),
        numbers={"seams": len(mine)},
    )
