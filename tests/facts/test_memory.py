"""Memory of a step: worked figures, published failures, what adds up, and how it moves with each choice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.architectures import Block, Linear, Model, Norm, Ssm, Stack, Table, build
from auscult.facts.memory import (
    CONTEXT_BYTES,
    USABLE_FRACTION,
    MemoryEstimate,
    activation_slopes,
    estimate_memory,
    logit_slopes,
    model_states,
    parameter_groups,
)
from auscult.facts.parameters import count_adapters, count_parameters
from auscult.facts.setup import Loss, Optimizer, Precision, Setup, Sharding

GIB = 2**30
GPT2 = build({"model_type": "gpt2", "vocab_size": 50304, "bias": False})
LLAMA = build(
    {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
    }
)
CARD = 12 * GIB


def nanogpt(micro_batch: int, *, compiled: bool, **more: Any) -> Setup:
    return Setup(
        micro_batch=micro_batch,
        context=1024,
        gradient_accumulation_steps=512 // micro_batch,
        compiled=compiled,
        **more,
    )


@pytest.mark.parametrize(
    ("micro_batch", "compiled", "allocated_gib"),
    [
        (4, False, 6.04),
        (8, False, 9.99),
        (16, False, 17.9),
        (4, True, 4.12),
        (8, True, 6.16),
        (16, True, 10.23),
    ],
)
def test_gpt2_on_twelve_gigabytes(micro_batch: int, compiled: bool, allocated_gib: float) -> None:
    """GPT-2 124M as worked by hand: 18 bytes a weight, 36 C of activations a layer, 14 or 4 bytes a logit; within 1 %."""
    memory = estimate_memory(GPT2, nanogpt(micro_batch, compiled=compiled))
    assert memory.allocated_bytes / GIB == pytest.approx(allocated_gib, rel=0.01)
    assert memory.peak_phase == "backward_start"


def test_the_choice_for_524288_tokens_on_twelve_gigabytes() -> None:
    """Compiled, 16 x 32 does not fit and 8 x 64 does even at its upper end; eager, 8 x 64 needs the card to the brim."""
    limit = USABLE_FRACTION * CARD

    def on_card(micro_batch: int, compiled: bool) -> MemoryEstimate:
        return estimate_memory(GPT2, nanogpt(micro_batch, compiled=compiled), device_memory_bytes=CARD)

    assert on_card(16, True).total_bytes > limit
    assert on_card(8, True).high_bytes < limit
    assert on_card(16, False).low_bytes > limit
    assert on_card(8, False).low_bytes < limit < on_card(8, False).high_bytes
    assert on_card(4, False).high_bytes < limit


def test_the_evaluation_that_ran_out() -> None:
    """NanoGPT #88: 10.16 GiB were allocated when an fp32 tensor of 6.14 was asked for, before any optimiser state."""
    setup = nanogpt(32, compiled=False)
    memory, states = estimate_memory(GPT2, setup), model_states(GPT2, setup)
    tensor = 32 * 1024 * 50304 * 4
    assert tensor / GIB == pytest.approx(6.14, abs=0.005)
    before = memory.phases["evaluation"] - states.optimizer - tensor
    assert before / GIB == pytest.approx(10.16, rel=0.03)


@pytest.mark.parametrize(
    ("vocab", "path", "leaf", "mib"),
    [
        (32768, "eager", 4, 10240.126),
        (131072, "eager", 4, 40960.125),
    ],
)
def test_eager_cross_entropy_on_an_a100(vocab: int, path: Loss, leaf: int, mib: float) -> None:
    """Liger's benchmark of torch's loss in fp32, 16,384 tokens: 16 bytes a logit, and the gradient that the leaf keeps."""
    model = build({"model_type": "gpt2", "vocab_size": vocab})
    setup = Setup(micro_batch=8, context=2048, precision="fp32", loss=path)
    found = logit_slopes(model, setup, tokens=16384).backward + leaf * vocab
    assert found * 16384 / 2**20 == pytest.approx(mib, rel=0.001)


def test_the_fused_loss_on_an_a100() -> None:
    """Liger's benchmark of head and loss, width 4096, V 128,256: from 4,096 to 32,768 tokens grow 1,549 MiB, hidden states included."""
    config = {"model_type": "gpt2", "vocab_size": 128256, "n_embd": 4096, "n_head": 32}
    model, setup = build(config), Setup(micro_batch=1, context=4096, precision="bf16", loss="fused")
    per_token = logit_slopes(model, setup, tokens=4096).backward + 2 * 2 * 4096
    assert per_token * (32768 - 4096) / 2**20 == pytest.approx(5794.626 - 4245.548, rel=0.01)


