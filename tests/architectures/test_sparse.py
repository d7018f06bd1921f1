"""Mixtures, state-space models and hybrids against transformers' own models on the meta device, which others wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from architectures.sparse_configs import PUBLISHED, RANDOM, Published, drawn
from auscult.architectures import Attention, Block, Experts, Linear, Model, Ssm, build
from auscult.errors import BadConfig
from auscult.facts.parameters import count_parameters

DRAWS = 10
"""Random configs of each family."""
OTHER_NAMES = {"kimi_k2": "deepseek_v3"}
"""Families that transformers builds under another name."""
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "dbrx": {"attn_config": {"rope_theta": 10000.0}},  # transformers' default raises AttributeError without it
    "deepseek_v2": {"num_experts_per_tok": 6},  # transformers' default is None, with which the router cannot choose
}


class Oracle:
    """A model of transformers on the meta device, and sums over its parameters, each once."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        name = OTHER_NAMES.get(config["model_type"], config["model_type"])
        made = transformers.AutoConfig.for_model(**{**config, "model_type": name})
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(made)
        model.tie_weights()
        self.config = made
        self.parameters = [(key, tuple(value.shape)) for key, value in model.named_parameters()]

    def total(self, *parts: str) -> int:
        """Entries of the parameters whose names hold one of some parts, or of all."""
        return sum(
            _entries(shape) for name, shape in self.parameters if not parts or any(part in name for part in parts)
        )

    def norms(self) -> int:
        """Entries of the parameters of modules that are called norms."""
        return sum(_entries(shape) for name, shape in self.parameters if "norm" in name.split(".")[-2])

    def multiplied(self) -> Iterator[tuple[str, int]]:
        """Yield the parameters that are multiplied with an activation as matrices, by their shapes and names."""
        for name, shape in self.parameters:
            plain = name.endswith(("bias", "A_log", "conv1d.weight")) or "embed" in name or "wte" in name
            if len(shape) > 1 and not plain:
                yield name, _entries(shape)


def _entries(shape: tuple[int, ...]) -> int:
    entries = 1
    for size in shape:
        entries *= size
    return entries


def expert_parameters(model: Model) -> int:
    """Add up the experts that a router chooses from."""
    return sum(
        stack.count * part.count * sum(linear.parameters for linear in part.expert.linears)
        for stack in model.stacks
        if isinstance(part := stack.block.mlp, Experts)
    )


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.repo)
def test_published_models_have_the_parameters_that_transformers_gives_them(row: Published) -> None:
    """A published config's count is transformers' exactly, in total, and by part: tables, experts, norms."""
    model, oracle = build(row.config), Oracle(row.config)
    count = count_parameters(model)
    assert count.total == oracle.total()
    assert count.embedding == oracle.total("embed", "wte")
    assert expert_parameters(model) == oracle.total(".experts.")
    assert count.norms == oracle.norms()


def near(found: int, published: str) -> bool:
    """Whether a count is a published number of billions, rounded either way in its last digit."""
    last = 10.0 ** -len(published.partition(".")[2])
    return abs(found / 1e9 - float(published)) < last


@pytest.mark.parametrize("row", [row for row in PUBLISHED if row.total or row.active], ids=lambda row: row.repo)
def test_published_totals_and_active_parameters_are_met(row: Published) -> None:
    """The totals and active parameters that authors publish are met to their last digit."""
    count = count_parameters(build(row.config))
    tables = [count.embedding, count.head or count.tied_head]
    assert row.total is None or near(count.total, row.total)
    assert row.active is None or near(count.active - sum(tables[: row.left_out]), row.active)


@pytest.mark.parametrize("family", sorted(RANDOM))
def test_random_models_have_the_parameters_that_transformers_gives_them(family: str) -> None:
    """Random small configs count as transformers counts them: in total, by part, and in what enters a multiplication."""
    for number in range(DRAWS):
        config = drawn(family, number)
        model, oracle = build(config), Oracle(config)
        count = count_parameters(model)
        assert count.total == oracle.total(), config
        assert count.norms == oracle.norms(), config
        assert expert_parameters(model) == oracle.total(".experts."), config
        assert count.inactive_experts + count.matmul == _matrices(oracle, model) - _biases_of_idle(model), config


