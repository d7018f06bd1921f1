"""FLOPs against torch's counter, memory against the worked table of the measurements (planners.md §2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.facts.flops import flops_per_token
from auscult.facts.memory import CONTEXT_BYTES, MARGIN_FRACTION, TrainingMemory, estimate_training_memory
from auscult.facts.parameters import count_gpt2

GIB = 2**30


def test_the_first_cases_flops() -> None:
    """The 12 x 384 model costs 299,983,104 FLOPs per token: 6 x 40.56M + 12 x 12 x 384 x 1024."""
    count = count_gpt2(n_layer=12, d_model=384, vocab_size=50_304, context=1024, bias=False)
    flops = flops_per_token(params_without_position=count.without_position, n_layer=12, d_model=384, context=1024)
    assert flops == 299_983_104


@pytest.mark.parametrize(("n_layer", "d_model", "context"), [(2, 128, 64), (3, 192, 32)])
def test_flops_equal_torchs_counter(n_layer: int, d_model: int, context: int) -> None:
    """Forward and backward counted by torch equal 6·N_matmul + 12·L·d·T exactly, and our figure to 1 %.

    By hand, with C = d_model, L layers, V vocabulary, T context. Multiplying one token by a matrix of n weights takes
    2n FLOPs forward and 4n backward (the gradients of input and of weight), so 6n. The matrices are c_attn 3C²,
    c_proj C², c_fc 4C² and c_proj 4C² in each layer, and the head VC, which is tied to the token table but multiplies
    all the same: N_matmul = 12LC² + VC. Looking up wte and wpe multiplies nothing. Attention scores and their product
    with the values take 2·2·T·C forward per token and layer when nothing is skipped for causality, three times that
    with the backward: 12·L·C·T in all. The counter ignores norms and biases; N counts their parameters: the 1 %.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    flop_counter = pytest.importorskip("torch.utils.flop_counter")
    vocab_size, batch = 1024, 2
    config = transformers.GPT2Config(
        n_layer=n_layer,
        n_head=4,
        n_embd=d_model,
        vocab_size=vocab_size,
        n_positions=context,
        attn_implementation="eager",
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    model.train()
    tokens = torch.randint(0, vocab_size, (batch, context))
    with flop_counter.FlopCounterMode(display=False) as counter:
        model(input_ids=tokens, labels=tokens).loss.backward()
    counted = counter.get_total_flops() / (batch * context)

    n_matmul = 12 * n_layer * d_model**2 + vocab_size * d_model
    assert counted == 6 * n_matmul + 12 * n_layer * d_model * context
    count = count_gpt2(n_layer=n_layer, d_model=d_model, vocab_size=vocab_size, context=context, bias=True)
    ours = flops_per_token(
        params_without_position=count.without_position, n_layer=n_layer, d_model=d_model, context=context
    )
    assert ours == pytest.approx(counted, rel=0.01)


def memory(
    *,
    n_layer: int = 12,
    d_model: int = 768,
    n_head: int = 12,
    batch_size: int = 8,
    dropout: float = 0.0,
    dtype: str = "bfloat16",
    compiled: bool = True,
) -> TrainingMemory:
    """Estimate for GPT-2 with nanoGPT's padded vocabulary and a context of 1,024."""
    return estimate_training_memory(
        parameters=count_gpt2(n_layer=n_layer, d_model=d_model, vocab_size=50_304, context=1024, bias=False),
        n_layer=n_layer,
        n_head=n_head,
        d_model=d_model,
        vocab_size=50_304,
        context=1024,
        batch_size=batch_size,
        dropout=dropout,
        dtype=dtype,
        compiled=compiled,
    )


def before_context(estimate: TrainingMemory) -> float:
    return (estimate.total - estimate.context - estimate.margin) / GIB


@pytest.mark.parametrize(
    ("batch_size", "compiled", "total_gib"),
    [
        (4, False, 6.04),
        (8, False, 9.99),
        (16, False, 17.9),
        (4, True, 4.12),
        (8, True, 6.16),
        (16, True, 10.23),
        (32, True, 18.4),
    ],
)
def test_totals_of_the_worked_table(batch_size: int, compiled: bool, total_gib: float) -> None:
    """GPT-2 124M: the totals of planners.md §2, before context and fragmentation, within 1 %.

    Its slopes leave out the final norm and what the head reads, 6 bytes per token and width, which autograd does keep.
    """
    assert before_context(memory(batch_size=batch_size, compiled=compiled)) == pytest.approx(total_gib, rel=0.01)


@pytest.mark.parametrize(("batch_size", "activations", "logits_eager"), [(4, 1.27, 2.69), (8, 2.54, 5.37)])
def test_parts_of_the_worked_table(batch_size: int, activations: float, logits_eager: float) -> None:
    """GPT-2 124M: weights with their optimiser, activations and eager logits of planners.md §2, within 1.5 %."""
    eager = memory(batch_size=batch_size, compiled=False)
    static = eager.weights + eager.gradients + eager.optimizer + eager.autocast_copies
    assert static / GIB == pytest.approx(2.08, abs=0.01)
    assert eager.activations / GIB == pytest.approx(activations, rel=0.015)
    assert eager.logits / GIB == pytest.approx(logits_eager, abs=0.01)


def test_the_first_case_fits_only_when_compiled() -> None:
    """The 40M model at micro-batch 16 with dropout: 14.1 GiB eager and 6.4 GiB compiled, as planners.md §2 says."""
    eager = memory(d_model=384, batch_size=16, dropout=0.1, compiled=False)
    compiled = memory(d_model=384, batch_size=16, dropout=0.1, compiled=True)
    assert before_context(eager) == pytest.approx(14.1, abs=0.1)
    assert before_context(compiled) == pytest.approx(6.4, abs=0.1)


def test_parts_add_up_to_the_total() -> None:
    """The total is the sum of its parts, with the CUDA context and a margin in proportion to what is allocated."""
    estimate = memory()
    parts = estimate.parts()
    assert estimate.total == sum(parts.values())
    allocated = estimate.total - parts["context"] - parts["margin"]
    assert parts["context"] == CONTEXT_BYTES
    assert parts["margin"] == pytest.approx(MARGIN_FRACTION * allocated, abs=1)


SHAPE = {
    "n_layer": st.integers(1, 48),
    "d_model": st.integers(1, 25).map(lambda k: 64 * k),
    "dropout": st.sampled_from([0.0, 0.1]),
    "dtype": st.sampled_from(["bfloat16", "float16", "float32"]),
}


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(**SHAPE, batch_size=st.integers(1, 64), more=st.integers(1, 64), compiled=st.booleans())
def test_memory_grows_with_the_batch(
    n_layer: int, d_model: int, dropout: float, dtype: str, batch_size: int, more: int, compiled: bool
) -> None:
    """A larger micro-batch needs more memory, and only for activations, logits and margin."""
    small, large = (
        memory(n_layer=n_layer, d_model=d_model, dropout=dropout, dtype=dtype, batch_size=b, compiled=compiled)
        for b in (batch_size, batch_size + more)
    )
    assert large.total > small.total
    grown = {key for key, value in large.parts().items() if value != small.parts()[key]}
    assert grown == {"activations", "logits", "margin"}


@settings(database=None, derandomize=True, deadline=None, max_examples=80)
@given(**SHAPE, batch_size=st.integers(1, 64))
def test_compiling_never_needs_more_memory(
    n_layer: int, d_model: int, dropout: float, dtype: str, batch_size: int
) -> None:
    """torch.compile saves on the logits and changes nothing else."""
    eager, compiled = (
        memory(n_layer=n_layer, d_model=d_model, dropout=dropout, dtype=dtype, batch_size=batch_size, compiled=c)
        for c in (False, True)
    )
    assert compiled.logits < eager.logits
    assert compiled.total <= eager.total
    assert compiled.activations == eager.activations


def test_dropout_keeps_masks() -> None:
    """Dropout adds the masks to the activations and nothing to the weights."""
    without, with_dropout = memory(dropout=0.0), memory(dropout=0.1)
    assert with_dropout.activations > without.activations
    assert (with_dropout.weights, with_dropout.logits) == (without.weights, without.logits)
