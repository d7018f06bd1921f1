from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

KINDS = {
    "grad_norm_constant_zero": "the gradient norm",
    "mfu_not_measured": "the MFU",
    "throughput_constant_zero": "the throughput",
    "padding_nan": "the end of the series",
}


@check("LOG017", "A metric in the log was never measured", "info")
def metric_never_measured(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Columns that hold a placeholder throughout: a gradient norm of 0.000, an MFU of 0, "nan" that pads a series.

    Why it matters
    --------------
    Taken as measured, a gradient norm of 0 would mean that nothing is learned, and a padding of "nan" that the run diverged.

    What else could explain it
    --------------------------
    —

    What to do
    ----------
    Nothing for the diagnosis. To have the gradient norm, switch on clipping or its logging.

    References
    ----------
    DeepSpeed under Megatron-LM prints a gradient norm of 0.000 and a loss scale of -1.0 where it keeps them to itself.
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    found = noticed(exam, *KINDS)
    if not found:
        return Clear(say("no metric holds a placeholder throughout"))
    return Found(
        headline=say("{names} was not measured", names=", ".join(KINDS[n.kind] for n in found)),
        message=say(
            "{what}",
            what="; ".join(
                f"{n.detail or KINDS[n.kind] + ' was not measured'} ({n.count:,} value{'' if n.count == 1 else 's'})"
                for n in found
            ),
        ),
        meaning=say("these values are placeholders: they were left out, and nothing is concluded from them"),
        action=say("nothing for the diagnosis; log the metric, if it is wanted"),
        evidence=tuple(n.source for n in found),
        numbers={n.kind: n.count for n in found},
    )
