from __future__ import annotations

from pathlib import PurePosixPath

from ...examination import Examination, trainer_of
from ...prose import say
from ..base import Clear, Found, NotApplicable, Verdict, check, noticed

SHOWN = 4
EVENT_FILES = "events.out.tfevents."


@check("LOG018", "The history stands in several files", "info")
def history_in_several_files(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    The same curve in several files (checkpoints, a log and its tracker), or one curve whose parts stand in several files.

    Why it matters
    --------------
    Copies counted twice would look like two runs that agree, and parts like runs that start in the middle.

    What else could explain it
    --------------------------
    Trainers that write a log and event files of TensorBoard side by side: auscult's own does, and where the two agree there
    is nothing to tell.

    What to do
    ----------
    Nothing.

    References
    ----------
    Copies agree in 95 % of the distinct values they share, to their printed precision (auscult.readers.curves).
    """
    if not exam.has_log:
        return NotApplicable(say("there is no log"))
    copies = noticed(exam, "several_copies")
    parts = next((s for s in exam.run.series if len(set(s.files)) > 1), None)
    if not copies and parts is None:
        return Clear(say("the history stands in one file"))
    if copies and parts is None and (names := _written_by_trainer(exam, copies[0].detail)):
        return Clear(
            say("auscult train wrote the history twice, and the copies agree: {names}", names=", ".join(names))
        )
    told, meant = [], []
    if copies:
        names = [name for name in copies[0].detail.split(", ") if name]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        told.append(f"{copies[0].count} files hold the same history ({', '.join(names[:SHOWN])}{more})")
        meant.append("copies were read once, each metric from the fullest of them")
    if parts is not None:
        files = list(dict.fromkeys(parts.files))
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        told.append(f"the run goes on from file to file: {', '.join(files[:SHOWN])}{more}")
        meant.append("the parts were put together in the order of their steps")
    return Found(
        message=say("{what}", what="; ".join(told)),
        meaning=say("{what}", what="; ".join(meant)),
        action=say("nothing"),
        evidence=(*(n.source for n in copies), *((parts.source(len(parts) - 1),) if parts is not None else ())),
        numbers={"copies": sum(n.count for n in copies), "parts": len(set(parts.files)) if parts is not None else 0},
    )


def _written_by_trainer(exam: Examination, names: str) -> list[str]:
    """Return the names of the copies where they are one ``log.jsonl`` and the event files that auscult train writes beside it."""
    files = [PurePosixPath(name.replace("\\", "/")) for name in names.split(", ") if name]
    logs = [file for file in files if not file.name.startswith(EVENT_FILES)]
    if trainer_of(exam.run) != "auscult train" or len(logs) != 1:
        return []
    beside = logs[0].parent
    ours = all(file.parent in (beside, beside / "tensorboard") for file in files if file != logs[0])
    return [str(file) for file in files] if ours else []
