"""``auscult explain-oom``: the explanation, its remedies, and the command line."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.architectures import Model, build
from auscult.cli import main
from auscult.errors import UsageError
from auscult.facts.memory import estimate_memory
from auscult.facts.setup import Setup
from auscult.oom import explain_oom, render
from model_strategies import models

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "fineweb-40m"
CORPUS = Path(os.environ.get("AUSCULT_CORPUS", ROOT.parent / "shared" / "corpus"))
GIB = 2**30
GPT2 = build({"model_type": "gpt2", "vocab_size": 50304})
NANOGPT_88 = (
    "RuntimeError: CUDA out of memory. Tried to allocate 6.14 GiB (GPU 0; 15.78 GiB total capacity; 10.16 GiB already"
    " allocated; 3.63 GiB free; 10.16 GiB reserved in total by PyTorch)"
)


def message(requested: str, *, free: float, allocated: float, held: float = 0.1, capacity: float = 23.65) -> str:
    return (
        f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {requested}. GPU 0 has a total capacity of"
        f" {capacity:.2f} GiB of which {free:.2f} GiB is free. Of the allocated memory {allocated:.2f} GiB is allocated by"
        f" PyTorch, and {held:.2f} GiB is reserved by PyTorch but unallocated."
    )


def test_nanogpt_88_is_told_in_a_sentence() -> None:
    """The product, the fp32 copy of the logits and the first evaluation stand in the headline."""
    setup = Setup(micro_batch=32, context=1024, precision="amp_fp16", gradient_accumulation_steps=5)
    found = explain_oom(NANOGPT_88, GPT2, setup)
    headline = str(found.headline)
    assert "6.14 GiB = 32·1024·50304·4 B" in headline
    assert "fp32 copy of the logits" in headline
    assert "in the evaluation before the first step" in headline
    assert "10.16 GiB was allocated already" in render(found)


def test_remedies_keep_the_tokens_and_fit() -> None:
    """A remedy that says it fits does, by the upper end of the estimate; a smaller micro-batch keeps the tokens of a step."""
    setup = Setup(micro_batch=32, context=1024, precision="amp_fp16", gradient_accumulation_steps=5)
    found = explain_oom(NANOGPT_88, GPT2, setup)
    before = estimate_memory(GPT2, setup).allocated_bytes
    assert found.remedies[0].enough
    for remedy in found.remedies:
        assert remedy.setup is not None
        after = estimate_memory(GPT2, remedy.setup)
        assert remedy.saved_bytes == before - after.allocated_bytes
        assert remedy.setup.tokens_per_step == setup.tokens_per_step
        if remedy.enough:
            assert after.interval("allocated")[1] < 13.79 * GIB
    assert {remedy.kind for remedy in found.remedies} >= {"compile", "micro_batch", "checkpointing"}


@given(model=models(), batch=st.integers(1, 24), steps=st.integers(1, 8), capacity=st.sampled_from((11.7, 23.6, 79.2)))
@settings(max_examples=40)
def test_any_setup_is_explained(model: Model, batch: int, steps: int, capacity: float) -> None:
    """For any model and batch the remedies keep the tokens of a step, those that are enough come first, and text is rendered."""
    setup = Setup(micro_batch=batch, context=1024, gradient_accumulation_steps=steps)
    text = message("1.50 GiB", free=0.5, allocated=capacity - 1.2, capacity=capacity)
    found = explain_oom(text, model, setup)
    ranks = [{True: 0, None: 1, False: 2}[remedy.enough] for remedy in found.remedies if remedy.setup is not None]
    assert ranks == sorted(ranks)
    assert all(r.setup.tokens_per_step == setup.tokens_per_step for r in found.remedies if r.setup is not None)
    assert all(len(line) <= 100 for line in render(found).splitlines())


def test_absurd_batches_take_no_time() -> None:
    """A batch of hundreds of millions is answered at once, with a divisor of it."""
    found = explain_oom(
        "CUDA out of memory. Tried to allocate 6.14 GiB", GPT2, Setup(micro_batch=999_999_937, context=1)
    )
    assert all(r.setup.tokens_per_step == 999_999_937 for r in found.remedies if r.setup is not None)


def test_memory_held_in_pieces() -> None:
    """Where free and held memory together are enough for the tensor, the allocator's setting is the first remedy; else not."""
    split = explain_oom(message("2.00 GiB", free=1.2, allocated=19, held=1.5))
    assert [remedy.kind for remedy in split.remedies] == ["fragmentation", "micro_batch"]
    full = explain_oom(message("2.00 GiB", free=1.2, allocated=21, held=0.2))
    assert "fragmentation" not in {remedy.kind for remedy in full.remedies}


def test_another_program_on_the_card() -> None:
    """Memory that no account of this process explains is said, and to end its owner is the first remedy."""
    found = explain_oom(message("128.00 MiB", free=0.12, allocated=19.25, held=0.01, capacity=79.18))
    assert found.remedies[0].kind == "other_programs"
    assert found.remedies[0].saved_bytes == pytest.approx(59.8 * GIB, rel=0.01)
    alone = explain_oom(message("4.61 GiB", free=3.35, allocated=72.81, held=1.59, capacity=79.25))
    assert "other_programs" not in {remedy.kind for remedy in alone.remedies}


