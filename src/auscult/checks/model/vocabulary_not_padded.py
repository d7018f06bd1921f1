from __future__ import annotations

from ...examination import Examination, Shape
from ...prose import say
from ...run import Known, value_of
from ..base import Clear, Found, NotApplicable, Verdict, check

MULTIPLE = 64
"""nanoGPT pads GPT-2's 50,257 to 50,304 for this reason; its author reports 25 % faster steps (x.com/karpathy, Feb 2023)."""
SMALL = 1024
"""Below this the output layer is too small to matter."""


@check("MDL004", "The vocabulary is not padded", "info")
def vocabulary_not_padded(exam: Examination, shape: Known[Shape]) -> Verdict:
    """
    What it looks for
    -----------------
    A vocabulary above 1,024 that is not a multiple of 64.

    Why it matters
    --------------
    The output layer is the largest matrix of a small model; an odd number of columns falls off the fast kernels.

    What else could explain it
    --------------------------
    Weights loaded from a published checkpoint keep its vocabulary (GPT-2: 50,257).

    What to do
    ----------
    Round the vocabulary up to a multiple of 64; the extra rows are never used.

    References
    ----------
    nanoGPT train.py ("50257 rounded up for efficiency").
    """
    vocab = shape.value.vocab_size
    init = value_of(exam.run.recipe.init_from)
    if vocab < SMALL or (init or "").startswith("gpt2"):
        return NotApplicable(say("the vocabulary of {vocab:count} is small, or comes with loaded weights", vocab=vocab))
    if vocab % MULTIPLE == 0:
        return Clear(say("{vocab:count} is a multiple of {multiple}", vocab=vocab, multiple=MULTIPLE))
    padded = -(-vocab // MULTIPLE) * MULTIPLE
    return Found(
        message=say("the vocabulary, {vocab:count}, is not a multiple of {multiple}", vocab=vocab, multiple=MULTIPLE),
        meaning=say("the output layer, the largest matrix, misses the fast kernels"),
        action=say("pad it to {padded:count}", padded=padded),
        evidence=tuple(exam.vocab_and_bias[0].source.leaves()) if isinstance(exam.vocab_and_bias[0], Known) else (),
        numbers={"vocab_size": vocab, "padded": padded},
    )
