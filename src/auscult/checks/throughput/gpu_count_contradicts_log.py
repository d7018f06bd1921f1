from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known
from ..base import Clear, Found, Verdict, check


@check("THR005", "The log was printed by another number of cards than given", "warning")
def gpu_count_contradicts_log(exam: Examination, gpu_count: Known[int], processes_in_log: Known[int]) -> Verdict:
    """
    What it looks for
    -----------------
    The number of cards given (``--gpu "NAME x2"``, ``gpus`` in auscult.toml) against the number that step time and printed
    MFU imply: each nanoGPT process prints the MFU of its own share of a step.

    Why it matters
    --------------
    Speed, utilisation and hours are per card; with the wrong count they are wrong by that factor. The log's count is used.

    What else could explain it
    --------------------------
    A fork that computes its MFU over all cards.

    What to do
    ----------
    Correct the count, or leave it out.

    References
    ----------
    nanoGPT train.py (3adf61e): ``gradient_accumulation_steps //= ddp_world_size`` before ``estimate_mfu``.
    """
    given, implied = gpu_count.value, processes_in_log.value
    if given == implied:
        return Clear(say("{n} as given and as the log implies", n=given))
    return Found(
        headline=say("{given} cards given; the log was printed by {implied}", given=given, implied=implied),
        message=say(
            "{given} cards are given; step time and printed MFU are those of {implied}", given=given, implied=implied
        ),
        meaning=say("speed and utilisation are reported for {implied}", implied=implied),
        action=say("correct the count, or leave it out"),
        evidence=(*processes_in_log.source.leaves(),)[:1],
        numbers={"given": given, "implied": implied},
    )