def _matrices(oracle: Oracle, model: Model) -> int:
    """Return the entries of every matrix, idle experts included, and of a tied table once more."""
    return sum(size for _name, size in oracle.multiplied()) + (model.head.weights if model.tied else 0)


def _biases_of_idle(model: Model) -> int:
    """Return the biases of experts that a token does not pass, negated: ``inactive_experts`` holds them."""
    return -sum(
        stack.count * (part.count - part.active) * sum(linear.d_out for linear in part.expert.linears if linear.bias)
        for stack in model.stacks
        if isinstance(part := stack.block.mlp, Experts)
    )


def test_random_configs_reach_both_values_of_every_flag() -> None:
    """The random configs are no single kind: each flag and option of a family takes at least two values."""
    for family in RANDOM:
        seen: dict[str, set[str]] = {}
        for number in range(60):
            for key, value in drawn(family, number).items():
                seen.setdefault(key, set()).add(repr(value))
        fixed = {"model_type", "n_group", "topk_group", "mamba_n_groups"}
        assert {key for key, values in seen.items() if len(values) < 2} <= fixed, family


@pytest.mark.parametrize("family", sorted(RANDOM))
def test_defaults_are_those_of_transformers(family: str) -> None:
    """A config that names only its family is transformers' default model, two layers of it where that is a giant."""
    config = {"model_type": family, **NEEDED.get(family, {})}
    config["n_layers" if family == "dbrx" else "num_hidden_layers"] = 5
    assert count_parameters(build(config)).total == Oracle(config).total()
    del config["n_layers" if family == "dbrx" else "num_hidden_layers"]
    made = transformers.AutoConfig.for_model(**config)
    assert build(config).n_layer == made.num_hidden_layers


def test_a_null_rank_is_not_the_default() -> None:
    """DeepSeek's ``q_lora_rank`` null means one projection for queries; absent, it means transformers' 1536."""
    config = {"model_type": "deepseek_v3", "num_hidden_layers": 4}
    ranked, plain = build(config), build({**config, "q_lora_rank": None})
    assert _attention(plain).linears[0].name == "q_proj"
    assert [linear.name for linear in _attention(ranked).linears][:2] == ["q_a_proj", "q_b_proj"]


def _attention(model: Model) -> Attention:
    return next(attention for attention, _count in model.attentions)


def windows(model: Model) -> Counter[int | None]:
    """Count the layers of attention by the most tokens that they see."""
    return Counter({window: sum(n for a, n in model.attentions if a.window == window) for window in _seen(model)})


def _seen(model: Model) -> set[int | None]:
    return {attention.window for attention, _count in model.attentions}


@pytest.mark.parametrize("family", ["gpt_oss", "qwen2_moe", "llama4_text"])
def test_windows_stand_in_the_layers_that_transformers_makes_sliding(family: str) -> None:
    """As many layers have a window as transformers' ``layer_types`` name sliding or chunked ones."""
    for number in range(30):
        config = {**drawn(family, number), "sliding_window": 16}
        made = transformers.AutoConfig.for_model(**config)
        narrow = sum(kind != "full_attention" for kind in made.layer_types)
        if family == "llama4_text" and config["attention_chunk_size"] is None:
            narrow = 0
        found = windows(build(config))
        assert found.total() - found[None] == narrow, config


