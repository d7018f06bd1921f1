"""What comments and names claim — "~125M parameters", "~3B tokens seen", "16 * 32 = 512 sequences" — and whether it holds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..run import Comment, Source

__all__ = ["Claim", "Judgement", "Yardstick", "find_claims", "judge"]

_SCALE = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?"
_NUMBER = rf"(~|≈|about |around )?[ \t]{{0,3}}(?<![\w.,])({_DIGITS})[ \t]{{0,3}}([kKmMbBtT])"
_FLAGS = re.IGNORECASE | re.ASCII
_PARAMETERS = re.compile(rf"{_NUMBER}(?:illion)?[\s-]{{0,3}}(?:total |non-embedding )?param(?:eter)?s?\b", _FLAGS)
_MODEL_SIZE = re.compile(r"(~)?GPT-?2[ -]{0,3}\(?(\d+(?:\.\d+)?)([mMbB])\b", _FLAGS)
_TOKENS = re.compile(
    rf"{_NUMBER}(?:illion)?[ \t]{{0,3}}tok(?:en)?s?\b[ \t]{{0,3}}(/|per|seen|in total|total|overall|of training)?[ \t]{{0,3}}(\w+)?",
    _FLAGS,
)
_TOKENS_BE = re.compile(rf"tokens[ \t]{{0,3}}(?:be|is|are|=|:|will be)[ \t]{{0,3}}{_NUMBER}(?:illion)?\b", _FLAGS)
_BATCH_BE = re.compile(rf"batch size[ \t]{{0,3}}(?:be|is|are|=|:|of)[ \t]{{0,3}}{_NUMBER}(?:illion)?\b", _FLAGS)
_RESULT = re.compile(
    rf"=[ \t]{{0,3}}(~|≈)?[ \t]{{0,3}}({_DIGITS}|\d[\d_]*)([kKmMbB]?)(?![\w.])[ \t]{{0,3}}([A-Za-z]*)", re.ASCII
)
_FACTOR = re.compile(r"\d{1,3}(?:,\d{3})+|\d[\d_]*(?:\.\d+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]+", re.ASCII)
_NAME_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([mM])(?![A-Za-z0-9])(?![-_ ]?tok)", re.ASCII)
_OTHER_MODEL = re.compile(r"\b(?:baseline|beat|versus|vs|compared?|unlike|instead of)\b", _FLAGS)
"""Words after which a size is another model's."""
_DIFFERENCE = re.compile(r"\b(?:fewer|less than|more than)\b", _FLAGS)
"""Words that make a size a difference."""
_COUNTED = ("", "seq", "sample", "example", "tok")
"""What a product may count and still be judged; other units may hide a conversion ("1000 steps * 4 s = 67 min")."""
_MAX_FACTORS = 8
_OPERATORS = {"+", "-", "/", "//", "%", "^", "−"}
_MAX_WORDS = 5
_MAX_LEFT = 200
_STEP_WORDS = {"step", "iter", "iteration", "batch", "update"}
_TOTAL_WORDS = {"seen", "in total", "total", "overall", "of training"}
_MAX_COMMENT = 500
_HAS_DIGIT = re.compile(r"\d", re.ASCII)


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
    factors : tuple of int or float
        Of a product, in the order written.
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
    factors: tuple[int | float, ...] = ()
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


