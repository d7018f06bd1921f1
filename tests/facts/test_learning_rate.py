"""Learning rates: the published tables come back, the laws hold on the grid they were fitted to, and the spread is shown."""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.facts.learning_rate import (
    GPT3,
    RUNS,
    WARMUP_SHARE,
    Published,
    floor_learning_rate,
    suggest_learning_rate,
    suggest_tokens_per_step,
    warmup_steps,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("row", GPT3)
def test_gpt3s_table_comes_back(row: Published) -> None:
    """At a size and batch of GPT-3's table, the value suggested is the table's."""
    found = suggest_learning_rate(row.parameters, 300e9, row.tokens_per_step)
    assert found.value == pytest.approx(row.learning_rate)


@given(st.floats(1e5, 1e13), st.floats(1e6, 1e14), st.floats(1e3, 1e8))
def test_the_value_lies_within_the_range(parameters: float, tokens: float, batch: float) -> None:
    """Every size, length and batch: bounds hold what they rest on, and no rate is beyond what was ever tried."""
    found = suggest_learning_rate(parameters, tokens, batch)
    values = [item.value for item in found.basis]
    assert 0 < found.low <= found.value <= found.high <= 4.0e-3
    assert (found.low, found.high) == (min(values), max(values))
    assert all(item.source for item in found.basis)


@given(st.floats(1e6, 1e11), st.floats(1.01, 100), st.floats(1e4, 1e7))
def test_larger_models_get_lower_rates(parameters: float, factor: float, batch: float) -> None:
    """With the same batch, a larger model never gets a higher rate."""
    small, large = (suggest_learning_rate(n, 1e10, batch).value for n in (parameters, parameters * factor))
    assert large <= small * (1 + 1e-12)


def test_runs_of_about_the_size_are_named() -> None:
    """At 124M the range holds nanoGPT's 6e-4 and the tuned 1.8e-3; at 1B TinyLlama's; far from any run the laws alone."""
    at_124m = {item.name: item.value for item in suggest_learning_rate(124e6, 10e9, 524_288).basis}
    assert at_124m["nanoGPT's GPT-2"] == 6e-4
    assert at_124m["modded-nanogpt's tuned AdamW"] == 1.8e-3
    assert "TinyLlama" in {item.name for item in suggest_learning_rate(1e9, 10e9, 2e6).basis}
    assert len(suggest_learning_rate(500e9, 10e12, 16e6).basis) == 3
    assert len({one.name for one in RUNS}) == len(RUNS)


def test_the_step_law_counts_without_tables() -> None:
    """The law's rate rises where embeddings are left out, as by the power of its formula."""
    whole = suggest_learning_rate(410e6, 10e9, 524_288)
    layers = suggest_learning_rate(410e6, 10e9, 524_288, non_embedding=302e6)
    name = "Step Law"
    first, second = (next(b.value for b in found.basis if b.name == name) for found in (whole, layers))
    assert second / first == pytest.approx((302 / 410) ** -0.713)
    assert whole.value == layers.value


def test_the_step_law_finds_the_best_of_its_grid() -> None:
    """On the authors' own runs, the law's rate lies within a step of the grid's best rate in the median (a factor of two)."""
    corpus = Path(os.environ.get("AUSCULT_CORPUS", ROOT.parent / "shared" / "corpus"))
    table = corpus / "scaling" / "steplaw" / "data" / "dense_lr_bs_loss.csv"
    if not table.is_file():
        pytest.skip(f"the runs of Step Law are not here: {table}")
    best: dict[tuple[float, float], tuple[float, float]] = defaultdict(lambda: (math.inf, 0.0))
    with table.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            key = float(row["N"]), float(row["D"])
            best[key] = min(best[key], (float(row["loss"]), float(row["lr"])))
    assert len(best) >= 10
    off = []
    for (parameters, tokens), (_loss, rate) in best.items():
        law = next(b.value for b in suggest_learning_rate(parameters, tokens, 5e5).basis if b.name == "Step Law")
        off.append(abs(math.log2(law / rate)))
    assert median(off) <= 1


def test_tokens_per_step_lie_between_practice_and_law() -> None:
    """For 124M and 10B tokens: between Step Law's 0.30M and GPT-3's 0.5M; more tokens take larger steps."""
    law = 0.58 * 10e9**0.571
    assert law == pytest.approx(0.30e6, rel=0.05)
    assert law < suggest_tokens_per_step(124e6, 10e9) < 0.5e6
    assert suggest_tokens_per_step(124e6, 100e9) > suggest_tokens_per_step(124e6, 10e9)


@given(st.integers(1, 10**7), st.integers(1024, 10**8))
def test_warmup_takes_no_more_than_its_share(steps: int, per_step: int) -> None:
    """At least a step, at most a twentieth of the run, and at most GPT-3's 375M tokens (rounded to a step)."""
    found = warmup_steps(steps, per_step)
    assert 1 <= found <= max(1, WARMUP_SHARE * steps)
    assert found == 1 or found * per_step <= 375e6 + per_step


def test_the_floor_is_what_people_write() -> None:
    """A tenth of 6e-4 is 6e-5, not 6.000000000000001e-05."""
    assert [floor_learning_rate(rate) for rate in (6e-4, 3e-4, 1.2e-4)] == [6e-5, 3e-5, 1.2e-5]


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, -1)])
def test_amounts_must_be_positive(wrong: tuple[float, float, float]) -> None:
    """Nothing can be suggested for no model, no tokens or no batch."""
    with pytest.raises(ValueError, match="above 0"):
        suggest_learning_rate(*wrong)
