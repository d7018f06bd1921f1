"""The micro-batch: exactly the tokens of a step, within the memory there is, and the trainer's way where there is less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.architectures import build
from auscult.errors import UsageError
from auscult.facts.memory import USABLE_FRACTION, estimate_memory
from auscult.facts.parameters import count_parameters
from auscult.facts.roofline import estimate_step
from auscult.facts.setup import Setup
from auscult.hardware import find_gpu
from auscult.preflight import MicroBatch, choose_micro_batch
from auscult.preflight.blueprint import blueprint_of, setup_of
from auscult.preflight.micro_batch import CPU_TOKENS, MOST_TOKENS, SAME_SPEED, nearest_that_fits, roofline_of
from auscult.recipe import BatchSettings, MachineSettings, ModelSettings, TrainingRecipe, model_settings

GIB = 2**30
SMALL = model_settings(n_layer=6, n_head=6, d_model=384, vocab_size=256, context=256)
XL = model_settings(n_layer=48, n_head=25, d_model=1600)


def recipe(model: ModelSettings | None = None, *, sequences: int = 480, **more: Any) -> TrainingRecipe:
    made = TrainingRecipe(model=model or ModelSettings(), **more)
    batch = replace(made.batch, tokens_per_step=sequences * made.model.context)
    return replace(made, batch=batch)


def choose(asked: TrainingRecipe, gib: float | None = 12, **more: Any) -> MicroBatch:
    memory = None if gib is None else round(gib * GIB)
    return choose_micro_batch(
        asked, **{"world_size": 1, "memory_bytes": memory, "device": "cuda", "compiled": True, **more}
    )


@given(
    per_rank=st.integers(1, 600),
    world_size=st.integers(1, 9),
    gib=st.one_of(st.none(), st.floats(0.5, 200)),
    device=st.sampled_from(["cuda", "cpu"]),
    compiled=st.booleans(),
    card=st.sampled_from([None, "RTX 4070", "H100 SXM", "T4"]),
    family=st.sampled_from(["gpt2", "modern"]),
    layers=st.integers(1, 40),
)
def test_a_step_has_exactly_its_tokens(
    per_rank: int,
    world_size: int,
    gib: float | None,
    device: str,
    compiled: bool,
    card: str | None,
    family: str,
    layers: int,
) -> None:
    """Whatever the machine, the passes of all ranks add up to the step, and so they do when the trainer steps down."""
    model = model_settings(family=family, n_layer=layers, n_head=4, d_model=256, context=512)
    asked = recipe(model, sequences=per_rank * world_size)
    gpu = find_gpu(card) if card is not None else None
    found = choose(asked, gib, world_size=world_size, device=device, compiled=compiled, gpu=gpu)
    passes = found.micro_batch * found.gradient_accumulation_steps * world_size
    assert passes * model.context == asked.batch.tokens_per_step
    assert found.candidates[0] == found.micro_batch
    assert found.candidates[-1] == 1
    assert list(found.candidates) == [n for n in range(found.micro_batch, 0, -1) if per_rank % n == 0]
    if gib is None:
        assert found.estimated_bytes is found.limit_bytes is None
    elif found.fits:
        assert found.estimated_bytes is not None
        assert found.limit_bytes is not None
        assert found.estimated_bytes <= found.limit_bytes < gib * GIB
    else:
        assert (found.micro_batch, found.cross_entropy) == (1, "chunked")


@pytest.mark.parametrize("gib", [6, 8, 12, 16, 24, 40])
@pytest.mark.parametrize("compiled", [True, False])
def test_without_a_name_the_largest_that_fits_is_taken(gib: int, compiled: bool) -> None:
    """Compared with every divisor, estimated one by one: none that is larger fits with its upper end, and this one does."""
    asked = recipe()
    found = choose(asked, gib, compiled=compiled)
    limit = USABLE_FRACTION * gib * GIB
    model = build({"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50304})

    def high(micro_batch: int) -> int:
        setup = Setup(micro_batch, 1024, 480 // micro_batch, compiled=compiled)
        return estimate_memory(model, setup).high_bytes

    fitting = [n for n in range(1, 481) if 480 % n == 0 and n * 1024 <= MOST_TOKENS and high(n) <= limit]
    assert found.cross_entropy == "full"
    assert found.micro_batch == max(fitting)
    assert (
        found.estimated_bytes
        == estimate_memory(
            model, Setup(found.micro_batch, 1024, 480 // found.micro_batch, compiled=compiled)
        ).total_bytes
    )


@pytest.mark.parametrize("name", ["RTX 4070", "RTX 3060", "A100 SXM 80GB", "H100 SXM", "H200"])
def test_on_a_known_card_no_larger_one_is_much_faster(name: str) -> None:
    """The smallest is taken that comes within 3 % of the fastest which fits: the next smaller does not."""
    gpu = find_gpu(name)
    assert gpu is not None
    assert gpu.memory_bytes is not None
    asked = recipe()
    found = choose(asked, gpu.memory_bytes / GIB, gpu=gpu)
    device, model = roofline_of(asked, gpu, 1), blueprint_of(asked.model)
    assert device is not None

    def seconds(micro_batch: int) -> float:
        setup = setup_of(asked, micro_batch, world_size=1, device="cuda", compiled=True, chunked=False)
        return estimate_step(model, setup, device).seconds

    def high(micro_batch: int) -> int:
        setup = setup_of(asked, micro_batch, world_size=1, device="cuda", compiled=True, chunked=False)
        return estimate_memory(model, setup).high_bytes

    fitting = [n for n in range(1, 481) if 480 % n == 0 and high(n) <= USABLE_FRACTION * gpu.memory_bytes]
    close = [n for n in fitting if seconds(n) <= (1 + SAME_SPEED) * min(map(seconds, fitting))]
    assert found.micro_batch == min(close)


@pytest.mark.parametrize(
    ("sequences", "context", "expected"), [(12, 256, 12), (480, 1024, 4), (17, 256, 1), (3, 8192, 1)]
)
def test_a_cpu_gets_passes_of_at_most_4096_tokens(sequences: int, context: int, expected: int) -> None:
    """On a CPU the divisor nearest below 4,096 tokens is taken, and one sequence where even that is longer."""
    found = choose(recipe(replace(SMALL, context=context), sequences=sequences), 64, device="cpu")
    assert found.micro_batch == expected
    assert expected == 1 or expected * context <= CPU_TOKENS


def test_a_cpu_with_little_memory_gets_less() -> None:
    """Where the passes that are fastest do not fit in the computer's memory, smaller ones are taken."""
    wide = model_settings(n_layer=4, n_head=8, d_model=512, vocab_size=50304, context=256)
    roomy, tight = (choose(recipe(wide, sequences=16), gib, device="cpu", compiled=False) for gib in (32, 3))
    assert roomy.micro_batch == 16
    assert tight.fits
    assert tight.micro_batch < 16


