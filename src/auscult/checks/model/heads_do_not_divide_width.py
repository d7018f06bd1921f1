from __future__ import annotations

from ...examination import Examination, trainer_of
from ...prose import say
from ...run import Known
from ..base import Clear, Found, Verdict, check
from .head_size_misaligned import ALIGNMENT


@check("MDL002", "The width is not a multiple of the heads", "error")
def heads_do_not_divide_width(exam: Examination, d_model: Known[int], n_head: Known[int]) -> Verdict:
    """
    What it looks for
    -----------------
    ``n_embd`` that ``n_head`` does not divide.

    Why it matters
    --------------
    nanoGPT asserts it: training stops before the first step.

    What else could explain it
    --------------------------
    Nothing, for this family of models.

    What to do
    ----------
    Choose a width that is a multiple of the heads, best with 64 or 128 a head.

    References
    ----------
    nanoGPT model.py CausalSelfAttention: ``assert config.n_embd % config.n_head == 0``.
    """
    width, heads = d_model.value, n_head.value
    if width % heads == 0:
        return Clear(say("{width} is {heads} heads of {size}", width=width, heads=heads, size=width // heads))
    step = ALIGNMENT * heads if width >= ALIGNMENT * heads else heads
    near = max(round(width / step), 1) * step
    said = say(
        "{width_key} {width} is not a multiple of {heads_key} {heads}",
        width_key=exam.word("d_model"),
        width=width,
        heads_key=exam.word("n_head"),
        heads=heads,
    )
    return Found(
        headline=said,
        message=said,
        meaning=say(
            "the model cannot be built: {stops}",
            stops="nanoGPT stops at an assertion"
            if trainer_of(exam.run) == "nanoGPT"
            else "training stops before the first step",
        ),
        action=say("use {key} {near}, or another number of heads", key=exam.word("d_model"), near=near),
        evidence=(d_model.source, n_head.source),
        numbers={"n_embd": width, "n_head": heads},
    )
