"""Dense and masked models: every count equals that of the model which transformers builds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from architectures.dense_configs import PUBLISHED
from architectures.dense_draws import DRAW, drawn
from architectures.oracle import Matrix, activations_of, layer_norms_of, matrices_of, model_on_meta, parts_of
from auscult.architectures import Linear, Mlp, Model, build
from auscult.facts.parameters import count_adapters, count_parameters

RANDOM_EACH = 12
NEEDED = {"ministral": {"head_dim": 128}, "hunyuan_v1_dense": {"head_dim": 128}}
"""What transformers' own default leaves null and then cannot build."""


def matrices(model: Model) -> Counter[Matrix]:
    """Count a blueprint's matrices by name and shape."""
    found: Counter[Matrix] = Counter()

    def add(linears: tuple[Linear, ...], times: int) -> None:
        for linear in linears:
            found[Matrix(linear.name, linear.d_in, linear.d_out, linear.bias)] += times

    for stack in model.stacks:
        assert stack.block.mixer is not None
        assert isinstance(stack.block.mlp, Mlp)
        add((*stack.block.mixer.linears, *stack.block.mlp.linears), stack.count)
    add((*model.linears, model.head), 1)
    return found


def compare(config: dict[str, Any]) -> None:
    """Compare a blueprint with transformers' model: its parameters part by part, and every matrix."""
    model, oracle = build(config), model_on_meta(config)
    count, parts = count_parameters(model), parts_of(oracle)
    assert count.total == parts["total"], config
    assert count.embedding == parts["embedding"], config
    assert count.position + count.other_tables == parts["other tables"], config
    assert count.norms == parts["norms"], config
    assert count.head == parts["head"], config
    assert count.matmul == parts["matmul"], config
    assert count.active == count.total
    assert matrices(model) == matrices_of(oracle), config


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models(name: str) -> None:
    """A published config gives the parts of transformers' model, and the total that is published."""
    config, total = PUBLISHED[name]
    compare(config)
    if total is not None:
        assert count_parameters(build(config)).total == total


@pytest.mark.parametrize("family", DRAW)
def test_random_models(family: str) -> None:
    """Random shapes with random switches give the parts of transformers' model, and its matrices by name."""
    for number in range(RANDOM_EACH):
        compare(drawn(family, number))


@pytest.mark.parametrize("family", DRAW)
def test_functions_are_those_of_transformers(family: str) -> None:
    """Activations and kinds of norms are those of transformers' modules, whichever the config names."""
    for number in range(4):
        config = drawn(family, number)
        model, oracle = build(config), model_on_meta(config)
        assert {s.block.mlp.activation for s in model.stacks if isinstance(s.block.mlp, Mlp)} == activations_of(oracle)
        norms = {norm.kind == "layer" for stack in model.stacks for norm in stack.block.norms}
        assert norms == {layer_norms_of(oracle)}


@pytest.mark.parametrize("family", DRAW)
def test_defaults_are_those_of_transformers(family: str) -> None:
    """A config that names only its family is transformers' default model, down to its matrices."""
    compare({"model_type": family, **NEEDED.get(family, {})})


def test_there_are_enough_of_them() -> None:
    """At least sixty published models and five hundred random ones are compared."""
    assert len(PUBLISHED) >= 60
    assert RANDOM_EACH * len(DRAW) >= 500


def test_random_configs_reach_both_values_of_every_switch() -> None:
    """The random configs are no single kind: each switch of a family is drawn on and off among those compared."""
    for family in DRAW:
        seen: dict[str, set[Any]] = {}
        for number in range(RANDOM_EACH):
            for key, value in drawn(family, number).items():
                if isinstance(value, bool):
                    seen.setdefault(key, set()).add(value)
        stuck = {key for key, values in seen.items() if len(values) < 2}
        assert stuck <= ({"use_sliding_window"} if family in ("qwen2", "qwen3") else set()), family


def test_adapters_reach_matrices_by_the_names_that_peft_uses() -> None:
    """LoRA on GPT-2's and Phi-3's fused projections and on OPT's separate ones adapts whole matrices, once a layer."""
    for config, targets, sizes in (
        ({"model_type": "gpt2"}, ("c_attn",), 12 * (768 + 3 * 768)),
        ({"model_type": "phi3"}, ("qkv_proj",), 32 * (3072 + 3 * 3072)),
        ({"model_type": "opt"}, ("q_proj", "v_proj"), 12 * 2 * (768 + 768)),
    ):
        assert count_adapters(build(config), rank=8, targets=targets) == 8 * sizes