def test_gpt_oss_sees_128_tokens_in_every_second_layer() -> None:
    """gpt-oss-20b has twelve layers with a window of 128 tokens and twelve without, and a sink for each head."""
    model = build({"model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32})
    assert windows(model) == {128: 12, None: 12}
    assert [vector.size for vector in _attention(model).vectors] == [64]


def test_hybrids_have_their_layers_of_attention() -> None:
    """Jamba v0.1 attends in four of 32 layers and has experts in sixteen; Bamba 9B attends in three."""
    jamba = build({"model_type": "jamba"})
    assert sum(count for _a, count in jamba.attentions) == 4
    assert sum(s.count for s in jamba.stacks if isinstance(s.block.mlp, Experts)) == 16
    bamba = build({"model_type": "bamba", "attn_layer_indices": [9, 18, 27]})
    assert sum(s.count for s in bamba.stacks if isinstance(s.block.mixer, Ssm)) == 29


def test_latent_attention_is_as_wide_as_its_parts() -> None:
    """DeepSeek-V3's queries and keys are 128 + 64 wide, its values 128, for each of 128 heads, when training."""
    attention = _attention(build({"model_type": "deepseek_v3"}))
    assert (attention.qk_dim, attention.v_dim, attention.n_head, attention.n_kv_head) == (192, 128, 128, 128)
    assert Linear("kv_a_proj_with_mqa", 7168, 576) in attention.linears


def test_mixers_end_with_their_output() -> None:
    """The last matrix of every mixer gives the model's width and the first reads it, which memory counts rely on."""
    for family in RANDOM:
        for number in range(DRAWS):
            model = build(drawn(family, number))
            for mixer in (stack.block.mixer for stack in model.stacks):
                assert mixer is not None
                assert mixer.linears[-1].d_out == model.d_model
                assert mixer.linears[0].d_in == model.d_model


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "mixtral", "num_experts_per_tok": 9}, "num_experts_per_tok"),
        ({"model_type": "mixtral", "num_key_value_heads": 5}, "num_key_value_heads"),
        ({"model_type": "olmoe", "num_attention_heads": 17}, "num_attention_heads"),
        ({"model_type": "qwen2_moe", "mlp_only_layers": "all"}, "mlp_only_layers"),
        ({"model_type": "qwen3_moe", "mlp_only_layers": [1.5]}, "mlp_only_layers"),
        ({"model_type": "gpt_oss", "layer_types": ["full_attention"]}, "layer_types"),
        ({"model_type": "gpt_oss", "layer_types": [None] * 36}, "layer_types"),
        ({"model_type": "minimax", "layer_types": ["hyena"] * 32}, "layer_types"),
        ({"model_type": "llama4_text", "no_rope_layers": [2] * 48}, "no_rope_layers"),
        ({"model_type": "deepseek_v2"}, "num_experts_per_tok"),
        ({"model_type": "mamba2", "num_heads": 5}, "num_heads"),
        ({"model_type": "mamba", "expand": 1e300}, "expand"),
        ({"model_type": "mamba", "time_step_rank": "wide"}, "time_step_rank"),
        ({"model_type": "jamba", "attn_layer_offset": 8}, "attn_layer_offset"),
        ({"model_type": "bamba", "mamba_d_head": 63}, "mamba_d_head"),
        ({"model_type": "qwen3_next", "linear_num_value_heads": 31}, "linear_num_value_heads"),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else value,
)
def test_what_cannot_be_built_is_refused_by_name(config: dict[str, Any], named: str) -> None:
    """A size that cannot be, or a list of the wrong length or kind, is refused in a message that names its key."""
    with pytest.raises(BadConfig, match=named):
        build(config)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.integers(-2, 40)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["full_attention", "linear_attention", "auto"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(data=st.data())
def test_no_value_ends_in_anything_but_a_model_or_a_refusal(data: st.DataObject) -> None:
    """Whatever stands under the keys of a family, the answer is a model of countable size or a refusal."""
    config = drawn(data.draw(st.sampled_from(sorted(RANDOM))), data.draw(st.integers(0, 20)))
    for key in data.draw(st.lists(st.sampled_from(sorted(set(config) - {"model_type"})), max_size=3)):
        config[key] = data.draw(JSON)
    try:
        model = build(config)
    except BadConfig:
        return
    assert count_parameters(model).total > 0
    assert all(isinstance(stack.block, Block) and stack.count > 0 for stack in model.stacks)
