from __future__ import annotations

from ...examination import Examination
from ...prose import Prose, say
from ...run import Known
from ..base import Found, NotApplicable, Verdict, check

SM_GATE = 68
OLD_SM_GATE = 80
"""Streaming multiprocessors that Inductor asks for before it offers Triton GEMM templates (torch 2.4 and later; 80 before)."""


@check("THR003", "“Not enough SMs” is harmless", "info")
def sm_warning_is_harmless(exam: Examination) -> Verdict:
    """
    What it looks for
    -----------------
    Inductor's line "Not enough SMs to use max_autotune_gemm mode".

    Why it matters
    --------------
    It is taken for a sign of bad batch sizes, misaligned dimensions or a disabled compiler, and people change good recipes
    for it. It says one thing: the card has fewer than 68 streaming multiprocessors, a constant of the card.

    What else could explain it
    --------------------------
    Nothing. From torch 2.6 on it is printed even when max-autotune was never asked for.

    What to do
    ----------
    Nothing. In the default mode matrix products stay on cuBLAS, as they would anyway.

    References
    ----------
    torch/_inductor/utils.py is_big_gpu, read in the released wheels 2.0 to 2.13 (planners.md §4).
    """
    notice = next((n for n in exam.run.notices if n.kind == "sm_gate"), None)
    if notice is None:
        return NotApplicable(say("the log does not print it"))
    sms = exam.gpu.value.sm_count if isinstance(exam.gpu, Known) else None
    return Found(
        headline=say("“Not enough SMs” is a constant of the card: harmless"),
        message=_message(exam, sms),
        meaning=say(
            "a constant of the card: it says nothing of batch size or alignment, and costs nothing in the default mode"
        ),
        action=say("nothing"),
        evidence=(notice.source,),
        numbers={"gate": SM_GATE, "sm_count": sms},
    )


def _message(exam: Examination, sms: int | None) -> Prose:
    """Say what the line means for this card; before torch 2.4 the gate was higher."""
    if not isinstance(exam.gpu, Known) or sms is None:
        return say("“Not enough SMs” means only that the card has fewer than {gate}", gate=SM_GATE)
    gate = SM_GATE if sms < SM_GATE else OLD_SM_GATE
    if sms >= gate:
        return say(
            "“Not enough SMs” is said of cards with fewer than {old}; {name} has {sms}: the log is another card's",
            old=OLD_SM_GATE,
            name=exam.gpu.value.name,
            sms=sms,
        )
    older = "" if gate == SM_GATE else " (torch before 2.4)"
    return say(
        "“Not enough SMs” means only that the card has fewer than {gate}{older}: {name} has {sms}",
        gate=gate,
        older=older,
        name=exam.gpu.value.name,
        sms=sms,
    )
