"""Parameter counts against two oracles: transformers' GPT-2, and nanoGPT's parameter list in torch modules."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.facts.parameters import (
    GPT2_VOCABS,
    STANDARD_MODELS,
    closest_width,
    count_gpt2,
    infer_vocab_and_bias,
    nearest_standard,
    tensor_shapes,
)


def transformers_count(n_layer: int, n_head: int, d_model: int, vocab_size: int, context: int) -> int:
    """Count transformers' GPT2LMHeadModel on the meta device; ``parameters()`` gives the tied head once."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=n_layer, n_head=n_head, n_embd=d_model, vocab_size=vocab_size, n_positions=context
    )
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(config)
    assert model.lm_head.weight is model.transformer.wte.weight
    return sum(int(p.numel()) for p in model.parameters())


def nanogpt_module(n_layer: int, d_model: int, vocab_size: int, context: int, bias: bool) -> Any:
    """Build nanoGPT's module tree (model.py: GPT, Block, CausalSelfAttention, MLP, LayerNorm) on the meta device."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    c = d_model

    def block() -> Any:
        return nn.ModuleDict(
            {
                "ln_1": nn.LayerNorm(c, bias=bias),
                "attn": nn.ModuleDict({"c_attn": nn.Linear(c, 3 * c, bias=bias), "c_proj": nn.Linear(c, c, bias=bias)}),
                "ln_2": nn.LayerNorm(c, bias=bias),
                "mlp": nn.ModuleDict(
                    {"c_fc": nn.Linear(c, 4 * c, bias=bias), "c_proj": nn.Linear(4 * c, c, bias=bias)}
                ),
            }
        )

    with torch.device("meta"):
        model = nn.ModuleDict(
            {
                "transformer": nn.ModuleDict(
                    {
                        "wte": nn.Embedding(vocab_size, c),
                        "wpe": nn.Embedding(context, c),
                        "h": nn.ModuleList([block() for _ in range(n_layer)]),
                        "ln_f": nn.LayerNorm(c, bias=bias),
                    }
                ),
                "lm_head": nn.Linear(c, vocab_size, bias=False),
            }
        )
        model["transformer"]["wte"].weight = model["lm_head"].weight
    return model


def printed_interval(count: int) -> tuple[int, int]:
    """Return the counts that round to what nanoGPT prints: ``"number of parameters: %.2fM" % (count / 1e6,)``."""
    hundredths = round(float(f"{count / 1e6:.2f}") * 100)
    return hundredths * 10_000 - 5_000, hundredths * 10_000 + 5_000


@pytest.mark.parametrize(
    ("n_layer", "n_head", "d_model"), [(12, 12, 768), (24, 16, 1024), (36, 20, 1280), (48, 25, 1600)]
)
def test_published_sizes_equal_transformers(n_layer: int, n_head: int, d_model: int) -> None:
    """The four published GPT-2 sizes have exactly the parameters that transformers gives them, the tied head once."""
    ours = count_gpt2(n_layer=n_layer, d_model=d_model, vocab_size=50_257, context=1024, bias=True)
    assert ours.total == transformers_count(n_layer, n_head, d_model, 50_257, 1024)


@settings(database=None, derandomize=True, deadline=None, max_examples=12)
@given(
    n_layer=st.integers(1, 4),
    n_head=st.integers(1, 5),
    head_size=st.integers(1, 16),
    vocab_size=st.integers(2, 400),
    context=st.integers(1, 80),
)
def test_small_shapes_equal_transformers(
    n_layer: int, n_head: int, head_size: int, vocab_size: int, context: int
) -> None:
    """The count equals transformers' for any small shape, so no term is right only at the published sizes."""
    d_model = n_head * head_size
    ours = count_gpt2(n_layer=n_layer, d_model=d_model, vocab_size=vocab_size, context=context, bias=True)
    assert ours.total == transformers_count(n_layer, n_head, d_model, vocab_size, context)


