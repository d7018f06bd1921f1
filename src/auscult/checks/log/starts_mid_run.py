from __future__ import annotations

from statistics import median

from ...examination import Examination
from ...prose import say
from ...run import Known, Series, value_of
from ..base import CannotTell, Clear, Found, NotApplicable, Verdict, check, noticed

SHARE = 0.01
"""A first step below a hundredth of the last one is the beginning, whatever the distance of the records."""
DISTANCES = 2
"""Logs begin at 0 or after one interval; a third interval without a record is a beginning that is missing."""


@check("LOG020", "The log starts in the middle of the run", "info")
def starts_mid_run(exam: Examination, first_step: Known[int], last_step: Known[int]) -> Verdict:
    """
    What it looks for
    -----------------
    A first record that lies more than two of the usual distances between records, and more than 1 % of the run, above 0.

    Why it matters
    --------------
    The beginning — the loss of a fresh model, the warm-up, the first descent — lies elsewhere. The first loss here is not
    that of initialisation, and a flat curve may only be the end of a long one.

    What else could explain it
    --------------------------
    A run that was resumed from a checkpoint, or a counter that continues that of an earlier stage.

    What to do
    ----------
    Add the log of the earlier part.

    References
    ----------
    —
    """
    series = [s for s in exam.run.series if len(s) > 1 and s.axis in ("step", "epoch", "samples", "tokens")]
    if not series:
        return NotApplicable(say("there are not two records of a metric"))
    densest = max(series, key=lambda s: s.count)
    first, last, usual = first_step.value, last_step.value, _usual_distance(densest)
    if usual is None:
        return CannotTell(say("all records have the same step"))
    counter = "step" if densest.axis == "step" else densest.axis
    interval = value_of(exam.run.recipe.log_interval) or 0
    if first <= DISTANCES * usual or first <= SHARE * last or first <= interval:
        return Clear(say("the log starts at {counter} {first:count}", counter=counter, first=first))
    resumed = noticed(exam, "resumed")
    return Found(
        headline=say("the log starts at {counter} {first:count}", counter=counter, first=first),
        message=say(
            "the log starts at {counter} {first:count} of {last:count}{resumed}",
            counter=counter,
            first=first,
            last=last,
            resumed=", where the run was resumed from a checkpoint" if resumed else "",
        ),
        meaning=say("its beginning lies elsewhere: the first loss here is not that of a fresh model"),
        action=say("add the log of the earlier part; together they are judged as one run"),
        evidence=(first_step.source, *(n.source for n in resumed)),
        numbers={"first_step": first, "last_step": last, "usual_distance": usual},
    )


def _usual_distance(series: Series) -> float | None:
    """Return the median distance between records of the file, of which every ``stride``-th is kept."""
    gaps = [b - a for a, b in zip(series.steps, series.steps[1:], strict=False) if b > a]
    return median(gaps) / max(series.stride, 1) if gaps else None
