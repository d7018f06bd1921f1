"""An explanation as plain text."""

from __future__ import annotations

import textwrap

from .explanation import OomExplanation
from .remedies import Remedy
from .words import in_units

__all__ = ["render"]


def render(explanation: OomExplanation, *, width: int = 100) -> str:
    """Return an explanation as plain text.

    Parameters
    ----------
    explanation : OomExplanation
        As :func:`explain_oom` returns it.
    width : int
        Of a line [characters].

    Examples
    --------
    >>> from auscult.oom import explain_oom
    >>> print(render(explain_oom("CUDA error: out of memory")).splitlines()[0])
    Out of memory outside PyTorch's allocator: the message says no size.
    """
    headline = str(explanation.headline)
    out = _wrapped(headline[0].upper() + headline[1:] + ".", "", width)
    if explanation.lines:
        out += ["", *(row for line in explanation.lines for row in _wrapped(str(line), "  ", width))]
    if explanation.others:
        more = "1 more message" if explanation.others == 1 else f"{explanation.others} more messages"
        out += ["", f"  The text holds {more}, of other ranks or attempts."]
    if explanation.remedies:
        out += ["", "What to do, the cheapest that is enough first:"]
        for number, remedy in enumerate(explanation.remedies, 1):
            out += _wrapped(f"{remedy.action}{_effect(remedy)}", f"  {number}. ", width)
    return "\n".join(out) + "\n"


def _effect(remedy: Remedy) -> str:
    parts = []
    if remedy.saved_bytes:
        parts.append(f"saves {in_units(remedy.saved_bytes)}")
    if remedy.enough is not None:
        parts.append(
            "then it fits" if remedy.enough else "not enough alone" if remedy.kind != "together" else "not enough"
        )
    return f" [{', '.join(parts)}]" if parts else ""


def _wrapped(text: str, lead: str, width: int) -> list[str]:
    indent = " " * max(len(lead), 2)
    return textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=indent, break_long_words=False) or [""]
