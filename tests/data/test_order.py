"""The order of training: permutations without storage, equal for every number of ranks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.data import evaluation_indices, step_indices
from auscult.data.order import permuted

SEEDS = st.integers(0, 2**64)
PROMISED = [264, 545, 406, 813, 339, 303]
PROMISED_EVALUATION = [3629, 3911, 5094, 5469, 8047]


@given(size=st.integers(1, 3000), seed=SEEDS, epoch=st.integers(0, 10**6))
def test_a_permutation_is_a_bijection(size: int, seed: int, epoch: int) -> None:
    """Every position goes somewhere else than every other, and inside."""
    found = permuted(np.arange(size), size, seed, epoch)
    assert np.array_equal(np.sort(found), np.arange(size))


@given(size=st.integers(1, 2**62), data=st.data())
def test_a_position_of_a_huge_permutation_is_inside_and_alone(size: int, data: st.DataObject) -> None:
    """No overflow at any size: distinct positions stay distinct and in range."""
    positions = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=50, unique=True))
    found = permuted(np.array(positions, np.int64), size, 7)
    assert len(set(found.tolist())) == len(positions)
    assert found.min() >= 0
    assert found.max() < size


def test_permutations_of_few_things_are_all_about_equally_frequent() -> None:
    """Over 2,400 seeds each of the 6 and 24 orders of 3 and 4 things comes up about as often as chance wants it."""
    for size, orders in ((2, 2), (3, 6), (4, 24)):
        counts = Counter(tuple(permuted(np.arange(size), size, seed, 0).tolist()) for seed in range(2400))
        expected = 2400 / orders
        chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
        assert len(counts) == orders
        assert chi_square < orders - 1 + 5 * (2 * orders) ** 0.5


def test_an_epoch_looks_shuffled() -> None:
    """Neither neighbours nor places survive: correlations over 100,000 positions are those of chance."""
    n = 100_000
    found = permuted(np.arange(n), n, 1337, 0).astype(float)
    bound = 5 / n**0.5
    assert abs(np.corrcoef(found, np.arange(n))[0, 1]) < bound
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < bound
    assert (np.abs(np.diff(found)) == 1).sum() < 20
    other = permuted(np.arange(n), n, 1337, 1).astype(float)
    assert abs(np.corrcoef(found, other)[0, 1]) < bound


@given(
    seed=SEEDS,
    step=st.integers(0, 10**6),
    per_step=st.integers(1, 200),
    count=st.integers(1, 500),
    world_size=st.integers(1, 9),
)
def test_ranks_together_see_what_one_would(seed: int, step: int, per_step: int, count: int, world_size: int) -> None:
    """The parts of all ranks, one after the other, are the step of a single process; and asking twice changes nothing."""
    asked = {"seed": seed, "step": step, "sequences_per_step": per_step, "sequence_count": count}
    alone = step_indices(**asked)
    parts = [step_indices(**asked, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert np.array_equal(np.concatenate(parts), alone)
    assert np.array_equal(alone, step_indices(**asked))
    assert {len(part) for part in parts} <= {per_step // world_size, -(-per_step // world_size)}
    assert alone.dtype == np.int64


@given(seed=SEEDS, per_step=st.integers(1, 60), count=st.integers(1, 200), epochs=st.integers(1, 4))
def test_every_sequence_is_seen_once_an_epoch(seed: int, per_step: int, count: int, epochs: int) -> None:
    """Whatever the size of a step, the k-th ``count`` sequences of training are each of the sequences once."""
    steps = -(-epochs * count // per_step)
    seen = np.concatenate(
        [step_indices(seed=seed, step=s, sequences_per_step=per_step, sequence_count=count) for s in range(steps)]
    )
    for epoch in range(epochs):
        assert np.array_equal(np.sort(seen[epoch * count : (epoch + 1) * count]), np.arange(count))


def test_seeds_and_epochs_give_other_orders() -> None:
    """Another seed is another order, and so is the next epoch."""
    first, second = (step_indices(seed=seed, step=0, sequences_per_step=100, sequence_count=100) for seed in (1, 2))
    third = step_indices(seed=1, step=1, sequences_per_step=100, sequence_count=100)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, third)


@given(count=st.integers(0, 5000), wanted=st.integers(0, 300))
def test_evaluation_indices_are_distinct_rising_and_nested(count: int, wanted: int) -> None:
    """The batches of an evaluation are a sorted set, and a larger evaluation contains a smaller one."""
    found = evaluation_indices(count, wanted)
    assert len(found) == min(count, wanted)
    assert (np.diff(found) > 0).all()
    assert set(found.tolist()) <= set(evaluation_indices(count, wanted + 10).tolist()) <= set(range(count))


def test_evaluation_indices_are_spread_over_the_split() -> None:
    """Each tenth of a split gives about a tenth of the batches."""
    counts = np.histogram(evaluation_indices(1_000_000, 2000), bins=10, range=(0, 1_000_000))[0]
    assert counts.min() > 140
    assert counts.max() < 260


def test_the_order_never_changes() -> None:
    """Runs are resumed with newer versions of this package: these numbers are a promise."""
    first = step_indices(seed=1337, step=3, sequences_per_step=6, sequence_count=1000)
    assert first.tolist() == PROMISED
    assert evaluation_indices(10_000, 5).tolist() == PROMISED_EVALUATION


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": -1},
        {"sequences_per_step": 0},
        {"sequence_count": 0},
        {"rank": 2, "world_size": 2},
        {"world_size": 0},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, int]) -> None:
    """A wrong call is a ValueError, not a wrong batch."""
    with pytest.raises(ValueError, match="found"):
        step_indices(**{"seed": 1, "step": 0, "sequences_per_step": 1, "sequence_count": 1, **wrong})