def test_scores_of_unfused_attention() -> None:
    """A size that only unfused attention has is found although the setup did not say so, and the text says that."""
    found = explain_oom("CUDA out of memory. Tried to allocate 1.50 GiB", GPT2, Setup(micro_batch=32, context=1024))
    assert found.candidates[0].tensor.kind == "attention_softmax"
    assert "not fused" in render(found)
    assert "flash" in {remedy.kind for remedy in found.remedies}


def test_states_that_cannot_be_whole_are_sharded() -> None:
    """A model whose states exceed the card is trained sharded, whatever the setup left unsaid."""
    model = build({"model_type": "llama", "vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8})
    setup = Setup(micro_batch=1, context=4096, data_parallel=8, sharding="ddp")
    text = render(explain_oom(message("1.00 GiB", free=0.5, allocated=76, capacity=79.18), model, setup))
    assert "fsdp over 8" in " ".join(text.split())


def test_small_segments_name_no_tensor() -> None:
    """2 and 20 MiB are segments that small tensors share."""
    for asked in ("2.00 MiB", "20.00 MiB"):
        found = explain_oom(f"CUDA out of memory. Tried to allocate {asked}", GPT2, Setup(micro_batch=8, context=1024))
        assert found.candidates == ()
        assert "many small tensors share" in str(found.headline)


def test_text_without_a_message_is_refused() -> None:
    """No message, no explanation: the error says what to give."""
    with pytest.raises(UsageError, match="no out-of-memory message"):
        explain_oom("iter 100: loss 3.1")


def test_the_command_takes_text_and_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """The message as an argument, a model by name, the batch by an option."""
    assert main(["explain-oom", "Tried to allocate 6.14 GiB", "--like", "gpt2", "--batch", "32"]) == 0
    assert "32·1024·50257·4 B" in capsys.readouterr().out
    assert main(["explain-oom", "6.14 GiB"]) == 0
    assert "guessed from usual numbers" in capsys.readouterr().out


def test_the_command_takes_a_file_and_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log file, with model, batch, context, compilation and card from the run's config; options win over it."""
    log = tmp_path / "train.log"
    log.write_text("iter 0: loss 10.9\nCUDA out of memory. Tried to allocate 1.54 GiB\n", encoding="utf-8")
    assert main(["explain-oom", str(log), "--recipe", str(EXAMPLE)]) == 0
    out = capsys.readouterr().out
    assert "1.54 GiB = 16·1024·50304·2 B: the logits" in out
    assert "compiled" in out
    assert main(["explain-oom", "3.07 GiB", "--recipe", str(EXAMPLE), "--compile", "no", "--dtype", "float32"]) == 0
    assert "16·1024·50304·4 B" in capsys.readouterr().out


def test_the_command_reads_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an argument, and with -, the message is read from stdin."""
    for arguments in (["explain-oom"], ["explain-oom", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NANOGPT_88.encode()), encoding="utf-8"))
        assert main([*arguments, "--like", "gpt2", "--batch", "32", "--dtype", "float16"]) == 0
        assert "before the first step" in capsys.readouterr().out


def test_the_card_is_used_where_the_message_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    """--gpu gives the memory that a step can have."""
    command = ["explain-oom", "6.14 GiB", "--like", "gpt2", "--batch", "32"]
    assert main([*command, "--gpu", "RTX 4090"]) == 0
    assert "then it fits" in capsys.readouterr().out
    assert main(command) == 0
    assert "then it fits" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such.log"], "no such file"),
        (["hello, world"], "no out-of-memory message"),
        ([""], "no out-of-memory message"),
        (["6.14 GiB", "--batch", "8"], "--recipe or --like"),
        (["6.14 GiB", "--like", "gtp2", "--batch", "8"], "did you mean"),
        (["6.14 GiB", "--like", "gpt2", "--gpu", "RTX 4071"], "table of cards"),
    ],
)
def test_wrong_commands_exit_with_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line is one paragraph on stderr and status 2."""
    assert main(["explain-oom", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_escapes_in_a_log_reach_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of a log are not printed."""
    log = tmp_path / "train.log"
    log.write_bytes(b"\x1b[31mCUDA out of memory. Tried to allocate \x1b[1m6.14 GiB\x1b[0m \x1b]0;title\x07\n")
    assert main(["explain-oom", str(log)]) == 0
    out = capsys.readouterr().out
    assert "6.14 GiB" in out
    assert "\x1b" not in out


def test_the_public_case(capsys: pytest.CaptureFixture[str]) -> None:
    """A public run's own log and config: 4.61 GiB is the gradient of the logits, as its traceback (a bf16 buffer in backward) proves."""
    run = CORPUS / "nanogpt-oom-logits-a100"
    if not run.is_dir():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    assert main(["explain-oom", str(run / "files" / "output.log"), "--recipe", str(run)]) == 0
    assert "48·1024·50304·2 B: the gradient of the logits, in the backward pass" in capsys.readouterr().out
