"""The planner as a whole: what is asked is met exactly, or the nearest that can be met is named."""

from __future__ import annotations

import itertools
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import auscult
from auscult.architectures import build
from auscult.errors import UsageError
from auscult.facts.parameters import count_parameters
from auscult.facts.roofline import estimate_step
from auscult.hardware import Gpu, find_gpu
from auscult.planner.plan import Planning, plan
from auscult.planner.request import Request
from auscult.planner.targets import Target
from auscult.prose import say
from auscult.report.planning_json import load_plan_schema, plan_as_dict
from auscult.report.planning_text import plan_as_markdown


def card(name: str) -> Gpu:
    """Return a card of the table."""
    gpu = find_gpu(name)
    assert gpu is not None
    return gpu


RTX_4070, H100 = card("RTX 4070"), card("H100 SXM")


def eight(*, loss: float, dataset: str | None = None) -> Request:
    """Ask for a loss on eight H100s."""
    return Request(H100, 8, loss=loss, dataset=dataset)


def checked(planning: Planning) -> Planning:
    """Check what holds of every answer, and return it."""
    jsonschema.validate(plan_as_dict(planning), load_plan_schema())
    assert plan_as_markdown(planning)
    seconds = [item.choice.step.seconds for item in planning.plans]
    assert all(second > 0 for second in seconds)
    for item in planning.plans:
        assert item.choice.setup.gpu_count == planning.machine.count or any(
            "cards" in str(note) for note in item.changed
        )
        assert item.steps >= 1
        assert item.hours.low <= item.hours.value <= item.hours.high
        assert count_parameters(item.target.model) == item.parameters
    return planning


def test_the_first_case() -> None:
    """GPT-2 on a 12 GB card at 524,288 tokens a step, compiled: 8 × 64, with 16 × 32 refused, and the loss of a known run."""
    asked = Request(
        RTX_4070, like="gpt2", tokens=10_485_760_000, tokens_per_step=524_288, compiled=True, dataset="fineweb"
    )
    found = checked(plan(asked))
    best = found.plans[0]
    assert found.binding is None
    assert (best.choice.setup.micro_batch, best.choice.setup.gradient_accumulation_steps) == (8, 64)
    assert best.steps == 20_000
    assert "16 × 32" in str(best.why)
    assert best.expected is not None
    assert 3.2 < best.expected[0].value < 3.35
    assert best.learning_rate.low <= 6e-4 <= best.learning_rate.high


@settings(max_examples=15)
@given(
    st.sampled_from(("RTX 3060", "RTX 4090", "A100-SXM4-80GB", "H100 SXM", "L4", "T4")),
    st.sampled_from((1, 2, 8)),
    st.integers(10**7, 10**10),
    st.sampled_from((None, 65_536, 524_288)),
)
def test_any_size_on_any_card(card: str, count: int, size: int, tokens_per_step: int | None) -> None:
    """Any size on any card is planned, or declared impossible with what binds and with plans that say what they change."""
    gpu = find_gpu(card)
    assert gpu is not None
    found = checked(plan(Request(gpu, count, params=size, tokens_per_step=tokens_per_step)))
    if found.binding is None:
        assert found.plans
        assert not found.plans[0].changed
    else:
        assert all(item.changed for item in found.plans)
    if tokens_per_step is not None and found.binding is None:
        assert all(item.choice.setup.tokens_per_step == tokens_per_step for item in found.plans)


def test_a_model_that_no_choice_holds() -> None:
    """70B parameters on 12 GB: memory binds, and more cards or a smaller model are offered instead."""
    found = checked(plan(Request(RTX_4070, params=70_000_000_000, family="llama")))
    assert found.binding is not None
    assert str(found.binding).startswith("memory")
    said = [str(note) for item in found.plans for note in item.changed]
    assert any("cards instead of 1" in note for note in said)
    assert any("parameters instead of" in note for note in said)
    smaller = next(item for item in found.plans if item.choice.setup.gpu_count == 1)
    assert smaller.choice.memory.high_bytes <= found.machine.limit_bytes


