"""LoRA counts against what PEFT and litgpt count themselves, and against published rows."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from architectures.sparse_configs import RANDOM, drawn
from auscult.architectures import Experts, build
from auscult.facts.parameters import count_adapters

CORPUS = Path(os.environ.get("AUSCULT_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"))
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
LLAMA_2: Mapping[str, Any] = {"model_type": "llama"}
LLAMA_3: Mapping[str, Any] = {
    "model_type": "llama",
    "vocab_size": 128256,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
}
V2_LITE: Mapping[str, Any] = {
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "q_lora_rank": None,
    "num_experts_per_tok": 6,
    "first_k_dense_replace": 1,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
}
GPT2_XL: Mapping[str, Any] = {"model_type": "gpt2", "n_layer": 48, "n_embd": 1600, "n_head": 25}
BAMBA: Mapping[str, Any] = {"model_type": "bamba", "attn_layer_indices": [9, 18, 27]}
DBRX: Mapping[str, Any] = {"model_type": "dbrx", "n_layers": 2}
GPT_OSS: Mapping[str, Any] = {"model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32}
LATENT = ("q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")


@pytest.mark.parametrize(
    ("config", "rank", "targets", "trainable"),
    [
        (LLAMA_2, 8, ("q_proj", "v_proj"), 4_194_304),
        (LLAMA_2, 16, (*ATTENTION, *MLP), 39_976_960),
        (LLAMA_3, 16, (*ATTENTION, *MLP), 41_943_040),
        (LLAMA_3, 64, (), 167_772_160),
        (LLAMA_3, 8, (*ATTENTION, "lm_head"), 7_874_560),
        ({"model_type": "mistral"}, 32, ATTENTION, 27_262_976),
        ({"model_type": "gpt2"}, 8, ("c_attn",), 294_912),
        (GPT2_XL, 16, ("c_attn", "c_proj", "c_fc"), 19_660_800),
        ({"model_type": "mixtral"}, 8, ATTENTION, 6_815_744),
        (V2_LITE, 8, LATENT, 3_552_768),
        ({"model_type": "mamba2", "num_hidden_layers": 6}, 8, ("in_proj",), 1_087_488),
        (GPT_OSS, 8, ATTENTION, 3_981_312),
        (DBRX, 8, ("Wqkv", "out_proj"), 135_168),
        (BAMBA, 16, (*ATTENTION, *MLP), 29_589_504),
    ],
)
def test_adapters_are_those_that_peft_puts_in(
    config: Mapping[str, Any], rank: int, targets: tuple[str, ...], trainable: int
) -> None:
    """Trainable parameters of ``get_peft_model``, PEFT 0.21.2 over transformers 5.24 on the meta device, 2026-11-25.

    Where no targets are named, PEFT was told ``"all-linear"``.
    """
    assert count_adapters(build(config), rank=rank, targets=targets) == trainable


QV = ("query", "value")
QKVO = ("query", "key", "value", "projection")
LIT_MLP = ("fc", "fc_1", "fc_2", "proj", "gate")
LITGPT: Mapping[str, tuple[int, int, int, int]] = {
    "phi-1_5": (1_572_864, 3_145_728, 3_932_160, 7_503_872),
    "stablelm-base-alpha-3b": (2_097_152, 4_194_304, 5_242_880, 9_875_456),
    "Llama-2-7b-hf": (4_194_304, 8_388_608, 11_599_872, 20_277_248),
    "phi-2": (2_621_440, 5_242_880, 6_553_600, 12_226_560),
    "Mixtral-8x7B-v0.1": (3_407_872, 6_815_744, 114_296_832, 121_401_344),
    "Llama-3-8B": (3_407_872, 6_815_744, 14_155_776, 22_030_336),
    "falcon-7b": (3_506_176, 7_012_352, 11_632_640, 19_201_536),
    "tiny-llama-1.1b": (1_126_400, 2_252_800, 4_055_040, 6_580_224),
    "Gemma-2-2b": (1_597_440, 3_194_880, 7_188_480, 12_449_792),
}
"""Trainable parameters at ``lora_r`` 8 by litgpt 0.5.13's own modules: query and value (its default), all of attention, the
MLP with a mixture's router, and everything with the head."""