MODELS = st.sampled_from([GPT2, LLAMA])
SETUPS = st.builds(
    Setup,
    micro_batch=st.integers(1, 64),
    context=st.sampled_from([128, 1024, 1000]),
    gradient_accumulation_steps=st.sampled_from([1, 8]),
    precision=st.sampled_from(["amp_bf16", "amp_fp16", "bf16", "fp32"]),
    compiled=st.booleans(),
    flash=st.booleans(),
    dropout=st.sampled_from([0.0, 0.1]),
    checkpointing=st.sampled_from(["none", "selective", "full"]),
    loss=st.sampled_from(["eager", "compiled", "chunked", "fused"]),
    optimizer=st.sampled_from(["adamw", "adamw_8bit", "muon", "lion", "adafactor", "sgd"]),
    sharding=st.sampled_from(["none", "ddp", "zero1", "zero2", "fsdp"]),
    data_parallel=st.sampled_from([1, 8]),
    tensor_parallel=st.sampled_from([1, 4]),
    pipeline_parallel=st.sampled_from([1, 4]),
    context_parallel=st.sampled_from([1, 2]),
    lora_rank=st.sampled_from([0, 8]),
    frozen_bits=st.sampled_from([16, 8, 4]),
)
many = settings(database=None, derandomize=True, deadline=None, max_examples=150)


@many
@given(model=MODELS, setup=SETUPS, card=st.sampled_from([None, 12 * GIB, 80 * GIB]))
def test_parts_add_up(model: Model, setup: Setup, card: int | None) -> None:
    """Parts add up to the total, the peak is the largest phase, nothing is negative, and the interval holds the total."""
    memory = estimate_memory(model, setup, device_memory_bytes=card)
    assert all(size >= 0 for size in memory.parts.values())
    assert memory.total_bytes == sum(memory.parts.values())
    assert memory.allocated_bytes == max(memory.phases.values()) == memory.phases[memory.peak_phase]
    assert memory.allocated_bytes == memory.total_bytes - memory.parts["context"] - memory.parts["reserve"]
    assert memory.allocated_bytes <= memory.reserved_bytes <= memory.total_bytes
    assert 0 < memory.low_bytes <= memory.total_bytes <= memory.high_bytes
    assert memory.parts["context"] >= CONTEXT_BYTES


@many
@given(model=MODELS, setup=SETUPS, more=st.integers(1, 64))
def test_a_larger_micro_batch_needs_more(model: Model, setup: Setup, more: int) -> None:
    """Memory never falls when a pass has more sequences or longer ones: bisection over micro-batches is sound."""
    small = estimate_memory(model, setup)
    for larger in (
        replace(setup, micro_batch=setup.micro_batch + more),
        replace(setup, context=setup.context + 16 * more),
    ):
        large = estimate_memory(model, larger)
        assert large.total_bytes >= small.total_bytes
        assert large.high_bytes >= small.high_bytes


@many
@given(model=MODELS, setup=SETUPS)
def test_what_saves_memory_saves_it(model: Model, setup: Setup) -> None:
    """Checkpointing, compilation, sharding, adapters and 8-bit states never need more than their plain counterparts."""

    def allocated(**changed: Any) -> int:
        return estimate_memory(model, replace(setup, **changed)).allocated_bytes

    assert allocated(checkpointing="full") <= allocated(checkpointing="none")
    assert allocated(compiled=True, loss="eager") <= allocated(compiled=False, loss="eager")
    states = [model_states(model, replace(setup, sharding=s, data_parallel=8)) for s in ("ddp", "zero1", "zero2")]
    assert states[0].optimizer >= states[1].optimizer == states[2].optimizer
    assert states[1].gradients >= states[2].gradients
    # Every matrix has an adapter here: each keeps its product with the down projection beside the input.
    assert allocated(lora_rank=8, dropout=0.0) <= allocated(lora_rank=0, dropout=0.0) * 1.05
    assert allocated(optimizer="adamw_8bit") <= allocated(optimizer="adamw")
    assert allocated(flash=True, checkpointing="none") <= allocated(flash=False, checkpointing="none")


@pytest.mark.parametrize(
    ("precision", "optimizer", "fp32_states", "weights", "gradients", "states"),
    [
        ("amp_bf16", "adamw", False, 4, 4, 8),
        ("fp32", "adamw", False, 4, 4, 8),
        ("bf16", "adamw", False, 2, 2, 4),
        ("bf16", "adamw", True, 4, 4, 8),
        ("amp_fp16", "lion", False, 4, 4, 4),
        ("bf16", "lion", False, 2, 2, 2),
        ("amp_bf16", "sgd", False, 4, 4, 0),
        ("amp_bf16", "adamw_8bit", False, 4, 4, 2 + 8 / 256),
    ],
)
def test_bytes_per_parameter(
    precision: Precision, optimizer: Optimizer, fp32_states: bool, weights: float, gradients: float, states: float
) -> None:
    """Weights, gradients and states take what their types take."""
    setup = Setup(micro_batch=1, context=8, precision=precision, optimizer=optimizer, fp32_states=fp32_states)
    found, count = model_states(LLAMA, setup), count_parameters(LLAMA).total
    assert found.weights / count == weights
    assert found.gradients / count == gradients
    assert found.optimizer / count == pytest.approx(states, rel=1e-6)