SHAPES = [(12, 384, 50_304, 1024), (12, 768, 50_257, 1024), (1, 8, 11, 5), (6, 48, 65, 256)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("n_layer", "d_model", "vocab_size", "context"), SHAPES)
def test_counts_equal_the_module_tree(n_layer: int, d_model: int, vocab_size: int, context: int, bias: bool) -> None:
    """With and without biases, each part of the count equals the parameters of that part of nanoGPT's module tree."""
    model = nanogpt_module(n_layer, d_model, vocab_size, context, bias)
    ours = count_gpt2(n_layer=n_layer, d_model=d_model, vocab_size=vocab_size, context=context, bias=bias)

    def size(*marks: str) -> int:
        return sum(int(p.numel()) for name, p in model.named_parameters() if any(mark in name for mark in marks))

    assert ours.total == sum(int(p.numel()) for p in model.parameters())
    assert (ours.embedding, ours.position) == (size("wte"), size("wpe"))
    assert (ours.attention, ours.mlp, ours.norms) == (size(".attn."), size(".mlp."), size("ln_"))
    assert ours.without_position == ours.total - context * d_model
    assert ours.non_embedding == size(".h.", "ln_f")


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("n_layer", "d_model", "vocab_size", "context"), SHAPES)
def test_tensor_shapes_equal_the_state_dict(
    n_layer: int, d_model: int, vocab_size: int, context: int, bias: bool
) -> None:
    """Names, shapes and number of tensors equal the state_dict without lm_head, and add up to the total."""
    state = nanogpt_module(n_layer, d_model, vocab_size, context, bias).state_dict()
    expected = {name: tuple(t.shape) for name, t in state.items() if not name.startswith("lm_head")}
    shapes = tensor_shapes(n_layer=n_layer, d_model=d_model, vocab_size=vocab_size, context=context, bias=bias)
    assert shapes == expected
    total = count_gpt2(n_layer=n_layer, d_model=d_model, vocab_size=vocab_size, context=context, bias=bias).total
    assert sum(math.prod(shape) for shape in shapes.values()) == total


@settings(database=None, derandomize=True, deadline=None, max_examples=300)
@given(
    n_layer=st.integers(1, 96),
    d_model=st.integers(1, 200).map(lambda k: 16 * k),
    vocab_size=st.sampled_from(GPT2_VOCABS),
    bias=st.booleans(),
)
def test_a_printed_count_never_excludes_the_truth(n_layer: int, d_model: int, vocab_size: int, bias: bool) -> None:
    """Whatever the shape, the vocabulary and bias behind a printed count are among those inferred from it."""
    count = count_gpt2(
        n_layer=n_layer, d_model=d_model, vocab_size=vocab_size, context=1024, bias=bias
    ).without_position
    pairs = infer_vocab_and_bias(printed_interval(count), n_layer=n_layer, d_model=d_model, context=1024)
    assert (vocab_size, bias) in pairs


def test_the_first_cases_count_proves_vocab_and_bias() -> None:
    """The 12 x 384 model that prints 40.56M can only have the padded vocabulary and no biases."""
    interval = printed_interval(40_560_000)
    assert interval == (40_555_000, 40_565_000)
    assert infer_vocab_and_bias(interval, n_layer=12, d_model=384, context=1024) == [(50_304, False)]


def test_another_shapes_count_infers_nothing() -> None:
    """A count that no GPT-2 vocabulary explains at this shape gives no pair, rather than the nearest one."""
    assert infer_vocab_and_bias(printed_interval(123_590_000), n_layer=12, d_model=384, context=1024) == []


@pytest.mark.parametrize("model", STANDARD_MODELS, ids=lambda m: m.name)
def test_a_standard_model_is_nearest_to_itself(model: Any) -> None:
    """Each published size is recognised, with nothing that differs."""
    assert nearest_standard(model.n_layer, model.n_head, model.d_model) == (model, {})


@settings(database=None, derandomize=True, deadline=None, max_examples=40)
@given(n_head=st.sampled_from([1, 2, 4, 8, 12, 16]), multiple=st.integers(1, 12), n_layer=st.integers(1, 24))
def test_closest_width_inverts_the_count(n_head: int, multiple: int, n_layer: int) -> None:
    """The width whose count is the target is found again, and is a multiple of 64 that the heads divide."""
    width = math.lcm(64, n_head) * multiple
    target = count_gpt2(n_layer=n_layer, d_model=width, vocab_size=50_304, context=1024, bias=False).total
    assert closest_width(target, n_layer=n_layer, n_head=n_head, vocab_size=50_304, context=1024, bias=False) == width


def test_closest_width_refuses_what_no_width_reaches() -> None:
    """A target below the smallest width by more than 15 % gives None, not the least bad width."""
    assert closest_width(1_000_000, n_layer=12, n_head=12, vocab_size=50_304, context=1024, bias=False) is None
