"""The blueprint of auscult's own model, against the trainer's module and against transformers' GPT-2 and Llama."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from architectures.oracle import model_on_meta
from auscult.architectures import build
from auscult.errors import BadConfig
from auscult.facts.parameters import count_parameters
from auscult.recipe import ModelSettings, model_settings
from auscult.trainer.model import Transformer
from recipe_files import model_shapes

KEYS = (
    *("n_layer", "n_head", "n_kv_head", "d_model", "d_ff", "vocab_size", "context", "position", "norm", "activation"),
    *("qk_norm", "bias", "tied"),
)


def config_of(shape: ModelSettings) -> dict[str, Any]:
    """Return the keys of a recipe's ``[model]`` that draw its blueprint."""
    return {"model_type": "auscult", **{key: getattr(shape, key) for key in KEYS}}


def matrices_of(shape: ModelSettings) -> list[tuple[int, int, bool]]:
    """Return every matrix of the blueprint's layers and head, sizes and bias."""
    model = build(config_of(shape))
    found = [(model.head.d_in, model.head.d_out, False)]
    for stack in model.stacks:
        block = stack.block
        linears = [*getattr(block.mixer, "linears", ()), *getattr(block.mlp, "linears", ())]
        found += [(one.d_in, one.d_out, one.bias) for one in linears] * stack.count
    return sorted(found)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(shape=model_shapes())
def test_any_model_is_the_trainers(shape: ModelSettings) -> None:
    """Parameters and matrices are those of the module that the trainer makes, shared ones once."""
    with torch.device("meta"):
        module = Transformer(shape)
    assert count_parameters(build(config_of(shape))).total == sum(p.numel() for p in module.parameters())
    theirs = [
        (one.in_features, one.out_features, one.bias is not None)
        for one in module.modules()
        if isinstance(one, torch.nn.Linear)
    ]
    if shape.tied:
        theirs.append((shape.d_model, shape.vocab_size, False))
    assert matrices_of(shape) == sorted(theirs)


def test_defaults_are_the_modern_familys() -> None:
    """A config that names the family alone is the default modern recipe."""
    assert build({"model_type": "auscult"}) == build(config_of(model_settings(family="modern")))
    swiglu = {"activation": "swiglu", "d_model": 640, "n_head": 5}
    assert build({"model_type": "auscult", **swiglu}) == build(config_of(model_settings(family="modern", **swiglu)))


def test_as_gpt2_and_as_llama_it_counts_as_theirs() -> None:
    """With GPT-2's parts it has the parameters of transformers' GPT-2, with Llama's those of Llama, part by part."""
    for number in range(20):
        rng = random.Random(number)
        kv = rng.choice((1, 2, 4))
        heads = kv * rng.choice((1, 2, 3))
        d, layers, vocab, context = (
            heads * 8 * rng.randint(1, 6),
            rng.randint(1, 5),
            rng.randint(2, 999),
            rng.randint(1, 99),
        )
        shape = {"n_layer": layers, "n_head": heads, "d_model": d, "vocab_size": vocab, "context": context}
        gpt2 = model_settings(**shape)
        oracle = {"model_type": "gpt2", "n_layer": layers, "n_head": heads, "n_embd": d, "vocab_size": vocab}
        ours = count_parameters(build(config_of(gpt2)))
        assert ours.total == sum(p.numel() for p in model_on_meta({**oracle, "n_positions": context}).parameters())
        tied, inner = rng.random() < 0.5, rng.randint(1, 300)
        llama = model_settings(
            **shape, family="modern", n_kv_head=kv, d_ff=inner, activation="swiglu", qk_norm=False, tied=tied
        )
        oracle = {"model_type": "llama", "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": d}
        oracle |= {
            "num_key_value_heads": kv,
            "intermediate_size": inner,
            "vocab_size": vocab,
            "tie_word_embeddings": tied,
        }
        ours = count_parameters(build(config_of(llama)))
        assert ours.total == sum(p.numel() for p in model_on_meta(oracle).parameters())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position": "alibi"}, "position"),
        ({"norm": "batchnorm"}, "norm"),
        ({"activation": "gelu_new"}, "activation"),
        ({"n_head": 5}, "d_model by n_head"),
        ({"n_kv_head": 5}, "n_head by n_kv_head"),
        ({"n_layer": 0}, "n_layer"),
        ({"bias": "no"}, "bias"),
    ],
)
def test_what_it_has_not_is_refused(changes: dict[str, Any], words: str) -> None:
    """Unknown parts and impossible sizes are refused by name."""
    with pytest.raises(BadConfig, match=words):
        build({"model_type": "auscult", "d_model": 768, "n_head": 12, **changes})
