"""The tensors of a training step against those that PyTorch allocates for models of transformers."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from auscult.architectures import build
from auscult.facts.setup import Precision, Setup
from auscult.facts.step_tensors import StepPhase, StepTensor, step_tensors

BATCH, TOKENS = 5, 37
PASSES: tuple[StepPhase, ...] = ("evaluation", "forward")
LEAST_BYTES = 8_000
"""Below are vectors, statistics of norms, token ids and rotary tables; matrices and activations of these models are larger."""
GPT2: dict[str, Any] = {
    "n_layer": 2,
    "n_head": 3,
    "n_embd": 48,
    "vocab_size": 523,
    "n_positions": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
LLAMA: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 64,
    "intermediate_size": 172,
    "vocab_size": 523,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
NEOX: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 64,
    "intermediate_size": 172,
    "vocab_size": 523,
    "max_position_embeddings": 64,
    "rotary_pct": 1.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


class Allocations(TorchDispatchMode):
    """Records the size of every storage that an operation makes, by phase."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch types no __init__
        self.phase: StepPhase = "evaluation"
        self.sizes: dict[StepPhase, dict[int, str]] = defaultdict(dict)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for made in tree_leaves(out):
            if isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() not in given:
                size = made.untyped_storage().nbytes()
                self.sizes[self.phase].setdefault(size, f"{func} {tuple(made.shape)} {made.dtype}")
        return out


def allocations(
    config: dict[str, Any], family: str, precision: Precision, attention: str
) -> dict[StepPhase, dict[int, str]]:
    """Return what an evaluation and a training step of a model allocate."""
    torch.manual_seed(0)
    loaded = transformers.AutoConfig.for_model(family, **config)
    model = transformers.AutoModelForCausalLM.from_config(loaded, attn_implementation=attention)
    if precision == "bf16":
        model = model.bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    ids = torch.randint(0, config["vocab_size"], (BATCH, TOKENS))
    with Allocations() as seen:
        for phase in PASSES:
            seen.phase = phase
            with (
                torch.set_grad_enabled(phase == "forward"),
                torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "amp_bf16"),
            ):
                loss = model(ids, labels=ids, use_cache=False).loss
        seen.phase = "backward"
        loss.backward()
        seen.phase = "optimizer"
        optimizer.step()
    return dict(seen.sizes)


@pytest.mark.parametrize(
    ("family", "config", "precision", "attention"),
    [
        ("gpt2", GPT2, "fp32", "eager"),
        ("gpt2", GPT2, "amp_bf16", "eager"),
        ("gpt2", GPT2, "amp_bf16", "sdpa"),
        ("gpt_neox", NEOX, "amp_bf16", "sdpa"),
        ("llama", LLAMA, "fp32", "sdpa"),
        ("llama", LLAMA, "amp_bf16", "sdpa"),
        ("llama", LLAMA, "bf16", "eager"),
        ("qwen3", {**LLAMA, "head_dim": 24}, "amp_bf16", "sdpa"),
    ],
)
def test_every_large_allocation_is_listed_in_its_phase(
    family: str, config: dict[str, Any], precision: Precision, attention: str
) -> None:
    """Whatever large a step allocates on the CPU has the size and the phase of a listed tensor."""
    model = build({"model_type": family, **config})
    setup = Setup(micro_batch=BATCH, context=TOKENS, precision=precision, flash=attention == "sdpa")
    listed: dict[StepPhase, set[int]] = defaultdict(set)
    for tensor in step_tensors(model, setup):
        for phase in tensor.phases:
            listed[phase].add(tensor.size_bytes)
    found = allocations(config, family, precision, attention)
    assert set(found) == {"evaluation", "forward", "backward", "optimizer"}
    for phase, sizes in found.items():
        missing = {size: what for size, what in sizes.items() if size >= LEAST_BYTES and size not in listed[phase]}
        assert not missing, phase


def test_the_logits_and_their_gradient_are_allocated() -> None:
    """The tensors that decide most out-of-memory errors are listed and are really made, in eager autocast."""
    found = allocations(GPT2, "gpt2", "amp_bf16", "sdpa")
    elements = BATCH * TOKENS * 523
    assert {2 * elements, 4 * elements} <= set(found["evaluation"])
    assert {2 * elements, 4 * elements} <= set(found["backward"])


def test_sizes_and_expressions_are_those_of_the_factors() -> None:
    """A tensor's expression multiplied out is its size."""
    tensor = StepTensor(
        "logits_copy", "", ((32, "micro-batch"), (1024, "context"), (50304, "vocabulary")), 4, ("forward",)
    )
    assert tensor.expression == "32·1024·50304·4 B"
    assert tensor.size_bytes == 32 * 1024 * 50304 * 4 == 6_593_445_888
    assert tensor.scales_with_batch


def test_what_parallelism_and_compilation_leave_out() -> None:
    """Fused attention stores no scores, a compiled loss no fp32 copy; tensor parallelism splits the vocabulary; FSDP gathers."""
    model = build({"model_type": "gpt2", "vocab_size": 50304})
    plain = Setup(micro_batch=4, context=1024, flash=False)

    def kinds(setup: Setup) -> dict[str, int]:
        return {tensor.kind: tensor.size_bytes for tensor in step_tensors(model, setup)}

    assert "attention_scores" in kinds(plain)
    assert "attention_scores" not in kinds(Setup(micro_batch=4, context=1024))
    assert "logits_copy" not in kinds(Setup(micro_batch=4, context=1024, compiled=True))
    split = kinds(Setup(micro_batch=4, context=1024, tensor_parallel=2))
    assert 2 * split["logits"] == kinds(plain)["logits"]
    layer = 12 * 768**2 + 13 * 768
    sharded = kinds(Setup(micro_batch=4, context=1024, sharding="fsdp", data_parallel=8))
    assert any(
        tensor.kind == "fsdp_gathered" and tensor.size_bytes == 2 * layer
        for tensor in step_tensors(model, Setup(micro_batch=4, context=1024, sharding="fsdp", data_parallel=8))
    )
    assert sharded["logits"] == kinds(plain)["logits"]


def test_frozen_weights_have_no_gradients() -> None:
    """Under LoRA the base model has neither gradients nor states."""
    model = build({"model_type": "llama", "vocab_size": 32000})
    found = step_tensors(model, Setup(micro_batch=1, context=2048, lora_rank=8, precision="bf16"))
    assert not {"weight_gradient", "optimizer_state"} & {tensor.kind for tensor in found}
