"""FLOPs by part against published formulas, and what must hold of every model."""

from __future__ import annotations

import timeit
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.architectures import Attention, Experts, Linear, Mlp, Ssm, build
from auscult.facts.flops import Convention, FlopParts, count_flops, flops_per_token
from auscult.facts.parameters import count_adapters, count_parameters
from auscult.facts.setup import Checkpointing
from drawn_models import drawn

NANOGPT = {"model_type": "gpt2", "n_layer": 12, "n_head": 6, "n_embd": 384, "vocab_size": 50304, "bias": False}
CONVENTIONS: tuple[Convention, ...] = ("palm", "causal", "nanogpt", "llm_foundry")

heads = st.integers(1, 8)
contexts = st.integers(1, 4096)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A GPT-2 or a Llama with grouped heads, of any shape."""
    n_layer, n_kv, group, head = (draw(st.integers(1, most)) for most in (6, 4, 4, 32))
    width, ffn, vocab = n_kv * group * head, draw(st.integers(1, 300)), draw(st.integers(1, 2000))
    if draw(st.booleans()):
        return {
            "model_type": "gpt2",
            "n_layer": n_layer,
            "n_head": n_kv * group,
            "n_embd": width,
            "n_inner": ffn,
            "vocab_size": vocab,
            "bias": draw(st.booleans()),
        }
    return {
        "model_type": "llama",
        "num_hidden_layers": n_layer,
        "num_attention_heads": n_kv * group,
        "num_key_value_heads": n_kv,
        "hidden_size": width,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "tie_word_embeddings": draw(st.booleans()),
    }


def attention(**changes: Any) -> Attention:
    return replace(Attention(2, 1, 4, 4, (Linear("qkv", 8, 16), Linear("o", 8, 8))), **changes)


@given(config=configs(), context=contexts)
def test_palms_formula(config: dict[str, Any], context: int) -> None:
    """PaLM's appendix B: 6 FLOPs per matmul weight and 12·L·H·Q·T, for whatever matrices there are."""
    model = build(config)
    per_layer = model.stacks[0].block.mixer
    assert isinstance(per_layer, Attention)
    scores = 12 * model.n_layer * per_layer.n_head * per_layer.qk_dim * context
    assert count_flops(model, context=context).training == 6 * count_parameters(model).matmul + scores


@pytest.mark.parametrize(
    ("n_layer", "n_head", "d", "vocab", "context"),
    [(96, 96, 12288, 51200, 2048), (24, 16, 2304, 51200, 2048), (128, 160, 25600, 51200, 2048)],
)
def test_narayanans_formula(n_layer: int, n_head: int, d: int, vocab: int, context: int) -> None:
    """Narayanan et al. 2021 (arXiv:2104.04473, section 5): with full recomputation, 96·L·h²·(1 + s/6h + V/16Lh) a token."""
    model = build({"model_type": "gpt2", "n_layer": n_layer, "n_head": n_head, "n_embd": d, "vocab_size": vocab})
    formula = 96 * n_layer * d**2 + 16 * n_layer * d * context + 6 * d * vocab
    assert count_flops(model, context=context, checkpointing="full").hardware == formula


@given(config=configs(), context=contexts)
def test_llm_foundrys_formula(config: dict[str, Any], context: int) -> None:
    """llm-foundry's flops_per_batch: 3·(2N + 4·L·d·s) a token with all parameters but an untied input table; 4 with full."""
    model = build(config)
    count = count_parameters(model)
    params = count.total - (0 if model.tied else count.embedding)
    one_pass = 2 * params + 4 * model.n_layer * model.d_model * context
    flops = count_flops(model, context=context, convention="llm_foundry", checkpointing="full")
    assert flops.training == 3 * one_pass
    assert flops.hardware == 4 * one_pass


@given(config=configs().filter(lambda c: c["model_type"] == "gpt2"), context=contexts)
def test_nanogpts_formula(config: dict[str, Any], context: int) -> None:
    """NanoGPT's convention is its estimate_mfu, which works from the parameter count alone."""
    model = build(config)
    formula = flops_per_token(
        params_without_position=count_parameters(model).without_position,
        n_layer=model.n_layer,
        d_model=model.d_model,
        context=context,
    )
    assert count_flops(model, context=context, convention="nanogpt").training == formula


def test_the_first_case() -> None:
    """The run of the first case: 299,983,104 FLOPs per token by nanoGPT's count, norms' 6 x 9,600 fewer by matrices alone."""
    model = build(NANOGPT)
    assert count_flops(model, context=1024, convention="nanogpt").training == 299_983_104
    assert count_flops(model, context=1024).training == 299_983_104 - 6 * 25 * 384


@given(config=configs(), context=contexts, convention=st.sampled_from(CONVENTIONS))
def test_passes(config: dict[str, Any], context: int, convention: Convention) -> None:
    """Backward is twice forward part by part; nothing recomputed is nothing added; parts sum to their total."""
    flops = count_flops(build(config), context=context, convention=convention)
    for name in FlopParts.__slots__:
        assert getattr(flops.backward, name) == 2 * getattr(flops.forward, name)
    assert flops.training == 3 * flops.forward.total == flops.hardware
    assert flops.forward.total == sum(getattr(flops.forward, name) for name in FlopParts.__slots__)
    assert flops.recomputed == FlopParts()


