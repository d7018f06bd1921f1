"""The joint search: exact tokens per step, nothing that does not fit, nothing faster left out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.architectures import Model, build
from auscult.facts.memory import estimate_memory
from auscult.facts.roofline import estimate_step
from auscult.facts.setup import Setup
from auscult.hardware import find_gpu
from auscult.planner.machine import Machine, machine_of
from auscult.planner.search import SAME_TIME, Freedom, nearest_tokens_per_step, search
from model_strategies import models

GPT2 = build({"model_type": "gpt2", "vocab_size": 50304, "bias": False})
CARDS = ("RTX 4070", "RTX 4090", "RTX 3060", "A100 80GB SXM", "H100 SXM", "V100 SXM2 16GB", "L4")


def machine(name: str, count: int = 1) -> Machine:
    gpu = find_gpu(name)
    assert gpu is not None, name
    return machine_of(gpu, count, None)


@settings(max_examples=25)
@given(
    models(), st.sampled_from(CARDS), st.sampled_from((1, 2, 8)), st.integers(1, 96), st.sampled_from((256, 1024, 4096))
)
def test_every_choice_keeps_tokens_per_step_and_fits(
    model: Model, card: str, count: int, sequences: int, context: int
) -> None:
    """Whatever is found or refused has exactly the tokens asked for; what is found fits, and what is refused might not."""
    here = machine(card, count)
    wanted = sequences * context * count
    found = search(model, here, tokens_per_step=wanted, context=context)
    for choice in found.choices:
        assert choice.setup.tokens_per_step == wanted
        assert choice.setup.gpu_count == count
        fits = choice.memory.total_bytes if choice.tight else choice.memory.high_bytes
        assert fits <= here.limit_bytes
    for refusal in found.refused:
        assert refusal.setup.tokens_per_step == wanted
        assert refusal.memory.high_bytes > here.limit_bytes


@settings(max_examples=10)
@given(models(), st.sampled_from(CARDS), st.sampled_from((12, 48, 64, 96)))
def test_nothing_faster_is_left_out(model: Model, card: str, sequences: int) -> None:
    """No micro-batch, compilation or checkpointing that fits is predicted to be faster than the first choice."""
    here = machine(card)
    found = search(model, here, tokens_per_step=sequences * 1024, context=1024)
    if not found.choices or found.choices[0].tight:
        return
    best = found.choices[0].step.seconds
    for compiled in (True, False):
        for checkpointing in ("none", "full"):
            for micro_batch in (k for k in range(1, sequences + 1) if sequences % k == 0):
                setup = Setup(
                    micro_batch,
                    1024,
                    sequences // micro_batch,
                    precision=here.precision,
                    compiled=compiled,
                    checkpointing="full" if checkpointing == "full" else "none",
                )
                memory = estimate_memory(model, setup, device_memory_bytes=here.gpu.memory_bytes)
                if memory.high_bytes <= here.limit_bytes:
                    assert best <= estimate_step(model, setup, here.device).seconds * (1 + 2 * SAME_TIME)


def test_the_first_case_compiled() -> None:
    """GPT-2 124M on a 12 GB card, compiled: 8 × 64 is chosen and 16 × 32 refused, for memory."""
    found = search(
        GPT2, machine("RTX 4070"), tokens_per_step=524_288, context=1024, freedom=Freedom((True,), ("none",))
    )
    chosen, refused = found.choices[0].setup, found.refused[0]
    assert (chosen.micro_batch, chosen.gradient_accumulation_steps) == (8, 64)
    assert (refused.setup.micro_batch, refused.setup.gradient_accumulation_steps) == (16, 32)
    assert refused.constraint == "memory"
    assert "16 × 32" in str(refused.reason)


def test_the_first_case_eager() -> None:
    """Eager, the fp32 logits leave room for 4 × 128, or for 8 × 64 with hardly a margin."""
    found = search(
        GPT2, machine("RTX 4070"), tokens_per_step=524_288, context=1024, freedom=Freedom((False,), ("none",))
    )
    chosen = found.choices[0].setup
    assert (chosen.micro_batch, chosen.gradient_accumulation_steps) in ((4, 128), (8, 64))
    larger = found.refused[0]
    assert larger.setup.micro_batch == 2 * chosen.micro_batch
    assert max(larger.memory.parts, key=lambda part: larger.memory.parts[part]) == "logits"


@pytest.mark.parametrize(
    ("changed", "more"),
    [
        ({"n_layer": 24, "n_embd": 1024, "n_head": 16}, False),
        ({"vocab_size": 128_256}, False),
        ({"n_layer": 6}, True),
    ],
)
def test_the_model_changes_the_micro_batch(changed: dict[str, int], more: bool) -> None:
    """A larger model or vocabulary leaves room for fewer sequences, a smaller model for at least as many."""
    freedom = Freedom((True,), ("none",))
    here = machine("RTX 4070")
    other = build({"model_type": "gpt2", "vocab_size": 50304, "bias": False, **changed})
    before = search(GPT2, here, tokens_per_step=524_288, context=1024, freedom=freedom).choices[0].setup.micro_batch
    after = search(other, here, tokens_per_step=524_288, context=1024, freedom=freedom).choices[0].setup.micro_batch
    assert after >= before if more else after < before


def test_checkpointing_and_the_card_change_the_answer() -> None:
    """Full checkpointing makes room for larger micro-batches; so does a card with more memory."""
    small, large = machine("RTX 4070"), machine("A100 80GB SXM")

    def largest(where: Machine, *checkpointing: str) -> int:
        kinds = tuple(kind for kind in ("none", "full") if kind in checkpointing)
        found = search(GPT2, where, tokens_per_step=524_288, context=1024, freedom=Freedom((True,), kinds))
        return min(refusal.setup.micro_batch for refusal in found.refused)

    assert largest(small, "full") > largest(small, "none")
    assert largest(large, "none") > largest(small, "none")


def test_half_precision_and_full_precision_differ() -> None:
    """In fp32 fewer sequences fit than under autocast."""
    freedom = Freedom((True,), ("none",))
    here = machine("RTX 4070")
    wide = machine_of(here.gpu, 1, "fp32")
    amp = search(GPT2, here, tokens_per_step=524_288, context=1024, freedom=freedom).refused[0].setup.micro_batch
    full = search(GPT2, wide, tokens_per_step=524_288, context=1024, freedom=freedom).refused[0].setup.micro_batch
    assert full <= amp


def test_several_cards_share_what_one_cannot_hold() -> None:
    """Eight cards train with FSDP a model whose states alone exceed one of them."""
    model = build({"model_type": "llama", "vocab_size": 128_256, "intermediate_size": 14336, "num_key_value_heads": 8})
    alone = search(model, machine("H100 SXM"), tokens_per_step=8 * 8192, context=8192)
    together = search(model, machine("H100 SXM", 8), tokens_per_step=8 * 8192, context=8192)
    assert not alone.choices
    assert {choice.setup.sharding for choice in together.choices} <= {"fsdp", "none"}
    assert all(choice.setup.sharding == "fsdp" or choice.setup.tensor_parallel == 8 for choice in together.choices)


@given(st.integers(1, 10**9), st.integers(1, 10**5), st.integers(1, 512))
def test_nearest_tokens_per_step(tokens: int, context: int, cards: int) -> None:
    """The nearest amounts are whole sequences for every card, and enclose the one asked for."""
    near = nearest_tokens_per_step(tokens, context, cards)
    unit = context * cards
    assert all(amount % unit == 0 and amount > 0 for amount in near)
    assert all(abs(amount - tokens) < unit for amount in near)
    assert (near == (tokens,)) == (tokens % unit == 0)


def test_indivisible_tokens_are_refused() -> None:
    """Tokens that no whole sequences make are a caller's mistake, with the numbers named."""
    with pytest.raises(ValueError, match="1024-token sequences"):
        search(GPT2, machine("RTX 4070"), tokens_per_step=500_000, context=1024)
