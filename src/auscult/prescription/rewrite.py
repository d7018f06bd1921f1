"""Rewrite a config: values in place, formatting and comments kept, and the comments that would be false corrected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..checks.base import Edit
from ..facts.claims import Claim, Judgement
from ..run import ConfigText, split_lines

__all__ = ["Patch", "apply_patches", "apply_values", "correct_claims"]


@dataclass(frozen=True, slots=True)
class Patch:
    """A replacement of ``text[column:end_column]`` on one line (from 1)."""

    line: int
    column: int
    end_column: int
    text: str


def apply_patches(text: str, patches: Iterable[Patch]) -> str:
    """Return the text with every patch made."""
    lines = split_lines(text)
    for patch in sorted(patches, key=lambda p: (p.line, p.column), reverse=True):
        line = lines[patch.line - 1]
        lines[patch.line - 1] = line[: patch.column] + patch.text + line[patch.end_column :]
    return "".join(lines)


def apply_values(config: ConfigText, edits: Sequence[Edit]) -> str:
    """Return the config's text with each edited value replaced where it stands, or added at the end.

    Parameters
    ----------
    config : ConfigText
        The config as read, with the place of every value.
    edits : sequence of Edit
        At most one a key.
    """
    patches, missing = [], []
    for edit in edits:
        item = config.get(edit.key)
        if item is None or item.shared or item.line != item.end_line:
            missing.append(edit)
        else:
            patches.append(Patch(item.line, item.column, item.end_column, repr(edit.after)))
    text = apply_patches(config.text, patches)
    if missing:
        newline = "\r\n" if "\r\n" in text else "\n"
        text += "" if text.endswith(("\n", "\r")) or not text else newline
        text += "".join(f"{edit.key} = {edit.after!r}{newline}" for edit in missing)
    return text


def correct_claims(
    text: str, judgements: Sequence[Judgement], factors: Callable[[Claim], Sequence[int | float] | None]
) -> str:
    """Return the text with the number of every false claim replaced by the true one.

    Parameters
    ----------
    text : str
        The config after its values were edited.
    judgements : sequence of Judgement
        Of that text's claims.
    factors : callable
        For a product, the factors that it should name now, or None to leave them.
    """
    patches = []
    for judged in judgements:
        claim = judged.claim
        if claim.source.line is None or claim.from_name:
            continue
        if claim.kind == "product":
            new = tuple(factors(claim) or claim.factors)
            wrong = judged.holds is False and math.prod(new) != claim.value
            if new != claim.factors or wrong:
                patches.append(_product(text, claim, new))
        elif judged.holds is False and judged.actual is not None:
            written = split_lines(text)[claim.source.line - 1][claim.column : claim.end_column]
            patches.append(
                Patch(claim.source.line, claim.column, claim.end_column, _in_unit_of(written, judged.actual))
            )
    return apply_patches(text, patches)


_SCALE = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def _in_unit_of(written: str, value: float) -> str:
    """Return a value in the unit in which another number was written, to three significant digits.

    Examples
    --------
    >>> _in_unit_of("3B", 10_485_760_000)
    '10.5B'
    """
    suffix = written.strip()[-1:]
    scaled = value / _SCALE.get(suffix.lower(), 1.0)
    return f"{scaled:.3g}{suffix}"


def _product(text: str, claim: Claim, factors: Sequence[int | float]) -> Patch:
    """Rewrite the factors of a product in order, and its result, leaving the words between them."""
    line = claim.source.line or 1
    written = split_lines(text)[line - 1][claim.column : claim.end_column]
    left, equals, right = written.rpartition("=")
    queue = list(factors)
    number = re.compile(r"(?<![\w.,])\d[\d,_]*(?:\.\d+)?", re.ASCII)
    left = number.sub(lambda found: f"{queue.pop(0)}" if queue else found[0], left)
    result = math.prod(factors)
    digits = re.search(r"\d[\d,_.]*([kKmMbB]?)", right, re.ASCII)
    if digits is None:
        return Patch(line, claim.column, claim.end_column, left + equals + right)
    shown = _in_unit_of(digits[0], result) if digits[1] else f"{result:,}" if "," in digits[0] else f"{result}"
    right = right[: digits.start()] + shown + right[digits.end() :]
    return Patch(line, claim.column, claim.end_column, left + equals + right)
