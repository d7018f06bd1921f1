"""Numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.errors import UsageError
from auscult.hardware import find_gpu
from auscult.planner.request import Request, parse_amount, parse_hours


@given(st.integers(1, 10**15))
def test_whole_amounts_come_back(amount: int) -> None:
    """A whole number is read back however its thousands are separated."""
    assert parse_amount(str(amount), "--tokens") == amount or amount > 2**53
    assert abs(parse_amount(f"{amount:,}", "--tokens") - amount) <= amount * 1e-12
    assert abs(parse_amount(f"{amount:_}", "--tokens") - amount) <= amount * 1e-12


@given(st.text(max_size=20))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    """Whatever is typed gives a positive amount or one clear refusal."""
    for parse, option in ((parse_amount, "--params"), (parse_hours, "--hours")):
        try:
            value = parse(text, option)
        except UsageError as error:
            said = str(error)
        else:
            assert value > 0
            continue
        assert said.startswith(option)


@pytest.mark.parametrize(
    ("text", "hours"), [("12", 12), ("12h", 12), ("90min", 1.5), ("2 days", 48), ("1 week", 168), ("0.5 d", 12)]
)
def test_durations(text: str, hours: float) -> None:
    """Durations are read in the units people use."""
    assert parse_hours(text, "--hours") == pytest.approx(hours)


def test_two_targets_are_refused() -> None:
    """A size and a loss cannot both be aimed at; both are named."""
    gpu = find_gpu("RTX 4070")
    assert gpu is not None
    with pytest.raises(UsageError, match="--params and --loss"):
        Request(gpu, params=10**8, loss=3.2)
