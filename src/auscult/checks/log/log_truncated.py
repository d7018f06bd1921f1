from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import value_of
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed, problems_of

KINDS = {
    "truncated": "the file ends inside a record",
    "truncated_binary": "the file is cut off",
    "output_shortened": "only the last lines of the output were kept",
}


@check("LOG011", "The log was cut, or a part of it cannot be read", "info")
def log_truncated(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    A file that ends inside a record, a binary file (W&B, TensorBoard) that was never closed, bytes that could not be read,
    and a notebook that kept only the last lines of an output.

    Why it matters
    --------------
    What stood there is missing. At the end it is at most a few records; in the middle it may be any part of the run.

    What else could explain it
    --------------------------
    The run is still going and its last record is being written; it was killed; the disk was full; the file was copied
    while it was written.

    What to do
    ----------
    Copy the file again once the run has ended.

    References
    ----------
    W&B and TensorBoard write records with checksums; both leave their file unclosed when the process is killed.
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    cut = noticed(exam, *KINDS)
    unread = problems_of(exam, "unread_bytes", "skipped_bytes")
    if not cut and not unread:
        return Clear(say("the log was read to its end, and no byte was left out"))
    in_the_middle = any(p.kind == "skipped_bytes" for p in unread) or any(
        "damaged" in text for text in (*(n.detail for n in cut), *(p.message for p in unread))
    )
    told = [n.detail or KINDS[n.kind] for n in cut]
    told += [p.message for p in unread if not any("bytes" in text for text in told)]  # once is enough
    last = value_of(exam.last_step)
    read = (
        say("everything else was read, up to step {last:count}", last=last)
        if last is not None
        else say("nothing that it may have held was guessed")
    )
    return Found(
        message=say("{what}", what="; ".join(dict.fromkeys(told))),
        meaning=say("a part of the history is missing in the middle; {read}", read=str(read))
        if in_the_middle
        else read,
        action=say("copy the file again once the run has ended, or give another file of this run"),
        evidence=(*(n.source for n in cut), *(p.source for p in unread)),
        numbers={"cut": sum(n.count for n in cut), "unread": len(unread)},
        severity="warning" if in_the_middle else None,
    )
