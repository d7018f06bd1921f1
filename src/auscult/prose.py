"""Sentences with numbers in them, kept apart from the numbers until they are rendered.

A :class:`Prose` is a template and its values. ``str()`` renders it in English; because the template is
kept, a catalogue can translate it and a locale can format its numbers without any check knowing.
"""

from __future__ import annotations

import math
import string
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Prose", "duration", "say", "si"]

_SI = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def si(value: float, digits: int = 3) -> str:
    """Return a number with a suffix of the field: k, M, B (1e9) or T (1e12).

    Parameters
    ----------
    value : float
        The number.
    digits : int
        Significant digits kept.

    Examples
    --------
    >>> si(40_953_216), si(10_485_760_000, 4), si(512), si(125_000_000)
    ('41M', '10.49B', '512', '125M')
    """
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "NaN"
    for factor, suffix in _SI:
        if abs(value) >= factor:
            scaled = value / factor
            text = f"{scaled:.{max(digits - len(str(int(abs(scaled)))), 0)}f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + suffix
    return f"{value:g}" if abs(value) < 1000 else f"{value:.0f}"


def duration(low_hours: float, high_hours: float | None = None) -> str:
    """Return hours as a person says them, or a range of them in one unit.

    Examples
    --------
    >>> duration(61.9), duration(19.2, 27.4), duration(47.5, 76.0), duration(0.68, 0.95), duration(0.004)
    ('2.6 days', '19–27 hours', '2.0–3.2 days', '41–57 minutes', 'under a minute')
    """
    high = low_hours if high_hours is None else high_hours
    if high < 1 / 120:
        return "under a minute"
    factor, unit = (1 / 24, "days") if high >= 48 else (1.0, "hours") if high >= 1 else (60.0, "minutes")
    low_text, high_text = (
        f"{x * factor:.0f}" if x * factor >= 10 or unit == "minutes" else f"{x * factor:.1f}" for x in (low_hours, high)
    )
    if low_text == high_text == "1":
        return f"1 {unit[:-1]}"
    return f"{low_text} {unit}" if low_text == high_text else f"{low_text}–{high_text} {unit}"


class _Formatter(string.Formatter):
    """``str.format`` with the specs ``si``, ``si4``, ``count``, ``percent`` and ``signed``."""

    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec:
            case "si":
                return si(float(value))
            case "si4":
                return si(float(value), 4)
            case "count":
                return f"{value:,}"
            case "percent":
                return f"{100 * value:.0f} %"
            case "percent1":
                return f"{100 * value:.1f} %"
            case "signed":
                return f"{value:+.3f}".replace("-", "−")
            case "gib":
                return f"{value / 2**30:.1f} GiB" if value >= 2**30 / 10 or not value else f"{value / 2**20:.3g} MiB"
            case _:
                return str(super().format_field(value, format_spec))


_FORMATTER = _Formatter()


@dataclass(frozen=True, slots=True)
class Prose:
    """A sentence as template and values; ``str()`` renders it in English.

    Examples
    --------
    >>> str(say("{n:count} parameters, {share:percent} of them embeddings", n=40953216, share=0.4717))
    '40,953,216 parameters, 47 % of them embeddings'
    """

    template: str
    values: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return _FORMATTER.vformat(self.template, (), self.values)


def say(template: str, /, **values: Any) -> Prose:
    """Build a :class:`Prose` from a template and the values it names."""
    return Prose(template, values)
