"""What an out-of-memory message says, in every wording that PyTorch and XLA have had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auscult.readers.oom_message import excerpt_messages, parse_oom_messages

GIB, MIB = 2**30, 2**20
OLD = (
    "RuntimeError: CUDA out of memory. Tried to allocate 6.14 GiB (GPU 0; 15.78 GiB total capacity; 10.16 GiB already"
    " allocated; 3.63 GiB free; 10.16 GiB reserved in total by PyTorch) If reserved memory is >> allocated memory try"
    " setting max_split_size_mb to avoid fragmentation."
)
NEW = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 4.61 GiB. GPU 3 has a total capacity of 79.25 GiB of"
    " which 3.35 GiB is free. Including non-PyTorch memory, this process has 75.89 GiB memory in use. Of the allocated"
    " memory 72.81 GiB is allocated by PyTorch, and 1.59 GiB is reserved by PyTorch but unallocated. If reserved but"
    " unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "corpus"))


def near(span: tuple[int, int] | None, size: float) -> bool:
    return span is not None and span[0] <= size <= span[1]


def test_the_old_wording() -> None:
    """PyTorch 1.x: capacity, allocated, free and reserved stand in brackets."""
    (message,) = parse_oom_messages(OLD)
    assert near(message.requested, 6.14 * GIB)
    assert message.requested is not None
    assert message.requested[1] - message.requested[0] < 0.0101 * GIB
    assert near(message.capacity, 15.78 * GIB)
    assert near(message.allocated, 10.16 * GIB)
    assert near(message.free, 3.63 * GIB)
    assert message.device == 0
    assert message.outside_bytes == pytest.approx((15.78 - 10.16 - 3.63) * GIB, abs=0.01 * GIB)


def test_the_new_wording() -> None:
    """PyTorch 2.x: the same in sentences, and what this process holds beyond PyTorch."""
    (message,) = parse_oom_messages(NEW)
    assert (message.device, message.allocator) == (3, "cuda")
    assert near(message.requested, 4.61 * GIB)
    assert near(message.unallocated, 1.59 * GIB)
    assert near(message.in_use, 75.89 * GIB)
    assert message.outside_bytes == pytest.approx(1.5 * GIB, abs=0.02 * GIB)


@pytest.mark.parametrize(
    ("text", "allocator", "requested"),
    [
        ("HIP out of memory. Tried to allocate 256.00 MiB. GPU 0 has a total capacty of 23.98 GiB", "cuda", 256 * MIB),
        ("MPS backend out of memory (MPS allocated: 7.64 GiB, other allocations: 68.91 GiB, max allowed: 88.13 GiB). Tried"
         " to allocate 33.92 GiB on private pool.", "mps", 33.92 * GIB),
        ("MPS backend out of memory (MPS allocated: 17.85 GB, other allocations: 1.1 MB, max allowed: 18.13 GB). Tried to"
         " allocate 500.00 MB on private pool.", "mps", 500 * MIB),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 6593445888 bytes.", "xla", 6593445888),
        ("XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 12,884,901,888 bytes.", "xla", 12884901888),
        ("[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 123456"
         " bytes. Error code 12", "cpu", 123456),
        ("6.14 GiB", "cuda", 6.14 * GIB),
        ("394MiB", "cuda", 394 * MIB),
        ("Tried to allocate 1.38 GiB", "cuda", 1.38 * GIB),
    ],
)  # fmt: skip
def test_other_allocators(text: str, allocator: str, requested: float) -> None:
    """ROCm, MPS, XLA and the CPU name the size too; a bare size is one."""
    (message,) = parse_oom_messages(text)
    assert message.allocator == allocator
    assert near(message.requested, requested)


def test_a_misspelt_capacity_is_read() -> None:
    """PyTorch 2.1 printed "capacty"."""
    (message,) = parse_oom_messages(NEW.replace("capacity", "capacty"))
    assert near(message.capacity, 79.25 * GIB)


def test_a_wrapped_and_prefixed_message_is_one() -> None:
    """Terminals wrap a message, and torchrun puts the rank before each line."""
    words = NEW.split()
    lines = [" ".join(words[at : at + 9]) for at in range(0, len(words), 9)]
    (message,) = parse_oom_messages("\n".join(f"[rank0]: {line}" for line in lines))
    assert message == parse_oom_messages(NEW)[0]


def test_each_rank_is_a_message_and_an_echo_none() -> None:
    """The same message twice is one, another card's is another, and a line without figures adds nothing."""
    other = NEW.replace("GPU 3", "GPU 4")
    found = parse_oom_messages("\n".join([NEW, "| WARNING: CUDA out of memory, skipping batch", other, NEW]))
    assert [message.device for message in found] == [3, 4]


