from __future__ import annotations

from ...examination import Examination
from ...facts.claims import Judgement
from ...prose import say, si
from ...run import Known
from ..base import CannotTell, Clear, Found, Verdict, check


@check("LOG002", "A comment contradicts the values beside it", "warning")
def comment_contradicts_values(exam: Examination, judgements: Known[tuple[Judgement, ...]]) -> Verdict:
    """
    What it looks for
    -----------------
    Numbers in comments — tokens seen, tokens per step, products such as "16 * 32 = 512 sequences" — that the values do not
    give. (A parameter count is MDL001's.)

    Why it matters
    --------------
    Comments outlive the values beside them, and people plan by them.

    What else could explain it
    --------------------------
    A comment about another run, kept on purpose.

    What to do
    ----------
    Correct it: ``auscult fix`` does.

    References
    ----------
    Tolerance: right as rounded, or within 5 % (10 % where it says "about"); auscult.facts.claims.judge.
    """
    judged = [j for j in judgements.value if j.claim.kind != "parameters"]
    if not judged:
        return CannotTell(say("no comment states tokens or a product"))
    once = {(j.claim.text, j.claim.value): j for j in reversed(judged)}.values()  # ranks may echo a config twice
    false = [j for j in reversed(once) if j.holds is False]
    true = [j for j in reversed(once) if j.holds]
    if not false:
        if not true:
            return CannotTell(say("what the comments state cannot be computed from this config"))
        return Clear(say("{claims}: true", claims=", ".join(f"“{j.claim.text}”" for j in true)))
    texts = "; ".join(f"“{j.claim.text}” is {si(j.actual or 0, 4)}" for j in false)
    return Found(
        headline=say("{texts}", texts="; ".join(f"“{j.claim.text}” is {si(j.actual or 0, 4)}" for j in false[:2])),
        message=say(
            "{texts}{also}",
            texts=texts,
            also=f" (true: {', '.join(f'“{j.claim.text}”' for j in true)})" if true else "",
        ),
        meaning=say("the values were changed and the comments were not"),
        action=say("correct the comments; auscult fix does it"),
        evidence=tuple(j.claim.source for j in false),
        numbers={
            "false": [
                {"text": j.claim.text, "claimed": j.claim.value, "actual": j.actual, "line": j.claim.source.line}
                for j in false
            ],
            "true": [
                {"text": j.claim.text, "claimed": j.claim.value, "actual": j.actual, "line": j.claim.source.line}
                for j in true
            ],
        },
    )