@given(config=configs(), context=contexts)
def test_recomputation(config: dict[str, Any], context: int) -> None:
    """Full checkpointing computes the layers once more, never the head; selective every second of them, rounded down."""
    model = build(config)

    def again(checkpointing: Checkpointing) -> FlopParts:
        return count_flops(model, context=context, checkpointing=checkpointing).recomputed

    forward = count_flops(model, context=context).forward
    assert again("full") == replace(forward, head=0)
    assert again("selective").total * model.n_layer == forward.layers * (model.n_layer // 2)


def test_recomputation_of_every_part() -> None:
    """Every kind of layer is computed again, adapters included; nothing outside the layers is."""
    expert = Mlp(5, False, (Linear("up", 8, 5), Linear("down", 5, 8)))
    ssm = Ssm(4, 16, 8, 2, 256, 4, 96, (Linear("in_proj", 8, 164), Linear("out_proj", 64, 8)))
    parts = (
        drawn(ssm, Experts(6, 2, expert, Linear("gate", 8, 6), shared=expert)),
        drawn(attention(), expert),
    )
    stacks = tuple(stack for model in parts for stack in model.stacks)
    model = replace(parts[0], stacks=stacks, linears=(Linear("transform", 8, 8),))
    full = count_flops(model, context=7, checkpointing="full", lora_rank=2)
    assert all(getattr(full.forward, name) for name in FlopParts.__slots__ if name != "uncounted_weights")
    assert full.forward.transforms == 2 * 64
    assert full.recomputed == replace(full.forward, head=0, transforms=0)
    half = count_flops(model, context=7, checkpointing="selective", lora_rank=2)
    assert 2 * half.recomputed.total == full.recomputed.total


@given(config=configs(), context=contexts)
def test_selective_checkpointing_recomputes_no_head(config: dict[str, Any], context: int) -> None:
    """Llm-foundry's whole further pass is its convention for full checkpointing only."""
    recomputed = count_flops(
        build(config), context=context, convention="llm_foundry", checkpointing="selective"
    ).recomputed
    assert recomputed.head == recomputed.uncounted_weights == 0


@given(config=configs(), times=st.integers(2, 5), context=contexts)
def test_layers_add_up(config: dict[str, Any], times: int, context: int) -> None:
    """The layers' FLOPs are linear in their number; the head's do not depend on it."""
    model = build(config)
    taller = replace(model, stacks=tuple(replace(stack, count=times * stack.count) for stack in model.stacks))
    few, many = (count_flops(m, context=context).forward for m in (model, taller))
    assert many.layers == times * few.layers
    assert many.head == few.head


@given(config=configs(), context=contexts)
def test_the_causal_half(config: dict[str, Any], context: int) -> None:
    """Without windows the causal discount halves the scores and touches nothing else."""
    model = build(config)
    whole, half = (count_flops(model, context=context, convention=c).forward for c in ("palm", "causal"))
    assert half == replace(whole, attention_scores=whole.attention_scores // 2)


@given(window=st.integers(1, 300), context=st.integers(1, 300))
def test_windows(window: int, context: int) -> None:
    """A window counts min(w, T) keys; discounted, within half a key of the mean over positions counted one by one."""
    model = drawn(attention(window=window), None, n_layer=1)
    width = 2 * (4 + 4)
    whole = count_flops(model, context=context).forward.attention_scores
    assert whole == 2 * width * min(window, context)
    exact = sum(min(position, window) for position in range(1, context + 1)) / context
    discounted = count_flops(model, context=context, convention="causal").forward.attention_scores
    assert abs(discounted / (2 * width) - exact) <= 0.5 + 1 / width


def test_nothing_is_discounted_where_every_token_sees_every_other() -> None:
    """In a masked language model the causal convention counts what PaLM's does."""
    model = drawn(attention(causal=False, window=3), None)
    assert count_flops(model, context=9, convention="causal") == count_flops(model, context=9)


def test_heads_of_two_widths() -> None:
    """Multi-head latent attention: d_qk for the scores and d_v for the values, and its five matrices as they are."""
    linears = (
        Linear("q_a_proj", 8, 3),
        Linear("q_b_proj", 3, 2 * 6),
        Linear("kv_a_proj_with_mqa", 8, 5 + 2),
        Linear("kv_b_proj", 5, 2 * (4 + 3)),
        Linear("o_proj", 2 * 3, 8),
    )
    flops = count_flops(drawn(Attention(2, 2, 6, 3, linears), None, n_layer=1), context=10)
    forward = flops.forward
    assert flops.flash_recomputed == 2 * 2 * 6 * 10
    assert forward.attention_scores == 2 * 2 * (6 + 3) * 10
    assert forward.attention_projections == 2 * (8 * 3 + 3 * 12 + 8 * 7 + 5 * 14 + 6 * 8)


@given(count=st.integers(2, 64), active=st.integers(1, 2), context=contexts)
def test_a_token_passes_the_active_experts_only(count: int, active: int, context: int) -> None:
    """Experts cost as many as are active whatever their number; the router grows with it; the shared part costs once."""
    expert = Mlp(5, True, (Linear("gate", 8, 5), Linear("up", 8, 5), Linear("down", 5, 8)))
    mixture = Experts(count, active, expert, Linear("gate", 8, count), shared=expert, shared_gate=Linear("g", 8, 1))
    forward = count_flops(drawn(attention(), mixture, n_layer=3), context=context).forward
    assert forward.experts == 3 * 2 * ((active + 1) * 3 * 40 + 8)
    assert forward.router == 3 * 2 * 8 * count
    assert forward.mlp == 0


def test_a_convention_of_all_parameters_counts_active_experts_only() -> None:
    """Under llm-foundry's convention a mixture's idle experts cost nothing either."""
    expert = Mlp(5, False, (Linear("up", 8, 5, True), Linear("down", 5, 8, True)))
    models = [drawn(None, Experts(n, 2, expert, Linear("gate", 8, n)), n_layer=1) for n in (4, 5)]
    four, five = (count_flops(m, context=1, convention="llm_foundry").forward.total for m in models)
    assert five - four == 2 * 8  # one more row of the router


@given(context=st.integers(1, 1000))
def test_a_chunk_is_no_longer_than_the_sequence(context: int) -> None:
    """Mamba-2's scan by hand: scores within chunks per group, values per head, states in and out, the convolution."""
    ssm = Ssm(4, 16, 8, 2, 256, 4, 96, (Linear("in_proj", 8, 164), Linear("out_proj", 64, 8)))
    forward = count_flops(drawn(ssm, None, n_layer=1), context=context).forward
    q = min(256, context)
    assert forward.ssm_scan == 2 * q * 8 * 2 + 2 * q * 4 * 16 + 4 * 4 * 16 * 8 + 2 * 4 * 96
    assert forward.ssm_projections == 2 * (8 * 164 + 64 * 8)
    assert forward.attention_scores == forward.attention_projections == 0


@given(config=configs(), rank=st.integers(1, 16), context=contexts)
def test_frozen_weights_have_no_gradient(config: dict[str, Any], rank: int, context: int) -> None:
    """LoRA: forward gains the adapters' 2 per weight; backward loses one of two passes of every frozen matrix."""
    model = build(config)
    full = count_flops(model, context=context)
    lora = count_flops(model, context=context, lora_rank=rank)
    adapters = 2 * count_adapters(model, rank=rank)
    assert lora.forward == replace(full.forward, adapters=adapters)
    matrices = full.forward.total - full.forward.attention_scores
    assert full.backward.total - lora.backward.total == matrices - 2 * adapters


def test_adapters_on_named_matrices() -> None:
    """Adapters are counted on the matrices that are named, of the experts that a token passes."""
    expert = Mlp(5, False, (Linear("up", 8, 5), Linear("down", 5, 8)))
    model = drawn(attention(), Experts(6, 2, expert, Linear("gate", 8, 6)), n_layer=3)
    flops = count_flops(model, context=4, lora_rank=7, lora_targets=("down", "o"))
    assert flops.forward.adapters == 3 * 2 * 7 * (2 * (5 + 8) + (8 + 8))


def test_adapters_on_everything() -> None:
    """Without names every matrix of the layers has one, router, shared expert and its gate included, as they are counted."""
    expert = Mlp(5, False, (Linear("up", 8, 5), Linear("down", 5, 8)))
    mixture = Experts(2, 2, expert, Linear("gate", 8, 2), shared=expert, shared_gate=Linear("shared_gate", 8, 1))
    model = drawn(attention(), mixture, n_layer=3)
    assert count_flops(model, context=4, lora_rank=7).forward.adapters == 2 * count_adapters(model, rank=7)


@given(config=configs(), context=contexts)
def test_flash_attention_computes_the_scores_once_more(config: dict[str, Any], context: int) -> None:
    """What FlashAttention's backward adds is queries times keys: half of the forward scores where d_qk is d_v."""
    flops = count_flops(build(config), context=context)
    assert 2 * flops.flash_recomputed == flops.forward.attention_scores


@pytest.mark.parametrize(
    "wrong", [{"context": 0}, {"context": 8, "lora_rank": -1}, {"context": 8, "convention": "megatron"}]
)
def test_callers_bugs(wrong: dict[str, Any]) -> None:
    """A context below 1, a negative rank and an unknown convention are refused."""
    with pytest.raises(ValueError, match="must be"):
        count_flops(build(NANOGPT), **wrong)


def test_the_planner_can_afford_it() -> None:
    """Counting a dense model takes less than 100 µs."""
    model = build({"model_type": "llama"})
    fastest = min(timeit.repeat(lambda: count_flops(model, context=4096), number=100, repeat=5)) / 100
    assert fastest < 100e-6