def test_where_logits_are_what_does_not_fit_the_loss_is_chunked() -> None:
    """A small model with a large vocabulary and long sequences fits only with a loss that never holds all logits."""
    model = model_settings(n_layer=4, n_head=4, d_model=256, vocab_size=262_144, context=8192)
    found = choose(recipe(model, sequences=8), 8, compiled=False)
    assert (found.cross_entropy, found.fits) == ("chunked", True)
    full = choose(recipe(model, sequences=8, machine=MachineSettings(cross_entropy="full")), 8, compiled=False)
    assert (full.cross_entropy, full.fits) == ("full", False)


@pytest.mark.parametrize("asked", ["full", "chunked"])
def test_the_recipe_may_fix_the_loss(asked: Any) -> None:
    """A recipe that says how the loss is computed gets it so."""
    assert choose(recipe(machine=MachineSettings(cross_entropy=asked))).cross_entropy == asked


def test_the_recipes_micro_batch_is_taken_where_it_fits() -> None:
    """A recipe's own micro-batch is kept where it fits, and reduced where it does not, the tokens kept either way."""
    asked = recipe()
    asked = replace(asked, batch=replace(asked.batch, micro_batch=16))
    assert (choose(asked, 24).micro_batch, choose(asked, 24).why) == (16, "as the recipe says")
    less = choose(asked, 8)
    assert less.micro_batch < 16
    assert less.micro_batch * less.gradient_accumulation_steps == 480
    assert "16 would not fit" in less.why
    assert choose(asked, None).micro_batch == 16