def _plain(digits: str) -> str:
    """Return digits with a decimal point and nothing else: "1,558" is 1558, "1,5" is 1.5."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits, re.ASCII):
        return digits.replace(",", "")
    return digits.replace(",", ".").replace("_", "")


def _value(digits: str, suffix: str) -> float:
    return float(_plain(digits)) * _SCALE[suffix.lower()]


def _tolerance(approximate: str | None, digits: str) -> float:
    """Return how far off a rounded number may be: half a unit of its last digit, or 10 % where it says "about"."""
    return max(_half_unit(digits), 0.10 if approximate else 0.05)


def _half_unit(digits: str) -> float:
    """Return half a unit of the last digit, relative to the number."""
    plain = _plain(digits)
    return 0.5 * 10.0 ** -len(plain.partition(".")[2]) / max(float(plain), 1e-9)


def _product_claims(comment: Comment, text: str) -> Iterator[Claim]:
    """Yield products such as "12 batch size * 1024 block size = 12,288": one number and a few words a factor."""
    start = 0
    for found in _RESULT.finditer(text):
        left_start = max(start, found.start() - _MAX_LEFT)
        read = _factors(text[left_start : found.start()])
        start = found.end()
        if read is None:
            continue
        factors, column = read
        digits, suffix = found[2], found[3]
        rounded = suffix or "." in digits
        tolerance = max(_half_unit(digits) if rounded else 0.0, 0.10 if found[1] else 0.0)
        yield Claim(
            "product",
            _value(digits, suffix),
            tolerance,
            text[left_start + column : found.end()].strip(),
            comment.source,
            comment.column + left_start + column,
            comment.column + found.end(3),
            factors,
            found[4].lower(),
        )


def _factors(left: str) -> tuple[tuple[int | float, ...], int] | None:
    """Return the factors left of an equals sign and the column of the first; None when it is not such a product."""
    parts = re.split(r"[*×]|(?<=\d) ?x ?(?=\d)", left)
    if not 2 <= len(parts) <= _MAX_FACTORS:
        return None
    factors: list[int | float] = []
    for index, part in enumerate(parts):
        words = part.split()
        trailing = next((k for k, word in enumerate(reversed(words)) if not _WORD.fullmatch(word)), None)
        if trailing is None or trailing > _MAX_WORDS:
            return None
        number = words[len(words) - 1 - trailing]
        before = words[: len(words) - 1 - trailing]
        if not _FACTOR.fullmatch(number) or (index and before):
            return None
        if len(before) > 1 and before[-1] in _OPERATORS and _HAS_DIGIT.search(before[-2]):
            return None  # a product inside a longer expression is not judged alone
        value = float(number.replace(",", "").replace("_", ""))
        factors.append(int(value) if value.is_integer() else value)
        if index == 0:
            column = part.rfind(number)
    return tuple(factors), column


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
        if not _HAS_DIGIT.search(text):
            continue
        if comment.key is not None:
            for found in _NAME_SIZE.finditer(text):
                claims.append(_claim("parameters", comment, found, None, found[1], found[2], (1, 2), from_name=True))
            continue
        other = _OTHER_MODEL.search(text)
        own = "" if _DIFFERENCE.search(text) else text[: other.start()] if other else text
        for pattern in (_PARAMETERS, _MODEL_SIZE):
            for found in pattern.finditer(own):
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
        claims.extend(_product_claims(comment, text))
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
    nearest = min(candidates, key=lambda n: abs(n - claim.value))
    actual = nearest if claim.kind != "parameters" else candidates[0]
    return Judgement(claim, actual, abs(claim.value - nearest) <= claim.tolerance * nearest)


def _judge_product(claim: Claim, y: Yardstick) -> Judgement:
    product = math.prod(map(float, claim.factors))
    counted = next(
        (unit for unit in reversed(_COUNTED) if claim.unit.startswith(unit) and (unit or not claim.unit)), None
    )
    if not abs(product - claim.value) <= max(claim.tolerance, 1e-9) * product:
        return Judgement(claim, product, False if counted is not None else None)
    if counted in ("seq", "sample", "example"):
        if y.batch_size is None or y.gradient_accumulation_steps is None:
            return Judgement(claim, None, None)
        actual = float(y.batch_size * y.gradient_accumulation_steps)
    elif counted == "tok" or (y.context is not None and y.context in claim.factors and len(claim.factors) > 2):
        counts = [float(n) for n in (y.tokens_per_step, y.tokens_planned) if n is not None]
        if not counts:
            return Judgement(claim, None, None)
        actual = min(counts, key=lambda n: abs(n - claim.value))
    else:
        return Judgement(claim, product, True)
    return Judgement(claim, actual, abs(claim.value - actual) <= max(claim.tolerance, 1e-9) * actual)
