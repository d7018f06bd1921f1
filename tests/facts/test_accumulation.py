"""The factor by which accumulation scaled a logged loss, told from the loss of a fresh model."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.facts.accumulation import MAX_ACCUMULATION, TOLERANCE, accumulation_factor

VOCAB = 32_000
FRESH = math.log(VOCAB)


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
@pytest.mark.parametrize("off", [-0.005, 0.0, 0.005])
def test_power_of_two_is_found_without_knowing_the_accumulation(factor: int, off: float) -> None:
    """The factors that people accumulate by are found from the first loss and the vocabulary alone."""
    found = accumulation_factor(factor * FRESH * (1 + off), [VOCAB])
    assert found is not None
    assert (found.factor, found.vocab_size) == (factor, VOCAB)
    assert found.deviation == pytest.approx(abs(off), abs=1e-9)


@pytest.mark.parametrize("ratio", [0.7, 0.98, 1.0, 1.02, 1.5, 2.5, 5.2, 6.5, 40.0])
def test_other_ratios_are_no_accumulation(ratio: float) -> None:
    """A fine-tuned model, a fresh one, and a badly initialised one are not taken for sums."""
    assert accumulation_factor(ratio * FRESH, [VOCAB]) is None


def test_known_accumulation_confirms_large_factors() -> None:
    """A factor of 64 is believed only where 64 micro-batches are accumulated."""
    assert accumulation_factor(64 * FRESH, [VOCAB]) is None
    found = accumulation_factor(64 * FRESH, [VOCAB], accumulation=64)
    assert found is not None
    assert found.factor == 64


def test_factor_divides_the_known_accumulation() -> None:
    """Over four ranks of eight micro-batches the sum may be over one rank's eight, and not over five."""
    found = accumulation_factor(8 * FRESH, [VOCAB], accumulation=32)
    assert found is not None
    assert found.factor == 8
    assert accumulation_factor(5 * FRESH, [VOCAB], accumulation=32) is None


def test_loss_divided_twice_needs_a_known_accumulation() -> None:
    """A quarter of ln V is a fine-tuned model's loss as well: only four accumulated micro-batches make it a fault."""
    assert accumulation_factor(FRESH / 4, [VOCAB]) is None
    found = accumulation_factor(FRESH / 4, [VOCAB], accumulation=4)
    assert found is not None
    assert found.factor == 0.25


def test_vocabulary_that_explains_the_loss_as_it_stands_wins() -> None:
    """A candidate whose ln V is the loss explains it: no factor over another candidate is looked for."""
    assert accumulation_factor(math.log(65_536), [256, 65_536]) is None
    found = accumulation_factor(math.log(65_536), [256])
    assert found is not None
    assert found.factor == 2


def test_accumulation_of_one_scales_nothing() -> None:
    """Where nothing is accumulated a high loss has another cause."""
    assert accumulation_factor(2 * FRESH, [VOCAB], accumulation=1) is None


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.lists(st.integers(-5, 10**7), max_size=4),
    st.none() | st.integers(-3, 10**6),
)
def test_any_numbers_give_a_factor_that_fits_or_nothing(loss: float, sizes: list[int], known: int | None) -> None:
    """Whatever the numbers, what is returned rescales the loss to ln V within the tolerance."""
    found = accumulation_factor(loss, sizes, accumulation=known)
    if found is not None:
        assert abs(loss / found.factor / math.log(found.vocab_size) - 1) <= TOLERANCE + 1e-9
        assert found.factor >= 2 or 1 / found.factor >= 2
        assert known is None or found.factor <= max(MAX_ACCUMULATION, known)
