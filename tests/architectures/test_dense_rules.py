"""What no run of transformers shows: llm-foundry's MPT, Falcon's first names, and how long a sequence may be."""

from __future__ import annotations

from typing import Any

import pytest

from auscult.architectures import Attention, Mlp, Model, build
from auscult.facts.parameters import count_parameters

SMALL = {"model_type": "mpt", "d_model": 64, "n_heads": 4, "n_layers": 2, "vocab_size": 100, "max_seq_len": 32}
PLAIN = 100 * 64 + 2 * (4 * 64 * 64 + 8 * 64 * 64 + 2 * 64) + 64
"""Table, two layers of attention, MLP and two norms without bias, the final norm."""


@pytest.mark.parametrize(
    ("extra", "more"),
    [
        ({}, 0),
        ({"no_bias": False}, 2 * (3 * 64 + 64 + 256 + 64 + 2 * 64) + 64),
        ({"attention_bias": True}, 2 * 3 * 64),
        ({"attn_config": {"alibi": False}}, 32 * 64),
        ({"attn_config": {"alibi": False, "rope": True}}, 0),
        ({"attn_config": {"alibi": False}, "learned_pos_emb": False}, 0),
        ({"attn_config": {"attn_type": "multiquery_attention"}}, -2 * 64 * 2 * 48),
        ({"attn_config": {"attn_type": "grouped_query_attention", "kv_n_heads": 2}}, -2 * 64 * 2 * 32),
        ({"attn_config": {"qk_ln": True}}, 2 * 2 * 64),
        ({"attn_config": {"qk_gn": True}}, 2 * 2 * 16),
        ({"attn_config": {"fused_qkv": False}}, 0),
        ({"norm_type": "low_precision_rmsnorm"}, 0),
        ({"ffn_config": {"ffn_type": "mptglu"}}, 2 * 64 * 256),
        ({"ffn_config": {"ffn_hidden_size": 100}}, -2 * 2 * 64 * 156),
        ({"expansion_ratio": 2.5}, -2 * 2 * 64 * 96),
        ({"tie_word_embeddings": False}, 100 * 64),
    ],
    ids=str,
)
def test_llm_foundry_adds_its_own_to_mpt(extra: dict[str, Any], more: int) -> None:
    """Each key of llm-foundry changes the count of a small MPT as the layers of its code are sized, worked out by hand."""
    assert count_parameters(build({**SMALL, **extra})).total == PLAIN + more


def _attention(model: Model) -> Attention:
    return next(attention for attention, _count in model.attentions)


def test_a_window_of_llm_foundry_holds_the_token_itself() -> None:
    """``sliding_window_size`` is how far back a token looks, so that it sees one more; −1 is no window."""
    assert _attention(build({**SMALL, "attn_config": {"sliding_window_size": 8}})).window == 9
    assert _attention(build({**SMALL, "attn_config": {"sliding_window_size": -1}})).window is None


def test_falcons_first_names_are_its_two_architectures() -> None:
    """``RefinedWeb`` is Falcon 40B with grouped heads, ``RefinedWebModel`` Falcon 7B with one, as before they were renamed."""
    shape = {"hidden_size": 8192, "n_layer": 60, "n_head": 128, "n_head_kv": 8}
    assert count_parameters(build({"model_type": "RefinedWeb", **shape})).total == 41_303_293_952
    assert count_parameters(build({"model_type": "RefinedWebModel", "multi_query": True})).total == 6_921_720_704


@pytest.mark.parametrize(
    ("config", "rows", "longest"),
    [
        ({"model_type": "gpt2"}, 1024, 1024),
        ({"model_type": "opt"}, 2050, 2048),
        ({"model_type": "gpt_neo"}, 2048, 2048),
        ({"model_type": "bert"}, 512, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 514, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 0}, 514, 513),
    ],
    ids=str,
)
def test_a_table_of_positions_may_serve_fewer_tokens_than_it_has_rows(
    config: dict[str, Any], rows: int, longest: int
) -> None:
    """OPT skips two rows, RoBERTa those up to the padding token's: the longest sequence is shorter than the table."""
    model = build(config)
    assert [table.rows for table in model.tables if table.kind == "position"] == [rows]
    assert model.context == longest
    assert model.learned_positions == longest


@pytest.mark.parametrize("inner", [{"model_type": "gemma3_text"}, {}], ids=["named", "nameless"])
def test_the_language_model_inside_another_is_taken(inner: dict[str, Any]) -> None:
    """Of Gemma 3 4B, which sees, the text part is drawn from ``text_config``, also where that leaves its own name out."""
    shape = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}
    model = build({"model_type": "gemma3", "text_config": {**inner, **shape}})
    assert model.family == "gemma3_text"
    assert count_parameters(model).total == 3_880_263_168
    untied = build({"model_type": "gemma3", "text_config": {**inner, **shape}, "tie_word_embeddings": False})
    assert count_parameters(untied).total == 3_880_263_168 + 262_208 * 2560


def test_old_configs_of_gemma_mean_the_tanh_by_gelu() -> None:
    """The first Gemma's ``gelu`` is the approximation with tanh, as transformers reads it; Gemma 2 says what it means."""
    for family, expected in (("gemma", "gelu_tanh"), ("gemma2", "gelu")):
        model = build({"model_type": family, "hidden_act": "gelu", "hidden_activation": "gelu"})
        assert {s.block.mlp.activation for s in model.stacks if isinstance(s.block.mlp, Mlp)} == {expected}


def test_nanogpt_has_the_activation_that_is_one_operation() -> None:
    """Without ``activation_function`` a GPT-2 is nanoGPT's, with ``gelu``; transformers' configs name ``gelu_new``."""
    for config, expected in (({}, "gelu"), ({"activation_function": "gelu_new"}, "gelu_new")):
        (stack,) = build({"model_type": "gpt2", **config}).stacks
        assert isinstance(stack.block.mlp, Mlp)
        assert stack.block.mlp.activation == expected
