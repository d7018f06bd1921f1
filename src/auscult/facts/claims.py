"""What comments and names claim — "~125M parameters", "~3B tokens seen", "16 * 32 = 512 sequences" — and whether it holds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..run import Comment, Source

__all__ = ["Claim", "Judgement", "Yardstick", "find_claims", "judge"]

_SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_NUMBER = r"(~|≈|about |around )?\s*(\d+(?:[.,]\d+)?)\s*([kKmMbBtT])"
_PARAMETERS = re.compile(rf"{_NUMBER}(?:illion)?[\s-]*(?:total |non-embedding )?param(?:eter)?s?\b", re.I)
_MODEL_SIZE = re.compile(r"(~)?GPT-?2[\s-]*\(?(\d+(?:\.\d+)?)([mMbB])\b")
_TOKENS = re.compile(
    rf"{_NUMBER}(?:illion)?\s*tok(?:en)?s?\b\s*(/|per|seen|in total|total|overall|of training)?\s*(\w+)?", re.I
)
_TOKENS_BE = re.compile(rf"tokens\s*(?:be|is|are|=|:|will be)\s*{_NUMBER}(?:illion)?\b", re.I)
_BATCH_BE = re.compile(rf"batch size\s*(?:be|is|are|=|:|of)\s*{_NUMBER}(?:illion)?\b", re.I)
_PRODUCT = re.compile(
    r"(\d[\d,_]*(?:\s{0,4}[A-Za-z_ ]{0,24}?\s{0,4}[*×]\s{0,4}\d[\d,_]*){1,6})\s{0,4}[A-Za-z_ ]{0,24}?=\s{0,4}(~)?(\d[\d,_]*)(?![\d.])\s{0,4}([A-Za-z]*)"
)
_FACTOR = re.compile(r"\d[\d,_]*")
_NAME_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([mM])(?![A-Za-z0-9])")
_STEP_WORDS = {"step", "iter", "iteration", "batch", "update"}
_TOTAL_WORDS = {"seen", "in total", "total", "overall", "of training"}
_MAX_COMMENT = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that a comment or a name states.

    Attributes
    ----------
    kind : str
        ``parameters``, ``tokens`` (over the whole run), ``tokens_per_step`` or ``product``.
    value : float
        The number claimed.
    tolerance : float
        Relative error within which a person would still call it true.
    factors : tuple of int
        Of a product.
    unit : str
        What a product counts, as written (``sequences``, ``tokens`` or empty).
    text : str
        The claim as written.
    column, end_column : int
        Where its number stands on the line, from 0.
    from_name : bool
        Whether a name (``wandb_run_name``) states it rather than a comment.
    """

    kind: str
    value: float
    tolerance: float
    text: str
    source: Source
    column: int
    end_column: int
    factors: tuple[int, ...] = ()
    unit: str = ""
    from_name: bool = False


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What claims are measured against; None where it is not known."""

    parameters: tuple[int, ...] | None
    """The counts by every convention a person may mean: total, without position, without embeddings."""
    tokens_planned: int | None
    tokens_per_step: int | None
    batch_size: int | None
    gradient_accumulation_steps: int | None
    context: int | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim, what it should say, and whether it holds (None: nothing to measure it against)."""

    claim: Claim
    actual: float | None
    holds: bool | None


def _value(digits: str, suffix: str) -> float:
    return (
        float(digits.replace(",", ".") if digits.count(",") == 1 else digits.replace(",", "")) * _SCALE[suffix.lower()]
    )


def _tolerance(approximate: str | None, digits: str) -> float:
    """Return how far off a rounded number may be: half a unit of its last digit, or 10 % where it says "about"."""
    decimals = len(digits.replace(",", ".").partition(".")[2])
    half_unit = 0.5 * 10.0**-decimals / max(float(digits.replace(",", ".")), 1e-9)
    return max(half_unit, 0.10 if approximate else 0.05)


