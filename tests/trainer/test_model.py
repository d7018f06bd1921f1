"""The reference trainer's model, against transformers, against plain formulas, and against itself computed another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from auscult.errors import BadConfig
from auscult.facts.parameters import count_parameters
from auscult.preflight.blueprint import blueprint_of
from auscult.recipe import ModelSettings, OptimizerSettings, hugging_face_config, model_settings
from auscult.trainer.model import IGNORED, Transformer, attention_mask
from auscult.trainer.optimizer import build_optimizers
from auscult.trainer.weights import load_weights, save_weights

SMALL: dict[str, Any] = {"n_layer": 2, "n_head": 2, "d_model": 32, "vocab_size": 61, "context": 16}


def tokens(rows: int = 3, length: int = 16, vocab: int = 61) -> Tensor:
    return torch.randint(0, vocab, (rows, length), generator=torch.Generator().manual_seed(1))


def randomised(settings: ModelSettings, **how: Any) -> Transformer:
    """Return a model none of whose tensors is zero or one."""
    model = Transformer(settings, **how)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.1, 0.1, generator=generator)
    return model


def hugging_face(**changes: Any) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "vocab_size": 61, "n_positions": 16}
    model = GPT2LMHeadModel(GPT2Config(**{**shape, **changes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2)
    return model


@pytest.mark.parametrize("activation", [("gelu_new", "gelu_tanh"), ("gelu", "gelu")])
def test_the_logits_are_those_of_hugging_face(tmp_path: Path, activation: tuple[str, str]) -> None:
    """Weights that transformers saved give transformers' logits, to 1e-4."""
    theirs = hugging_face(activation_function=activation[0])
    theirs.save_pretrained(tmp_path)
    ours = Transformer(model_settings(**SMALL, activation=activation[1]))
    load_weights(ours, tmp_path / "model.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens()), theirs(tokens()).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
def test_hugging_face_loads_our_weights(tmp_path: Path, bias: bool) -> None:
    """Weights that we saved give our logits in transformers, without biases too, and come back as they were."""
    import json

    settings = model_settings(**SMALL, bias=bias)
    ours = randomised(settings)
    save_weights(dict(ours.named_parameters()), settings, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(hugging_face_config(settings)))
    theirs = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens()), theirs(tokens()).logits, atol=1e-4, rtol=0)
    again = Transformer(settings)
    load_weights(again, tmp_path / "model.safetensors")
    for (name, mine), back in zip(ours.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, back), name


def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    """The first tensor that differs is named, with both shapes and what to do."""
    hugging_face(vocab_size=60).save_pretrained(tmp_path)
    with pytest.raises(BadConfig, match=r"wte\.weight is not that of this model.*\(61, 32\).*\(60, 32\)"):
        load_weights(Transformer(model_settings(**SMALL)), tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bias": False, "tied": False},
        {"family": "modern"},
        {"family": "modern", "activation": "swiglu", "n_kv_head": 1},
        {"family": "modern", "tied": True, "norm": "layernorm", "position": "learned", "bias": True},
    ],
)
def test_the_blueprint_counts_every_parameter(changes: dict[str, Any]) -> None:
    """What the preflight counts is what the trainer has."""
    settings = model_settings(**{**SMALL, **changes})
    assert count_parameters(blueprint_of(settings)).total == sum(p.numel() for p in Transformer(settings).parameters())


@pytest.mark.parametrize("family", ["gpt2", "modern"])
@pytest.mark.parametrize("how", [{"cross_entropy": "chunked"}, {"checkpointing": "full"}])
def test_memory_is_saved_without_changing_the_gradients(family: str, how: dict[str, str]) -> None:
    """A chunked loss and full checkpointing compute the loss and the gradients of the plain model."""
    settings = model_settings(**SMALL, family=family)
    targets = tokens().roll(1, 0)
    targets[0, :5] = IGNORED
    plain, saving = randomised(settings), randomised(settings, **how)
    losses = [model(tokens(), targets) for model in (plain, saving)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1])
    for (name, one), other in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_a_document_does_not_see_the_one_before() -> None:
    """With a mask, the logits of a document are those it has alone; without, they are not (rotary positions are relative)."""
    model = randomised(model_settings(**SMALL, family="modern"))
    both = tokens(1)
    both[0, 7] = 60  # the separator, which opens the second document
    both[0, :7] = both[0, :7].clamp(max=59)
    both[0, 8:] = both[0, 8:].clamp(max=59)
    with torch.no_grad():
        alone = model(both[:, 7:])
        masked = model(both, None, attention_mask(both, 60, "sdpa"))[:, 7:]
        seen = model(both)[:, 7:]
    torch.testing.assert_close(masked, alone, atol=1e-5, rtol=1e-5)
    assert (seen - alone).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_computes_what_sdpa_does() -> None:
    """Both kernels give the same logits, documents told apart or not."""
    model = randomised(model_settings(**SMALL, family="modern"))
    ids = tokens(2)
    ids[:, 5] = 60
    for separator in (None, 60):
        with torch.no_grad():
            kernels = [model(ids, None, attention_mask(ids, separator, kernel)) for kernel in ("sdpa", "flex")]
        torch.testing.assert_close(kernels[0], kernels[1], atol=1e-5, rtol=1e-5)


def test_autocast_keeps_the_masters_in_fp32() -> None:
    """Under bf16 autocast the loss is fp32 and near the fp32 one, and weights and gradients stay fp32."""
    model = randomised(model_settings(**SMALL))
    exact = model(tokens(), tokens()).detach()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(tokens(), tokens())
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)
    for parameter in model.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32


def test_muon_has_the_hidden_matrices_and_adamw_the_rest() -> None:
    """Embeddings, head, norms and biases are AdamW's, each parameter has one optimiser, and only matrices decay."""
    model = Transformer(model_settings(**SMALL, family="modern"))
    muon, adamw = build_optimizers(model, OptimizerSettings(name="muon"))
    names = {id(p): name for name, p in model.named_parameters()}
    hidden = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert hidden == {name for name in names.values() if name.startswith("h.") and ".c_" in name}
    rest = [(names[id(p)], group["weight_decay"]) for group in adamw.param_groups for p in group["params"]]
    assert {name for name, _ in rest} | hidden == set(names.values())
    assert len(rest) + len(hidden) == len(names)
    assert {name for name, decay in rest if decay} == {"wte.weight", "lm_head.weight"}


def test_states_made_early_are_those_that_torch_makes() -> None:
    """The first step with states made before it is the first step of a plain AdamW."""
    models = [randomised(model_settings(**SMALL)) for _ in range(2)]
    settings = OptimizerSettings()
    (ours,) = build_optimizers(models[0], settings)
    groups = [{"params": [p for p in models[1].parameters() if (p.dim() >= 2) == matrix]} for matrix in (True, False)]
    groups[1]["weight_decay"] = 0.0  # type: ignore[assignment]  # torch's groups hold values of any kind
    how: dict[str, Any] = {"betas": (settings.beta1, settings.beta2), "weight_decay": settings.weight_decay}
    theirs = torch.optim.AdamW(groups, lr=settings.learning_rate, eps=settings.eps, fused=True, **how)
    for model, optimizer in zip(models, (ours, theirs), strict=True):
        model(tokens(), tokens()).backward()
        optimizer.step()
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)