def test_tokens_that_cannot_be_shared() -> None:
    """Tokens per step that are no whole sequences: the nearest amounts below and above are planned, and said to differ."""
    found = checked(plan(Request(RTX_4070, like="gpt2", tokens_per_step=500_000)))
    assert found.binding is not None
    amounts = {item.choice.setup.tokens_per_step for item in found.plans}
    assert amounts == {499_712, 500_736}
    assert all("tokens per step" in str(item.changed[0]) for item in found.plans)


def test_hours_bound_the_tokens() -> None:
    """With a size and hours, the tokens are those that the hours allow at the predicted speed."""
    found = checked(plan(Request(RTX_4070, params=124_000_000, hours=10, tokens_per_step=262_144)))
    best = found.plans[0]
    assert best.hours.value == pytest.approx(10, rel=0.02)


def test_more_tokens_than_the_hours_allow() -> None:
    """A size, tokens and too few hours: fewer tokens are planned, and it is said that the hours bind."""
    found = checked(plan(Request(RTX_4070, params=124_000_000, tokens=10**11, hours=5)))
    assert found.binding is not None
    assert "hours" in str(found.binding)


def test_hours_alone_choose_the_model() -> None:
    """With nothing but hours, the model is the one whose compute-optimal tokens fill them; twice the cards take a larger one."""
    one = checked(plan(Request(RTX_4070, hours=24))).plans[0]
    assert one.hours.low <= 24 <= one.hours.high
    two = checked(plan(Request(RTX_4070, 2, hours=24))).plans[0]
    assert two.parameters.total >= one.parameters.total


def test_a_loss_chooses_the_model() -> None:
    """A lower loss takes a larger model; a loss without a corpus, or out of reach, is refused with what to say instead."""
    small = checked(plan(eight(dataset="fineweb", loss=3.4))).plans[0]
    large = checked(plan(eight(dataset="fineweb", loss=3.1))).plans[0]
    assert large.parameters.total > small.parameters.total
    assert small.expected is not None
    assert small.expected[0].value <= 3.42
    with pytest.raises(UsageError, match="--dataset"):
        plan(eight(loss=3.2))
    with pytest.raises(UsageError, match="cannot be told"):
        plan(eight(loss=0.5, dataset="fineweb"))
    with pytest.raises(UsageError, match="no known run"):
        plan(eight(loss=3.2, dataset="my own notes"))


def test_nothing_to_aim_at() -> None:
    """Without a target the answer says which there are."""
    with pytest.raises(UsageError, match="--like"):
        plan(Request(RTX_4070))


def test_a_context_beyond_the_table_is_refused() -> None:
    """A model with learned positions takes no longer sequences than its table serves (two fewer than OPT's rows); it is named."""
    model = build({"model_type": "opt", "max_position_embeddings": 2048})
    target = Target({"model_type": "opt"}, model, say("an OPT"))
    with pytest.raises(UsageError, match="2,048 positions"):
        plan(Request(RTX_4070, context=4096), target)


def test_price_and_power_give_cost_and_energy() -> None:
    """Cost is cards · hours · the person's own price; energy at most the boards' power over the hours."""
    found = checked(plan(Request(H100, 8, like="gpt2", tokens=10**10, price_per_gpu_hour=2.0)))
    best = found.plans[0]
    assert best.cost is not None
    assert best.cost.value == pytest.approx(16 * best.hours.value)
    assert best.energy_kwh is not None
    assert best.energy_kwh.high <= best.hours.high * 8 * 0.7 * 1.001
    assert plan(Request(H100, 8, like="gpt2", tokens=10**10)).plans[0].cost is None


def test_the_order_is_that_of_time() -> None:
    """Plans of one model at one number of tokens a step are ordered by predicted time, but for differences of half a percent."""
    found = plan(Request(RTX_4070, like="gpt2", tokens_per_step=524_288))
    seconds = [
        estimate_step(item.target.model, item.choice.setup, found.machine.device).seconds for item in found.plans
    ]
    assert all(later >= earlier * 0.99 for earlier, later in itertools.pairwise(seconds))


def test_the_public_surface() -> None:
    """The library's own names lead to the same planner, without importing it beforehand."""
    assert auscult.plan is plan
    assert auscult.Request is Request
    with pytest.raises(AttributeError, match="no attribute"):
        _ = auscult.nothing_of_that_name
    assert replace(Request(RTX_4070), like="gpt2").like == "gpt2"