@pytest.mark.parametrize("name", LITGPT)
def test_adapters_are_those_that_litgpt_puts_in(name: str) -> None:
    """A fused projection is adapted in parts in litgpt: two adapters for query and value, each with a matrix of its own."""
    model = build({"model_type": "litgpt", "name": name})
    sets = (QV, QKVO, LIT_MLP, (*QKVO, *LIT_MLP, "lm_head"))
    assert tuple(count_adapters(model, rank=8, targets=targets) for targets in sets) == LITGPT[name]


def test_litgpt_log_prints_the_adapters_of_phi_2() -> None:
    """The tutorial of litgpt prints 12,226,560 trainable parameters: rank 8 on every matrix of phi-2, head included."""
    log = CORPUS / "litgpt-tutorial-log" / "0_to_litgpt.md"
    if not log.is_file():
        pytest.skip(f"the corpus is not here: set AUSCULT_CORPUS, or put it at {CORPUS}")
    found = re.search(r"Number of trainable parameters: ([\d,]+)", log.read_text(encoding="utf-8"))
    assert found is not None
    model = build({"model_type": "litgpt", "name": "phi-2"})
    everything = (*QKVO, *LIT_MLP, "lm_head")
    assert count_adapters(model, rank=8, targets=everything) == int(found[1].replace(",", ""))


NAMES = {
    "phi-1.5 1.3 B": "phi-1_5",
    "StableLM Alpha 3 B": "stablelm-base-alpha-3b",
    "Llama 2 7 B": "Llama-2-7b-hf",
    "Llama 2 13 B": "Llama-2-13b-hf",
    "Falcon 40 B": "falcon-40b",
}


def test_published_rows_of_litgpt_have_the_default_adapters() -> None:
    """Every LoRA row of litgpt's resource tables has rank 8 on query and value, as its defaults say."""
    rows = CORPUS.parent / "facts" / "measured_runs.csv"
    if not rows.is_file():
        pytest.skip(f"the measured runs are not here: put them at {rows}")
    met = set()
    with rows.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found = re.search(r"PEFT \(([\d,]+) trainable\)", " ".join(filter(None, row.values())))
            if found is None or "[Finetuning with LoRA" not in row["source"]:
                continue
            model = build({"model_type": "litgpt", "name": NAMES[row["model"]]})
            assert count_adapters(model, rank=8, targets=QV) == int(found[1].replace(",", "")), row["model"]
            met.add(row["model"])
    assert len(met) >= 4


@given(st.sampled_from(sorted(RANDOM)), st.integers(0, 30), st.integers(1, 64))
def test_adapters_grow_with_the_rank_and_add_up_over_targets(family: str, number: int, rank: int) -> None:
    """Adapters are linear in the rank, and those of all names of the layers together are those of no names."""
    model = build(drawn(family, number))
    one = count_adapters(model, rank=1)
    assert count_adapters(model, rank=rank) == rank * one
    names = set()
    for block in (stack.block for stack in model.stacks):
        names |= {linear.name for linear in block.mixer.linears} if block.mixer else set()
        if isinstance(block.mlp, Experts):
            parts = (block.mlp.expert, *((block.mlp.shared,) if block.mlp.shared else ()))
            names |= {linear.name for part in parts for linear in part.linears} | {block.mlp.router.name}
            names |= {block.mlp.shared_gate.name} if block.mlp.shared_gate else set()
        elif block.mlp is not None:
            names |= {linear.name for linear in block.mlp.linears}
    assert sum(count_adapters(model, rank=1, targets=(name,)) for name in names) == one


def test_a_head_is_adapted_only_where_it_is_named() -> None:
    """Rank 8 on a head of 768 by 50,257 adds 8 · (768 + 50,257), though it is tied; without names it has none."""
    model = build({"model_type": "gpt2"})
    assert count_adapters(model, rank=8, targets=("lm_head",)) == 8 * (768 + 50_257)
    layers = ("c_attn", "c_proj", "c_fc")
    assert count_adapters(model, rank=8) == count_adapters(model, rank=8, targets=layers)