def test_a_message_without_figures() -> None:
    """An error of the driver, which comes past PyTorch's allocator, says no size."""
    (message,) = parse_oom_messages("RuntimeError: CUDA error: out of memory\nCUDA kernel errors might be asynchronous")
    assert message.requested is None
    assert parse_oom_messages("iter 10: loss 4.5") == ()


@pytest.mark.parametrize(
    ("frame", "phase"),
    [
        ('File "train.py", line 301, in <module>\n    scaler.scale(loss).backward()', "backward"),
        ('File "train.py", line 224, in estimate_loss\n    logits, loss = model(X, Y)', "evaluation"),
        ('File "torch/optim/adamw.py", line 161, in step\n    self._init_group(', "optimizer"),
        ('File "model.py", line 187, in forward\n    loss = F.cross_entropy(', "forward"),
        ('File "train.py", line 3, in <module>\n    main()', None),
        ("optimizer.step(closure)\n  in training_step\n  loss.backward()", "backward"),
        ("loss.backward()\n  in recompute_fn\n  in forward", "backward"),
    ],
)
def test_a_traceback_tells_the_phase(frame: str, phase: str | None) -> None:
    """The frames above a message say in which phase of a step it came; those of an earlier traceback do not count."""
    earlier = 'Traceback (most recent call last):\n  File "a.py", in forward\n    optimizer.step()\nKeyError: 1\n'
    (message,) = parse_oom_messages(f"{earlier}Traceback (most recent call last):\n  {frame}\n{OLD}")
    assert message.phase == phase


def test_an_excerpt_says_what_the_log_says() -> None:
    """Of a long log only the messages are kept, and the tracebacks above them."""
    trace = "Traceback (most recent call last):\n    loss.backward()\n"
    steps = [f"iter {step}: loss 3.2" for step in range(5000)]
    log = [*steps, *(trace + NEW).splitlines(), *steps]
    excerpt = excerpt_messages(log)
    assert parse_oom_messages(excerpt) == parse_oom_messages("\n".join(log))
    assert parse_oom_messages(excerpt)[0].phase == "backward"
    assert len(excerpt.splitlines()) < 300


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    """Any text gives messages or none."""
    parse_oom_messages("CUDA out of memory. Tried to allocate " + text)
    assert isinstance(parse_oom_messages(text), tuple)


@given(st.integers(1, 2**42))
def test_the_interval_holds_what_was_printed(size: int) -> None:
    """Whatever PyTorch prints of a size, the interval read back contains it."""
    (message,) = parse_oom_messages(f"CUDA out of memory. Tried to allocate {printed(size)}.")
    assert near(message.requested, size)


def printed(size: int) -> str:
    """Return a size as ``format_size`` of c10/cuda/CUDACachingAllocator.cpp prints it."""
    if size <= 1024:
        return f"{size} bytes"
    for limit, unit in ((2**20, "KiB"), (2**30, "MiB")):
        if size <= limit:
            return f"{size / (limit / 1024):.2f} {unit}"
    return f"{size / 2**30:.2f} GiB"


@pytest.mark.parametrize(
    ("log", "requested", "phase"),
    [
        ("nanogpt-oom-logits-a100/files/output.log", 4.61 * GIB, "backward"),
        ("torchtitan-oom-qwen3-14b/run.log", 706 * MIB, "forward"),
        ("nanochat-oom-sweep/sweep_mst_p01_d8.log", 128 * MIB, None),
    ],
)
def test_logs_of_the_corpus(log: str, requested: float, phase: str | None) -> None:
    """Public logs that ended without memory: size, card and accounts are read."""
    path = CORPUS / log
    if not path.is_file():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    with path.open(encoding="utf-8", errors="replace") as lines:
        first = parse_oom_messages(excerpt_messages(line.rstrip("\n") for line in lines))[0]
    assert near(first.requested, requested)
    assert first.capacity is not None
    assert first.allocated is not None
    if phase is not None:
        assert first.phase == phase