def find_claims(comments: Iterable[Comment]) -> tuple[Claim, ...]:
    """Return the checkable claims in comments and names.

    Notes
    -----
    A number of tokens counts as a claim about the run only when the words say so ("seen", "total", "per step"): a
    dataset's size is not one.

    References
    ----------
    The phrasings are those of nanoGPT's own configs and of the project's first case.

    Examples
    --------
    >>> comment = Comment("# Model (~125M parameters)", 0, Source("read", "c.py", 1))
    >>> find_claims([comment])[0].value
    125000000.0
    """
    claims: list[Claim] = []
    for comment in comments:
        text = comment.text[:_MAX_COMMENT]
        if comment.key is not None:
            for found in _NAME_SIZE.finditer(text):
                claims.append(_claim("parameters", comment, found, None, found[1], found[2], (1, 2), from_name=True))
            continue
        for pattern in (_PARAMETERS, _MODEL_SIZE):
            for found in pattern.finditer(text):
                claims.append(_claim("parameters", comment, found, found[1], found[2], found[3], (2, 3)))
        for found in _TOKENS.finditer(text):
            link, word = (found[4] or "").lower(), (found[5] or "").lower()
            if link in ("/", "per"):
                if word in _STEP_WORDS:
                    claims.append(_claim("tokens_per_step", comment, found, found[1], found[2], found[3], (2, 3)))
            elif link in _TOTAL_WORDS:
                claims.append(_claim("tokens", comment, found, found[1], found[2], found[3], (2, 3)))
        for pattern, kind in ((_TOKENS_BE, "tokens"), (_BATCH_BE, "tokens_per_step")):
            for found in pattern.finditer(text):
                claims.append(_claim(kind, comment, found, found[1], found[2], found[3], (2, 3)))
        for found in _PRODUCT.finditer(text):
            factors = tuple(int(re.sub(r"[,_]", "", f)) for f in _FACTOR.findall(found[1]))
            claims.append(
                Claim(
                    "product",
                    float(re.sub(r"[,_]", "", found[3])),
                    0.10 if found[2] else 0.0,
                    found[0].strip(),
                    comment.source,
                    comment.column + found.start(),
                    comment.column + found.end(3),
                    factors,
                    found[4].lower(),
                )
            )
    return tuple(claims)


def _claim(
    kind: str,
    comment: Comment,
    found: re.Match[str],
    approximate: str | None,
    digits: str,
    suffix: str,
    groups: tuple[int, int],
    *,
    from_name: bool = False,
) -> Claim:
    return Claim(
        kind,
        _value(digits, suffix),
        _tolerance(approximate, digits),
        found[0].strip(),
        comment.source,
        comment.column + found.start(groups[0]),
        comment.column + found.end(groups[1]),
        from_name=from_name,
    )


def judge(claims: Sequence[Claim], yardstick: Yardstick) -> tuple[Judgement, ...]:
    """Say of each claim whether it holds, and what it should say.

    References
    ----------
    Own convention: a number is true when it is right as rounded, or within 5 % (10 % where it says "about").

    Examples
    --------
    >>> claim = find_claims([Comment("# 16 * 32 = 512 sequences", 0, Source("read", "c.py", 1))])
    >>> judge(claim, Yardstick(None, None, 524_288, 16, 32, 1024))[0].holds
    True
    """
    return tuple(_judge(claim, yardstick) for claim in claims)


def _judge(claim: Claim, y: Yardstick) -> Judgement:
    match claim.kind:
        case "parameters":
            candidates = [float(n) for n in y.parameters or ()]
        case "tokens":
            candidates = [float(y.tokens_planned)] if y.tokens_planned is not None else []
        case "tokens_per_step":
            candidates = [float(y.tokens_per_step)] if y.tokens_per_step is not None else []
        case _:
            return _judge_product(claim, y)
    if not candidates:
        return Judgement(claim, None, None)
    nearest = min(candidates, key=lambda n: abs(math.log(max(n, 1) / max(claim.value, 1))))
    actual = nearest if claim.kind != "parameters" else candidates[0]
    return Judgement(claim, actual, abs(claim.value - nearest) <= claim.tolerance * nearest)


def _judge_product(claim: Claim, y: Yardstick) -> Judgement:
    product = float(math.prod(claim.factors))
    if abs(product - claim.value) > claim.tolerance * product:
        return Judgement(claim, product, False)
    if claim.unit.startswith(("seq", "sample", "example")):
        if y.batch_size is None or y.gradient_accumulation_steps is None:
            return Judgement(claim, None, None)
        actual = float(y.batch_size * y.gradient_accumulation_steps)
    elif claim.unit.startswith("tok") or (
        y.context is not None and y.context in claim.factors and len(claim.factors) > 2
    ):
        if y.tokens_per_step is None:
            return Judgement(claim, None, None)
        actual = float(y.tokens_per_step)
    else:
        return Judgement(claim, product, True)
    return Judgement(claim, actual, abs(claim.value - actual) <= max(claim.tolerance, 1e-9) * actual)
