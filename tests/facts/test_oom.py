"""From a size that an allocator was asked for back to the tensor: known cases, and every listed tensor there and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.architectures import Model, build
from auscult.facts.oom import decode_request, factor_request, tensor_bytes
from auscult.facts.setup import Precision, Setup
from auscult.facts.step_tensors import step_tensors
from auscult.readers.oom_message import parse_oom_messages
from model_strategies import models

GIB, MIB = 2**30, 2**20
GPT2 = build({"model_type": "gpt2", "vocab_size": 50304})


def allocation(size: int) -> int:
    """Return what a CUDA allocator asks the driver for: ``get_allocation_size`` of c10/cuda/CUDACachingAllocator.cpp."""
    size = max(512, -(-size // 512) * 512)
    if size <= 1_048_576:
        return 2_097_152
    if size < 10_485_760:
        return 20_971_520
    return 2_097_152 * -(-size // 2_097_152)


def printed(size: int) -> str:
    """Return a size as ``format_size`` of the same file prints it."""
    if size <= 1024:
        return f"{size} bytes"
    if size <= 2**20:
        return f"{size / 2**10:.2f} KiB"
    return f"{size / 2**20:.2f} MiB" if size <= 2**30 else f"{size / 2**30:.2f} GiB"


def about(gib: float) -> tuple[int, int]:
    return round((gib - 0.005) * GIB), round((gib + 0.005) * GIB)


@given(st.integers(1, 2**40))
def test_rounding_is_undone(size: int) -> None:
    """Whatever the size of a tensor, the interval of sizes for what its allocator asks and prints contains it."""
    (message,) = parse_oom_messages(f"CUDA out of memory. Tried to allocate {printed(allocation(size))}")
    assert message.requested is not None
    low, high = tensor_bytes(message.requested)
    assert low <= size <= high


@given(
    model=models(),
    batch=st.integers(1, 64),
    context=st.sampled_from((256, 1000, 1024, 2048)),
    precision=st.sampled_from(("amp_bf16", "bf16", "fp32")),
    flash=st.booleans(),
    compiled=st.booleans(),
    sharding=st.sampled_from(("none", "ddp", "fsdp")),
    pick=st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_every_tensor_is_found_by_its_message(
    model: Model, batch: int, context: int, precision: Precision, flash: bool, compiled: bool, sharding: str, pick: int
) -> None:
    """A tensor of a step, printed as PyTorch prints the request for it, is among the candidates; all have that size."""
    setup = Setup(
        micro_batch=batch,
        context=context,
        precision=precision,
        flash=flash,
        compiled=compiled,
        sharding="fsdp" if sharding == "fsdp" else "ddp" if sharding == "ddp" else "none",
        data_parallel=1 if sharding == "none" else 4,
    )
    tensors = step_tensors(model, setup)
    tensor = tensors[pick % len(tensors)]
    asked = printed(allocation(tensor.size_bytes))
    (message,) = parse_oom_messages(f"CUDA out of memory. Tried to allocate {asked}")
    assert message.requested is not None
    found = decode_request(message.requested, model, setup)
    assert tensor in {candidate.tensor for candidate in found}
    for candidate in found:
        if candidate.tensor.size_bytes > 10 * MIB and asked != "20.00 MiB":
            assert printed(allocation(candidate.tensor.size_bytes)) == asked
    assert sum(candidate.share for candidate in found) == pytest.approx(1)


def test_the_first_message_of_nanogpt_88() -> None:
    """GPT-2 at batch 32 asks 6.14 GiB in fp32 of the logits with 10.16 GiB allocated: before the first step, in the evaluation.

    Weights (0.46), logits in 16 bits (3.07) and one fp32 copy (6.14) were there, and neither activations nor states: what
    failed is the log-softmax over that copy.
    """
    setup = Setup(micro_batch=32, context=1024, precision="amp_fp16", gradient_accumulation_steps=5)
    first, second, *_others = decode_request(about(6.14), GPT2, setup, allocated=about(10.16))
    assert first.tensor.expression == "32·1024·50304·4 B"
    assert (first.tensor.kind, first.phase, first.first_step, first.fits) == ("log_softmax", "evaluation", True, True)
    assert first.predicted[0] / GIB == pytest.approx(0.46 + 3.07 + 6.14, abs=0.02)
    assert first.share > 0.9
    assert second.tensor.kind == "logits_copy"


@pytest.mark.parametrize(
    ("allocated_gib", "kind", "phase", "first_step"),
    [
        (3.7, "logits_copy", "evaluation", True),
        (4.7, "logits_copy", "evaluation", False),
        (9.9, "log_softmax", "evaluation", True),
        (12.5, "logits_copy", "forward", True),
    ],
)
def test_what_was_allocated_tells_the_moment(allocated_gib: float, kind: str, phase: str, first_step: bool) -> None:
    """Tensors of one size are told apart by what was there: logits alone, states as well, or activations."""
    setup = Setup(micro_batch=32, context=1024, precision="amp_fp16")
    first = decode_request(about(6.14), GPT2, setup, allocated=about(allocated_gib))[0]
    assert (first.tensor.kind, first.phase, first.first_step) == (kind, phase, first_step)


def test_the_second_message_of_nanogpt_88() -> None:
    """394.00 MiB is 2·1024·50304·4 B rounded up to 2 MiB."""
    found = decode_request((394 * MIB, 394 * MIB), GPT2, Setup(micro_batch=2, context=1024))
    assert found[0].tensor.expression == "2·1024·50304·4 B"
    assert {candidate.first_step for candidate in found} == {None}
    assert {candidate.fits for candidate in found} == {None}


def test_a_traceback_leaves_one_phase() -> None:
    """Of tensors of one size those of the traceback's phase stay; where none is of that phase, all do."""
    setup = Setup(micro_batch=8, context=1024)
    asked = (allocation(8 * 1024 * 50304 * 4),) * 2
    assert {c.phase for c in decode_request(asked, GPT2, setup, phase="backward")} == {"backward"}
    assert len(decode_request(asked, GPT2, setup, phase="loading")) == len(decode_request(asked, GPT2, setup))


