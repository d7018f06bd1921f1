"""A step and an evaluation as one line for a person, cut to the width that there is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["evaluation_line", "step_line"]

_GAP = "  "


def step_line(
    values: Mapping[str, Any],
    *,
    steps: int,
    peak_flops_per_s: float | None = None,
    convention: str | None = None,
    width: int | None = None,
) -> str:
    """Return the line of a step.

    Parameters
    ----------
    values : mapping
        As :meth:`Journal.step` takes them; what is None or missing is left out.
    steps : int
        Of the whole run.
    peak_flops_per_s : float, optional
        What the MFU is a share of [FLOP/s].
    convention : str, optional
        How the FLOPs of a token were counted.
    width : int, optional
        Columns; what does not fit is left out, the convention first and the loss last.

    Examples
    --------
    >>> values = {"step": 120, "loss_nats_per_token": 3.14151, "learning_rate": 5.9e-4, "grad_norm": 0.82, "step_time_s": 0.71,
    ...           "tokens_per_s": 4320.4, "mfu": 0.123}
    >>> step_line(values, steps=2000, peak_flops_per_s=58.3e12, convention="6N+12LdT")
    'step  120/2000  loss 3.1415  lr 5.90e-04  grad 0.82  0.710 s/step  4,320 tok/s  12.3 % of 58.3 TFLOP/s (6N+12LdT)'
    >>> step_line(values, steps=2000, peak_flops_per_s=58.3e12, convention="6N+12LdT", width=80)
    'step  120/2000  loss 3.1415  lr 5.90e-04  grad 0.82  0.710 s/step  4,320 tok/s'
    """
    mfu, rate = values.get("mfu"), values.get("flops_per_s")
    told = f" ({convention})" if convention else ""
    if mfu is not None:
        peak = f" of {_tera(peak_flops_per_s)}" if peak_flops_per_s else ""
        speed = [f"{100 * mfu:.1f} %{peak}{told}", f"{100 * mfu:.1f} %{peak}" if peak else ""]
    else:
        speed = [f"{_tera(rate)}{told}", _tera(rate)] if rate is not None else []
    # (the rank of a part: the highest goes first; its spellings, the longest first)
    parts: list[tuple[int, Sequence[str]]] = [
        (0, (_place(values, steps),)),
        (1, (_number(values, "loss_nats_per_token", "loss {:.4f}"),)),
        (4, (_number(values, "learning_rate", "lr {:.2e}"),)),
        (3, (_number(values, "grad_norm", "grad {:.2f}"),)),
        (5, (_seconds(values.get("step_time_s")),)),
        (2, (_number(values, "tokens_per_s", "{:,.0f} tok/s"),)),
        (6, [text for text in speed if text]),
    ]
    return _fitted(parts, width)


def evaluation_line(values: Mapping[str, Any], *, steps: int, width: int | None = None) -> str:
    """Return the line of an evaluation.

    Examples
    --------
    >>> values = {"step": 250, "split": "val", "mode": "eval", "loss_nats_per_token": 3.2104, "tokens": 655_360}
    >>> evaluation_line(values, steps=2000)
    'step  250/2000  val loss 3.2104  (eval mode, 655,360 tokens)'
    """
    mode, tokens = values.get("mode"), values.get("tokens")
    details = [f"{mode} mode" if mode else "", f"{tokens:,} tokens" if tokens is not None else ""]
    said = ", ".join(detail for detail in details if detail)
    parts = [
        (0, (_place(values, steps),)),
        (1, (_number(values, "loss_nats_per_token", f"{values.get('split', 'evaluation')} loss {{:.4f}}"),)),
        (2, (f"({said})" if said else "",)),
    ]
    return _fitted(parts, width)


def _place(values: Mapping[str, Any], steps: int) -> str:
    return f"step {values.get('step', 0):>{len(str(steps))}}/{steps}"


def _number(values: Mapping[str, Any], key: str, form: str) -> str:
    value = values.get(key)
    if value is None:
        return ""
    if math.isfinite(value):
        return form.format(value)
    head, _, tail = form.partition("{")
    return f"{head}{'NaN' if math.isnan(value) else 'inf' if value > 0 else '-inf'}{tail.partition('}')[2]}"


def _seconds(value: float | None) -> str:
    """Return a step's time to three digits."""
    if value is None:
        return ""
    if value >= 0.1:
        return f"{value:#.3g} s/step" if value < 100 else f"{value:.0f} s/step"
    return f"{1000 * value:#.3g} ms/step"


def _tera(flops_per_s: float) -> str:
    tera = flops_per_s / 1e12
    return f"{tera:,.0f} TFLOP/s" if tera >= 99.95 else f"{tera:.1f} TFLOP/s" if tera >= 1 else f"{tera:.2g} TFLOP/s"


def _fitted(parts: Sequence[tuple[int, Sequence[str]]], width: int | None) -> str:
    """Join the parts; where they are too long, shorten or drop the one of the highest rank until they fit."""
    left = [(rank, list(spellings)) for rank, spellings in parts if spellings and spellings[0]]

    def line() -> str:
        return _GAP.join(spellings[0] for _rank, spellings in left)

    while width is not None and len(line()) > width and len(left) > 1:
        worst = max(left, key=lambda part: part[0])
        worst[1].pop(0)
        if not worst[1]:
            left.remove(worst)
    return line()