def test_ranks_that_cannot_share_a_step_are_told_what_they_can() -> None:
    """480 sequences on 7 ranks: the nearest tokens per step that are whole on each of them are named, and they do."""
    with pytest.raises(UsageError, match="487424 or 494592") as caught:
        choose(recipe(), world_size=7)
    assert "tokens_per_step = 491,520" in str(caught.value)
    for tokens in (487_424, 494_592):
        assert choose(TrainingRecipe(batch=BatchSettings(tokens)), world_size=7).micro_batch


def test_a_micro_batch_that_no_rank_can_take_is_refused() -> None:
    """480 sequences on 4 ranks are 120 each: 16 divides the step, but not the share of a rank."""
    asked = recipe()
    asked = replace(asked, batch=replace(asked.batch, micro_batch=16))
    with pytest.raises(UsageError, match="choose 15 or 20"):
        choose(asked, world_size=4)


@pytest.mark.parametrize(
    ("model", "gib", "world_size", "said"),
    [
        (XL, 12, 1, "n_layer = 14"),
        (XL, 12, 8, 'sharding = "fsdp"'),
        (model_settings(n_layer=16, n_head=8, d_model=512, context=32_768, vocab_size=256), 8, 1, "checkpointing"),
    ],
)
def test_the_nearest_that_fits_does_fit(model: ModelSettings, gib: int, world_size: int, said: str) -> None:
    """What is offered in place of a model that does not fit fits itself, and one layer more would not."""
    asked = recipe(model)
    assert not choose(asked, gib, world_size=world_size).fits
    machine = {"world_size": world_size, "memory_bytes": gib * GIB, "device": "cuda", "compiled": True}
    found = nearest_that_fits(asked, **machine)  # type: ignore[arg-type]  # one mapping for both calls
    assert found is not None
    changed, words = found
    assert said in words
    assert choose(changed, gib, world_size=world_size).fits
    if "n_layer" in words:
        more = replace(changed, model=replace(changed.model, n_layer=changed.model.n_layer + 1))
        assert not choose(more, gib, world_size=world_size).fits


def test_nothing_is_offered_where_nothing_fits() -> None:
    """A width whose single layer exceeds the card has no nearest."""
    huge = model_settings(n_layer=4, n_head=64, d_model=16_384)
    machine = {"world_size": 1, "memory_bytes": 4 * GIB, "device": "cuda", "compiled": True}
    assert nearest_that_fits(recipe(huge), **machine) is None  # type: ignore[arg-type]  # see the line above


@given(
    n_layer=st.integers(1, 24),
    heads=st.integers(1, 8),
    width=st.integers(1, 16),
    vocab_size=st.integers(2, 60_000),
    context=st.integers(1, 4096),
    bias=st.booleans(),
)
def test_a_gpt2_recipe_is_a_gpt2(
    n_layer: int, heads: int, width: int, vocab_size: int, context: int, bias: bool
) -> None:
    """The blueprint of family gpt2 counts and weighs as that drawn from a config of transformers."""
    d_model = 8 * heads * width
    ours = blueprint_of(
        model_settings(
            n_layer=n_layer, n_head=heads, d_model=d_model, vocab_size=vocab_size, context=context, bias=bias
        )
    )
    theirs = build(
        {
            "model_type": "gpt2",
            "n_layer": n_layer,
            "n_head": heads,
            "n_embd": d_model,
            "vocab_size": vocab_size,
            "n_positions": context,
            "bias": bias,
        }
    )
    assert count_parameters(ours) == count_parameters(theirs)
    setup = Setup(2, context, 2, compiled=True)
    assert estimate_memory(ours, setup).total_bytes == estimate_memory(theirs, setup).total_bytes