def test_states_of_the_token_table() -> None:
    """Adam's moments of a large table are named in the optimiser's step, and with 8 bits they are a quarter."""
    model = build({"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 2})
    asked = (allocation(128256 * 4096 * 4),) * 2
    setup = Setup(micro_batch=1, context=512)
    found = decode_request(asked, model, setup, phase="optimizer")
    assert {(c.tensor.kind, c.tensor.owner) for c in found} >= {("optimizer_state", "token table")}
    eight = (allocation(128256 * 4096),) * 2
    assert any(
        c.tensor.kind == "optimizer_state"
        for c in decode_request(eight, model, Setup(micro_batch=1, context=512, optimizer="adamw_8bit"))
    )


def test_no_size_is_forced_on_a_tensor() -> None:
    """A size that no tensor has gives no candidate."""
    assert decode_request((77 * GIB, 77 * GIB), GPT2, Setup(micro_batch=1, context=1024)) == ()


def test_guesses_are_products_of_the_asked_size() -> None:
    """Without a model the true product is among the guesses, all of which make the size; small segments give none."""
    asked = (allocation(16 * 2048 * 32000 * 2),) * 2
    found = factor_request(asked, vocabularies=(32000, 50304), contexts=(2048, 1024))
    assert "16·2048·32000·2 B" in {guess.expression for guess in found}
    low, high = tensor_bytes(asked)
    assert all(low <= guess.size_bytes <= high for guess in found)
    assert factor_request((2 * MIB, 2 * MIB), vocabularies=(50304,), contexts=(1024,)) == ()


@given(
    batch=st.sampled_from((1, 2, 3, 4, 6, 8, 12, 16, 32, 48)),
    context=st.sampled_from((1024, 2048, 4096)),
    vocabulary=st.sampled_from((32000, 50257, 50304, 151936)),
    item=st.sampled_from((2, 4)),
)
def test_usual_logits_are_guessed(batch: int, context: int, vocabulary: int, item: int) -> None:
    """Logits of a usual batch and context, printed in MiB, are guessed where the vocabulary is tried."""
    size = batch * context * vocabulary * item
    asked = (allocation(size),) * 2
    guesses = factor_request(asked, vocabularies=(vocabulary,), contexts=(context,))
    assert any(guess.rows == batch * context and guess.item_bytes == item for guess in guesses)
