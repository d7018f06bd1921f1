from __future__ import annotations

from ...examination import Examination
from ...prose import say
from ...run import Known
from ..base import Clear, Found, NotApplicable, Verdict, check

ALIGNMENT = 8
"""FlashAttention and tensor cores want head sizes in multiples of 8 (Dao et al. 2022, flash-attention README)."""


@check("MDL003", "The head size is not a multiple of 8", "warning")
def head_size_misaligned(exam: Examination, d_model: Known[int], n_head: Known[int]) -> Verdict:
    """
    What it looks for
    -----------------
    A head size, ``n_embd / n_head``, that is not a multiple of 8.

    Why it matters
    --------------
    Flash attention pads such heads or is not used at all, and tensor-core tiles stay partly empty.

    What else could explain it
    --------------------------
    A width that was tuned to fit memory, one step at a time.

    What to do
    ----------
    Choose width and heads for a head of 64 (or 128).

    References
    ----------
    Dao et al. 2022, FlashAttention, arXiv:2205.14135, and its README; NVIDIA, Matrix Multiplication Background.
    """
    width, heads = d_model.value, n_head.value
    if width % heads:
        return NotApplicable(say("the heads do not divide the width (MDL002)"))
    size = width // heads
    if size % ALIGNMENT == 0:
        return Clear(say("head size {size}", size=size))
    return Found(
        message=say(
            "{heads} heads of {size}: not a multiple of {alignment}", heads=heads, size=size, alignment=ALIGNMENT
        ),
        meaning=say("attention runs on padded or unfused kernels; tiles stay partly empty"),
        action=say("choose {width} and n_head for a head of 64", width=exam.word("d_model")),
        evidence=(d_model.source, n_head.source),
        numbers={"head_size": size},
    )