def test_muon_keeps_one_moment_of_the_matrices() -> None:
    """Muon: one value for each entry of a matrix of the layers, AdamW's two for the rest."""
    setup = Setup(micro_batch=1, context=8, optimizer="muon")
    hidden = 12 * 12 * 768**2
    assert model_states(GPT2, setup).optimizer == 4 * hidden + 8 * (count_parameters(GPT2).total - hidden)


@pytest.mark.parametrize(
    ("sharding", "weights", "gradients", "states"),
    [("ddp", 1, 1, 1), ("zero1", 1, 1, 8), ("zero2", 1, 8, 8), ("fsdp", 8, 8, 8)],
)
def test_sharding_divides(sharding: Sharding, weights: int, gradients: int, states: int) -> None:
    """ZeRO's stages divide optimiser states, then gradients, then weights, by the ranks (Rajbhandari et al. 2020, figure 1)."""
    whole = model_states(LLAMA, Setup(micro_batch=1, context=8))
    found = model_states(LLAMA, Setup(micro_batch=1, context=8, sharding=sharding, data_parallel=8))
    assert found.weights == pytest.approx(whole.weights / weights, abs=1)
    assert found.gradients == pytest.approx(whole.gradients / gradients, abs=1)
    assert found.optimizer == pytest.approx(whole.optimizer / states, abs=1)


@pytest.mark.parametrize(("bits", "per_weight"), [(16, 2.0), (8, 1.0), (4, 0.5625)])
def test_frozen_weights(bits: int, per_weight: float) -> None:
    """Under LoRA the matrices of the layers take their bits; embedding, head and norms 2 bytes; adapters alone have states."""
    setup = Setup(micro_batch=1, context=8, precision="bf16", lora_rank=8, frozen_bits=bits)
    found, groups = model_states(LLAMA, setup), parameter_groups(LLAMA)
    adapters = count_adapters(LLAMA, rank=8)
    assert found.weights == pytest.approx(
        per_weight * groups.hidden + 2 * (groups.total - groups.hidden) + 2 * adapters, abs=1
    )
    assert (found.gradients, found.optimizer) == (2 * adapters, 4 * adapters)


def test_groups_add_up_to_the_parameters() -> None:
    """Parameters by what memory asks of them add up to the exact count."""
    for model in (GPT2, LLAMA, build({"model_type": "gpt2"})):
        assert parameter_groups(model).total == count_parameters(model).total


def test_korthikanti_in_half_precision() -> None:
    """Korthikanti et al. 2022: 34 bytes per token and width in fp16 with two dropout masks; here 32, two masks, statistics.

    They count GELU's and every matrix's input, no attention scores (selective recomputation), as fused attention has none.
    """
    model = build({"model_type": "gpt2", "n_embd": 768, "n_layer": 24})
    setup = Setup(micro_batch=1, context=1024, precision="bf16", dropout=0.1)
    statistics = 2 * 8 + 4 * 12
    assert activation_slopes(model, setup).blocks == 24 * (34 * 768 + statistics)


def test_a_pipeline_holds_as_many_passes_as_stages() -> None:
    """1F1B: the first stage of four holds four passes of a quarter of the layers, and no logits."""
    one = Setup(micro_batch=1, context=8192, gradient_accumulation_steps=16, loss="fused")
    four = replace(one, pipeline_parallel=4)
    slopes = activation_slopes(LLAMA, one)
    whole, staged = estimate_memory(LLAMA, one), estimate_memory(LLAMA, four)
    assert staged.parts["logits"] == 0
    assert staged.parts["activations"] == pytest.approx(8192 * slopes.blocks, rel=0.001)
    assert staged.parts["weights"] == pytest.approx(whole.parts["weights"] / 4, abs=1)


def test_the_allocator_gives_back_before_the_card_is_full() -> None:
    """On a card, the reserve ends where the card does, but never below what lies in partly used blocks."""
    setup = nanogpt(16, compiled=True)
    free = estimate_memory(GPT2, setup)
    held = estimate_memory(GPT2, setup, device_memory_bytes=CARD)
    tight = estimate_memory(GPT2, setup, device_memory_bytes=8 * GIB)
    assert tight.parts["reserve"] < held.parts["reserve"] < free.parts["reserve"]
    assert held.total_bytes == CARD
    assert tight.parts["reserve"] == pytest.approx(0.03 * tight.allocated_bytes, rel=0.001)


def test_a_state_space_layer() -> None:
    """Mamba-2's fused kernel keeps the layer's input, what is projected from it, its output, and what the end reads."""
    inner, projected = 512, 2 * 512 + 2 * 64 + 8
    ssm = Ssm(8, 64, 64, 1, 256, 4, inner + 128, (Linear("in_proj", 256, projected), Linear("out_proj", inner, 256)))
    block = Block(ssm, None, (Norm(256, "rms"),))
    model = Model(
        "m", 256, 100, None, (Table("embedding", 100, 256),), (Stack(block, 3),), (), Linear("h", 256, 100), True
    )
    found = activation_slopes(model, Setup(micro_batch=1, context=8, precision="bf16")).blocks
    assert found == 3 * 2 * (256 + 256 + projected + inner + inner) + 3 * 4
