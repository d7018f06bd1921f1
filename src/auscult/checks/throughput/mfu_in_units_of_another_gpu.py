from __future__ import annotations

from ...examination import Examination
from ...facts.flops import A100_PEAK_FLOPS_PER_S
from ...facts.throughput import IMPOSSIBLE_MFU
from ...prose import say
from ...run import Known, value_of
from ..base import CannotTell, Clear, Found, Verdict, check

SAME = 0.01


@check("THR001", "The printed MFU is in units of another GPU", "info")
def mfu_in_units_of_another_gpu(exam: Examination, mfu_logged: Known[float]) -> Verdict:
    """
    What it looks for
    -----------------
    nanoGPT's MFU on a card that is not an A100.

    Why it matters
    --------------
    nanoGPT divides by 312 TFLOP/s, the A100's bf16 peak, whatever the card. A consumer card near its own ceiling then prints
    a figure that reads like a bottleneck, and a newer card prints more than 100 %.

    What else could explain it
    --------------------------
    A fork may have set its own ``flops_promised``.

    What to do
    ----------
    Nothing for speed, if the share of this card's own peak is good. Set ``flops_promised`` in model.py to read true figures.

    References
    ----------
    nanoGPT model.py estimate_mfu (``flops_promised = 312e12``); nanoGPT issue 182; peaks: hardware/gpus.csv.
    """
    logged = mfu_logged.value
    peak, true, share_of = value_of(exam.peak_flops_per_s), value_of(exam.mfu), value_of(exam.mfu_logged_peak)
    if peak is None or true is None or share_of is None:
        if logged > 1:
            whose = "an A100's 312 TFLOP/s" if share_of == A100_PEAK_FLOPS_PER_S else "another card's peak"
            return Found(
                message=say("the printed MFU, {logged:percent}, is above 100 %", logged=logged),
                meaning=say("no card exceeds its peak: the figure is a share of {whose}", whose=whose),
                action=say("give --gpu to see the share of this card's own peak"),
                evidence=tuple(mfu_logged.source.leaves()),
                numbers={"mfu_logged": logged, "logged_peak_flops_per_s": share_of},
            )
        reason = exam.peak_flops_per_s if peak is None else exam.mfu if true is None else exam.mfu_logged_peak
        return CannotTell(say("{reason}", reason=getattr(reason, "reason", "the card is not known")))
    if true > IMPOSSIBLE_MFU:
        return Found(
            headline=say("{true:percent} of this card's peak: the log is from another card", true=true),
            message=say("at the log's speed this card would run at {true:percent} of its peak", true=true),
            meaning=say("no card does: the log is from another card, or from more of them"),
            action=say("give the card that the run used with --gpu"),
            evidence=tuple(mfu_logged.source.leaves()),
            numbers={"mfu_logged": logged, "mfu": true, "peak_flops_per_s": peak},
            severity="warning",
        )
    if share_of == A100_PEAK_FLOPS_PER_S and abs(peak / A100_PEAK_FLOPS_PER_S - 1) < SAME:
        return Clear(say("the card's peak is the 312 TFLOP/s that nanoGPT divides by"))
    if abs(share_of / peak - 1) < SAME:
        return Clear(say("the printed MFU is a share of this card's own peak: {true:percent}", true=true))
    if share_of != A100_PEAK_FLOPS_PER_S:
        return CannotTell(
            say("the printed MFU is a share of {share_of:si}FLOP/s, which is no A100's", share_of=share_of)
        )
    quoted = value_of(exam.run.logged.mfu_range) if exam.run.get("mfu") is None else None
    card = exam.gpu.value.name if isinstance(exam.gpu, Known) else "this card"
    achieved = value_of(exam.flops_per_s)
    numbers = {
        "mfu_logged": logged,
        "mfu": true,
        "peak_flops_per_s": peak,
        "logged_peak_flops_per_s": A100_PEAK_FLOPS_PER_S,
        "flops_per_s": achieved,
        "tokens_per_s": value_of(exam.tokens_per_s),
        "flops_per_token": value_of(exam.flops_per_token),
        "ceiling_on_logged_scale": peak / A100_PEAK_FLOPS_PER_S,
    }
    if quoted is not None:
        scale = A100_PEAK_FLOPS_PER_S / peak
        numbers |= {"mfu_low": quoted[0] * scale, "mfu_high": quoted[1] * scale}
        message = say(
            "the printed MFU of {low:percent} to {high:percent} is in units of an A100; on this {card} it is {true_low:percent} to {true_high:percent} of the peak",
            low=quoted[0],
            high=quoted[1],
            card=card,
            true_low=quoted[0] * scale,
            true_high=quoted[1] * scale,
        )
        headline = say(
            "MFU {low:.0f}–{high:.0f} % is in A100 units; of this card {true_low:.0f}–{true_high:.0f} %",
            low=100 * quoted[0],
            high=100 * quoted[1],
            true_low=100 * quoted[0] * scale,
            true_high=100 * quoted[1] * scale,
        )
    else:
        message = say(
            "the printed MFU of {logged:percent1} is in units of an A100; on this {card} it is {true:percent} of the peak",
            logged=logged,
            card=card,
            true=true,
        )
        headline = say(
            "MFU {logged:percent1} is in A100 units; of this card it is {true:percent}", logged=logged, true=true
        )
    return Found(
        message=message,
        meaning=say(
            "{speed}on the printed scale this card cannot exceed {ceiling:percent}",
            speed=f"{achieved / 1e12:.1f} of {peak * (value_of(exam.processes) or 1) / 1e12:.1f} TFLOP/s; "
            if achieved is not None
            else "",
            ceiling=peak / A100_PEAK_FLOPS_PER_S,
        ),
        action=say(
            "nothing for speed; set flops_promised = {peak:g}e12 in model.py to print true figures", peak=peak / 1e12
        ),
        evidence=tuple(mfu_logged.source.leaves()),
        numbers=numbers,
        headline=headline,
    )
